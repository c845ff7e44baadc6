//! Sets of global transaction ids: MySQL's (with tags) and MariaDB's (mysql-source 1.6, 2.9).

mod mariadb;
mod mysql;

pub use mariadb::MariadbGtidSet;
pub use mysql::{MysqlGtidSet, Uuid};

use thiserror::Error;

/// A text or encoding that is not a GTID set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GtidError {
    /// A part of the text cannot be read.
    #[error("`{part}` is not {expected}")]
    Text {
        /// The part that could not be read.
        part: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The encoded form is malformed.
    #[error(transparent)]
    Encoding(#[from] crate::error::ParseError),
}

impl GtidError {
    fn text(part: &str, expected: &'static str) -> Self {
        Self::Text { part: part.chars().take(80).collect(), expected }
    }
}
