//! Sessions of a server and their temporary tables.
//!
//! A temporary table hides a table of the same name from its session, and from nobody else: statements of the
//! session that name it change nothing that others see. The binlog has them where they are logged as
//! statements, marked as bound to their session (`LOG_EVENT_THREAD_SPECIFIC_F`). The mark alone says too
//! little: within a CALL it stays behind the first statement that used a temporary table.

use std::collections::HashMap;

use crate::catalog::{Catalog, Lookup, qualified};
use crate::cursor::Name;
use crate::statement::{Body, CanalKind, Change, Draft, Parsed, Step};
use crate::table::Table;

/// Temporary tables that are kept of all sessions.
const TABLES_MAX: usize = 1 << 16;

/// A session of a server, by what the binlog calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// The server on which the session was.
    pub server_id: u32,
    /// Pseudo thread id.
    pub thread_id: u32,
}

/// Who makes a statement, and in which surroundings.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "two independent facts")]
pub struct Speaker<'a> {
    /// The session.
    pub id: SessionId,
    /// Its default database.
    pub database: Option<&'a str>,
    /// MariaDB's RENAME TABLE renames temporary tables, MySQL's does not.
    pub is_mariadb: bool,
    /// The statement is marked as bound to its session.
    pub is_bound: bool,
}

/// Whether every temporary table is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Knowledge {
    /// Reading began while the server ran: sessions may have had some.
    #[default]
    SinceSomePlace,
    /// Since the server was started.
    Whole,
}

/// The temporary tables of sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    tables: HashMap<SessionId, Catalog>,
    knowledge: Knowledge,
}

/// Names whose results are nobody's business.
#[derive(Default)]
struct Hidden {
    names: Vec<Name>,
    /// Old names of renames.
    renamed: Vec<Name>,
}

impl Sessions {
    /// The server was started: no session of before is there any more.
    pub fn server_starts(&mut self) {
        self.tables.clear();
        self.knowledge = Knowledge::Whole;
    }

    /// Reading begins at another place.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes out of a statement what it does to temporary tables of its session, and does that; `real` has the
    /// other tables. What is left is what others see of it.
    #[must_use]
    pub fn separate(&mut self, parsed: Parsed, by: &Speaker<'_>, real: &Catalog) -> Parsed {
        let is_concerned = by.is_bound
            || self.tables.contains_key(&by.id)
            || parsed.changes.iter().any(Change::is_of_temporary_tables);
        if !is_concerned {
            return parsed;
        }
        let Parsed { changes, mut results } = parsed;
        let (had_changes, mut hidden) = (!changes.is_empty(), Hidden::default());
        // Before they get other names.
        results.retain(|draft| !self.hides_result(draft, by));
        let changes: Vec<Change> = changes
            .into_iter()
            .filter_map(|change| self.change(change, by, real, &mut hidden))
            .collect();
        results.retain(|draft| match draft {
            Draft::Table(_, name) => !hidden.names.contains(name),
            Draft::Rename(from, _) => {
                !hidden.names.contains(from) && !hidden.renamed.contains(from)
            }
            Draft::Database(_) => true,
            Draft::Unreadable => !(had_changes && changes.is_empty()),
        });
        Parsed { changes, results }
    }

    /// A result that stands for no change of a structure: a temporary table is emptied, or gets an index, or
    /// rows.
    fn hides_result(&self, draft: &Draft, by: &Speaker<'_>) -> bool {
        match draft {
            Draft::Table(CanalKind::Create | CanalKind::Erase, _) => false,
            Draft::Table(_, name) => by.is_bound && self.has(name, by),
            Draft::Rename(..) | Draft::Database(_) | Draft::Unreadable => false,
        }
    }

    fn has(&self, name: &Name, by: &Speaker<'_>) -> bool {
        let (schema, table) = qualified(name, by.database);
        self.tables.get(&by.id).is_some_and(|tables| tables.contains(&schema, &table))
    }

