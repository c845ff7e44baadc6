//! What binlog files tell beside their events, in their order: the begin of a transaction, how their server
//! compares names, and whether one file goes on where another ends.

use std::path::Path;

use tokio::task::yield_now;
use towpath_binlog::event::{Payload, QueryEvent, TableMap};
use towpath_binlog::transaction::TransactionBounds;
use towpath_binlog::{EventHeader, FormatDescription, RawEvent, event_type as t};
use towpath_schema::NameCase;

use super::{OpenFile, number};
use crate::error::SourceError;

/// Bytes that a transaction may inflate to while names are searched in it.
const PAYLOAD_LEN_MAX: u64 = 1 << 30;

/// The first event of a file: its format description.
pub(super) type First = (u32, u32);

/// Server id and time of the first event.
pub(super) fn first(file: &mut OpenFile) -> Result<Option<First>, SourceError> {
    while file.unread.len() < EventHeader::LEN {
        if file.read_block()? == 0 {
            return Ok(None);
        }
    }
    let bytes = file.buffer.get(file.unread.clone()).unwrap_or_default();
    Ok(EventHeader::parse(bytes).ok().map(|header| (header.server_id, header.timestamp_s)))
}

/// Whether `next` begins where the file ends that was read as `before` and says that `announced` follows.
pub(super) fn follows(before: &Path, announced: &str, next: &Path) -> bool {
    // Without a rotation it is the name of the file itself.
    let is_announced = announced != name_of(before) && announced == name_of(next);
    let is_next_number = number(before)
        .and_then(|number| number.checked_add(1))
        .is_some_and(|wanted| number(next) == Some(wanted));
    is_announced || (is_next_number && before.file_stem() == next.file_stem())
}

/// The offset in the file at which the transaction begins in which `offset` lies; `None`: it lies in none.
pub(super) async fn transaction_begin(
    path: &Path,
    offset: u64,
    limit: usize,
) -> Result<Option<u64>, SourceError> {
    let mut file = OpenFile::open(path, &name_of(path), 4)?;
    let mut bounds = TransactionBounds::default();
    let mut begin = None;
    loop {
        let at = file.at;
        if at >= offset {
            return Ok(begin.map(|(_, at)| at));
        }
        let bad = |detail: String| SourceError::BadFile {
            path: path.to_owned(),
            offset: at,
            reason: detail,
        };
        let Some(event) = file.next_event(limit)? else {
            if file.fill()? {
                yield_now().await;
                continue;
            }
            return Ok(None);
        };
        bounds.event(&event).map_err(|error| bad(error.to_string()))?;
        // Offsets of a relay log's events are those of the master's binlog.
        begin = match (bounds.open_since(), begin) {
            (Some(since), Some((known, at))) if known == since => Some((known, at)),
            (Some(since), _) => Some((since, at)),
            (None, _) => None,
        };
    }
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How the server compares names that wrote these files. One that ignores case has only lower case in table
/// maps and default databases: a capital letter says that case counts. What cannot be read of a file is left
/// out: reading tells of it when it comes there.
pub(super) async fn name_case<'a>(paths: impl Iterator<Item = &'a Path>, limit: usize) -> NameCase {
    for path in paths {
        let Ok(mut file) = OpenFile::open(path, &name_of(path), 4) else { continue };
        loop {
            let is_refused = loop {
                match file.next_event(limit) {
                    Ok(Some(event)) if has_capitals(&event) => return NameCase::Sensitive,
                    Ok(Some(_)) => {}
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            if is_refused || !matches!(file.fill(), Ok(true)) {
                break;
            }
            yield_now().await;
        }
    }
    NameCase::Insensitive
}

fn has_capitals(event: &RawEvent<'_>) -> bool {
    if event.header.event_type != t::TRANSACTION_PAYLOAD {
        return names_have_capitals(event.header.event_type, event.body, &event.format);
    }
    let mut inner = Vec::new();
    let inflated = Payload::parse(event.body)
        .is_ok_and(|payload| payload.decompress(&mut inner, PAYLOAD_LEN_MAX).is_ok());
    let mut rest = inner.as_slice();
    while inflated && let Ok(header) = EventHeader::parse(rest) {
        let len = usize::try_from(header.event_len).unwrap_or(usize::MAX);
        let Some(body) = rest.get(EventHeader::LEN..len) else { return false };
        if names_have_capitals(header.event_type, body, &event.format) {
            return true;
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    false
}

fn names_have_capitals(event_type: u8, body: &[u8], format: &FormatDescription) -> bool {
    let capitals = |name: &[u8]| name.iter().any(u8::is_ascii_uppercase);
    match event_type {
        t::TABLE_MAP => TableMap::parse(body, format)
            .is_ok_and(|map| capitals(map.schema) || capitals(map.table)),
        t::QUERY => QueryEvent::parse(body, format).is_ok_and(|query| capitals(query.schema)),
        _ => false,
    }
}
