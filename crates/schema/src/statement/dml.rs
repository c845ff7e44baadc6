//! Statements that change rows: only their table counts.

use super::{CanalKind, DML_TOKENS_MAX, Parsed};
use crate::cursor::{Cursor, Name};
use crate::lexer::{ParseOptions, tokens};

const MODIFIERS: &[&str] =
    &["low_priority", "high_priority", "delayed", "ignore", "quick", "concurrent", "local"];

pub(super) fn classify(mut c: Cursor<'_, '_>, parsed: &mut Parsed) {
    let Some(verb) = c.next() else { return };
    while c.eat_any(MODIFIERS) {}
    let kind = if verb.is("insert") {
        c.eat("into");
        CanalKind::Insert
    } else if verb.is("update") {
        CanalKind::Update
    } else if verb.is("delete") {
        c.eat("from");
        CanalKind::Delete
    } else {
        // REPLACE, LOAD DATA: Canal says nothing of them.
        return;
    };
    if let Some(name) = c.name() {
        parsed.result(kind, &name);
    } else {
        parsed.unreadable();
    }
}

/// The first table that a statement reads or changes: what Canal writes next to the text of a
/// ROWS_QUERY event. Names without their database.
#[must_use]
pub fn first_table(sql: &str) -> Option<String> {
    let all = tokens(sql, ParseOptions::default(), DML_TOKENS_MAX);
    let mut c = Cursor::new(&all);
    let verb = c.next()?;
    while c.eat_any(MODIFIERS) {}
    let name: Option<Name> = if verb.is("insert") || verb.is("replace") {
        c.eat("into");
        c.name()
    } else if verb.is("update") {
        c.name()
    } else if verb.is("delete") {
        c.eat("from");
        c.name()
    } else {
        while !c.is_end() && !c.eat_any(&["from", "table"]) {
            c.next();
        }
        c.name()
    };
    name.map(|(_, table)| table)
}
