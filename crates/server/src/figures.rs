//! Requests of clients as they are counted, for those who look from outside. Nothing depends on it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towpath_protocol::PacketType;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    time_ms(SystemTime::now())
}

/// The same of a time.
pub(crate) fn time_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Requests of clients, by the destination that they name.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_name: RwLock<BTreeMap<String, Arc<ClientFigures>>>,
    /// For no destination of this server.
    strangers: Arc<ClientFigures>,
}

impl Requests {
    /// Those for a destination; for none, those of strangers.
    pub(crate) fn of(&self, destination: Option<&str>) -> Arc<ClientFigures> {
        let Some(name) = destination else { return Arc::clone(&self.strangers) };
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(figures) = known.get(name) {
            return Arc::clone(figures);
        }
        drop(known);
        let mut known = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.to_owned()).or_default())
    }

    /// Forgets the destinations that are not there any more.
    pub(crate) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let mut known = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| is_there(name));
    }
}

/// Requests by kind, as Canal names packets. The last one stands for numbers without a name.
const KINDS: [&str; 14] = [
    "SUBSCRIPTION",
    "UNSUBSCRIPTION",
    "GET",
    "CLIENTACK",
    "CLIENTROLLBACK",
    "CLIENTAUTHENTICATION",
    "HANDSHAKE",
    "ACK",
    "MESSAGES",
    "SHUTDOWN",
    "DUMP",
    "HEARTBEAT",
    "PACKAGETYPECOMPATIBLEPROTO2",
    "UNRECOGNIZED",
];
/// Error codes that are sent.
const CODES: [i32; 3] = [400, 401, 402];
/// Bounds of the latency's buckets, in microseconds, and as Canal writes them, in milliseconds.
const BUCKETS: [(u64, &str); 5] =
    [(2500, "2.5"), (10_000, "10.0"), (25_000, "25.0"), (100_000, "100.0"), (u64::MAX, "+Inf")];

/// What a request was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// What it asked for, or nothing as there is no answer.
    Done,
    /// That there is nothing.
    Empty,
    /// This error.
    Error(i32),
    /// Nothing that Canal counts.
    Uncounted,
}

/// Requests of clients.
#[derive(Debug, Default)]
pub(crate) struct ClientFigures {
    packets: [AtomicU64; KINDS.len()],
    bytes: AtomicU64,
    empty_batches: AtomicU64,
    errors: [AtomicU64; CODES.len()],
    latency: [AtomicU64; BUCKETS.len()],
    latency_us: AtomicU64,
}

fn add(counter: Option<&AtomicU64>, count: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl ClientFigures {
    /// Counts a request that took `elapsed` and sent `bytes`.
    pub(crate) fn count(&self, kind: PacketType, told: Told, bytes: u64, elapsed: Duration) {
        let name = kind.name();
        add(Some(&self.bytes), bytes);
        match told {
            Told::Uncounted => return,
            Told::Empty => add(Some(&self.empty_batches), 1),
            Told::Done | Told::Error(_) => {
                let index = KINDS.iter().position(|kind| *kind == name);
                add(self.packets.get(index.unwrap_or(KINDS.len() - 1)), 1);
            }
        }
        if let Told::Error(code) = told {
            add(CODES.iter().position(|c| *c == code).and_then(|i| self.errors.get(i)), 1);
        }
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|(bound, _)| us <= *bound).unwrap_or_default();
        add(self.latency.get(bucket), 1);
        add(Some(&self.latency_us), us);
    }

    /// Requests by kind, those that there were.
    pub(crate) fn packets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.packets.iter().map(value)).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn bytes(&self) -> u64 {
        value(&self.bytes)
    }

    pub(crate) fn empty_batches(&self) -> u64 {
        value(&self.empty_batches)
    }

    /// Errors by code, those that there were.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (i32, u64)> {
        CODES.into_iter().zip(self.errors.iter().map(value)).filter(|(_, count)| *count > 0)
    }

    /// The latency's buckets, each with all of the shorter ones.
    pub(crate) fn latency(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut sum = 0;
        BUCKETS.into_iter().zip(&self.latency).map(move |((_, bound), counter)| {
            sum += value(counter);
            (bound, sum)
        })
    }

    /// Sum of the latencies, in microseconds.
    pub(crate) fn latency_us(&self) -> u64 {
        value(&self.latency_us)
    }
}
