//! Names as people give them, and how statements write them.

use towpath_testkit::{Random, Version};

use super::client::Client;
use super::world::Name;

pub(crate) const DATABASES: &[&str] = &["d", "D", "e`e", "da.ta", "1st", "größe"];
pub(crate) const TABLES: &[&str] =
    &["t", "T", "u", "order", "1t", "a b", "a.b", "q`q", "it's", "dq\"x", "été", "t1"];

/// Whether a name can stand as it is, without quotes.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(char::is_alphabetic)
        && name.chars().all(char::is_alphanumeric)
        && !matches!(name, "order" | "select")
}

impl Client {
    /// A name in quotes, or without.
    pub(crate) fn quoted(&self, name: &str, random: &mut Random) -> String {
        if is_plain(name) && random.one_in(2) {
            name.to_owned()
        } else if self.has_ansi_quotes && random.one_in(2) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            format!("`{}`", name.replace('`', "``"))
        }
    }

    /// A table, by its name alone where it lies in the default database.
    pub(crate) fn table(&self, (database, table): &Name, random: &mut Random) -> String {
        let name = self.quoted(table, random);
        let is_default = self.database.as_ref() == Some(database);
        if is_default && !random.one_in(4) {
            let takes_dot = self.version.is_mariadb() || self.version == Version::Mysql57;
            return if takes_dot && random.one_in(10) { format!(".{name}") } else { name };
        }
        let between = random.pick(&[".", ".", " . ", " ./* of it */ "]);
        format!("{}{between}{name}", self.quoted(database, random))
    }
}
