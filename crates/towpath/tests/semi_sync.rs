//! Sources whose commits wait for a replica (mysql-source 1.6).

use std::time::Duration;

use towpath_testkit::{Server, Version, wait_until};

use crate::sequence::{Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(90);

/// A source with semi-synchronous replication, and what its variables begin with.
fn source(version: Version) -> (Server, &'static str) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let prefix = if version.is_mariadb() {
        "rpl_semi_sync_master"
    } else {
        server.run("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'");
        "rpl_semi_sync_source"
    };
    // Longer than a test may take.
    server.run(&format!("SET GLOBAL {prefix}_timeout = 120000; SET GLOBAL {prefix}_enabled = 1"));
    (server, prefix)
}

fn status(server: &Server, prefix: &str, name: &str) -> String {
    let rows = server.query(&format!("SHOW GLOBAL STATUS LIKE '{prefix}_{name}'"));
    rows[0][1].clone()
}

fn count(server: &Server, prefix: &str, name: &str) -> u64 {
    status(server, prefix, name).parse().unwrap()
}

/// No commit waits for a plain reader.
fn plain(version: Version) {
    let (server, prefix) = source(version);
    let nobody = if version.is_mariadb() { "slave" } else { "replica" };
    server.run(&format!("SET GLOBAL {prefix}_wait_no_{nobody} = 0"));
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--from", "now"]);
    serving.wait_until_running();
    write(&server, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    assert_eq!(count(&server, prefix, "clients"), 0);
    assert_eq!(count(&server, prefix, "yes_tx"), 0);
}

#[test]
fn a_plain_reader_of_a_semi_synchronous_source_holds_up_nothing() {
    plain(Version::Mysql97);
    plain(Version::Mariadb1011);
}

/// Every commit is acknowledged, those that come in several packets or compressed among them.
fn waited_for(version: Version, arguments: &[&str]) {
    let (server, prefix) = source(version);
    let url = server.url();
    let mut all = vec!["--source", &url, "--from", "now", "--semi-sync"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    let wait_for_reader = || {
        wait_until("the source to know the reader", DEADLINE, || {
            (count(&server, prefix, "clients") == 1).then_some(())
        });
    };
    wait_for_reader();
    let missed = count(&server, prefix, "no_tx");
    write(&server, 1..=20);
    server.run("CREATE TABLE d.long (b LONGBLOB)");
    server.run("SET GLOBAL max_allowed_packet = 64 << 20");
    server.run("INSERT INTO d.long VALUES (REPEAT('x', 17000000))");
    if version == Version::Mysql97 {
        server.run("SET binlog_transaction_compression = ON; INSERT INTO d.n VALUES (21), (22);");
    } else {
        write(&server, 21..=22);
    }
    assert_eq!(serving.rows_until("d\\.n", "d.n id=22").len(), 23);
    assert!(count(&server, prefix, "yes_tx") >= 22, "{version:?}");
    assert_eq!(count(&server, prefix, "no_tx"), missed, "{version:?}");
    assert_eq!(status(&server, prefix, "status"), "ON", "{version:?}");

    // Reading goes on at the cursor, and is waited for again.
    let mut serving = serving.restart(&all);
    serving.wait_until_running();
    wait_for_reader();
    write(&server, 23..=25);
    assert_eq!(serving.numbers_until(25), exactly(23..=25));
    assert_eq!(count(&server, prefix, "no_tx"), missed, "{version:?}");
}

#[test]
fn a_semi_synchronous_reader_is_waited_for() {
    waited_for(Version::Mysql97, &["--gtid"]);
    waited_for(Version::Mariadb1011, &[]);
}

#[test]
fn a_source_that_waits_for_nobody_is_read_all_the_same() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--from", "now", "--semi-sync"]);
    serving.wait_until_running();
    write(&server, 1..=5);
    assert_eq!(serving.numbers_until(5), exactly(1..=5));
    serving.says("the source is not semi-synchronous");
}
