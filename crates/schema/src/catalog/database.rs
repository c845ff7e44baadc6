//! The default character sets of databases, as far as the stream names them.

use std::collections::HashMap;

use super::{Catalog, NameCase, StructureChange, fold};
use crate::statement::{DatabaseCharset, Step};
use crate::table::Table;

/// By the names in lower case: exact names, and character sets.
pub(super) type Databases = HashMap<Box<str>, Vec<(String, String)>>;

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
        if self.database(schema).unwrap_or_default() == charset {
            return;
        }
        self.note(|| StructureChange::Database {
            schema: schema.to_owned(),
            charset: charset.clone(),
        });
        let exact = self.case == NameCase::Sensitive;
        let of_name = self.databases.entry(fold(schema).into()).or_default();
        of_name.retain(|(name, _)| exact && name != schema);
        if !charset.is_empty() {
            of_name.push((schema.to_owned(), charset));
        } else if of_name.is_empty() {
            self.databases.remove(fold(schema).as_str());
        }
    }

    fn database(&self, schema: &str) -> Option<&str> {
        let exact = self.case == NameCase::Sensitive;
        let of_name = self.databases.get(fold(schema).as_str())?;
        let found = of_name.iter().find(|(name, _)| !exact || name == schema);
        let charset = found.map(|(_, charset)| charset.as_str())?;
        // MySQL 5.5 takes the default of a database for that of another one whose name differs in case only.
        of_name.iter().all(|(_, other)| other == charset).then_some(charset)
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
        } else if self.database(name).is_none()
            && !self.schemas.contains_key(fold(name).as_str())
            && !charset.is_empty()
        {
            self.set_database(name, format!("{PERHAPS}{charset}"));
        }
    }

    pub(super) fn alter_database(&mut self, name: &str, charset: &DatabaseCharset) {
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
