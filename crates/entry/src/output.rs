//! The arena of entries and Canal's grouping of them (entry-format 2.8).

use std::sync::Arc;

use crate::arena::Arena;
use crate::block::{Block, EntryInfo, EntryKind};
use crate::message::Origin;

/// Entries that a group holds before it is handed on unfinished.
const GROUP_MAX: usize = 1024;
/// Bytes of an open group that are handed on before its end: it has rows, so it will not be swallowed.
const OPEN_BYTES_MAX: usize = 256 << 10;
/// Empty transactions that are swallowed at most, one behind the other.
const EMPTY_MAX: u32 = 8192;
/// Time after which an empty transaction is let through.
const EMPTY_INTERVAL_MS: u64 = 5000;

/// Finished groups, and the group that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Encoded entries; the open group is behind `ready_bytes`.
    pub(crate) bytes: Arena,
    infos: Vec<EntryInfo>,
    ready: usize,
    ready_bytes: usize,
    /// Entries of the open group, those included that were handed on.
    group_len: usize,
    /// The open group has a `ROWDATA`.
    has_rows: bool,
    empty: Throttle,
}

/// Lets one through when enough time or enough others have passed.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last_ms: i64,
    dropped: u32,
}

impl Throttle {
    /// True when an entry of this time is due. Does not reset.
    pub(crate) const fn is_due(&mut self, time_ms: i64) -> bool {
        self.dropped += 1;
        self.dropped > EMPTY_MAX || time_ms.abs_diff(self.last_ms) > EMPTY_INTERVAL_MS
    }

    /// Counts from here.
    pub(crate) const fn reset(&mut self, time_ms: i64) {
        self.dropped = 0;
        self.last_ms = time_ms;
    }
}

impl Output {
    /// Adds the entry whose bytes were just appended, and closes the group where Canal does. Before
    /// the bytes of a begin are appended the caller closes the group: a begin opens the next one.
    pub(crate) fn push(&mut self, info: EntryInfo) {
        let kind = info.kind;
        self.infos.push(info);
        self.group_len += 1;
        match kind {
            EntryKind::Begin => {}
            EntryKind::Rows => {
                self.has_rows = true;
                if self.group_len >= GROUP_MAX {
                    self.close_group();
                } else if self.bytes.len() - self.ready_bytes >= OPEN_BYTES_MAX {
                    self.hand_on();
                }
            }
            EntryKind::Ddl | EntryKind::Query => {
                self.has_rows = true;
                self.close_group();
            }
            EntryKind::End => self.close_group(),
        }
    }

    /// A transaction bound that is not delivered still ends the group.
    pub(crate) fn close_group(&mut self) {
        self.group_len = 0;
        let has_rows = std::mem::take(&mut self.has_rows);
        let Some(first) = self.infos.get(self.ready) else { return };
        let first_ms = first.execute_time_ms;
        if has_rows || self.empty.is_due(first_ms) {
            if !has_rows {
                self.empty.reset(first_ms);
            }
            self.hand_on();
        } else {
            self.infos.truncate(self.ready);
            self.bytes.truncate(self.ready_bytes);
        }
    }

    /// The transaction is over, and its end is not delivered: its last entry stands for it, so that an
    /// acknowledgement of that one counts.
    pub(crate) fn close_without_end(&mut self, origin: &Origin<'_>, gtid: Option<&Arc<str>>) {
        if let Some(last) = self.infos.last_mut()
            && matches!(last.kind, EntryKind::Rows | EntryKind::Query)
            && *last.file == **origin.file
        {
            last.kind = EntryKind::End;
            last.end_offset = origin.end;
            last.gtid = gtid.cloned();
        }
        self.close_group();
    }

    /// Everything there is may be taken.
    const fn hand_on(&mut self) {
        self.ready = self.infos.len();
        self.ready_bytes = self.bytes.len();
    }

    /// The open group is delivered, whatever is in it.
    pub(crate) const fn keep_group(&mut self) {
        self.has_rows = true;
    }

    /// Drops the open group.
    pub(crate) fn abandon_group(&mut self) {
        self.infos.truncate(self.ready);
        self.bytes.truncate(self.ready_bytes);
        self.group_len = 0;
        self.has_rows = false;
    }

    /// Bytes in finished groups.
    pub(crate) const fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Takes the finished groups.
    pub(crate) fn take(&mut self) -> Option<Block> {
        if self.ready == 0 {
            return None;
        }
        let bytes = self.bytes.take(self.ready_bytes);
        let open = self.infos.split_off(self.ready);
        let entries = std::mem::replace(&mut self.infos, open);
        for info in &mut self.infos {
            info.end -= self.ready_bytes;
        }
        self.ready = 0;
        self.ready_bytes = 0;
        Some(Block { bytes, entries })
    }
}
