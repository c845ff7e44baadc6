//! What the statements between a position and the present did to a table: the structure at the
//! position is the present one with them undone.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::catalog::{NameCase, apply_steps, pin_charsets, position, qualified};
use crate::column::Place;
use crate::statement::{Change, Key, Parsed, Step};
use crate::table::{Column, HiddenKey, Table, UniqueKey};

/// Structures that are tried for one table: where a dropped column lay is not written anywhere.
const CANDIDATES_MAX: usize = 10_000;

/// What is known of the structure of a table at a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StructureAnswer {
    /// Every structure that it may have; none when there is no such table, or nobody knows. Columns
    /// whose type is not known have a [`Column::later_type`].
    pub candidates: Vec<Table>,
    /// What stands in the way of knowing it for sure.
    pub obstacle: Option<String>,
    /// What the server adds to tables without a primary key.
    pub hidden_key: Option<HiddenKey>,
    /// The default character set of its database, where that is known.
    pub default_charset: Option<String>,
}

impl From<Option<Table>> for StructureAnswer {
    fn from(table: Option<Table>) -> Self {
        Self { candidates: table.into_iter().collect(), ..Self::default() }
    }
}

/// A place in the binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPlace {
    /// Binlog file.
    pub file: Arc<str>,
    /// Offset of the statement.
    pub offset: u64,
}

/// Statements that are kept at a time.
const STATEMENTS_MAX: usize = 200_000;

#[derive(Debug)]
struct Statement {
    at: BinlogPlace,
    parsed: Parsed,
    database: Option<String>,
}

/// Statements that change structures, in their order, each behind a position that is being read.
#[derive(Debug, Default)]
pub struct LaterStatements {
    statements: VecDeque<Statement>,
    /// The first one for which there was no room.
    beyond: Option<BinlogPlace>,
}

/// What becomes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It exists now under this name.
    Now {
        /// Database name.
        schema: String,
        /// Table name.
        table: String,
        /// How many statements change it until then.
        change_count: usize,
    },
    /// A statement removes it, or does something to it that is not understood.
    Ends(BinlogPlace),
}

impl LaterStatements {
    /// Takes the next statement, if it changes any structure.
    pub fn push(&mut self, file: &Arc<str>, offset: u64, parsed: Parsed, database: &str) {
        if !parsed.changes_nothing() {
            let at = BinlogPlace { file: Arc::clone(file), offset };
            if self.statements.len() >= STATEMENTS_MAX {
                self.beyond.get_or_insert(at);
                return;
            }
            let database = (!database.is_empty()).then(|| database.to_owned());
            self.statements.push_back(Statement { at, parsed, database });
        }
    }

    /// Forgets the statements at the front for which this holds: reading has come past them.
    pub fn forget_while(&mut self, is_past: impl Fn(&str, u64) -> bool) {
        while self.statements.front().is_some_and(|s| is_past(&s.at.file, s.at.offset)) {
            self.statements.pop_front();
        }
    }

    /// Whether a statement names this table in any way.
    #[must_use]
    pub fn touches(&self, case: NameCase, schema: &str, table: &str) -> bool {
        let wanted = (schema.to_owned(), table.to_owned());
        self.beyond.is_some()
            || self.statements.iter().any(|statement| {
                let is_it = |name: &_| same(case, &qualified(name, statement.database()), &wanted);
                statement.parsed.changes.iter().any(|change| match change {
                    Change::Create { temporary: true, .. } => false,
                    Change::Create { name, .. } => is_it(name),
                    Change::Alter { name, steps } => {
                        is_it(name)
                            || steps
                                .iter()
                                .any(|step| matches!(step, Step::RenameTo(to) if is_it(to)))
                    }
                    Change::Rename(pairs) => {
                        pairs.iter().any(|(from, to)| is_it(from) || is_it(to))
                    }
                    Change::Drop(names) => names.iter().any(is_it),
                    Change::Doubt(doubt) => doubt.covers(schema, table, statement.database()),
                    Change::DropTemporary(_) => false,
                    Change::DropDatabase(name) => same_name(case, name, schema),
                    Change::AlterDatabase(..) | Change::CreateDatabase { .. } => false,
                })
            })
    }

