//! What a statement changes, and what Canal calls it (entry-format 2.3).
//!
//! A small recursive descent over the tokens: it understands what changes the structure of tables
//! and steps over everything else.

mod alter;
mod create;
mod dml;
mod doubt;
mod keys;

use crate::column::usual_type;
use crate::cursor::{Cursor, Name};
use crate::lexer::{ParseOptions, Token, Types, tokens};
use crate::table::Column;

pub(crate) use alter::Step;
pub(crate) use create::{Body, add_versioning};
pub use create::{column_type, table_from_create};
pub use dml::first_table;
pub(crate) use doubt::Doubt;
pub(crate) use keys::Key;

/// Tokens that are read of one statement: a table has at most 4,096 columns.
const TOKENS_MAX: usize = 1 << 20;
/// Definitions of a table, or changes of one in a statement: more than a server takes.
const ITEMS_MAX: usize = 1 << 14;
/// Keys of a table, or new ones in a statement: more than a server takes.
const KEYS_MAX: usize = 1 << 10;
/// Tokens that are read of a statement that changes rows.
const DML_TOKENS_MAX: usize = 256;

/// Canal's event type of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Canal's")]
pub enum CanalKind {
    Insert,
    Update,
    Delete,
    Create,
    Alter,
    Erase,
    Query,
    Truncate,
    Rename,
    CreateIndex,
    DropIndex,
}

/// One result of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Event type.
    pub kind: CanalKind,
    /// Database; absent where Canal could not tell.
    pub schema: Option<String>,
    /// Table; absent where Canal could not tell.
    pub table: Option<String>,
    /// The old name of a rename.
    pub source: Option<(Option<String>, String)>,
}

/// What a statement says of the default character set of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseCharset {
    Named(String),
    /// That of the server, as the session has it.
    Server,
    /// Nothing: it stays as it is.
    Kept,
    /// One that only the server knows.
    Unknown,
}

/// A change of structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Create {
        name: Name,
        /// Only its session sees it.
        temporary: bool,
        or_replace: bool,
        if_not_exists: bool,
        body: Body,
    },
    Alter {
        name: Name,
        steps: Vec<Step>,
    },
    Rename(Vec<(Name, Name)>),
    Drop(Vec<Name>),
    /// Tables that only the session sees.
    DropTemporary(Vec<Name>),
    DropDatabase(String),
    /// What it is without a name: the default one. Its tables stay as they are.
    AlterDatabase(Option<String>, DatabaseCharset),
    CreateDatabase {
        name: String,
        charset: DatabaseCharset,
        if_not_exists: bool,
    },
    /// The statement is not understood.
    Doubt(Doubt),
}

impl Change {
    /// Nobody but its session sees it.
    pub(crate) const fn is_of_temporary_tables(&self) -> bool {
        match self {
            Self::Create { temporary, .. } => *temporary,
            Self::DropTemporary(_) => true,
            Self::Alter { .. }
            | Self::Rename(_)
            | Self::Drop(_)
            | Self::DropDatabase(_)
            | Self::AlterDatabase(..)
            | Self::CreateDatabase { .. }
            | Self::Doubt(_) => false,
        }
    }
}

/// A statement, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    pub(crate) changes: Vec<Change>,
    pub(crate) results: Vec<Draft>,
    /// Whoever reads it.
    pub(crate) options: ParseOptions,
}

/// A result whose names may lack the default database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Draft {
    Table(CanalKind, Name),
    Rename(Name, Name),
    /// CREATE and DROP DATABASE.
    Database(String),
    /// What Canal's parser gives up on.
    Unreadable,
}

/// Reads a statement, or several behind each other. Never fails: what is not understood changes
/// nothing and is classified as Canal classifies what it cannot read.
#[must_use]
pub fn parse(sql: &str, options: &ParseOptions) -> Parsed {
    let mut parsed = Parsed { options: *options, ..Parsed::default() };
    let start = tokens(sql, *options, 4);
    let rows = ["insert", "update", "delete", "replace", "load"];
    let changes_rows = start.first().is_some_and(|t| rows.iter().any(|word| t.is(word)));
    let limit = if changes_rows { DML_TOKENS_MAX } else { TOKENS_MAX };
    let all = tokens(sql, *options, limit);
    if changes_rows {
        dml::classify(Cursor::new(&all), &mut parsed);
        return parsed;
    }
    if procedural(&all) {
        return parsed;
    }
    if all.len() >= TOKENS_MAX {
        // What stands behind them may name any table.
        parsed.unreadable();
        parsed.changes.push(Change::Doubt(Doubt::of_any(&all)));
        return parsed;
    }
    for statement in all.split(|token| token.is_symbol(';')).filter(|part| !part.is_empty()) {
        one(statement, &mut parsed);
    }
    parsed.name_types(options.types());
    parsed
}

