//! ALTER.

use super::create::key_columns;
use super::{CanalKind, Change, Draft, Parsed, if_exists};
use crate::column::{Definition, Place, definition};
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
    },
    PrimaryKey(Vec<String>),
    DropPrimaryKey,
    RenameTo(Name),
    /// Changes the structure in a way that only the source knows.
    Unknown,
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
        let first = c.next()?;
        let bare = ["charset", "character", "collate", "default"].iter().any(|w| first.is(w));
        let option = if bare { first } else { c.next()? };
        // Canal reads `CHARACTER SET`, but neither `CHARSET` nor `COLLATE`.
        return (option.is("character") || option.is("default")).then_some(());
    }
    // ALTER ALGORITHM=.. / DEFINER=.. VIEW, ALTER SEQUENCE: Canal cannot read them.
    None
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
        }
    }
    // Table options make one ALTER, unless the table is renamed by the same statement.
    if option_seen && !renamed {
        parsed.result(CanalKind::Alter, name);
    }
    parsed.changes.push(Change::Alter { name: name.clone(), steps });
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
        c.identifier().and_then(|old| replace(name, c, (old, if_exists), steps, parsed))
    } else if c.eat("modify") {
        c.eat("column");
        let if_exists = if_exists(&mut c);
        let mut ahead = c;
        ahead.identifier().and_then(|old| replace(name, c, (old, if_exists), steps, parsed))
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
        return Some(Outcome::Done);
    }
    if c.eat_all(&["system", "versioning"]) {
        steps.push(Step::Unknown);
        return Some(Outcome::Unreadable);
    }
    if c.eat("constraint")
        && !["primary", "unique", "foreign", "check"].iter().any(|word| c.peek_is(word))
    {
        c.identifier();
    }
    if c.eat_all(&["primary", "key"]) {
        steps.push(Step::PrimaryKey(key_columns(c)));
        parsed.result(CanalKind::CreateIndex, name);
        return Some(Outcome::Done);
    }
    if c.eat_any(&["foreign", "check", "period"]) {
        return Some(Outcome::Done);
    }
    if ["index", "key", "unique", "fulltext", "spatial"].iter().any(|word| c.peek_is(word)) {
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
        let Definition { column, place, exotic: odd } = definition(part)?;
        exotic |= odd;
        add_key(&column, steps);
        steps.push(Step::Add { column, place, if_not_exists });
    }
    parsed.result(CanalKind::Alter, name);
    Some(if exotic { Outcome::Unreadable } else { Outcome::Done })
}

/// An inline `PRIMARY KEY` is that of the column itself; nothing else to do.
const fn add_key(_column: &Column, _steps: &mut [Step]) {}

fn replace(
    name: &Name,
    c: Cursor<'_, '_>,
    (old, if_exists): (String, bool),
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    let Definition { column, place, exotic } = definition(c.rest())?;
    steps.push(Step::Change { old, column, place, if_exists });
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
        parsed.result(CanalKind::DropIndex, name);
    } else if c.eat_any(&["check", "partition"]) {
        parsed.result(CanalKind::Alter, name);
    } else if c.eat_all(&["system", "versioning"]) || c.eat("period") {
        steps.push(Step::Unknown);
        return Some(Outcome::Unreadable);
    } else {
        c.eat("column");
        let if_exists = if_exists(&mut c);
        steps.push(Step::Drop { name: c.identifier()?, if_exists });
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
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Done);
    }
    if c.eat("column") {
        let if_exists = if_exists(&mut c);
        let old = c.identifier()?;
        if !c.eat("to") {
            return None;
        }
        steps.push(Step::RenameColumn { old, new: c.identifier()? });
        parsed.result(CanalKind::Alter, name);
        return Some(if if_exists { Outcome::Unreadable } else { Outcome::Done });
    }
    c.eat_any(&["to", "as"]);
    c.eat_symbol('=');
    let mut to = c.name()?;
    if to.0.is_none() {
        to.0.clone_from(&name.0);
    }
    parsed.results.push(Draft::Rename(name.clone(), to.clone()));
    steps.push(Step::RenameTo(to));
    Some(Outcome::Renamed)
}

fn other(
    name: &Name,
    mut c: Cursor<'_, '_>,
    steps: &mut Vec<Step>,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    if c.eat_all(&["convert", "partition"]) {
        steps.push(Step::Unknown);
        return Some(Outcome::Unreadable);
    }
    if c.eat_all(&["convert", "to"]) {
        // Canal reads `CHARACTER SET`, but not `CHARSET`.
        let readable = c.peek_is("character");
        parsed.result(CanalKind::Alter, name);
        return Some(if readable { Outcome::Done } else { Outcome::Unreadable });
    }
    if c.eat_all(&["remove", "partitioning"]) {
        return Some(Outcome::Done);
    }
    let clauses = [
        "alter",
        "partition",
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
        "enable",
        "disable",
        "order",
        "force",
        "algorithm",
        "lock",
        "with",
        "without",
        "upgrade",
    ];
    if clauses.iter().any(|word| c.peek_is(word)) {
        parsed.result(CanalKind::Alter, name);
        return Some(Outcome::Done);
    }
    // Everything else is a table option: a word, perhaps `=`, and its value.
    c.peek().and_then(Token::name).map(|_| Outcome::Option)
}
