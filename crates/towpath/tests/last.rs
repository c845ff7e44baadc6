//! What is acknowledged does not come again, whatever stands last in the binlog.

use towpath_protocol::entry::{Entry, EntryType};
use towpath_testkit::{Server, Version, ZooKeeper};

use crate::sequence::{Serving, TABLE};
use crate::ways_out::with_gtid;

/// An entry by its kind, and what it says.
fn shown(entry: &[u8]) -> Vec<String> {
    let entry = Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    match entry.entry_type {
        EntryType::TransactionBegin => vec!["BEGIN".to_owned()],
        EntryType::TransactionEnd => vec!["END".to_owned()],
        _ if change.rows.is_empty() => vec![change.sql.to_owned()],
        EntryType::RowData
        | EntryType::Heartbeat
        | EntryType::GtidLog
        | EntryType::Unrecognized(_) => {
            let rows = change.rows.iter();
            let value = rows.map(|row| row.after[0].value.unwrap_or("NULL"));
            value.map(|value| format!("{} {value}", change.event_type.name())).collect()
        }
    }
}

/// Statements, what the last entry of them has in it, and whether a server knows them.
type Case = (&'static str, &'static str, fn(Version) -> bool);

const fn always(_: Version) -> bool {
    true
}

/// XA transactions are in the binlog from their PREPARE on.
fn writes_prepared(version: Version) -> bool {
    !matches!(version, Version::Mysql55 | Version::Mariadb102)
}

const CASES: &[Case] = &[
    ("CREATE DATABASE f; CREATE TABLE f.t (a INT)", "CREATE TABLE f.t", always),
    ("CREATE DATABASE g", "CREATE DATABASE g", always),
    ("TRUNCATE TABLE f.t", "TRUNCATE", always),
    ("RENAME TABLE f.t TO f.u", "RENAME", always),
    ("CREATE TABLE d.m (a INT) ENGINE=MyISAM; INSERT INTO d.m VALUES (7)", "END", always),
    ("CREATE USER u@localhost; GRANT SELECT ON f.* TO u@localhost", "", always),
    ("CREATE TABLE f.c SELECT id FROM d.n", "", always),
    (
        "BEGIN; INSERT INTO d.n VALUES (-1); SAVEPOINT a; INSERT INTO d.n VALUES (-2); ROLLBACK TO a; COMMIT",
        "END",
        always,
    ),
    ("BEGIN; INSERT INTO d.m VALUES (8); INSERT INTO d.n VALUES (-3); ROLLBACK", "", always),
    (
        "XA START 'x'; INSERT INTO d.n VALUES (-4); XA END 'x'; XA PREPARE 'x'",
        "END",
        writes_prepared,
    ),
    ("XA COMMIT 'x'", "XA COMMIT", writes_prepared),
    (
        "XA START 'y'; INSERT INTO d.n VALUES (-5); XA END 'y'; XA PREPARE 'y'; XA ROLLBACK 'y'",
        "XA ROLLBACK",
        writes_prepared,
    ),
    ("DROP TABLE f.u", "DROP TABLE", always),
    ("DROP DATABASE f", "DROP DATABASE", always),
];

fn each_last(version: Version, server_arguments: &[&str], arguments: &[&str]) {
    let server = Server::start(version, server_arguments);
    server.run(TABLE);
    server.run("INSERT INTO d.n VALUES (0)");
    let url = server.url();
    let mut all = vec!["--source", &url, "--from", "now"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    let mut faults = Vec::new();
    let cases = CASES.iter().filter(|(.., is_known)| is_known(version));
    for (number, (sql, needle, _)) in (1..).zip(cases) {
        // With GTIDs some are refused.
        server.run_with_faults(&format!("{sql};"));
        if !needle.is_empty() {
            let is_last = |entry: &String| entry.contains(needle);
            let _got = serving.until((".*\\..*", 1000), shown, is_last, needle);
        }
        serving = serving.restart(&all);
        // In a cluster others could have it.
        serving.wait_until_running();
        let insert = format!("INSERT INTO d.n VALUES ({number})");
        server.run(&insert);
        let marker = format!("INSERT {number}");
        let got = serving.until((".*\\..*", 1000), shown, |entry| *entry == marker, &marker);
        // A MariaDB tells the statement of rows beside them.
        let own = ["BEGIN", "END", &marker, &insert];
        let again = got.iter().any(|entry| !own.contains(&entry.as_str()));
        if again && !needle.is_empty() {
            faults.push(format!("{sql}: {got:?}"));
        }
    }
    assert!(faults.is_empty(), "{version:?} {arguments:?}:\n{}", faults.join("\n"));
}

#[test]
fn nothing_acknowledged_comes_again_by_position() {
    for version in Version::ALL {
        each_last(version, &[], &[]);
    }
}

/// Where the cursors lie in ZooKeeper.
#[test]
fn nothing_acknowledged_comes_again_in_a_cluster() {
    for (version, by) in [(Version::Mysql97, &["--gtid"][..]), (Version::Mariadb114, &[])] {
        let zookeeper = ZooKeeper::start();
        let zk = zookeeper.address();
        let cluster = ["--zk", &zk, "--advertise", "127.0.0.1:1", "--session-timeout", "4"];
        each_last(version, &[], &[&cluster[..], by].concat());
    }
}

#[test]
fn nothing_acknowledged_comes_again_by_gtid() {
    for (version, arguments) in with_gtid() {
        each_last(version, arguments, &["--gtid"]);
    }
}
