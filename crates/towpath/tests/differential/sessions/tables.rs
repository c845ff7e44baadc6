//! Statements on databases and tables that are not temporary, in the forms that people write.

use towpath_testkit::{Feature, Random, Version};

use super::super::kind::{Class, Kind};
use super::client::Client;
use super::names::{DATABASES, TABLES};
use super::world::{
    Alter, Change, Column, Ddl, Name, Table, World, charset, engine, has_long_unique,
};

/// A writer of statements: what it needs to know.
pub(crate) struct Writer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) world: &'a World,
    pub(crate) random: &'a mut Random,
    /// For names that nothing had before.
    pub(crate) number: u32,
}

/// Statements that change nothing of names or rows: half of them our reader need not understand.
const HARMLESS: &[&str] = &[
    "FORCE",
    "ENGINE=InnoDB",
    "COMMENT 'it''s \"x\" ` -- #'",
    "ORDER BY id",
    "INSERT_METHOD LAST",
    "ROW_FORMAT=DYNAMIC",
    "PARTITION BY HASH(id) PARTITIONS 2",
    "REMOVE PARTITIONING",
    "DISABLE KEYS",
    "ALTER COLUMN id DROP DEFAULT",
    "CONVERT TO CHARACTER SET utf8",
    "DEFAULT CHARACTER SET = latin1",
    "AUTO_INCREMENT 7, STATS_PERSISTENT = DEFAULT",
];

