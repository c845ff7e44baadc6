//! The arena of entries and Canal's grouping of them (entry-format 2.8).

use std::sync::Arc;

use crate::arena::{Arena, CHUNK_LEN};
use crate::block::{Block, Context, EntryInfo, EntryKind};
use crate::message::Origin;

/// Entries that are held of a transaction at most until its end is known.
const HELD_MAX: usize = 16 << 10;
/// Entries that a group holds before it is handed on unfinished.
const GROUP_MAX: usize = 1024;
/// Bytes of an open group that are handed on before its end: it has rows, so it will not be swallowed.
const OPEN_BYTES_MAX: usize = 256 << 10;
/// Bytes of finished groups that are enough for a block, and those that an entry may want beside its own.
const FULL_LEN: usize = 512 << 10;
const NEXT_SLACK: usize = 4 << 10;
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
    /// What the entries refer to; the last one is that of the last entry.
    contexts: Vec<Context>,
    ready: usize,
    ready_bytes: usize,
    /// What may be taken of it: all, unless a transaction is held.
    free: usize,
    free_bytes: usize,
    hold: Hold,
    /// How long the arena is with another entry like the last one; 0 while nothing is finished.
    next_len: usize,
    /// Entries of the open group, those included that were handed on.
    group_len: usize,
    /// The transaction at hand has an entry beside its begin, which may have been taken: its end is delivered.
    has_content: bool,
    empty: Throttle,
}

