//! Binlog files on the command line: several of them, starts inside of them, and names that differ in case.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use towpath_testkit::{Fault, Proxy, Server, Version, free_port, wait_until};

use crate::binary;
use crate::sequence::Serving;

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

/// `INSERT d.t id=1 a=2` for each row of an output with `--json`.
fn rows(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| !row["after"].is_null() && row["schema"] != "mysql")
        .map(|row| {
            let values = row["after"].as_object().unwrap().iter();
            let values: Vec<String> =
                values.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
            let text = |name: &str| row[name].as_str().unwrap();
            format!("{} {}.{} {}", text("kind"), text("schema"), text("table"), values.join(" "))
        })
        .collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The binlog files of a server, in their order.
fn files(server: &Server) -> Vec<String> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(server.binlog_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("mysql-bin.0")
        })
        .collect();
    names.sort();
    names.iter().map(|path| path.display().to_string()).collect()
}

fn decode(files: &[&str]) -> Output {
    run(&[&["decode", "--json"], files].concat())
}

/// Structures, GTIDs and what is unfinished go on in the next file; not past a file that is missing.
fn several_files(version: Version) {
    let server = Server::start(version, &[]);
    let rotate = version.rotate_sql();
    server.run(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a INT); INSERT INTO d.t VALUES (1, 1);
         {rotate}; INSERT INTO d.t VALUES (2, 2); ALTER TABLE d.t CHANGE a b INT; {rotate};
         INSERT INTO d.t VALUES (3, 3); {rotate};"
    ));
    let all = files(&server);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let want = ["insert d.t id=1 a=1", "insert d.t id=2 a=2", "insert d.t id=3 b=3"];
    let output = decode(&all[..3]);
    assert_eq!(rows(&output), want, "{version:?} {}", said(&output));
    assert_eq!(said(&output), "");
    // As a folder, and to clients.
    let folder = TempDir::new().unwrap();
    let copy = |name: &str| {
        std::fs::copy(name, folder.path().join(Path::new(name).file_name().unwrap())).unwrap();
    };
    all.iter().take(3).for_each(|name| copy(name));
    let place = folder.path().display().to_string();
    assert_eq!(rows(&run(&["tail", "--json", &place])), want, "{version:?}");
    let mut serving = Serving::start(&["--source", &place, "--from", "earliest"]);
    let served = serving.rows_until("d\\.t", "id=3");
    assert_eq!(served, ["INSERT d.t id=1 a=1", "INSERT d.t id=2 a=2", "INSERT d.t id=3 b=3"]);
    // The file with the ALTER is missing, or what follows is no file behind it: nothing is known there.
    for order in [[all[0], all[2]], [all[0], all[0]]] {
        let output = decode(&order);
        let told = said(&output);
        assert!(told.contains("what is known of tables is forgotten"), "{version:?} {told}");
        let is_known = order[1] == all[0];
        assert_eq!(output.status.success(), is_known, "{version:?} {told}");
        assert!(is_known || told.contains("no structure of it is known"), "{told}");
    }
    std::fs::remove_file(folder.path().join(Path::new(all[1]).file_name().unwrap())).unwrap();
    let mut serving = Serving::start(&["--source", &place, "--from", "earliest"]);
    serving.says("what is known of tables is forgotten");
    serving.says("no structure of it is known");
}

#[test]
fn what_one_file_tells_counts_in_the_next() {
    several_files(Version::Mysql80);
    several_files(Version::Mysql57);
    several_files(Version::Mariadb1011);
}

/// Offsets of the events of a server's first file whose type begins so.
fn offsets(server: &Server, kind: &str) -> Vec<u64> {
    let events = server.query("SHOW BINLOG EVENTS IN 'mysql-bin.000001'");
    let is_it = |event: &&Vec<String>| event[2].starts_with(kind);
    events.iter().filter(is_it).map(|event| event[1].parse().unwrap()).collect()
}

