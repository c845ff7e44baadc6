//! MySQL's GTID sets: intervals of transaction numbers for each server UUID and tag.

use std::collections::BTreeMap;
use std::fmt;

use super::GtidError;
use crate::error::ParseError;
use crate::reader::Reader;

/// A server's UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Reads the form with dashes, or 32 hex digits.
    ///
    /// # Errors
    /// [`GtidError::Text`]
    pub fn parse(text: &str) -> Result<Self, GtidError> {
        let mut out = [0_u8; 16];
        let mut digits = text.bytes().filter(|&b| b != b'-').map(|b| char::from(b).to_digit(16));
        for byte in &mut out {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(GtidError::text(text, "a UUID"));
            };
            *byte = u8::try_from(high << 4 | low).unwrap_or_default();
        }
        if digits.next().is_some() {
            return Err(GtidError::text(text, "a UUID"));
        }
        Ok(Self(out))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// UUID and tag (empty for none).
type Source = (Uuid, String);

/// Half-open intervals, ascending, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        // The usual case: the next transaction of a server.
        if let Some(last) = self.0.last_mut()
            && last.0 <= start
            && start <= last.1
        {
            last.1 = last.1.max(end);
            return;
        }
        let first = self.0.partition_point(|&(_, e)| e < start);
        let after = self.0.partition_point(|&(s, _)| s <= end);
        let touched = self.0.get(first..after).unwrap_or_default();
        let merged = (
            touched.first().map_or(start, |&(s, _)| s.min(start)),
            touched.last().map_or(end, |&(_, e)| e.max(end)),
        );
        self.0.splice(first..after, [merged]);
    }

    fn contains(&self, start: u64, end: u64) -> bool {
        start >= end || self.0.iter().any(|&(s, e)| s <= start && end <= e)
    }

    fn minus(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        for &(mut start, end) in &self.0 {
            for &(s, e) in &other.0 {
                if e <= start || s >= end {
                    continue;
                }
                if start < s {
                    out.push((start, s));
                }
                start = start.max(e);
            }
            if start < end {
                out.push((start, end));
            }
        }
        Self(out)
    }
}

/// A set of MySQL GTIDs. Text form: `uuid:1-3:5:tag:1-2,uuid2:1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MysqlGtidSet {
    sources: BTreeMap<Source, Intervals>,
}

impl MysqlGtidSet {
    /// Reads the text form; white space and newlines are ignored; an empty text is the empty set.
    ///
    /// # Errors
    /// [`GtidError::Text`] names the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        for group in text.split(',').map(str::trim).filter(|group| !group.is_empty()) {
            let mut parts = group.split(':').map(str::trim);
            let uuid = Uuid::parse(parts.next().unwrap_or_default())?;
            let mut tag = String::new();
            let mut intervals = 0;
            for part in parts {
                if part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    tag = part.to_ascii_lowercase();
                    continue;
                }
                let (start, end) = part.split_once('-').unwrap_or((part, part));
                let (Ok(start), Ok(end)) = (start.trim().parse::<u64>(), end.trim().parse::<u64>())
                else {
                    return Err(GtidError::text(part, "a transaction number or a range"));
                };
                if start == 0 || end < start || end == u64::MAX {
                    return Err(GtidError::text(part, "an ascending range of numbers from 1"));
                }
                set.add_range(uuid, &tag, start, end + 1);
                intervals += 1;
            }
            if intervals == 0 {
                return Err(GtidError::text(group, "uuid:number"));
            }
        }
        Ok(set)
    }

    /// Adds one transaction.
    pub fn add(&mut self, uuid: Uuid, tag: &str, number: u64) {
        self.add_range(uuid, tag, number, number.saturating_add(1));
    }

    /// Adds `start..end`.
    pub fn add_range(&mut self, uuid: Uuid, tag: &str, start: u64, end: u64) {
        if start < end {
            self.sources.entry((uuid, tag.to_owned())).or_default().add(start, end);
        }
    }

    /// Adds all of another set.
    pub fn union(&mut self, other: &Self) {
        for ((uuid, tag), intervals) in &other.sources {
            for &(start, end) in &intervals.0 {
                self.add_range(*uuid, tag, start, end);
            }
        }
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let empty = Intervals::default();
        let sources = self
            .sources
            .iter()
            .map(|(key, intervals)| {
                (key.clone(), intervals.minus(other.sources.get(key).unwrap_or(&empty)))
            })
            .filter(|(_, intervals)| !intervals.0.is_empty())
            .collect();
        Self { sources }
    }

    /// True when every transaction of `other` is in this set.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.sources.iter().all(|(key, intervals)| {
            self.sources
                .get(key)
                .is_some_and(|mine| intervals.0.iter().all(|&(s, e)| mine.contains(s, e)))
        })
    }

    /// True when nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// True when a transaction of a tag is in the set.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        self.sources.keys().any(|(_, tag)| !tag.is_empty())
    }

    /// The binary form of `COM_BINLOG_DUMP_GTID` and `PREVIOUS_GTIDS`: the classic one without
    /// tags, the tagged one (MySQL 8.3 and later) with.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.has_tags();
        let count = u64::try_from(self.sources.len()).unwrap_or(u64::MAX);
        let mut out = Vec::with_capacity(8 + self.sources.len() * 48);
        // Tagged: 01, six bytes of count, 01.
        let word = if tagged { count << 8 | 1 << 56 | 1 } else { count };
        out.extend(word.to_le_bytes());
        for ((uuid, tag), intervals) in &self.sources {
            out.extend(uuid.0);
            if tagged {
                // A tag has at most 32 characters, so twice its length fits one byte.
                out.push(u8::try_from(tag.len() << 1).unwrap_or_default());
                out.extend(tag.as_bytes());
            }
            out.extend(u64::try_from(intervals.0.len()).unwrap_or(u64::MAX).to_le_bytes());
            for &(start, end) in &intervals.0 {
                out.extend(start.to_le_bytes());
                out.extend(end.to_le_bytes());
            }
        }
        out
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`ParseError`] when it is cut or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let word = r.u64("count of GTID sources")?;
        let tagged = word & 0xff == 1 && word >> 56 == 1;
        let count = if tagged { word >> 8 & 0xffff_ffff_ffff } else { word };
        let mut set = Self::default();
        for _ in 0..count {
            let uuid = Uuid(r.array("server UUID")?);
            let mut tag = String::new();
            if tagged {
                let len = usize::from(r.u8("tag length")? >> 1);
                tag = String::from_utf8_lossy(r.bytes(len, "tag")?).into_owned();
            }
            for _ in 0..r.u64("count of intervals")? {
                let (start, end) = (r.u64("interval start")?, r.u64("interval end")?);
                if start == 0 || start >= end {
                    return Err(r.invalid("interval start", start, "1 or more, below its end"));
                }
                set.add_range(uuid, &tag, start, end);
            }
        }
        Ok(set)
    }
}

