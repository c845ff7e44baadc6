//! `Entry` messages around their content (entry-format 1.2).

use std::sync::Arc;

use crate::block::{EntryInfo, EntryKind};
use crate::proto;

/// `EntryType` numbers.
pub(crate) mod entry_type {
    pub(crate) const TRANSACTION_BEGIN: u64 = 1;
    pub(crate) const ROW_DATA: u64 = 2;
    pub(crate) const TRANSACTION_END: u64 = 3;
}

/// What the header says of an event.
#[derive(Debug, Clone)]
pub(crate) struct Origin<'a> {
    pub(crate) file: &'a Arc<str>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) event_len: u32,
    pub(crate) timestamp_s: u32,
    pub(crate) server_id: u32,
}

impl Origin<'_> {
    pub(crate) const fn execute_time_ms(&self) -> i64 {
        self.timestamp_s as i64 * 1000
    }
}

/// The transaction's identity, in GTID mode.
#[derive(Debug, Clone, Default)]
pub(crate) struct GtidProps {
    /// The whole set, this transaction included.
    pub(crate) set: Option<Arc<str>>,
    /// `curtGtid`, `curtGtidSn`, `curtGtidLct`.
    pub(crate) current: Option<(String, i64, i64)>,
}

/// Header fields that differ from entry to entry.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeaderParts<'a> {
    /// Fields 8 and 9, already encoded.
    pub(crate) names: &'a [u8],
    /// `eventType`; unset on transaction bounds.
    pub(crate) event_type: Option<u64>,
    /// `rowsCount`.
    pub(crate) row_count: Option<u32>,
}

/// Fields 8 and 9 from names that may be unset.
pub(crate) fn encode_names(schema: Option<&str>, table: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(schema) = schema {
        proto::bytes(&mut out, 8, schema.as_bytes());
    }
    if let Some(table) = table {
        proto::bytes(&mut out, 9, table.as_bytes());
    }
    out
}

/// Fields 8 and 9 of transaction bounds: set, and empty.
pub(crate) const EMPTY_NAMES: [u8; 4] = [8 << 3 | 2, 0, 9 << 3 | 2, 0];

/// Encodes `Header` messages. What one has in common with the one before it is kept encoded.
#[derive(Debug, Default)]
pub(crate) struct HeaderWriter {
    file: Option<Arc<str>>,
    /// Fields 1 and 2 for `file`, and the tag of field 3.
    front: Vec<u8>,
    moment: Option<(u32, u32)>,
    /// Fields 4 to 7 for the server id and second in `moment`.
    middle: Vec<u8>,
    bytes: Vec<u8>,
}

impl HeaderWriter {
    /// The message written last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Encodes a header.
    pub(crate) fn write(&mut self, origin: &Origin<'_>, gtid: &GtidProps, parts: HeaderParts<'_>) {
        if !self.file.as_ref().is_some_and(|file| Arc::ptr_eq(file, origin.file)) {
            self.set_file(origin.file);
        }
        let moment = (origin.server_id, origin.timestamp_s);
        if self.moment != Some(moment) {
            self.set_moment(moment);
        }
        let out = &mut self.bytes;
        out.clear();
        out.extend_from_slice(&self.front);
        proto::varint(out, origin.start);
        out.extend_from_slice(&self.middle);
        out.extend_from_slice(parts.names);
        proto::int(out, 10, u64::from(origin.event_len));
        if let Some(event_type) = parts.event_type {
            proto::int(out, 11, event_type);
        }
        if let Some((current, sequence, last_committed)) = &gtid.current {
            let mut buffer = itoa::Buffer::new();
            proto::pair(out, 12, b"curtGtid", current.as_bytes());
            proto::pair(out, 12, b"curtGtidSn", buffer.format(*sequence).as_bytes());
            proto::pair(out, 12, b"curtGtidLct", buffer.format(*last_committed).as_bytes());
        }
        if let Some(rows) = parts.row_count {
            proto::pair(out, 12, b"rowsCount", itoa::Buffer::new().format(rows).as_bytes());
        }
        if let Some(set) = &gtid.set {
            proto::bytes(out, 13, set.as_bytes());
        }
    }

    fn set_file(&mut self, file: &Arc<str>) {
        self.file = Some(Arc::clone(file));
        self.front.clear();
        proto::int(&mut self.front, 1, 1);
        proto::bytes(&mut self.front, 2, file.as_bytes());
        self.front.push(3 << 3);
    }

    fn set_moment(&mut self, (server_id, timestamp_s): (u32, u32)) {
        self.moment = Some((server_id, timestamp_s));
        self.middle.clear();
        proto::int(&mut self.middle, 4, u64::from(server_id));
        proto::bytes(&mut self.middle, 5, b"UTF-8");
        proto::int(&mut self.middle, 6, u64::from(timestamp_s) * 1000);
        proto::int(&mut self.middle, 7, 2);
    }
}

/// Everything of a `Messages` field before the store value: tag and length of the entry, header,
/// entry type, tag and length of the store value. Returns the length of the `Entry` message.
pub(crate) fn write_front(
    out: &mut Vec<u8>,
    header: &[u8],
    entry_type: u64,
    store_len: usize,
) -> usize {
    let store_head = 1 + proto::varint_len(proto::len64(store_len));
    let header_head = 1 + proto::varint_len(proto::len64(header.len()));
    let entry_len = header_head + header.len() + 2 + store_head + store_len;
    proto::head(out, 2, entry_len);
    proto::bytes(out, 1, header);
    proto::int(out, 2, entry_type);
    proto::head(out, 3, store_len);
    entry_len
}

/// The facts of an entry that ends at the end of `out`.
pub(crate) fn info(
    origin: &Origin<'_>,
    gtid: &GtidProps,
    kind: EntryKind,
    (end, entry_len, row_count): (usize, usize, u32),
) -> EntryInfo {
    EntryInfo {
        end,
        entry_len,
        kind,
        file: Arc::clone(origin.file),
        start_offset: origin.start,
        end_offset: origin.end,
        execute_time_ms: origin.execute_time_ms(),
        server_id: origin.server_id,
        row_count,
        gtid: gtid.set.clone(),
    }
}