impl Writer<'_> {
    /// Any statement that can be written now.
    pub(crate) fn any(&mut self) -> Option<Ddl> {
        if self.world.databases.is_empty() {
            return self.create_database();
        }
        match self.random.below(20) {
            _ if self.world.tables.len() < 3 => self.create(),
            0 => self.create_database(),
            1 => self.alter_database(),
            2 if self.world.databases.len() > 2 => self.drop_database(),
            3 | 4 => self.create(),
            5 => self.copy(),
            6 if self.world.tables.len() > 5 => self.drop(),
            7 => self.truncate(),
            8 | 9 => self.rename(),
            10 => self.alter_rename(),
            11 => self.swap_columns(),
            12 => self.drop_column(),
            13 => self.harmless(),
            14 => self.index(),
            _ => self.add_column(),
        }
    }

    fn create_database(&mut self) -> Option<Ddl> {
        let name = self.random.pick(DATABASES).to_owned();
        if self.world.databases.contains_key(&name) {
            return None;
        }
        let charset = charset(self.client.version, self.random);
        let word = self.random.pick(&["DATABASE", "SCHEMA", "DATABASE IF NOT EXISTS"]);
        let set = self.random.pick(&["CHARACTER SET", "DEFAULT CHARACTER SET =", "CHARSET"]);
        let sql =
            format!("CREATE {word} {} {set} {charset}", self.client.quoted(&name, self.random));
        Some(Ddl { sql, change: Change::Database(name, charset) })
    }

    fn alter_database(&mut self) -> Option<Ddl> {
        let name = self.world.any_database(self.random)?;
        let charset = charset(self.client.version, self.random);
        let quoted = self.client.quoted(&name, self.random);
        let sql = if self.client.database.as_ref() == Some(&name) && self.random.one_in(2) {
            format!("ALTER DATABASE CHARACTER SET {charset}")
        } else {
            format!("ALTER SCHEMA {quoted} DEFAULT CHARACTER SET {charset}")
        };
        Some(Ddl { sql, change: Change::Database(name, charset) })
    }

    fn drop_database(&mut self) -> Option<Ddl> {
        let name = self.world.any_database(self.random)?;
        let sql = format!("DROP DATABASE {}", self.client.quoted(&name, self.random));
        Some(Ddl { sql, change: Change::DropDatabase(name) })
    }

    /// A name that no table has, and that is not hidden.
    fn free_name(&mut self) -> Option<Name> {
        let name = (self.world.any_database(self.random)?, self.random.pick(TABLES).to_owned());
        (!self.world.has(&name) && !self.client.hides(&name)).then_some(name)
    }

    /// A table that this session sees.
    fn seen_table(&mut self) -> Option<Table> {
        self.world.any_table(self.random).filter(|table| !self.client.hides(&table.name))
    }

    fn new_column(&mut self, database: &str) -> Column {
        self.number += 1;
        let odd = self.random.pick(&["c", "é", "a b", "select", "q`"]);
        let name = format!("{odd}{}", self.number);
        self.world.column(self.client.version, database, name, self.random)
    }

    fn declared(&mut self, column: &Column) -> String {
        let default =
            column.default.as_ref().map_or_else(String::new, |text| format!(" DEFAULT '{text}'"));
        let name = self.client.quoted(&column.name, self.random);
        format!("{name} {}{default}", column.kind.declared())
    }

    fn create(&mut self) -> Option<Ddl> {
        let name = self.free_name()?;
        let keyed = !self.random.one_in(4);
        let (engine, transactional) = engine(self.client.version, self.random);
        let mut columns = Vec::new();
        if keyed {
            columns.push(Column { name: "id".to_owned(), kind: Kind::Id, default: None });
        }
        for _ in 0..=self.random.below(4) {
            let mut column = self.new_column(&name.0);
            if !keyed && self.random.one_in(2) {
                column.kind = Kind::Int("INT", 32, false);
                column.default = Some("7".to_owned());
            }
            columns.push(column);
        }
        let list: Vec<String> = columns
            .iter()
            .map(|c| {
                if c.kind == Kind::Id { "id INT PRIMARY KEY".to_owned() } else { self.declared(c) }
            })
            .collect();
        let exists = self.random.pick(&["", "", "IF NOT EXISTS "]);
        let table = self.client.table(&name, self.random);
        let sql = format!("CREATE TABLE {exists}{table} ({}) ENGINE={engine}", list.join(", "));
        let table = Table { name, columns, keyed, transactional };
        Some(Ddl { sql, change: Change::Create(table) })
    }

    fn copy(&mut self) -> Option<Ddl> {
        let name = self.free_name()?;
        let from = self.seen_table()?;
        let (to, of) =
            (self.client.table(&name, self.random), self.client.table(&from.name, self.random));
        let sql = format!("CREATE TABLE {to} LIKE {of}");
        Some(Ddl { sql, change: Change::Create(Table { name, ..from }) })
    }

    fn drop(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let word = self.random.pick(&["TABLE", "TABLE IF EXISTS", "TABLES"]);
        let end = self.random.pick(&["", " RESTRICT", " CASCADE"]);
        let sql = format!("DROP {word} {}{end}", self.client.table(&table.name, self.random));
        Some(Ddl { sql, change: Change::Drop(table.name) })
    }

    fn truncate(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let word = self.random.pick(&["TRUNCATE TABLE", "TRUNCATE"]);
        let sql = format!("{word} {}", self.client.table(&table.name, self.random));
        Some(Ddl { sql, change: Change::Truncate(table.name) })
    }

    fn rename(&mut self) -> Option<Ddl> {
        let from = self.seen_table()?.name;
        let to = self.free_name()?;
        let word = self.random.pick(&["TABLE", "TABLE", "TABLES"]);
        let (old, new) =
            (self.client.table(&from, self.random), self.client.table(&to, self.random));
        let sql = format!("RENAME {word} {old} TO {new}");
        Some(Ddl { sql, change: Change::Rename(vec![(from, to)]) })
    }

    fn alter_rename(&mut self) -> Option<Ddl> {
        let from = self.seen_table()?.name;
        let to = self.free_name()?;
        let word = self.random.pick(&["RENAME", "RENAME TO", "RENAME AS"]);
        let (old, new) =
            (self.client.table(&from, self.random), self.client.table(&to, self.random));
        if self.random.one_in(3) {
            let column = self.new_column(&from.0);
            let added = self.declared(&column);
            let sql = format!("ALTER TABLE {old} ADD COLUMN {added}, {word} {new}");
            let change = Change::Alter(from, Alter::AddAndRename(column, to));
            return Some(Ddl { sql, change });
        }
        let sql = format!("ALTER TABLE {old} {word} {new}");
        Some(Ddl { sql, change: Change::Rename(vec![(from, to)]) })
    }

    /// Two columns change their names, or one does.
    fn swap_columns(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let own: Vec<Column> =
            table.columns.iter().filter(|column| column.kind != Kind::Id).cloned().collect();
        let (a, b) = (own.first()?.clone(), own.last()?.clone());
        let pairs = if a.name == b.name {
            vec![(a.clone(), self.new_column("").name)]
        } else {
            vec![(a.clone(), b.name.clone()), (b, a.name)]
        };
        let changes: Vec<String> = pairs
            .iter()
            .map(|(column, to)| {
                let from = self.client.quoted(&column.name, self.random);
                let to = Column { name: to.clone(), ..column.clone() };
                format!("CHANGE {from} {}", self.declared(&to))
            })
            .collect();
        let end = self.random.pick(&["", "", ", ALGORITHM=COPY"]);
        let word = self.word();
        let name = self.client.table(&table.name, self.random);
        let sql = format!("{word} {name} {}{end}", changes.join(", "));
        let pairs = pairs.into_iter().map(|(from, to)| (from.name, to)).collect();
        Some(Ddl { sql, change: Change::Alter(table.name, Alter::Rename(pairs)) })
    }

    fn word(&mut self) -> &'static str {
        match self.random.below(10) {
            1 if self.client.version.is_mariadb() => "ALTER ONLINE TABLE",
            2 => "ALTER /*!40000 TABLE */",
            3 => "ALTER\n# why\nTABLE",
            _ => "ALTER TABLE",
        }
    }

    fn drop_column(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let column = table.columns.iter().skip(1).last().filter(|_| table.columns.len() > 2)?;
        let drop = self.client.quoted(&column.name, self.random);
        let word = self.word();
        let name = self.client.table(&table.name, self.random);
        let column_word = self.random.pick(&["DROP COLUMN", "DROP"]);
        let sql = format!("{word} {name} {column_word} {drop}");
        let alter = Alter::Drop(column.name.clone());
        Some(Ddl { sql, change: Change::Alter(table.name, alter) })
    }

    fn add_column(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let mut column = self.new_column(&table.name.0);
        if self.random.one_in(3) {
            column.kind = Kind::Int("INT", 32, false);
            column.default = Some("7".to_owned());
        }
        let place = match self.random.below(4) {
            0 => " FIRST".to_owned(),
            1 => format!(" AFTER {}", self.client.quoted(&table.columns[0].name, self.random)),
            _ => String::new(),
        };
        let added = self.declared(&column);
        // Elsewhere it loses rows that become equal, and nobody is told.
        let ignore = self.client.version.is_mariadb() || self.client.version == Version::Mysql55;
        let is_ignored = ignore && self.random.one_in(8);
        let word = if is_ignored { "ALTER IGNORE TABLE" } else { self.word() };
        let name = self.client.table(&table.name, self.random);
        let sql = if place.is_empty() && self.random.one_in(2) {
            format!("{word} {name} ADD ({added})")
        } else {
            format!("{word} {name} ADD {added}{place}")
        };
        Some(Ddl { sql, change: Change::Alter(table.name, Alter::Add(column)) })
    }

    fn harmless(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let what = self.random.pick(HARMLESS);
        // Text would become other text, and nobody is told.
        let converts = what.contains("CHARACTER SET");
        if converts && table.columns.iter().any(|c| c.kind.class() == Class::Text) {
            return None;
        }
        let word = self.word();
        let sql = format!("{word} {} {what}", self.client.table(&table.name, self.random));
        Some(Ddl { sql, change: Change::Nothing })
    }

    /// Keys, long unique ones among them: MariaDB adds a hidden column for each, or the statement fails.
    fn index(&mut self) -> Option<Ddl> {
        let table = self.seen_table()?;
        let column = self.random.pick(&table.columns);
        let is_long = matches!(column.kind, Kind::Text(_) | Kind::Blob(_) | Kind::Inherited(..));
        let name = self.client.table(&table.name, self.random);
        let on = self.client.quoted(&column.name, self.random);
        self.number += 1;
        let key = format!("k{}", self.number);
        let sql = if is_long && has_long_unique(self.client.version) {
            format!("ALTER TABLE {name} ADD UNIQUE {key} ({on})")
        } else {
            let end =
                if self.client.version.has(Feature::RowImage) { " ALGORITHM=COPY" } else { "" };
            format!("CREATE INDEX {key} ON {name} ({on}){end}")
        };
        Some(Ddl { sql, change: Change::Nothing })
    }
}
