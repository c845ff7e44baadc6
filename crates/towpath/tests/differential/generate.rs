//! Statements, and what the structures are after them.

use std::collections::VecDeque;
use std::fmt::Write;

use towpath_testkit::{Feature, Random, Version};

use super::kind::{Class, Kind};

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    kind: Kind,
}

impl Column {
    pub(crate) fn class(&self) -> Class {
        self.kind.class()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// What a DDL statement does to rows that are there.
#[derive(Debug)]
pub(crate) enum Change {
    Nothing,
    Create(String),
    Drop(String),
    Truncate(String),
    /// From and to, in order.
    Rename(Vec<(String, String)>),
    /// Columns of a table: added with a value, dropped, or renamed.
    Alter(String, Vec<Alter>),
}

#[derive(Debug)]
pub(crate) enum Alter {
    Add(String, Option<String>),
    Drop(String),
    Rename(String, String),
}

#[derive(Debug)]
pub(crate) struct Generator {
    version: Version,
    tables: Vec<Table>,
    next_name: u32,
    /// DDL that is still to be delivered.
    pub(crate) changes: VecDeque<Change>,
}

impl Generator {
    pub(crate) fn new(version: Version) -> Self {
        Self { version, tables: Vec::new(), next_name: 0, changes: VecDeque::new() }
    }

    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The database, then the table for the markers.
    pub(crate) fn expect_marker_table(&mut self) {
        self.changes.push_back(Change::Nothing);
        self.changes.push_back(Change::Create("marker".to_owned()));
    }

    fn name(&mut self, prefix: &str) -> String {
        self.next_name += 1;
        format!("{prefix}{}", self.next_name)
    }

    /// The statements of a round.
    pub(crate) fn statements(&mut self, random: &mut Random) -> String {
        let mut sql = String::new();
        for _ in 0..=random.below(6) {
            if self.tables.len() < 2 || random.one_in(4) {
                self.ddl(random, &mut sql);
            } else {
                self.transaction(random, &mut sql);
            }
        }
        sql
    }

    fn ddl(&mut self, random: &mut Random, sql: &mut String) {
        match random.below(12) {
            _ if self.tables.len() < 2 => self.create(random, sql),
            0 => self.create(random, sql),
            1 if self.tables.len() > 3 => {
                let index = usize::try_from(random.below(3)).unwrap();
                let table = self.tables.remove(index);
                writeln!(sql, "DROP TABLE {};", table.name).unwrap();
                self.changes.push_back(Change::Drop(table.name));
            }
            2 => {
                let table = random.pick(&self.tables).name;
                writeln!(sql, "TRUNCATE TABLE {table};").unwrap();
                self.changes.push_back(Change::Truncate(table));
            }
            3 => {
                let name = self.name("r");
                let table = self.any_table(random);
                writeln!(sql, "RENAME TABLE {} TO {name};", table.name).unwrap();
                let old = std::mem::replace(&mut table.name, name.clone());
                self.changes.push_back(Change::Rename(vec![(old, name)]));
            }
            4 => self.swap(sql),
            5 => self.copy(random, sql),
            6 => self.online_change(random, sql),
            _ => {
                let index = usize::try_from(random.below(self.tables.len().try_into().unwrap()));
                self.alter(index.unwrap(), random, sql);
            }
        }
    }

    fn any_table(&mut self, random: &mut Random) -> &mut Table {
        let index = random.below(self.tables.len().try_into().unwrap());
        &mut self.tables[usize::try_from(index).unwrap()]
    }

    fn column(&mut self, random: &mut Random) -> Column {
        Column { name: self.name("c"), kind: Kind::any(self.version, random) }
    }

    fn create(&mut self, random: &mut Random, sql: &mut String) {
        let name = self.name("t");
        let mut columns = vec![Column { name: "id".to_owned(), kind: Kind::Id }];
        for _ in 0..=random.below(7) {
            let column = self.column(random);
            columns.push(column);
        }
        let list: Vec<String> =
            columns[1..].iter().map(|c| format!(", {} {}", c.name, c.kind.declared())).collect();
        writeln!(
            sql,
            "CREATE TABLE {name} (id INT PRIMARY KEY{}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;",
            list.concat()
        )
        .unwrap();
        self.changes.push_back(Change::Create(name.clone()));
        self.tables.push(Table { name, columns });
    }

    /// Two tables change their names in one statement.
    fn swap(&mut self, sql: &mut String) {
        let (a, b) = (self.tables[0].name.clone(), self.tables[1].name.clone());
        writeln!(sql, "RENAME TABLE {a} TO swap, {b} TO {a}, swap TO {b};").unwrap();
        self.tables[0].name.clone_from(&b);
        self.tables[1].name.clone_from(&a);
        let swap = "swap".to_owned();
        self.changes.push_back(Change::Rename(vec![
            (a.clone(), swap.clone()),
            (b.clone(), a),
            (swap, b),
        ]));
    }

    /// `CREATE TABLE ... LIKE`, or `... AS SELECT` with its rows.
    fn copy(&mut self, random: &mut Random, sql: &mut String) {
        let name = self.name("l");
        let mut table = random.pick(&self.tables);
        if random.one_in(2) {
            writeln!(sql, "CREATE TABLE {name} LIKE {};", table.name).unwrap();
        } else {
            let from = &table.name;
            writeln!(sql, "CREATE TABLE {name} (PRIMARY KEY (id)) AS SELECT * FROM {from};")
                .unwrap();
        }
        self.changes.push_back(Change::Create(name.clone()));
        table.name = name;
        self.tables.push(table);
    }

    /// As gh-ost and pt-online-schema-change do it: a copy, changed, filled, put in its place.
    fn online_change(&mut self, random: &mut Random, sql: &mut String) {
        let (ghost, old) = (self.name("_g"), self.name("_o"));
        let index = usize::try_from(random.below(self.tables.len().try_into().unwrap())).unwrap();
        let original = self.tables[index].clone();
        writeln!(sql, "CREATE TABLE {ghost} LIKE {};", original.name).unwrap();
        self.changes.push_back(Change::Create(ghost.clone()));
        self.tables[index].name.clone_from(&ghost);
        self.alter(index, random, sql);
        // All columns are named: with a minimal row image the others would not be in the event.
        let columns = &self.tables[index].columns;
        let list: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let values: Vec<&str> = list
            .iter()
            .map(
                |name| if original.columns.iter().any(|c| c.name == *name) { name } else { "NULL" },
            )
            .collect();
        let (list, values, name) = (list.join(","), values.join(","), original.name);
        writeln!(sql, "INSERT IGNORE INTO {ghost}({list}) SELECT {values} FROM {name};").unwrap();
        writeln!(sql, "RENAME TABLE {name} TO {old}, {ghost} TO {name}; DROP TABLE {old};")
            .unwrap();
        self.tables[index].name.clone_from(&name);
        let renames = vec![(name.clone(), old.clone()), (ghost, name)];
        self.changes.push_back(Change::Rename(renames));
        self.changes.push_back(Change::Drop(old));
    }

    fn place(table: &Table, random: &mut Random) -> (usize, String) {
        let len = u64::try_from(table.columns.len()).unwrap();
        match random.below(3) {
            0 => (0, " FIRST".to_owned()),
            1 => {
                let index = usize::try_from(random.below(len)).unwrap();
                (index + 1, format!(" AFTER {}", table.columns[index].name))
            }
            _ => (table.columns.len(), String::new()),
        }
    }

    /// One change of a column, or several columns added, in one statement.
    fn alter(&mut self, index: usize, random: &mut Random, sql: &mut String) {
        let name = self.tables[index].name.clone();
        let one = match random.below(6) {
            0 => self.drop_column(index, random),
            1 => self.rename_column(index),
            2 => self.move_column(index, random),
            _ => None,
        };
        let changes = match one {
            Some(change) => vec![change],
            None => (0..=random.below(2)).map(|_| self.add_column(index, random)).collect(),
        };
        let (parts, effects): (Vec<String>, Vec<Option<Alter>>) = changes.into_iter().unzip();
        writeln!(sql, "ALTER TABLE {name} {};", parts.join(", ")).unwrap();
        let effects: Vec<Alter> = effects.into_iter().flatten().collect();
        let with_default: Vec<String> = effects
            .iter()
            .filter_map(
                |e| if let Alter::Add(name, Some(_)) = e { Some(name.clone()) } else { None },
            )
            .collect();
        self.changes.push_back(Change::Alter(name.clone(), effects));
        // From now on they take NULL as the others do.
        for column in with_default {
            let kind = self.tables[index].columns.iter().find(|c| c.name == column).unwrap();
            let kind = kind.kind.declared();
            writeln!(sql, "ALTER TABLE {name} MODIFY COLUMN {column} {kind} NULL;").unwrap();
            self.changes.push_back(Change::Nothing);
        }
    }

    fn drop_column(
        &mut self,
        index: usize,
        random: &mut Random,
    ) -> Option<(String, Option<Alter>)> {
        let columns = &mut self.tables[index].columns;
        let at = usize::try_from(random.below(columns.len().try_into().unwrap())).unwrap();
        if columns.len() < 4 || columns[at].name == "id" {
            return None;
        }
        let name = columns.remove(at).name;
        Some((format!("DROP COLUMN {name}"), Some(Alter::Drop(name))))
    }

    fn rename_column(&mut self, index: usize) -> Option<(String, Option<Alter>)> {
        let name = self.name("n");
        let column = self.tables[index].columns.iter_mut().find(|c| c.name != "id")?;
        let old = std::mem::replace(&mut column.name, name.clone());
        let part = if self.version.has(Feature::RenameColumn) {
            format!("RENAME COLUMN {old} TO {name}")
        } else {
            format!("CHANGE COLUMN {old} {name} {}", column.kind.declared())
        };
        Some((part, Some(Alter::Rename(old, name))))
    }

    /// To another place, and wider where it can be.
    fn move_column(
        &mut self,
        index: usize,
        random: &mut Random,
    ) -> Option<(String, Option<Alter>)> {
        let table = &mut self.tables[index];
        let at = table.columns.iter().position(|c| c.name != "id")?;
        let mut column = table.columns.remove(at);
        if let Kind::VarChar(len, _) = &mut column.kind {
            *len += 100;
        }
        let (to, place) = Self::place(table, random);
        let part = format!("MODIFY COLUMN {} {}{place}", column.name, column.kind.declared());
        table.columns.insert(to, column);
        Some((part, None))
    }

    fn add_column(&mut self, index: usize, random: &mut Random) -> (String, Option<Alter>) {
        let column = self.column(random);
        let (at, place) = Self::place(&self.tables[index], random);
        let value = if matches!(column.kind, Kind::Int(..)) {
            Some("7")
        } else if matches!(column.kind, Kind::VarChar(..)) {
            Some("dflt")
        } else {
            None
        };
        let value = value.filter(|_| random.one_in(2));
        let default = value.map_or_else(String::new, |v| format!(" NOT NULL DEFAULT '{v}'"));
        let (name, kind) = (column.name.clone(), column.kind.declared());
        self.tables[index].columns.insert(at, column);
        let effect = Alter::Add(name.clone(), value.map(str::to_owned));
        (format!("ADD COLUMN {name} {kind}{default}{place}"), Some(effect))
    }

    fn transaction(&mut self, random: &mut Random, sql: &mut String) {
        let bare = random.one_in(3);
        if !bare {
            sql.push_str("BEGIN;\n");
        }
        for step in 0..=random.below(5) {
            if !bare && step > 0 && random.one_in(8) {
                sql.push_str("SAVEPOINT s;\n");
                self.dml(random, sql);
                sql.push_str("ROLLBACK TO SAVEPOINT s;\n");
            }
            self.dml(random, sql);
        }
        if !bare {
            sql.push_str(if random.one_in(6) { "ROLLBACK;\n" } else { "COMMIT;\n" });
        }
    }

    fn names(table: &Table) -> String {
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        names.join(",")
    }

    fn row(table: &Table, random: &mut Random) -> String {
        let values: Vec<String> = table.columns.iter().map(|c| c.kind.literal(random)).collect();
        format!("({})", values.join(","))
    }

    fn dml(&self, random: &mut Random, sql: &mut String) {
        let table = random.pick(&self.tables);
        let name = &table.name;
        let from = random.below(60);
        let some = format!("id BETWEEN {from} AND {}", from + random.below(9));
        match random.below(8) {
            0..=2 => {
                let rows: Vec<String> =
                    (0..=random.below(12)).map(|_| Self::row(&table, random)).collect();
                let word = random.pick(&["INSERT IGNORE", "REPLACE"]);
                let names = Self::names(&table);
                writeln!(sql, "{word} INTO {name}({names}) VALUES {};", rows.join(",")).unwrap();
            }
            3..=5 => {
                let column = random.pick(&table.columns);
                if column.name == "id" {
                    writeln!(sql, "UPDATE IGNORE {name} SET id=id+1000 WHERE {some};").unwrap();
                    return;
                }
                let value = if column.kind == Kind::Json && random.one_in(2) {
                    let (column, n) = (&column.name, random.below(9));
                    random.pick(&[
                        format!("JSON_SET({column}, '$.a', {n})"),
                        format!("JSON_REPLACE({column}, '$.a', {n}, '$.b[1]', 'new')"),
                        format!("JSON_REMOVE({column}, '$.c')"),
                        format!("JSON_SET({column}, '$.d', {n})"),
                    ])
                } else {
                    column.kind.literal(random)
                };
                writeln!(sql, "UPDATE IGNORE {name} SET {}={value} WHERE {some};", column.name)
                    .unwrap();
            }
            6 => writeln!(sql, "DELETE FROM {name} WHERE {some};").unwrap(),
            _ => {
                let column = random.pick(&table.columns);
                let (row, value) = (Self::row(&table, random), column.kind.literal(random));
                if column.name != "id" {
                    let update = format!("ON DUPLICATE KEY UPDATE {}={value}", column.name);
                    let names = Self::names(&table);
                    writeln!(sql, "INSERT INTO {name}({names}) VALUES {row} {update};").unwrap();
                }
            }
        }
    }
}