impl fmt::Display for MysqlGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for ((uuid, tag), intervals) in &self.sources {
            match last {
                Some(previous) if previous == uuid => {}
                Some(_) => write!(f, ",{uuid}")?,
                None => write!(f, "{uuid}")?,
            }
            last = Some(uuid);
            if !tag.is_empty() {
                write!(f, ":{tag}")?;
            }
            for &(start, end) in &intervals.0 {
                if end - start == 1 {
                    write!(f, ":{start}")?;
                } else {
                    write!(f, ":{start}-{}", end - 1)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: &str = "726757ad-4455-11e8-ae04-0242ac110002";

    #[test]
    fn text_survives_a_round_trip_and_merges() {
        for (text, printed) in [
            (format!("{U}:1-3:7-9"), format!("{U}:1-3:7-9")),
            (format!("{U}:7-9:1-3:4"), format!("{U}:1-4:7-9")),
            (format!("{U}:1-100:50"), format!("{U}:1-100")),
            (format!("{U}:1-3:blue:1-2:red:5"), format!("{U}:1-3:blue:1-2:red:5")),
            (String::new(), String::new()),
        ] {
            let set = MysqlGtidSet::parse(&text).unwrap();
            assert_eq!(set.to_string(), printed);
            assert_eq!(MysqlGtidSet::decode(&set.encode()).unwrap(), set);
        }
        assert!(MysqlGtidSet::parse("x:1").is_err());
        assert!(MysqlGtidSet::parse(&format!("{U}:0")).is_err());
    }

    #[test]
    fn encoding_is_that_of_the_manual() {
        let set = MysqlGtidSet::parse(&format!("{U}:1-3:7-9")).unwrap();
        let bytes = set.encode();
        assert_eq!(bytes.len(), 64);
        let tagged = MysqlGtidSet::parse(&format!("{U}:1-3:blue:1-2")).unwrap().encode();
        assert_eq!(tagged.len(), 94);
        assert_eq!(tagged.get(..8).unwrap(), [1, 2, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn subtract_and_contains_agree() {
        let all = MysqlGtidSet::parse(&format!("{U}:1-100")).unwrap();
        let some = MysqlGtidSet::parse(&format!("{U}:10-20:30")).unwrap();
        assert!(all.contains(&some) && !some.contains(&all));
        assert_eq!(all.subtract(&some).to_string(), format!("{U}:1-9:21-29:31-100"));
    }
}
