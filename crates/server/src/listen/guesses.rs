//! Bounds how many passwords can be tried in a time, by one address and by all of them.
//!
//! A login is compared when it is its turn. A right one gives its turn back, so that only wrong ones
//! count, and a client's own logins do not slow it down. Turns of all addresses together are for
//! addresses from which no right login came yet: many hosts that guess do not keep clients out that were
//! there before.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::crowd::counted;

/// Wrong logins of an address that are compared at once, and the time for each further one.
const ADDRESS: Rate = Rate { burst: 20, interval: Duration::from_millis(500) };

/// The same for all addresses together, but those from which a right login came.
const ALL: Rate = Rate { burst: 200, interval: Duration::from_millis(50) };

/// How long an address is remembered from which a right login came.
const TRUST: Duration = Duration::from_secs(24 * 3600);

/// Addresses above which those that wait for nothing are forgotten.
const ADDRESSES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    interval: Duration,
}

/// When all turns that were given out are over.
#[derive(Debug, Clone, Copy)]
struct Turns(Instant);

impl Turns {
    /// Takes a turn; the time until it comes.
    fn take(&mut self, rate: Rate, now: Instant) -> Duration {
        self.0 = self.0.max(now) + rate.interval;
        self.0.saturating_duration_since(now + rate.interval * rate.burst)
    }

    fn give_back(&mut self, rate: Rate) {
        self.0 = self.0.checked_sub(rate.interval).unwrap_or(self.0);
    }
}

#[derive(Debug)]
struct Address {
    turns: Turns,
    trusted_until: Option<Instant>,
}

impl Address {
    fn is_trusted(&self, now: Instant) -> bool {
        self.trusted_until.is_some_and(|until| until > now)
    }
}

/// Turns of all sessions.
#[derive(Debug)]
pub(crate) struct Guesses(Mutex<Book>);

#[derive(Debug)]
struct Book {
    all: Turns,
    addresses: HashMap<IpAddr, Address>,
}

/// One turn. It is given back when this is dropped, unless the login was wrong.
#[derive(Debug)]
#[must_use]
pub(crate) struct Guess<'a> {
    guesses: &'a Guesses,
    address: IpAddr,
    held: Held,
    /// Until it is its turn.
    pub(crate) wait: Duration,
}

/// What a turn holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A turn of its address.
    Own,
    /// One of all addresses, too.
    OwnAndAll,
    /// It is used up.
    Nothing,
}

impl Guesses {
    pub(crate) fn new(now: Instant) -> Self {
        let (all, addresses) = (Turns(now), HashMap::new());
        Self(Mutex::new(Book { all, addresses }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a turn for a login from this address.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Guess<'_> {
        let address = counted(address);
        let mut book = self.book();
        book.forget(now);
        let entry = book.addresses.entry(address);
        let entry = entry.or_insert(Address { turns: Turns(now), trusted_until: None });
        let own = entry.turns.take(ADDRESS, now);
        let (held, wait) = if entry.is_trusted(now) {
            (Held::Own, own)
        } else {
            (Held::OwnAndAll, own.max(book.all.take(ALL, now)))
        };
        Guess { guesses: self, address, held, wait }
    }
}

impl Book {
    /// Makes room for another address.
    fn forget(&mut self, now: Instant) {
        if self.addresses.len() < ADDRESSES_MAX {
            return;
        }
        self.addresses.retain(|_, entry| entry.turns.0 > now || entry.is_trusted(now));
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, entry| entry.turns.0 > now);
        }
    }
}

impl Guess<'_> {
    /// The login was right.
    pub(crate) fn right(self, now: Instant) {
        if let Some(entry) = self.guesses.book().addresses.get_mut(&self.address) {
            entry.trusted_until = Some(now + TRUST);
        }
    }

    /// The login was wrong: the turn is used up.
    pub(crate) fn wrong(mut self) {
        self.held = Held::Nothing;
    }
}

impl Drop for Guess<'_> {
    fn drop(&mut self) {
        if self.held == Held::Nothing {
            return;
        }
        let mut book = self.guesses.book();
        if let Some(entry) = book.addresses.get_mut(&self.address) {
            entry.turns.give_back(ADDRESS);
        }
        if self.held == Held::OwnAndAll {
            book.all.give_back(ALL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a wrong login waits.
    fn wrong(guesses: &Guesses, address: &str, now: Instant) -> Duration {
        let guess = guesses.take(address.parse().unwrap(), now);
        let wait = guess.wait;
        guess.wrong();
        wait
    }

    #[test]
    fn wrong_logins_of_an_address_come_to_two_a_second() {
        let now = Instant::now();
        let guesses = Guesses::new(now);
        let waits: Vec<Duration> = (0..40).map(|_| wrong(&guesses, "10.0.0.1", now)).collect();
        assert_eq!(waits[19], Duration::ZERO);
        assert_eq!(waits[39], Duration::from_secs(10));
        assert_eq!(wrong(&guesses, "10.0.0.2", now), Duration::ZERO);
        let later = now + Duration::from_secs(20);
        assert_eq!(wrong(&guesses, "10.0.0.1", later), Duration::ZERO);
    }

    #[test]
    fn right_and_unfinished_logins_use_nothing_up() {
        let now = Instant::now();
        let guesses = Guesses::new(now);
        for _ in 0..1000 {
            let right = guesses.take("10.0.0.1".parse().unwrap(), now);
            let unfinished = guesses.take("10.0.0.1".parse().unwrap(), now);
            assert_eq!((right.wait, unfinished.wait), (Duration::ZERO, Duration::ZERO));
            right.right(now);
            drop(unfinished);
        }
    }

    #[test]
    fn many_addresses_hold_up_new_ones_and_not_those_that_were_there() {
        let now = Instant::now();
        let guesses = Guesses::new(now);
        guesses.take("10.0.0.1".parse().unwrap(), now).right(now);
        let guess = |n: usize| wrong(&guesses, &format!("10.1.{}.{}", n / 250, n % 250), now);
        let waits: Vec<Duration> = (0..4000).map(guess).collect();
        assert_eq!(waits[199], Duration::ZERO);
        assert_eq!(waits[3999], Duration::from_secs(190));
        assert_eq!(wrong(&guesses, "10.0.0.1", now), Duration::ZERO);
        // Those that wait for nothing are forgotten.
        let later = now + Duration::from_secs(1);
        for n in 4000..6000 {
            drop(guesses.take(format!("10.1.{}.{}", n / 250, n % 250).parse().unwrap(), later));
        }
        assert!(guesses.book().addresses.len() <= ADDRESSES_MAX);
        assert_eq!(wrong(&guesses, "10.0.0.1", later), Duration::ZERO);
    }
}
