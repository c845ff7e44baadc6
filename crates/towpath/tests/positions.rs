//! Where reading can begin, and what is said where it cannot.

use std::time::Duration;

use tempfile::TempDir;
use towpath_testkit::{Server, Towpath, Version, wait_until};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(20);

/// The numbers up to `last` that come from a start.
fn from(server: &Server, arguments: &[&str], last: i64) -> Vec<i64> {
    let url = server.url();
    let mut all = vec!["--source", &url];
    all.extend(arguments);
    Serving::start(&all).numbers_until(last)
}

/// Runs `towpath serve` until it ends by itself; what it says.
fn refusal(server: &Server, arguments: &[&str]) -> String {
    let (url, state) = (server.url(), TempDir::new().unwrap());
    let mut all = vec!["--source", &url, "--state", state.path().to_str().unwrap()];
    all.extend(arguments);
    let ended = Towpath::try_serve(binary(), &all).wait(DEADLINE);
    assert!(!ended.status.success(), "{arguments:?}");
    ended.stderr
}

fn says(said: &str, needles: &[&str]) {
    for needle in needles {
        assert!(said.contains(needle), "no `{needle}` in {said}");
    }
}

fn executed(server: &Server) -> String {
    let variable = if server.version().is_mariadb() { "gtid_binlog_pos" } else { "gtid_executed" };
    server.query(&format!("SELECT @@global.{variable}"))[0][0].replace("\\n", "")
}

/// T-POS-2, T-POS-3, T-POS-4: a file of numbers 1 to 10 is purged, 11 to 20 and 21 to 30 are left.
fn by_gtid(version: Version) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let rotate = format!("{};", version.rotate_sql());
    write(&server, 1..=5);
    let early = executed(&server);
    write(&server, 6..=10);
    server.run(&rotate);
    let second = server.binlog_end().0;
    write(&server, 11..=15);
    let (middle, place) = (executed(&server), server.binlog_end());
    write(&server, 16..=20);
    server.run(&rotate);
    write(&server, 21..=30);
    server.purge_to(&second);

    assert_eq!(from(&server, &["--gtid", "--from", "earliest"], 30), exactly(11..=30));
    let middle = format!("gtid:{middle}");
    assert_eq!(from(&server, &["--from", &middle], 30), exactly(16..=30));
    let place = format!("{}:{}", place.0, place.1);
    assert_eq!(from(&server, &["--gtid", "--from", &place], 30), exactly(16..=30));
    assert_eq!(from(&server, &["--from", &place], 30), exactly(16..=30));
    let third = server.binlog_end().0;
    let begin = format!("{third}:4");
    assert_eq!(from(&server, &["--gtid", "--from", &begin], 30), exactly(21..=30));
    assert_eq!(from(&server, &["--from", "earliest"], 30), exactly(11..=30));

    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--gtid", "--from", "now"]);
    serving.wait_until_running();
    write(&server, 31..=33);
    assert_eq!(serving.numbers_until(33), exactly(31..=33));
    // The cursor holds a set.
    write(&server, 34..=36);
    let mut serving = serving.restart(&["--source", &url]);
    assert_eq!(serving.numbers_until(36), exactly(34..=36));

    let said = refusal(&server, &["--from", &format!("gtid:{early}")]);
    let kept = format!("the source keeps {second}:4 and later; it has purged ");
    says(&said, &["position gtid:", &kept, "--from earliest", "--from now"]);
    let said = refusal(&server, &["--from", "gtid:"]);
    says(&said, &["position gtid:an empty set", &kept, "--from earliest", "--from now"]);
    let beyond =
        if version.is_mariadb() { "0-1-9999" } else { "3e11fa47-71ca-11e1-9e33-c80aa9429562:7" };
    let said = refusal(&server, &["--from", &format!("gtid:{beyond}")]);
    says(&said, &["the source has less than was read before: it lacks", beyond]);
}

#[test]
fn mysql_is_read_from_any_gtid_set_that_it_keeps() {
    by_gtid(Version::Mysql97);
}

#[test]
fn mariadb_is_read_from_any_gtid_set_that_it_keeps() {
    by_gtid(Version::Mariadb114);
}