/// Stored programs hold statements of their own.
fn procedural(all: &[Token<'_>]) -> bool {
    let mut c = Cursor::new(all);
    (c.eat("create") || c.eat("alter"))
        && all
            .iter()
            .skip(1)
            .take(12)
            .take_while(|t| {
                !["table", "database", "schema", "index", "view"].iter().any(|w| t.is(w))
            })
            .any(|t| {
                ["procedure", "function", "trigger", "event", "package"].iter().any(|w| t.is(w))
            })
}

/// Canal's results, with the default database filled in.
#[must_use]
pub fn classify(parsed: &Parsed, database: Option<&str>) -> Vec<Classified> {
    let default = |name: &Name| name.0.clone().or_else(|| database.map(ToOwned::to_owned));
    parsed
        .results
        .iter()
        .map(|draft| match draft {
            Draft::Table(kind, name) => Classified {
                kind: *kind,
                schema: default(name),
                table: Some(name.1.clone()),
                source: None,
            },
            Draft::Rename(from, to) => Classified {
                kind: CanalKind::Rename,
                schema: default(to),
                table: Some(to.1.clone()),
                source: Some((default(from), from.1.clone())),
            },
            Draft::Database(schema) => Classified {
                kind: CanalKind::Query,
                schema: Some(schema.clone()),
                table: None,
                source: None,
            },
            Draft::Unreadable => {
                Classified { kind: CanalKind::Query, schema: None, table: None, source: None }
            }
        })
        .collect()
}

impl Parsed {
    /// True when the statement may change structures in a way that was not understood: tables that
    /// it names are asked for again.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.changes.iter().any(|change| match change {
            Change::Doubt(_) => true,
            Change::Alter { steps, .. } => steps.contains(&Step::Unknown),
            Change::Create { .. }
            | Change::Rename(_)
            | Change::Drop(_)
            | Change::DropTemporary(_)
            | Change::DropDatabase(_)
            | Change::AlterDatabase(..)
            | Change::CreateDatabase { .. } => false,
        })
    }

    /// The statement's text could not be decoded for sure, its names included: every table that it may
    /// have meant is asked for again.
    pub fn distrust(&mut self, sql: &str, options: &ParseOptions) {
        if !self.changes_nothing() {
            let all = tokens(sql, *options, TOKENS_MAX);
            self.changes = vec![Change::Doubt(Doubt::of_any(&all))];
        }
    }

    /// Gives columns the types that the words for them stand for in the session's mode.
    fn name_types(&mut self, types: Types) {
        let rename = |column: &mut Column| column.type_text = usual_type(&column.type_text, types);
        for change in &mut self.changes {
            match change {
                Change::Create { body: Body::Columns(table), .. } => {
                    table.columns.iter_mut().for_each(rename);
                }
                Change::Alter { steps, .. } => {
                    for step in steps {
                        if let Step::Add { column, .. } | Step::Change { column, .. } = step {
                            rename(column);
                        }
                    }
                }
                Change::Create { body: Body::Like(_) | Body::Unknown, .. }
                | Change::Rename(_)
                | Change::Drop(_)
                | Change::DropTemporary(_)
                | Change::DropDatabase(_)
                | Change::AlterDatabase(..)
                | Change::CreateDatabase { .. }
                | Change::Doubt(_) => {}
            }
        }
    }

    /// Says what the character set of the server is to the session that made the statement.
    pub fn tell_server_charset(&mut self, name: &str) {
        for change in &mut self.changes {
            if let Change::CreateDatabase { charset, .. } | Change::AlterDatabase(_, charset) =
                change
                && *charset == DatabaseCharset::Server
            {
                *charset = DatabaseCharset::Named(name.to_owned());
            }
        }
    }

    /// True when no structure changes.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.changes.is_empty()
    }

    fn result(&mut self, kind: CanalKind, name: &Name) {
        self.results.push(Draft::Table(kind, name.clone()));
    }

    /// All that Canal makes of the statement is one QUERY without names.
    fn unreadable(&mut self) {
        self.results.clear();
        self.results.push(Draft::Unreadable);
    }
}

/// Statements that Canal reads and says nothing of.
const SILENT: &[&str] = &[
    "grant",
    "revoke",
    "flush",
    "set",
    "analyze",
    "optimize",
    "savepoint",
    "rollback",
    "release",
    "call",
    "lock",
    "unlock",
    "use",
    "replace",
    "load",
    "select",
    "show",
    "reset",
    "purge",
    "start",
    "begin",
    "commit",
    "check",
    "checksum",
    "explain",
    "desc",
    "describe",
    "kill",
    "install",
    "uninstall",
    "handler",
    "prepare",
    "execute",
    "deallocate",
    "xa",
    "signal",
    "with",
];

/// Statements that Canal gives up on and that change no structure.
const UNREADABLE: &[&str] = &[
    "backup", "binlog", "cache", "change", "clone", "do", "get", "help", "import", "repair",
    "resignal", "restart", "shutdown", "stop", "table", "values",
];

