//! Reads ahead for what becomes of a transaction.

use tokio::task::yield_now;
use towpath_binlog::RawEvent;
use towpath_binlog::transaction::{FateScan, TransactionFate};

use crate::error::SourceError;
use crate::files::OpenFile;

/// What comes behind a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Another file: it is whole.
    AnotherFile,
    /// Nothing: it is perhaps still being written.
    Nothing,
}

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

/// Reads a file ahead. `limit` is the longest event that is taken, in bytes.
pub(crate) async fn in_file(
    mut scan: FateScan,
    mut ahead: OpenFile,
    behind: Behind,
    limit: usize,
) -> Result<TransactionFate, SourceError> {
    loop {
        while let Some(event) = ahead.next_event(limit)? {
            if let Some(fate) = of_event(&mut scan, &event)? {
                return Ok(fate);
            }
        }
        match (ahead.fill(), behind) {
            // Files are never waited for: other tasks want to run as well.
            (Ok(true), _) => yield_now().await,
            // What stands before a cut is told first, then the cut.
            (Ok(false), _) | (Err(SourceError::BadFile { .. }), Behind::Nothing) => {
                return Ok(scan.cut_off());
            }
            (Err(error), _) => return Err(error),
        }
    }
}
