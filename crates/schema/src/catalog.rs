//! The tables whose structure is known.

mod step;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::cursor::Name;
use crate::statement::{Body, Change, Parsed, Step};
use crate::table::Table;

pub(crate) use step::{apply_steps, pin_charsets, position};

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Its structure.
    Known(Arc<Table>),
    /// Nothing: ask the source.
    Unknown,
}

/// How the server compares the names of databases and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameCase {
    /// `T` and `t` are two tables (`lower_case_table_names = 0`).
    Sensitive,
    /// `T` and `t` are one table (1 and 2).
    Insensitive,
    /// Not known: the exact name first, else the only one that differs in case.
    #[default]
    Unknown,
}

/// What became of a structure, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StructureChange {
    /// A statement of the stream gave the table this structure.
    Set(Arc<Table>),
    /// The table was found to have this structure: nothing changed it.
    Learned(Arc<Table>),
    /// A statement changed the table in a way that is not known.
    Lost {
        /// Database name.
        schema: String,
        /// Table name.
        table: String,
    },
    /// The table does not exist any more under this name.
    Removed {
        /// Database name.
        schema: String,
        /// Table name.
        table: String,
    },
}

impl StructureChange {
    /// Database and table.
    #[must_use]
    pub fn name(&self) -> (&str, &str) {
        match self {
            Self::Set(table) | Self::Learned(table) => (&table.schema, &table.name),
            Self::Lost { schema, table } | Self::Removed { schema, table } => (schema, table),
        }
    }
}

/// Whether changes are kept for [`Catalog::take_changes`].
#[derive(Debug, Default, PartialEq, Eq)]
enum Journal {
    #[default]
    Off,
    On(Vec<StructureChange>),
}

/// A table by its exact name; absent structure: lost.
type Entry = ((String, String), Option<Arc<Table>>);

/// Tables whose names differ in case only.
type Bucket = Vec<Entry>;

/// Known structures by database and table.
#[derive(Debug, Default)]
pub struct Catalog {
    /// By the names in lower case.
    tables: HashMap<(String, String), Bucket>,
    case: NameCase,
    generation: u64,
    journal: Journal,
}

fn fold(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase() }
}

impl Catalog {
    /// An empty catalog for a server that compares names like this.
    #[must_use]
    pub fn new(case: NameCase) -> Self {
        Self { case, ..Self::default() }
    }

    /// Keeps changes from now on, until [`Self::take_changes`] takes them.
    pub fn keep_changes(&mut self) {
        if self.journal == Journal::Off {
            self.journal = Journal::On(Vec::new());
        }
    }

    /// The changes since the last call.
    pub fn take_changes(&mut self) -> Vec<StructureChange> {
        match &mut self.journal {
            Journal::Off => Vec::new(),
            Journal::On(changes) => std::mem::take(changes),
        }
    }

