//! What is counted, for those who look from outside. Nothing depends on it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_entry::{EntryInfo, EntryKind};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How much a number of entries is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Rows.
    pub row_count: u64,
    /// Of the entries alone.
    pub bytes: u64,
    /// Transactions that end.
    pub transaction_count: u64,
    /// Time of the first event that has one.
    pub first_ms: Option<i64>,
    /// Time of the last one.
    pub last_ms: Option<i64>,
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
pub struct Figures {
    /// Put in.
    pub put: Amount,
    /// Taken out.
    pub got: Amount,
    /// Acknowledged.
    pub acked: Amount,
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

/// Heartbeats that may be late.
const SILENT_BEATS: i64 = 2;

/// How far reading is.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Which server, or `files`.
    pub source: String,
    /// `server`, `archive`, `files`; empty while there is nothing.
    pub from: &'static str,
    /// Behind the last whole transaction.
    pub file: Option<Arc<str>>,
    /// Offset in it.
    pub offset: u64,
    /// The set of what was executed up to there.
    pub gtid: Option<Arc<str>>,
    /// Bytes of events.
    pub bytes: u64,
    /// When something of the source was heard last.
    pub heard_ms: i64,
    /// How far behind the source was then: the time from the last event to it.
    pub event_ms: i64,
    /// The source says something at least this often, in milliseconds; 0 when it need not.
    pub heartbeat_ms: i64,
    /// Since when the store is full.
    pub full_since_ms: Option<i64>,
    /// Time spent on waiting for room in the store.
    pub full_ms: u64,
}

impl Reading {
    /// Since when nothing is heard of a source that is waited for since a time, and should say something; in
    /// milliseconds since 1970.
    pub(crate) fn silent_since_ms(&self, waiting_since_ms: i64) -> Option<i64> {
        let since_ms = self.heard_ms.max(waiting_since_ms);
        let is_late = now_ms() - since_ms > self.heartbeat_ms.saturating_mul(SILENT_BEATS);
        (self.heartbeat_ms > 0 && is_late).then_some(since_ms)
    }

    /// How far behind the source reading is, in milliseconds, as far as can be known. It grows while the store is
    /// full, and while nothing is heard.
    #[must_use]
    pub fn lag_ms(&self) -> Option<i64> {
        if self.heard_ms == 0 {
            return None;
        }
        let late = self.heartbeat_ms > 0
            && now_ms() - self.heard_ms > self.heartbeat_ms.saturating_mul(SILENT_BEATS);
        let end = if self.full_since_ms.is_some() || late { now_ms() } else { self.heard_ms };
        Some((end - self.event_ms).max(0))
    }
}
