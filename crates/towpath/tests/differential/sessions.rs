//! Sessions as they are: several at once, each with its default database, modes, temporary tables
//! and transactions, on databases that come and go. A consumer that applies the entries has what
//! the server has: read live across kills, from the beginning, and from the files.

mod client;
mod names;
mod reader;
mod replica;
mod tables;
mod temporary;
mod transactions;
mod world;

use std::path::Path;

use towpath_testkit::{Feature, Random, Server, Version};

use super::kind::Class;
use super::{Length, replay, switches, without};
use client::Client;
use reader::Reader;
use replica::{Expected, Replica, Row};
use tables::Writer;
use world::{Change, Column, Name, Table, World};

/// Sessions at once.
const CLIENTS: u64 = 3;
/// How far the ids of one session are from the next one's.
const IDS: u64 = 10_000;
/// Where the numbers are that say that all before has come.
const MARKS: &str = "marks";

/// The server, its sessions, and what they made.
struct Scene<'a> {
    server: &'a Server,
    version: Version,
    seed: u64,
    random: Random,
    clients: Vec<Client>,
    world: World,
    /// Changes that were made, from the beginning.
    changes: Vec<Expected>,
    next: u32,
    context: String,
}

impl<'a> Scene<'a> {
    fn new(server: &'a Server, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut clients = Vec::new();
        for index in 1..=CLIENTS {
            clients.push(Client::open(server, index * IDS, &mut random));
        }
        let world = World::default();
        let version = server.version();
        let context = String::new();
        Self {
            server,
            version,
            seed,
            random,
            clients,
            world,
            changes: Vec::new(),
            next: 0,
            context,
        }
    }

    /// A table of numbers that say that all before has come.
    fn make_marks(&mut self) {
        self.server
            .run(&format!("CREATE DATABASE {MARKS}; CREATE TABLE {MARKS}.m (id INT PRIMARY KEY);"));
        let id = Column { name: "id".to_owned(), kind: super::kind::Kind::Id, default: None };
        let table = Table { name: marks(), columns: vec![id], keyed: true, transactional: true };
        for change in [Change::Nothing, Change::Create(table)] {
            self.changes.push(Expected { number: 0, change, sql: String::new() });
        }
    }

    /// One thing that one session does.
    fn step(&mut self) {
        let index = usize::try_from(self.random.below(CLIENTS)).unwrap();
        match self.random.below(24) {
            0 => self.clients[index].settings(&mut self.random),
            1 | 2 => self.choose_database(index),
            3..=8 => self.structure(index),
            9..=12 if !without("temporary") => self.temporary(index),
            13 if self.random.one_in(3) => self.leave(index),
            14..=16 if !without("transactions") => {
                let sql = transactions::control(&mut self.clients[index], &mut self.random);
                self.clients[index].run(&sql);
            }
            17 if !without("prepared") => self.prepared(index),
            _ => self.rows(index),
        }
    }

    fn choose_database(&mut self, index: usize) {
        let Some(database) = self.world.any_database(&mut self.random) else { return };
        let client = &mut self.clients[index];
        let sql = format!("USE `{}`;", database.replace('`', "``"));
        if client.run(&sql) {
            client.database = Some(database);
        }
    }

    /// A session ends, whatever it was doing, and another begins.
    fn leave(&mut self, index: usize) {
        let first_id = self.clients[index].first_id;
        self.clients[index] = Client::open(self.server, first_id, &mut self.random);
    }

    /// Transactions of others would keep a statement waiting.
    fn end_transactions(&mut self) {
        for client in self.clients.iter_mut().filter(|client| client.in_transaction) {
            let sql = transactions::end(client, &mut self.random);
            client.run(&sql);
        }
    }

