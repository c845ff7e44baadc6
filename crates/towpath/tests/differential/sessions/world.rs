//! What there is on the server, and what statements that succeed make of it.

use std::collections::BTreeMap;

use towpath_testkit::{Feature, Random, Version};

use super::super::kind::Kind;

/// Database and table.
pub(crate) type Name = (String, String);

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// What a row has that does not name the column.
    pub(crate) default: Option<String>,
}

#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a key and an engine have nothing to do with each other"
)]
pub(crate) struct Table {
    pub(crate) name: Name,
    /// The first is the key `id`, where there is one.
    pub(crate) columns: Vec<Column>,
    pub(crate) keyed: bool,
    pub(crate) transactional: bool,
}

/// Databases with their character sets, and the tables that are not temporary.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) databases: BTreeMap<String, &'static str>,
    pub(crate) tables: Vec<Table>,
}

/// What a statement does to databases, tables, and the rows that are there.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Nothing,
    /// A database is there, with this character set from now on.
    Database(String, &'static str),
    Create(Table),
    Drop(Name),
    DropDatabase(String),
    Truncate(Name),
    /// From and to, in order.
    Rename(Vec<(Name, Name)>),
    Alter(Name, Alter),
}

#[derive(Debug, Clone)]
pub(crate) enum Alter {
    Add(Column),
    Drop(String),
    /// Names that change places, or one that becomes another.
    Rename(Vec<(String, String)>),
    /// A column with rename of the table in the same statement.
    AddAndRename(Column, Name),
}

/// A statement about what is not temporary.
#[derive(Debug, Clone)]
pub(crate) struct Ddl {
    pub(crate) sql: String,
    pub(crate) change: Change,
}

impl World {
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.tables.iter().any(|table| table.name == *name)
    }

    pub(crate) fn any_table(&self, random: &mut Random) -> Option<Table> {
        (!self.tables.is_empty()).then(|| random.pick(&self.tables))
    }

    pub(crate) fn any_database(&self, random: &mut Random) -> Option<String> {
        let names: Vec<String> = self.databases.keys().cloned().collect();
        (!names.is_empty()).then(|| random.pick(&names))
    }

    /// A new column, in the character set of its database.
    pub(crate) fn column(
        &self,
        version: Version,
        database: &str,
        name: String,
        random: &mut Random,
    ) -> Column {
        let charset = self.databases.get(database).copied().unwrap_or("latin1");
        let kind = match random.below(3) {
            0 => Kind::any(version, random),
            _ => Kind::odd(version, charset, random),
        };
        Column { name, kind, default: None }
    }

    fn table(&mut self, name: &Name) -> &mut Table {
        self.tables.iter_mut().find(|table| table.name == *name).unwrap()
    }

    /// What a statement has done.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Nothing | Change::Truncate(_) => {}
            Change::Database(name, charset) => {
                self.databases.insert(name.clone(), charset);
            }
            Change::Create(table) => self.tables.push(table.clone()),
            Change::Drop(name) => self.tables.retain(|table| table.name != *name),
            Change::DropDatabase(database) => {
                self.databases.remove(database);
                self.tables.retain(|table| table.name.0 != *database);
            }
            Change::Rename(pairs) => {
                for (from, to) in pairs {
                    self.table(from).name.clone_from(to);
                }
            }
            Change::Alter(name, alter) => self.alter(name, alter),
        }
    }

    fn alter(&mut self, name: &Name, alter: &Alter) {
        let table = self.table(name);
        match alter {
            Alter::Add(column) => table.columns.push(column.clone()),
            Alter::Drop(name) => table.columns.retain(|column| column.name != *name),
            Alter::Rename(pairs) => {
                for column in &mut table.columns {
                    if let Some((_, to)) = pairs.iter().find(|(from, _)| *from == column.name) {
                        column.name.clone_from(to);
                    }
                }
            }
            Alter::AddAndRename(column, to) => {
                table.columns.push(column.clone());
                table.name.clone_from(to);
            }
        }
    }
}

/// Character sets that databases have here.
pub(crate) fn charset(version: Version, random: &mut Random) -> &'static str {
    let newest = if version == Version::Mysql55 { "utf8" } else { "utf8mb4" };
    random.pick(&["latin1", "latin2", "utf8", "gbk", newest])
}

/// Storage engines, and whether they have transactions.
pub(crate) fn engine(version: Version, random: &mut Random) -> (&'static str, bool) {
    let other = if version.is_mariadb() { "Aria" } else { "MyISAM" };
    match random.below(6) {
        0 => ("MyISAM", false),
        1 => ("MEMORY", false),
        2 => (other, false),
        _ => ("InnoDB", true),
    }
}

/// Servers whose JSON is a type that cannot be in every engine.
pub(crate) fn has_long_unique(version: Version) -> bool {
    version.is_mariadb() && version.has(Feature::RowMetadata)
}
