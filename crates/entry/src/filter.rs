//! Canal's table filters (server-runtime 6.3).

mod database;
mod fields;
mod names;
mod pattern;
mod program;
mod remarks;

use std::sync::Arc;

use thiserror::Error;

pub use database::filter_within;
pub(crate) use fields::FieldRule;
pub use fields::{FieldFilter, FieldFilterError};
use names::Names;
use program::{Program, Room};
pub use remarks::{filter_remarks, shown_filter};

/// Bytes of a filter. It lies in cursor files and in ZooKeeper, whose nodes hold 1 MiB; a list of 5,000
/// tables has 250 KB.
pub const FILTER_LEN_MAX: usize = 512 << 10;

/// A filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// A part of the list is no pattern.
    #[error("`{part}` is not a regular expression: {reason}, at offset {offset}")]
    Syntax {
        /// The part of the list, shortened.
        part: String,
        /// Byte in the part.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The list is too long.
    #[error("a filter of {len} bytes is too long: {FILTER_LEN_MAX} are allowed")]
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// A pattern would take too long, or too much memory.
    #[error("`{part}` is too complex a pattern: {reason}")]
    TooComplex {
        /// The part of the list, shortened.
        part: String,
        /// What is too complex.
        reason: &'static str,
    },
    /// A name for which matching was given up: whether the filter wants it is not known.
    #[error("matching {subject} with the filter takes too long: simplify the filter")]
    GivenUp {
        /// `schema.table`.
        subject: String,
    },
}

impl FilterError {
    fn syntax(part: &str, offset: usize, reason: &str) -> Self {
        Self::Syntax { part: shown_filter(part), offset, reason: reason.to_owned() }
    }

    fn complex(part: &str, reason: &'static str) -> Self {
        Self::TooComplex { part: shown_filter(part), reason }
    }
}

/// One list of patterns.
#[derive(Debug, Clone)]
enum Patterns {
    /// Empty: the default answer.
    Empty,
    /// `.*` or `.*\..*`, the usual white list.
    All,
    /// Each pattern by itself.
    Each { names: Names, programs: Box<[Program]> },
    /// All patterns as alternatives of one. The first alternative that matches counts, and must reach
    /// the end: that differs where a pattern has alternatives of its own, which are anchored at its
    /// outer ends only, or refers back to a group, whose number is that in the whole list.
    Joined(Box<Program>),
}

impl Patterns {
    fn new(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_LEN_MAX {
            return Err(FilterError::TooLong { len: text.len() });
        }
        Self::of_any_len(text)
    }

    fn of_any_len(text: &str) -> Result<Self, FilterError> {
        let mut pieces = split(text);
        if pieces.is_empty() {
            return Ok(Self::Empty);
        }
        let (mut names, mut others) = (Names::default(), Vec::new());
        let (mut room, mut is_joined) = (Room::of_filter(), false);
        for piece in &pieces {
            let pattern = pattern::parse(piece)?;
            is_joined |= pattern.has_references() || pattern.is_split();
            if !is_joined && !names.add(&pattern.node) {
                others.push(Program::new(&pattern.anchored(), piece, &mut room)?);
            }
        }
        if is_joined {
            // The longest first, as Java counts characters.
            pieces.sort_by_key(|piece| std::cmp::Reverse(piece.encode_utf16().count()));
            let anchored: Vec<String> = pieces.iter().map(|piece| format!("^{piece}$")).collect();
            let pattern = pattern::parse(&anchored.join("|"))?;
            let program = Program::new(&pattern, text, &mut Room::of_filter())?;
            return Ok(Self::Joined(Box::new(program)));
        }
        if pieces.iter().any(|piece| matches!(*piece, ".*" | r".*\..*")) {
            return Ok(Self::All);
        }
        Ok(Self::Each { names, programs: others.into() })
    }

    /// Canal's match: at offset 0, the first alternative that matches, which must reach the end.
    fn matches(&self, subject: &Subject) -> Result<Option<bool>, FilterError> {
        let chars = subject.chars.as_slice();
        let reaches_the_end = |program: &Program| match program.find(chars) {
            Ok(end) => Ok(end == Some(chars.len())),
            Err(program::GivenUp) => {
                let subject: String = subject.chars.iter().collect();
                Err(FilterError::GivenUp { subject: shown_filter(&subject) })
            }
        };
        match self {
            Self::Empty => Ok(None),
            Self::All => Ok(Some(true)),
            Self::Joined(program) => reaches_the_end(program).map(Some),
            Self::Each { names, programs } => {
                if names.holds(chars) {
                    return Ok(Some(true));
                }
                for program in programs {
                    if reaches_the_end(program)? {
                        return Ok(Some(true));
                    }
                }
                Ok(Some(false))
            }
        }
    }
}

