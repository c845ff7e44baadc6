//! Rows that a source wrote to its binlog and rolled back, in transactions too long to be held until their
//! end: neither a client of `towpath serve` nor `towpath decode` is given any of them.
//!
//! Short ones are the business of the differential test.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_client::{Session, SessionOptions};
use towpath_protocol::entry::Entry;
use towpath_testkit::{Server, Towpath, Version};

use crate::binary;

/// Some 10 MB between a savepoint and the rollback to it, and as much in a transaction that is rolled back.
/// A change of a table without transactions, or of a temporary table, keeps what is rolled back in the binlog.
fn script() -> String {
    let double = "INSERT INTO t (v) SELECT v FROM t;\n";
    [
        "CREATE DATABASE d; USE d; SET SESSION binlog_format = ROW;\n\
         CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB;\n\
         CREATE TABLE m (id INT) ENGINE=MyISAM;\n\
         INSERT INTO t (v) VALUES (REPEAT('x', 200)), (REPEAT('y', 200));\n\
         START TRANSACTION;\n",
        &double.repeat(8),
        "SAVEPOINT `a``B`;\n",
        &double.repeat(6),
        "INSERT INTO m VALUES (1); ROLLBACK WORK TO SAVEPOINT `A``b`;\n\
         INSERT INTO t (v) VALUES ('behind'); COMMIT;\n\
         START TRANSACTION;\n",
        &double.repeat(6),
        "UPDATE t SET v = 'never'; CREATE TEMPORARY TABLE s (x INT); DROP TEMPORARY TABLE s; ROLLBACK;\n\
         DELETE FROM t WHERE id = 1; INSERT INTO t (v) VALUES ('last');\n",
    ]
    .concat()
}

/// What an entry does to `t`: rows come, or go. True when the last one has come.
fn apply(bytes: &[u8], ids: &mut BTreeSet<i64>) -> bool {
    let entry = Entry::parse(bytes).unwrap();
    let Some(change) = entry.row_change().unwrap() else { return false };
    let mut is_last = false;
    for row in change.rows.iter().filter(|_| entry.header.table_name == Some("t")) {
        let column = |of: &[towpath_protocol::entry::Column<'_>], name: &str| {
            of.iter()
                .find(|column| column.name == name)
                .and_then(|column| column.value.map(str::to_owned))
        };
        if let Some(id) = column(&row.before, "id") {
            assert!(ids.remove(&id.parse().unwrap()), "{id} goes, and never was");
        }
        if let Some(id) = column(&row.after, "id") {
            assert!(ids.insert(id.parse().unwrap()), "{id} comes a second time");
        }
        is_last = column(&row.after, "v").as_deref() == Some("last");
    }
    is_last
}

/// The keys that a client of `towpath serve` is left with.
fn served(server: &Server) -> BTreeSet<i64> {
    let state = TempDir::new().unwrap();
    let (url, state) = (server.url(), state.path().to_str().unwrap());
    let arguments = ["--source", &url, "--from", "earliest", "--state", state];
    let mut towpath = Towpath::serve(binary(), &arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client =
            Session::connect(&towpath.address(), SessionOptions::default()).await.unwrap();
        client.subscribe("d\\.t").await.unwrap();
        let (mut ids, end) = (BTreeSet::new(), Instant::now() + Duration::from_secs(60));
        let mut is_over = false;
        while !is_over {
            assert!(
                Instant::now() < end,
                "the last row does not come: {}",
                towpath.program().stderr()
            );
            let batch = client.get(1000, Duration::from_secs(1)).await.unwrap();
            if batch.is_nothing() {
                continue;
            }
            for entry in &batch.entries {
                is_over |= apply(entry, &mut ids);
            }
            client.ack(batch.id).await.unwrap();
        }
        client.close(Duration::from_secs(1)).await;
        ids
    })
}

/// The same from the file.
fn decoded(server: &Server) -> BTreeSet<i64> {
    let folder = TempDir::new().unwrap();
    let entries = folder.path().join("entries");
    let file = server.binlog_folder().join("mysql-bin.000001");
    let output = Command::new(binary())
        .arg("decode")
        .arg("--entries")
        .args([&entries, &file])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(entries).unwrap();
    let (mut rest, mut ids) = (bytes.as_slice(), BTreeSet::new());
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap();
        apply(&tail[..len], &mut ids);
        rest = &tail[len..];
    }
    ids
}

fn check(version: Version) {
    let server = Server::start(version, &[]);
    server.run(&script());
    let theirs = server.query("SELECT id FROM d.t ORDER BY id");
    let theirs: BTreeSet<i64> = theirs.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(theirs.len() > 500 && !theirs.contains(&1), "{version:?}: {} rows", theirs.len());
    assert_eq!(served(&server), theirs, "{version:?}, served");
    assert_eq!(decoded(&server), theirs, "{version:?}, decoded");
}

#[test]
fn what_mysql_55_rolled_back_in_a_long_transaction_does_not_go_out() {
    check(Version::Mysql55);
}

#[test]
fn what_mysql_57_rolled_back_in_a_long_transaction_does_not_go_out() {
    check(Version::Mysql57);
}

#[test]
fn what_mysql_80_rolled_back_in_a_long_transaction_does_not_go_out() {
    check(Version::Mysql80);
}

#[test]
fn what_mariadb_102_rolled_back_in_a_long_transaction_does_not_go_out() {
    check(Version::Mariadb102);
}

#[test]
fn what_mariadb_118_rolled_back_in_a_long_transaction_does_not_go_out() {
    check(Version::Mariadb118);
}
