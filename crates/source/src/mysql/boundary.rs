//! The places between two transactions of a stream, at which reading can begin.

use towpath_binlog::transaction::{Bound, TransactionBounds};
use towpath_binlog::{RawEvent, StreamError, event_type as t};

use crate::error::SourceError;

/// Follows the boundaries of a file from its beginning on.
#[derive(Debug)]
pub(crate) struct Boundaries {
    bounds: TransactionBounds,
    last: u64,
}

impl Boundaries {
    pub(crate) fn new() -> Self {
        Self { bounds: TransactionBounds::default(), last: 4 }
    }

    /// The last boundary that was passed.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Takes the next event that is really in the file; true when a boundary lies behind it.
    ///
    /// # Errors
    /// [`SourceError::Stream`] when the event is malformed.
    pub(crate) fn event(&mut self, event: &RawEvent<'_>) -> Result<bool, SourceError> {
        let bound = self.bounds.event(event).map_err(|fault| StreamError {
            file: event.file.to_string(),
            offset: event.start,
            event_type: event.header.event_type,
            source: fault.into(),
        })?;
        let is_passed = match bound {
            Bound::End | Bound::Rollback | Bound::Alone => true,
            // What was lost is a transaction of its own.
            Bound::Identity
            | Bound::Begin
            | Bound::Inside
            | Bound::Savepoint(_)
            | Bound::RollbackTo(_) => event.header.event_type == t::INCIDENT,
        };
        if is_passed {
            self.bounds = TransactionBounds::default();
            self.last = event.end;
        }
        Ok(is_passed)
    }
}
