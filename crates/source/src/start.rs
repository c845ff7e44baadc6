//! Where to begin.

use std::str::FromStr;

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

impl FromStr for Start {
    type Err = SourceError;

    /// `now`, `earliest`, `FILE:OFFSET`, `gtid:SET`, `time:SECONDS` (since 1970).
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let fail = |reason: &str| SourceError::Start {
            start: text.to_owned(),
            reason: format!(
                "{reason}; expected now, earliest, FILE:OFFSET (mysql-bin.000003:4), gtid:SET, or \
                 time:SECONDS since 1970"
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
            let unix_s = moment.parse().map_err(|_| fail("the time is no number of seconds"))?;
            return Ok(Self::Time { unix_s });
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
