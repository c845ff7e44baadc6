//! ALTER.

use super::create::{
    Body, Item, database_charset, has_expression, item, key_columns, period, table_charset,
};
use super::keys::{Key, key, of_column};
use super::{CanalKind, Change, Draft, ITEMS_MAX, KEYS_MAX, Parsed, if_exists};
use crate::column::{ColumnKey, Definition, Place, definition};
use crate::cursor::{Cursor, Name, split_commas};
use crate::lexer::Token;
use crate::table::Column;

/// One change of a table's structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Add {
        column: Column,
        place: Place,
        if_not_exists: bool,
    },
    Change {
        old: String,
        column: Column,
        place: Place,
        if_exists: bool,
    },
    Drop {
        name: String,
        if_exists: bool,
    },
    RenameColumn {
        old: String,
        new: String,
        if_exists: bool,
    },
    PrimaryKey {
        names: Vec<String>,
        if_not_exists: bool,
    },
    /// MariaDB: a period; these columns are not NULL.
    Period(String, Vec<String>),
    DropPrimaryKey,
    RenameTo(Name),
    /// The default character set of columns to come; empty: the database's default.
    Charset(String),
    /// `CONVERT TO`; absent: the database's default.
    Convert(Option<String>),
    /// MariaDB: two hidden columns come, and go.
    AddVersioning,
    DropVersioning,
    /// A key on an expression.
    FunctionalKey,
    /// A key but the primary one: comes, goes, has another name.
    AddKey {
        key: Key,
        if_not_exists: bool,
    },
    DropKey(String),
    RenameKey {
        old: String,
        new: String,
    },
    /// Changes the structure in a way that only the source knows.
    Unknown,
}

impl Step {
    /// Nothing but a key, which no column shows.
    pub(crate) const fn is_key_only(&self) -> bool {
        matches!(self, Self::AddKey { .. } | Self::DropKey(_) | Self::RenameKey { .. })
    }
}

pub(super) fn alter(mut c: Cursor<'_, '_>, parsed: &mut Parsed) -> Option<()> {
    c.next();
    c.eat("online");
    c.eat("ignore");
    if c.eat("table") {
        if_exists(&mut c);
        let name = c.name()?;
        // MariaDB: WAIT n, NOWAIT.
        if c.eat("wait") {
            c.next();
        }
        c.eat("nowait");
        return table(&name, c, parsed);
    }
    if c.eat_any(&["user", "role", "view", "event", "procedure", "function", "server", "instance"])
    {
        return Some(());
    }
    if c.eat_any(&["database", "schema"]) {
        let mut named = c;
        let first = c.next()?;
        let bare = ["charset", "character", "collate", "default"].iter().any(|w| first.is(w));
        let name = if bare { None } else { named.identifier() };
        parsed.changes.push(Change::AlterDatabase(name, database_charset(named)));
        let option = if bare { first } else { c.next()? };
        // Canal reads `CHARACTER SET`, but neither `CHARSET` nor `COLLATE`.
        if !(option.is("character") || option.is("default")) {
            parsed.unreadable();
        }
        return Some(());
    }
    // ALTER ALGORITHM=.. / DEFINER=.. VIEW, ALTER SEQUENCE: Canal cannot read them.
    let others = [
        "algorithm",
        "definer",
        "sql",
        "sequence",
        "tablespace",
        "undo",
        "logfile",
        "resource",
        "library",
        "package",
    ];
    c.eat_any(&others).then(|| parsed.unreadable())
}

fn table(name: &Name, c: Cursor<'_, '_>, parsed: &mut Parsed) -> Option<()> {
    let mut steps = Vec::new();
    let (mut option_seen, mut readable, mut renamed) = (false, true, false);
    for part in split_commas(c.rest()) {
        let outcome = clause(name, Cursor::new(part), &mut steps, parsed);
        match outcome {
            Outcome::Done => {}
            Outcome::Renamed => renamed = true,
            Outcome::Option => option_seen = true,
            Outcome::Unreadable => readable = false,
            // The commas behind it are its own.
            Outcome::Last => break,
        }
    }
    let keys = steps.iter().filter(|step| matches!(step, Step::AddKey { .. })).count();
    if steps.len() > ITEMS_MAX || keys > KEYS_MAX {
        steps.push(Step::Unknown);
    }
    // Table options make one ALTER, unless the table is renamed by the same statement.
    if option_seen && !renamed {
        parsed.result(CanalKind::Alter, name);
    }
    parsed.changes.insert(0, Change::Alter { name: name.clone(), steps });
    if !readable {
        parsed.unreadable();
    }
    Some(())
}

/// What a clause was to Canal.
enum Outcome {
    Done,
    Renamed,
    Option,
    Unreadable,
    Last,
}