/// A start between a table map and its rows, from the server, from files, and as `serve` has it.
fn start_inside(version: Version) {
    let server = Server::start(version, &[]);
    server.run(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a INT) ENGINE=InnoDB;
         BEGIN; INSERT INTO d.t VALUES (1, 1); COMMIT;
         BEGIN; INSERT INTO d.t VALUES (2, 2); INSERT INTO d.t VALUES (3, 3); COMMIT;
         INSERT INTO d.t VALUES (4, 4);",
    );
    let rows_events = offsets(&server, "Write_rows");
    assert_eq!(rows_events.len(), 4, "{version:?}");
    let from = format!("mysql-bin.000001:{}", rows_events[2]);
    let want = ["insert d.t id=2 a=2", "insert d.t id=3 a=3", "insert d.t id=4 a=4"];
    let url = server.url();
    let tail = ["tail", "--json", "--no-query-dml", "--from", &from];
    let tailed = run(&[&tail[..], &["--limit", "3", &url]].concat());
    assert_eq!(rows(&tailed), want, "{version:?}");
    let mut serving = Serving::start(&["--source", &url, "--from", &from]);
    assert_eq!(serving.rows_until("d\\.t", "id=4").len(), 3);
    // In files nothing is known of the table, unless it was made behind the start: so it is made there.
    server.run(
        "BEGIN; INSERT INTO d.t VALUES (5, 5); COMMIT; DROP TABLE d.t;
         CREATE TABLE d.t (id INT PRIMARY KEY, a INT) ENGINE=InnoDB; INSERT INTO d.t VALUES (6, 6);",
    );
    let place = server.binlog_folder().join("mysql-bin.000001").display().to_string();
    let from = format!("mysql-bin.000001:{}", offsets(&server, "Write_rows")[4]);
    let output = run(&["tail", "--json", "--from", &from, "--black-filter", "x\\..*", &place]);
    let told = said(&output);
    assert!(told.contains("this lies inside a transaction: going back to its begin"), "{told}");
    assert!(told.contains("no structure of it is known"), "{told}");
    let skipping = run(&["tail", "--json", "--skip-table-errors", "--from", &from, &place]);
    assert_eq!(rows(&skipping), ["insert d.t id=6 a=6"], "{version:?}");
}

/// The server goes away while the begin is searched, and comes back.
#[test]
fn the_begin_of_a_transaction_is_searched_until_it_is_found() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a INT) ENGINE=InnoDB;
         BEGIN; INSERT INTO d.t VALUES (1, 1); INSERT INTO d.t VALUES (2, 2); COMMIT;",
    );
    let from = format!("mysql-bin.000001:{}", offsets(&server, "Write_rows")[1]);
    let proxy = Proxy::start(server.port());
    let url = format!("mysql://canal:canal@{}", proxy.address());
    // The dump has begun before another connection is made.
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    let arguments = ["tail", "--json", "--no-query-dml", "--limit", "2", "--from", &from, &url];
    let mut tail = Command::new(binary());
    let tail = tail.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let accepted = |count: usize| {
        wait_until("a connection", Duration::from_secs(30), || {
            (proxy.accepted() >= count).then_some(())
        });
    };
    accepted(1);
    proxy.retarget(free_port());
    accepted(2);
    proxy.retarget(server.port());
    proxy.set(Fault::None);
    let output = tail.wait_with_output().unwrap();
    assert_eq!(rows(&output), ["insert d.t id=1 a=1", "insert d.t id=2 a=2"]);
}

#[test]
fn a_start_between_a_table_map_and_its_rows_goes_back_to_the_begin() {
    start_inside(Version::Mysql80);
    start_inside(Version::Mysql55);
    start_inside(Version::Mariadb1011);
}

