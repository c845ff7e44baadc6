//! Where a destination is served: `canal://[user:password@]host:port/destination`.

use towpath_client::Credentials;

/// See the module.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) credentials: Option<Credentials>,
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) destination: String,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("canal://")?;
        let (place, destination) = rest.split_once('/').unwrap_or((rest, "example"));
        let (login, address) = match place.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, place),
        };
        let credentials = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Credentials { user: user.to_owned(), password: password.to_owned() }
        });
        let port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if port { address.to_owned() } else { format!("{address}:11111") };
        let destination = if destination.is_empty() { "example" } else { destination };
        Some(Self { credentials, address, destination: destination.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_a_port_and_a_destination() {
        let place = Place::parse("canal://me:x@db1/shop").unwrap();
        assert_eq!((place.address.as_str(), place.destination.as_str()), ("db1:11111", "shop"));
        let place = Place::parse("canal://127.0.0.1:22222").unwrap();
        assert_eq!(
            (place.address.as_str(), place.destination.as_str()),
            ("127.0.0.1:22222", "example")
        );
        assert!(Place::parse("mysql://x").is_none());
    }
}
