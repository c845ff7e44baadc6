//! The tables whose structure is known.

mod database;
mod step;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::cursor::Name;
use crate::history::PackedTable;
use crate::lexer::ServerKind;
use crate::session::{SessionId, Sessions, Speaker};
use crate::statement::{Body, Change, Doubt, Parsed, Step};
use crate::table::Table;

use database::{Databases, Defaults};
pub(crate) use step::{apply_steps, pin_charsets, position};

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Its structure.
    Known(Table),
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
    /// Not known: both are followed, until something tells which one it is. A structure that would depend
    /// on it is not known until then.
    #[default]
    Unknown,
}

/// What became of a structure, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StructureChange {
    /// A statement of the stream gave the table this structure.
    Set(PackedTable),
    /// The table was found to have this structure: nothing changed it.
    Learned(PackedTable),
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
    /// Tables of this database that are created without a character set have this one.
    Database {
        /// Database name.
        schema: String,
        /// The character set; empty when it is not known any more, or there is no such database. With
        /// a question mark before it the database may have been there already, with another one.
        charset: String,
    },
    /// A statement that is not understood may have changed every table that it names, or may name.
    Doubted {
        /// Its default database; empty without.
        database: String,
        /// Its words, in lower case: names of tables and of databases may be among them.
        words: Vec<String>,
        /// It may have changed tables of these databases that it does not name.
        is_any: bool,
    },
    /// The same of a temporary table of a session.
    Temporary {
        /// The session.
        session: SessionId,
        /// What became of the table.
        change: Box<Self>,
    },
    /// What temporary tables a session has is not known any more.
    TemporaryLost {
        /// The session.
        session: SessionId,
    },
    /// The server was started: no temporary table is there any more.
    ServerStarted,
}

impl StructureChange {
    /// Database and table, where it is about one.
    #[must_use]
    pub fn name(&self) -> Option<(&str, &str)> {
        match self {
            Self::Set(table) | Self::Learned(table) => Some(table.names()),
            Self::Lost { schema, table } | Self::Removed { schema, table } => Some((schema, table)),
            Self::Doubted { .. }
            | Self::Temporary { .. }
            | Self::TemporaryLost { .. }
            | Self::ServerStarted
            | Self::Database { .. } => None,
        }
    }

    /// Whether it is a doubt that covers this table.
    #[must_use]
    pub fn doubts(&self, schema: &str, table: &str) -> bool {
        match self {
            Self::Set(_)
            | Self::Lost { .. }
            | Self::Removed { .. }
            | Self::Learned(_)
            | Self::Temporary { .. }
            | Self::TemporaryLost { .. }
            | Self::ServerStarted
            | Self::Database { .. } => false,
            Self::Doubted { database, words, is_any } => {
                let database = Some(database.as_str()).filter(|name| !name.is_empty());
                Doubt::from_parts(words, *is_any).covers(schema, table, database)
            }
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

/// A table by its exact name.
#[derive(Debug)]
enum Entry {
    Known(PackedTable),
    /// In a box: an entry has the length of what is usual.
    Lost(Box<Key>),
}

/// Names of the database and the table.
type Key = (String, String);

impl Entry {
    fn names(&self) -> (&str, &str) {
        match self {
            Self::Known(table) => table.names(),
            Self::Lost(key) => (&key.0, &key.1),
        }
    }
}

/// Tables whose names differ in case only.
type Bucket = Vec<Entry>;

/// Known structures by database and table.
#[derive(Debug)]
pub struct Catalog {
    /// By the names in lower case.
    schemas: HashMap<Box<str>, HashMap<Box<str>, Bucket>>,
    databases: Databases,
    defaults: Defaults,
    case: NameCase,
    generation: u64,
    journal: Journal,
    /// Tables that only their sessions see.
    sessions: Sessions,
    /// While the case is not known: what holds if it does not count. The rest is then what holds if it
    /// does.
    if_insensitive: Option<Box<Self>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new(NameCase::Unknown)
    }
}

fn fold(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase() }
}

impl Catalog {
    /// An empty catalog for a server that compares names like this.
    #[must_use]
    pub fn new(case: NameCase) -> Self {
        let if_insensitive = match case {
            NameCase::Sensitive | NameCase::Insensitive => None,
            NameCase::Unknown => Some(Box::new(Self::new(NameCase::Insensitive))),
        };
        Self {
            schemas: HashMap::new(),
            databases: Databases::default(),
            defaults: Defaults::default(),
            case,
            generation: 0,
            journal: Journal::Off,
            sessions: Sessions::default(),
            if_insensitive,
        }
    }

