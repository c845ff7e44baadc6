//! Sets of global transaction ids: MySQL's (with tags) and MariaDB's (mysql-source 1.6, 2.9).

mod mariadb;
mod mysql;

pub use mariadb::MariadbGtidSet;
pub use mysql::{MysqlGtidSet, Uuid};

use std::cmp::Ordering;
use std::fmt;

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

/// A set of GTIDs of either family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    /// MySQL's: each transaction.
    Mysql(MysqlGtidSet),
    /// MariaDB's: the last transaction of each domain, and with it all earlier ones.
    Mariadb(MariadbGtidSet),
}

impl GtidSet {
    /// Reads either text form; an empty text is MySQL's empty set.
    ///
    /// # Errors
    /// [`GtidError::Text`] names the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, GtidError> {
        match text.contains(':') || text.trim().is_empty() {
            true => MysqlGtidSet::parse(text).map(Self::Mysql),
            false => MariadbGtidSet::parse(text).map(Self::Mariadb),
        }
    }

    /// True when nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Mysql(set) => set.is_empty(),
            Self::Mariadb(set) => set.is_empty(),
        }
    }

    /// Whether every transaction of `other` is in this set. Of different families only the empty set is
    /// contained.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mysql(set), Self::Mysql(other)) => set.contains(other),
            (Self::Mariadb(set), Self::Mariadb(other)) => set.contains(other),
            (Self::Mysql(_), Self::Mariadb(other)) => other.is_empty(),
            (Self::Mariadb(_), Self::Mysql(other)) => other.is_empty(),
        }
    }

    /// Which of two sets is the smaller one; `None` when each has something that the other lacks.
    #[must_use]
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self.contains(other), other.contains(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_ordered_by_what_they_contain() {
        const A: &str = "00000000-0000-0000-0000-00000000000a";
        const B: &str = "00000000-0000-0000-0000-00000000000b";
        for (left, right, expected) in [
            (format!("{A}:1-5"), format!("{A}:1-5"), Some(Ordering::Equal)),
            (format!("{A}:1-5"), format!("{A}:1-6"), Some(Ordering::Less)),
            (format!("{A}:1-5,{B}:1"), format!("{A}:1-5"), Some(Ordering::Greater)),
            (format!("{A}:1-5"), format!("{B}:1"), None),
            (String::new(), format!("{B}:1"), Some(Ordering::Less)),
            (String::new(), "0-1-5".to_owned(), Some(Ordering::Less)),
            ("0-1-5".to_owned(), "0-2-6,1-1-1".to_owned(), Some(Ordering::Less)),
            ("0-1-5".to_owned(), "0-2-5".to_owned(), Some(Ordering::Equal)),
            ("0-1-5".to_owned(), "1-1-5".to_owned(), None),
            ("0-1-5".to_owned(), format!("{B}:1"), None),
        ] {
            let set = |text: &str| GtidSet::parse(text).unwrap();
            assert_eq!(set(&left).order(&set(&right)), expected, "{left} {right}");
            assert_eq!(set(&right).order(&set(&left)), expected.map(Ordering::reverse));
        }
    }
}
