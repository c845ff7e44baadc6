//! Fields as packets have them: read, the wire type that is expected, or an error; written, unless they
//! are unset.

use crate::packet::PacketError;
use crate::protobuf::{self, Value};

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

/// Appends an integer field.
pub(super) fn put_int(out: &mut Vec<u8>, field: u8, value: Option<i64>) {
    if let Some(value) = value {
        protobuf::signed(out, field, value);
    }
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        protobuf::bytes(out, field, value);
    }
}

/// Appends a field of text.
pub(super) fn put_text(out: &mut Vec<u8>, field: u8, value: Option<&str>) {
    put_bytes(out, field, value.map(str::as_bytes));
}
