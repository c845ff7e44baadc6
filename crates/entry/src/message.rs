//! `Entry` messages around their content (entry-format 1.2).

use std::sync::Arc;

use crate::arena::Arena;
use towpath_protocol::entry::{EntryType, EventType};
use towpath_protocol::piece::{Piece, SLACK};
use towpath_protocol::protobuf;

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
    /// `curtGtid`, `curtGtidSn`, `curtGtidLct`, encoded; empty without.
    pub(crate) current: Vec<u8>,
}

impl GtidProps {
    /// Sets the properties that name the current transaction.
    pub(crate) fn set_current(&mut self, gtid: &str, sequence: i64, last_committed: i64) {
        let mut buffer = itoa::Buffer::new();
        let out = &mut self.current;
        out.clear();
        protobuf::pair(out, 12, b"curtGtid", gtid.as_bytes());
        protobuf::pair(out, 12, b"curtGtidSn", buffer.format(sequence).as_bytes());
        protobuf::pair(out, 12, b"curtGtidLct", buffer.format(last_committed).as_bytes());
    }
}

/// What the front of an entry says beside the origin of its event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrontParts<'a> {
    /// Number of the `EntryType`.
    pub(crate) entry_type: u64,
    /// Header fields 8 and 9, already encoded; `None` on transaction bounds, where they are set, and
    /// empty.
    pub(crate) names: Option<&'a Piece>,
    /// Number of the `EventType`; unset on transaction bounds.
    pub(crate) event_type: Option<u64>,
    /// `rowsCount`; not sent when 0.
    pub(crate) row_count: u32,
    /// Length of the store value.
    pub(crate) store_len: usize,
}

impl<'a> FrontParts<'a> {
    /// Nothing is known yet of what is behind the front.
    pub(crate) const fn new(
        entry_type: EntryType,
        names: Option<&'a Piece>,
        event_type: Option<EventType>,
    ) -> Self {
        let entry_type = entry_type.code();
        let event_type = match event_type {
            Some(event_type) => Some(event_type.code()),
            None => None,
        };
        Self { entry_type, names, event_type, row_count: 0, store_len: 0 }
    }
}

/// Fields 8 and 9 from names that may be unset.
pub(crate) fn encode_names(schema: Option<&str>, table: Option<&str>) -> Piece {
    let mut out = Vec::new();
    if let Some(schema) = schema {
        protobuf::bytes(&mut out, 8, schema.as_bytes());
    }
    if let Some(table) = table {
        protobuf::bytes(&mut out, 9, table.as_bytes());
    }
    Piece::new(&out)
}

/// Where the front of an entry lies, and what it says of the length behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front {
    /// Its first byte, and the first one behind it.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Length of the `Entry` message.
    pub(crate) entry_len: usize,
    store_len: usize,
    row_count: u32,
}

/// Encodes fronts: everything of a `Messages` field before the store value, which is tag and length
/// of the entry, header, entry type, tag and length of the store value. What one has in common with
/// the one before it is kept encoded.
#[derive(Debug)]
pub(crate) struct FrontWriter {
    file: Option<Arc<str>>,
    /// Header fields 1 and 2 for `file`, and the tag of field 3.
    head: Piece,
    moment: Option<(u32, u32)>,
    /// Header fields 4 to 7 for the server id and second in `moment`.
    middle: Piece,
    /// A count of rows, and the property that says it.
    rows: (u32, Piece),
    no_names: Piece,
    scratch: Vec<u8>,
}

impl Default for FrontWriter {
    fn default() -> Self {
        Self {
            file: None,
            head: Piece::new(&[]),
            moment: None,
            middle: Piece::new(&[]),
            rows: (0, Piece::new(&[])),
            no_names: encode_names(Some(""), Some("")),
            scratch: Vec::new(),
        }
    }
}

