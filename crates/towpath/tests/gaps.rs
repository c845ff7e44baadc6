//! What the source has purged before it was read (F1, F2, T-POS-2).

use std::time::Duration;

use towpath_testkit::{Fault, Proxy, Server, Version, wait_until};

use crate::sequence::{Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(90);
const LOST: &str = "transactions are lost: the source has purged them";

/// Begins another file and purges all before it.
fn purge(server: &Server) {
    server.run(server.version().rotate_sql());
    server.purge_to(&server.binlog_end().0);
}

/// Rows of `d.n` as they are shown, with the column that was added in the gap.
fn rows(numbers: std::ops::RangeInclusive<i64>) -> Vec<String> {
    numbers.map(|n| format!("INSERT d.n id={n} added=7")).collect()
}

fn insert(server: &Server, numbers: std::ops::RangeInclusive<i64>) {
    let sql: String = numbers.map(|n| format!("INSERT INTO d.n (id) VALUES ({n});\n")).collect();
    server.run(&sql);
}

/// F1, F2: a gap found at a start is jumped over to the oldest transaction, one that is found when the
/// connection comes back to the newest.
fn jumped(version: Version, arguments: &[&str]) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let proxy = Proxy::start(server.port());
    let source = format!("mysql://canal:canal@{}", proxy.address());
    let mut all = vec!["--source", &source, "--from", "now"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    write(&server, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    let ended = serving.end();
    write(&server, 11..=20);
    server.run("ALTER TABLE d.n ADD COLUMN added INT DEFAULT 7");
    insert(&server, 21..=25);
    purge(&server);
    insert(&server, 26..=30);

    // By itself it stops.
    let mut serving = ended.start(&all);
    let line = serving.says("is not there; the source keeps");
    assert!(line.contains("--from earliest") && line.contains("--from now"), "{line}");
    let mut oldest = all.clone();
    oldest.extend(["--when-purged", "oldest"]);
    let mut serving = serving.ended().start(&oldest);
    let line = serving.says(LOST);
    assert!(line.contains("wanted=\"") && line.contains("resumed=\""), "{line}");
    let mut got = serving.rows_until("d\\.n", "id=30");
    let gap = got.remove(0);
    assert!(gap.starts_with("GAP ") && gap.contains("TOWPATH_GAP_RESUMED"), "{gap}");
    assert_eq!(got, rows(26..=30), "{version:?}");

    // It is told once.
    let mut newest = all.clone();
    newest.extend(["--when-purged", "newest"]);
    let mut serving = serving.restart(&newest);
    insert(&server, 31..=32);
    assert_eq!(serving.rows_until("d\\.n", "id=32"), rows(31..=32), "{version:?}");
    assert!(!serving.towpath.program().stderr().contains(LOST));

    // While it reads.
    proxy.set(Fault::Refuse);
    proxy.cut();
    wait_until("the connection to be gone", DEADLINE, || (proxy.open() == 0).then_some(()));
    insert(&server, 33..=35);
    purge(&server);
    insert(&server, 36..=38);
    proxy.set(Fault::None);
    serving.says(LOST);
    insert(&server, 39..=40);
    let mut got = serving.rows_until("d\\.n", "id=40");
    assert!(got.remove(0).starts_with("GAP "), "{version:?}");
    assert_eq!(got, rows(39..=40), "{version:?}");
}

#[test]
fn a_gap_is_jumped_over_and_announced_by_position() {
    jumped(Version::Mysql80, &[]);
    jumped(Version::Mariadb1011, &[]);
}

#[test]
fn a_gap_is_jumped_over_and_announced_by_gtid() {
    jumped(Version::Mysql97, &["--gtid"]);
    jumped(Version::Mariadb114, &["--gtid"]);
}

/// A source that has less than was read has purged nothing.
#[test]
fn a_source_with_less_is_no_gap() {
    for arguments in [&["--when-purged", "newest"][..], &["--when-purged", "oldest", "--gtid"]] {
        let server = Server::start(Version::Mysql97, &[]);
        server.run(TABLE);
        let source = server.url();
        let mut all = vec!["--source", source.as_str(), "--from", "now"];
        all.extend(arguments);
        let mut serving = Serving::start(&all);
        serving.wait_until_running();
        write(&server, 1..=20);
        assert_eq!(serving.numbers_until(20), exactly(1..=20));
        let ended = serving.end();
        server.run(server.version().reset_sql());
        let mut serving = ended.start(&all);
        let line = serving.says("error: the server stopped");
        assert!(!line.contains(LOST), "{line}");
        assert!(!serving.towpath.program().stderr().contains(LOST));
    }
}
