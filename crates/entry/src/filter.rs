//! Canal's table filters (server-runtime 6.3).

mod fields;

use fancy_regex::Regex;
use thiserror::Error;

pub(crate) use fields::FieldRule;
pub use fields::{FieldFilter, FieldFilterError};

/// A filter text that cannot be used.
#[derive(Debug, Error)]
#[error("`{part}` is not a regular expression: {source}")]
pub struct FilterError {
    /// The part of the list that does not compile.
    pub part: String,
    /// Why.
    #[source]
    pub source: Box<fancy_regex::Error>,
}

/// One list of patterns.
#[derive(Debug, Clone)]
enum Patterns {
    /// Empty: the default answer.
    Empty,
    /// `.*` or `.*\..*`, the usual white list.
    All,
    List(Regex),
}

impl Patterns {
    fn new(text: &str) -> Result<Self, FilterError> {
        let mut pieces = split(text);
        if pieces.is_empty() {
            return Ok(Self::Empty);
        }
        if pieces.iter().any(|piece| matches!(*piece, ".*" | r".*\..*")) {
            return Ok(Self::All);
        }
        for piece in &pieces {
            compile(piece, piece)?;
        }
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        let anchored: Vec<String> = pieces.iter().map(|piece| format!("^{piece}$")).collect();
        Ok(Self::List(compile(&anchored.join("|"), text)?))
    }

    /// Canal's match: at offset 0, the first alternative that matches, which must reach the end.
    fn matches(&self, subject: &str) -> Option<bool> {
        match self {
            Self::Empty => None,
            Self::All => Some(true),
            Self::List(regex) => Some(
                regex
                    .find(subject)
                    .ok()
                    .flatten()
                    .is_some_and(|found| found.start() == 0 && found.end() == subject.len()),
            ),
        }
    }
}

fn compile(pattern: &str, part: &str) -> Result<Regex, FilterError> {
    Regex::new(&format!("(?is)\\A(?:{pattern})"))
        .map_err(|e| FilterError { part: part.to_owned(), source: Box::new(e) })
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
    white: Patterns,
    black: Patterns,
}

impl Default for TableFilter {
    fn default() -> Self {
        Self { white: Patterns::Empty, black: Patterns::Empty }
    }
}

impl TableFilter {
    /// Comma-separated regular expressions on `schema.table`, ignoring case.
    ///
    /// # Errors
    /// [`FilterError`] names the part that does not compile.
    pub fn new(white: &str, black: &str) -> Result<Self, FilterError> {
        Ok(Self { white: Patterns::new(white)?, black: Patterns::new(black)? })
    }

    /// The same black list with another white list: what a client's subscription does.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_white(&self, white: &str) -> Result<Self, FilterError> {
        Ok(Self { white: Patterns::new(white)?, black: self.black.clone() })
    }

    /// True when rows of the table are delivered.
    #[must_use]
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let subject = format!("{schema}.{table}").to_lowercase();
        self.passes_white(&subject) && !self.hits_black(&subject)
    }

    /// A rename is delivered when either name is wanted, unless both are unwanted.
    #[must_use]
    pub fn matches_rename(&self, target: (&str, &str), source: (&str, &str)) -> bool {
        let subject = |(schema, table): (&str, &str)| format!("{schema}.{table}").to_lowercase();
        let (target, source) = (subject(target), subject(source));
        (self.passes_white(&target) || self.passes_white(&source))
            && !(self.hits_black(&target) && self.hits_black(&source))
    }

    fn passes_white(&self, subject: &str) -> bool {
        self.white.matches(subject).unwrap_or(true)
    }

    fn hits_black(&self, subject: &str) -> bool {
        self.black.matches(subject).unwrap_or(false)
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
            assert_eq!(filter.matches(schema, table), want, "{pattern} on {schema}.{table}");
        }
        assert!(TableFilter::new("a([", "").is_err());
        let black = TableFilter::new("", r"mysql\.slave_.*").unwrap();
        assert!(!black.matches("mysql", "slave_x") && black.matches("a", "b"));
    }
}
