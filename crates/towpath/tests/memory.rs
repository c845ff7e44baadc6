//! Memory of a serving process stays below its bound, whatever the source sends and the client does.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use towpath_testkit::{Program, Server, Towpath, Version, wait_until};

use crate::binary;

/// Peak resident memory with the default store.
const BOUND_BYTES: u64 = 64 << 20;
/// What is held when the store is full.
const FULL_BYTES: u64 = 32 << 20;
const DEADLINE: Duration = Duration::from_secs(120);

/// Follows a destination from where it stands, until `rows` changes have come.
fn client(towpath: &Towpath, rows: u64) -> Program {
    let mut command = Command::new(binary());
    command.args(["bench", &format!("canal://{}/example", towpath.address())]);
    command.args(["--rows", &rows.to_string(), "--idle", "60"]);
    Program::start(&mut command, "build the towpath binary")
}

/// Takes all of `rows` changes with a client that stands still until the store is full.
fn stall(towpath: &Towpath, rows: u64) {
    let mut client = client(towpath, rows);
    client.pause();
    wait_until("a full store", DEADLINE, || (towpath.memory_bytes() >= FULL_BYTES).then_some(()));
    client.resume();
    let ended = client.wait(DEADLINE);
    assert!(ended.stdout.contains(&format!("rows {rows} ")), "{}{}", ended.stdout, ended.stderr);
    let peak = towpath.peak_memory_bytes();
    assert!(peak <= BOUND_BYTES, "peak memory {} MiB after {rows} rows", peak >> 20);
}

/// Small rows in transactions of up to 25 MB of binlog, then rows of 300 kB.
#[test]
fn memory_stays_below_its_bound_while_a_client_stalls() {
    let server = Server::start(Version::Mysql80, &["--max-allowed-packet=64M"]);
    let doubling = "INSERT INTO d.t(a, b) SELECT a, b FROM d.t;".repeat(17);
    server.run(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t(id INT AUTO_INCREMENT PRIMARY KEY, a CHAR(120), b CHAR(60)); \
         INSERT INTO d.t(a, b) VALUES (REPEAT('a', 119), REPEAT('b', 59)), (REPEAT('c', 119), NULL); \
         {doubling}"
    ));
    let state = TempDir::new().unwrap();
    let towpath = Towpath::serve(
        binary(),
        &[
            "--source",
            &server.url(),
            "--from",
            "earliest",
            "--state",
            state.path().to_str().unwrap(),
        ],
    );
    stall(&towpath, 2 << 17);
    let rows = "INSERT INTO d.p(b) VALUES (REPEAT(_latin1 x'41ff42', 100000));".repeat(150);
    server.run(&format!("CREATE TABLE d.p(id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB); {rows}"));
    stall(&towpath, 150);
    assert!(towpath.terminate().status.success());
}
