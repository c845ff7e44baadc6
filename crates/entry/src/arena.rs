//! Chunks of bytes that entries are written into, used again when their entries are gone.
//!
//! Chunks have one size and come back to where they were taken from, so that memory neither grows by
//! fragments nor is asked of the system again while entries stream through.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of a chunk: what is published at a time, and room for the entry that passes the mark.
pub(crate) const CHUNK_LEN: usize = (512 + 64) << 10;

/// Chunks that are kept for later; as many as a store of the default size has.
const KEPT_MAX: usize = 56;

/// Pieces shorter than this are what arrives when little does.
const LITTLE_LEN: usize = 8 << 10;

/// Chunks that have come back.
#[derive(Debug, Default)]
struct Pool {
    free: Mutex<Vec<Vec<u8>>>,
    /// Bytes of the copies that live.
    copied: AtomicUsize,
}

impl Pool {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        let found = self.free().pop();
        found.unwrap_or_else(|| vec![0; CHUNK_LEN])
    }

    fn give_back(&self, chunk: Vec<u8>) {
        let kept_max = self.kept_max();
        let mut free = self.free();
        if free.len() < kept_max {
            free.push(chunk);
        }
    }

    /// Chunks and copies together are what a store holds.
    fn kept_max(&self) -> usize {
        KEPT_MAX.saturating_sub(self.copied.load(Ordering::Relaxed).div_ceil(CHUNK_LEN))
    }

    /// A copy of what is too short for a chunk. Chunks are kept beside it as far as memory allows: one
    /// that goes back to the system comes again from elsewhere, and leaves a gap.
    fn copy(self: &Arc<Self>, from: &[u8]) -> Bytes {
        self.copied.fetch_add(from.len(), Ordering::Relaxed);
        let kept_max = self.kept_max();
        let mut free = self.free();
        let over = free.len().saturating_sub(kept_max);
        // Little arrives: what a rush has left is given back to the system bit by bit.
        let count = over + usize::from(from.len() < LITTLE_LEN);
        let kept = free.len().saturating_sub(count);
        free.truncate(kept);
        drop(free);
        Bytes::from_owner(Copied { bytes: from.into(), pool: Arc::clone(self) })
    }
}

/// Bytes that were copied out.
#[derive(Debug)]
struct Copied {
    bytes: Box<[u8]>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.pool.copied.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// A filled chunk; dropping it gives it back.
#[derive(Debug)]
struct Filled {
    bytes: Vec<u8>,
    len: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.pool.give_back(mem::take(&mut self.bytes));
    }
}

/// Bytes that are appended to, and taken from the front in whole chunks.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    /// Initialised in full: what lies behind `len` is free, and may hold anything.
    bytes: Vec<u8>,
    len: usize,
    pool: Arc<Pool>,
}

impl Arena {
    /// Bytes written.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The bytes written.
    #[inline]
    pub(crate) fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes written, to be changed.
    #[inline]
    pub(crate) fn written_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// What is free behind the bytes written: at least `need` bytes.
    #[inline]
    pub(crate) fn room(&mut self, need: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < need {
            self.grow(need);
        }
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, need: usize) {
        if self.bytes.is_empty() {
            self.bytes = self.pool.take();
        }
        let least = self.len + need;
        if least > self.bytes.len() {
            self.bytes.resize(least.max(2 * self.bytes.len()), 0);
        }
    }

    /// Counts bytes as written that were put into [`Self::room`].
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.len = (self.len + count).min(self.bytes.len());
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn extend(&mut self, from: &[u8]) {
        if let Some(to) = self.room(from.len()).get_mut(..from.len()) {
            to.copy_from_slice(from);
        }
        self.advance(from.len());
    }

    /// Appends bytes whose content comes later.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        self.room(count);
        self.advance(count);
    }

    /// Appends a copy of bytes that were written.
    #[inline]
    pub(crate) fn repeat(&mut self, from: std::ops::Range<usize>) {
        let (count, to) = (from.len(), self.len);
        self.room(count);
        self.bytes.copy_within(from, to);
        self.advance(count);
    }

    /// Moves bytes that were written to an earlier place.
    pub(crate) fn copy_back(&mut self, from: std::ops::Range<usize>, to: usize) {
        if from.end <= self.len && to <= from.start {
            self.bytes.copy_within(from, to);
        }
    }

    /// Forgets what was written behind `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes a gap of `old` bytes at `start` one of `new` bytes: what lies behind it moves.
    pub(crate) fn resize_gap(&mut self, start: usize, old: usize, new: usize) {
        if new == old {
            return;
        }
        self.room(new.saturating_sub(old));
        self.bytes.copy_within(start + old..self.len, start + new);
        self.len = self.len + new - old;
    }

    /// Takes the first `len` bytes out; and how much memory they keep beside themselves.
    pub(crate) fn take(&mut self, len: usize) -> (Bytes, usize) {
        let len = len.min(self.len);
        let (front, rest) = self.written().split_at_checked(len).unwrap_or_default();
        // A store would be full of chunks that are nearly empty.
        if front.len() < CHUNK_LEN / 2 {
            let taken = self.pool.copy(front);
            self.bytes.copy_within(len..self.len, 0);
            self.len -= len;
            return (taken, 0);
        }
        let mut next = self.pool.take();
        if next.len() < rest.len() {
            next.resize(rest.len(), 0);
        }
        if let Some(to) = next.get_mut(..rest.len()) {
            to.copy_from_slice(rest);
        }
        self.len = rest.len();
        let mut bytes = mem::replace(&mut self.bytes, next);
        if bytes.len() == CHUNK_LEN {
            let filled = Filled { bytes, len, pool: Arc::clone(&self.pool) };
            return (Bytes::from_owner(filled), CHUNK_LEN - len);
        }
        // A large entry made it grow.
        bytes.truncate(len);
        bytes.shrink_to_fit();
        (Bytes::from(bytes), 0)
    }
}