/// F4, T-PARSE-5: sets with tags are read, stored, sent and compared.
#[test]
fn tags_are_part_of_a_set() {
    let server = Server::start(Version::Mysql97, &[]);
    server.run(TABLE);
    let tagged = |n: i64| {
        server.run(&format!(
            "SET gtid_next='AUTOMATIC:blue'; INSERT INTO d.n VALUES ({n}); \
             SET gtid_next='AUTOMATIC'; INSERT INTO d.n VALUES ({});",
            n + 1
        ));
    };
    tagged(1);
    let url = server.url();
    let arguments = ["--source", &url, "--gtid", "--from", "now"];
    let mut serving = Serving::start(&arguments);
    serving.wait_until_running();
    tagged(3);
    assert_eq!(serving.numbers_until(4), exactly(3..=4));
    tagged(5);
    let mut serving = serving.restart(&arguments);
    assert_eq!(serving.numbers_until(6), exactly(5..=6));
    assert!(executed(&server).contains(":blue:1-3"), "{}", executed(&server));
    let set = executed(&server).replace(":blue:1-3", ":blue:1-2");
    assert_eq!(from(&server, &["--from", &format!("gtid:{set}")], 5), exactly(5..=5));
}

/// F25: each domain of MariaDB goes on by itself.
#[test]
fn domains_are_parts_of_a_set() {
    let server = Server::start(Version::Mariadb118, &[]);
    server.run(TABLE);
    let both = |n: i64| {
        server.run(&format!(
            "SET gtid_domain_id=7; INSERT INTO d.n VALUES ({n}); \
             SET gtid_domain_id=3; INSERT INTO d.n VALUES ({});",
            n + 1
        ));
    };
    both(1);
    let url = server.url();
    let arguments = ["--source", &url, "--gtid", "--from", "now"];
    let mut serving = Serving::start(&arguments);
    serving.wait_until_running();
    both(3);
    assert_eq!(serving.numbers_until(4), exactly(3..=4));
    server.run("FLUSH BINARY LOGS");
    both(5);
    let mut serving = serving.restart(&arguments);
    assert_eq!(serving.numbers_until(6), exactly(5..=6));
    // One domain is behind the other.
    let set = executed(&server).replace("7-1-3", "7-1-2");
    assert_eq!(from(&server, &["--from", &format!("gtid:{set}")], 5), exactly(5..=5));
}

/// F29: without gtid_mode=ON a set is no position, while files and offsets are.
#[test]
fn anonymous_transactions_are_followed_by_position_only() {
    let server = Server::start(Version::Mysql80, &["--enforce-gtid-consistency=ON"]);
    server.run(TABLE);
    let said = refusal(&server, &["--gtid"]);
    says(&said, &["gtid_mode is OFF on the source", "set gtid_mode = ON"]);
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--from", "now"]);
    serving.wait_until_running();
    write(&server, 1..=2);
    server.run("SET GLOBAL gtid_mode=OFF_PERMISSIVE");
    write(&server, 3..=4);
    server.run("SET GLOBAL gtid_mode=ON_PERMISSIVE");
    write(&server, 5..=6);
    says(&refusal(&server, &["--gtid"]), &["gtid_mode is ON_PERMISSIVE on the source"]);
    assert_eq!(serving.numbers_until(6), exactly(1..=6));
    server.run("SET GLOBAL gtid_mode=ON");
    write(&server, 7..=8);
    let mut serving = serving.restart(&["--source", &url]);
    assert_eq!(serving.numbers_until(8), exactly(7..=8));
    let said = refusal(&server, &["--gtid", "--from", "earliest"]);
    says(&said, &["the oldest transactions have no GTID (mysql-bin.000001)", "without --gtid"]);
}

/// Several files are searched by when they were begun, then one of them event by event.
#[test]
fn a_time_is_found_in_the_right_file() {
    for version in [Version::Mysql55, Version::Mariadb114] {
        let server = Server::start(version, &[]);
        let clock = || server.query("SELECT UNIX_TIMESTAMP()")[0][0].parse::<u64>().unwrap();
        let tick = || {
            let now = clock();
            wait_until("the next second", DEADLINE, || (clock() > now).then(clock))
        };
        server.run(TABLE);
        let mut begins = Vec::new();
        for file in 0..3 {
            write(&server, file * 10 + 1..=file * 10 + 5);
            begins.push(tick());
            write(&server, file * 10 + 6..=file * 10 + 10);
            server.run(version.rotate_sql());
        }
        for (index, begin) in begins.iter().enumerate() {
            let first = i64::try_from(index).unwrap() * 10 + 6;
            let start = format!("time:{begin}");
            assert_eq!(from(&server, &["--from", &start], 30), exactly(first..=30), "{version:?}");
        }
        let said = refusal(&server, &["--from", "time:1000000000"]);
        says(&said, &["position time:1000000000 is not there", "all of it younger"]);
    }
}