    /// The structure of a temporary table, where it is one and its structure is known.
    fn structure(&self, name: &Name, by: &Speaker<'_>) -> Option<Table> {
        let (schema, table) = qualified(name, by.database);
        match self.tables.get(&by.id)?.get(&schema, &table) {
            Lookup::Known(table) => Some(table),
            Lookup::Unknown => None,
        }
    }

    /// What others see of a change.
    fn change(
        &mut self,
        change: Change,
        by: &Speaker<'_>,
        real: &Catalog,
        hidden: &mut Hidden,
    ) -> Option<Change> {
        match change {
            Change::Create { temporary: true, .. } => {
                self.create(change, by, real);
                None
            }
            Change::Create { body: Body::Like(other), name, or_replace, if_not_exists, .. }
                if by.is_bound && self.has(&other, by) =>
            {
                let known = self.structure(&other, by);
                let body = known.map_or(Body::Unknown, Body::Columns);
                Some(Change::Create { name, temporary: false, or_replace, if_not_exists, body })
            }
            Change::DropTemporary(_) => {
                self.apply(change, by, real);
                None
            }
            Change::Alter { ref name, .. } if by.is_bound && self.has(name, by) => {
                hidden.names.push(name.clone());
                self.apply(change, by, real);
                None
            }
            Change::Alter { name, mut steps }
                if by.is_bound && self.knowledge == Knowledge::SinceSomePlace =>
            {
                // Perhaps of a temporary table that was made before reading began.
                steps.push(Step::Unknown);
                Some(Change::Alter { name, steps })
            }
            Change::Rename(pairs) if by.is_mariadb => self.rename(pairs, by, real, hidden),
            Change::Create { .. }
            | Change::Alter { .. }
            | Change::Rename(_)
            | Change::Drop(_)
            | Change::DropDatabase(_)
            | Change::AlterDatabase(..)
            | Change::CreateDatabase { .. }
            | Change::Doubt(_) => Some(change),
        }
    }

    fn create(&mut self, change: Change, by: &Speaker<'_>, real: &Catalog) {
        let Change::Create { name, or_replace, if_not_exists, body, .. } = change else { return };
        let body = match body {
            Body::Like(other) => {
                let (schema, table) = qualified(&other, by.database);
                let known = match self.structure(&other, by) {
                    Some(table) => Lookup::Known(table),
                    None => real.get(&schema, &table),
                };
                match known {
                    Lookup::Known(table) => Body::Columns(table),
                    Lookup::Unknown => Body::Unknown,
                }
            }
            body @ (Body::Columns(_) | Body::Unknown) => body,
        };
        let change = Change::Create { name, temporary: false, or_replace, if_not_exists, body };
        if self.tables.values().map(Catalog::len).sum::<usize>() >= TABLES_MAX {
            // From now on some are not known.
            self.knowledge = Knowledge::SinceSomePlace;
            return;
        }
        self.apply(change, by, real);
    }

    fn rename(
        &mut self,
        pairs: Vec<(Name, Name)>,
        by: &Speaker<'_>,
        real: &Catalog,
        hidden: &mut Hidden,
    ) -> Option<Change> {
        let mut left = Vec::new();
        for (from, to) in pairs {
            if self.has(&from, by) {
                hidden.renamed.push(from.clone());
                self.apply(Change::Rename(vec![(from, to)]), by, real);
            } else {
                left.push((from, to));
            }
        }
        (!left.is_empty()).then_some(Change::Rename(left))
    }

    /// Does to the session's tables what a statement does to tables.
    fn apply(&mut self, change: Change, by: &Speaker<'_>, real: &Catalog) {
        let change =
            if let Change::DropTemporary(names) = change { Change::Drop(names) } else { change };
        let parsed = Parsed { changes: vec![change], ..Parsed::default() };
        let tables = self.tables.entry(by.id).or_insert_with(|| Catalog::new(real.case()));
        tables.apply(&parsed, by.database);
        if tables.len() == 0 {
            self.tables.remove(&by.id);
        }
    }
}
