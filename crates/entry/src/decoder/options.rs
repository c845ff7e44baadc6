//! What a decoder is told at its start.

use core::fmt;

use towpath_binlog::event::parse_gtid_list;
use towpath_binlog::{GtidError, MariadbGtidSet, MysqlGtidSet, ParseError};

use crate::filter::{FieldFilter, TableFilter};
use crate::text::Zone;

/// The executed set at the start of a stream in GTID mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    /// MySQL's.
    Mysql(MysqlGtidSet),
    /// MariaDB's.
    Mariadb(MariadbGtidSet),
}

impl GtidSet {
    /// Reads a set as the servers of its kind write it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, is_mariadb: bool) -> Result<Self, GtidError> {
        if is_mariadb {
            return MariadbGtidSet::parse(text).map(Self::Mariadb);
        }
        MysqlGtidSet::parse(text).map(Self::Mysql)
    }
}

impl GtidSet {
    /// Whether the event that says what was executed before a file contains all of the set.
    ///
    /// # Errors
    /// [`ParseError`] when the event is malformed.
    pub(super) fn is_before(&self, body: &[u8]) -> Result<bool, ParseError> {
        let set = match self {
            Self::Mysql(set) => return Ok(MysqlGtidSet::decode(body)?.contains(set)),
            Self::Mariadb(set) => set,
        };
        let before = parse_gtid_list(body)?;
        let reached = |domain: u32| {
            before.iter().filter(|(other, ..)| *other == domain).map(|(.., n)| n).max().unwrap_or(0)
        };
        Ok(set.iter().all(|(domain, _, sequence)| sequence <= reached(domain)))
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(set) => set.fmt(f),
            Self::Mariadb(set) => set.fmt(f),
        }
    }
}

/// Kinds of entries that are not delivered (entry-format 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suppress(u16);

impl Suppress {
    /// Statements of type QUERY (`canal.instance.filter.query.dcl`).
    pub const QUERY_DCL: Self = Self(1);
    /// DML logged as statements, and the events around it (`filter.query.dml`).
    pub const QUERY_DML: Self = Self(2);
    /// Every statement (`filter.query.ddl`).
    pub const QUERY_DDL: Self = Self(4);
    /// All rows events (`filter.rows`).
    pub const ROWS: Self = Self(8);
    /// Inserted rows (`filter.dml.insert`).
    pub const INSERT: Self = Self(16);
    /// Updated rows (`filter.dml.update`).
    pub const UPDATE: Self = Self(32);
    /// Deleted rows (`filter.dml.delete`).
    pub const DELETE: Self = Self(64);
    /// Transaction begins and ends (`filter.transaction.entry`), but for one now and then.
    pub const TRANSACTION_ENTRIES: Self = Self(128);
    /// Rows of tables whose structure is not known, which stop the decoder otherwise
    /// (`filter.table.error`). They are counted, see [`super::Decoder::take_unknown_tables`].
    pub const TABLE_ERRORS: Self = Self(256);

    /// The statements that come beside rows, alone: ROWS_QUERY and ANNOTATE_ROWS. Canal knows no such switch.
    pub const ANNOTATIONS: Self = Self(512);

    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when all of `other` are in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Settings of a [`super::Decoder`].
#[derive(Debug, Clone)]
pub struct DecoderOptions {
    /// Which tables are delivered.
    pub filter: TableFilter,
    /// Which of their columns are delivered.
    pub fields: FieldFilter,
    /// What is left out.
    pub suppress: Suppress,
    /// Zone in which TIMESTAMP values are printed.
    pub zone: Zone,
    /// GTID mode: the set executed before the first event.
    pub gtid: Option<GtidSet>,
    /// Bytes of entries that are held of a transaction until its end is known; one with more is read ahead
    /// (2 MiB by default). What is delivered does not depend on it.
    pub held_bytes_max: usize,
}

impl Default for DecoderOptions {
    /// Everything is delivered, without GTIDs.
    fn default() -> Self {
        Self {
            filter: TableFilter::default(),
            fields: FieldFilter::default(),
            suppress: Suppress::default(),
            zone: Zone::default(),
            gtid: None,
            held_bytes_max: 2 << 20,
        }
    }
}
