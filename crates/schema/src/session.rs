//! Sessions of a server and their temporary tables.
//!
//! A temporary table hides a table of the same name from its session, and from nobody else: statements of the
//! session that name it change nothing that others see. The binlog has them where they are logged as
//! statements, marked as bound to their session (`LOG_EVENT_THREAD_SPECIFIC_F`). The mark alone says too
//! little: within a CALL it stays behind the first statement that used a temporary table.

use std::collections::HashMap;

use crate::catalog::{Catalog, Lookup, NameCase, StructureChange, qualified};
use crate::cursor::Name;
use crate::lexer::ServerKind;
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
pub struct Speaker<'a> {
    /// The session.
    pub id: SessionId,
    /// Its default database.
    pub database: Option<&'a str>,
    /// What its RENAME TABLE means.
    pub renaming: Renaming,
    /// The statement is marked as bound to its session.
    pub is_bound: bool,
}

/// Which tables RENAME TABLE means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renaming {
    /// MySQL: never a temporary one.
    Permanent,
    /// MariaDB up to 10.2: a temporary one, and then the statement is marked as bound.
    Bound,
    /// MariaDB: a temporary one, without a mark.
    Temporary,
}

impl Renaming {
    /// What it means to a server.
    #[must_use]
    pub fn of(server: Option<ServerKind>) -> Self {
        match server {
            Some(server) if server.is_mariadb && server.version >= (10, 3, 0) => Self::Temporary,
            Some(server) if server.is_mariadb => Self::Bound,
            Some(_) | None => Self::Permanent,
        }
    }

    const fn may_be_temporary(self, is_bound: bool) -> bool {
        match self {
            Self::Permanent => false,
            Self::Bound => is_bound,
            Self::Temporary => true,
        }
    }
}

/// Whether every temporary table is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Knowledge {
    /// Reading began while the server ran, or a session's statement was not understood: sessions may have
    /// some that are not known.
    #[default]
    SinceSomePlace,
    /// Since the server was started.
    Whole,
}

