//! The ring of encoded entries between a source and its clients: bounded in bytes, read by one
//! pointer, freed by another.
//!
//! A state machine without I/O. Entries have sequence numbers from 0; `ack <= get <= put` holds.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use towpath_coordination::{BinlogFile, Cursor, Resume};
use towpath_entry::{Block, Context, EntryInfo, EntryKind};

use crate::figures::Amount;

/// Bytes of entries that a destination holds unless configured otherwise.
pub const DEFAULT_CAPACITY_BYTES: usize = 32 << 20;

/// What a client's fetch size of 1 stands for in [`BatchMode::MemSize`], in bytes.
pub const UNIT_BYTES: usize = 1024;

/// The fetch size in place of one that is not positive.
const DEFAULT_FETCH_SIZE: usize = 1000;

/// Bytes counted for a block beside its entries.
const BLOCK_OVERHEAD_BYTES: usize = 128;

/// How a client's fetch size is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchMode {
    /// Kibibytes of entries.
    #[default]
    MemSize,
    /// A count of entries.
    ItemSize,
}

/// Where a DDL entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DdlIsolation {
    /// Into a batch with others.
    #[default]
    Together,
    /// Into a batch of its own.
    Alone,
}

/// Settings of a destination's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes that may lie in the store; one block more than that when a block is larger.
    pub capacity_bytes: usize,
    /// How fetch sizes are read.
    pub mode: BatchMode,
    /// What becomes of DDL.
    pub ddl: DdlIsolation,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: DEFAULT_CAPACITY_BYTES,
            mode: BatchMode::default(),
            ddl: DdlIsolation::default(),
        }
    }
}

#[derive(Debug)]
struct Slot {
    block: Block,
    first: u64,
    cost_bytes: usize,
    /// The file that its entries are from.
    of: Option<Arc<BinlogFile>>,
}

impl Slot {
    const fn end(&self) -> u64 {
        self.first.saturating_add(self.block.entries.len() as u64)
    }
}

/// Entries taken for a batch: slices of the store's blocks, nothing copied.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The entries, each with tag and length as in a `Messages` packet.
    pub(crate) slices: Vec<Bytes>,
    /// Bytes of all slices.
    pub(crate) len: usize,
    /// Sequence number of the first entry.
    pub(crate) first: u64,
    /// Sequence number behind the last entry.
    pub(crate) end: u64,
    /// The last transaction end, or statement between two transactions, among them: what an ack moves
    /// the cursor to.
    pub(crate) ack: Option<Cursor>,
    /// How much it is.
    pub(crate) amount: Amount,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    options: StoreOptions,
    slots: VecDeque<Slot>,
    put: u64,
    get: u64,
    ack: u64,
    held_bytes: usize,
    /// The file that blocks come from now.
    of: Option<Arc<BinlogFile>>,
}

impl Store {
    pub(crate) const fn new(options: StoreOptions) -> Self {
        Self { options, slots: VecDeque::new(), put: 0, get: 0, ack: 0, held_bytes: 0, of: None }
    }

    /// Blocks come from this file from now on.
    pub(crate) fn read_from(&mut self, of: Arc<BinlogFile>) {
        self.of = Some(of);
    }

    /// The file that blocks come from, if it is this one.
    pub(crate) fn file_of(&self, file: &str) -> Option<Arc<BinlogFile>> {
        self.of.clone().filter(|of| *of.file == *file)
    }

    /// Adds a block, or gives it back when there is no room. An empty store takes any block.
    pub(crate) fn push(&mut self, block: Block) -> Result<(), Block> {
        if block.entries.is_empty() {
            return Ok(());
        }
        let cost_bytes = cost_bytes(&block);
        let full = self.held_bytes.saturating_add(cost_bytes) > self.options.capacity_bytes;
        if full && !self.slots.is_empty() {
            return Err(block);
        }
        let first = self.put;
        self.put = first.saturating_add(block.entries.len() as u64);
        self.held_bytes = self.held_bytes.saturating_add(cost_bytes);
        let of = self.of.clone();
        self.slots.push_back(Slot { block, first, cost_bytes, of });
        Ok(())
    }