/// `schema.table` in lower case.
struct Subject {
    chars: Vec<char>,
}

impl Subject {
    fn new(schema: &str, table: &str) -> Self {
        Self { chars: format!("{schema}.{table}").to_lowercase().chars().collect() }
    }
}

/// Splits at commas outside of brackets; a backslash protects what follows; blanks stay.
fn split(text: &str) -> Vec<&str> {
    let (mut pieces, mut depth, mut start, mut escaped) = (Vec::new(), 0_i32, 0, false);
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Which tables are delivered: those that the white list names (all when it is empty), without
/// those that the black list names.
#[derive(Debug, Clone)]
pub struct TableFilter {
    white: Arc<Patterns>,
    black: Arc<Patterns>,
}

impl Default for TableFilter {
    fn default() -> Self {
        Self { white: Arc::new(Patterns::Empty), black: Arc::new(Patterns::Empty) }
    }
}

impl TableFilter {
    /// Comma-separated regular expressions on `schema.table`, ignoring case.
    ///
    /// # Errors
    /// [`FilterError`] names the part that cannot be used.
    pub fn new(white: &str, black: &str) -> Result<Self, FilterError> {
        Ok(Self { white: Arc::new(Patterns::new(white)?), black: Arc::new(Patterns::new(black)?) })
    }

    /// The same black list with another white list: what a client's subscription does.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_white(&self, white: &str) -> Result<Self, FilterError> {
        Ok(Self { white: Arc::new(Patterns::new(white)?), black: Arc::clone(&self.black) })
    }

    /// The same with a white list that was accepted before: by an earlier version, or by Canal. Its
    /// length is not looked at.
    ///
    /// # Errors
    /// As [`Self::new`], but for [`FilterError::TooLong`].
    pub fn with_stored_white(&self, white: &str) -> Result<Self, FilterError> {
        let white = Arc::new(Patterns::of_any_len(white)?);
        Ok(Self { white, black: Arc::clone(&self.black) })
    }

    /// True when rows of the table are delivered.
    ///
    /// # Errors
    /// [`FilterError::GivenUp`] when that cannot be told.
    pub fn matches(&self, schema: &str, table: &str) -> Result<bool, FilterError> {
        let subject = Subject::new(schema, table);
        Ok(self.passes_white(&subject)? && !self.hits_black(&subject)?)
    }

    /// A rename is delivered when either name is wanted, unless both are unwanted.
    ///
    /// # Errors
    /// As [`Self::matches`].
    pub fn matches_rename(
        &self,
        target: (&str, &str),
        source: (&str, &str),
    ) -> Result<bool, FilterError> {
        let (target, source) = (Subject::new(target.0, target.1), Subject::new(source.0, source.1));
        Ok((self.passes_white(&target)? || self.passes_white(&source)?)
            && !(self.hits_black(&target)? && self.hits_black(&source)?))
    }

    fn passes_white(&self, subject: &Subject) -> Result<bool, FilterError> {
        Ok(self.white.matches(subject)?.unwrap_or(true))
    }

    fn hits_black(&self, subject: &Subject) -> Result<bool, FilterError> {
        Ok(self.black.matches(subject)?.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_canal_matches() {
        for (pattern, schema, table, want) in [
            (r"s1\..*,s2\..*", "S1", "T", true),
            (r"s1\..*,s2\..*", "s12", "t1", false),
            (r"s1\..*, s2\..*", "s2", "t", false),
            (r"test\.order_\d{1,2}", "test", "order_42", true),
            (r"db\.(?!tmp_).*", "db", "tmp_1", false),
            (r"db\.(?!tmp_).*", "db", "x", true),
            ("", "any", "t", true),
            (r"a.x|a.xy", "a", "xy", false),
            (r".*\..*", "a", "b", true),
        ] {
            let filter = TableFilter::new(pattern, "").unwrap();
            assert_eq!(filter.matches(schema, table), Ok(want), "{pattern} on {schema}.{table}");
        }
        assert!(TableFilter::new("a([", "").is_err());
        let black = TableFilter::new("", r"mysql\.slave_.*").unwrap();
        assert_eq!(black.matches("mysql", "slave_x"), Ok(false));
        assert_eq!(black.matches("a", "b"), Ok(true));
    }
}
