//! CREATE.

use super::keys::{Key, key, of_column, unique};
use super::{
    CanalKind, Change, DatabaseCharset, Draft, ITEMS_MAX, KEYS_MAX, Parsed, Step, if_exists,
};
use crate::column::{ColumnKey, Definition, charset_of, definition, usual_type};
use crate::cursor::{Cursor, Name, split_commas};
use crate::lexer::{Kind, ParseOptions, Token, Types, tokens};
use crate::table::{Column, Table};

/// What a created table consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// A structure without a name.
    Columns(Table),
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
        let if_not_exists = if_exists(&mut c);
        let name = c.identifier()?;
        parsed.results.push(Draft::Database(name.clone()));
        if or_replace {
            parsed.changes.push(Change::DropDatabase(name.clone()));
        }
        let charset = match database_charset(c) {
            // A collation of any character set is of that of the server.
            DatabaseCharset::Kept | DatabaseCharset::Unknown => DatabaseCharset::Server,
            charset @ (DatabaseCharset::Named(_) | DatabaseCharset::Server) => charset,
        };
        parsed.changes.push(Change::CreateDatabase { name, charset, if_not_exists });
        return Some(());
    }
    if c.eat("sequence") {
        let if_not_exists = if_exists(&mut c);
        let name = c.name()?;
        parsed.changes.push(Change::Create {
            name,
            temporary,
            or_replace,
            if_not_exists,
            body: Body::Columns(Table { columns: sequence_columns(), ..Table::default() }),
        });
        return Some(());
    }
    if c.rest().iter().take(4).any(|token| token.is("table")) {
        return None;
    }
    let is_unique = c.eat("unique");
    c.eat_any(&["fulltext", "spatial", "vector"]);
    if c.eat("index") {
        return index(c, (is_unique, or_replace), parsed);
    }
    Some(())
}

fn index(
    mut c: Cursor<'_, '_>,
    (is_unique, or_replace): (bool, bool),
    parsed: &mut Parsed,
) -> Option<()> {
    let if_not_exists = if_exists(&mut c);
    let key_name = c.identifier()?;
    let behind_name = c;
    while c.peek().is_some() && !c.eat("on") {
        c.next();
    }
    let name = c.name()?;
    parsed.result(CanalKind::CreateIndex, &name);
    let mut steps = Vec::new();
    if has_expression(c) {
        steps.push(Step::FunctionalKey);
    }
    if or_replace {
        steps.push(Step::DropKey(key_name.clone()));
    }
    if is_unique {
        let key = Key::Unique(unique(&key_name, behind_name));
        steps.push(Step::AddKey { key, if_not_exists });
    }
    if !steps.is_empty() {
        parsed.changes.push(Change::Alter { name, steps });
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
        } else if inside.peek_is("select") || inside.peek_is("with") || has_query(&c) {
            Body::Unknown
        } else {
            let mut table = Table {
                charset: table_charset(c).filter(|name| !name.is_empty()),
                ..Table::default()
            };
            let readable = columns(inner, &mut table)?;
            let versioned = system_versioned(&mut table, inner, &c);
            exotic |= !readable || versioned;
            Body::Columns(table)
        }
    } else {
        Body::Unknown
    };
    if !temporary {
        parsed.result(CanalKind::Create, &name);
    }
    parsed.changes.push(Change::Create { name, temporary, or_replace, if_not_exists, body });
    if exotic && !temporary {
        parsed.unreadable();
    }
    Some(())
}

/// `CREATE TABLE t (...) ... SELECT`, or `TABLE u`, or `VALUES (...)`: its columns come to those of the list, or
/// change their order. The words `START TRANSACTION` at the end are no query, and the `VALUES` of a partition
/// stands in parentheses.
fn has_query(c: &Cursor<'_, '_>) -> bool {
    let mut depth = 0_usize;
    c.rest().iter().any(|token| {
        match token.kind {
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') => depth = depth.saturating_sub(1),
            Kind::Word | Kind::Quoted(_) | Kind::Str | Kind::Number | Kind::Symbol(_) => {}
        }
        token.is("select") || depth == 0 && (token.is("table") || token.is("values"))
    })
}