fn clause(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Outcome {
    let result = if c.eat("add") {
        add(name, c, steps, parsed)
    } else if c.eat("change") {
        c.eat("column");
        let if_exists = if_exists(&mut c);
        c.field().and_then(|old| replace(name, c, (old, if_exists), steps, parsed))
    } else if c.eat("modify") {
        c.eat("column");
        let if_exists = if_exists(&mut c);
        let mut ahead = c;
        ahead.field().and_then(|old| replace(name, c, (old, if_exists), steps, parsed))
    } else if c.eat("drop") {
        drop_clause(name, c, steps, parsed)
    } else if c.eat("rename") {
        rename(name, c, steps, parsed)
    } else {
        other(name, c, steps, parsed)
    };
    result.unwrap_or_else(|| {
        steps.push(Step::Unknown);
        Outcome::Unreadable
    })
}

fn add(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    if c.eat("partition") {
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Last);
    }
    if c.eat_all(&["system", "versioning"]) {
        steps.push(Step::AddVersioning);
        return Some(Outcome::Unreadable);
    }
    let whole = c;
    if c.eat("constraint") {
        if_exists(&mut c);
        if !["primary", "unique", "foreign", "check"].iter().any(|word| c.peek_is(word)) {
            c.identifier();
        }
    }
    if c.eat_all(&["primary", "key"]) {
        let if_not_exists = if_exists(&mut c);
        steps.push(Step::PrimaryKey { names: key_columns(c), if_not_exists });
        parsed.result(CanalKind::CreateIndex, name);
        return Some(Outcome::Done);
    }
    if c.eat_any(&["foreign", "check"]) {
        return Some(Outcome::Done);
    }
    if c.peek_is("period")
        && let Item::Period(name, names) = period(c)?
    {
        steps.push(Step::Period(name, names));
        return Some(Outcome::Done);
    }
    let mut ahead = c;
    let vector_key = ahead.eat("vector") && ahead.eat_any(&["index", "key"]);
    let keys = ["index", "key", "unique", "fulltext", "spatial"];
    if vector_key || keys.iter().any(|word| c.peek_is(word)) {
        if has_expression(c) {
            steps.push(Step::FunctionalKey);
        } else if let Some(key @ Key::Unique(_)) = key(whole.rest()) {
            let if_not_exists = whole.rest().iter().take(4).any(|token| token.is("exists"));
            steps.push(Step::AddKey { key, if_not_exists });
        }
        parsed.result(CanalKind::CreateIndex, name);
        return Some(Outcome::Done);
    }
    c.eat("column");
    let if_not_exists = if_exists(&mut c);
    let mut exotic = if_not_exists;
    let parts = match c.peek_symbol('(') {
        true => split_commas(c.parenthesized()?),
        false => vec![c.rest()],
    };
    for part in parts {
        match item(part)? {
            Item::Column(Definition { column, place, exotic: odd, key }) => {
                exotic |= odd;
                let unique = (key == ColumnKey::Unique).then(|| of_column(&column.name));
                steps.push(Step::Add { column, place, if_not_exists });
                steps.extend(unique.map(|key| Step::AddKey { key, if_not_exists }));
            }
            Item::Key(key) => steps.push(Step::AddKey { key, if_not_exists: false }),
            Item::PrimaryKey(names) => {
                steps.push(Step::PrimaryKey { names, if_not_exists: false });
            }
            Item::Period(name, names) => steps.push(Step::Period(name, names)),
            Item::FunctionalKey => steps.push(Step::FunctionalKey),
            Item::Other => {}
        }
    }
    parsed.result(CanalKind::Alter, name);
    Some(if exotic { Outcome::Unreadable } else { Outcome::Done })
}

fn replace(
    name: &Name,
    c: Cursor<'_, '_>,
    (old, if_exists): (String, bool),
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    let Definition { column, place, exotic, key } = definition(c.rest())?;
    let unique = (key == ColumnKey::Unique).then(|| of_column(&column.name));
    steps.push(Step::Change { old, column, place, if_exists });
    steps.extend(unique.map(|key| Step::AddKey { key, if_not_exists: false }));
    parsed.result(CanalKind::Alter, name);
    Some(if exotic || if_exists { Outcome::Unreadable } else { Outcome::Done })
}

fn drop_clause(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    if c.eat_all(&["primary", "key"]) {
        steps.push(Step::DropPrimaryKey);
        parsed.result(CanalKind::Alter, name);
    } else if c.eat_any(&["index", "key", "foreign", "constraint"]) {
        if_exists(&mut c);
        match c.identifier() {
            Some(key) if key.eq_ignore_ascii_case("primary") => steps.push(Step::DropPrimaryKey),
            Some(key) => steps.push(Step::DropKey(key)),
            None => {}
        }
        parsed.result(CanalKind::DropIndex, name);
    } else if c.eat("check") {
        parsed.result(CanalKind::Alter, name);
    } else if c.eat("partition") {
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Last);
    } else if c.eat_all(&["system", "versioning"]) {
        steps.push(Step::DropVersioning);
        return Some(Outcome::Unreadable);
    } else if c.eat("period") {
        return Some(Outcome::Unreadable);
    } else {
        c.eat("column");
        let if_exists = if_exists(&mut c);
        steps.push(Step::Drop { name: c.field()?, if_exists });
        parsed.result(CanalKind::Alter, name);
        if if_exists {
            return Some(Outcome::Unreadable);
        }
    }
    Some(Outcome::Done)
}

