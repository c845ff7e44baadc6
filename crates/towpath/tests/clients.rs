//! The published Canal clients, unchanged, against a real server through `towpath serve`.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use towpath_testkit::{CanalClient, Delivery, Mode, Server, Towpath, Version, wait_until};

use crate::binary;
use crate::workload::{SCHEMA, Workload, assert_rows, done};

/// Time for a client to get all of a workload.
const DEADLINE: Duration = Duration::from_secs(90);

/// Serves from the first binlog file on, unless the state directory knows better.
fn serve(source: &Server, state: &Path) -> Towpath {
    let url = source.url();
    let state = state.to_str().unwrap();
    Towpath::serve(binary(), &["--source", &url, "--from", "earliest", "--state", state])
}

/// Every row once and in order, with what was rolled back, or lost with a connection, again.
fn check(source: &Server, workload: &Workload, client: CanalClient, mode: Mode) {
    let who = format!("{client:?} {mode:?}");
    let state = TempDir::new().unwrap();
    let towpath = serve(source, state.path());
    let ended = client.follow(towpath.port(), "example", mode).wait(DEADLINE);
    assert!(ended.status.success(), "{who}: {}\n{}", ended.status, ended.stderr);
    let delivery = Delivery::read(&ended.stdout);
    assert!(delivery.done, "{who}: {}", ended.stdout);
    assert_rows(&who, &workload.expected, &delivery.acknowledged);
    assert_eq!(delivery.outstanding, Vec::<String>::new(), "{who}");
    assert_eq!(delivery.given_back.is_empty(), mode == Mode::Plain, "{who}");
    let ended = towpath.terminate();
    assert!(ended.status.success(), "{who}: {}\n{}", ended.status, ended.stderr);
}

fn check_all_modes(version: Version, clients: &[CanalClient]) {
    let source = Server::start(version, &[]);
    let mut workload = Workload::default();
    source.run(SCHEMA);
    source.run(&workload.transactions(400));
    source.run(&done(1));
    for client in clients {
        for mode in [Mode::Plain, Mode::Rollback, Mode::Reconnect] {
            check(&source, &workload, *client, mode);
        }
    }
}

#[test]
fn java_clients_get_every_row_once_in_order_from_mysql_97() {
    check_all_modes(Version::Mysql97, &[CanalClient::Java118, CanalClient::Java117]);
}

#[test]
fn go_and_python_clients_get_every_row_once_in_order_from_mariadb() {
    check_all_modes(Version::Mariadb1011, &[CanalClient::Go, CanalClient::Python]);
}

#[test]
fn java_clients_get_every_row_once_in_order_from_mysql_80() {
    check_all_modes(Version::Mysql80, &[CanalClient::Java117]);
}

#[test]
fn go_and_python_clients_get_every_row_once_in_order_from_mysql_57() {
    check_all_modes(Version::Mysql57, &[CanalClient::Go, CanalClient::Python]);
}

/// All four clients while the rows are being written, each with a server of its own.
#[test]
fn rows_are_followed_live() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut workload = Workload::default();
    source.run(SCHEMA);
    let everyone =
        [CanalClient::Java118, CanalClient::Java117, CanalClient::Go, CanalClient::Python];
    let states = everyone.map(|_| TempDir::new().unwrap());
    let servers: Vec<Towpath> = states.iter().map(|state| serve(&source, state.path())).collect();
    let clients: Vec<_> = everyone
        .iter()
        .zip(&servers)
        .map(|(client, towpath)| client.follow(towpath.port(), "example", Mode::Plain))
        .collect();
    for _ in 0..20 {
        source.run(&workload.transactions(20));
    }
    source.run(&done(1));
    for (client, kind) in clients.into_iter().zip(everyone) {
        let ended = client.wait(DEADLINE);
        assert!(ended.status.success(), "{kind:?}: {}\n{}", ended.status, ended.stderr);
        let delivery = Delivery::read(&ended.stdout);
        assert_rows(&format!("{kind:?}"), &workload.expected, &delivery.acknowledged);
    }
}

