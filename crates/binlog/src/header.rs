//! The 19 bytes in front of every event, and the type codes (mysql-source 2.1, 2.2).

use crate::error::ParseError;
use crate::reader::Reader;

/// Type codes of events.
pub mod event_type {
    #![expect(missing_docs, reason = "the names are those of the manual")]
    pub const UNKNOWN: u8 = 0;
    pub const START_V3: u8 = 1;
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const LOAD: u8 = 6;
    pub const SLAVE: u8 = 7;
    pub const CREATE_FILE: u8 = 8;
    pub const APPEND_BLOCK: u8 = 9;
    pub const EXEC_LOAD: u8 = 10;
    pub const DELETE_FILE: u8 = 11;
    pub const NEW_LOAD: u8 = 12;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const PRE_GA_WRITE_ROWS: u8 = 20;
    pub const PRE_GA_UPDATE_ROWS: u8 = 21;
    pub const PRE_GA_DELETE_ROWS: u8 = 22;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const MARIADB_START_ENCRYPTION: u8 = 164;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The statement is bound to its session: it uses a temporary table, or another one before it in the same
/// CALL did.
pub const FLAG_THREAD_SPECIFIC: u16 = 0x4;
/// The event was made up by the sending server and is in no file.
pub const FLAG_ARTIFICIAL: u16 = 0x20;
/// A reader that does not know the type may skip the event.
pub const FLAG_IGNORABLE: u16 = 0x80;

/// The common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventHeader {
    /// Seconds since 1970 (0 on artificial events).
    pub timestamp_s: u32,
    /// Type code, see [`event_type`].
    pub event_type: u8,
    /// Id of the server on which the change was made.
    pub server_id: u32,
    /// Length in bytes of the whole event, header and checksum included.
    pub event_len: u32,
    /// Offset behind the event, modulo 2^32; 0 on some artificial and MariaDB events.
    pub log_pos: u32,
    /// See [`FLAG_ARTIFICIAL`], [`FLAG_IGNORABLE`].
    pub flags: u16,
}

impl EventHeader {
    /// Length of the header in bytes.
    pub const LEN: usize = 19;

    /// Reads the first 19 bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Invalid`] when the event claims to be shorter than
    /// its header.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let header = Self::of(&r.array("event header")?);
        if usize::try_from(header.event_len).is_ok_and(|len| len >= Self::LEN) {
            Ok(header)
        } else {
            Err(r.invalid("event length", u64::from(header.event_len), "at least 19"))
        }
    }

    /// The fields, not checked.
    #[inline]
    pub(crate) const fn of(bytes: &[u8; Self::LEN]) -> Self {
        let [a, b, c, d, event_type, rest @ ..] = *bytes;
        let timestamp_s = u32::from_le_bytes([a, b, c, d]);
        let [a, b, c, d, rest @ ..] = rest;
        let server_id = u32::from_le_bytes([a, b, c, d]);
        let [a, b, c, d, rest @ ..] = rest;
        let event_len = u32::from_le_bytes([a, b, c, d]);
        let [a, b, c, d, e, f] = rest;
        let log_pos = u32::from_le_bytes([a, b, c, d]);
        let flags = u16::from_le_bytes([e, f]);
        Self { timestamp_s, event_type, server_id, event_len, log_pos, flags }
    }

    /// The length that the event at the front of `bytes` claims to have, not checked; `None` when it
    /// is not there yet.
    #[inline]
    #[must_use]
    pub fn peek_len(bytes: &[u8]) -> Option<usize> {
        let len = bytes.get(9..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*len)).ok()
    }

    /// True for events that stand in no file: made up for this connection.
    #[must_use]
    pub const fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }
}