impl FrontWriter {
    /// Appends a front.
    pub(crate) fn write(
        &mut self,
        out: &mut Arena,
        (origin, gtid): (&Origin<'_>, &GtidProps),
        parts: &FrontParts<'_>,
    ) -> Front {
        self.prepare(origin, parts.row_count);
        let lens = self.lens((origin, gtid), parts);
        let start = out.len();
        let put = Put(out.room(lens.front + 2 * SLACK));
        let len = self.put(put, (origin, gtid), parts, lens).unwrap_or_else(no_room);
        out.advance(len);
        Front {
            start,
            end: start + len,
            entry_len: lens.entry,
            store_len: parts.store_len,
            row_count: parts.row_count,
        }
    }

    /// Makes a front that was written before the store value tell the truth, now that `parts` does:
    /// row count and length are known.
    pub(crate) fn correct(
        &mut self,
        out: &mut Arena,
        front: &mut Front,
        (origin, gtid): (&Origin<'_>, &GtidProps),
        parts: &FrontParts<'_>,
    ) {
        let entry_len = front.entry_len + parts.store_len - front.store_len;
        let len_of = |len| protobuf::varint_len(protobuf::len64(len));
        if front.row_count == parts.row_count
            && len_of(front.entry_len) == len_of(entry_len)
            && len_of(front.store_len) == len_of(parts.store_len)
        {
            let written = out.written_mut();
            let mut patch = |at: usize, len: usize| {
                let to = written.get_mut(at..at + len_of(len)).unwrap_or_default();
                protobuf::put_varint(to, len).unwrap_or_else(no_room)
            };
            patch(front.start + 1, entry_len);
            patch(front.end - len_of(parts.store_len), parts.store_len);
            front.entry_len = entry_len;
            return;
        }
        self.prepare(origin, parts.row_count);
        let lens = self.lens((origin, gtid), parts);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(lens.front + 2 * SLACK, 0);
        let put = Put(&mut scratch);
        let len = self.put(put, (origin, gtid), parts, lens).unwrap_or_else(no_room);
        out.resize_gap(front.start, front.end - front.start, len);
        let gap = out.written_mut().get_mut(front.start..front.start + len).unwrap_or_default();
        gap.copy_from_slice(scratch.get(..len).unwrap_or_default());
        self.scratch = scratch;
        front.end = front.start + len;
        front.entry_len = lens.entry;
    }

    #[inline]
    fn prepare(&mut self, origin: &Origin<'_>, row_count: u32) {
        if !self.file.as_ref().is_some_and(|file| Arc::ptr_eq(file, origin.file)) {
            self.set_file(origin.file);
        }
        let moment = (origin.server_id, origin.timestamp_s);
        if self.moment != Some(moment) {
            self.set_moment(moment);
        }
        if self.rows.0 != row_count && row_count > 0 {
            self.set_rows(row_count);
        }
    }

    #[cold]
    fn set_file(&mut self, file: &Arc<str>) {
        self.file = Some(Arc::clone(file));
        let mut out = Vec::new();
        protobuf::int(&mut out, 1, 1);
        protobuf::bytes(&mut out, 2, file.as_bytes());
        out.push(3 << 3);
        self.head = Piece::new(&out);
    }

    #[cold]
    fn set_moment(&mut self, (server_id, timestamp_s): (u32, u32)) {
        self.moment = Some((server_id, timestamp_s));
        let out = &mut self.scratch;
        out.clear();
        protobuf::int(out, 4, u64::from(server_id));
        protobuf::bytes(out, 5, b"UTF-8");
        protobuf::int(out, 6, u64::from(timestamp_s) * 1000);
        protobuf::int(out, 7, 2);
        self.middle = Piece::new(out);
    }

    #[cold]
    fn set_rows(&mut self, row_count: u32) {
        let out = &mut self.scratch;
        out.clear();
        protobuf::pair(out, 12, b"rowsCount", itoa::Buffer::new().format(row_count).as_bytes());
        self.rows = (row_count, Piece::new(out));
    }

    #[inline]
    fn lens(&self, (origin, gtid): (&Origin<'_>, &GtidProps), parts: &FrontParts<'_>) -> Lens {
        let field = |len: usize| 1 + protobuf::varint_len(protobuf::len64(len)) + len;
        let header = self.head.len()
            + protobuf::varint_len(origin.start)
            + self.middle.len()
            + parts.names.unwrap_or(&self.no_names).len()
            + 1
            + protobuf::varint_len(u64::from(origin.event_len))
            + parts.event_type.map_or(0, |_| 2)
            + gtid.current.len()
            + if parts.row_count > 0 { self.rows.1.len() } else { 0 }
            + gtid.set.as_ref().map_or(0, |set| field(set.len()));
        let store_head = 1 + protobuf::varint_len(protobuf::len64(parts.store_len));
        let before_store = field(header) + 2 + store_head;
        let entry = before_store + parts.store_len;
        let entry_head = 1 + protobuf::varint_len(protobuf::len64(entry));
        Lens { header, entry, front: entry_head + before_store }
    }

    #[inline]
    fn put(
        &self,
        mut to: Put<'_>,
        (origin, gtid): (&Origin<'_>, &GtidProps),
        parts: &FrontParts<'_>,
        lens: Lens,
    ) -> Option<usize> {
        let room_len = to.0.len();
        to.tag(2 << 3 | 2, protobuf::len64(lens.entry))?;
        to.tag(1 << 3 | 2, protobuf::len64(lens.header))?;
        to.piece(&self.head)?;
        to.varint(origin.start)?;
        to.piece(&self.middle)?;
        to.piece(parts.names.unwrap_or(&self.no_names))?;
        to.tag(10 << 3, u64::from(origin.event_len))?;
        if let Some(event_type) = parts.event_type {
            to.tag(11 << 3, event_type)?;
        }
        to.bytes(&gtid.current)?;
        if parts.row_count > 0 {
            to.piece(&self.rows.1)?;
        }
        if let Some(set) = &gtid.set {
            to.tag(13 << 3 | 2, protobuf::len64(set.len()))?;
            to.bytes(set.as_bytes())?;
        }
        to.tag(2 << 3, parts.entry_type)?;
        to.tag(3 << 3 | 2, protobuf::len64(parts.store_len))?;
        Some(room_len - to.0.len())
    }
}

#[derive(Debug, Clone, Copy)]
struct Lens {
    header: usize,
    entry: usize,
    front: usize,
}

/// Puts one behind the other what was measured before: to the front of this, which is what is left then.
/// May touch up to [`SLACK`] bytes behind.
struct Put<'a>(&'a mut [u8]);

impl Put<'_> {
    #[inline(always)]
    fn advance(&mut self, len: usize) -> Option<()> {
        (_, self.0) = std::mem::take(&mut self.0).split_at_mut_checked(len)?;
        Some(())
    }

    /// A tag of one byte, and a varint.
    #[inline(always)]
    fn tag(&mut self, tag: u8, value: u64) -> Option<()> {
        let [low, ..] = value.to_le_bytes();
        let to = self.0.first_chunk_mut::<3>()?;
        if value < 0x80 {
            [to[0], to[1]] = [tag, low];
            return self.advance(2);
        }
        if value < 0x4000 {
            let [first, second] = protobuf::two_bytes(value);
            *to = [tag, first, second];
            return self.advance(3);
        }
        to[0] = tag;
        self.advance(1)?;
        self.varint(value)
    }

    #[inline(always)]
    fn varint(&mut self, value: u64) -> Option<()> {
        let len = protobuf::put_varint_loose(self.0, value)?;
        self.advance(len)
    }

    #[inline(always)]
    fn piece(&mut self, piece: &Piece) -> Option<()> {
        piece.write(self.0)?;
        self.advance(piece.len())
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        if !bytes.is_empty() {
            self.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
            self.advance(bytes.len())?;
        }
        Some(())
    }
}

/// Going on would deliver a damaged entry.
#[cold]
pub(crate) fn no_room<T>() -> T {
    unreachable!("the arena makes the room that it is asked for")
}