/// The acknowledged position in Canal's cursor file, once there is one.
fn cursor(state: &Path) -> Option<(String, u64)> {
    let text = std::fs::read_to_string(state.join("example/meta.dat")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let position = &json["clientDatas"][0]["cursor"]["postion"];
    Some((position["journalName"].as_str()?.to_owned(), position["position"].as_u64()?))
}

/// T-POS-1: a killed server goes on behind the last ack.
#[test]
fn a_killed_server_goes_on_behind_the_last_ack() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let state = TempDir::new().unwrap();
    let mut workload = Workload::default();
    source.run(SCHEMA);
    source.run(&workload.transactions(100));
    // The last row that the first client acknowledges lies behind this.
    let end = &source.query("SHOW MASTER STATUS")[0];
    let end = (end[0].clone(), end[1].parse::<u64>().unwrap());
    source.run(&done(1));

    let towpath = serve(&source, state.path());
    let first = CanalClient::Java118.follow(towpath.port(), "example", Mode::Plain).wait(DEADLINE);
    let first = Delivery::read(&first.stdout);
    assert_rows("before the kill", &workload.expected, &first.acknowledged);
    wait_until("the last ack to reach the disk", Duration::from_secs(10), || {
        cursor(state.path()).filter(|cursor| *cursor >= end)
    });
    towpath.kill();

    workload.expected.clear();
    source.run(&workload.transactions(100));
    source.run(&done(2));
    let towpath = serve(&source, state.path());
    let second = CanalClient::Java118.follow(towpath.port(), "example", Mode::Plain).wait(DEADLINE);
    let second = Delivery::read(&second.stdout);
    assert_rows("after the kill", &workload.expected, &second.acknowledged);
}

/// T-POS-1: acks that had not reached the disk are forgotten, rows are not.
#[test]
fn a_server_killed_at_work_loses_no_row() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let state = TempDir::new().unwrap();
    let mut workload = Workload::default();
    source.run(SCHEMA);
    source.run(&workload.transactions(600));
    source.run(&done(1));

    let towpath = serve(&source, state.path());
    let mut client = CanalClient::Go.follow(towpath.port(), "example", Mode::Plain);
    client.wait_for_line("ack 5", DEADLINE);
    towpath.kill();
    let first = Delivery::read(&client.wait(DEADLINE).stdout);

    let towpath = serve(&source, state.path());
    let second = CanalClient::Go.follow(towpath.port(), "example", Mode::Plain).wait(DEADLINE);
    let second = Delivery::read(&second.stdout);
    let begin = workload.expected.len() - second.acknowledged.len();
    assert_rows("after the kill", &workload.expected[begin..], &second.acknowledged);
    let count = first.acknowledged.len();
    assert_rows("before the kill", &workload.expected[..count], &first.acknowledged);
    assert!(begin <= count, "rows {count} to {begin} are lost");
}

/// A client that never acknowledges costs the store's size and not more; later it gets every row.
#[test]
fn memory_stays_flat_while_a_client_does_not_acknowledge() {
    const STORE_MIB: u64 = 8;
    // Small events: up to 1024 of them are handed on together.
    let source = Server::start(Version::Mariadb1011, &["--binlog-row-event-max-size=1024"]);
    let state = TempDir::new().unwrap();
    source.run(SCHEMA);
    source.run("CREATE TABLE shop.bulk (id INT AUTO_INCREMENT PRIMARY KEY, fill VARCHAR(999))");
    let url = source.url();
    let mut towpath = Towpath::serve(
        binary(),
        &[
            ("--source", url.as_str()),
            ("--from", "now"),
            ("--store-size", &STORE_MIB.to_string()),
            ("--state", state.path().to_str().unwrap()),
        ]
        .map(|(name, value)| [name, value])
        .concat(),
    );
    towpath.program().wait_for_line("running", DEADLINE);
    let before_bytes = towpath.peak_memory_bytes();
    let mut client = CanalClient::Java118.follow(towpath.port(), "example", Mode::Hold);

    // Doubles ten times from 100: 102,400 rows, 51 MB of binlog in the last statement alone.
    source.run("INSERT INTO shop.bulk(fill) SELECT REPEAT('x', 900) FROM shop.seq_1_to_100");
    for _ in 0..10 {
        source.run("INSERT INTO shop.bulk(fill) SELECT fill FROM shop.bulk");
    }
    source.run(&done(1));
    client.wait_for_line("holding", DEADLINE);
    wait_until("the reader to stop at the full store", DEADLINE, || {
        // The server says so for as long as the reader does not take what it sends.
        let blocked = || {
            source
                .query("SHOW PROCESSLIST")
                .iter()
                .any(|row| row[4] == "Binlog Dump" && row[6].starts_with("Writing to net"))
        };
        (0..20).all(|_| blocked()).then_some(())
    });
    let grown_bytes = towpath.peak_memory_bytes() - before_bytes;
    let allowed_bytes = (STORE_MIB + 24) << 20;
    assert!(grown_bytes < allowed_bytes, "{grown_bytes} of {allowed_bytes} bytes");

    client.send_line("go on");
    let ended = client.wait(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    let delivery = Delivery::read(&ended.stdout);
    assert_eq!(delivery.acknowledged.len(), 102_400);
    let grown_bytes = towpath.peak_memory_bytes() - before_bytes;
    assert!(grown_bytes < allowed_bytes, "{grown_bytes} of {allowed_bytes} bytes");
}
