//! CREATE.

use super::{CanalKind, Change, Draft, Parsed, if_exists};
use crate::column::{Definition, definition};
use crate::cursor::{Cursor, Name, split_commas};
use crate::lexer::{ParseOptions, Token, tokens};
use crate::table::{Column, Table};

/// What a created table consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Columns(Vec<Column>, Option<String>),
    Like(Name),
    /// Only the source knows: CREATE ... SELECT.
    Unknown,
}

pub(super) fn create(mut c: Cursor<'_, '_>, parsed: &mut Parsed) -> Option<()> {
    c.next();
    let or_replace = c.eat_all(&["or", "replace"]);
    let temporary = c.eat("temporary");
    if c.eat("table") {
        return table(c, (or_replace, temporary), parsed);
    }
    if c.eat_any(&["database", "schema"]) {
        if_exists(&mut c);
        let name = c.identifier()?;
        parsed.results.push(Draft::Database(name));
        return Some(());
    }
    if c.eat("sequence") {
        if_exists(&mut c);
        let name = c.name()?;
        parsed.changes.push(Change::Create {
            name,
            or_replace,
            if_not_exists: false,
            body: Body::Columns(sequence_columns(), None),
        });
        return Some(());
    }
    c.eat_any(&["unique", "fulltext", "spatial", "vector"]);
    if c.eat("index") {
        if_exists(&mut c);
        c.identifier()?;
        while c.peek().is_some() && !c.eat("on") {
            c.next();
        }
        let name = c.name()?;
        parsed.result(CanalKind::CreateIndex, &name);
        return Some(());
    }
    Some(())
}

fn table(
    mut c: Cursor<'_, '_>,
    (or_replace, temporary): (bool, bool),
    parsed: &mut Parsed,
) -> Option<()> {
    let if_not_exists = if_exists(&mut c);
    let name = c.name()?;
    let mut exotic = or_replace;
    let like = |c: &mut Cursor<'_, '_>| if c.eat("like") { c.name() } else { None };
    let body = if let Some(other) = like(&mut c) {
        Body::Like(other)
    } else if let Some(inner) = c.parenthesized() {
        let mut inside = Cursor::new(inner);
        if let Some(other) = like(&mut inside) {
            Body::Like(other)
        } else if inside.peek_is("select") || inside.peek_is("with") || has_select(&c) {
            Body::Unknown
        } else {
            let (mut columns, readable) = columns(inner)?;
            let versioned = system_versioned(&mut columns, inner, &c);
            exotic |= !readable || versioned;
            Body::Columns(columns, table_charset(c))
        }
    } else {
        Body::Unknown
    };
    parsed.result(CanalKind::Create, &name);
    if !temporary {
        parsed.changes.push(Change::Create { name, or_replace, if_not_exists, body });
    }
    if exotic {
        parsed.unreadable();
    }
    Some(())
}

/// `CREATE TABLE t (...) ... SELECT`; the words `START TRANSACTION` at the end are no select.
fn has_select(c: &Cursor<'_, '_>) -> bool {
    c.rest().iter().any(|token| token.is("select"))
}

fn table_charset(mut c: Cursor<'_, '_>) -> Option<String> {
    while !c.is_end() {
        if c.eat("charset") || c.eat_all(&["character", "set"]) {
            c.eat_symbol('=');
            return c.identifier();
        }
        c.next();
    }
    None
}

/// The columns of a definition list, keys applied; false when Canal gives up on one of them.
fn columns(inner: &[Token<'_>]) -> Option<(Vec<Column>, bool)> {
    let (mut columns, mut readable) = (Vec::new(), true);
    let mut keys = Vec::new();
    for part in split_commas(inner) {
        let mut c = Cursor::new(part);
        if c.eat("constraint") && !starts_key(&c) {
            c.identifier();
        }
        if c.eat_all(&["primary", "key"]) {
            keys.extend(key_columns(c));
        } else if !(is_other_key(part) || starts_key(&c) || c.peek_is("check")) {
            let Definition { column, exotic, .. } = definition(part)?;
            readable &= !exotic;
            columns.push(column);
        }
    }
    for key in keys {
        mark_key(&mut columns, &key);
    }
    Some((columns, readable))
}

pub(super) fn mark_key(columns: &mut [Column], name: &str) {
    for column in columns.iter_mut().filter(|column| column.name.eq_ignore_ascii_case(name)) {
        column.is_key = true;
        column.nullable = false;
    }
}

fn starts_key(c: &Cursor<'_, '_>) -> bool {
    ["primary", "unique", "foreign", "check"].iter().any(|word| c.peek_is(word))
}

/// Keys and other things in a definition list that are no columns. A word counts only where a
/// column could not follow: a column may be called `key` only in quotes.
fn is_other_key(part: &[Token<'_>]) -> bool {
    let c = Cursor::new(part);
    let period = part.get(1).is_some_and(|token| token.is("for"));
    ["key", "index", "unique", "fulltext", "spatial", "foreign", "constraint", "vector"]
        .iter()
        .any(|word| c.peek_is(word))
        && !(c.peek_is("vector") && part.get(1).is_none_or(|t| !t.is("index") && !t.is("key")))
        || c.peek_is("period") && period
}

/// Names in the first parenthesis of a key definition.
pub(super) fn key_columns(mut c: Cursor<'_, '_>) -> Vec<String> {
    while !c.is_end() {
        if let Some(inner) = c.parenthesized() {
            return split_commas(inner)
                .iter()
                .filter_map(|part| Cursor::new(part).identifier())
                .collect();
        }
        c.next();
    }
    Vec::new()
}

/// MariaDB: `WITH SYSTEM VERSIONING` adds two hidden columns unless the definition has its own.
fn system_versioned(columns: &mut Vec<Column>, inner: &[Token<'_>], tail: &Cursor<'_, '_>) -> bool {
    let mut c = *tail;
    let mut found = false;
    while !c.is_end() && !found {
        found = c.eat_all(&["with", "system", "versioning"]);
        c.next();
    }
    let own = inner.windows(2).any(|pair| matches!(pair, [a, b] if a.is("row") && b.is("start")));
    if found && !own {
        for name in ["row_start", "row_end"] {
            let mut column = Column::new(name, "timestamp(6)");
            column.nullable = false;
            column.is_key = name == "row_end" && columns.iter().any(|column| column.is_key);
            columns.push(column);
        }
    }
    found
}

/// The structure of the table behind a MariaDB sequence.
fn sequence_columns() -> Vec<Column> {
    [
        ("next_not_cached_value", "bigint(21)"),
        ("minimum_value", "bigint(21)"),
        ("maximum_value", "bigint(21)"),
        ("start_value", "bigint(21)"),
        ("increment", "bigint(21)"),
        ("cache_size", "bigint(21) unsigned"),
        ("cycle_option", "tinyint(1) unsigned"),
        ("cycle_count", "bigint(21)"),
    ]
    .iter()
    .map(|(name, type_text)| Column { nullable: false, ..Column::new(name, type_text) })
    .collect()
}

/// The table of a `SHOW CREATE TABLE` text; `None` when it cannot be read.
#[must_use]
pub fn table_from_create(sql: &str, schema: &str) -> Option<Table> {
    let all = tokens(sql, ParseOptions::default(), super::TOKENS_MAX);
    let mut parsed = Parsed::default();
    create(Cursor::new(&all), &mut parsed)?;
    let Change::Create { name, body: Body::Columns(columns, charset), .. } =
        parsed.changes.into_iter().next()?
    else {
        return None;
    };
    Some(Table { schema: schema.to_owned(), name: name.1, columns, charset })
}
