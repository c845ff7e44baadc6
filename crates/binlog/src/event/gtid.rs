//! `GTID` (33), `ANONYMOUS_GTID` (34), `GTID_TAGGED` (42), MariaDB's `GTID` (162) and `GTID_LIST` (163).

use crate::error::ParseError;
use crate::gtid::{MariadbGtidSet, Uuid};
use crate::reader::Reader;

/// The identity of a MySQL transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GtidEvent {
    /// UUID of the server of origin (zero when anonymous).
    pub uuid: Uuid,
    /// Tag; empty for none.
    pub tag: String,
    /// Transaction number (0 when anonymous).
    pub number: u64,
    /// Logical clock: the newest transaction that this one depends on.
    pub last_committed: i64,
    /// Logical clock: this transaction.
    pub sequence_number: i64,
    /// Bytes of the whole transaction in the binlog, this event included; 0 when not sent.
    pub transaction_len: u64,
    /// Changes may be logged as statements, not as rows. Servers before 5.7.19, and 8.0.0 and 8.0.1, always
    /// say so.
    pub may_have_statements: bool,
}

impl GtidEvent {
    /// `FLAG_MAY_HAVE_SBR`.
    const MAY_HAVE_STATEMENTS: u8 = 1;

    /// Reads a `GTID` or `ANONYMOUS_GTID` (mysql-source 2.2, row 33).
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let flags = r.u8("flags")?;
        let uuid = Uuid(r.array("server UUID")?);
        let number = r.u64("transaction number")?;
        let mut event = Self {
            uuid,
            tag: String::new(),
            number,
            last_committed: 0,
            sequence_number: 0,
            transaction_len: 0,
            may_have_statements: flags & Self::MAY_HAVE_STATEMENTS != 0,
        };
        if r.u8("logical clock type") == Ok(2) {
            event.last_committed = i64::from_le_bytes(r.array("last committed")?);
            event.sequence_number = i64::from_le_bytes(r.array("sequence number")?);
            event.transaction_len = Self::length(&mut r).unwrap_or(0);
        }
        Ok(event)
    }

    fn length(r: &mut Reader<'_>) -> Option<u64> {
        // Bit 55 of the commit timestamp: an original timestamp follows.
        if r.uint(7, "commit timestamp").ok()? & 1 << 55 != 0 {
            r.uint(7, "original commit timestamp").ok()?;
        }
        r.lenenc("transaction length").ok()
    }

    /// Reads a `GTID_TAGGED` (mysql-source 2.9).
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn parse_tagged(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let mut event = Self {
            uuid: Uuid([0; 16]),
            tag: String::new(),
            number: 0,
            last_committed: 0,
            sequence_number: 0,
            transaction_len: 0,
            may_have_statements: false,
        };
        varint(&mut r, "serialization version")?;
        varint(&mut r, "message size")?;
        let last_known = varint(&mut r, "last non-ignorable field")?;
        while !r.is_empty() {
            match varint(&mut r, "field id")? {
                0 => {
                    let flags = varint(&mut r, "flags")?;
                    event.may_have_statements = flags & u64::from(Self::MAY_HAVE_STATEMENTS) != 0;
                }
                6 | 7 | 9 | 10 | 11 => {
                    varint(&mut r, "field")?;
                }
                1 => {
                    for byte in &mut event.uuid.0 {
                        *byte = u8::try_from(varint(&mut r, "UUID byte")?)
                            .map_err(|_| r.invalid("UUID byte", 256, "at most 255"))?;
                    }
                }
                2 => event.number = signed(varint(&mut r, "number")?).unsigned_abs(),
                3 => {
                    let len = usize::try_from(varint(&mut r, "tag length")?).unwrap_or(usize::MAX);
                    event.tag = String::from_utf8_lossy(r.bytes(len, "tag")?).into_owned();
                }
                4 => event.last_committed = signed(varint(&mut r, "last committed")?),
                5 => event.sequence_number = signed(varint(&mut r, "sequence number")?),
                8 => event.transaction_len = varint(&mut r, "transaction length")?,
                unknown if unknown > last_known => break,
                unknown => return Err(r.invalid("field id", unknown, "0 to 11")),
            }
        }
        Ok(event)
    }
}

/// `mysql::serialization`'s integer: the count of trailing one bits is the count of further bytes.
fn varint(r: &mut Reader<'_>, field: &'static str) -> Result<u64, ParseError> {
    let first = r.u8(field)?;
    let more = usize::try_from(first.trailing_ones()).unwrap_or_default();
    if more == 8 {
        return r.u64(field);
    }
    let rest = r.uint(more, field)?;
    let low = u64::from(first) >> (more + 1);
    Ok(if more == 7 { rest } else { low | rest << (7 - more) })
}

/// The low bit is the sign.
const fn signed(value: u64) -> i64 {
    let magnitude = (value >> 1).cast_signed();
    if value & 1 == 0 { magnitude } else { -magnitude - 1 }
}

/// MariaDB's `GTID` (162).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariadbGtidEvent {
    /// Number in the domain.
    pub sequence: u64,
    /// Replication domain.
    pub domain: u32,
    /// See the constants.
    pub flags: u8,
}

impl MariadbGtidEvent {
    /// The event group is a single statement (DDL), without a transaction around it.
    pub const STANDALONE: u8 = 0x01;
    /// The group is an XA transaction up to its prepare.
    pub const PREPARED_XA: u8 = 0x40;
    /// The group completes a prepared XA transaction.
    pub const COMPLETED_XA: u8 = 0x80;

    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self { sequence: r.u64("sequence")?, domain: r.u32("domain")?, flags: r.u8("flags")? })
    }

    /// True when the group is a transaction: this event stands for its BEGIN.
    #[must_use]
    pub const fn opens_transaction(&self) -> bool {
        self.flags & Self::STANDALONE == 0
    }
}

/// MariaDB's `GTID_LIST` (163): the state at the start of a file.
///
/// # Errors
/// [`ParseError::Truncated`]
pub fn parse_gtid_list(body: &[u8]) -> Result<MariadbGtidSet, ParseError> {
    let mut r = Reader::new(body);
    let count = r.u32("count")? & 0x0fff_ffff;
    let mut set = MariadbGtidSet::default();
    for _ in 0..count {
        let (domain, server) = (r.u32("domain")?, r.u32("server id")?);
        set.update(domain, server, r.u64("sequence")?);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_gtid_is_read() {
        let hex = "026c00000002e4ceaeb50288aa22a103b90208048 4b1022200040420060862 6c756508180a1c0c7f402220 \
                   18240a0610f9041283d009";
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
            .collect();
        let event = GtidEvent::parse_tagged(&bytes).unwrap();
        assert_eq!(event.uuid.to_string(), "726757ad-4455-11e8-ae04-0242ac110002");
        assert_eq!((event.tag.as_str(), event.number), ("blue", 8));
        assert_eq!((event.last_committed, event.sequence_number), (6, 7));
        assert_eq!(event.transaction_len, 318);
    }
}
