//! What is counted, for those who look from outside. Nothing depends on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towpath_entry::{EntryInfo, EntryKind};
use towpath_protocol::PacketType;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How much a number of entries is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) row_count: u64,
    /// Of the entries alone.
    pub(crate) bytes: u64,
    pub(crate) transaction_count: u64,
    /// Time of the first event that has one.
    pub(crate) first_ms: Option<i64>,
    /// Time of the last one.
    pub(crate) last_ms: Option<i64>,
}

impl Amount {
    pub(crate) fn of(entries: &[EntryInfo]) -> Self {
        let mut amount = Self::default();
        amount.add(entries);
        amount
    }

    pub(crate) fn add(&mut self, entries: &[EntryInfo]) {
        for entry in entries {
            self.row_count += u64::from(entry.row_count);
            self.bytes += u64::try_from(entry.entry_len).unwrap_or(u64::MAX);
            self.transaction_count += u64::from(entry.kind == EntryKind::End);
        }
        let time = |entry: &EntryInfo| Some(entry.execute_time_ms).filter(|ms| *ms > 0);
        self.first_ms = self.first_ms.or_else(|| entries.iter().find_map(time));
        self.last_ms = entries.iter().rev().find_map(time).or(self.last_ms);
    }
}

/// Sums of entries put into a store, taken out and acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) put: Amount,
    pub(crate) got: Amount,
    pub(crate) acked: Amount,
}

fn count(sum: &mut Amount, more: Amount) {
    sum.row_count += more.row_count;
    sum.bytes += more.bytes;
    sum.transaction_count += more.transaction_count;
    // Of the last of them, as Canal's delays count.
    sum.first_ms = more.first_ms.or(sum.first_ms);
    sum.last_ms = more.last_ms.or(sum.last_ms);
}

impl Figures {
    pub(crate) fn put(&mut self, amount: Amount) {
        count(&mut self.put, amount);
    }

    pub(crate) fn get(&mut self, amount: Amount) {
        count(&mut self.got, amount);
    }

    pub(crate) fn ack(&mut self, amount: Amount) {
        count(&mut self.acked, amount);
    }
}

/// How far reading is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Which server, or `files`.
    pub(crate) source: String,
    /// `server`, `archive`, `files`; empty while there is nothing.
    pub(crate) from: &'static str,
    /// Behind the last whole transaction.
    pub(crate) file: Option<Arc<str>>,
    pub(crate) offset: u64,
    pub(crate) gtid: Option<Arc<str>>,
    /// Bytes of events.
    pub(crate) bytes: u64,
    /// When something of the source was heard last.
    pub(crate) heard_ms: i64,
    /// How far behind the source was then: the time from the last event to it.
    pub(crate) event_ms: i64,
    /// Since when the store is full.
    pub(crate) full_since_ms: Option<i64>,
    /// Time spent on waiting for room in the store.
    pub(crate) full_ms: u64,
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