/// The character set among table options, empty if that is the database's default; a collation begins with
/// its name.
pub(super) fn table_charset(mut c: Cursor<'_, '_>) -> Option<String> {
    let mut found = None;
    while !c.is_end() {
        if c.eat("charset") || c.eat_all(&["character", "set"]) {
            c.eat_symbol('=');
            if c.eat("default") {
                return Some(String::new());
            }
            return c.next().and_then(Token::text_value);
        }
        if c.eat("collate") {
            c.eat_symbol('=');
            if c.eat("default") {
                found = Some(String::new());
                continue;
            }
            let collation = c.next().and_then(Token::text_value);
            found = collation.and_then(|name| charset_of(&name));
        }
        c.next();
    }
    found
}

/// The default character set among the options of a database.
pub(super) fn database_charset(c: Cursor<'_, '_>) -> DatabaseCharset {
    match table_charset(c) {
        Some(name) if name.is_empty() => DatabaseCharset::Server,
        Some(name) => DatabaseCharset::Named(name),
        None if c.rest().iter().any(|token| token.is("collate")) => DatabaseCharset::Unknown,
        None => DatabaseCharset::Kept,
    }
}

/// What stands in a definition list.
pub(super) enum Item {
    Column(Definition),
    PrimaryKey(Vec<String>),
    /// MariaDB: a name for two columns, in keys.
    Period(String, Vec<String>),
    /// A key with an expression among its parts.
    FunctionalKey,
    /// A key but the primary one.
    Key(Key),
    Other,
}

