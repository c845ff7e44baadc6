//! What a statement that is not understood may have changed.

use std::collections::BTreeSet;

use crate::lexer::{Kind, Token};

/// Different words that are kept of a statement.
const WORDS_MAX: usize = 4096;

/// Every table that a statement may have meant: a table whose name stands in it, in the default database
/// or in one whose name stands in it. Where its words are not sure, every table of these databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// In lower case.
    words: BTreeSet<String>,
    /// Names that do not stand in it are meant as well.
    any: bool,
}

impl Doubt {
    /// Of a statement whose words are sure. One about a database means all its tables.
    pub(crate) fn of(tokens: &[Token<'_>]) -> Self {
        let is_about_databases = |token: &Token<'_>| token.is("database") || token.is("schema");
        // A quote that is not closed holds whatever stands behind it.
        let is_open = |token: &Token<'_>| token.is_unclosed();
        let any = tokens.iter().take(4).any(is_about_databases) || tokens.iter().any(is_open);
        Self { any, ..Self::of_any(tokens) }
    }

    /// Of a statement that may mean tables whose names are not among the tokens.
    pub(crate) fn of_any(tokens: &[Token<'_>]) -> Self {
        let text = |token: &Token<'_>| match &token.kind {
            Kind::Symbol(_) => None,
            Kind::Number => Some(token.text.to_owned()),
            // What is a string in one mode is a name in another.
            Kind::Word | Kind::Quoted(_) | Kind::Str => token.text_value(),
        };
        let mut words = BTreeSet::new();
        for word in tokens.iter().filter_map(text) {
            if words.len() >= WORDS_MAX {
                break;
            }
            words.insert(word.to_lowercase());
        }
        Self { words, any: true }
    }

    /// From what the history keeps.
    pub(crate) fn from_parts(words: &[String], any: bool) -> Self {
        Self { words: words.iter().cloned().collect(), any }
    }

    /// Whether the statement may have changed this table; `database` is the default one.
    pub(crate) fn covers(&self, schema: &str, table: &str, database: Option<&str>) -> bool {
        self.covers_database(schema, database)
            && (self.is_any() || self.words.contains(&table.to_lowercase()))
    }

    /// Whether it may have changed tables of this database.
    pub(crate) fn covers_database(&self, schema: &str, database: Option<&str>) -> bool {
        let schema = schema.to_lowercase();
        database.is_some_and(|default| default.to_lowercase() == schema)
            || self.words.len() >= WORDS_MAX
            || self.words.contains(&schema)
    }

    /// Every table of the databases that it covers.
    pub(crate) fn is_any(&self) -> bool {
        self.any || self.words.len() >= WORDS_MAX
    }

    /// The words, each perhaps the name of a table or a database.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }
}
