//! UNIQUE keys: MariaDB adds a hidden column for each that is too long for an index.

use super::if_exists;
use crate::cursor::{Cursor, split_commas};
use crate::lexer::Token;
use crate::table::{KeyPart, UniqueKey};

/// A key in a list of definitions, not the primary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// Its name is empty where the server makes one.
    Unique(UniqueKey),
    /// Another one, by its name.
    Other(String),
}

impl Key {
    /// Gives it the name that the server makes of its first column, if it has none: a number follows where
    /// that is taken.
    pub(crate) fn named(self, taken: &[String]) -> Self {
        let Self::Unique(mut key) = self else { return self };
        if key.name.is_empty()
            && let Some(first) = key.parts.first().map(|part| part.column.clone())
        {
            let is_free = |name: &String| !taken.iter().any(|n| n.eq_ignore_ascii_case(name));
            let numbered = (2..100).map(|number| format!("{first}_{number}"));
            let mut names = [first.clone()].into_iter().chain(numbered);
            key.name = names.find(is_free).unwrap_or(first);
        }
        Self::Unique(key)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Unique(key) => &key.name,
            Self::Other(name) => name,
        }
    }
}

/// `[CONSTRAINT [name]] [UNIQUE | FULLTEXT ...] [KEY | INDEX] [name] [USING ...] (parts) ...`.
pub(super) fn key(part: &[Token<'_>]) -> Option<Key> {
    let mut c = Cursor::new(part);
    let mut name = None;
    if c.eat("constraint") {
        if_exists(&mut c);
        if !["unique", "primary", "foreign", "check"].iter().any(|word| c.peek_is(word)) {
            name = c.identifier();
        }
    }
    let is_unique = c.eat("unique");
    c.eat_any(&["fulltext", "spatial", "vector"]);
    if !c.eat_any(&["key", "index"]) && !is_unique {
        return None;
    }
    if_exists(&mut c);
    if !c.peek_symbol('(') && !c.peek_is("using") && !c.peek_is("type") {
        name = c.identifier().or(name);
    }
    let name = name.unwrap_or_default();
    if is_unique { Some(Key::Unique(unique(&name, c))) } else { Some(Key::Other(name)) }
}

/// What stands behind the name of a UNIQUE key.
pub(super) fn unique(name: &str, mut c: Cursor<'_, '_>) -> UniqueKey {
    let by_hash = |pair: &[Token<'_>]| {
        matches!(pair, [using, hash]
            if (using.is("using") || using.is("type")) && hash.is("hash"))
    };
    let uses_hash = c.rest().windows(2).any(by_hash);
    let mut parts = Vec::new();
    while !c.is_end() {
        if let Some(inner) = c.parenthesized() {
            parts = split_commas(inner).into_iter().filter_map(key_part).collect();
            break;
        }
        c.next();
    }
    UniqueKey { name: name.to_owned(), parts, uses_hash }
}

fn key_part(part: &[Token<'_>]) -> Option<KeyPart> {
    let mut c = Cursor::new(part);
    let column = c.identifier()?;
    let prefix = c.parenthesized().and_then(|inner| inner.first()?.text.parse().ok());
    Some(KeyPart { column, prefix })
}

/// The key of a column that is defined as UNIQUE.
pub(super) fn of_column(column: &str) -> Key {
    let parts = vec![KeyPart { column: column.to_owned(), prefix: None }];
    Key::Unique(UniqueKey { name: String::new(), parts, uses_hash: false })
}