pub(super) fn item(part: &[Token<'_>]) -> Option<Item> {
    let mut c = Cursor::new(part);
    if c.eat("constraint") {
        if_exists(&mut c);
        if !starts_key(&c) {
            c.identifier();
        }
    }
    if c.eat_all(&["primary", "key"]) {
        return Some(Item::PrimaryKey(key_columns(c)));
    }
    if c.peek_is("period") && c.rest().get(1).is_some_and(|token| token.is("for")) {
        return period(c);
    }
    if is_other_key(part) || starts_key(&c) {
        let is_functional = !c.peek_is("check") && has_expression(c);
        if is_functional {
            return Some(Item::FunctionalKey);
        }
        return Some(key(part).map_or(Item::Other, Item::Key));
    }
    definition(part).map(Item::Column)
}

/// Whether one of the parts of a key is an expression, which stands in parentheses of its own.
pub(super) fn has_expression(mut c: Cursor<'_, '_>) -> bool {
    while !c.is_end() {
        if let Some(inner) = c.parenthesized() {
            let begins = |part: &&[Token<'_>]| part.first().is_some_and(|t| t.is_symbol('('));
            return split_commas(inner).iter().any(begins);
        }
        c.next();
    }
    false
}

/// `PERIOD FOR name (begin, end)`.
pub(super) fn period(mut c: Cursor<'_, '_>) -> Option<Item> {
    c.eat_all(&["period", "for"]);
    if_exists(&mut c);
    Some(Item::Period(c.identifier()?, key_columns(c)))
}

/// The columns of a definition list, keys applied; false when Canal gives up on one of them.
fn columns(inner: &[Token<'_>], table: &mut Table) -> Option<bool> {
    let columns = &mut table.columns;
    let mut readable = true;
    let (mut keys, mut periods) = (Vec::new(), Vec::new());
    let mut others = Vec::new();
    let parts = split_commas(inner);
    if parts.len() > ITEMS_MAX {
        return None;
    }
    for part in parts {
        match item(part)? {
            Item::Column(Definition { column, exotic, key, .. }) => {
                readable &= !exotic;
                if key == ColumnKey::Unique {
                    others.push(of_column(&column.name));
                }
                columns.push(column);
            }
            Item::Key(key) => others.push(key),
            Item::PrimaryKey(names) => keys.extend(names),
            Item::Period(name, names) => periods.push((name, names)),
            Item::FunctionalKey => table.has_functional_key = true,
            Item::Other => {}
        }
    }
    if others.len() > KEYS_MAX {
        return None;
    }
    for (name, names) in periods {
        // The key has both columns of the period that it names.
        if keys.iter().any(|key| key.eq_ignore_ascii_case(&name)) {
            keys.extend(names.iter().cloned());
        }
        let of_it = |c: &&mut Column| names.iter().any(|name| c.name.eq_ignore_ascii_case(name));
        columns.iter_mut().filter(of_it).for_each(|column| column.nullable = false);
    }
    for key in keys {
        mark_key(columns, &key);
    }
    add_keys(table, others);
    Some(readable)
}

fn add_keys(table: &mut Table, keys: Vec<Key>) {
    let mut names = Vec::new();
    for key in keys {
        let key = key.named(&names);
        names.push(key.name().to_owned());
        if let Key::Unique(key) = key {
            table.unique_keys.push(key);
        }
    }
    table.forget_short_keys();
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
    ["key", "index", "unique", "fulltext", "spatial", "foreign", "constraint", "vector"]
        .iter()
        .any(|word| c.peek_is(word))
        && !(c.peek_is("vector") && part.get(1).is_none_or(|t| !t.is("index") && !t.is("key")))
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
fn system_versioned(table: &mut Table, inner: &[Token<'_>], tail: &Cursor<'_, '_>) -> bool {
    let versioned = |mut c: Cursor<'_, '_>| {
        while !c.is_end() {
            if c.eat_all(&["with", "system", "versioning"]) {
                return true;
            }
            c.next();
        }
        false
    };
    // A versioned column makes a versioned table.
    let found = versioned(*tail) || versioned(Cursor::new(inner));
    let own = inner.windows(2).any(|pair| matches!(pair, [a, b] if a.is("row") && b.is("start")));
    if found && !own {
        add_versioning(table);
    } else if found && table.columns.iter().any(|column| column.is_key) {
        // The key tells the versions of a row apart.
        let ends = |part: &&[Token<'_>]| {
            part.windows(2).any(|pair| matches!(pair, [a, b] if a.is("row") && b.is("end")))
        };
        for part in split_commas(inner).into_iter().filter(ends) {
            if let Some(name) = Cursor::new(part).identifier() {
                mark_key(&mut table.columns, &name);
            }
        }
    }
    found
}

/// The hidden columns of a MariaDB table with implicit system versioning.
pub(crate) fn add_versioning(table: &mut Table) {
    let has_key = table.columns.iter().any(|column| column.is_key);
    table.has_implicit_versioning = true;
    for name in ["row_start", "row_end"] {
        let mut column = Column::new(name, "timestamp(6)");
        column.nullable = false;
        column.is_key = name == "row_end" && has_key;
        table.columns.push(column);
    }
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

/// A column type as `information_schema` gives it, in the form in which [`Column::type_text`] has it.
#[must_use]
pub fn column_type(text: &str) -> String {
    let with_name = format!("c {text}");
    let all = tokens(&with_name, ParseOptions::default(), super::TOKENS_MAX);
    let found = definition(&all).map(|found| found.column.type_text);
    found.map_or_else(|| text.to_owned(), |text| usual_type(&text, Types::default()))
}

/// The table of a `SHOW CREATE TABLE` text; `None` when it cannot be read.
#[must_use]
pub fn table_from_create(sql: &str, schema: &str) -> Option<Table> {
    let all = tokens(sql, ParseOptions::default(), super::TOKENS_MAX);
    let mut parsed = Parsed::default();
    create(Cursor::new(&all), &mut parsed)?;
    parsed.name_types(Types::default());
    let Change::Create { name, body: Body::Columns(table), .. } =
        parsed.changes.into_iter().next()?
    else {
        return None;
    };
    Some(Table { schema: schema.to_owned(), name: name.1, ..table })
}
