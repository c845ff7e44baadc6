//! What the decoder hands on: finished entries, lying one behind the other.

use std::sync::Arc;

use bytes::Bytes;

/// What an entry is, as far as batching and acknowledging depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// `TRANSACTIONBEGIN`.
    Begin,
    /// `ROWDATA` of a rows event, or of an INSERT, UPDATE or DELETE logged as a statement.
    Rows,
    /// `ROWDATA` of CREATE, ALTER, ERASE, TRUNCATE, RENAME, CINDEX or DINDEX.
    Ddl,
    /// `ROWDATA` of any other type inside a transaction: QUERY.
    Query,
    /// `ROWDATA` of type QUERY with the statement behind the row changes that follow: of a ROWS_QUERY or
    /// ANNOTATE_ROWS event.
    Annotation,
    /// As [`Self::Query`], but between two transactions, also XACOMMIT and XAROLLBACK: reading can go on
    /// behind it.
    Statement,
    /// `TRANSACTIONEND`.
    End,
}

/// The facts about one entry that the store needs without parsing it. Plain numbers: what many
/// entries share is in a [`Context`].
#[derive(Debug, Clone, Copy)]
pub struct EntryInfo {
    /// Where the entry's `Messages` field (tag, length, bytes) ends in [`Block::bytes`]; it starts
    /// where its predecessor ends (the first one at 0).
    pub end: usize,
    /// Length in bytes of the `Entry` message alone, without tag and length.
    pub entry_len: usize,
    /// Offset in the file at which the event starts.
    pub start_offset: u64,
    /// Offset in the file at which the next event starts: where reading goes on after this entry.
    pub end_offset: u64,
    /// Time of the event, milliseconds since 1970.
    pub execute_time_ms: i64,
    /// Server id of the event header.
    pub server_id: u32,
    /// Row changes in the entry (0 when it has none).
    pub row_count: u32,
    /// Index of its [`Context`] in [`Block::contexts`].
    pub context: u32,
    /// What the entry is.
    pub kind: EntryKind,
}

/// What entries one behind the other have in common.
#[derive(Debug, Clone)]
pub struct Context {
    /// Binlog file of the events.
    pub file: Arc<str>,
    /// The executed GTID set including the transaction, in GTID mode.
    pub gtid: Option<Arc<str>>,
}

/// Entries in stream order, encoded as they lie in a `Messages` packet: each one as field 2 (tag
/// `0x12`, varint length, `Entry` bytes). A range of entries is one contiguous slice.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// The encoded fields.
    pub bytes: Bytes,
    /// One element an entry, in order.
    pub entries: Vec<EntryInfo>,
    /// What entries refer to, in the order of the first one that does.
    pub contexts: Vec<Context>,
    /// Memory that `bytes` keeps behind its end.
    pub spare_bytes: usize,
}

impl Block {
    /// The `Entry` messages one by one, without tag and length.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|entry| {
            let start = entry.end.saturating_sub(entry.entry_len);
            self.bytes.get(start..entry.end).unwrap_or_default()
        })
    }

    /// File and GTID set of one of its entries.
    #[must_use]
    pub fn context(&self, entry: &EntryInfo) -> Option<&Context> {
        self.contexts.get(usize::try_from(entry.context).ok()?)
    }
}