/// A source is reset while Towpath is down, and its cursors are removed: what the history knows of the
/// files of the same names is not believed.
fn reset_with_a_history(version: Version, arguments: &[&str]) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY, old INT)");
    let clock = || server.query("SELECT UNIX_TIMESTAMP()")[0][0].clone();
    // Its statement is not in the binlog any more.
    server.run(version.reset_sql());
    let url = server.url();
    let mut all = vec!["--source", &url, "--from", "earliest"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    write(&server, 1..=5);
    assert_eq!(serving.numbers_until(5), exactly(1..=5));
    let ended = serving.end();
    let begun = clock();
    wait_until("the next second", DEADLINE, || (clock() != begun).then_some(()));
    server.run("ALTER TABLE d.t CHANGE COLUMN old young INT");
    server.run(version.reset_sql());
    server.run("INSERT INTO d.t VALUES (1, 2)");
    ended.forget_cursors();
    let mut serving = ended.start(&all);
    assert_eq!(serving.rows_until("d\\.t", "id=1"), ["INSERT d.t id=1 young=2"], "{version:?}");
    serving.says("the source's binlog was begun anew since");
}

#[test]
fn a_history_is_made_anew_after_a_reset() {
    reset_with_a_history(Version::Mysql80, &[]);
    reset_with_a_history(Version::Mysql97, &["--gtid"]);
    reset_with_a_history(Version::Mariadb118, &[]);
}

/// F18, T-POS-6: a start at the second rows event of a transaction, as a cursor of a Canal server may
/// name it, goes back to the begin of the transaction.
#[test]
fn a_start_inside_a_transaction_begins_with_the_transaction() {
    for version in [Version::Mysql80, Version::Mysql55, Version::Mariadb114] {
        let server = Server::start(version, &["--binlog-row-event-max-size=1024"]);
        server.run(TABLE);
        write(&server, 1..=3);
        let values: Vec<String> = (4..=999).map(|n| format!("({n})")).collect();
        server.run(&format!("BEGIN; INSERT INTO d.n VALUES {}; COMMIT;", values.join(",")));
        write(&server, 1000..=1002);
        let (file, _) = server.binlog_end();
        let events = server.query(&format!("SHOW BINLOG EVENTS IN '{file}'"));
        let is_rows = |row: &&Vec<String>| row[2].starts_with("Write_rows");
        let inside = &events.iter().filter(is_rows).nth(5).unwrap()[1];
        let place = format!("{file}:{inside}");
        let numbers = from(&server, &["--from", &place], 1002);
        assert_eq!(numbers, exactly(4..=1002), "{version:?}");
    }
}

/// T-POS-7: a set that is longer than what SHOW VARIABLES tells.
#[test]
fn a_long_set_is_read_whole() {
    let server = Server::start(Version::Mysql97, &[]);
    server.run(TABLE);
    let foreign =
        |n: u32| format!("SET gtid_next='{n:08x}-0000-0000-0000-000000000001:1'; BEGIN; COMMIT;");
    let foreign: String = (1..=60).map(foreign).collect();
    server.run(&format!("{foreign} SET gtid_next='AUTOMATIC';"));
    assert!(executed(&server).len() > 2000, "{}", executed(&server));
    let url = server.url();
    let arguments = ["--source", &url, "--gtid", "--from", "now"];
    let mut serving = Serving::start(&arguments);
    serving.wait_until_running();
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
    let ended = serving.end();
    write(&server, 4..=6);
    let mut serving = ended.start(&arguments);
    assert_eq!(serving.numbers_until(6), exactly(4..=6));
}

/// F5: checksums are switched off and on while the binlog is read, and over a restart.
#[test]
fn checksums_may_come_and_go() {
    for version in [Version::Mysql57, Version::Mariadb1011] {
        let server = Server::start(version, &[]);
        server.run(TABLE);
        let url = server.url();
        let arguments = ["--source", &url, "--from", "now"];
        let mut serving = Serving::start(&arguments);
        serving.wait_until_running();
        for (round, checksum) in ["NONE", "CRC32", "NONE"].into_iter().enumerate() {
            let first = i64::try_from(round).unwrap() * 20 + 1;
            write(&server, first..=first + 4);
            server.run(&format!("SET GLOBAL binlog_checksum={checksum}"));
            write(&server, first + 5..=first + 9);
            assert_eq!(serving.numbers_until(first + 9), exactly(first..=first + 9));
            let ended = serving.end();
            write(&server, first + 10..=first + 14);
            serving = ended.start(&arguments);
            write(&server, first + 15..=first + 19);
            assert_eq!(serving.numbers_until(first + 19), exactly(first + 10..=first + 19));
        }
    }
}
