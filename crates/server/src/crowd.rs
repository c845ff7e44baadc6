//! Who is connected to a port, and which connection has to end when there is no room for another.
//!
//! A peer that has not shown what it wants, by a login or a whole request, is a stranger. Strangers are
//! ended first, the oldest of the address that has most of them: so silent peers take places from each
//! other, and neither from clients nor for long from peers at other addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_address: usize,
    pub(crate) strangers: usize,
    pub(crate) without_strangers: WithoutStrangers,
}

/// What happens to a new connection when there is no room, and no stranger to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutStrangers {
    Refuse,
    EndOldest,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Full {
    #[error("the port has as many connections as it may")]
    Total,
    #[error("the address has as many connections as it may")]
    Address,
    #[error("the port has as many connections without a login as it may")]
    Strangers,
}

/// An address as it is counted. A host with IPv6 has a whole network of 64 bits.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

/// The connections of a port. Clones are the same crowd.
#[derive(Debug, Clone)]
pub(crate) struct Crowd(Arc<Mutex<Guests>>);

#[derive(Debug)]
struct Guests {
    limits: Limits,
    next_id: u64,
    /// By age.
    strangers: BTreeMap<u64, Guest>,
    /// By age.
    known: BTreeMap<u64, Guest>,
    shares: HashMap<IpAddr, Share>,
}

#[derive(Debug)]
struct Guest {
    address: IpAddr,
    end: CancellationToken,
}

/// What an address has of the connections.
#[derive(Debug, Default)]
struct Share {
    all: usize,
    strangers: usize,
}

/// The place of one connection: free again when this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    crowd: Crowd,
    id: u64,
}

impl Crowd {
    pub(crate) fn new(limits: Limits) -> Self {
        let (strangers, known, shares) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        Self(Arc::new(Mutex::new(Guests { limits, next_id: 0, strangers, known, shares })))
    }

    /// Takes a place for a stranger; cancelling `end` ends its connection. May end others.
    pub(crate) fn enter(&self, address: IpAddr, end: CancellationToken) -> Result<Place, Full> {
        let id = self.guests().enter(counted(address), end)?;
        Ok(Place { crowd: self.clone(), id })
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    fn enter(&mut self, address: IpAddr, end: CancellationToken) -> Result<u64, Full> {
        // Ends: each round but the last takes one away.
        while let Some(full) = self.full(address) {
            let id = self.to_end(full, address).ok_or(full)?;
            if let Some(guest) = self.leave(id) {
                guest.end.cancel();
            }
        }
        self.next_id += 1;
        let share = self.shares.entry(address).or_default();
        share.all += 1;
        share.strangers += 1;
        self.strangers.insert(self.next_id, Guest { address, end });
        Ok(self.next_id)
    }

    fn full(&self, address: IpAddr) -> Option<Full> {
        let Limits { total, per_address, strangers, .. } = self.limits;
        if self.shares.get(&address).is_some_and(|share| share.all >= per_address) {
            Some(Full::Address)
        } else if self.strangers.len() + self.known.len() >= total {
            Some(Full::Total)
        } else if self.strangers.len() >= strangers {
            Some(Full::Strangers)
        } else {
            None
        }
    }

    /// The connection that makes room.
    fn to_end(&self, full: Full, address: IpAddr) -> Option<u64> {
        let from = match full {
            Full::Address => Some(address),
            Full::Total | Full::Strangers => self.most_strangers(),
        };
        let stranger = from.and_then(|from| oldest(&self.strangers, |guest| guest.address == from));
        stranger.or_else(|| match (self.limits.without_strangers, full) {
            (WithoutStrangers::Refuse, _) => None,
            (WithoutStrangers::EndOldest, Full::Address) => {
                oldest(&self.known, |guest| guest.address == address)
            }
            (WithoutStrangers::EndOldest, Full::Total | Full::Strangers) => {
                oldest(&self.known, |_| true)
            }
        })
    }

    fn most_strangers(&self) -> Option<IpAddr> {
        let (address, share) = self.shares.iter().max_by_key(|(_, share)| share.strangers)?;
        (share.strangers > 0).then_some(*address)
    }

    fn know(&mut self, id: u64) {
        let Some(guest) = self.strangers.remove(&id) else { return };
        if let Some(share) = self.shares.get_mut(&guest.address) {
            share.strangers -= 1;
        }
        self.known.insert(id, guest);
    }

    fn leave(&mut self, id: u64) -> Option<Guest> {
        let stranger = self.strangers.remove(&id);
        let was_stranger = stranger.is_some();
        let guest = stranger.or_else(|| self.known.remove(&id))?;
        if let Some(share) = self.shares.get_mut(&guest.address) {
            share.all -= 1;
            share.strangers -= usize::from(was_stranger);
            if share.all == 0 {
                self.shares.remove(&guest.address);
            }
        }
        Some(guest)
    }

    fn has(&self, id: u64) -> bool {
        self.strangers.contains_key(&id) || self.known.contains_key(&id)
    }
}

fn oldest(guests: &BTreeMap<u64, Guest>, wanted: impl Fn(&Guest) -> bool) -> Option<u64> {
    guests.iter().find(|(_, guest)| wanted(guest)).map(|(id, _)| *id)
}

impl Place {
    /// The peer is a stranger no more.
    pub(crate) fn known(&self) {
        self.crowd.guests().know(self.id);
    }

