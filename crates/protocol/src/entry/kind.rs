//! What entries and changes are: numbers of Canal's protocol as values.

/// What an entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryType {
    /// 1: a transaction begins.
    TransactionBegin,
    /// 2: a [`super::RowChange`]; what is meant when a message does not say.
    #[default]
    RowData,
    /// 3: a transaction ends.
    TransactionEnd,
    /// 4: a sign of life.
    Heartbeat,
    /// 5: declared, never written.
    GtidLog,
    /// Any other number.
    Unrecognized(u64),
}

impl EntryType {
    /// The type with this number.
    #[must_use]
    pub const fn from_code(code: u64) -> Self {
        match code {
            1 => Self::TransactionBegin,
            2 => Self::RowData,
            3 => Self::TransactionEnd,
            4 => Self::Heartbeat,
            5 => Self::GtidLog,
            other => Self::Unrecognized(other),
        }
    }

    /// Its number.
    #[inline]
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::TransactionBegin => 1,
            Self::RowData => 2,
            Self::TransactionEnd => 3,
            Self::Heartbeat => 4,
            Self::GtidLog => 5,
            Self::Unrecognized(code) => code,
        }
    }
}

/// What happened to rows or to a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// 1: rows were inserted.
    Insert,
    /// 2: rows were updated; what is meant when a message does not say.
    #[default]
    Update,
    /// 3: rows were deleted.
    Delete,
    /// 4: a table was created.
    Create,
    /// 5: a table was altered.
    Alter,
    /// 6: a table was dropped.
    Erase,
    /// 7: any other statement.
    Query,
    /// 8: a table was emptied.
    Truncate,
    /// 9: a table was renamed.
    Rename,
    /// 10: an index was created.
    CreateIndex,
    /// 11: an index was dropped.
    DropIndex,
    /// 12: declared, never written.
    Gtid,
    /// 13: a prepared transaction was committed.
    XaCommit,
    /// 14: a prepared transaction was rolled back.
    XaRollback,
    /// 15: the source's heartbeat.
    MasterHeartbeat,
    /// Any other number.
    Unrecognized(u64),
}

impl EventType {
    /// The type with this number.
    #[must_use]
    pub const fn from_code(code: u64) -> Self {
        match code {
            1 => Self::Insert,
            2 => Self::Update,
            3 => Self::Delete,
            4 => Self::Create,
            5 => Self::Alter,
            6 => Self::Erase,
            7 => Self::Query,
            8 => Self::Truncate,
            9 => Self::Rename,
            10 => Self::CreateIndex,
            11 => Self::DropIndex,
            12 => Self::Gtid,
            13 => Self::XaCommit,
            14 => Self::XaRollback,
            15 => Self::MasterHeartbeat,
            other => Self::Unrecognized(other),
        }
    }

    /// Its number.
    #[inline]
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Insert => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::Create => 4,
            Self::Alter => 5,
            Self::Erase => 6,
            Self::Query => 7,
            Self::Truncate => 8,
            Self::Rename => 9,
            Self::CreateIndex => 10,
            Self::DropIndex => 11,
            Self::Gtid => 12,
            Self::XaCommit => 13,
            Self::XaRollback => 14,
            Self::MasterHeartbeat => 15,
            Self::Unrecognized(code) => code,
        }
    }

    /// Its name in Canal's protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
            Self::Erase => "ERASE",
            Self::Query => "QUERY",
            Self::Truncate => "TRUNCATE",
            Self::Rename => "RENAME",
            Self::CreateIndex => "CINDEX",
            Self::DropIndex => "DINDEX",
            Self::Gtid => "GTID",
            Self::XaCommit => "XACOMMIT",
            Self::XaRollback => "XAROLLBACK",
            Self::MasterHeartbeat => "MHEARTBEAT",
            Self::Unrecognized(_) => "UNKNOWN",
        }
    }

    /// Whether it is about rows: an insert, update or delete.
    #[must_use]
    pub const fn is_of_rows(self) -> bool {
        matches!(self, Self::Insert | Self::Update | Self::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for code in 0..20 {
            assert_eq!(EntryType::from_code(code).code(), code);
            assert_eq!(EventType::from_code(code).code(), code);
        }
    }
}
