//! A cursor over untrusted bytes: every read is checked, nothing is copied.

use crate::error::ParseError;

/// Reads little-endian fields from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// The bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True when everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[cold]
    fn truncated(&self, field: &'static str, need: usize) -> ParseError {
        ParseError::Truncated { field, offset: self.offset(), need, left: self.rest.len() }
    }

    /// An error that names the field at the current offset.
    #[cold]
    #[must_use]
    pub fn invalid(&self, field: &'static str, value: u64, expected: &'static str) -> ParseError {
        ParseError::Invalid { field, offset: self.offset(), value, expected }
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer are left.
    #[inline]
    pub fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(field, len));
        };
        self.rest = rest;
        Ok(head)
    }

    /// Takes exactly `N` bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(field, N));
        };
        self.rest = rest;
        Ok(*head)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        self.array::<1>(field).map(|[b]| b)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn u24(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array::<3>(field).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn i8(&mut self, field: &'static str) -> Result<i8, ParseError> {
        self.array(field).map(i8::from_le_bytes)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn i16(&mut self, field: &'static str) -> Result<i16, ParseError> {
        self.array(field).map(i16::from_le_bytes)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn i24(&mut self, field: &'static str) -> Result<i32, ParseError> {
        self.array(field).map(|[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn i32(&mut self, field: &'static str) -> Result<i32, ParseError> {
        self.array(field).map(i32::from_le_bytes)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn i64(&mut self, field: &'static str) -> Result<i64, ParseError> {
        self.array(field).map(i64::from_le_bytes)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn u48(&mut self, field: &'static str) -> Result<u64, ParseError> {
        self.uint(6, field)
    }

    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// An unsigned little-endian integer of `len` bytes (0 to 8).
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Invalid`] for a `len` above 8.
    #[inline]
    pub fn uint(&mut self, len: usize, field: &'static str) -> Result<u64, ParseError> {
        let bytes = self.bytes(len, field)?;
        let mut out = [0; 8];
        match out.get_mut(..len) {
            Some(low) => low.copy_from_slice(bytes),
            None => return Err(self.invalid(field, 9, "an integer of at most 8 bytes")),
        }
        Ok(u64::from_le_bytes(out))
    }

    /// A length-encoded integer: 1, 3, 4 or 9 bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Invalid`] for the markers `fb` and `ff`.
    #[inline]
    pub fn lenenc(&mut self, field: &'static str) -> Result<u64, ParseError> {
        match self.u8(field)? {
            byte @ 0..=0xfa => Ok(u64::from(byte)),
            0xfc => self.u16(field).map(u64::from),
            0xfd => self.u24(field).map(u64::from),
            0xfe => self.u64(field),
            byte @ (0xfb | 0xff) => {
                Err(self.invalid(field, u64::from(byte), "a length-encoded integer"))
            }
        }
    }

    /// A length-encoded integer that counts bytes or things in this event.
    ///
    /// # Errors
    /// As [`Self::lenenc`]; [`ParseError::Truncated`] when it is larger than the bytes left.
    #[inline]
    pub fn lenenc_len(&mut self, field: &'static str) -> Result<usize, ParseError> {
        let value = self.lenenc(field)?;
        usize::try_from(value).map_err(|_| self.truncated(field, usize::MAX))
    }

    /// Bytes behind a length-encoded length.
    ///
    /// # Errors
    /// As [`Self::lenenc`] and [`Self::bytes`].
    #[inline]
    pub fn lenenc_bytes(&mut self, field: &'static str) -> Result<&'a [u8], ParseError> {
        let len = self.lenenc_len(field)?;
        self.bytes(len, field)
    }

    /// Everything that is left.
    #[inline]
    pub const fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Bytes up to a NUL, which is consumed too; everything when there is none.
    pub fn nul_terminated(&mut self) -> &'a [u8] {
        match self.rest.iter().position(|&b| b == 0) {
            Some(at) => {
                let (head, rest) = self.rest.split_at(at);
                self.rest = rest.get(1..).unwrap_or_default();
                head
            }
            None => self.take_rest(),
        }
    }
}
