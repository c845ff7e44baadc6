//! Entries to process, as a value.

use std::sync::Arc;

use bytes::Bytes;
use towpath_protocol::entry::{Entry, ReadError};

use crate::connection::Shared;
use crate::{ClientError, RawBatch, Row};

/// A batch. It is acknowledged by [`Self::ack`]; dropped without that it is given back: the server
/// delivers its entries again, and those of all younger batches. Batches may be acknowledged in any
/// order; the server hears of it in theirs.
#[derive(Debug)]
#[must_use]
pub struct Batch {
    shared: Arc<Shared>,
    term: u64,
    id: i64,
    entries: Vec<Bytes>,
}

impl Batch {
    pub(crate) fn new(shared: &Arc<Shared>, raw: RawBatch) -> Self {
        let len = raw.entries.iter().map(Bytes::len).sum();
        let term = shared.ledger(|ledger| {
            ledger.add(raw.id, len);
            ledger.term()
        });
        Self { shared: Arc::clone(shared), term, id: raw.id, entries: raw.entries }
    }

    /// The server's number for it.
    #[must_use]
    pub const fn id(&self) -> i64 {
        self.id
    }

    /// Its entries as they came: one serialized `Entry` each.
    #[must_use]
    pub fn raw(&self) -> &[Bytes] {
        &self.entries
    }

    /// Its entries, read where they lie.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'_>, ReadError>> {
        self.entries.iter().map(|entry| Entry::parse(entry))
    }

    /// The rows in it; statements and the bounds of transactions are left out.
    ///
    /// # Errors
    /// [`ReadError`] when an entry is malformed.
    pub fn rows(&self) -> Result<Vec<Row<'_>>, ReadError> {
        let mut rows = Vec::new();
        for entry in &self.entries {
            Row::read(entry, &mut rows)?;
        }
        Ok(rows)
    }

    /// False once it cannot be acknowledged any more: its connection is gone, the lock is lost, or an
    /// older batch was given back. Its entries come again, maybe to another client.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.shared.ledger(|ledger| ledger.is_current(self.term, self.id))
    }

    /// Its entries are processed. Waits until the server is told, which is when all older batches are
    /// acknowledged, too. Dropping the future after its first poll does not take the ack back.
    ///
    /// # Errors
    /// [`ClientError::Stale`] when it is too late: the entries come again.
    pub async fn ack(self) -> Result<(), ClientError> {
        let stale = ClientError::Stale { batch_id: self.id };
        let Some(sent) = self.shared.ledger(|ledger| ledger.ack(self.term, self.id)) else {
            return Err(stale);
        };
        let shared = Arc::clone(&self.shared);
        // Its fate is decided: dropping it changes nothing.
        self.decided();
        shared.work.notify_one();
        sent.await.map_err(|_| stale)
    }

    /// The same as dropping it, by name.
    pub fn give_back(self) {
        drop(self);
    }

    /// Ends the value without giving the batch back.
    fn decided(mut self) {
        // No batch has this term.
        self.term = u64::MAX;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.shared.ledger(|ledger| ledger.give_back(self.term, self.id));
        self.shared.work.notify_one();
    }
}