/// Whether finished groups may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Hold {
    #[default]
    Nothing,
    /// What came since stays: it may have to be taken back.
    Since,
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
    #[inline]
    pub(crate) fn push(&mut self, info: EntryInfo) {
        let (kind, entry_len) = (info.kind, info.entry_len);
        self.infos.push(info);
        self.group_len += 1;
        match kind {
            EntryKind::Begin => {}
            EntryKind::Rows => {
                self.has_content = true;
                if self.group_len >= GROUP_MAX {
                    self.close_group();
                } else if self.bytes.len() - self.ready_bytes >= OPEN_BYTES_MAX {
                    self.hand_on();
                }
            }
            EntryKind::Query | EntryKind::Annotation => {
                self.has_content = true;
                self.close_group();
            }
            EntryKind::Ddl | EntryKind::Statement => {
                self.has_content = true;
                self.end_group();
            }
            EntryKind::End => self.end_group(),
        }
        let next_len = self.bytes.len() + entry_len + NEXT_SLACK;
        self.next_len = if self.free > 0 { next_len } else { 0 };
    }

    /// From here on nothing may be taken, until [`Self::release`].
    pub(crate) const fn hold(&mut self) {
        self.hold = Hold::Since;
    }

    /// What was held may be taken.
    pub(crate) const fn release(&mut self) {
        self.hold = Hold::Nothing;
        self.free = self.ready;
        self.free_bytes = self.ready_bytes;
    }

    /// More is held than may stay in memory: `max_bytes` of entries, or [`HELD_MAX`] of them.
    #[inline]
    pub(crate) const fn holds_too_much(&self, max_bytes: usize) -> bool {
        matches!(self.hold, Hold::Since)
            && (self.bytes.len() - self.free_bytes > max_bytes
                || self.infos.len() - self.free > HELD_MAX)
    }

    /// Takes back the row changes of the transaction that is held whose events start at `since` or behind and
    /// are rolled back, and the text that goes with them. Statements stay, and the variables that they read: it
    /// is not written which tables they changed.
    pub(crate) fn retract(&mut self, since: u64, is_rolled_back: impl Fn(u64) -> bool) {
        let is_gone = |info: &EntryInfo| {
            let is_of_rows = match info.kind {
                EntryKind::Rows => info.row_count > 0,
                EntryKind::Annotation => true,
                EntryKind::Begin
                | EntryKind::Ddl
                | EntryKind::Query
                | EntryKind::Statement
                | EntryKind::End => false,
            };
            is_of_rows && is_rolled_back(info.start_offset)
        };
        let held = self.infos.get(self.free..).unwrap_or_default();
        // From the end: a savepoint that is rolled back to again and again must not cost all that is held.
        let before = held.iter().rposition(|info| info.start_offset < since);
        let from = before.map_or(0, |index| index + 1);
        let first = held.iter().skip(from).position(is_gone);
        let Some(first) = first.map(|index| self.free + from + index) else { return };
        let mut start =
            first.checked_sub(1).and_then(|index| self.infos.get(index)).map_or(0, |i| i.end);
        let mut to = start;
        let ready = self.ready;
        if ready > first {
            (self.ready, self.ready_bytes) = (first, start);
        }
        for (index, mut info) in (first..).zip(self.infos.split_off(first)) {
            let end = info.end;
            if !is_gone(&info) {
                self.bytes.copy_back(start..end, to);
                to += end - start;
                info.end = to;
                self.infos.push(info);
            }
            start = end;
            if index < ready {
                (self.ready, self.ready_bytes) = (self.infos.len(), to);
            }
        }
        self.bytes.truncate(to);
        let held = self.infos.get(self.free..).unwrap_or_default();
        self.has_content = held.iter().any(|info| info.kind != EntryKind::Begin);
        if !self.has_content {
            // The begin waits for what comes.
            (self.ready, self.ready_bytes) = (self.free, self.free_bytes);
        }
    }

    /// Whether the transaction at hand has an entry beside its begin, be it held or taken.
    pub(crate) const fn has_content(&self) -> bool {
        self.has_content
    }

    /// True when a transaction without rows that began at this time is delivered all the same.
    #[inline]
    pub(crate) const fn wants_empty(&mut self, first_ms: i64) -> bool {
        self.empty.is_due(first_ms)
    }

    /// Index of what the entry to be pushed has in common with others.
    #[inline]
    pub(crate) fn context(&mut self, file: &Arc<str>, gtid: Option<&Arc<str>>) -> u32 {
        let same = |context: &Context| {
            Arc::ptr_eq(&context.file, file)
                && match (&context.gtid, gtid) {
                    (None, None) => true,
                    (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                    (None, Some(_)) | (Some(_), None) => false,
                }
        };
        if !self.contexts.last().is_some_and(same) {
            self.add_context(Context { file: Arc::clone(file), gtid: gtid.cloned() });
        }
        index(self.contexts.len().saturating_sub(1))
    }

    #[cold]
    fn add_context(&mut self, context: Context) {
        self.contexts.push(context);
    }

    /// A transaction begins, or what stands between two of them is over: ends the group before.
    pub(crate) fn end_group(&mut self) {
        self.close_group();
        self.has_content = false;
    }

    fn close_group(&mut self) {
        self.group_len = 0;
        let Some(first) = self.infos.get(self.ready) else { return };
        let first_ms = first.execute_time_ms;
        if self.has_content || self.empty.is_due(first_ms) {
            if !self.has_content {
                self.empty.reset(first_ms);
            }
            self.hand_on();
        } else {
            self.drop_open();
        }
    }

    /// The transaction is over, and its end is not delivered: its last entry stands for it, so that an
    /// acknowledgement of that one counts.
    pub(crate) fn close_without_end(&mut self, origin: &Origin<'_>, gtid: Option<&Arc<str>>) {
        let is_of_file = |context: &Context| *context.file == **origin.file;
        // That of the last entry, if there is one.
        let same_file = self.contexts.last().is_some_and(is_of_file);
        let context = self.context(origin.file, gtid);
        if let Some(last) = self.infos.last_mut()
            && matches!(last.kind, EntryKind::Rows | EntryKind::Query | EntryKind::Annotation)
            && same_file
        {
            last.kind = EntryKind::End;
            last.end_offset = origin.end;
            last.context = context;
        }
        self.end_group();
    }

    fn drop_open(&mut self) {
        self.infos.truncate(self.ready);
        self.bytes.truncate(self.ready_bytes);
        // One at least: it is likely to go on.
        let used = self.infos.last().map_or(0, |info| info.context);
        self.contexts.truncate(usize::try_from(used).unwrap_or(usize::MAX).saturating_add(1));
    }

    /// Everything there is may be taken.
    const fn hand_on(&mut self) {
        self.ready = self.infos.len();
        self.ready_bytes = self.bytes.len();
        if matches!(self.hold, Hold::Nothing) {
            self.free = self.ready;
            self.free_bytes = self.ready_bytes;
        }
    }

    /// The open group is delivered, whatever is in it.
    pub(crate) const fn keep_group(&mut self) {
        self.has_content = true;
    }

    /// Drops the open group, and what is held.
    pub(crate) fn abandon_group(&mut self) {
        (self.ready, self.ready_bytes) = (self.free, self.free_bytes);
        self.hold = Hold::Nothing;
        self.drop_open();
        self.group_len = 0;
        self.has_content = false;
    }

    /// Nothing can be taken.
    pub(crate) const fn is_empty(&self) -> bool {
        self.free == 0
    }

    /// There is enough for a block: the arena would have to grow, or nearly so.
    pub(crate) const fn is_full(&self) -> bool {
        self.free_bytes >= FULL_LEN || self.next_len > CHUNK_LEN
    }

    /// Takes the finished groups.
    pub(crate) fn take(&mut self) -> Option<Block> {
        self.next_len = 0;
        if self.free == 0 {
            return None;
        }
        let (bytes, spare_bytes) = self.bytes.take(self.free_bytes);
        let (entries, contexts) = self.take_infos();
        self.ready -= self.free;
        self.ready_bytes -= self.free_bytes;
        self.free = 0;
        self.free_bytes = 0;
        Some(Block { bytes, entries, contexts, spare_bytes })
    }

    /// The facts of the finished groups. What is not finished counts from them on.
    fn take_infos(&mut self) -> (Vec<EntryInfo>, Vec<Context>) {
        let last = self.infos.get(self.free).or(self.infos.last()).map_or(0, |info| info.context);
        // Those of the open group; without one that of the last entry, which is likely to go on.
        let kept = usize::try_from(last).unwrap_or_default();
        let rest: Vec<Context> = self.contexts.get(kept..).unwrap_or_default().to_vec();
        let mut contexts = std::mem::replace(&mut self.contexts, rest);
        contexts.truncate(kept + 1);
        let open = self.infos.get(self.free..).unwrap_or_default();
        // As much room as was needed this time; a list that is mostly empty is copied instead.
        let entries = if self.free < self.infos.capacity() / 2 {
            let entries = self.infos.get(..self.free).unwrap_or_default().to_vec();
            self.infos.drain(..self.free);
            entries
        } else {
            let mut next = Vec::with_capacity(self.infos.len());
            next.extend_from_slice(open);
            let mut entries = std::mem::replace(&mut self.infos, next);
            entries.truncate(self.free);
            entries
        };
        for info in &mut self.infos {
            info.end -= self.free_bytes;
            info.context -= last;
        }
        (entries, contexts)
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
