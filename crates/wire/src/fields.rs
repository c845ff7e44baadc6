//! Protobuf's fields, as far as this protocol needs them.

use crate::packet::PacketError;

/// The value of one field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) const fn int64(self, field: u32) -> Result<i64, PacketError> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            Self::Fixed | Self::Bytes(_) => Err(PacketError::WireType { field }),
        }
    }

    /// The low 32 bits: negative numbers travel as ten bytes.
    pub(crate) const fn int32(self, field: u32) -> Result<i32, PacketError> {
        match self {
            Self::Varint(value) => {
                let [a, b, c, d, ..] = value.to_le_bytes();
                Ok(i32::from_le_bytes([a, b, c, d]))
            }
            Self::Fixed | Self::Bytes(_) => Err(PacketError::WireType { field }),
        }
    }

    pub(crate) const fn boolean(self, field: u32) -> Result<bool, PacketError> {
        match self {
            Self::Varint(value) => Ok(value != 0),
            Self::Fixed | Self::Bytes(_) => Err(PacketError::WireType { field }),
        }
    }

    pub(crate) const fn bytes(self, field: u32) -> Result<&'a [u8], PacketError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Fixed | Self::Varint(_) => Err(PacketError::WireType { field }),
        }
    }

    pub(crate) fn string(self, field: u32) -> Result<&'a str, PacketError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| PacketError::NotUtf8 { field })
    }
}

/// Walks the fields of a message.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, len: message.len() }
    }

    const fn truncated(&self) -> PacketError {
        PacketError::Truncated { offset: self.len - self.rest.len() }
    }

    fn varint(&mut self) -> Result<u64, PacketError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(self.truncated())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    /// Number and value of the next field.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, PacketError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.len - self.rest.len();
        let key = self.varint()?;
        let field = u32::try_from(key >> 3).unwrap_or(0);
        if field == 0 || field >= 1 << 29 {
            return Err(PacketError::Key { offset });
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| self.truncated())?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(PacketError::Key { offset }),
        };
        Ok(Some((field, value)))
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Bytes of a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

/// Appends an integer field.
pub(crate) fn put_int(out: &mut Vec<u8>, field: u8, value: Option<i64>) {
    if let Some(value) = value {
        out.push(field << 3);
        put_varint(out, value.cast_unsigned());
    }
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(field << 3 | 2);
        put_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// Appends a field of text.
pub(crate) fn put_text(out: &mut Vec<u8>, field: u8, value: Option<&str>) {
    put_bytes(out, field, value.map(str::as_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_the_length_that_is_predicted() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                let mut fields = Fields::new(&out);
                assert_eq!(fields.varint().unwrap(), value);
                assert!(fields.rest.is_empty());
            }
        }
    }
}
