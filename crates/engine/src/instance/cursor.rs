//! Cursors of clients, and the places in the source that they stand for.

use std::sync::Arc;

use towpath_binlog::{RawEvent, event_type};
use towpath_coordination::{Cursor, Resume};
use towpath_entry::Boundary;
use towpath_source::{LastEvent, ReadFile, Start};

/// The cursor of a client that has acknowledged nothing yet.
pub(super) fn origin(file: &Arc<str>, offset: u64, gtid: Option<Arc<str>>) -> Cursor {
    Cursor {
        file: Arc::clone(file),
        offset,
        gtid: gtid.clone().unwrap_or_default(),
        server_id: 0,
        timestamp_ms: 0,
        resume: Some(Resume { file: Arc::clone(file), offset, gtid, of: None, xid: None }),
    }
}

/// Where reading goes on after what a cursor acknowledges. Canal's own cursor names the last
/// acknowledged event itself, which then comes again.
pub(super) fn start_behind(cursor: &Cursor) -> Start {
    let (file, offset, gtid) = match &cursor.resume {
        Some(resume) => (&resume.file, resume.offset, resume.gtid.clone()),
        None => (&cursor.file, cursor.offset, Some(Arc::clone(&cursor.gtid))),
    };
    match gtid.filter(|set| !set.is_empty()) {
        Some(set) => Start::Gtid(set.as_ref().to_owned()),
        None => Start::At { file: file.as_ref().to_owned(), offset },
    }
}

/// The cursor of a client that has acknowledged all up to a boundary.
pub(super) fn cursor_at(boundary: &Boundary) -> Cursor {
    let Boundary { file, offset, gtid, start, timestamp_s, server_id } = boundary.clone();
    Cursor {
        file: Arc::clone(&file),
        offset: start,
        gtid: gtid.clone().unwrap_or_default(),
        server_id,
        timestamp_ms: i64::from(timestamp_s) * 1000,
        resume: Some(Resume { file, offset, gtid, of: None, xid: None }),
    }
}

/// The event that a cursor acknowledges, unless it only says where reading began.
pub(super) fn last_event(cursor: &Cursor) -> Option<LastEvent> {
    let time_s = u64::try_from(cursor.timestamp_ms / 1000).ok().filter(|s| *s > 0)?;
    let file = cursor.file.as_ref().to_owned();
    let xid = cursor.resume.as_ref().and_then(|resume| resume.xid);
    Some(LastEvent { file, offset: cursor.offset, time_s, server_id: cursor.server_id, xid })
}

/// The file that a cursor means, as far as it says so.
pub(super) fn file_of(cursor: &Cursor) -> Option<ReadFile> {
    let resume = cursor.resume.as_ref()?;
    let of = resume.of.as_ref()?;
    let (server, file) = (of.server.clone(), of.file.as_ref().to_owned());
    Some(ReadFile { server, file, begun_s: of.begun_s, offset: resume.offset })
}

/// Where reading began, once an event tells it: a rotation only announces the file.
pub(super) fn first_cursor(
    start: &Start,
    gtid: Option<Arc<str>>,
    event: &RawEvent<'_>,
) -> Option<Cursor> {
    if event.header.event_type == event_type::ROTATE {
        return None;
    }
    Some(match start {
        Start::At { file, offset } => origin(&file.as_str().into(), *offset, gtid),
        Start::Now | Start::Earliest | Start::Gtid(_) | Start::Time { .. } => {
            origin(&event.file, event.start, gtid)
        }
    })
}
