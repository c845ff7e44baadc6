//! From a start as the operator names it to a position of this server (mysql-source 3).

use towpath_binlog::{FileName, event_type as t};

use super::boundary::Boundaries;
use super::dialect::{self, LogFile};
use super::dump::{AtEnd, Dump, Request};
use super::gtid::{self, End};
use super::{FILL_TIMEOUT, From};
use crate::connection::Connection;
use crate::error::{Lost, SourceError};
use crate::start::Start;
use crate::url::SourceUrl;
use crate::{FollowBy, SourceConfig};

pub(super) async fn find(
    url: &SourceUrl,
    connection: &mut Connection,
    start: &Start,
    (server_id, by): (u32, FollowBy),
) -> Result<From, SourceError> {
    match (start, by) {
        (Start::Now, FollowBy::Gtid) => {
            return gtid::at_end(url, connection, End::Newest, server_id).await;
        }
        (Start::Earliest, FollowBy::Gtid) => {
            return gtid::at_end(url, connection, End::Oldest, server_id).await;
        }
        _ => {}
    }
    let from = position(url, connection, start, server_id).await?;
    followed(url, connection, from, (server_id, by)).await
}

/// What a place is called where it is followed so.
pub(super) async fn followed(
    url: &SourceUrl,
    connection: &mut Connection,
    from: From,
    (server_id, by): (u32, FollowBy),
) -> Result<From, SourceError> {
    match (from, by) {
        (From::Position { file, offset }, FollowBy::Gtid) => {
            gtid::of_position(url, connection, (&file, offset), server_id).await
        }
        (from, _) => Ok(from),
    }
}

/// The place of a start, by file and offset unless it is a set.
pub(super) async fn position(
    url: &SourceUrl,
    connection: &mut Connection,
    start: &Start,
    server_id: u32,
) -> Result<From, SourceError> {
    match start {
        Start::Gtid(set) => Ok(From::Gtid(set.clone())),
        Start::Now => {
            let (file, offset) = dialect::end(connection).await?;
            Ok(From::Position { file, offset })
        }
        Start::Earliest => {
            let files = dialect::files(connection).await?;
            let file = files.into_iter().next().map(|file| file.name).unwrap_or_default();
            Ok(From::Position { file, offset: 4 })
        }
        Start::At { file, offset } => {
            let files = dialect::files(connection).await?;
            let holds =
                |log: &LogFile| log.name == *file && log.size.is_none_or(|size| *offset <= size);
            if files.iter().any(holds) {
                return Ok(From::Position { file: file.clone(), offset: *offset });
            }
            let kept = match (files.first(), files.last()) {
                (Some(a), Some(b)) => {
                    let size = b.size.map_or_else(String::new, |size| format!(":{size}"));
                    format!("{}:4 to {}{size}", a.name, b.name)
                }
                _ => "nothing".to_owned(),
            };
            let lost = files.first().map_or(Lost::Elsewhere, |first| lost(file, &first.name));
            let wanted = format!("{file}:{offset}");
            Err(SourceError::Purged { address: url.address(), wanted, kept, lost })
        }
        Start::Time { unix_s } => at_time(url, connection, *unix_s, server_id).await,
    }
}

/// Why a file is not there, of which the first one that is left is known.
fn lost(file: &str, first: &str) -> Lost {
    match FileName::is_earlier(file, first) {
        true => Lost::Purged,
        false => Lost::Elsewhere,
    }
}

/// The fault of a place whose file the server has purged, of which these files are left.
pub(super) fn purged(
    connection: &Connection,
    (file, offset): (&str, u64),
    files: &[LogFile],
) -> Option<SourceError> {
    let first = files.first().filter(|first| lost(file, &first.name) == Lost::Purged)?;
    Some(SourceError::Purged {
        address: connection.address.clone(),
        wanted: format!("{file}:{offset}"),
        kept: format!("{}:4 and later", first.name),
        lost: Lost::Purged,
    })
}

