//! Events that accompany statements: `INTVAR`, `RAND`, `USER_VAR`, `ROWS_QUERY`, `ANNOTATE_ROWS`.

use crate::column::Decimal;
use crate::error::ParseError;
use crate::reader::Reader;

/// `INTVAR` (5): the automatic value that the next statement uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntVar {
    /// `LAST_INSERT_ID` as the statement reads it.
    LastInsertId(u64),
    /// The first value for an `AUTO_INCREMENT` column.
    InsertId(u64),
}

impl IntVar {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        match r.u8("variable kind")? {
            1 => Ok(Self::LastInsertId(r.u64("variable value")?)),
            2 => Ok(Self::InsertId(r.u64("variable value")?)),
            other => Err(r.invalid("variable kind", u64::from(other), "1 or 2")),
        }
    }
}

/// `RAND` (13): the seeds of the next statement's random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rand {
    /// First seed.
    pub seed1: u64,
    /// Second seed.
    pub seed2: u64,
}

impl Rand {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self { seed1: r.u64("seed 1")?, seed2: r.u64("seed 2")? })
    }
}

/// `USER_VAR` (14): a variable that the next statement reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UserVar<'a> {
    /// Name without `@`.
    pub name: &'a [u8],
    /// Its value.
    pub value: UserVarValue<'a>,
}

/// The value of a [`UserVar`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UserVarValue<'a> {
    /// NULL.
    Null,
    /// Text in the given collation.
    Text(&'a [u8], u32),
    /// A floating-point number.
    Real(f64),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A decimal number.
    Decimal(Decimal<'a>),
}

impl<'a> UserVar<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        const NAME: &str = "user variable";
        let mut r = Reader::new(body);
        let name_len = usize::try_from(r.u32("name length")?).unwrap_or(usize::MAX);
        let name = r.bytes(name_len, "name")?;
        if r.u8("is null")? != 0 {
            return Ok(Self { name, value: UserVarValue::Null });
        }
        let kind = r.u8("type")?;
        let collation = r.u32("collation")?;
        let len = usize::try_from(r.u32("value length")?).unwrap_or(usize::MAX);
        let mut v = Reader::new(r.bytes(len, "value")?);
        let unsigned = r.u8("flags").unwrap_or(0) & 1 != 0;
        let value = match kind {
            0 => UserVarValue::Text(v.take_rest(), collation),
            1 => UserVarValue::Real(f64::from_le_bytes(v.array(NAME)?)),
            2 if unsigned => UserVarValue::Unsigned(v.u64(NAME)?),
            2 => UserVarValue::Int(i64::from_le_bytes(v.array(NAME)?)),
            4 => {
                let (precision, scale) = (v.u8(NAME)?, v.u8(NAME)?);
                UserVarValue::Decimal(Decimal::read(&mut v, precision, scale)?)
            }
            other => return Err(r.invalid("type", u64::from(other), "0, 1, 2 or 4")),
        };
        Ok(Self { name, value })
    }
}

/// The statement of a `ROWS_QUERY` (29); its length byte says nothing, the text goes to the end.
///
/// # Errors
/// [`ParseError::Truncated`]
pub fn parse_rows_query(body: &[u8]) -> Result<&[u8], ParseError> {
    let mut r = Reader::new(body);
    r.u8("length byte")?;
    Ok(r.take_rest())
}

/// The statement of an `ANNOTATE_ROWS` (160): the whole body.
#[must_use]
pub const fn parse_annotate(body: &[u8]) -> &[u8] {
    body
}
