//! The tables whose structure is known.

use std::collections::HashMap;
use std::sync::Arc;

use crate::column::Place;
use crate::cursor::Name;
use crate::statement::{Body, Change, Parsed, Step};
use crate::table::{Column, Table};

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Its structure.
    Known(Arc<Table>),
    /// Nothing: ask the source.
    Unknown,
    /// The source was asked and has no such table.
    Missing,
}

/// How an entry of the catalog came about.
#[derive(Debug, Clone)]
enum Entry {
    /// From DDL in the stream.
    FromStream(Arc<Table>),
    /// From the source, as it is there now.
    FromSource(Arc<Table>),
    /// Changed in a way that only the source knows.
    Stale,
    /// Not at the source.
    Missing,
}

/// Known structures by database and table.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: HashMap<(String, String), Entry>,
    generation: u64,
}

impl Catalog {
    /// Grows with each change of any structure.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What is known of a table: by its exact name, else ignoring case.
    #[must_use]
    pub fn get(&self, schema: &str, table: &str) -> Lookup {
        match self.entry(schema, table) {
            Some(Entry::FromStream(table) | Entry::FromSource(table)) => {
                Lookup::Known(Arc::clone(table))
            }
            Some(Entry::Missing) => Lookup::Missing,
            Some(Entry::Stale) | None => Lookup::Unknown,
        }
    }

    /// True when the structure is what the source has now, unchanged since it was read.
    #[must_use]
    pub fn is_from_source(&self, schema: &str, table: &str) -> bool {
        matches!(self.entry(schema, table), Some(Entry::FromSource(_)))
    }

    /// Takes a structure as the source has it now.
    pub fn insert_from_source(&mut self, table: Table) {
        self.put((table.schema.clone(), table.name.clone()), Entry::FromSource(Arc::new(table)));
    }

    /// The source has no such table.
    pub fn insert_missing(&mut self, schema: &str, table: &str) {
        self.put((schema.to_owned(), table.to_owned()), Entry::Missing);
    }

