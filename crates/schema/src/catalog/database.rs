//! The default character sets of databases, as far as the stream names them.

use std::collections::HashMap;

use super::{Catalog, Entry, Key, NameCase, StructureChange, fold};
use crate::history::PackedTable;
use crate::lexer::ServerKind;
use crate::statement::{DatabaseCharset, Step};
use crate::table::Table;

/// By the names in lower case: exact names, and character sets in the order in which they were told. An empty
/// one is not known any more.
pub(super) type Databases = HashMap<Box<str>, Vec<(String, String)>>;

/// Whose default a table gets that is created without a character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Defaults {
    /// That of its database.
    Own,
    /// MySQL 5.5: that which was told last of all databases whose names differ in case only.
    Last,
    /// One of the two: the server does not say what it is, or it is MySQL 5.6, which nobody tried.
    #[default]
    OwnOrLast,
}

impl Defaults {
    pub(super) const fn of(server: Option<ServerKind>) -> Self {
        match server {
            Some(ServerKind { is_mariadb: true, .. }) => Self::Own,
            Some(ServerKind { version: (0..=5, 0..=5, _), .. }) => Self::Last,
            None | Some(ServerKind { version: (0..=5, 6, _), .. }) => Self::OwnOrLast,
            Some(_) => Self::Own,
        }
    }
}

/// Marks a character set that a database may have: it was there, perhaps.
const PERHAPS: char = '?';

impl Catalog {
    /// Changes that lead to what is known of databases: for a snapshot of the history.
    pub fn databases(&self) -> impl Iterator<Item = StructureChange> {
        self.databases.values().flatten().map(|(schema, charset)| StructureChange::Database {
            schema: schema.clone(),
            charset: charset.clone(),
        })
    }

    /// An empty character set: it is not known.
    pub(super) fn set_database(&mut self, schema: &str, charset: String) {
        let exact = self.case != NameCase::Insensitive;
        let is_it = |known: &(String, String)| !exact || known.0 == schema;
        let of_name = self.databases.get(fold(schema).as_str()).map_or(&[][..], Vec::as_slice);
        let is_told = match of_name.last() {
            Some(last) => is_it(last) && last.1 == charset,
            None => charset.is_empty(),
        };
        if is_told {
            return;
        }
        let of_name = self.databases.entry(fold(schema).into()).or_default();
        of_name.retain(|known| !is_it(known));
        of_name.push((schema.to_owned(), charset.clone()));
        if of_name.iter().all(|(_, charset)| charset.is_empty()) {
            self.databases.remove(fold(schema).as_str());
        }
        self.note(|| StructureChange::Database { schema: schema.to_owned(), charset });
    }

    fn database(&self, schema: &str) -> Option<&str> {
        let exact = self.case != NameCase::Insensitive;
        let of_name = self.databases.get(fold(schema).as_str())?;
        let (_, last) = of_name.last()?;
        let own = of_name.iter().find(|(name, _)| !exact || name == schema);
        let own = own.map_or("", |(_, charset)| charset.as_str());
        let charset = match self.defaults {
            Defaults::Last if !last.is_empty() => last,
            Defaults::Last | Defaults::OwnOrLast if are_several(of_name) => "",
            Defaults::Own | Defaults::Last | Defaults::OwnOrLast => own,
        };
        Some(charset).filter(|charset| !charset.is_empty())
    }

