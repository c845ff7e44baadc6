//! Where a destination is served: `canal://[user:password@]host:port/destination`.

use std::fmt;
use std::path::Path;

/// User and password for a server. `Debug` does not show the password.
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct CanalPlace {
    pub(crate) login: Option<Login>,
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) destination: String,
}

/// Whether a text is meant as a URL with one of these schemes, well written or not.
pub(crate) fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    let word = text.split([':', '/']).next().unwrap_or_default();
    let is_one = schemes.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
    is_one && (text.contains("://") || !Path::new(text).exists())
}

impl CanalPlace {
    /// What is wrong with it is said without the password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected canal://[user:password@]host:11111/destination";
        let fail = |reason: &str| format!("canal://: {reason}; {expected}");
        let rest = text.strip_prefix("canal://").ok_or_else(|| fail("`://` is missing"))?;
        let (place, destination) = rest.split_once('/').unwrap_or((rest, "example"));
        let (login, address) = match place.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, place),
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Login { user: user.to_owned(), password: password.to_owned() }
        });
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (address, "11111"),
        };
        if host.is_empty() {
            return Err(fail("there is no host in it"));
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(fail("an IPv6 address has to be written as [::1]"));
        }
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(fail("the port is no number from 1 to 65535"));
        }
        let destination = match destination {
            "" => "example",
            name if name.contains(['/', '?', '#']) => {
                return Err(fail("the destination is no plain name"));
            }
            name => name,
        };
        let address = format!("{host}:{port}");
        Ok(Self { login, address, destination: destination.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_seen_however_it_is_written() {
        for text in ["canal://h", "canal:/h", "canal//h", "CANAL:h:11111", "zk:h"] {
            assert!(has_scheme(text, &["canal", "zk"]), "{text}");
        }
        for text in ["mysql://h", "canals://h", "/canal/x", "Cargo.toml"] {
            assert!(!has_scheme(text, &["canal", "zk"]), "{text}");
        }
        assert!(!has_scheme("src/place.rs", &["src"]));
    }
}