/// Names that differ in case only, where that counts: each has its own structure, whatever is read.
fn two_tables(version: Version) {
    let server = Server::start(version, &[]);
    let rotate = version.rotate_sql();
    server.run(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a INT);
         CREATE TABLE d.T (id INT PRIMARY KEY, x INT);
         CREATE DATABASE D; CREATE TABLE D.t (id INT PRIMARY KEY, p INT);
         INSERT INTO d.t VALUES (1, 1); ALTER TABLE d.T CHANGE x y INT; INSERT INTO d.t VALUES (2, 2);
         INSERT INTO d.T VALUES (3, 3); DROP TABLE d.t; INSERT INTO d.T VALUES (4, 4);
         CREATE TABLE d.t LIKE D.t; INSERT INTO d.t VALUES (5, 5); ALTER TABLE d.t CHANGE p q INT;
         INSERT INTO D.t VALUES (6, 6); DROP DATABASE d; INSERT INTO D.t VALUES (7, 7);
         {rotate};
         CREATE DATABASE e; CREATE TABLE e.t (id INT PRIMARY KEY, a INT);
         CREATE TABLE e.T (id INT PRIMARY KEY, a INT); {rotate};
         DROP TABLE e.t; CREATE TABLE e.t (id INT PRIMARY KEY, a INT);
         ALTER TABLE e.T CHANGE a b INT; INSERT INTO e.t VALUES (8, 8); INSERT INTO D.t VALUES (9, 9);"
    ));
    let want = [
        "insert d.t id=1 a=1",
        "insert d.t id=2 a=2",
        "insert d.T id=3 y=3",
        "insert d.T id=4 y=4",
        "insert d.t id=5 p=5",
        "insert D.t id=6 p=6",
        "insert D.t id=7 p=7",
        "insert e.t id=8 a=8",
        "insert D.t id=9 p=9",
    ];
    let all = files(&server);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(rows(&decode(&all[..3])), want, "{version:?}");
    let tail =
        ["tail", "--json", "--from", "earliest", "--no-ddl", "--no-query-dml", "--limit", "9"];
    assert_eq!(rows(&run(&[&tail[..], &[&server.url()]].concat())), want, "{version:?}");
    // The last file alone: only the capital letter in another table's rows tells that `T` is not `t`.
    let output = decode(&all[2..3]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(r#""after":{"id":"8","a":"8"}"#), "{version:?} {text} {}", said(&output));
}

#[test]
fn names_that_differ_in_case_are_two_tables_where_case_counts() {
    two_tables(Version::Mysql80);
    two_tables(Version::Mysql55);
    two_tables(Version::Mariadb1011);
}

/// The same names are one table where case does not count.
fn one_table(version: Version) {
    let server = Server::start(version, &["--lower-case-table-names=1"]);
    server.run(
        "CREATE DATABASE D; CREATE TABLE D.T (id INT PRIMARY KEY, a INT); INSERT INTO d.t VALUES (1, 1);
         ALTER TABLE d.T CHANGE a b INT; INSERT INTO D.t VALUES (2, 2); ALTER TABLE D.t CHANGE b c INT;
         INSERT INTO d.T VALUES (3, 3); RENAME TABLE D.T TO D.U; INSERT INTO d.u VALUES (4, 4);
         CREATE TABLE d.v LIKE d.U; INSERT INTO D.V VALUES (5, 5); DROP TABLE D.u;
         CREATE TABLE d.U (id INT PRIMARY KEY, z INT); INSERT INTO d.u VALUES (6, 6);",
    );
    server.run(version.rotate_sql());
    let want = [
        "insert d.t id=1 a=1",
        "insert d.t id=2 b=2",
        "insert d.t id=3 c=3",
        "insert d.u id=4 c=4",
        "insert d.v id=5 c=5",
        "insert d.u id=6 z=6",
    ];
    let all = files(&server);
    assert_eq!(rows(&decode(&[&all[0]])), want, "{version:?}");
    let tail =
        ["tail", "--json", "--from", "earliest", "--no-ddl", "--no-query-dml", "--limit", "6"];
    assert_eq!(rows(&run(&[&tail[..], &[&server.url()]].concat())), want, "{version:?}");
    let mut serving = Serving::start(&["--source", &all[0], "--from", "earliest"]);
    assert_eq!(serving.rows_until("d\\..", "id=6").len(), 6, "{version:?}");
    // A damaged file behind it, which tells nothing of names, is told of when reading comes there.
    let folder = TempDir::new().unwrap();
    let damaged = folder.path().join("mysql-bin.000002");
    let mut bytes = std::fs::read(&all[1]).unwrap();
    // The highest byte of the first event's length.
    bytes[4 + 12] = 0xff;
    std::fs::write(&damaged, bytes).unwrap();
    let mut output = decode(&[&all[0], damaged.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(said(&output).contains("mysql-bin.000002:4: the event claims"), "{}", said(&output));
    output.status = std::process::ExitStatus::default();
    assert_eq!(rows(&output), want, "{version:?}");
}

#[test]
fn names_that_differ_in_case_are_one_table_where_case_does_not_count() {
    one_table(Version::Mysql57);
    one_table(Version::Mariadb1011);
}
