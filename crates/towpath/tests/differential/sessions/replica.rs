//! Databases and tables as a consumer has them that applies whole transactions.

use std::collections::{BTreeMap, VecDeque};

use towpath_protocol::entry::{Column as Cell, Entry, EntryType, EventType, RowChange, RowData};

use super::super::replay::value_after;
use super::world::{Alter, Change, Column, Name, Table};

/// Column name to value.
pub(crate) type Row = BTreeMap<String, Option<String>>;

/// A place in the binlog.
type Place = (String, i64);

#[derive(Debug)]
pub(crate) struct Rows {
    defaults: Row,
    keyed: bool,
    /// By id, or as they came.
    pub(crate) rows: BTreeMap<i64, Row>,
    next: i64,
}

/// A change that is expected, and the number in its statement.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) number: u32,
    pub(crate) change: Change,
    /// For whoever looks into a failure.
    pub(crate) sql: String,
}

#[derive(Debug, Default)]
pub(crate) struct Replica {
    pub(crate) tables: BTreeMap<Name, Rows>,
    /// Changes that are still to come, in order.
    pub(crate) expected: VecDeque<Expected>,
    /// The entries of a transaction that has not ended.
    open: Vec<Vec<u8>>,
    /// Behind what was applied last.
    applied: Place,
    pub(crate) context: String,
    pub(crate) repeated: u64,
    pub(crate) inverted: u64,
    pub(crate) changed: u64,
}

/// The number that a statement of a session carries.
fn number(sql: &str) -> Option<u32> {
    let (_, rest) = sql.split_once("/*n")?;
    rest.split_once("*/")?.0.parse().ok()
}

fn is_ddl(entry: &Entry<'_>) -> bool {
    entry.row_change().unwrap().is_some_and(|change| change.is_ddl == Some(true))
}

fn place(entry: &Entry<'_>) -> Place {
    (entry.header.logfile_name.to_owned(), entry.header.logfile_offset)
}