/// The temporary tables of sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    tables: HashMap<SessionId, Catalog>,
    knowledge: Knowledge,
    /// Where they are kept: what changed since they were taken.
    changes: Option<Vec<StructureChange>>,
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
    pub(crate) fn server_starts(&mut self) {
        self.tables.clear();
        self.knowledge = Knowledge::Whole;
    }

    /// See [`Catalog::settle`].
    pub(crate) fn settle(&mut self, case: NameCase) {
        for tables in self.tables.values_mut() {
            tables.settle(case);
        }
    }

    /// Keeps changes from now on, until they are taken.
    pub(crate) fn keep_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    pub(crate) fn take_changes(&mut self) -> Vec<StructureChange> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Everything that is known, as changes that lead to it.
    pub(crate) fn changes_so_far(&self) -> Vec<StructureChange> {
        let mut changes = Vec::new();
        if self.knowledge == Knowledge::Whole {
            changes.push(StructureChange::ServerStarted);
        }
        for (session, tables) in &self.tables {
            changes.extend(tables.changes_so_far().map(|change| of_session(*session, change)));
        }
        changes
    }

    /// Takes a change of the history.
    pub(crate) fn replay(&mut self, session: SessionId, change: StructureChange, case: NameCase) {
        self.tables.entry(session).or_insert_with(|| Catalog::new(case)).replay(change);
        self.forget_empty(session);
    }

    fn forget_empty(&mut self, session: SessionId) {
        if self.tables.get(&session).is_some_and(|tables| tables.len() == 0) {
            self.tables.remove(&session);
        }
    }

    /// Takes out of a statement what it does to temporary tables of its session, and does that; `real` has the
    /// other tables. What is left is what others see of it.
    pub(crate) fn separate(&mut self, parsed: Parsed, by: &Speaker<'_>, real: &Catalog) -> Parsed {
        let is_concerned = by.is_bound
            || self.tables.contains_key(&by.id)
            || parsed.changes.iter().any(Change::is_of_temporary_tables);
        if !is_concerned {
            return parsed;
        }
        let (changes, mut results) = (parsed.changes, parsed.results);
        let (had_changes, mut hidden) = (!changes.is_empty(), Hidden::default());
        // Before they get other names.
        results.retain(|draft| !self.hides_result(draft, by));
        let changes: Vec<Change> = changes
            .into_iter()
            .flat_map(|change| self.change(change, by, real, &mut hidden))
            .collect();
        results.retain(|draft| match draft {
            Draft::Table(_, name) => !hidden.names.contains(name),
            Draft::Rename(from, _) => {
                !hidden.names.contains(from) && !hidden.renamed.contains(from)
            }
            Draft::Database(_) => true,
            Draft::Unreadable => !(had_changes && changes.is_empty()),
        });
        Parsed { changes, results, ..Parsed::default() }
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

    /// Whether a statement that names a table may mean a temporary one: one that is known, or one that was
    /// made in a way that is not known.
    fn may_be_temporary(&self, name: &Name, by: &Speaker<'_>) -> bool {
        by.is_bound && (self.knowledge == Knowledge::SinceSomePlace || self.has(name, by))
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
    ) -> Vec<Change> {
        match change {
            Change::Create { temporary: true, .. } => {
                self.create(change, by, real);
                Vec::new()
            }
            Change::Create { body: Body::Like(other), name, or_replace, if_not_exists, .. }
                if self.may_be_temporary(&other, by) =>
            {
                let known = self.structure(&other, by);
                let body = known.map_or(Body::Unknown, Body::Columns);
                vec![Change::Create { name, temporary: false, or_replace, if_not_exists, body }]
            }
            Change::DropTemporary(_) => {
                self.apply(change, by, real);
                Vec::new()
            }
            Change::Alter { ref name, .. } if by.is_bound && self.has(name, by) => {
                hidden.names.push(name.clone());
                self.apply(change, by, real);
                Vec::new()
            }
            Change::Alter { name, mut steps } if self.may_be_temporary(&name, by) => {
                steps.push(Step::Unknown);
                vec![Change::Alter { name, steps }]
            }
            Change::Rename(pairs) if by.renaming.may_be_temporary(by.is_bound) => {
                self.rename(pairs, by, real, hidden)
            }
            Change::Create { .. }
            | Change::Alter { .. }
            | Change::Rename(_)
            | Change::Drop(_)
            | Change::DropDatabase(_)
            | Change::AlterDatabase(..)
            | Change::CreateDatabase { .. } => vec![change],
            Change::Doubt(_) => {
                let may_rename = by.renaming.may_be_temporary(by.is_bound);
                if by.is_bound || may_rename && self.tables.contains_key(&by.id) {
                    self.lose(by.id);
                }
                vec![change]
            }
        }
    }

    fn create(&mut self, change: Change, by: &Speaker<'_>, real: &Catalog) {
        let Change::Create { name, or_replace, if_not_exists, body, .. } = change else { return };
        let body = match body {
            Body::Like(other) => {
                let (schema, table) = qualified(&other, by.database);
                let known = match self.structure(&other, by) {
                    Some(table) => Lookup::Known(table),
                    None if self.may_be_temporary(&other, by) => Lookup::Unknown,
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
            self.lose(by.id);
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
    ) -> Vec<Change> {
        let (mut left, mut lost) = (Vec::new(), Vec::new());
        for (from, to) in pairs {
            if self.has(&from, by) {
                hidden.renamed.push(from.clone());
                self.apply(Change::Rename(vec![(from, to)]), by, real);
            } else if self.may_be_temporary(&from, by) {
                lost.extend([from, to]);
            } else {
                left.push((from, to));
            }
        }
        let unknown = |name| Change::Alter { name, steps: vec![Step::Unknown] };
        let left = (!left.is_empty()).then_some(Change::Rename(left));
        left.into_iter().chain(lost.into_iter().map(unknown)).collect()
    }

    /// A session did to its temporary tables what is not known: from now on some may be there of which
    /// nothing is known.
    pub(crate) fn lose(&mut self, session: SessionId) {
        let had_some = self.tables.remove(&session).is_some();
        if had_some || self.knowledge == Knowledge::Whole {
            self.knowledge = Knowledge::SinceSomePlace;
            if let Some(changes) = &mut self.changes {
                changes.push(StructureChange::TemporaryLost { session });
            }
        }
    }

    /// Does to the session's tables what a statement does to tables.
    fn apply(&mut self, change: Change, by: &Speaker<'_>, real: &Catalog) {
        let change =
            if let Change::DropTemporary(names) = change { Change::Drop(names) } else { change };
        let parsed = Parsed { changes: vec![change], ..Parsed::default() };
        let tables = self.tables.entry(by.id).or_insert_with(|| Catalog::new(real.case()));
        if self.changes.is_some() {
            tables.keep_changes();
        }
        tables.apply(&parsed, by.database);
        if let Some(changes) = &mut self.changes {
            changes.extend(tables.take_changes().into_iter().map(|c| of_session(by.id, c)));
        }
        self.forget_empty(by.id);
    }
}

fn of_session(session: SessionId, change: StructureChange) -> StructureChange {
    StructureChange::Temporary { session, change: Box::new(change) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::ParseOptions;
    use crate::statement::{classify, parse};

    const ONE: SessionId = SessionId { server_id: 1, thread_id: 5 };
    const TWO: SessionId = SessionId { server_id: 1, thread_id: 6 };

    /// A statement of a session in database `d`; how many results others see of it.
    fn run(catalog: &mut Catalog, id: SessionId, is_bound: bool, sql: &str) -> usize {
        run_on(catalog, Renaming::Permanent, (id, is_bound), sql)
    }

    fn run_on(
        catalog: &mut Catalog,
        renaming: Renaming,
        (id, is_bound): (SessionId, bool),
        sql: &str,
    ) -> usize {
        let by = Speaker { id, database: Some("d"), renaming, is_bound };
        let parsed = catalog.separate(parse(sql, &ParseOptions::default()), &by);
        catalog.apply(&parsed, Some("d"));
        classify(&parsed, Some("d")).len()
    }

    fn names(catalog: &Catalog, table: &str) -> Option<String> {
        match catalog.get("d", table) {
            Lookup::Known(table) => {
                let names: Vec<String> = table.columns.into_iter().map(|c| c.name).collect();
                Some(names.join(","))
            }
            Lookup::Unknown => None,
        }
    }

    fn with_two_tables() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.server_starts();
        run(&mut catalog, ONE, false, "CREATE TABLE t (a INT, b INT)");
        run(&mut catalog, ONE, true, "CREATE TEMPORARY TABLE t (x INT, y INT)");
        catalog
    }

    #[test]
    fn what_a_session_does_to_its_temporary_table_is_hidden() {
        let mut catalog = with_two_tables();
        for sql in [
            "ALTER TABLE t CHANGE x y INT, CHANGE y x INT",
            "CREATE INDEX i ON t (x)",
            "TRUNCATE d.t",
            "INSERT INTO t VALUES (1, 2)",
            "ALTER TABLE t RENAME u",
            "ALTER TABLE u ADD z INT INVISIBLE",
        ] {
            assert_eq!(run(&mut catalog, ONE, true, sql), 0, "{sql}");
        }
        assert_eq!(names(&catalog, "t").as_deref(), Some("a,b"));
        assert_eq!(names(&catalog, "u"), None);
        // What is made like it is everybody's.
        assert_eq!(run(&mut catalog, ONE, true, "CREATE TABLE v LIKE u"), 1);
        assert_eq!(names(&catalog, "v").as_deref(), Some("y,x,z"));
        // The mark stays within a CALL, and `t` is the real one again.
        assert_eq!(run(&mut catalog, ONE, true, "ALTER TABLE t ADD c INT"), 1);
        assert_eq!(names(&catalog, "t").as_deref(), Some("a,b,c"));
    }

    #[test]
    fn others_see_the_real_table() {
        let mut catalog = with_two_tables();
        assert_eq!(run(&mut catalog, TWO, false, "ALTER TABLE t ADD c INT"), 1);
        assert_eq!(names(&catalog, "t").as_deref(), Some("a,b,c"));
        // MySQL's RENAME TABLE never means a temporary one.
        assert_eq!(run(&mut catalog, ONE, false, "RENAME TABLE t TO r"), 1);
        assert_eq!(names(&catalog, "r").as_deref(), Some("a,b,c"));
    }

    /// A table that was made before reading began may be a temporary one.
    #[test]
    fn a_bound_statement_without_a_known_table_is_no_reason_to_guess() {
        let mut catalog = Catalog::default();
        run(&mut catalog, TWO, false, "CREATE TABLE t (a INT, b INT)");
        run(&mut catalog, ONE, true, "ALTER TABLE t CHANGE a b INT, CHANGE b a INT");
        assert_eq!(names(&catalog, "t"), None);
    }

    #[test]
    fn what_is_made_or_named_like_a_table_that_may_be_temporary_is_not_known() {
        let mut catalog = Catalog::default();
        run(&mut catalog, TWO, false, "CREATE TABLE t (a INT)");
        run(&mut catalog, TWO, false, "CREATE TABLE u (b INT)");
        assert_eq!(run(&mut catalog, ONE, true, "CREATE TABLE v LIKE t"), 1);
        assert_eq!(names(&catalog, "v"), None);
        assert_eq!(run(&mut catalog, ONE, false, "CREATE TABLE w LIKE t"), 1);
        assert_eq!(names(&catalog, "w").as_deref(), Some("a"));
        run(&mut catalog, ONE, true, "CREATE TEMPORARY TABLE x LIKE t");
        assert_eq!(run(&mut catalog, ONE, true, "CREATE TABLE y LIKE x"), 1);
        assert_eq!(names(&catalog, "y"), None);

        // MySQL never means a temporary table, MariaDB may.
        run(&mut catalog, ONE, true, "RENAME TABLE w TO z");
        assert_eq!(names(&catalog, "z").as_deref(), Some("a"));
        let rename = "RENAME TABLE t TO s, u TO t";
        assert_eq!(run_on(&mut catalog, Renaming::Bound, (ONE, true), rename), 2);
        let lost = ["s", "t", "u"].map(|table| names(&catalog, table));
        assert_eq!(lost, [None, None, None]);
    }

    /// Which table a session means is not known any more after a statement that is not understood.
    #[test]
    fn a_bound_statement_that_is_not_understood_may_have_changed_temporary_tables() {
        let mut before = with_two_tables();
        before.keep_changes();
        run(&mut before, TWO, true, "CREATE TEMPORARY TABLE w (a INT)");
        run(&mut before, ONE, false, "FROBNICATE TEMPORARY x");
        let known = |catalog: &Catalog| (catalog.temporary_tables().len(), names(catalog, "t"));
        assert_eq!(known(&before), (3, Some("a,b".to_owned())));
        run(&mut before, ONE, true, "FROBNICATE TEMPORARY x");
        assert_eq!(known(&before), (1, Some("a,b".to_owned())));
        let mut after = with_two_tables();
        before.take_changes().into_iter().for_each(|change| after.replay(change));
        for mut catalog in [before, after] {
            assert_eq!(run(&mut catalog, TWO, true, "TRUNCATE w"), 0);
            assert_eq!(run(&mut catalog, ONE, true, "ALTER TABLE t ADD c INT"), 1);
            assert_eq!(names(&catalog, "t"), None);
            catalog.server_starts();
            run(&mut catalog, TWO, false, "CREATE TABLE t (a INT)");
            assert_eq!(run(&mut catalog, ONE, true, "ALTER TABLE t ADD c INT"), 1);
            assert_eq!(names(&catalog, "t").as_deref(), Some("a,c"));
        }
        // MariaDB renames temporary tables without a mark.
        let mut catalog = with_two_tables();
        run_on(&mut catalog, Renaming::Temporary, (TWO, false), "FROBNICATE x");
        assert_eq!(catalog.temporary_tables().len(), 2);
        run_on(&mut catalog, Renaming::Temporary, (ONE, false), "FROBNICATE x");
        assert_eq!(catalog.temporary_tables().len(), 0);
    }

    #[test]
    fn what_is_known_can_be_learned_again_from_changes() {
        let mut before = with_two_tables();
        before.keep_changes();
        run(&mut before, TWO, true, "CREATE TEMPORARY TABLE w LIKE t");
        let changes = [before.temporary_tables(), before.take_changes()].concat();
        let mut after = Catalog::default();
        run(&mut after, TWO, false, "CREATE TABLE t (a INT, b INT)");
        changes.into_iter().for_each(|change| after.replay(change));
        assert_eq!(run(&mut after, ONE, true, "ALTER TABLE t DROP x"), 0);
        assert_eq!(run(&mut after, TWO, true, "TRUNCATE w"), 0);
        assert_eq!(run(&mut after, ONE, true, "ALTER TABLE t DROP a"), 0);
        assert_eq!(names(&after, "t").as_deref(), Some("a,b"));
        after.server_starts();
        assert_eq!(run(&mut after, ONE, true, "ALTER TABLE t DROP a"), 1);
        assert_eq!(names(&after, "t").as_deref(), Some("b"));
    }

    /// Every table that its words can mean, and no other.
    #[test]
    fn a_statement_that_is_not_understood_makes_tables_unknown() {
        let mut catalog = with_two_tables();
        run(&mut catalog, TWO, false, "CREATE TABLE u (a INT)");
        run(&mut catalog, TWO, false, "CREATE TABLE e.t (a INT)");
        run(&mut catalog, TWO, false, "FROBNICATE LOCAL `t` WITH x");
        assert_eq!((names(&catalog, "t"), names(&catalog, "u")), (None, Some("a".to_owned())));
        assert!(matches!(catalog.get("e", "t"), Lookup::Known(_)));
        run(&mut catalog, TWO, false, "FROBNICATE DATABASE e");
        assert!(matches!(catalog.get("e", "t"), Lookup::Unknown));
    }
}
