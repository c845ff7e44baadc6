//! `towpath tail canal://`: as a client of a Canal or Towpath server.

use std::io::Write;
use std::time::Duration;

use towpath_client::{Client, ClientOptions, Credentials};

use super::render::Renderer;
use super::{Arguments, show};
use crate::report::Failure;

/// What a get asks for, in units of 1024 bytes of entries.
const FETCH_SIZE: i32 = 1000;
/// How long the server may hold a get that has nothing.
const GET_TIMEOUT: Duration = Duration::from_secs(20);

/// `canal://[user:password@]host:port/destination`.
struct Place {
    credentials: Option<Credentials>,
    address: String,
    destination: String,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
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

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    renderer: &mut Renderer<W>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new("cannot follow the server", error);
    let Some(place) = Place::parse(&arguments.place) else { return Ok(()) };
    let options = ClientOptions { destination: place.destination, ..ClientOptions::default() };
    let mut client = Client::connect(&place.address, place.credentials.as_ref(), options)
        .await
        .map_err(failed)?;
    client.subscribe(&arguments.filter).await.map_err(failed)?;
    client.rollback(None).await.map_err(failed)?;
    loop {
        let batch = client.get(FETCH_SIZE, GET_TIMEOUT).await.map_err(failed)?;
        if batch.is_nothing() {
            continue;
        }
        let go_on = show(batch.entries.iter().map(AsRef::as_ref), arguments.limit, renderer)?;
        client.ack(batch.id).await.map_err(failed)?;
        if !go_on {
            client.close().await;
            return Ok(());
        }
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