    /// Whether the place was given to another connection.
    pub(crate) fn is_lost(&self) -> bool {
        !self.crowd.guests().has(self.id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.crowd.guests().leave(self.id);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(total: usize, per_address: usize, strangers: usize) -> Crowd {
        let without_strangers = WithoutStrangers::Refuse;
        Crowd::new(Limits { total, per_address, strangers, without_strangers })
    }

    fn enter(crowd: &Crowd, address: &str) -> Result<Place, Full> {
        crowd.enter(address.parse().unwrap(), CancellationToken::new())
    }

    fn lost(places: &[Place]) -> Vec<bool> {
        places.iter().map(Place::is_lost).collect()
    }

    #[test]
    fn strangers_make_room_oldest_of_the_most_crowded_address_first() {
        let crowd = crowd(4, 4, 4);
        let places: Vec<Place> = ["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1"]
            .map(|address| enter(&crowd, address).unwrap())
            .into();
        places[1].known();
        let token = CancellationToken::new();
        let fifth = crowd.enter("10.0.0.3".parse().unwrap(), token.clone()).unwrap();
        assert_eq!(lost(&places), [false, false, true, false]);
        assert!(!token.is_cancelled());
        for place in places.iter().chain([&fifth]) {
            place.known();
        }
        assert_eq!(enter(&crowd, "10.0.0.4").unwrap_err(), Full::Total);
        drop(fifth);
        let _sixth = enter(&crowd, "10.0.0.4").unwrap();
        assert_eq!(lost(&places), [false, false, true, false]);
    }

    #[test]
    fn an_address_has_its_limit_and_a_network_of_ipv6_is_one() {
        let crowd = crowd(9, 2, 9);
        let known = enter(&crowd, "2001:db8::1").unwrap();
        known.known();
        let stranger = enter(&crowd, "2001:db8::2").unwrap();
        let third = enter(&crowd, "2001:db8::3").unwrap();
        assert!(stranger.is_lost() && !known.is_lost());
        third.known();
        assert_eq!(enter(&crowd, "2001:db8::4").unwrap_err(), Full::Address);
        let _elsewhere = enter(&crowd, "2001:db8:0:1::1").unwrap();
        let _mapped = enter(&crowd, "::ffff:10.0.0.1").unwrap();
        let _same = enter(&crowd, "10.0.0.1").unwrap();
        assert_eq!(crowd.guests().shares[&"10.0.0.1".parse::<IpAddr>().unwrap()].all, 2);
    }

    #[test]
    fn strangers_have_a_limit_of_their_own() {
        let crowd = crowd(9, 9, 2);
        let places: Vec<Place> = (0..4).map(|_| enter(&crowd, "10.0.0.1").unwrap()).collect();
        assert_eq!(lost(&places), [true, true, false, false]);
        drop(places);
        let guests = crowd.guests();
        assert!(guests.shares.is_empty() && guests.strangers.is_empty());
    }

    #[test]
    fn where_all_are_alike_the_oldest_goes() {
        let without_strangers = WithoutStrangers::EndOldest;
        let limits = Limits { total: 2, per_address: 2, strangers: 2, without_strangers };
        let crowd = Crowd::new(limits);
        let places: Vec<Place> = (0..2).map(|_| enter(&crowd, "10.0.0.1").unwrap()).collect();
        for place in &places {
            place.known();
        }
        let _third = enter(&crowd, "10.0.0.2").unwrap();
        assert_eq!(lost(&places), [true, false]);
    }
}