/// Refuses a server that has less of its binlog than was read, or has purged it.
pub(super) async fn check_kept(
    connection: &mut Connection,
    file: &str,
    offset: u64,
) -> Result<(), SourceError> {
    let files = dialect::files(connection).await?;
    let Some(last) = files.last() else { return Ok(()) };
    if let Some(purged) = purged(connection, (file, offset), &files) {
        return Err(purged);
    }
    let ends_before = if last.name == file {
        last.size.is_some_and(|size| size < offset)
    } else {
        FileName::is_earlier(&last.name, file)
    };
    if !ends_before {
        return Ok(());
    }
    Err(SourceError::Behind {
        address: connection.address.clone(),
        missing: format!("{file}:{offset}"),
        has: format!("{} up to {}", last.name, last.size.unwrap_or(0)),
    })
}

/// The newest file that was begun before the moment, then the first transaction in it that is not
/// older.
async fn at_time(
    url: &SourceUrl,
    connection: &mut Connection,
    unix_s: u64,
    server_id: u32,
) -> Result<From, SourceError> {
    let files = dialect::files(connection).await?;
    let (mut low, mut high) = (0, files.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let Some(file) = files.get(middle) else { break };
        if begun_at(url, &file.name, server_id).await? < unix_s {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some(file) = files.get(low.saturating_sub(1)) else {
        return Ok(From::Position { file: String::new(), offset: 4 });
    };
    if low == 0 {
        let wanted = format!("time:{unix_s}");
        let kept = format!("{}:4 and later, all of it younger", file.name);
        let lost = Lost::Purged;
        return Err(SourceError::Purged { address: url.address(), wanted, kept, lost });
    }
    let mut dump = open(url, &file.name, server_id).await?;
    let mut boundaries = Boundaries::new();
    let found = |offset| Ok(From::Position { file: file.name.clone(), offset });
    loop {
        while let Some(event) = dump.next_event()? {
            if *event.file != *file.name {
                return found(boundaries.last());
            }
            let header = event.header;
            let real = header.timestamp_s != 0 && header.event_type != t::FORMAT_DESCRIPTION;
            if real && u64::from(header.timestamp_s) >= unix_s {
                return found(boundaries.last());
            }
            if !header.is_artificial() {
                boundaries.event(&event)?;
            }
        }
        match dump.fill(FILL_TIMEOUT).await {
            Ok(()) => {}
            // The end of the last file.
            Err(SourceError::Ended { .. } | SourceError::Silence { .. }) => {
                return found(boundaries.last());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The last place between two transactions of a file that is not behind an offset (mysql-source 3.6).
pub(super) async fn transaction_begin(
    url: &SourceUrl,
    (file, offset): (&str, u64),
    server_id: u32,
) -> Result<u64, SourceError> {
    let mut dump = open(url, file, server_id).await?;
    let mut boundaries = Boundaries::new();
    loop {
        while let Some(event) = dump.next_event()? {
            if event.header.is_artificial() {
                continue;
            }
            if *event.file != *file || event.end > offset {
                return Ok(boundaries.last());
            }
            boundaries.event(&event)?;
        }
        match dump.fill(FILL_TIMEOUT).await {
            Ok(()) => {}
            // The end of the last file.
            Err(SourceError::Ended { .. }) => return Ok(boundaries.last()),
            Err(error) => return Err(error),
        }
    }
}

pub(super) async fn open(url: &SourceUrl, file: &str, server_id: u32) -> Result<Dump, SourceError> {
    open_at(url, file, 4, server_id).await
}

/// A dump that ends where the last file does.
pub(super) async fn open_at(
    url: &SourceUrl,
    file: &str,
    offset: u64,
    server_id: u32,
) -> Result<Dump, SourceError> {
    let connection = Connection::open(url).await?;
    let from = From::Position { file: file.to_owned(), offset };
    let config = SourceConfig::default();
    let request = Request { config: &config, server_id, from: &from, at_end: AtEnd::Stop };
    Dump::begin(connection, &request).await
}

/// When a file was begun: the time of its format description.
pub(super) async fn begun_at(
    url: &SourceUrl,
    file: &str,
    server_id: u32,
) -> Result<u64, SourceError> {
    let mut dump = open(url, file, server_id).await?;
    loop {
        while let Some(event) = dump.next_event()? {
            if event.header.event_type == t::FORMAT_DESCRIPTION && event.header.timestamp_s != 0 {
                return Ok(u64::from(event.header.timestamp_s));
            }
        }
        dump.fill(FILL_TIMEOUT).await?;
    }
}
