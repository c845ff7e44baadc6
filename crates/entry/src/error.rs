//! Why an event could not be turned into entries.

use thiserror::Error;
use towpath_binlog::transaction::SavepointError;
use towpath_binlog::{ParseError, StreamError};

use crate::filter::FilterError;

/// A fault that stops the decoder.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The event's bytes are malformed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// An inner event of a transaction payload is malformed.
    #[error("inside a transaction payload: {0}")]
    Payload(#[from] StreamError),
    /// The same, with its place.
    #[error("{file}:{offset}: event type {event_type}, table {table}: {source}")]
    At {
        /// Binlog file.
        file: String,
        /// Offset of the event.
        offset: u64,
        /// Type code.
        event_type: u8,
        /// `schema.table`, or `-`.
        table: String,
        /// What is wrong.
        #[source]
        source: Box<Self>,
    },
    /// A rows event names a table id without a table map.
    #[error(
        "rows for table id {table_id} without a table map before them: the start lies inside a \
         transaction; start at a transaction's begin; or, if it does, the source has written them so, and \
         nothing tells whose they are"
    )]
    NoTableMap {
        /// The table id.
        table_id: u64,
    },
    /// A rollback of what has been handed on.
    #[error(
        "a rollback of rows that were handed on: the start lies inside a transaction; start at a \
         transaction's begin"
    )]
    RolledBack,
    /// The end of a transaction that had none when it was read ahead.
    #[error(
        "a transaction goes on that had no end when it was read ahead: the file is still being written; read \
         it again when its server has gone on to the next file"
    )]
    Grown,
    /// A rollback to a savepoint that is not known.
    #[error(transparent)]
    Savepoint(#[from] SavepointError),
    /// No structure is known for the table.
    #[error(
        "{schema}.{table} has {in_binlog} columns in the binlog, and no structure of it is known at \
         this position, 0 columns ({detail}): exclude the table with a filter, or start behind the \
         change of its structure"
    )]
    NoStructure {
        /// Database.
        schema: String,
        /// Table.
        table: String,
        /// Columns in the table map.
        in_binlog: usize,
        /// Why.
        detail: String,
    },
    /// The structure that is known does not fit the table map.
    #[error(
        "{schema}.{table} has {in_binlog} columns in the binlog and {known} in its known structure \
         ({detail}): exclude the table with a filter, or start behind the change of its structure"
    )]
    Structure {
        /// Database.
        schema: String,
        /// Table.
        table: String,
        /// Columns in the table map.
        in_binlog: usize,
        /// Columns in the known structure.
        known: usize,
        /// The first column that does not fit.
        detail: String,
    },
    /// Whether the filter wants the table cannot be told.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The source reports that it lost events.
    #[error("the source reports an incident ({number}): {message}; its binlog has a gap here")]
    Incident {
        /// Number of the incident.
        number: u16,
        /// The source's text.
        message: String,
    },
    /// An event type that is not known and not marked as ignorable.
    #[error("event type {event_type} is not known and must not be skipped")]
    UnknownEvent {
        /// The type code.
        event_type: u8,
    },
    /// The rest of the file is encrypted.
    #[error("the file is encrypted from here on: read it through its server instead")]
    Encrypted,
}

impl DecodeError {
    /// Whether reading has begun behind the table map of these rows: inside a transaction.
    #[must_use]
    pub fn is_inside_a_transaction(&self) -> bool {
        if let Self::At { source, .. } = self {
            return source.is_inside_a_transaction();
        }
        matches!(
            self,
            Self::NoTableMap { .. }
                | Self::RolledBack
                | Self::Savepoint(SavepointError::Unknown(_))
        )
    }
}
