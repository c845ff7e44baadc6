//! Over what a source has purged, where that is asked for (mysql-source 3.4, F1, F2).

use tracing::info;

use super::gtid::{self, End};
use super::{From, find};
use crate::connection::Connection;
use crate::error::{Lost, SourceError};
use crate::start::Start;
use crate::url::SourceUrl;
use crate::{Gap, SourceConfig, WhenPurged};

/// The place behind a gap, if the fault is one and it may be jumped over; else the fault. `set`: the
/// set that stands for the place that is gone.
pub(super) async fn over(
    fault: SourceError,
    (url, connection): (&SourceUrl, &mut Connection),
    set: Option<&str>,
    (config, server_id): (&SourceConfig, u32),
) -> Result<(From, Option<Gap>), SourceError> {
    let (end, start) = match config.when_purged {
        WhenPurged::Stop => return Err(fault),
        WhenPurged::Oldest => (End::Oldest, Start::Earliest),
        WhenPurged::Newest => (End::Newest, Start::Now),
    };
    let (wanted, kept) = if let SourceError::Purged { wanted, kept, lost: Lost::Purged, .. } = fault
    {
        (wanted, kept)
    } else if let SourceError::Gap { file, kept, archived, .. } = fault {
        // Purged, and not in the archive either.
        (format!("{file}:4"), format!("{kept}; the archive has {archived}"))
    } else {
        return Err(fault);
    };
    let from = match set {
        // What was read behind the gap does not come again.
        Some(set) => gtid::joined(connection, set, end).await?,
        None => find::find(url, connection, &start, (server_id, config.by)).await?,
    };
    let resumed = match &from {
        From::Position { file, offset } => format!("{file}:{offset}"),
        From::Gtid(set) => format!("gtid:{}", gtid::shown(set)),
    };
    info!(source = %url, wanted, kept, resumed, "jumping over what was purged");
    Ok((from, Some(Gap { wanted, kept, resumed })))
}
