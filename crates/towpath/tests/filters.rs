//! What `towpath serve` leaves out, and that positions move on all the same.

use std::process::Command;
use std::time::Duration;

use towpath_client::Client;
use towpath_testkit::{Server, Version, wait_until};

use crate::binary;
use crate::follower::Follower;
use crate::sequence::{Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(90);

/// The switches and field filters, on a table whose structure changes by statements that are left out.
fn left_out(version: Version) {
    let server = Server::start(version, &[]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a INT, b INT)");
    let url = server.url();
    let mut serving = Serving::start(&[
        "--source",
        &url,
        "--fields",
        "D.T:id/B/c",
        "--black-fields",
        "d.u:secret,d.t:id",
        "--no-ddl",
        "--no-query-dml",
        "--no-delete",
        "--from",
        "now",
    ]);
    serving.wait_until_running();
    // What a dropped column was nobody could tell afterwards.
    serving.says("structures at the start are known");
    server.run(
        "INSERT INTO d.t VALUES (1, 2, 3);
         ALTER TABLE d.t ADD COLUMN c INT FIRST, DROP COLUMN a;
         INSERT INTO d.t VALUES (5, 6, 7);
         DELETE FROM d.t WHERE id = 1;
         CREATE TABLE d.u (secret INT, open INT PRIMARY KEY);
         INSERT INTO d.u VALUES (8, 9);
         UPDATE d.u SET secret = 10;
         INSERT INTO d.t VALUES (11, 12, 13);",
    );
    let rows = serving.rows_until(".*\\..*", "c=11");
    assert_eq!(
        rows,
        [
            "INSERT d.t id=1 b=3",
            "INSERT d.t c=5 id=6 b=7",
            "INSERT d.u open=9",
            "UPDATE d.u open=9",
            "INSERT d.t c=11 id=12 b=13"
        ],
        "{version:?}"
    );
}

#[test]
fn columns_statements_and_deletes_are_left_out() {
    left_out(Version::Mysql97);
    left_out(Version::Mariadb1011);
}

/// F15: nothing of the subscribed tables is written any more, while files come and are purged.
fn purged_while_idle(version: Version, arguments: &[&str]) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.other (id INT)");
    let url = server.url();
    // With each heartbeat cursors are looked at.
    let mut all = vec!["--source", &url, "--from", "now", "--filter", "d\\.n"];
    all.extend(["--source-timeout", "2"]);
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    let place = format!("canal://{}/example", serving.towpath.address());
    let client = Client::builder().url(&place).unwrap().filter("d\\.n").build().unwrap();
    let follower = Follower::start(&client);
    write(&server, 1..=3);
    follower.wait_for_row("INSERT d.n () (id=3)");
    for _ in 0..3 {
        server.run("INSERT INTO d.other VALUES (1)");
        server.run(version.rotate_sql());
    }
    let last = server.binlog_end().0;
    wait_until(&format!("the cursor to reach {last}"), DEADLINE, || {
        serving.state("example/meta.dat").contains(&last).then_some(())
    });
    assert_eq!(follower.close().len(), 3);
    let ended = serving.end();
    server.purge_to(&last);
    write(&server, 4..=5);
    let mut serving = ended.start(&all);
    assert_eq!(serving.numbers_until(5), exactly(4..=5), "{version:?}");
}

#[test]
fn a_cursor_moves_on_while_all_tables_are_filtered() {
    purged_while_idle(Version::Mysql80, &[]);
    purged_while_idle(Version::Mysql97, &["--gtid", "--no-transaction-entries"]);
    purged_while_idle(Version::Mariadb114, &["--no-transaction-entries"]);
}

/// Without transaction entries, what was acknowledged does not come again.
#[test]
fn rows_without_transaction_entries_come_once() {
    let server = Server::start(Version::Mysql97, &[]);
    server.run(TABLE);
    let url = server.url();
    let arguments =
        ["--source", &url, "--from", "now", "--no-transaction-entries", "--no-dcl", "--no-ddl"];
    let mut serving = Serving::start(&arguments);
    serving.wait_until_running();
    for round in 0..3 {
        let (first, last) = (round * 20 + 1, round * 20 + 20);
        write(&server, first..=last);
        assert_eq!(serving.numbers_until(last), exactly(first..=last));
        serving = serving.restart(&arguments);
    }
}