fn rename(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    if c.eat_any(&["index", "key"]) {
        if_exists(&mut c);
        if let Some(old) = c.identifier()
            && c.eat("to")
            && let Some(new) = c.identifier()
        {
            steps.push(Step::RenameKey { old, new });
        }
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Done);
    }
    if c.eat("column") {
        let if_exists = if_exists(&mut c);
        let old = c.identifier()?;
        if !c.eat("to") {
            return None;
        }
        steps.push(Step::RenameColumn { old, new: c.identifier()?, if_exists });
        parsed.result(CanalKind::Alter, name);
        return Some(if if_exists { Outcome::Unreadable } else { Outcome::Done });
    }
    c.eat_any(&["to", "as"]);
    c.eat_symbol('=');
    // Without a database it goes to the default one, not to that of the old name.
    let to = c.name()?;
    parsed.results.push(Draft::Rename(name.clone(), to.clone()));
    steps.push(Step::RenameTo(to));
    Some(Outcome::Renamed)
}

/// Clauses that change no structure, and are all of their statement.
const STANDING_ALONE: &[&str] = &[
    "truncate",
    "coalesce",
    "reorganize",
    "exchange",
    "rebuild",
    "analyze",
    "optimize",
    "check",
    "repair",
    "discard",
    "import",
    "partition",
    "order",
];

/// Clauses that change no structure.
const NOT_STRUCTURAL: &[&str] =
    &["alter", "enable", "disable", "force", "algorithm", "lock", "with", "without", "upgrade"];

/// Table options that may stand without `=`.
const OPTIONS: &[&str] = &[
    "autoextend_size",
    "auto_increment",
    "avg_row_length",
    "charset",
    "character",
    "collate",
    "default",
    "checksum",
    "comment",
    "compression",
    "connection",
    "data",
    "index",
    "delay_key_write",
    "encryption",
    "encrypted",
    "encryption_key_id",
    "engine",
    "engine_attribute",
    "secondary_engine",
    "secondary_engine_attribute",
    "secondary_load",
    "secondary_unload",
    "key_block_size",
    "max_rows",
    "min_rows",
    "pack_keys",
    "page_checksum",
    "page_compressed",
    "page_compression_level",
    "password",
    "row_format",
    "sequence",
    "start",
    "stats_auto_recalc",
    "stats_persistent",
    "stats_sample_pages",
    "storage",
    "tablespace",
    "table_checksum",
    "transactional",
    "type",
    "union",
];

fn other(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    if c.eat("convert") {
        return convert(name, c, steps, parsed);
    }
    if c.eat_all(&["remove", "partitioning"]) {
        return Some(Outcome::Done);
    }
    if c.peek_is("with") && c.rest().get(1).is_some_and(|token| token.is("system")) {
        return None;
    }
    if STANDING_ALONE.iter().any(|word| c.peek_is(word)) {
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Last);
    }
    if NOT_STRUCTURAL.iter().any(|word| c.peek_is(word)) {
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Done);
    }
    // Everything else is a table option: a word, perhaps `=`, and its value.
    let assigned = c.rest().get(1).is_some_and(|token| token.is_symbol('='));
    if !assigned && !OPTIONS.iter().any(|word| c.peek_is(word)) {
        return None;
    }
    // Later versions of MariaDB mean the default of the table's character set, which stays.
    let is_kept = parsed.options.collate_default_is_the_tables() && is_collate_default(c);
    if let Some(charset) = table_charset(c).filter(|_| !is_kept) {
        steps.push(Step::Charset(charset));
    }
    Some(Outcome::Option)
}

/// `COLLATE [=] DEFAULT` and nothing else.
fn is_collate_default(mut c: Cursor<'_, '_>) -> bool {
    c.eat("default");
    let is_collation = c.eat("collate");
    c.eat_symbol('=');
    is_collation && c.eat("default") && c.is_end()
}

fn convert(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    if c.eat("to") {
        // Canal reads `CHARACTER SET`, but not `CHARSET`.
        let readable = c.peek_is("character");
        if !(c.eat("charset") || c.eat_all(&["character", "set"]) || c.eat_all(&["char", "set"])) {
            return None;
        }
        let charset =
            if c.peek_is("default") { None } else { c.next().and_then(Token::text_value) };
        steps.push(Step::Convert(charset));
        parsed.result(CanalKind::Alter, name);
        return Some(if readable { Outcome::Done } else { Outcome::Unreadable });
    }
    // MariaDB: a partition becomes a table, or the other way round.
    if c.eat("partition") {
        c.identifier()?;
        c.eat_all(&["to", "table"]).then_some(())?;
        parsed.changes.push(Change::Create {
            name: c.name()?,
            temporary: false,
            or_replace: false,
            if_not_exists: false,
            body: Body::Like(name.clone()),
        });
    } else {
        c.eat("table").then_some(())?;
        parsed.changes.push(Change::Drop(vec![c.name()?]));
    }
    Some(Outcome::Unreadable)
}