    /// Takes what was found out of the server's names. Only the first word counts.
    pub fn settle(&mut self, case: NameCase) {
        let Some(insensitive) = self.if_insensitive.take() else { return };
        self.sessions.settle(case);
        match case {
            NameCase::Unknown => self.if_insensitive = Some(insensitive),
            NameCase::Sensitive => self.case = NameCase::Sensitive,
            NameCase::Insensitive => {
                let generation = self.generation + 1;
                let journal = std::mem::take(&mut self.journal);
                let sessions = std::mem::take(&mut self.sessions);
                *self = Self { generation, journal, sessions, ..*insensitive };
            }
        }
    }

    /// Takes the names in a table map: a server that ignores case has them in lower case there.
    pub fn settle_by(&mut self, schema: &str, table: &str) {
        if self.if_insensitive.is_some()
            && [schema, table].iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase()))
        {
            self.settle(NameCase::Sensitive);
        }
    }

    /// Whether the structure of a table depends on how the server compares names, which is not known.
    #[must_use]
    pub fn is_undecided(&self, schema: &str, table: &str) -> bool {
        self.if_insensitive.as_ref().is_some_and(|other| {
            let names = |lookup: Lookup| match lookup {
                Lookup::Unknown => None,
                Lookup::Known(table) => {
                    Some(Table { schema: String::new(), name: String::new(), ..table })
                }
            };
            names(self.look_up(schema, table)) != names(other.look_up(schema, table))
        })
    }

    /// Keeps changes from now on, until [`Self::take_changes`] takes them.
    pub fn keep_changes(&mut self) {
        if self.journal == Journal::Off {
            self.journal = Journal::On(Vec::new());
            self.sessions.keep_changes();
        }
    }

    /// The changes since the last call.
    pub fn take_changes(&mut self) -> Vec<StructureChange> {
        match &mut self.journal {
            Journal::Off => Vec::new(),
            Journal::On(changes) => std::mem::take(changes),
        }
    }

    /// What is known of temporary tables, as changes that lead to it.
    pub fn temporary_tables(&self) -> Vec<StructureChange> {
        self.sessions.changes_so_far()
    }

    /// What follows was written by this server; `None` if that is not known.
    pub fn read_from(&mut self, server: Option<ServerKind>) {
        self.defaults = Defaults::of(server);
        if let Some(other) = &mut self.if_insensitive {
            other.defaults = self.defaults;
        }
    }

    /// The server was started: no session of before is there any more.
    pub fn server_starts(&mut self) {
        self.note(|| StructureChange::ServerStarted);
        self.sessions.server_starts();
        self.forget_last_default();
        if let Some(other) = &mut self.if_insensitive {
            other.forget_last_default();
        }
    }

    /// Takes out of a statement what it does to temporary tables of its session, and does that. What is left
    /// is what others see of the statement.
    #[must_use]
    pub fn separate(&mut self, parsed: Parsed, by: &Speaker<'_>) -> Parsed {
        let mut sessions = std::mem::take(&mut self.sessions);
        let parsed = sessions.separate(parsed, by, self);
        if let Journal::On(changes) = &mut self.journal {
            changes.append(&mut sessions.take_changes());
        }
        self.sessions = sessions;
        parsed
    }

    /// Grows with each change of any structure.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// All known structures, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &PackedTable> {
        self.entries().filter_map(|entry| match entry {
            Entry::Known(table) => Some(table),
            Entry::Lost(_) => None,
        })
    }

    /// Everything that is known of tables, as changes that lead to it.
    pub(crate) fn changes_so_far(&self) -> impl Iterator<Item = StructureChange> {
        self.entries().map(|entry| match entry {
            Entry::Known(table) => StructureChange::Set(table.clone()),
            Entry::Lost(key) => lost(key),
        })
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.schemas.values().flat_map(HashMap::values).flatten()
    }

    /// What is known of a table.
    #[must_use]
    pub fn get(&self, schema: &str, table: &str) -> Lookup {
        if self.is_undecided(schema, table) {
            return Lookup::Unknown;
        }
        self.look_up(schema, table)
    }

    fn look_up(&self, schema: &str, table: &str) -> Lookup {
        match self.entry(schema, table) {
            Some(Entry::Known(table)) => Lookup::Known(table.unpack()),
            Some(Entry::Lost(_)) | None => Lookup::Unknown,
        }
    }

    /// Takes a structure that a table was found to have.
    pub fn learn(&mut self, table: PackedTable) {
        if let Some(other) = &mut self.if_insensitive {
            other.learn(table.clone());
        }
        self.put(table, StructureChange::Learned);
    }

    /// Takes a change of the history.
    pub fn replay(&mut self, change: StructureChange) {
        if let Some(other) = &mut self.if_insensitive
            && !matches!(
                change,
                StructureChange::Temporary { .. }
                    | StructureChange::TemporaryLost { .. }
                    | StructureChange::ServerStarted
            )
        {
            other.replay(change.clone());
        }
        match change {
            StructureChange::Set(table) | StructureChange::Learned(table) => self.set(table),
            StructureChange::Lost { schema, table } => self.lose((schema, table)),
            StructureChange::Removed { schema, table } => {
                self.remove(&(schema, table));
            }
            StructureChange::Database { schema, charset } => self.set_database(&schema, charset),
            StructureChange::Doubted { database, words, is_any } => {
                let database = Some(database.as_str()).filter(|name| !name.is_empty());
                self.doubt(&Doubt::from_parts(&words, is_any), database);
            }
            StructureChange::Temporary { session, change } => {
                self.sessions.replay(session, *change, self.case);
            }
            StructureChange::TemporaryLost { session } => self.sessions.lose(session),
            StructureChange::ServerStarted => self.sessions.server_starts(),
        }
    }

    /// How the server compares names.
    pub(crate) const fn case(&self) -> NameCase {
        self.case
    }

    /// How many tables there are, those included whose structure is not known.
    pub(crate) fn len(&self) -> usize {
        self.entries().count()
    }

    /// Whether there is such a table, known or not.
    pub(crate) fn contains(&self, schema: &str, table: &str) -> bool {
        self.entry(schema, table).is_some()
            || self.if_insensitive.as_ref().is_some_and(|other| other.contains(schema, table))
    }

    /// Applies a statement; `database` is the default one. What cannot be applied is lost, so that
    /// it is established anew before it is used.
    pub fn apply(&mut self, parsed: &Parsed, database: Option<&str>) {
        if self.tells_of_case(parsed, database) {
            self.settle(NameCase::Sensitive);
        }
        if let Some(other) = &mut self.if_insensitive {
            other.apply(parsed, database);
        }
        let default = |name: &Name| qualified(name, database);
        for change in &parsed.changes {
            match change {
                // A session has them for itself.
                Change::Create { temporary: true, .. } | Change::DropTemporary(_) => {}
                Change::Create { name, or_replace, if_not_exists, body, .. } => {
                    let key = default(name);
                    let known = matches!(self.entry(&key.0, &key.1), Some(Entry::Known(_)));
                    if !(known && *if_not_exists && !or_replace) {
                        let other = match body {
                            Body::Like(other) => Some(default(other)),
                            Body::Columns(_) | Body::Unknown => None,
                        };
                        let is_assumed = *if_not_exists && !or_replace;
                        self.create(key, body, other.as_ref(), is_assumed);
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
                Change::CreateDatabase { name, charset, if_not_exists } => {
                    self.create_database(name, charset, *if_not_exists);
                }
                Change::AlterDatabase(name, charset) => {
                    if let Some(name) = name.as_deref().or(database) {
                        self.alter_database(name, charset);
                    }
                }
                Change::Doubt(doubt) => self.doubt(doubt, database),
            }
        }
    }

    /// Whether a statement makes a table that would be there already if case did not count: then it would
    /// have failed.
    fn tells_of_case(&self, parsed: &Parsed, database: Option<&str>) -> bool {
        let Some(other) = &self.if_insensitive else { return false };
        parsed.changes.iter().any(|change| {
            let Change::Create { temporary: false, name, or_replace: false, if_not_exists, .. } =
                change
            else {
                return false;
            };
            let (schema, table) = qualified(name, database);
            let known = other.entry(&schema, &table);
            !if_not_exists
                && self.entry(&schema, &table).is_none()
                && matches!(known, Some(Entry::Known(_)))
        })
    }

    /// The place of a table among those whose names differ in case only.
    fn find(&self, bucket: &Bucket, schema: &str, table: &str) -> Option<usize> {
        let exact = bucket.iter().position(|entry| entry.names() == (schema, table));
        let only = || (bucket.len() == 1).then_some(0);
        match self.case {
            NameCase::Sensitive | NameCase::Unknown => exact,
            NameCase::Insensitive => exact.or_else(only),
        }
    }

    fn entry(&self, schema: &str, table: &str) -> Option<&Entry> {
        let tables = self.schemas.get(fold(schema).as_str())?;
        let bucket = tables.get(fold(table).as_str())?;
        bucket.get(self.find(bucket, schema, table)?)
    }

    fn note(&mut self, change: impl FnOnce() -> StructureChange) {
        // As many as there are tables, at most: they are taken after each event.
        if let Journal::On(changes) = &mut self.journal {
            changes.push(change());
        }
    }

    fn set(&mut self, table: PackedTable) {
        self.put(table, StructureChange::Set);
    }

    fn put(&mut self, table: PackedTable, change: fn(PackedTable) -> StructureChange) {
        self.note(|| change(table.clone()));
        self.put_entry(Entry::Known(table));
    }

    fn lose(&mut self, key: Key) {
        self.note(|| lost(&key));
        self.put_entry(Entry::Lost(Box::new(key)));
    }

    fn put_entry(&mut self, entry: Entry) {
        self.generation += 1;
        let (schema, table) = entry.names();
        let (in_schema, folded) = (fold(schema), fold(table));
        let bucket = self.schemas.get(in_schema.as_str()).and_then(|s| s.get(folded.as_str()));
        let found = bucket.and_then(|bucket| self.find(bucket, schema, table));
        let tables = self.schemas.entry(in_schema.into()).or_default();
        let Some(bucket) = tables.get_mut(folded.as_str()) else {
            // With room for one.
            tables.insert(folded.into(), vec![entry]);
            return;
        };
        // With names in the case of a new statement.
        match found.and_then(|index| bucket.get_mut(index)) {
            Some(place) => *place = entry,
            None => bucket.push(entry),
        }
    }

    /// Forgets a table; what was known of it.
    fn remove(&mut self, key: &Key) -> Option<PackedTable> {
        self.generation += 1;
        self.note(|| StructureChange::Removed { schema: key.0.clone(), table: key.1.clone() });
        let (in_schema, folded) = (fold(&key.0), fold(&key.1));
        let bucket = self.schemas.get(in_schema.as_str())?.get(folded.as_str())?;
        let index = self.find(bucket, &key.0, &key.1)?;
        let tables = self.schemas.get_mut(in_schema.as_str())?;
        let bucket = tables.get_mut(folded.as_str())?;
        let entry = bucket.swap_remove(index);
        if bucket.is_empty() {
            tables.remove(folded.as_str());
            if tables.is_empty() {
                self.schemas.remove(in_schema.as_str());
            }
        }
        match entry {
            Entry::Known(table) => Some(table),
            Entry::Lost(_) => None,
        }
    }

    fn drop_database(&mut self, schema: &str) {
        let exact = self.case != NameCase::Insensitive;
        let tables = self.schemas.get(fold(schema).as_str()).into_iter();
        let names = tables.flat_map(HashMap::values).flatten().map(Entry::names);
        let of_it = names.filter(|(name, _)| !exact || *name == schema);
        let keys: Vec<Key> = of_it.map(|(s, t)| (s.to_owned(), t.to_owned())).collect();
        for key in keys {
            self.remove(&key);
        }
        self.set_database(schema, String::new());
        self.generation += 1;
    }

    /// A statement that is not understood may have changed every table that it covers.
    fn doubt(&mut self, doubt: &Doubt, database: Option<&str>) {
        self.note(|| StructureChange::Doubted {
            database: database.unwrap_or_default().to_owned(),
            words: doubt.words().map(ToOwned::to_owned).collect(),
            is_any: doubt.is_any(),
        });
        let names = self.entries().map(Entry::names);
        let covered = names.filter(|(schema, table)| doubt.covers(schema, table, database));
        let keys: Vec<Key> = covered.map(|(s, t)| (s.to_owned(), t.to_owned())).collect();
        for key in keys {
            self.put_entry(Entry::Lost(Box::new(key)));
        }
        self.generation += 1;
    }

    /// Takes what a statement made of a table; nothing: that is not known.
    fn take(&mut self, (schema, name): Key, table: Option<Table>) {
        match table {
            Some(table) => self.set(PackedTable::new(&Table { schema, name, ..table })),
            None => self.lose((schema, name)),
        }
    }

    fn create(&mut self, key: Key, body: &Body, like: Option<&Key>, is_assumed: bool) {
        let table = match body {
            Body::Columns(table) => {
                let mut table = table.clone();
                self.default_charset(&key.0, &mut table);
                Some(table)
            }
            Body::Like(_) => {
                like.and_then(|other| self.known(other)).map(|table| self.moved(table, &key))
            }
            Body::Unknown => None,
        };
        let state = |table: Table| Table { is_assumed: table.is_assumed || is_assumed, ..table };
        self.take(key, table.map(state));
    }

    fn known(&self, key: &Key) -> Option<Table> {
        match self.look_up(&key.0, &key.1) {
            Lookup::Known(table) => Some(table),
            Lookup::Unknown => None,
        }
    }

    fn rename(&mut self, from: &Key, to: Key) {
        let table = self.remove(from).map(|table| self.moved(table.unpack(), &to));
        self.take(to, table);
    }

    fn alter(&mut self, key: &Key, steps: &[Step], default: &dyn Fn(&Name) -> Key) {
        // A key alone is nothing new of a table that is not known.
        let is_known = matches!(self.entry(&key.0, &key.1), Some(Entry::Known(_)));
        let changes =
            |step: &Step| !matches!(step, Step::RenameTo(_)) && (is_known || !step.is_key_only());
        if steps.iter().any(changes) {
            let mut altered = self.known(key).and_then(|table| apply_steps(&table, steps));
            let session = default(&(None, String::new())).0;
            altered =
                altered.and_then(|t| self.default_charset_of_steps((&key.0, &session), t, steps));
            // The table keeps the name it has, however the statement spells it.
            let names = self.entry(&key.0, &key.1).map(Entry::names);
            let names = names.map(|(schema, table)| (schema.to_owned(), table.to_owned()));
            self.take(names.unwrap_or_else(|| key.clone()), altered);
        }
        for step in steps {
            if let Step::RenameTo(to) = step {
                self.rename(key, default(to));
            }
        }
    }
}

fn lost(key: &Key) -> StructureChange {
    StructureChange::Lost { schema: key.0.clone(), table: key.1.clone() }
}

/// A name with the default database filled in.
pub(crate) fn qualified(name: &Name, database: Option<&str>) -> Key {
    let schema = name.0.clone().or_else(|| database.map(ToOwned::to_owned));
    (schema.unwrap_or_default(), name.1.clone())
}
