//! What a decoder is told at its start.

use towpath_binlog::{MariadbGtidSet, MysqlGtidSet};

use crate::filter::TableFilter;
use crate::text::Zone;

/// The executed set at the start of a stream in GTID mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    /// MySQL's.
    Mysql(MysqlGtidSet),
    /// MariaDB's.
    Mariadb(MariadbGtidSet),
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
#[derive(Debug, Clone, Default)]
pub struct DecoderOptions {
    /// Which tables are delivered.
    pub filter: TableFilter,
    /// What is left out.
    pub suppress: Suppress,
    /// Zone in which TIMESTAMP values are printed.
    pub zone: Zone,
    /// GTID mode: the set executed before the first event.
    pub gtid: Option<GtidSet>,
}