    /// Whether a statement may give this database another default.
    #[must_use]
    pub fn touches_database(&self, case: NameCase, schema: &str) -> bool {
        let touches = |statement: &Statement, change: &Change| match change {
            Change::DropDatabase(name) => same_name(case, name, schema),
            Change::AlterDatabase(name, _) => {
                let name = name.as_deref().or_else(|| statement.database());
                name.is_none_or(|name| same_name(case, name, schema))
            }
            Change::Doubt(doubt) => {
                doubt.is_any() && doubt.covers_database(schema, statement.database())
            }
            Change::CreateDatabase { .. }
            | Change::Create { .. }
            | Change::Alter { .. }
            | Change::Rename(_)
            | Change::Drop(_)
            | Change::DropTemporary(_) => false,
        };
        self.beyond.is_some()
            || self.statements.iter().any(|s| s.parsed.changes.iter().any(|c| touches(s, c)))
    }

    /// What becomes of the table of this name.
    #[must_use]
    pub fn fate(&self, case: NameCase, schema: &str, table: &str) -> Fate {
        match self.follow(case, schema, table) {
            Ok((name, changes)) => {
                Fate::Now { schema: name.0, table: name.1, change_count: changes.len() }
            }
            Err(place) => Fate::Ends(place),
        }
    }

    /// Every structure that the table of this name may have had before the statements, when `now` is
    /// what became of it. Columns whose type is not known have a [`Column::later_type`].
    ///
    /// # Errors
    /// The place of a statement that cannot be undone.
    pub fn undo(
        &self,
        case: NameCase,
        schema: &str,
        table: &str,
        now: Table,
    ) -> Result<Vec<Table>, BinlogPlace> {
        let (_, changes) = self.follow(case, schema, table)?;
        let mut candidates = vec![now];
        for (at, steps) in changes.into_iter().rev() {
            let mut earlier: Vec<Table> = Vec::new();
            for after in &candidates {
                for before in undo_steps(after, steps).ok_or_else(|| at.clone())? {
                    if !earlier.contains(&before) {
                        earlier.push(before);
                    }
                }
                if earlier.len() > CANDIDATES_MAX {
                    return Err(at.clone());
                }
            }
            candidates = earlier;
        }
        for candidate in &mut candidates {
            schema.clone_into(&mut candidate.schema);
            table.clone_into(&mut candidate.name);
        }
        Ok(candidates)
    }

    /// The name at the end, and the alterations on the way.
    #[expect(clippy::type_complexity, reason = "a name and a list, used here only")]
    fn follow(
        &self,
        case: NameCase,
        schema: &str,
        table: &str,
    ) -> Result<((String, String), Vec<(&BinlogPlace, &[Step])>), BinlogPlace> {
        let mut at = (schema.to_owned(), table.to_owned());
        let mut changes = Vec::new();
        for statement in &self.statements {
            let full = |name: &_| qualified(name, statement.database());
            for change in &statement.parsed.changes {
                let ends = match change {
                    // It is there already, so nothing happens.
                    Change::Create { if_not_exists: true, or_replace: false, .. }
                    | Change::Create { temporary: true, .. } => false,
                    Change::Create { name, .. } => same(case, &full(name), &at),
                    Change::Alter { name, steps } => {
                        if same(case, &full(name), &at) {
                            changes.push((&statement.at, steps.as_slice()));
                            for step in steps {
                                if let Step::RenameTo(to) = step {
                                    at = full(to);
                                }
                            }
                        }
                        false
                    }
                    Change::Rename(pairs) => {
                        for (from, to) in pairs {
                            if same(case, &full(from), &at) {
                                at = full(to);
                            }
                        }
                        false
                    }
                    Change::Drop(names) => names.iter().any(|name| same(case, &full(name), &at)),
                    Change::Doubt(doubt) => doubt.covers(&at.0, &at.1, statement.database()),
                    Change::DropTemporary(_) => false,
                    Change::DropDatabase(name) => same_name(case, name, &at.0),
                    Change::AlterDatabase(..) | Change::CreateDatabase { .. } => false,
                };
                if ends {
                    return Err(statement.at.clone());
                }
            }
        }
        match &self.beyond {
            Some(place) => Err(place.clone()),
            None => Ok((at, changes)),
        }
    }
}

impl Statement {
    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }
}

fn same_name(case: NameCase, left: &str, right: &str) -> bool {
    match case {
        NameCase::Sensitive => left == right,
        NameCase::Insensitive | NameCase::Unknown => left.to_lowercase() == right.to_lowercase(),
    }
}

fn same(case: NameCase, left: &(String, String), right: &(String, String)) -> bool {
    same_name(case, &left.0, &right.0) && same_name(case, &left.1, &right.1)
}