/// A table that is gone, and of which nothing tells the structure, stops an instance or is left out.
#[test]
fn a_table_that_cannot_be_known_is_skipped_if_that_is_asked_for() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.gone (a INT, b INT)");
    server.run("FLUSH BINARY LOGS");
    let from = format!("{}:4", server.binlog_end().0);
    server.run("INSERT INTO d.gone VALUES (1, 2); INSERT INTO d.n VALUES (1);");
    server.run("DROP TABLE d.gone; INSERT INTO d.n VALUES (2);");
    let url = server.url();
    let arguments = ["--source", &url, "--from", &from];
    let mut serving = Serving::start(&arguments);
    let line = serving.says("d.gone has 2 columns in the binlog");
    assert!(line.contains("exclude the table with a filter"), "{line}");
    let skipping = ["--source", &url, "--from", &from, "--skip-table-errors"];
    let mut serving = Serving::start(&skipping);
    // Before there is a client, whose filter would leave the table out.
    let line = serving.says("its rows are left out from here on");
    assert!(line.contains("d.gone has 2 columns in the binlog"), "{line}");
    assert_eq!(serving.numbers_until(2), exactly(1..=2));
}

/// A filter that matches nothing that is there is told of, and shown so that it can be copied.
#[test]
fn a_doubled_backslash_is_told_of() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--filter", r"h\\..*", "--from", "now"]);
    let line = serving.says("warning: --filter");
    assert!(line.contains(r"`h\\..*` matches only names with a backslash in them"), "{line}");
    assert!(line.contains(r"was `h\..*` meant?"), "{line}");
    serving.wait_until_running();
    write(&server, 1..=1);
    let place = format!("canal://{}/example", serving.towpath.address());
    let client = Client::builder().url(&place).unwrap().filter(r"d\\.n,d\.n").build().unwrap();
    let follower = Follower::start(&client);
    let line = serving.says("a client's filter replaces");
    assert!(line.contains(r"filter=d\\.n,d\.n"), "{line}");
    let line = serving.says("a filter may match too little");
    assert!(line.contains(r"was `d\.n` meant?"), "{line}");
    write(&server, 2..=2);
    follower.wait_for_row("INSERT d.n () (id=2)");
    drop(follower.close());
}

/// `mysql://user:password@host:port/NAME`: for `serve` and for `tail`, alone and beside a filter.
#[test]
fn a_database_in_the_url_is_a_filter() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run("CREATE DATABASE d; CREATE DATABASE e; CREATE TABLE d.n (id INT PRIMARY KEY); CREATE TABLE d.m LIKE d.n");
    server.run("CREATE TABLE e.n LIKE d.n");
    let url = format!("{}/d", server.url());
    let mut serving = Serving::start(&["--source", &url, "--from", "now"]);
    serving.wait_until_running();
    let from = server.binlog_end();
    server
        .run("INSERT INTO e.n VALUES (1); INSERT INTO d.m VALUES (2); INSERT INTO d.n VALUES (3)");
    assert_eq!(serving.rows_until("", "id=3"), ["INSERT d.m id=2", "INSERT d.n id=3"]);

    let from = format!("{}:{}", from.0, from.1);
    let tail = |more: &[&str], limit: &str| {
        let common = ["tail", "--from", &from, "--no-query-dml", "--limit", limit];
        let output = Command::new(binary()).args(common).args(more).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (String::from_utf8(output.stdout).unwrap(), said, output.status.success())
    };
    let (shown, said, _) = tail(&[&url], "2");
    assert!(shown.contains("d.m  id=2") && shown.contains("d.n  id=3"), "{shown} {said}");
    assert!(said.contains("tables d\\..*"), "{said}");
    let (shown, said, _) = tail(&["--filter", "D\\.n", &url], "1");
    assert!(shown.contains("d.n  id=3"), "{shown} {said}");
    let standby = server.url() + "/e";
    for (more, names) in [
        (&["--filter", "e\\..*", &url][..], ["`d`", "--filter `e\\..*`"]),
        (&["--filter", "d\\.n|e\\.n", &url], ["`d`", "--filter `d\\.n|e\\.n`"]),
        (&["--standby", &standby, &url], ["`d`", "standby with `e`"]),
    ] {
        let (_, said, is_success) = tail(more, "1");
        assert!(!is_success);
        assert!(names.iter().all(|name| said.contains(name)), "{more:?}: {said}");
    }
}