    /// Takes what a fetch size asks for, at least one entry; `None` when nothing is there.
    pub(crate) fn take(&mut self, fetch_size: i32) -> Option<Taken> {
        let mut limit = Limit::new(self.options, fetch_size);
        let (first, mut slices, mut boundary) = (self.get, Vec::new(), None);
        let mut amount = Amount::default();
        let start = self.slots.partition_point(|slot| slot.end() <= first);
        for slot in self.slots.iter().skip(start) {
            let skip = usize::try_from(self.get.saturating_sub(slot.first)).unwrap_or(usize::MAX);
            let rest = slot.block.entries.get(skip..).unwrap_or_default();
            let count = rest.iter().take_while(|entry| limit.admits(entry)).count();
            let taken = rest.get(..count).unwrap_or_default();
            let Some(last) = taken.last() else { break };
            let from = skip.checked_sub(1).and_then(|index| slot.block.entries.get(index));
            slices.push(slot.block.bytes.slice(from.map_or(0, |entry| entry.end)..last.end));
            if let Some(entry) = taken.iter().rev().find(|entry| is_boundary(entry)) {
                boundary = Some((&slot.block, entry));
            }
            amount.add(taken);
            self.get = self.get.saturating_add(count as u64);
            if count < rest.len() {
                break;
            }
        }
        if self.get == first {
            return None;
        }
        let ack = boundary.and_then(|(block, entry)| cursor_at(block, entry));
        let len = slices.iter().map(Bytes::len).sum();
        Some(Taken { slices, len, first, end: self.get, ack, amount })
    }

    /// True when all that there ever was is acknowledged.
    pub(crate) const fn is_all_acknowledged(&self) -> bool {
        self.ack == self.put
    }

    /// True when there is something to take.
    pub(crate) const fn has_more(&self) -> bool {
        self.get < self.put
    }

    /// The next entry to take.
    pub(crate) const fn get_sequence(&self) -> u64 {
        self.get
    }

    /// The first entry that is not acknowledged.
    pub(crate) const fn ack_sequence(&self) -> u64 {
        self.ack
    }

    /// Behind the last entry that was added.
    pub(crate) const fn put_sequence(&self) -> u64 {
        self.put
    }

    /// Its settings.
    pub(crate) const fn options(&self) -> StoreOptions {
        self.options
    }

    /// Bytes held.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Everything before `sequence` is acknowledged: frees the blocks that have nothing else. True
    /// when one was freed.
    pub(crate) fn ack(&mut self, sequence: u64) -> bool {
        self.ack = self.ack.max(sequence.min(self.get));
        let before = self.slots.len();
        while self.slots.front().is_some_and(|slot| slot.end() <= self.ack) {
            if let Some(slot) = self.slots.pop_front() {
                self.held_bytes = self.held_bytes.saturating_sub(slot.cost_bytes);
            }
        }
        self.slots.len() < before
    }

    /// Adds to the cursor of a batch, which ends before the entry `end`, what its entries say beside their place:
    /// only a cursor that counts needs it.
    pub(crate) fn tell(&self, end: u64, cursor: &mut Cursor) {
        let Some(resume) = &mut cursor.resume else { return };
        let behind = self.slots.partition_point(|slot| slot.first < end);
        for slot in self.slots.iter().take(behind).rev() {
            let count = usize::try_from(end.saturating_sub(slot.first)).unwrap_or(usize::MAX);
            let taken = slot.block.entries.get(..count).unwrap_or(&slot.block.entries);
            if let Some(entry) = taken.iter().rev().find(|entry| is_boundary(entry)) {
                resume.of = slot.of.clone().filter(|of| *of.file == *resume.file);
                resume.xid = xid(&slot.block, entry);
                return;
            }
        }
    }

    /// The entries from `sequence` on are taken again. What is acknowledged stays so.
    pub(crate) fn rewind(&mut self, sequence: u64) {
        self.get = self.get.min(sequence.max(self.ack));
    }
}

/// What a batch may still take.
struct Limit {
    mode: BatchMode,
    ddl: DdlIsolation,
    max: usize,
    sum: usize,
    state: Filling,
}

