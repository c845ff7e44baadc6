//! One value of a row image.

use super::{ColumnKind, Date, DateTime, Decimal, Time, Timestamp};
use crate::error::ParseError;
use crate::reader::Reader;

/// A value, borrowed from the event. NULL is not here: it is a bit of the row's null bitmap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// An integer, read as signed; the binlog does not say if the column is unsigned.
    Int(i64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL.
    Decimal(Decimal<'a>),
    /// BIT: the number.
    Bit(u64),
    /// YEAR: 0 or years since 1900.
    Year(u8),
    /// DATE.
    Date(Date),
    /// TIME.
    Time(Time),
    /// DATETIME.
    DateTime(DateTime),
    /// TIMESTAMP.
    Timestamp(Timestamp),
    /// ENUM: index of the label from 1; 0 is the error value.
    Enum(u16),
    /// SET: mask of the labels.
    Set(u64),
    /// CHAR, VARCHAR, TEXT, BLOB, GEOMETRY, VECTOR: the stored bytes.
    Bytes(&'a [u8]),
    /// JSON: the binary document.
    Json(&'a [u8]),
    /// A value of a MariaDB COMPRESSED column; see [`crate::decompress_column`].
    Compressed(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Takes one value of a column from a row image.
    ///
    /// # Errors
    /// [`ParseError`] when the image ends inside the value, or holds a value of a type that row
    /// images never carry.
    #[inline]
    pub fn read(kind: ColumnKind, r: &mut Reader<'a>) -> Result<Self, ParseError> {
        Ok(match kind {
            ColumnKind::Tiny => Self::Int(i64::from(r.i8("TINYINT")?)),
            ColumnKind::Short => Self::Int(i64::from(r.i16("SMALLINT")?)),
            ColumnKind::Int24 => Self::Int(i64::from(r.i24("MEDIUMINT")?)),
            ColumnKind::Long => Self::Int(i64::from(r.i32("INT")?)),
            ColumnKind::LongLong => Self::Int(r.i64("BIGINT")?),
            ColumnKind::Float => Self::Float(f32::from_le_bytes(r.array("FLOAT")?)),
            ColumnKind::Double => Self::Double(f64::from_le_bytes(r.array("DOUBLE")?)),
            ColumnKind::Decimal { precision, scale } => {
                Self::Decimal(Decimal::read(r, precision, scale)?)
            }
            ColumnKind::Bit { bytes } => {
                let bytes = r.bytes(usize::from(bytes), "BIT")?;
                Self::Bit(bytes.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
            }
            ColumnKind::Year => Self::Year(r.u8("YEAR")?),
            ColumnKind::Date => Self::Date(Date::read(r)?),
            ColumnKind::Time { fraction } => Self::Time(Time::read(r, fraction)?),
            ColumnKind::DateTime { fraction } => Self::DateTime(DateTime::read(r, fraction)?),
            ColumnKind::Timestamp { fraction } => Self::Timestamp(Timestamp::read(r, fraction)?),
            ColumnKind::OldTime { fraction } => Self::Time(Time::read_old(r, fraction)?),
            ColumnKind::OldDateTime { fraction } => {
                Self::DateTime(DateTime::read_old(r, fraction)?)
            }
            ColumnKind::OldTimestamp { fraction } => {
                Self::Timestamp(Timestamp::read_old(r, fraction)?)
            }
            ColumnKind::Char { max_len } | ColumnKind::VarChar { max_len } => {
                Self::Bytes(short_bytes(r, max_len)?)
            }
            ColumnKind::Blob { len_bytes }
            | ColumnKind::Geometry { len_bytes }
            | ColumnKind::Vector { len_bytes } => Self::Bytes(long_bytes(r, len_bytes)?),
            ColumnKind::Json { len_bytes } => Self::Json(long_bytes(r, len_bytes)?),
            ColumnKind::Enum { bytes } => {
                let index = r.uint(usize::from(bytes), "ENUM")?;
                Self::Enum(u16::try_from(index).unwrap_or(u16::MAX))
            }
            ColumnKind::Set { bytes } => Self::Set(r.uint(usize::from(bytes), "SET")?),
            ColumnKind::CompressedVarChar { max_len } => Self::Compressed(short_bytes(r, max_len)?),
            ColumnKind::CompressedBlob { len_bytes } => Self::Compressed(long_bytes(r, len_bytes)?),
            ColumnKind::Other { code } => {
                return Err(r.invalid("column type", u64::from(code), "a type that rows carry"));
            }
        })
    }
}

/// Takes a CHAR or VARCHAR: bytes behind a length of one byte, or two when the longest value needs
/// them.
///
/// # Errors
/// [`ParseError::Truncated`]
#[inline]
pub fn short_bytes<'a>(r: &mut Reader<'a>, max_len: u16) -> Result<&'a [u8], ParseError> {
    let len = if max_len < 256 {
        usize::from(r.u8("string length")?)
    } else {
        usize::from(r.u16("string length")?)
    };
    r.bytes(len, "string")
}

/// Takes a TEXT or BLOB: bytes behind a length of `len_bytes` bytes.
///
/// # Errors
/// [`ParseError::Truncated`]
#[inline]
pub fn long_bytes<'a>(r: &mut Reader<'a>, len_bytes: u8) -> Result<&'a [u8], ParseError> {
    let len = r.uint(usize::from(len_bytes), "value length")?;
    r.bytes(usize::try_from(len).unwrap_or(usize::MAX), "value")
}