fn matches(row: &Row, cells: &[Cell<'_>]) -> bool {
    cells.iter().all(|cell| row.get(cell.name).map(Option::as_deref) == Some(cell.value))
}

impl Replica {
    pub(crate) fn expecting(expected: &[Expected], context: String) -> Self {
        Self { expected: expected.iter().cloned().collect(), context, ..Self::default() }
    }

    /// A connection is new: what had not ended comes again.
    pub(crate) fn reconnected(&mut self) {
        self.open.clear();
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let entry = Entry::parse(bytes).unwrap();
        match entry.entry_type {
            EntryType::TransactionBegin => {
                // One that holds nothing but statements on temporary tables may not end.
                assert!(!self.has_open_rows(), "{}: a begin in a transaction", self.context);
                self.open = vec![bytes.to_vec()];
            }
            EntryType::TransactionEnd => {
                let open = std::mem::take(&mut self.open);
                if !self.is_repeat(place(&entry)) {
                    open.iter().for_each(|bytes| self.apply(bytes));
                }
            }
            EntryType::RowData
                if self.open.is_empty() || (is_ddl(&entry) && !self.has_open_rows()) =>
            {
                self.open.clear();
                if !self.is_repeat(place(&entry)) {
                    self.apply(bytes);
                }
            }
            EntryType::RowData => self.open.push(bytes.to_vec()),
            EntryType::Heartbeat | EntryType::GtidLog | EntryType::Unrecognized(_) => {}
        }
    }

    fn has_open_rows(&self) -> bool {
        let has_rows = |bytes: &Vec<u8>| {
            let change = Entry::parse(bytes).unwrap().row_change().unwrap();
            change.is_some_and(|change| !change.rows.is_empty())
        };
        self.open.iter().any(has_rows)
    }

    fn is_repeat(&mut self, at: Place) -> bool {
        let is_repeat = at <= self.applied;
        if is_repeat {
            self.repeated += 1;
        } else {
            self.applied = at;
        }
        is_repeat
    }

    fn apply(&mut self, bytes: &[u8]) {
        let entry = Entry::parse(bytes).unwrap();
        let Some(change) = entry.row_change().unwrap() else { return };
        let at = format!(
            "{}: {}:{}",
            self.context, entry.header.logfile_name, entry.header.logfile_offset
        );
        if change.is_ddl == Some(true) {
            let of = |name: Option<&str>| name.unwrap_or_default().to_owned();
            let name = (of(entry.header.schema_name), of(entry.header.table_name));
            self.restructure(&name, &change, &at);
            return;
        }
        if !entry.header.props.iter().all(|(name, _)| *name == "rowsCount" || *name == "type") {
            self.inverted += 1;
        }
        let of = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let name = (of(entry.header.schema_name), of(entry.header.table_name));
        if change.sql.is_empty() {
            assert!(!change.rows.is_empty(), "{at}: an entry without rows: {entry:?}");
        }
        for row in &change.rows {
            self.changed += 1;
            self.row(&name, change.event_type, row, &format!("{at} {name:?}"));
        }
    }

    fn row(&mut self, name: &Name, kind: EventType, row: &RowData<'_>, at: &str) {
        let Some(table) = self.tables.get_mut(name) else { panic!("{at}: no such table") };
        let old = (kind != EventType::Insert).then(|| table.remove(&row.before, at));
        if kind == EventType::Delete {
            return;
        }
        let mut new = old.clone().unwrap_or_else(|| table.defaults.clone());
        for cell in &row.after {
            assert!(table.defaults.contains_key(cell.name), "{at}: no column {}", cell.name);
            new.insert(cell.name.to_owned(), value_after(cell, old.as_ref()));
        }
        table.next += 1;
        let key =
            if table.keyed { new["id"].as_ref().unwrap().parse().unwrap() } else { table.next };
        let was = table.rows.insert(key, new);
        assert!(was.is_none(), "{at}: there already: {was:?}");
    }

    fn restructure(&mut self, name: &Name, change: &RowChange<'_>, at: &str) {
        let kind = change.event_type.name();
        let at = format!("{at}: {kind} {}", change.sql);
        let expected = self.expected.front();
        if let Some(Change::DropDatabase(database)) = expected.map(|expected| &expected.change)
            && name.0 == *database
            && change.sql.ends_with("/* generated by server */")
        {
            // MySQL drops tables of engines without transactions first.
            self.tables.remove(name);
            return;
        }
        let is_expected = expected.is_some_and(|expected| match number(change.sql) {
            Some(number) => number == expected.number,
            // Servers write some statements anew.
            None => {
                let is_rewritten =
                    matches!(expected.change, Change::Drop(_)) || expected.number == 0;
                is_rewritten && !change.sql.contains("TEMPORARY")
            }
        });
        if !is_expected && kind == "QUERY" {
            // Temporary tables may be told of, but not as if they were others.
            return;
        }
        let sql = expected.map(|expected| &expected.sql);
        assert!(is_expected, "{at}: expected is {sql:?} {expected:?}");
        if let Some(expected) = self.expected.pop_front() {
            self.change(&expected.change, &at);
        }
    }

    fn table(&mut self, name: &Name, at: &str) -> &mut Rows {
        self.tables.get_mut(name).unwrap_or_else(|| panic!("{at}: no table {name:?}"))
    }

    fn change(&mut self, change: &Change, at: &str) {
        match change {
            Change::Nothing | Change::Database(..) => {}
            Change::Create(table) => {
                self.tables.insert(table.name.clone(), Rows::of(table));
            }
            Change::Drop(name) => {
                let _rows = self.table(name, at);
                self.tables.remove(name);
            }
            Change::DropDatabase(database) => self.tables.retain(|name, _| name.0 != *database),
            Change::Truncate(name) => self.table(name, at).rows.clear(),
            Change::Rename(pairs) => {
                for (from, to) in pairs {
                    let _rows = self.table(from, at);
                    let rows = self.tables.remove(from).unwrap();
                    self.tables.insert(to.clone(), rows);
                }
            }
            Change::Alter(name, Alter::AddAndRename(column, to)) => {
                self.table(name, at).add(column);
                let rows = self.tables.remove(name).unwrap();
                self.tables.insert(to.clone(), rows);
            }
            Change::Alter(name, alter) => self.table(name, at).alter(alter),
        }
    }
}

impl Rows {
    fn of(table: &Table) -> Self {
        let default = |column: &Column| (column.name.clone(), column.default.clone());
        Self {
            defaults: table.columns.iter().map(default).collect(),
            keyed: table.keyed,
            rows: BTreeMap::new(),
            next: 0,
        }
    }

    fn remove(&mut self, before: &[Cell<'_>], at: &str) -> Row {
        let id = before.iter().find(|cell| cell.name == "id" && self.keyed);
        let key = match id.and_then(|id| id.value) {
            Some(id) => Some(id.parse().unwrap()),
            None => self.rows.iter().rfind(|(_, row)| matches(row, before)).map(|(key, _)| *key),
        };
        let removed = key.and_then(|key| self.rows.remove(&key));
        removed.unwrap_or_else(|| panic!("{at}: no row {before:?}"))
    }

    fn add(&mut self, column: &Column) {
        self.defaults.insert(column.name.clone(), column.default.clone());
        for row in self.rows.values_mut() {
            row.insert(column.name.clone(), column.default.clone());
        }
    }

    fn alter(&mut self, alter: &Alter) {
        match alter {
            Alter::Add(column) | Alter::AddAndRename(column, _) => self.add(column),
            Alter::Drop(name) => {
                self.defaults.remove(name);
                self.rows.values_mut().for_each(|row| drop(row.remove(name)));
            }
            Alter::Rename(pairs) => {
                for row in self.rows.values_mut().chain([&mut self.defaults]) {
                    let values: Vec<_> =
                        pairs.iter().map(|(from, to)| (to, row.remove(from).unwrap())).collect();
                    row.extend(values.into_iter().map(|(to, value)| (to.clone(), value)));
                }
            }
        }
    }
}
