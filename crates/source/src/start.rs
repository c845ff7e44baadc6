//! Where to begin.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::SourceError;

/// A start position as the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what is written from now on.
    Now,
    /// With the oldest event that the source still has.
    Earliest,
    /// At an offset of a file.
    At {
        /// Binlog file name.
        file: String,
        /// Offset of an event.
        offset: u64,
    },
    /// Behind the transactions of a GTID set.
    Gtid(String),
    /// With the first transaction at or after a moment.
    Time {
        /// Seconds since 1970.
        unix_s: u64,
    },
}

/// No binlog is older: 2001.
const BINLOGS_SINCE_S: u64 = 1_000_000_000;

/// How far the clock of a source may be ahead.
const CLOCKS_DIFFER_S: u64 = 24 * 3600;

impl FromStr for Start {
    type Err = SourceError;

    /// `now`, `earliest`, `FILE:OFFSET`, `gtid:SET`, `time:SECONDS` (since 1970) or `time:` with a
    /// moment as in RFC 3339.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let fail = |reason: &str| SourceError::Start {
            start: text.to_owned(),
            reason: format!(
                "{reason}; expected now, earliest, FILE:OFFSET (mysql-bin.000003:4), gtid:SET, or \
                 time: with seconds since 1970 or 2026-01-31T08:00:00Z"
            ),
        };
        if text.eq_ignore_ascii_case("now") {
            return Ok(Self::Now);
        }
        if text.eq_ignore_ascii_case("earliest") {
            return Ok(Self::Earliest);
        }
        if let Some(set) = text.strip_prefix("gtid:") {
            return Ok(Self::Gtid(set.to_owned()));
        }
        if let Some(moment) = text.strip_prefix("time:") {
            let seconds = moment.parse().ok().or_else(|| rfc3339(moment));
            let unix_s: u64 = seconds.ok_or_else(|| fail("the time cannot be read"))?;
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            return match unix_s <= now_s.saturating_add(CLOCKS_DIFFER_S) {
                true => Ok(Self::Time { unix_s }),
                false if (BINLOGS_SINCE_S..=now_s).contains(&(unix_s / 1000)) => {
                    Err(fail(&format!("it is in milliseconds: time:{} is meant", unix_s / 1000)))
                }
                false => Err(fail("the time is yet to come")),
            };
        }
        let (file, offset) =
            text.rsplit_once(':').ok_or_else(|| fail("it is none of the forms"))?;
        let offset = offset.parse().map_err(|_| fail("the offset is no number"))?;
        if file.is_empty() || offset < 4 {
            return Err(fail("the file is empty or the offset below 4, where the first event is"));
        }
        Ok(Self::At { file: file.to_owned(), offset })
    }
}

fn rfc3339(text: &str) -> Option<u64> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(moment.as_second()).ok()
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => write!(f, "now"),
            Self::Earliest => write!(f, "earliest"),
            Self::At { file, offset } => write!(f, "{file}:{offset}"),
            Self::Gtid(set) => write!(f, "gtid:{set}"),
            Self::Time { unix_s } => write!(f, "time:{unix_s}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_read_as_they_are_shown() {
        for text in ["now", "earliest", "mysql-bin.000003:4", "a:b.1:99", "gtid:0-1-2", "time:77"] {
            assert_eq!(text.parse::<Start>().unwrap().to_string(), text);
        }
        for moment in ["time:2001-09-09T01:46:40Z", "time:2001-09-09T03:46:40+02:00"] {
            assert_eq!(moment.parse::<Start>().unwrap(), Start::Time { unix_s: 1_000_000_000 });
        }
        for (text, fault) in [
            ("yesterday", "none of the forms"),
            ("mysql-bin.000003:x", "offset is no number"),
            ("mysql-bin.000003:3", "below 4"),
            (":4", "file is empty"),
            ("time:yesterday", "time cannot be read"),
            ("time:1960-01-01T00:00:00Z", "time cannot be read"),
            ("time:1796049645123", "time:1796049645 is meant"),
            ("time:9999-01-01T00:00:00Z", "yet to come"),
        ] {
            let error = text.parse::<Start>().unwrap_err().to_string();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
