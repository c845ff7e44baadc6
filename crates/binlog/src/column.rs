//! Column types as binlogs carry them, and the values of row images (mysql-source 2.4, entry-format 3.3).

mod decimal;
mod temporal;
mod value;

pub use decimal::Decimal;
pub use temporal::{Date, DateTime, Time, Timestamp};
pub use value::{Value, long_bytes, short_bytes};

use crate::error::ParseError;
use crate::reader::Reader;

/// What a column holds, resolved from its type code and metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// TINYINT, BOOL: 1 byte.
    Tiny,
    /// SMALLINT: 2 bytes.
    Short,
    /// MEDIUMINT: 3 bytes.
    Int24,
    /// INT: 4 bytes.
    Long,
    /// BIGINT: 8 bytes.
    LongLong,
    /// FLOAT: 4 bytes.
    Float,
    /// DOUBLE, REAL: 8 bytes.
    Double,
    /// DECIMAL.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// BIT.
    Bit {
        /// Bytes of a value.
        bytes: u8,
    },
    /// YEAR: 1 byte.
    Year,
    /// DATE: 3 bytes.
    Date,
    /// TIME of MySQL 5.6 and later.
    Time {
        /// Digits of the fraction, 0 to 6.
        fraction: u8,
    },
    /// DATETIME of MySQL 5.6 and later.
    DateTime {
        /// Digits of the fraction, 0 to 6.
        fraction: u8,
    },
    /// TIMESTAMP of MySQL 5.6 and later.
    Timestamp {
        /// Digits of the fraction, 0 to 6.
        fraction: u8,
    },
    /// TIME before MySQL 5.6: 3 bytes; with a fraction, as MariaDB has it, 4 to 6.
    OldTime {
        /// Digits of the fraction, 0 to 6: table maps do not tell them.
        fraction: u8,
    },
    /// DATETIME before MySQL 5.6: 8 bytes; with a fraction, as MariaDB has it, 6 to 8.
    OldDateTime {
        /// Digits of the fraction, 0 to 6: table maps do not tell them.
        fraction: u8,
    },
    /// TIMESTAMP before MySQL 5.6: 4 bytes; with a fraction, as MariaDB has it, 5 to 7.
    OldTimestamp {
        /// Digits of the fraction, 0 to 6: table maps do not tell them.
        fraction: u8,
    },
    /// CHAR, BINARY, and MariaDB's UUID, INET4, INET6.
    Char {
        /// Longest value in bytes.
        max_len: u16,
    },
    /// VARCHAR, VARBINARY.
    VarChar {
        /// Longest value in bytes.
        max_len: u16,
    },
    /// TINYTEXT to LONGTEXT, TINYBLOB to LONGBLOB.
    Blob {
        /// Bytes of the length, 1 to 4.
        len_bytes: u8,
    },
    /// MySQL's binary JSON.
    Json {
        /// Bytes of the length.
        len_bytes: u8,
    },
    /// GEOMETRY and its kin.
    Geometry {
        /// Bytes of the length.
        len_bytes: u8,
    },
    /// VECTOR (MySQL 9).
    Vector {
        /// Bytes of the length.
        len_bytes: u8,
    },
    /// ENUM: index of the label, from 1.
    Enum {
        /// Bytes of a value, 1 or 2.
        bytes: u8,
    },
    /// SET: bit mask of the labels.
    Set {
        /// Bytes of a value, 1 to 8.
        bytes: u8,
    },
    /// MariaDB's VARCHAR ... COMPRESSED.
    CompressedVarChar {
        /// Longest value in bytes.
        max_len: u16,
    },
    /// MariaDB's BLOB or TEXT ... COMPRESSED.
    CompressedBlob {
        /// Bytes of the length.
        len_bytes: u8,
    },
    /// A column whose values are always NULL, or of a type that row images never carry.
    Other {
        /// The type code.
        code: u8,
    },
}

