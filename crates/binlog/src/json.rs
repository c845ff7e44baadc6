//! MySQL's binary JSON (mysql-server `sql-common/json_binary.h`) and the diffs of partial updates.

use crate::error::ParseError;
use crate::reader::Reader;

/// Deepest nesting that MySQL stores.
pub const DEPTH_MAX: usize = 100;

/// A JSON value, borrowed from the document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JsonValue<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A floating-point number.
    Double(f64),
    /// UTF-8 text.
    String(&'a [u8]),
    /// A value of an SQL type without a JSON form: type code and bytes.
    Opaque(u8, &'a [u8]),
    /// Values in order.
    Array(JsonContainer<'a>),
    /// Keys and values in stored order.
    Object(JsonContainer<'a>),
}

/// An array or object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonContainer<'a> {
    bytes: &'a [u8],
    /// Bytes of an offset or count: 2 in small containers, 4 in large ones.
    width: usize,
    has_keys: bool,
    count: usize,
}

impl<'a> JsonValue<'a> {
    /// Reads a whole document: a type byte and its value.
    ///
    /// # Errors
    /// [`ParseError`] when the document is cut off or holds an unknown type.
    pub fn parse(document: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(document);
        let kind = r.u8("JSON type")?;
        Self::of(kind, r.rest())
    }

    fn of(kind: u8, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        Ok(match kind {
            0..=3 => {
                let width = if kind & 1 == 1 { 4 } else { 2 };
                let container = JsonContainer::new(bytes, width, kind < 2)?;
                if kind < 2 { Self::Object(container) } else { Self::Array(container) }
            }
            4 => Self::literal(u64::from(r.u8("JSON literal")?), &r)?,
            5 => Self::Int(i64::from(r.u16("JSON int16")?.cast_signed())),
            6 => Self::Uint(u64::from(r.u16("JSON uint16")?)),
            7 => Self::Int(i64::from(r.u32("JSON int32")?.cast_signed())),
            8 => Self::Uint(u64::from(r.u32("JSON uint32")?)),
            9 => Self::Int(r.u64("JSON int64")?.cast_signed()),
            10 => Self::Uint(r.u64("JSON uint64")?),
            11 => Self::Double(f64::from_le_bytes(r.array("JSON double")?)),
            12 => Self::String(variable(&mut r)?),
            15 => {
                let code = r.u8("JSON opaque type")?;
                Self::Opaque(code, variable(&mut r)?)
            }
            other => return Err(r.invalid("JSON type", u64::from(other), "0 to 12 or 15")),
        })
    }

    fn literal(value: u64, r: &Reader<'_>) -> Result<Self, ParseError> {
        match value {
            0 => Ok(Self::Null),
            1 => Ok(Self::Bool(true)),
            2 => Ok(Self::Bool(false)),
            other => Err(r.invalid("JSON literal", other, "0, 1 or 2")),
        }
    }
}

/// Bytes behind a length of 7 bits a byte, the high bit set on all but the last.
fn variable<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    let mut len = 0_usize;
    for shift in [0, 7, 14, 21, 28] {
        let byte = r.u8("JSON length")?;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return r.bytes(len, "JSON text");
        }
    }
    Err(r.invalid("JSON length", 5, "at most 5 bytes"))
}

impl<'a> JsonContainer<'a> {
    fn new(bytes: &'a [u8], width: usize, has_keys: bool) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let count = usize::try_from(r.uint(width, "JSON element count")?).unwrap_or(usize::MAX);
        let size = usize::try_from(r.uint(width, "JSON size")?).unwrap_or(usize::MAX);
        // Offsets count from the element count and stay inside the declared size.
        let bytes = Reader::new(bytes).bytes(size, "JSON container")?;
        let entry = 1 + width + if has_keys { width + 2 } else { 0 };
        if count.checked_mul(entry).is_none_or(|entries| entries > bytes.len()) {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            return Err(r.invalid("JSON element count", count, "no more than its size holds"));
        }
        Ok(Self { bytes, width, has_keys, count })
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True for `[]` and `{}`.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn at(&self, offset: usize) -> Result<Reader<'a>, ParseError> {
        let mut r = Reader::new(self.bytes);
        r.bytes(offset, "JSON offset")?;
        Ok(r)
    }

    /// The key of element `index` of an object.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn key(&self, index: usize) -> Result<&'a [u8], ParseError> {
        let mut r = self.at(2 * self.width + index * (self.width + 2))?;
        let offset = usize::try_from(r.uint(self.width, "JSON key")?).unwrap_or(usize::MAX);
        let len = usize::from(r.u16("JSON key length")?);
        self.at(offset)?.bytes(len, "JSON key")
    }

    /// The value of element `index`.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn value(&self, index: usize) -> Result<JsonValue<'a>, ParseError> {
        let width = self.width;
        let keys = if self.has_keys { self.count * (width + 2) } else { 0 };
        let mut r = self.at(2 * width + keys + index * (1 + width))?;
        let kind = r.u8("JSON type")?;
        // Small values stand in the entry itself.
        let inline = matches!(kind, 4..=6) || width == 4 && matches!(kind, 7 | 8);
        if inline {
            return JsonValue::of(kind, r.bytes(width, "JSON value")?);
        }
        let offset = usize::try_from(r.uint(width, "JSON offset")?).unwrap_or(usize::MAX);
        // A container inside a container starts behind the header of its parent, so that no
        // document can point back at itself.
        if offset < 2 * width {
            let offset = u64::try_from(offset).unwrap_or(u64::MAX);
            return Err(r.invalid("JSON offset", offset, "behind the element table"));
        }
        JsonValue::of(kind, self.at(offset)?.rest())
    }
}

/// What a [`JsonDiff`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonDiffOperation {
    /// Replace the value at the path.
    Replace,
    /// Insert at the path.
    Insert,
    /// Remove what is at the path.
    Remove,
}

/// One step of a partial update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JsonDiff<'a> {
    /// What to do.
    pub operation: JsonDiffOperation,
    /// Where, as a JSON path.
    pub path: &'a [u8],
    /// With what; `None` for removals.
    pub value: Option<JsonValue<'a>>,
}

impl<'a> JsonDiff<'a> {
    /// Takes the next diff; `r` holds the diffs of one column.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn read(r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let operation = match r.u8("JSON diff operation")? {
            0 => JsonDiffOperation::Replace,
            1 => JsonDiffOperation::Insert,
            2 => JsonDiffOperation::Remove,
            other => return Err(r.invalid("JSON diff operation", u64::from(other), "0 to 2")),
        };
        let path = r.lenenc_bytes("JSON path")?;
        let value = match operation {
            JsonDiffOperation::Remove => None,
            JsonDiffOperation::Replace | JsonDiffOperation::Insert => {
                Some(JsonValue::parse(r.lenenc_bytes("JSON diff value")?)?)
            }
        };
        Ok(Self { operation, path, value })
    }
}
