//! Temporary tables, of the names of real ones, and what is done to them.

use towpath_testkit::{Random, Version};

use super::client::Client;
use super::names::TABLES;
use super::world::{Name, World};

/// A statement about a temporary table, and whether the table is there when it has succeeded.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) sql: String,
    pub(crate) name: Name,
    pub(crate) then: Then,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    There,
    Gone,
    Renamed(Name),
}

/// Something with a temporary table of this session.
pub(crate) fn step(client: &Client, world: &World, random: &mut Random) -> Option<Step> {
    if client.temporary.is_empty() || (client.temporary.len() < 4 && random.one_in(3)) {
        return create(client, world, random);
    }
    let all: Vec<Name> = client.temporary.iter().cloned().collect();
    let name = random.pick(&all);
    let table = client.table(&name, random);
    let free = || {
        let to: Name = (name.0.clone(), "r_tmp".to_owned());
        (!client.hides(&to) && !world.has(&to)).then_some(to)
    };
    let (sql, then) = match random.below(9) {
        0 => (format!("ALTER TABLE {table} CHANGE x y INT, CHANGE y x INT"), Then::There),
        1 => (format!("ALTER TABLE {table} ADD COLUMN z{} INT", random.below(1000)), Then::There),
        2 => (format!("TRUNCATE TABLE {table}"), Then::There),
        // The oldest MariaDB logs those of tables whose making is not logged.
        3 if client.version != Version::Mariadb102 => {
            (format!("CREATE INDEX i ON {table} (x)"), Then::There)
        }
        // In ROW format it is not logged, though the making of the table was. Behind that MariaDB's RENAME TABLE
        // of a table of the old name means another table to whoever reads the binlog, its replicas included.
        4 if !client.version.is_mariadb() || client.version == Version::Mariadb102 => {
            let to = free()?;
            let sql = format!("ALTER TABLE {table} RENAME {}", qualified(client, &to, random));
            (sql, Then::Renamed(to))
        }
        5 => (format!("DROP TEMPORARY TABLE {table}"), Then::Gone),
        6 => (format!("DROP TABLE {table}"), Then::Gone),
        _ => (format!("INSERT INTO {table} (x, y) VALUES (1, 2)"), Then::There),
    };
    Some(Step { sql, name, then })
}

/// Never by its name alone: what that means in a rename depends on the default database.
fn qualified(client: &Client, (database, table): &Name, random: &mut Random) -> String {
    format!("{}.{}", client.quoted(database, random), client.quoted(table, random))
}

fn create(client: &Client, world: &World, random: &mut Random) -> Option<Step> {
    let name = match world.any_table(random) {
        Some(table) if !random.one_in(4) => table.name,
        _ => (world.any_database(random)?, random.pick(TABLES).to_owned()),
    };
    if client.hides(&name) {
        return None;
    }
    let table = client.table(&name, random);
    let engine = random.pick(&["InnoDB", "MyISAM", "InnoDB"]);
    let exists = random.pick(&["", "IF NOT EXISTS "]);
    let sql = match random.below(4) {
        0 => {
            format!("CREATE TEMPORARY TABLE {exists}{table} ENGINE={engine} SELECT 1 AS x, 2 AS y")
        }
        1 if client.version.is_mariadb() => {
            format!("CREATE OR REPLACE TEMPORARY TABLE {table} (x INT, y INT) ENGINE={engine}")
        }
        _ => format!("CREATE TEMPORARY TABLE {exists}{table} (x INT, y INT) ENGINE={engine}"),
    };
    Some(Step { sql, name, then: Then::There })
}

impl Client {
    /// What a step has done, once it has succeeded.
    pub(crate) fn has_done(&mut self, step: Step) {
        match step.then {
            Then::There => {
                self.temporary.insert(step.name);
            }
            Then::Gone => {
                self.temporary.remove(&step.name);
            }
            Then::Renamed(to) => {
                self.temporary.remove(&step.name);
                self.temporary.insert(to);
            }
        }
    }

    /// A format in which statements on temporary tables are logged, mostly.
    pub(crate) fn format_of_statements(&self, random: &mut Random) -> &'static str {
        let mixed = if self.version == Version::Mysql55 { "STATEMENT" } else { "MIXED" };
        random.pick(&["STATEMENT", "STATEMENT", mixed, "ROW"])
    }
}