    /// A server that takes the last default for that of several databases has forgotten which one it was.
    pub(super) fn forget_last_default(&mut self) {
        if self.defaults == Defaults::Own {
            return;
        }
        let of_names = self.databases.values().filter(|of_name| are_several(of_name));
        let names: Vec<String> = of_names.flatten().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.set_database(&name, String::new());
        }
    }

    pub(super) fn create_database(
        &mut self,
        name: &str,
        charset: &DatabaseCharset,
        if_not_exists: bool,
    ) {
        let charset = match charset {
            DatabaseCharset::Named(charset) => charset.as_str(),
            DatabaseCharset::Server | DatabaseCharset::Kept | DatabaseCharset::Unknown => "",
        };
        if !if_not_exists {
            self.set_database(name, charset.to_owned());
        } else if !charset.is_empty() && !self.is_database_known(name) {
            self.set_database(name, format!("{PERHAPS}{charset}"));
        }
    }

    /// Whether it is there already: its default is known, or one of its tables.
    fn is_database_known(&self, schema: &str) -> bool {
        let exact = self.case != NameCase::Insensitive;
        let is_it = |name: &str| !exact || name == schema;
        let of_name = self.databases.get(fold(schema).as_str()).into_iter().flatten();
        let tables = self.schemas.get(fold(schema).as_str()).into_iter();
        let mut names = tables.flat_map(HashMap::values).flatten().map(Entry::names);
        names.any(|(name, _)| is_it(name))
            || of_name.into_iter().any(|(name, charset)| is_it(name) && !charset.is_empty())
    }

    /// A table that comes into another database, or becomes the pattern of one there, keeps the default that
    /// it was made with.
    pub(super) fn moved(&self, mut table: Table, to: &Key) -> Table {
        let exact = self.case != NameCase::Insensitive;
        let stays = table.schema == to.0 || !exact && fold(&table.schema) == fold(&to.0);
        if !stays {
            table.keep_former_default();
        }
        table
    }

    fn keep_former_default(&mut self, schema: &str) {
        let exact = self.case != NameCase::Insensitive;
        let tables = self.schemas.get(fold(schema).as_str()).into_iter();
        let known = tables.flat_map(HashMap::values).flatten().filter_map(|entry| match entry {
            Entry::Known(table) => Some(table),
            Entry::Lost(_) => None,
        });
        let of_it = known.filter(|table| !exact || table.names().0 == schema);
        let aged: Vec<PackedTable> = of_it
            .filter_map(|table| {
                let mut table = table.unpack();
                table.keep_former_default().then(|| PackedTable::new(&table))
            })
            .collect();
        for table in aged {
            self.set(table);
        }
    }

    pub(super) fn alter_database(&mut self, name: &str, charset: &DatabaseCharset) {
        if *charset != DatabaseCharset::Kept {
            self.keep_former_default(name);
        }
        match charset {
            DatabaseCharset::Named(charset) => self.set_database(name, charset.clone()),
            DatabaseCharset::Server | DatabaseCharset::Unknown => {
                self.set_database(name, String::new());
            }
            DatabaseCharset::Kept => {}
        }
    }

    /// Gives a table the default of its database, unless it has a character set of its own.
    pub(super) fn default_charset(&self, schema: &str, table: &mut Table) {
        if table.charset.is_none() {
            table.charset = self.database(schema).map(ToOwned::to_owned);
        }
    }

    /// The same, behind steps that name the default of the database. With `CONVERT TO` some servers mean
    /// that of the session, others that of the table: `None` where they differ, or are not known.
    pub(super) fn default_charset_of_steps(
        &self,
        (schema, session): (&str, &str),
        mut table: Table,
        steps: &[Step],
    ) -> Option<Table> {
        let is_converted = steps.contains(&Step::Convert(None));
        let is_default = |step: &Step| matches!(step, Step::Charset(name) if name.is_empty());
        if is_converted && schema != session {
            let (own, other) = (self.database(schema)?, self.database(session)?);
            if own != other {
                return None;
            }
        }
        if is_converted || steps.iter().any(is_default) {
            self.default_charset(schema, &mut table);
        }
        if let (true, Some(charset)) = (is_converted, &table.charset) {
            for column in &mut table.columns {
                if column.charset.as_deref() == Some("") {
                    column.charset = Some(charset.clone());
                }
            }
        }
        Some(table)
    }
}

/// Whether more than one default is known of databases whose names differ in case only.
fn are_several(of_name: &[(String, String)]) -> bool {
    let mut known =
        of_name.iter().map(|(_, charset)| charset).filter(|charset| !charset.is_empty());
    known.next().is_some_and(|first| known.any(|other| other != first))
}
