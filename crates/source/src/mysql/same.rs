//! Whether a binlog is still the one that was read (F11). A reset begins it anew, and so do a restore
//! and another server at the same address: then the same places, and the same GTIDs, stand for other
//! transactions.
//!
//! Places tell by the time at which a file was begun, and by the event that was read last. A GTID set
//! means the same on all servers, so that another server than before has to contain it and no more. On
//! the server itself the transactions of the set stand where they were read, unless all of them are
//! purged.

use towpath_binlog::event::parse_xid;
use towpath_binlog::{RawEvent, event_type as t};

use super::{FILL_TIMEOUT, From, dialect, find, gtid};
use crate::connection::Connection;
use crate::error::SourceError;
use crate::start::Start;
use crate::url::SourceUrl;
use crate::{LastEvent, ReadFile};

/// What is known of the binlog that was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pub(super) file: Option<ReadFile>,
    pub(super) last: Option<LastEvent>,
}

impl Memory {
    /// What counts on a server where reading has begun.
    pub(super) fn on(self, server: &str, start: &Start, is_behind_gap: bool) -> Self {
        let is_of_here = self.file.as_ref().is_some_and(|read| read.server == *server);
        if is_behind_gap {
            return Self::default();
        }
        if is_of_here {
            return self;
        }
        let Start::At { file, offset } = start else { return Self::default() };
        let (server, file) = (server.to_owned(), file.clone());
        Self { file: Some(ReadFile { server, file, begun_s: 0, offset: *offset }), last: None }
    }
}

/// Refuses a server whose binlog is another one than that which was read.
pub(super) async fn check(
    url: &SourceUrl,
    connection: &mut Connection,
    memory: &Memory,
    (from, server): (&From, &str),
    server_id: u32,
) -> Result<(), SourceError> {
    if let From::Gtid(set) = from {
        let Some(read) = memory.file.as_ref().filter(|read| read.server == *server) else {
            return Ok(());
        };
        // Before the set: a purge between the two questions would leave the set, and not the file.
        let files = dialect::files(connection).await?;
        if gtid::is_purged(connection, set).await? {
            return Ok(());
        }
        if !files.iter().any(|file| file.name == read.file) {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            return Err(SourceError::Behind {
                address: url.address(),
                missing: format!("{}, in which transactions of the set were read", read.file),
                has: format!(
                    "the same GTIDs in other files, {} to {}",
                    names.first().unwrap_or(&""),
                    names.last().unwrap_or(&"")
                ),
            });
        }
    }
    check_place(url, connection, memory, server_id).await
}

/// Refuses a binlog in which another event stands where one was read, or whose file of that name was
/// begun at another time; one that has purged the file, as that.
pub(super) async fn check_place(
    url: &SourceUrl,
    connection: &mut Connection,
    memory: &Memory,
    server_id: u32,
) -> Result<(), SourceError> {
    let Err(fault) = compare(url, memory, server_id).await else { return Ok(()) };
    let is_refused =
        matches!(fault, SourceError::Behind { .. } | SourceError::Server { errno: 1236, .. });
    let Some(read) = memory.file.as_ref().filter(|_| is_refused) else { return Err(fault) };
    let files = dialect::files(connection).await?;
    Err(find::purged(connection, (&read.file, read.offset), &files).unwrap_or(fault))
}

/// Compares what stands where something was read with what was read.
async fn compare(url: &SourceUrl, memory: &Memory, server_id: u32) -> Result<(), SourceError> {
    let read = memory.file.as_ref();
    // Further on all of the file would have to be read.
    let last = memory.last.as_ref().filter(|last| last.offset <= u64::from(u32::MAX));
    let Some(file) = last.map(|last| &last.file).or(read.map(|read| &read.file)) else {
        return Ok(());
    };
    let Some(last) = last else {
        let begun_s = find::begun_at(url, file, server_id).await?;
        return check_begun(url, read, file, begun_s);
    };
    let told = |fault| told(url, last, fault);
    let mut dump = find::open_at(url, file, last.offset, server_id).await?;
    loop {
        while let Some(event) = dump.next_event().map_err(told)? {
            let header = &event.header;
            if header.event_type == t::FORMAT_DESCRIPTION && header.timestamp_s != 0 {
                check_begun(url, read, file, u64::from(header.timestamp_s))?;
            }
            if !header.is_artificial()
                && !matches!(
                    header.event_type,
                    t::FORMAT_DESCRIPTION | t::HEARTBEAT | t::HEARTBEAT_V2
                )
            {
                return check_event(url, last, &event);
            }
        }
        dump.fill(FILL_TIMEOUT).await.map_err(told)?;
    }
}

fn check_begun(
    url: &SourceUrl,
    read: Option<&ReadFile>,
    file: &str,
    begun_s: u64,
) -> Result<(), SourceError> {
    let Some(read) = read.filter(|read| read.file == *file && read.begun_s != 0) else {
        return Ok(());
    };
    if u64::from(read.begun_s) == begun_s {
        return Ok(());
    }
    Err(SourceError::Behind {
        address: url.address(),
        missing: format!("{file} as it was read, begun at {}", read.begun_s),
        has: format!("a file of that name that was begun at {begun_s}"),
    })
}

fn behind(url: &SourceUrl, last: &LastEvent, has: String) -> SourceError {
    SourceError::Behind {
        address: url.address(),
        missing: format!(
            "the event at {}:{} that was read (time {}, server id {})",
            last.file, last.offset, last.time_s, last.server_id
        ),
        has,
    }
}

/// What the server says to a place that is no event of it.
fn told(url: &SourceUrl, last: &LastEvent, fault: SourceError) -> SourceError {
    let has = if let SourceError::InsideEvent { reason, .. } = &fault {
        format!("no event there ({reason})")
    } else if let SourceError::Server { errno: 1236, message, .. } = &fault {
        format!("no event there ({message})")
    } else if matches!(fault, SourceError::Ended { .. }) {
        "less of that file".to_owned()
    } else {
        return fault;
    };
    behind(url, last, has)
}

fn check_event(url: &SourceUrl, last: &LastEvent, event: &RawEvent<'_>) -> Result<(), SourceError> {
    let header = &event.header;
    // The events inside of a payload have times of their own.
    if header.event_type == t::TRANSACTION_PAYLOAD {
        return Ok(());
    }
    let (time_s, made_by) = (header.timestamp_s, header.server_id);
    let xid = match header.event_type {
        t::XID => parse_xid(event.body).ok().map(u64::cast_signed),
        _ => None,
    };
    let is_same = u64::from(time_s) == last.time_s && made_by == last.server_id;
    // Within a second a server may be reset, and have written the same again.
    if is_same && last.xid.is_none_or(|number| xid == Some(number)) {
        return Ok(());
    }
    Err(behind(url, last, format!("another one (time {time_s}, server id {made_by})")))
}