impl ColumnKind {
    /// Resolves a type code with its metadata, which is taken from `meta`.
    ///
    /// # Errors
    /// [`ParseError`] when the metadata is cut off or impossible.
    pub fn read(code: u8, meta: &mut Reader<'_>) -> Result<Self, ParseError> {
        const META: &str = "column metadata";
        Ok(match code {
            1 => Self::Tiny,
            2 => Self::Short,
            3 => Self::Long,
            4 => {
                meta.u8(META)?;
                Self::Float
            }
            5 => {
                meta.u8(META)?;
                Self::Double
            }
            7 => Self::OldTimestamp { fraction: 0 },
            8 => Self::LongLong,
            9 => Self::Int24,
            10 | 14 => Self::Date,
            11 => Self::OldTime { fraction: 0 },
            12 => Self::OldDateTime { fraction: 0 },
            13 => Self::Year,
            15 | 253 => Self::VarChar { max_len: meta.u16(META)? },
            16 => {
                let (bits, bytes) = (meta.u8(META)?, meta.u8(META)?);
                if bits > 7 || bytes > 8 {
                    return Err(meta.invalid("BIT width", u64::from(bits), "at most 64 bits"));
                }
                Self::Bit { bytes: bytes + u8::from(bits > 0) }
            }
            17 => Self::Timestamp { fraction: fraction(meta)? },
            18 => Self::DateTime { fraction: fraction(meta)? },
            19 => Self::Time { fraction: fraction(meta)? },
            20 => {
                // TYPED_ARRAY (multi-valued index): element type, then its metadata; the caller
                // jumps to the declared end of the metadata, for servers write surplus bytes.
                meta.u8(META)?;
                Self::Other { code }
            }
            140 => Self::CompressedBlob { len_bytes: len_bytes(meta)? },
            141 => Self::CompressedVarChar { max_len: meta.u16(META)? },
            242 => Self::Vector { len_bytes: len_bytes(meta)? },
            245 => Self::Json { len_bytes: len_bytes(meta)? },
            246 => {
                let (precision, scale) = (meta.u8(META)?, meta.u8(META)?);
                if precision > Decimal::DIGITS_MAX || scale > 38 || scale > precision {
                    return Err(meta.invalid("DECIMAL", u64::from(precision), "at most 65 digits"));
                }
                Self::Decimal { precision, scale }
            }
            247 => Self::Enum { bytes: two(meta)?.1 },
            248 => Self::Set { bytes: two(meta)?.1 },
            249..=252 => Self::Blob { len_bytes: len_bytes(meta)? },
            254 => string(meta)?,
            255 => Self::Geometry { len_bytes: len_bytes(meta)? },
            _ => Self::Other { code },
        })
    }

    /// The same, with this many digits if it is a time in the format before MySQL 5.6.
    #[must_use]
    pub const fn with_old_fraction(self, fraction: u8) -> Self {
        if matches!(self, Self::OldTime { .. }) {
            Self::OldTime { fraction }
        } else if matches!(self, Self::OldDateTime { .. }) {
            Self::OldDateTime { fraction }
        } else if matches!(self, Self::OldTimestamp { .. }) {
            Self::OldTimestamp { fraction }
        } else {
            self
        }
    }

    /// True for a time in the format before MySQL 5.6, of whose fraction table maps do not tell.
    #[must_use]
    pub const fn is_old_time(self) -> bool {
        matches!(self, Self::OldTime { .. } | Self::OldDateTime { .. } | Self::OldTimestamp { .. })
    }

    /// True for the types that `SIGNEDNESS` of the optional metadata counts, YEAR apart (see
    /// mysql-source 2.4).
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::Tiny
                | Self::Short
                | Self::Int24
                | Self::Long
                | Self::LongLong
                | Self::Float
                | Self::Double
                | Self::Decimal { .. }
        )
    }
}

fn two(meta: &mut Reader<'_>) -> Result<(u8, u8), ParseError> {
    Ok((meta.u8("column metadata")?, meta.u8("column metadata")?))
}

fn fraction(meta: &mut Reader<'_>) -> Result<u8, ParseError> {
    match meta.u8("fraction digits")? {
        digits @ 0..=6 => Ok(digits),
        other => Err(meta.invalid("fraction digits", u64::from(other), "0 to 6")),
    }
}

fn len_bytes(meta: &mut Reader<'_>) -> Result<u8, ParseError> {
    match meta.u8("length bytes")? {
        bytes @ 1..=4 => Ok(bytes),
        other => Err(meta.invalid("length bytes", u64::from(other), "1 to 4")),
    }
}

/// STRING (254): the first byte is the real type, for lengths above 255 with two bits of the length
/// in it, inverted.
fn string(meta: &mut Reader<'_>) -> Result<ColumnKind, ParseError> {
    let (high, low) = two(meta)?;
    let mut max_len = u16::from(low);
    let mut real = high;
    if high & 0x30 != 0x30 {
        max_len |= u16::from((high & 0x30) ^ 0x30) << 4;
        real = high | 0x30;
    }
    match real {
        247 if matches!(low, 1 | 2) => Ok(ColumnKind::Enum { bytes: low }),
        248 if matches!(low, 1..=8) => Ok(ColumnKind::Set { bytes: low }),
        253 | 254 => Ok(ColumnKind::Char { max_len }),
        other => Err(meta.invalid("real type of a STRING", u64::from(other), "247, 248 or 254")),
    }
}
