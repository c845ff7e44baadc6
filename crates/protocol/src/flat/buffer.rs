//! Where a flat message is put together: short texts are copied as whole words, without a call.

use super::shape::SHORT;
use super::{escaped, scan};
use crate::piece::{Piece, SLACK};

/// Bytes that are appended to.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Initialised in full: what lies behind `len` may hold anything.
    bytes: Vec<u8>,
    len: usize,
    scratch: Vec<u8>,
}

impl Buffer {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    #[inline(always)]
    fn room(&mut self, need: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < need {
            self.grow(need);
        }
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, need: usize) {
        let len = (self.len + need).max(2 * self.bytes.len()).max(4096);
        self.bytes.resize(len, 0);
    }

    #[inline(always)]
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(to) = self.room(1).first_mut() {
            *to = byte;
        }
        self.len += 1;
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if let Some(to) = self.room(bytes.len()).get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self.len += bytes.len();
    }

    /// Replaces a byte that was written.
    pub(super) fn set(&mut self, at: usize, byte: u8) {
        if let Some(to) = self.bytes.get_mut(at) {
            *to = byte;
        }
    }

    /// Appends `key`, which ends with a quote, and the value: the first so many bytes of a slice.
    /// `None` when it is not UTF-8.
    #[inline(always)]
    pub(super) fn cell(&mut self, key: &Piece, value: Option<(usize, &[u8])>) -> Option<()> {
        let Some((len, from)) = value else { return self.null(key) };
        let found = scan::scan_front(from, len)?;
        if !found.is_plain() {
            return self.converted(key, from.get(..len)?, found);
        }
        let room = self.room(key.len() + len + 1 + SLACK);
        key.write(room)?;
        let at = key.len();
        match from.first_chunk::<SHORT>() {
            Some(chunk) if len <= SHORT => *room.get_mut(at..)?.first_chunk_mut()? = *chunk,
            _ => room.get_mut(at..at + len)?.copy_from_slice(from.get(..len)?),
        }
        *room.get_mut(at + len)? = b'"';
        self.len += at + len + 1;
        Some(())
    }

    /// Appends a short key, which ends with a quote, and a value of less than 128 bytes: the first so many
    /// bytes of a slice that is longer by [`SHORT`] at least. `None`, and nothing appended, when it is not
    /// plain.
    #[inline(always)]
    pub(super) fn plain_cell(
        &mut self,
        (key, key_len): (&[u8; SHORT], u8),
        value: &[u8],
        len: usize,
    ) -> Option<()> {
        const ROOM: usize = SHORT + 128 + SHORT;
        if !scan::scan_front(value, len)?.is_plain() {
            return None;
        }
        let room = self.room(ROOM).first_chunk_mut::<ROOM>()?;
        *room.first_chunk_mut()? = *key;
        let at = usize::from(key_len);
        let to = room.get_mut(at..)?;
        *to.first_chunk_mut()? = *value.first_chunk::<SHORT>()?;
        let mut copied = SHORT;
        while copied < len {
            let from = value.get(copied..)?.first_chunk::<SHORT>()?;
            *to.get_mut(copied..)?.first_chunk_mut()? = *from;
            copied += SHORT;
        }
        *to.get_mut(len)? = b'"';
        self.len += at + len + 1;
        Some(())
    }

    fn null(&mut self, key: &Piece) -> Option<()> {
        let room = self.room(key.len() + 4 + SLACK);
        key.write(room)?;
        let at = key.len().checked_sub(1)?;
        room.get_mut(at..at + 4)?.copy_from_slice(b"null");
        self.len += at + 4;
        Some(())
    }

    #[cold]
    fn converted(&mut self, key: &Piece, value: &[u8], found: scan::Found) -> Option<()> {
        if found.has_high() {
            simdutf8::basic::from_utf8(value).ok()?;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        escaped(&mut scratch, value);
        let room = self.room(key.len() + SLACK);
        key.write(room)?;
        // The key brings the quote.
        self.len += key.len();
        self.extend(scratch.get(1..).unwrap_or_default());
        self.scratch = scratch;
        Some(())
    }
}
