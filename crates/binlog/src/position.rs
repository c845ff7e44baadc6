//! Places in the binlog of one server (MySQL manual, "The Binary Log").

use std::cmp::Ordering;
use std::sync::Arc;

/// The name of a binlog file: `mysql-bin.000007` is number 7 of `mysql-bin`. Numbers outgrow their six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileName<'a> {
    /// What all files of a server have in common.
    pub base: &'a str,
    /// Which one it is.
    pub number: u64,
}

impl<'a> FileName<'a> {
    /// Reads a name; `None` for one that does not end in a number.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let (base, number) = name.rsplit_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { base, number: number.parse().ok().filter(|_| is_number)? })
    }

    /// The name of the file that follows `name`; `None` for one that does not end in a number.
    #[must_use]
    pub fn following(name: &'a str) -> Option<String> {
        let Self { base, number } = Self::parse(name)?;
        let width = name.len().saturating_sub(base.len() + 1);
        Some(format!("{base}.{:0width$}", number.checked_add(1)?))
    }
}

/// Files of one base name are written one after another; others have no order.
impl PartialOrd for FileName<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.base == other.base).then(|| self.number.cmp(&other.number))
    }
}

/// A file and an offset in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Binlog file.
    pub file: Arc<str>,
    /// Offset of an event, in bytes.
    pub offset: u64,
}

/// The order in which a server wrote; `None` for files with different base names, or without numbers.
impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.file == other.file {
            return Some(self.offset.cmp(&other.offset));
        }
        let files = FileName::parse(&self.file)?.partial_cmp(&FileName::parse(&other.file)?)?;
        // One number in two spellings is no place of one server.
        Some(files).filter(|order| order.is_ne())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, offset: u64) -> Position {
        Position { file: file.into(), offset }
    }

    #[test]
    fn places_have_the_order_in_which_they_were_written() {
        for (left, right, expected) in [
            (at("b.000001", 4), at("b.000001", 4), Some(Ordering::Equal)),
            (at("b.000001", 5), at("b.000001", 40), Some(Ordering::Less)),
            (at("b.000002", 4), at("b.000001", 40), Some(Ordering::Greater)),
            (at("b.999999", 4), at("b.1000000", 4), Some(Ordering::Less)),
            (at("x.y.000009", 4), at("x.y.000010", 4), Some(Ordering::Less)),
            (at("a.000001", 4), at("b.000002", 4), None),
            (at("b.000001", 4), at("b.1", 4), None),
            (at("b", 4), at("b.000001", 4), None),
            (at("b", 4), at("b", 5), Some(Ordering::Less)),
            (at("b.+1", 4), at("b.000002", 4), None),
        ] {
            assert_eq!(left.partial_cmp(&right), expected, "{left:?} {right:?}");
            assert_eq!(right.partial_cmp(&left), expected.map(Ordering::reverse));
        }
    }

    #[test]
    fn a_file_is_followed_by_the_next_number() {
        assert_eq!(FileName::following("b.000009").as_deref(), Some("b.000010"));
        assert_eq!(FileName::following("b.999999").as_deref(), Some("b.1000000"));
        assert_eq!(FileName::following("b"), None);
        assert_eq!(FileName::following(&format!("b.{}", u64::MAX)), None);
    }
}
