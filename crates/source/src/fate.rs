//! Reads ahead for what becomes of a transaction.

use towpath_binlog::RawEvent;
use towpath_binlog::transaction::{FateScan, TransactionFate};

use crate::error::SourceError;

/// Shows the scan an event.
pub(crate) fn of_event(
    scan: &mut FateScan,
    event: &RawEvent<'_>,
) -> Result<Option<TransactionFate>, SourceError> {
    scan.event(event).map_err(|source| SourceError::Fate {
        file: event.file.to_string(),
        offset: event.start,
        source,
    })
}
