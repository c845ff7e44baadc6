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
}

impl FileName<'_> {
    /// Whether the file `name` was written before the file `other` of the same base name.
    #[must_use]
    pub fn is_earlier(name: &str, other: &str) -> bool {
        FileName::parse(name).zip(FileName::parse(other)).is_some_and(|(name, other)| name < other)
    }

    /// The name of the file that follows `name`; `None` for one that does not end in a number.
    #[must_use]
    pub fn following(name: &str) -> Option<String> {
        let FileName { base, number } = FileName::parse(name)?;
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

impl Position {
    /// The order in which a server wrote two places, each a file and an offset; `None` for files with different
    /// base names, or without numbers.
    #[must_use]
    pub fn order(left: (&str, u64), right: (&str, u64)) -> Option<Ordering> {
        let ((file, offset), (other, other_offset)) = (left, right);
        if file == other {
            return Some(offset.cmp(&other_offset));
        }
        let files = FileName::parse(file)?.partial_cmp(&FileName::parse(other)?)?;
        // One number in two spellings is no place of one server.
        Some(files).filter(|order| order.is_ne())
    }

    /// Whether the place `left` lies before `right`; false where they have no order.
    #[must_use]
    pub fn is_before(left: (&str, u64), right: (&str, u64)) -> bool {
        Self::order(left, right).is_some_and(Ordering::is_lt)
    }
}

/// See [`Position::order`].
impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Self::order((&self.file, self.offset), (&other.file, other.offset))
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