fn one(statement: &[Token<'_>], parsed: &mut Parsed) {
    // A statement wholly inside an executable comment is nothing to Canal; its structure counts.
    let hidden = statement.first().is_some_and(|token| token.conditional);
    let mut inner = Parsed { options: parsed.options, ..Parsed::default() };
    read(Cursor::new(statement), &mut inner);
    // Other executable comments in front of a table's name make Canal give up.
    let head = statement.iter().take_while(|token| !token.is_symbol('('));
    if head.clone().any(|token| token.conditional && token.is("exists")) {
        inner.unreadable();
    }
    if hidden {
        inner.results.clear();
    }
    parsed.changes.append(&mut inner.changes);
    parsed.results.append(&mut inner.results);
}

fn read(mut c: Cursor<'_, '_>, parsed: &mut Parsed) {
    // MariaDB: SET STATEMENT variable=value FOR statement.
    while c.eat_all(&["set", "statement"]) {
        while c.next().is_some_and(|token| !token.is("for")) {}
    }
    let understood = match c.peek().map(|token| token.text.to_ascii_lowercase()).as_deref() {
        // No server takes it, and each parenthesis would be looked for to the end.
        Some("create" | "alter") if !c.is_closed() => None,
        Some("create") => create::create(c, parsed),
        Some("alter") => alter::alter(c, parsed),
        Some("drop") => drop_statement(c, parsed),
        Some("truncate") => truncate(c, parsed),
        Some("rename") => rename(c, parsed),
        Some("insert" | "update" | "delete") => {
            dml::classify(c, parsed);
            Some(())
        }
        Some(word) if SILENT.contains(&word) => Some(()),
        Some(word) if UNREADABLE.contains(&word) => {
            parsed.unreadable();
            Some(())
        }
        Some("(") | None => Some(()),
        Some(_) => None,
    };
    if understood.is_none() {
        parsed.unreadable();
        parsed.changes.clear();
        parsed.changes.push(Change::Doubt(Doubt::of(c.rest())));
    }
}

fn if_exists(c: &mut Cursor<'_, '_>) -> bool {
    c.eat_all(&["if", "exists"]) || c.eat_all(&["if", "not", "exists"])
}

fn drop_statement(mut c: Cursor<'_, '_>, parsed: &mut Parsed) -> Option<()> {
    c.next();
    let temporary = c.eat("temporary");
    if c.eat_any(&["table", "tables"]) {
        if_exists(&mut c);
        let mut names = Vec::new();
        loop {
            let name = c.name()?;
            if !temporary {
                parsed.result(CanalKind::Erase, &name);
            }
            names.push(name);
            if !c.eat_symbol(',') {
                break;
            }
        }
        parsed.changes.push(match temporary {
            true => Change::DropTemporary(names),
            false => Change::Drop(names),
        });
    } else if c.eat_any(&["database", "schema"]) {
        if_exists(&mut c);
        let name = c.identifier()?;
        parsed.results.push(Draft::Database(name.clone()));
        parsed.changes.push(Change::DropDatabase(name));
    } else if c.eat("index") {
        if_exists(&mut c);
        let key = c.identifier()?;
        if !c.eat("on") {
            return None;
        }
        let name = c.name()?;
        parsed.result(CanalKind::DropIndex, &name);
        let is_primary = key.eq_ignore_ascii_case("primary");
        let step = if is_primary { Step::DropPrimaryKey } else { Step::DropKey(key) };
        parsed.changes.push(Change::Alter { name, steps: vec![step] });
    } else if c.eat_any(&["sequence", "view"]) {
        // A view may have kept out a table: `CREATE TABLE IF NOT EXISTS`.
        if_exists(&mut c);
        let mut names = vec![c.name()?];
        while c.eat_symbol(',') {
            names.push(c.name()?);
        }
        parsed.changes.push(match temporary {
            true => Change::DropTemporary(names),
            false => Change::Drop(names),
        });
    } else if c.rest().iter().take(4).any(|token| token.is("table")) {
        return None;
    }
    Some(())
}

fn truncate(mut c: Cursor<'_, '_>, parsed: &mut Parsed) -> Option<()> {
    c.next();
    c.eat("table");
    loop {
        let name = c.name()?;
        parsed.result(CanalKind::Truncate, &name);
        if !c.eat_symbol(',') {
            return Some(());
        }
    }
}

fn rename(mut c: Cursor<'_, '_>, parsed: &mut Parsed) -> Option<()> {
    c.next();
    if c.eat("user") {
        return Some(());
    }
    let canal_reads = c.peek_is("table");
    if !c.eat_any(&["table", "tables"]) {
        return None;
    }
    if_exists(&mut c);
    let mut pairs = Vec::new();
    loop {
        let from = c.name()?;
        // MariaDB: WAIT n, NOWAIT.
        if c.eat("wait") {
            c.next();
        }
        c.eat("nowait");
        if !c.eat("to") {
            return None;
        }
        let to = c.name()?;
        parsed.results.push(Draft::Rename(from.clone(), to.clone()));
        pairs.push((from, to));
        if !c.eat_symbol(',') {
            break;
        }
    }
    parsed.changes.push(Change::Rename(pairs));
    if !canal_reads {
        parsed.unreadable();
    }
    Some(())
}