    fn structure(&mut self, index: usize) {
        let mut writer = Writer {
            client: &self.clients[index],
            world: &self.world,
            random: &mut self.random,
            number: self.next * 100,
        };
        let Some(ddl) = writer.any() else { return };
        self.end_transactions();
        self.next += 1;
        let client = &mut self.clients[index];
        let sql = dressed(client, &ddl.sql, self.next, &mut self.random);
        // Statements that copy rows or structures of others must not be logged as they are.
        client.log_as("ROW");
        client.in_transaction = false;
        if client.run(&sql) {
            if let Change::DropDatabase(name) = &ddl.change
                && client.database.as_ref() == Some(name)
            {
                client.database = None;
            }
            self.world.apply(&ddl.change);
            if !is_told(&ddl.sql) {
                return;
            }
            self.changes.push(Expected { number: self.next, change: ddl.change, sql });
        }
    }

    fn temporary(&mut self, index: usize) {
        let client = &self.clients[index];
        let Some(step) = temporary::step(client, &self.world, &mut self.random) else { return };
        self.next += 1;
        let client = &mut self.clients[index];
        if !client.in_transaction {
            let format = client.format_of_statements(&mut self.random);
            client.log_as(format);
        }
        let is_made =
            step.sql.starts_with("CREATE TEMPORARY") || step.sql.starts_with("DROP TEMPORARY");
        let ends = !is_made && !step.sql.starts_with("INSERT");
        if client.run(&format!("{} /*n{}*/;", step.sql, self.next)) {
            client.has_done(step);
        }
        // Some of them commit, whether they succeed or not.
        if ends {
            client.run("COMMIT;");
            client.in_transaction = false;
        }
    }

    fn prepared(&mut self, index: usize) {
        self.next += 1;
        let client = &mut self.clients[index];
        if client.in_transaction || client.log_as("ROW") != "ROW" {
            return;
        }
        let sql = transactions::prepared(client, &self.world, self.next, &mut self.random);
        // With GTIDs, and in the oldest, what was prepared outlives a session's end or is not logged.
        if let Some(sql) = sql {
            client.run(&sql);
        }
    }

    fn rows(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(table) = self.world.any_table(&mut self.random) else { return };
        if client.hides(&table.name) {
            return;
        }
        if client.log_as("ROW") != "ROW" {
            return;
        }
        let sql = transactions::rows(client, &table, &mut self.random);
        client.run(&sql);
    }
}

/// Of a run that fails the binlog and all statements are kept.
impl Drop for Scene<'_> {
    #[expect(clippy::print_stdout, reason = "where to look")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let name = format!("sessions-{:?}-{}", self.version, self.seed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _removed = std::fs::remove_dir_all(&folder);
        let _made = std::fs::create_dir_all(&folder);
        for (index, client) in self.clients.iter().enumerate() {
            let _kept = std::fs::write(folder.join(format!("{index}.sql")), client.ran.join("\n"));
        }
        for row in self.server.query("SHOW BINARY LOGS") {
            let file = self.server.binlog_folder().join(&row[0]);
            let _kept = std::fs::copy(file, folder.join(&row[0]));
        }
        println!("kept in {}", folder.display());
    }
}

/// Canal tells nobody of some statements.
fn is_told(sql: &str) -> bool {
    let silent = ["ALTER DATABASE", "ALTER SCHEMA"];
    !silent.iter().any(|word| sql.starts_with(word)) && !sql.ends_with("REMOVE PARTITIONING")
}

fn marks() -> Name {
    (MARKS.to_owned(), "m".to_owned())
}