#[derive(PartialEq, Eq)]
enum Filling {
    Empty,
    Started,
    Closed,
}

impl Limit {
    fn new(options: StoreOptions, fetch_size: i32) -> Self {
        let size = usize::try_from(fetch_size).ok().filter(|size| *size > 0);
        let size = size.unwrap_or(DEFAULT_FETCH_SIZE);
        let max = match options.mode {
            BatchMode::MemSize => size.saturating_mul(UNIT_BYTES).min(options.capacity_bytes),
            BatchMode::ItemSize => size,
        };
        Self { mode: options.mode, ddl: options.ddl, max, sum: 0, state: Filling::Empty }
    }

    /// Whether the entry goes into the batch, counting it if so. Canal adds while the sum so far is
    /// within the limit, so a batch overshoots by one entry.
    fn admits(&mut self, entry: &EntryInfo) -> bool {
        let alone = self.ddl == DdlIsolation::Alone && entry.kind == EntryKind::Ddl;
        let fits = match (&self.state, self.mode) {
            (Filling::Empty, _) => true,
            (Filling::Closed, _) => false,
            (Filling::Started, _) if alone => false,
            (Filling::Started, BatchMode::MemSize) => self.sum <= self.max,
            (Filling::Started, BatchMode::ItemSize) => self.sum < self.max,
        };
        if fits {
            let weight = match self.mode {
                BatchMode::MemSize => entry.entry_len,
                BatchMode::ItemSize => 1,
            };
            self.sum = self.sum.saturating_add(weight);
            self.state = if alone { Filling::Closed } else { Filling::Started };
        } else {
            // Blocks are asked one by one: what was refused in one must not be admitted by the next.
            self.state = Filling::Closed;
        }
        fits
    }
}

fn cost_bytes(block: &Block) -> usize {
    let infos = block.entries.capacity().saturating_mul(size_of::<EntryInfo>());
    let contexts = block
        .contexts
        .iter()
        .map(|context| size_of::<Context>() + context.gtid.as_ref().map_or(0, |gtid| gtid.len()));
    let facts = infos.saturating_add(contexts.sum());
    let bytes = block.bytes.len().saturating_add(block.spare_bytes);
    bytes.saturating_add(facts).saturating_add(BLOCK_OVERHEAD_BYTES)
}

const fn is_boundary(entry: &EntryInfo) -> bool {
    match entry.kind {
        EntryKind::End | EntryKind::Ddl | EntryKind::Statement => true,
        EntryKind::Begin | EntryKind::Rows | EntryKind::Query | EntryKind::Annotation => false,
    }
}

fn cursor_at(block: &Block, entry: &EntryInfo) -> Option<Cursor> {
    let Context { file, gtid } = block.context(entry)?;
    Some(Cursor {
        file: Arc::clone(file),
        offset: entry.start_offset,
        gtid: gtid.clone().unwrap_or_default(),
        server_id: entry.server_id,
        timestamp_ms: entry.execute_time_ms,
        resume: Some(Resume {
            file: Arc::clone(file),
            offset: entry.end_offset,
            gtid: gtid.clone(),
            of: None,
            xid: None,
        }),
    })
}

/// Digits of the longest number of a transaction, its sign included.
const XID_LEN_MAX: usize = 20;

/// The number of a transaction, which its end tells: `transactionId` (2) of `TransactionEnd`, the last bytes of
/// the entry. It is looked for from there, since this is done for every batch.
fn xid(block: &Block, entry: &EntryInfo) -> Option<i64> {
    if entry.kind != EntryKind::End {
        return None;
    }
    let bytes = block.bytes.get(entry.end.checked_sub(entry.entry_len)?..entry.end)?;
    let is_digit = |byte: &&u8| byte.is_ascii_digit() || **byte == b'-';
    let len = bytes.iter().rev().take(XID_LEN_MAX).take_while(is_digit).count();
    let (front, digits) = bytes.split_at_checked(bytes.len() - len)?;
    let [.., tag, told] = front else { return None };
    if *tag != 2 << 3 | 2 || usize::from(*told) != len {
        return None;
    }
    // `0` stands for none.
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|xid| *xid != 0)
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