    /// Applies a statement; `database` is the default one. What cannot be applied is forgotten, so
    /// that it is read from the source again.
    pub fn apply(&mut self, parsed: &Parsed, database: Option<&str>) {
        let default = |name: &Name| {
            (
                name.0.clone().or_else(|| database.map(ToOwned::to_owned)).unwrap_or_default(),
                name.1.clone(),
            )
        };
        for change in &parsed.changes {
            match change {
                Change::Create { name, or_replace, if_not_exists, body } => {
                    let key = default(name);
                    let known = matches!(self.get(&key.0, &key.1), Lookup::Known(_));
                    if !(known && *if_not_exists && !or_replace) {
                        let other = match body {
                            Body::Like(other) => Some(default(other)),
                            Body::Columns(..) | Body::Unknown => None,
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
                Change::DropDatabase(schema) => {
                    self.tables.retain(|(s, _), _| s != schema);
                    self.generation += 1;
                }
            }
        }
    }

    fn entry(&self, schema: &str, table: &str) -> Option<&Entry> {
        let exact = self.tables.get(&(schema.to_owned(), table.to_owned()));
        exact.or_else(|| self.key(schema, table).and_then(|key| self.tables.get(&key)))
    }

    /// The key under which a table is known, ignoring case when there is no exact one.
    fn key(&self, schema: &str, table: &str) -> Option<(String, String)> {
        let exact = (schema.to_owned(), table.to_owned());
        if self.tables.contains_key(&exact) {
            return Some(exact);
        }
        let same =
            |a: &str, b: &str| a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase();
        self.tables.keys().find(|(s, t)| same(s, schema) && same(t, table)).cloned()
    }

    fn put(&mut self, key: (String, String), entry: Entry) {
        self.generation += 1;
        self.tables.insert(key, entry);
    }

    fn remove(&mut self, key: &(String, String)) -> Option<Entry> {
        self.generation += 1;
        let key = self.key(&key.0, &key.1)?;
        self.tables.remove(&key)
    }

    fn create(&mut self, key: (String, String), body: &Body, like: Option<&(String, String)>) {
        let table = match body {
            Body::Columns(columns, charset) => Some(Table {
                schema: key.0.clone(),
                name: key.1.clone(),
                columns: columns.clone(),
                charset: charset.clone(),
            }),
            Body::Like(_) => like.and_then(|other| match self.get(&other.0, &other.1) {
                Lookup::Known(other) => Some(Table {
                    schema: key.0.clone(),
                    name: key.1.clone(),
                    ..Table::clone(&other)
                }),
                Lookup::Unknown | Lookup::Missing => None,
            }),
            Body::Unknown => None,
        };
        let entry = table.map_or(Entry::Stale, |table| Entry::FromStream(Arc::new(table)));
        self.put(key, entry);
    }

    fn rename(&mut self, from: &(String, String), to: (String, String)) {
        let entry = match self.remove(from) {
            Some(Entry::FromStream(table) | Entry::FromSource(table)) => {
                let mut table = Table::clone(&table);
                table.schema.clone_from(&to.0);
                table.name.clone_from(&to.1);
                Entry::FromStream(Arc::new(table))
            }
            Some(Entry::Stale | Entry::Missing) | None => Entry::Stale,
        };
        self.put(to, entry);
    }

    fn alter(
        &mut self,
        key: &(String, String),
        steps: &[Step],
        default: &dyn Fn(&Name) -> (String, String),
    ) {
        let known_key = self.key(&key.0, &key.1).unwrap_or_else(|| key.clone());
        let mut rename_to = None;
        if let Lookup::Known(table) = self.get(&known_key.0, &known_key.1) {
            let mut table = Table::clone(&table);
            let mut applied = Some(());
            // The server drops the old key before it adds the new one, whatever their order.
            let drops_key = |step: &&Step| **step == Step::DropPrimaryKey;
            let ordered =
                steps.iter().filter(drops_key).chain(steps.iter().filter(|s| !drops_key(s)));
            for step in ordered {
                if let Step::RenameTo(to) = step {
                    rename_to = Some(default(to));
                } else {
                    applied = applied.and_then(|()| apply_step(&mut table.columns, step));
                }
            }
            let entry = match applied {
                Some(()) => Entry::FromStream(Arc::new(table)),
                None => Entry::Stale,
            };
            self.put(known_key.clone(), entry);
        } else {
            rename_to = steps.iter().find_map(|step| {
                if let Step::RenameTo(to) = step { Some(default(to)) } else { None }
            });
        }
        if let Some(to) = rename_to {
            self.rename(&known_key, to);
        }
    }
}

fn position(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| {
        column.name.eq_ignore_ascii_case(name) || column.name.to_lowercase() == name.to_lowercase()
    })
}

fn place_index(columns: &[Column], place: &Place, last: usize) -> Option<usize> {
    match place {
        Place::Last => Some(last),
        Place::First => Some(0),
        Place::After(name) => position(columns, name).map(|index| index + 1),
    }
}

/// `None` when the step does not fit the structure.
fn apply_step(columns: &mut Vec<Column>, step: &Step) -> Option<()> {
    match step {
        Step::Add { column, place, if_not_exists } => {
            if position(columns, &column.name).is_some() {
                return if_not_exists.then_some(());
            }
            let index = place_index(columns, place, columns.len())?;
            columns.insert(index.min(columns.len()), column.clone());
        }
        Step::Change { old, column, place, if_exists } => {
            let Some(index) = position(columns, old) else { return if_exists.then_some(()) };
            let mut column = column.clone();
            // The key belongs to the table, not to the column's definition.
            column.is_key |= columns.get(index)?.is_key;
            columns.remove(index);
            let index = place_index(columns, place, index)?;
            columns.insert(index.min(columns.len()), column);
        }
        Step::Drop { name, if_exists } => {
            let Some(index) = position(columns, name) else { return if_exists.then_some(()) };
            columns.remove(index);
        }
        Step::RenameColumn { old, new } => {
            let index = position(columns, old)?;
            new.clone_into(&mut columns.get_mut(index)?.name);
        }
        Step::PrimaryKey(names) => {
            for name in names {
                let index = position(columns, name)?;
                let column = columns.get_mut(index)?;
                column.is_key = true;
                column.nullable = false;
            }
        }
        Step::DropPrimaryKey => {
            for column in columns.iter_mut() {
                column.is_key = false;
            }
        }
        Step::RenameTo(_) => {}
        Step::Unknown => return None,
    }
    Some(())
}
