//! Random structures, DDL and DML on real servers; the entries that a client gets, replayed into
//! rows, equal what `SELECT *` says, at pauses and at the end. T-PARSE-3; F5, F19, F20 and F24 are among
//! the settings that change at random.
//!
//! Every run has the same numbers, so that a change is refused for what it did; `TOWPATH_SEED` gives others (a
//! failure prints its seed), `TOWPATH_DIFFERENTIAL_S` the time for each server in seconds, and
//! `scripts/explore` tries seeds that nobody tried. `TOWPATH_WITHOUT` leaves kinds of statements out, to find what a failure
//! is about: `minimal`, `long`, `inherited`, `temporary`, `modes`, `transactions`, `prepared`, `old`, `kills`.

mod generate;
mod kind;
mod replay;
mod sessions;

use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_client::{Session, SessionOptions};
use towpath_testkit::{Feature, Random, Server, Towpath, Version, setting};

use crate::binary;
use generate::Generator;
use kind::Class;
use replay::Replica;

/// Without `TOWPATH_SEED`.
const DEFAULT_SEED: u64 = 20_261_130;
/// Time for what was written to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Settings that hold for the statements until the next pause.
fn switches(version: Version, random: &mut Random) -> (String, String) {
    let mut global = String::new();
    let mut session = String::new();
    let on = |random: &mut Random| random.pick(&["ON", "OFF"]);
    if version.has(Feature::RowImage) {
        let image = random.pick(&["FULL", "MINIMAL", "NOBLOB"]);
        session.push_str(&format!("SET SESSION binlog_row_image={image};\n"));
    }
    if version.has(Feature::RowMetadata) {
        let metadata = random.pick(&["FULL", "MINIMAL"]);
        global.push_str(&format!("SET GLOBAL binlog_row_metadata={metadata};\n"));
    }
    if version.has(Feature::PartialJson) {
        let options = random.pick(&["", "PARTIAL_JSON"]);
        session.push_str(&format!("SET SESSION binlog_row_value_options='{options}';\n"));
    }
    if version.has(Feature::TransactionCompression) {
        let on = on(random);
        session.push_str(&format!("SET SESSION binlog_transaction_compression={on};\n"));
    }
    if version.has(Feature::EventCompression) {
        let on = on(random);
        global.push_str(&format!(
            "SET GLOBAL log_bin_compress={on}; SET GLOBAL log_bin_compress_min_len=10;\n"
        ));
    }
    if version.has(Feature::Checksum) && random.one_in(3) {
        let checksum = random.pick(&["CRC32", "NONE"]);
        global.push_str(&format!("SET GLOBAL binlog_checksum={checksum};\n"));
    }
    if random.one_in(3) {
        global.push_str(&format!("{};\n", version.rotate_sql()));
    }
    (global, session)
}

/// The rows of every table as the server has them now, in the form that [`Replica`] gives, too.
fn compare(server: &Server, generator: &Generator, replica: &Replica, context: &str) {
    let tables: Vec<&str> = generator.tables().iter().map(|t| t.name.as_str()).collect();
    let mut ours: Vec<&str> = replica.table_names().collect();
    ours.retain(|name| *name != "marker");
    let mut expected = tables.clone();
    expected.sort_unstable();
    assert_eq!(ours, expected, "{context}: tables");
    for table in generator.tables() {
        let columns: Vec<String> =
            table.columns.iter().map(|c| c.class().select(&c.name)).collect();
        let sql = format!("SELECT {} FROM d.{} ORDER BY id", columns.join(","), table.name);
        let theirs = server.query(&sql);
        let ours = replica.rows(&table.name);
        assert_eq!(theirs.len(), ours.len(), "{context}: count of rows of {}", table.name);
        for (theirs, row) in theirs.iter().zip(ours) {
            for (column, theirs) in table.columns.iter().zip(theirs) {
                let class = column.class();
                let at =
                    format!("{context}: d.{}.{} of {}", table.name, column.name, theirs[0..].len());
                let value = row.get(&column.name);
                let value = value.unwrap_or_else(|| panic!("{at}: no such column in {row:?}"));
                let ours = match (class, value) {
                    (_, None) => "NULL".to_owned(),
                    (Class::Json, Some(text)) if replay::is_call(text) => {
                        let unknown = format!("({},", column.name);
                        assert!(!text.contains(&unknown), "{at}: of what document? {text}");
                        let call = format!("SELECT HEX(CONVERT({text} USING utf8mb4))");
                        class.of_server(&server.query(&call)[0][0])
                    }
                    (_, Some(text)) => class.of_entry(text),
                };
                assert_eq!(class.of_server(theirs), ours, "{at}: id {:?}", row.get("id"));
            }
        }
    }
}

