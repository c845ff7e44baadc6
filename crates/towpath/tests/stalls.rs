//! A source that goes on while nothing of it is read (T-WEDGE-2).

use std::time::Duration;

use towpath_testkit::{Proxy, Server, Version, wait_until};

use crate::sequence::{Serving, TABLE, exactly, write};
use crate::status::{metric, state};

const DEADLINE: Duration = Duration::from_secs(90);
const STALLED: &str = "stalled: the source goes on and nothing of it is read";

/// `serve` with a status page; its address.
fn serve(arguments: &[&str]) -> (Serving, String) {
    let mut all = vec!["--status", "127.0.0.1:0", "--stall-timeout", "1"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    let address = crate::status::status_of(serving.towpath.program());
    serving.wait_until_running();
    (serving, address)
}

/// T-WEDGE-2: the dump's connection is open, and long before it counts as silent the source goes on.
fn frozen(version: Version, arguments: &[&str]) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let proxy = Proxy::start(server.port());
    let source = format!("mysql://canal:canal@{}", proxy.address());
    let mut all = vec!["--source", &source, "--from", "now", "--source-timeout", "3600"];
    all.extend(arguments);
    let (mut serving, status) = serve(&all);
    for round in 0..2 {
        let first = round * 20 + 1;
        write(&server, first..=first + 9);
        assert_eq!(serving.numbers_until(first + 9), exactly(first..=first + 9));
        proxy.freeze();
        write(&server, first + 10..=first + 19);
        wait_until("the instance to count as stalled", DEADLINE, || {
            let stalls = metric(&status, "towpath_stalls{destination=\"example\",}");
            (stalls > f64::from(u32::try_from(round).unwrap())).then_some(())
        });
        assert_eq!(serving.numbers_until(first + 19), exactly(first + 10..=first + 19));
    }
    let line = serving.says(STALLED);
    assert!(line.contains("stage=\"waiting for the source\""), "{line}");
    assert!(line.contains("source_offset=") && line.contains("read_offset="), "{line}");
    serving.says("reading goes on after it had stalled");
    let destination = state(&status)["destinations"][0].clone();
    assert!(destination["stalled_since_ms"].is_null(), "{destination}");
    assert_eq!(destination["stalls"], 2, "{destination}");
}

#[test]
fn a_dump_that_hangs_is_opened_anew() {
    frozen(Version::Mysql97, &["--gtid"]);
    frozen(Version::Mariadb1011, &[]);
}

/// T-WEDGE-2, F13: idle, or with clients that take nothing, it is no stall: the dump stays.
#[test]
fn waiting_for_clients_or_for_writers_is_no_stall() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.long (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)");
    let url = server.url();
    let (mut serving, status) = serve(&["--source", &url, "--from", "now", "--store-size", "1"]);
    let asked = || {
        // What looks from outside asks on a connection of its own.
        let rows = server.query("SHOW PROCESSLIST");
        let own = rows.iter().filter(|row| row[1] == "canal" && row[4] != "Binlog Dump");
        let dump = rows.iter().find(|row| row[4] == "Binlog Dump").map(|row| row[0].clone());
        (own.count(), dump)
    };
    let dump = wait_until("the source to be asked for its end", DEADLINE, || {
        let (count, dump) = asked();
        dump.filter(|_| count > 0)
    });
    let fill = "INSERT INTO d.long (b) VALUES (REPEAT('x', 500000));";
    server.run(&fill.repeat(20));
    wait_until("the store to be full for a while", DEADLINE, || {
        let destination = state(&status)["destinations"][0].clone();
        let is_full = destination["waits_for"].as_str()?.contains("full store");
        let since = destination["waits_since_ms"].as_i64()?;
        let now = state(&status)["now_ms"].as_i64()?;
        (is_full && now - since > 4000).then_some(())
    });
    server.run("INSERT INTO d.n VALUES (1000)");
    // Among the ids of the other table.
    serving.numbers_until(1000);
    assert_eq!(metric(&status, "towpath_stalls{destination=\"example\",}"), 0.0);
    assert!(!serving.towpath.program().stderr().contains(STALLED));
    assert_eq!(asked().1, Some(dump), "the dump was opened anew");
}