/// The structures from which the steps of one statement lead to `after`; `None` when nobody can know.
fn undo_steps(after: &Table, steps: &[Step]) -> Option<Vec<Table>> {
    let mut before = after.clone();
    let mut anywhere = Vec::new();
    let mut ids: Vec<usize> = (0..after.columns.len()).collect();
    for step in steps {
        undo_step((&mut before, &mut ids), after, step, &mut anywhere)?;
    }
    let mut candidates = vec![before];
    for column in anywhere {
        let mut more = Vec::new();
        for table in &candidates {
            for index in 0..=table.columns.len() {
                let mut table = table.clone();
                table.columns.insert(index, column.clone());
                more.push(table);
            }
        }
        if more.len() > CANDIDATES_MAX {
            return None;
        }
        candidates = more;
    }
    // Whatever was undone must lead back.
    let names = |table: &Table| -> Vec<String> {
        table.columns.iter().map(|column| column.name.to_lowercase()).collect()
    };
    candidates.retain(|table| apply_steps(table, steps).is_some_and(|t| names(&t) == names(after)));
    Some(candidates)
}

fn undo_key(keys: &mut Vec<UniqueKey>, step: &Step) {
    if let Step::AddKey { key, .. } = step {
        // The latest of its columns, where it has no name of its own.
        let is_it = |other: &UniqueKey| match key {
            Key::Unique(key) if key.name.is_empty() => other.parts == key.parts,
            Key::Unique(_) | Key::Other(_) => other.name.eq_ignore_ascii_case(key.name()),
        };
        if let Some(index) = keys.iter().rposition(is_it) {
            keys.remove(index);
        }
    } else if let Step::DropKey(name) = step {
        // It may have been a UNIQUE one.
        keys.push(UniqueKey { name: name.clone(), parts: Vec::new(), uses_hash: false });
    } else if let Step::RenameKey { old, new } = step {
        for key in keys.iter_mut().filter(|key| key.name.eq_ignore_ascii_case(new)) {
            old.clone_into(&mut key.name);
        }
    }
}

/// Columns that lay anywhere go to `anywhere`. `ids`: where each column of `before` lies in `after`, for its
/// names are those of `after`, and columns may have changed their names with each other.
fn undo_step(
    (before, ids): (&mut Table, &mut Vec<usize>),
    after: &Table,
    step: &Step,
    anywhere: &mut Vec<Column>,
) -> Option<()> {
    let columns = &mut before.columns;
    let find = |ids: &[usize], name: &str| {
        let id = position(&after.columns, name)?;
        ids.iter().position(|other| *other == id)
    };
    match step {
        // Whether it was there before is not known.
        Step::Add { if_not_exists: true, .. }
        | Step::Change { if_exists: true, .. }
        | Step::Drop { if_exists: true, .. }
        | Step::RenameColumn { if_exists: true, .. }
        | Step::DropPrimaryKey
        | Step::PrimaryKey { if_not_exists: true, .. }
        | Step::DropVersioning
        | Step::Unknown => return None,
        Step::AddKey { .. } | Step::DropKey(_) | Step::RenameKey { .. } => {
            undo_key(&mut before.unique_keys, step);
        }
        Step::Add { column, .. } => {
            let index = find(ids, &column.name)?;
            columns.remove(index);
            ids.remove(index);
        }
        Step::Change { old, column, place, .. } => {
            let index = find(ids, &column.name)?;
            let found = columns.get_mut(index)?;
            old.clone_into(&mut found.name);
            found.make_unsure();
            found.charset = Some(String::new());
            if *place != Place::Last {
                anywhere.push(columns.remove(index));
                ids.remove(index);
            }
        }
        Step::Drop { name, .. } => anywhere.push(Column::new(name, "?")),
        Step::RenameColumn { old, new, .. } => {
            let index = find(ids, new)?;
            old.clone_into(&mut columns.get_mut(index)?.name);
        }
        Step::PrimaryKey { names, .. } => {
            for name in names {
                // A key column that this statement added is gone by now.
                if let Some(column) = find(ids, name).and_then(|i| columns.get_mut(i)) {
                    column.is_key = false;
                }
            }
        }
        Step::Convert(_) => {
            for column in columns.iter_mut() {
                let lower = column.type_text.to_ascii_lowercase();
                if ["tinytext", "text", "mediumtext", "longtext"].contains(&lower.as_str()) {
                    column.make_unsure();
                }
                column.charset = None;
            }
            before.charset = None;
        }
        Step::AddVersioning if before.has_implicit_versioning => {
            columns.truncate(columns.len().checked_sub(2)?);
            ids.truncate(columns.len());
            before.has_implicit_versioning = false;
        }
        Step::AddVersioning | Step::Period(..) => {}
        Step::Charset(_) => {
            pin_charsets(before);
            before.charset = None;
        }
        // It stays true: rows are looked at before it counts.
        Step::FunctionalKey | Step::RenameTo(_) => {}
    }
    Some(())
}
