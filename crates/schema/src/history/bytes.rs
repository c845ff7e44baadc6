//! Numbers and texts of a record.

use super::HistoryError;

/// Counts have 32 bits.
pub(super) fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) const fn error(&self, what: &'static str) -> HistoryError {
        HistoryError { offset: self.offset, what }
    }

    pub(super) fn take<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], HistoryError> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.error(what));
        };
        self.bytes = rest;
        self.offset += N;
        Ok(*head)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, HistoryError> {
        self.take::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, HistoryError> {
        self.take(what).map(u32::from_le_bytes)
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, HistoryError> {
        let len = usize::try_from(self.u32(what)?).unwrap_or(usize::MAX);
        let Some((head, rest)) = self.bytes.split_at_checked(len) else {
            return Err(self.error(what));
        };
        let Ok(text) = std::str::from_utf8(head) else { return Err(self.error(what)) };
        self.bytes = rest;
        self.offset += len;
        Ok(text)
    }

    pub(super) fn string(&mut self, what: &'static str) -> Result<String, HistoryError> {
        self.text(what).map(str::to_owned)
    }

    /// Nothing is reserved: each item takes bytes of its own.
    pub(super) fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, HistoryError>,
    ) -> Result<Vec<T>, HistoryError> {
        let count = self.u32("count")?;
        (0..count).map(|_| item(self)).collect()
    }
}