/// A statement with its number, in the forms in which any statement can be sent.
fn dressed(client: &Client, sql: &str, number: u32, random: &mut Random) -> String {
    let mark = format!("/*n{number}*/");
    let with_mark = match random.below(3) {
        0 => format!("{sql} {mark}"),
        1 if !sql.starts_with('/') => sql.replacen(' ', &format!(" {mark} "), 1),
        _ => format!("{mark} {sql}"),
    };
    match random.below(14) {
        0 if client.version.is_mariadb() => {
            format!("SET STATEMENT max_statement_time = 0 FOR {with_mark};")
        }
        1 if client.version.is_mariadb() && client.version != Version::Mariadb102 => {
            // What stands around a statement in a block is not logged.
            let sql = sql.replacen(' ', &format!(" {mark} "), 1);
            format!("DELIMITER //\nBEGIN NOT ATOMIC {sql}; END//\nDELIMITER ;")
        }
        2 if client.version.has(Feature::Json) => {
            format!(
                "PREPARE p FROM '{}'; EXECUTE p;",
                with_mark.replace('\\', "\\\\").replace('\'', "''")
            )
        }
        _ => format!("{with_mark};"),
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The rows of one table here and there, in one form.
fn compare_table(server: &Server, table: &Table, rows: &[&Row], at: &str) {
    let columns: Vec<String> = table.columns.iter().map(selected).collect();
    let name = format!("{}.{}", quoted(&table.name.0), quoted(&table.name.1));
    let order = if table.keyed { " ORDER BY id" } else { "" };
    let mut theirs: Vec<Vec<String>> = server
        .query(&format!("SELECT {} FROM {name}{order}", columns.join(", ")))
        .into_iter()
        .map(|row| {
            let classes = table.columns.iter().map(|c| c.kind.class());
            classes.zip(&row).map(|(class, text)| class.of_server(text)).collect()
        })
        .collect();
    let mut ours: Vec<Vec<String>> = rows
        .iter()
        .map(|row| table.columns.iter().map(|column| ours_of(server, column, row, at)).collect())
        .collect();
    if !table.keyed {
        theirs.sort_unstable();
        ours.sort_unstable();
    }
    let only = |these: &[Vec<String>], those: &[Vec<String>]| -> Vec<Vec<String>> {
        these.iter().filter(|row| !those.contains(row)).take(3).cloned().collect()
    };
    assert!(
        theirs == ours,
        "{at}: {name} {:?}\n{} rows there, {} here\nonly there: {:?}\nonly here: {:?}",
        table.columns,
        theirs.len(),
        ours.len(),
        only(&theirs, &ours),
        only(&ours, &theirs)
    );
}

fn selected(column: &Column) -> String {
    // The class quotes by itself what has no backquotes in it.
    column.kind.class().select(&column.name.replace('`', "``"))
}

fn ours_of(server: &Server, column: &Column, row: &Row, at: &str) -> String {
    let class = column.kind.class();
    let value = row.get(&column.name);
    let value = value.unwrap_or_else(|| panic!("{at}: no column {} in {row:?}", column.name));
    match value {
        None => "NULL".to_owned(),
        Some(text) if class == Class::Json && replay::is_call(text) => {
            let call = format!("SELECT HEX(CONVERT({text} USING utf8mb4))");
            class.of_server(&server.query(&call)[0][0])
        }
        Some(text) => class.of_entry(text),
    }
}

fn compare(scene: &Scene<'_>, replica: &Replica, how: &str) {
    let at = format!("{}, {how}", scene.context);
    let mut expected: Vec<&Name> = scene.world.tables.iter().map(|table| &table.name).collect();
    let marks = marks();
    expected.push(&marks);
    expected.sort_unstable();
    assert_eq!(replica.tables.keys().collect::<Vec<_>>(), expected, "{at}: tables");
    for table in &scene.world.tables {
        let rows: Vec<&Row> = replica.tables[&table.name].rows.values().collect();
        compare_table(scene.server, table, &rows, &at);
    }
}

fn has_mark(replica: &Replica, mark: i64) -> bool {
    replica.tables.get(&marks()).is_some_and(|marks| marks.rows.contains_key(&mark))
}

fn run(server: &Server, seed: u64) {
    let mut scene = Scene::new(server, seed);
    let mut reader = Reader::start(server);
    let mut replica = Replica::default();
    scene.make_marks();
    let mut delivered = 0;
    let length = Length::asked_or(20);
    let mut round = 0;
    while length.goes_on(round) {
        round += 1;
        scene.context = format!("{:?}, TOWPATH_SEED={seed}, round {round}", scene.version);
        replica.context.clone_from(&scene.context);
        let (global, _) = switches(scene.version, &mut scene.random);
        server.run(&global);
        if scene.version.is_mariadb() && !without("old") {
            let on = scene.random.pick(&["ON", "ON", "OFF"]);
            server.run(&format!("SET GLOBAL mysql56_temporal_format = {on};"));
        }
        for _ in 0..40 {
            scene.step();
            if scene.random.one_in(120) && !without("kills") {
                replica.expected.extend(scene.changes[delivered..].iter().cloned());
                delivered = scene.changes.len();
                reader.interrupt(&mut scene.random, &mut replica);
            }
        }
        scene.end_transactions();
        server.run(&format!("INSERT INTO {MARKS}.m VALUES ({round});"));
        replica.expected.extend(scene.changes[delivered..].iter().cloned());
        delivered = scene.changes.len();
        if let Err(said) = reader.read(&mut replica, |replica| has_mark(replica, round)) {
            panic!("{}: {said}", scene.context);
        }
        assert!(replica.expected.is_empty(), "{}: {:?}", scene.context, replica.expected);
        compare(&scene, &replica, "live");
    }
    anew(&scene, round);
}

/// The same from the beginning, by another server and from the files.
fn anew(scene: &Scene<'_>, last: i64) {
    let all = |how| Replica::expecting(&scene.changes, format!("{}, {how}", scene.context));
    let mut cold = all("cold");
    let read = Reader::start(scene.server).read(&mut cold, |replica| has_mark(replica, last));
    if compare_if_read(scene, &cold, read, "cold") && !without("files") {
        let mut decoded = all("from files");
        let read = reader::decode(scene.server, &mut decoded);
        compare_if_read(scene, &decoded, read, "from files");
    }
}

/// What a reader says that stops since it does not know a structure.
const WAY_OUT: &str = "exclude the table with a filter, or start behind the change";

/// Nobody can know what a table was that is gone, where a statement on it was not understood: then it is
/// said, and no row is guessed.
fn compare_if_read(
    scene: &Scene<'_>,
    replica: &Replica,
    read: Result<(), String>,
    how: &str,
) -> bool {
    match read {
        Ok(()) => compare(scene, replica, how),
        Err(said) if said.contains(WAY_OUT) && may_be_unknown(scene, &said) => return false,
        Err(said) => panic!("{}, {how}: {said}", scene.context),
    }
    true
}

/// Whether a statement was not understood: a server says so, and of `decode` it is known which one.
fn may_be_unknown(scene: &Scene<'_>, said: &str) -> bool {
    let is_odd = |change: &Expected| change.sql.contains("INSERT_METHOD");
    said.contains("not understood") || scene.changes.iter().any(is_odd)
}

fn check(version: Version) {
    // Transactions of several MB in one statement.
    let server = Server::start(version, &["--max-allowed-packet=64M"]);
    run(&server, super::seed());
}

#[test]
fn mysql_97_sessions_leave_what_the_server_has() {
    check(Version::Mysql97);
}

#[test]
fn mysql_80_sessions_leave_what_the_server_has() {
    check(Version::Mysql80);
}

#[test]
fn mysql_57_sessions_leave_what_the_server_has() {
    check(Version::Mysql57);
}

#[test]
fn mysql_55_sessions_leave_what_the_server_has() {
    check(Version::Mysql55);
}

#[test]
fn mariadb_118_sessions_leave_what_the_server_has() {
    check(Version::Mariadb118);
}

#[test]
fn mariadb_114_sessions_leave_what_the_server_has() {
    check(Version::Mariadb114);
}

#[test]
fn mariadb_1011_sessions_leave_what_the_server_has() {
    check(Version::Mariadb1011);
}

#[test]
fn mariadb_102_sessions_leave_what_the_server_has() {
    check(Version::Mariadb102);
}
