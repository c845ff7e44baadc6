//! Reads fields.

use thiserror::Error;

/// Bytes that are no message. Offsets count from the message's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The bytes end inside of a number or a value.
    #[error("byte {offset}: cut off")]
    CutOff {
        /// Where the number or value begins.
        offset: usize,
    },
    /// A number that has no end.
    #[error("byte {offset}: a varint of more than ten bytes")]
    Varint {
        /// Where it begins.
        offset: usize,
    },
    /// A number that no field has.
    #[error("byte {offset}: a field number out of range")]
    Number {
        /// Where the field begins.
        offset: usize,
    },
    /// A wire type that is not known: how long the field is cannot be told.
    #[error("byte {offset}: an unknown wire type")]
    WireType {
        /// Where the field begins.
        offset: usize,
    },
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Integers, flags and enums.
    Varint(u64),
    /// Four or eight bytes: no field of Canal's protocol has them.
    Fixed,
    /// Text, bytes and messages.
    Bytes(&'a [u8]),
}

/// Walks the fields of a message.
///
/// Takes any bytes. Allocates nothing.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Fields<'a> {
    /// Begins at the first field.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, len: message.len() }
    }

    /// Bytes of the message that were read.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((&low @ ..0x80, rest)) => {
                self.rest = rest;
                Ok(u64::from(low))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(VARINT_LEN_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let offset = self.offset();
        let is_long = self.rest.len() >= VARINT_LEN_MAX;
        Err(if is_long { Malformed::Varint { offset } } else { Malformed::CutOff { offset } })
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(Malformed::CutOff { offset: self.offset() })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Number and value of the next field; `None` behind the last one.
    ///
    /// # Errors
    /// [`Malformed`]: what follows cannot be read either.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset();
        let key = self.varint()?;
        let Ok(number @ 1..=NUMBER_MAX) = u32::try_from(key >> 3) else {
            return Err(Malformed::Number { offset });
        };
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed::WireType { offset }),
        };
        Ok(Some((number, value)))
    }
}

/// Bytes of the longest varint.
const VARINT_LEN_MAX: usize = 10;

/// The highest number that a field can have.
const NUMBER_MAX: u32 = (1 << 29) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_where() {
        let error = |bytes: &[u8]| Fields::new(bytes).next_field().unwrap_err();
        assert_eq!(error(&[0x80]), Malformed::CutOff { offset: 0 });
        assert_eq!(error(&[0x08, 0x80]), Malformed::CutOff { offset: 1 });
        assert_eq!(error(&[0x0a, 2, 0]), Malformed::CutOff { offset: 2 });
        assert_eq!(error(&[&[0x08][..], &[0xff; 10]].concat()), Malformed::Varint { offset: 1 });
        assert_eq!(error(&[0, 0]), Malformed::Number { offset: 0 });
        assert_eq!(error(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Malformed::Number { offset: 0 });
        assert_eq!(error(&[0x0b]), Malformed::WireType { offset: 0 });
    }
}