/// Whether a kind of statements is to be left out.
fn without(kind: &str) -> bool {
    let left_out = std::env::var_os("TOWPATH_WITHOUT").unwrap_or_default();
    left_out.to_string_lossy().split(',').any(|name| name == kind)
}

fn seed() -> u64 {
    setting("TOWPATH_SEED").unwrap_or(DEFAULT_SEED)
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
enum Length {
    Rounds(i64),
    Until(Instant),
}

impl Length {
    /// As long as is asked for; else so many rounds, which are the same on any machine.
    fn asked_or(rounds: i64) -> Self {
        setting("TOWPATH_DIFFERENTIAL_S").map_or(Self::Rounds(rounds), |seconds| {
            Self::Until(Instant::now() + Duration::from_secs(seconds))
        })
    }

    /// Whether there is another round behind so many.
    fn goes_on(self, rounds: i64) -> bool {
        match self {
            Self::Rounds(all) => rounds < all,
            Self::Until(end) => rounds < 3 || Instant::now() < end,
        }
    }
}

fn check(version: Version) {
    let seed = seed();
    let mut random = Random::new(seed);
    let server = Server::start(version, &[]);
    let state = TempDir::new().unwrap();
    let (url, state) = (server.url(), state.path().to_str().unwrap());
    let arguments =
        ["--source", &url, "--from", "earliest", "--state", state, "--filter", "d\\..*"];
    let mut towpath = Towpath::serve(binary(), &arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = runtime.block_on(async {
        let mut client =
            Session::connect(&towpath.address(), SessionOptions::default()).await.unwrap();
        client.subscribe("").await.unwrap();
        client
    });
    let mut generator = Generator::new(version);
    let mut replica = Replica::default();
    server.run("CREATE DATABASE d DEFAULT CHARACTER SET utf8mb4; CREATE TABLE d.marker (id INT PRIMARY KEY);");
    generator.expect_marker_table();
    let length = Length::asked_or(8);
    let mut round = 0;
    while length.goes_on(round) {
        round += 1;
        let (global, session) = switches(version, &mut random);
        let statements = generator.statements(&mut random);
        let marker = format!("INSERT INTO d.marker VALUES ({round});\n");
        let context = format!("{version:?}, TOWPATH_SEED={seed}, round {round}");
        server.run(&global);
        server.run(&format!("{session}USE d;\n{statements}{marker}"));
        let deadline = Instant::now() + ARRIVAL;
        while !replica.has("marker", round) {
            assert!(Instant::now() < deadline, "{context}: the marker does not come");
            let batch = runtime.block_on(client.get(1000, Duration::from_secs(1)));
            let batch = batch.unwrap_or_else(|error| {
                panic!("{context}: {error}\n{}", towpath.program().stderr());
            });
            if batch.is_nothing() {
                continue;
            }
            for entry in &batch.entries {
                replica.apply(entry, &mut generator.changes, &context);
            }
            runtime.block_on(client.ack(batch.id)).unwrap();
        }
        assert!(generator.changes.is_empty(), "{context}: not delivered: {:?}", generator.changes);
        compare(&server, &generator, &replica, &context);
    }
    assert!(replica.changed > 0, "{version:?}, TOWPATH_SEED={seed}: no row was changed");
    runtime.block_on(client.close(Duration::from_secs(1)));
}

#[test]
fn mysql_97_rows_are_those_of_the_server() {
    check(Version::Mysql97);
}

#[test]
fn mysql_80_rows_are_those_of_the_server() {
    check(Version::Mysql80);
}

#[test]
fn mysql_57_rows_are_those_of_the_server() {
    check(Version::Mysql57);
}

#[test]
fn mysql_55_rows_are_those_of_the_server() {
    check(Version::Mysql55);
}

#[test]
fn mariadb_118_rows_are_those_of_the_server() {
    check(Version::Mariadb118);
}

#[test]
fn mariadb_114_rows_are_those_of_the_server() {
    check(Version::Mariadb114);
}

#[test]
fn mariadb_1011_rows_are_those_of_the_server() {
    check(Version::Mariadb1011);
}

#[test]
fn mariadb_102_rows_are_those_of_the_server() {
    check(Version::Mariadb102);
}