    /// Grows with each change of any structure.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// All known structures, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values().flatten().filter_map(|(_, table)| table.as_ref())
    }

    /// What is known of a table.
    #[must_use]
    pub fn get(&self, schema: &str, table: &str) -> Lookup {
        match self.entry(schema, table) {
            Some((_, Some(table))) => Lookup::Known(Arc::clone(table)),
            Some((_, None)) | None => Lookup::Unknown,
        }
    }

    /// Takes a structure that a table was found to have.
    pub fn learn(&mut self, table: Table) {
        let table = Arc::new(table);
        let key = (table.schema.clone(), table.name.clone());
        self.put(key, Some(Arc::clone(&table)), StructureChange::Learned);
    }

    /// Takes a change of the history.
    pub fn replay(&mut self, change: StructureChange) {
        let (schema, table) = change.name();
        let key = (schema.to_owned(), table.to_owned());
        match change {
            StructureChange::Set(table) | StructureChange::Learned(table) => {
                self.put(key, Some(table), StructureChange::Set);
            }
            StructureChange::Lost { .. } => self.put(key, None, StructureChange::Set),
            StructureChange::Removed { .. } => {
                self.remove(&key);
            }
        }
    }

    /// Applies a statement; `database` is the default one. What cannot be applied is lost, so that
    /// it is established anew before it is used.
    pub fn apply(&mut self, parsed: &Parsed, database: Option<&str>) {
        let default = |name: &Name| qualified(name, database);
        for change in &parsed.changes {
            match change {
                Change::Create { name, or_replace, if_not_exists, body } => {
                    let key = default(name);
                    let known = matches!(self.get(&key.0, &key.1), Lookup::Known(_));
                    if !(known && *if_not_exists && !or_replace) {
                        let other = match body {
                            Body::Like(other) => Some(default(other)),
                            Body::Columns(_) | Body::Unknown => None,
                        };
                        self.create(key, body, other.as_ref());
                    }
                }
                Change::Alter { name, steps } => self.alter(&default(name), steps, &default),
                Change::Rename(pairs) => {
                    for (from, to) in pairs {
                        self.rename(&default(from), default(to));
                    }
                }
                Change::Drop(names) => {
                    for name in names {
                        self.remove(&default(name));
                    }
                }
                Change::DropDatabase(schema) => self.drop_database(schema),
                Change::Doubt(names) => {
                    for name in names {
                        self.doubt(&default(name));
                    }
                }
            }
        }
    }

    /// The place of a table among those whose names differ in case only.
    fn find(&self, bucket: &Bucket, schema: &str, table: &str) -> Option<usize> {
        let exact = bucket.iter().position(|((s, t), _)| s == schema && t == table);
        let only = || (bucket.len() == 1).then_some(0);
        match self.case {
            NameCase::Sensitive => exact,
            NameCase::Insensitive | NameCase::Unknown => exact.or_else(only),
        }
    }

    fn entry(&self, schema: &str, table: &str) -> Option<&Entry> {
        let bucket = self.tables.get(&(fold(schema), fold(table)))?;
        bucket.get(self.find(bucket, schema, table)?)
    }

    fn note(&mut self, change: StructureChange) {
        // As many as there are tables, at most: they are taken after each event.
        if let Journal::On(changes) = &mut self.journal {
            changes.push(change);
        }
    }

    fn put(
        &mut self,
        key: (String, String),
        table: Option<Arc<Table>>,
        change: impl FnOnce(Arc<Table>) -> StructureChange,
    ) {
        self.generation += 1;
        self.note(match &table {
            Some(table) => change(Arc::clone(table)),
            None => StructureChange::Lost { schema: key.0.clone(), table: key.1.clone() },
        });
        let folded = (fold(&key.0), fold(&key.1));
        let bucket = self.tables.get(&folded);
        let found = bucket.and_then(|bucket| self.find(bucket, &key.0, &key.1));
        let bucket = self.tables.entry(folded).or_default();
        // With names in the case of a new statement.
        match found.and_then(|index| bucket.get_mut(index)) {
            Some(entry) => *entry = (key, table),
            None => bucket.push((key, table)),
        }
    }

    /// Forgets a table; what was known of it.
    fn remove(&mut self, key: &(String, String)) -> Option<Arc<Table>> {
        self.generation += 1;
        self.note(StructureChange::Removed { schema: key.0.clone(), table: key.1.clone() });
        let folded = (fold(&key.0), fold(&key.1));
        let bucket = self.tables.get(&folded)?;
        let index = self.find(bucket, &key.0, &key.1)?;
        let bucket = self.tables.get_mut(&folded)?;
        let (_, table) = bucket.swap_remove(index);
        if bucket.is_empty() {
            self.tables.remove(&folded);
        }
        table
    }

    fn drop_database(&mut self, schema: &str) {
        let exact = self.case == NameCase::Sensitive;
        let of_it = |name: &str| if exact { name == schema } else { fold(name) == fold(schema) };
        let entries = self.tables.values().flatten();
        let keys: Vec<_> =
            entries.filter(|((s, _), _)| of_it(s)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(&key);
        }
        self.generation += 1;
    }

    /// A statement that cannot be read names this, perhaps as a table.
    fn doubt(&mut self, key: &(String, String)) {
        if self.entry(&key.0, &key.1).is_some() {
            self.put(key.clone(), None, StructureChange::Set);
        } else {
            self.note(StructureChange::Lost { schema: key.0.clone(), table: key.1.clone() });
        }
    }

    fn create(&mut self, key: (String, String), body: &Body, like: Option<&(String, String)>) {
        let table = match body {
            Body::Columns(table) => {
                Some(Table { schema: key.0.clone(), name: key.1.clone(), ..table.clone() })
            }
            Body::Like(_) => like.and_then(|other| match self.get(&other.0, &other.1) {
                Lookup::Known(other) => Some(Table {
                    schema: key.0.clone(),
                    name: key.1.clone(),
                    ..Table::clone(&other)
                }),
                Lookup::Unknown => None,
            }),
            Body::Unknown => None,
        };
        self.put(key, table.map(Arc::new), StructureChange::Set);
    }

    fn rename(&mut self, from: &(String, String), to: (String, String)) {
        let table = self.remove(from).map(|table| {
            Arc::new(Table { schema: to.0.clone(), name: to.1.clone(), ..Table::clone(&table) })
        });
        self.put(to, table, StructureChange::Set);
    }

    fn alter(
        &mut self,
        key: &(String, String),
        steps: &[Step],
        default: &dyn Fn(&Name) -> (String, String),
    ) {
        if steps.iter().any(|step| !matches!(step, Step::RenameTo(_))) {
            let altered = match self.get(&key.0, &key.1) {
                Lookup::Known(table) => apply_steps(&table, steps),
                Lookup::Unknown => None,
            };
            // The table keeps the name it has, however the statement spells it.
            let key =
                self.entry(&key.0, &key.1).map_or_else(|| key.clone(), |(key, _)| key.clone());
            self.put(key, altered.map(Arc::new), StructureChange::Set);
        }
        for step in steps {
            if let Step::RenameTo(to) = step {
                self.rename(key, default(to));
            }
        }
    }
}

/// A name with the default database filled in.
pub(crate) fn qualified(name: &Name, database: Option<&str>) -> (String, String) {
    let schema = name.0.clone().or_else(|| database.map(ToOwned::to_owned));
    (schema.unwrap_or_default(), name.1.clone())
}
