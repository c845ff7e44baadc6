//! The published Canal clients, unchanged, against a real server through `towpath serve`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_testkit::{Server, Version};

/// A running `towpath serve`, ended when dropped.
struct Serve {
    process: Child,
    port: u16,
}

impl Serve {
    fn start(source: &Server, state: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["serve", "--source", &source.url(), "--listen", "127.0.0.1:0"])
            .args(["--filter", r"w\..*", "--from", "earliest", "--state"])
            .arg(state)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let port = loop {
            let Some(Ok(line)) = lines.next() else { panic!("towpath ended: {said}") };
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.rsplit_once(':').unwrap().1.parse().unwrap();
            }
            said.push_str(&line);
        };
        // Nobody reads on: the pipe is closed, and what is said later goes nowhere.
        Self { process, port }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ended: bool = self.process.kill().is_ok();
        let _reaped: bool = self.process.wait().is_ok();
    }
}

fn cache() -> PathBuf {
    let named = std::env::var_os("TOWPATH_SERVERS").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/servers"))
}

/// Runs a client to its end; its lines.
fn lines(command: &mut Command) -> Vec<String> {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}: run scripts/servers/fetch-clients"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let is_row =
        |line: &&str| ["INSERT ", "UPDATE ", "DELETE "].iter().any(|k| line.starts_with(k));
    text.lines().filter(is_row).map(ToOwned::to_owned).collect()
}

fn java(version: &str, port: u16, count: usize, mode: &str) -> Vec<String> {
    let folder = cache().join(format!("java-{version}"));
    let path = format!("{0}/classes:{0}/*", folder.display());
    lines(Command::new("java").args([
        "-cp",
        &path,
        "Follow",
        &port.to_string(),
        &count.to_string(),
        mode,
    ]))
}

/// Numbered changes in transactions of several sizes, and the lines that a client prints of them.
fn workload(source: &Server) -> Vec<String> {
    let mut sql =
        "CREATE DATABASE w; CREATE TABLE w.numbered(id INT PRIMARY KEY, v VARCHAR(20));\n\
                   CREATE DATABASE other; CREATE TABLE other.t(id INT);\n"
            .to_owned();
    let mut expected = Vec::new();
    for id in 1..=300 {
        writeln!(sql, "INSERT INTO w.numbered VALUES ({id}, 'new {id}');").unwrap();
        expected.push(format!("INSERT id={id} v=new {id}"));
        if id % 10 == 0 {
            sql.push_str("BEGIN;\n");
            for old in [id - 5, id - 4] {
                writeln!(sql, "UPDATE w.numbered SET v='changed' WHERE id={old};").unwrap();
                expected.push(format!("UPDATE id={old} v=changed"));
            }
            writeln!(sql, "DELETE FROM w.numbered WHERE id={};", id - 7).unwrap();
            expected.push(format!("DELETE id={} v=new {}", id - 7, id - 7));
            sql.push_str("INSERT INTO other.t VALUES (1);\nCOMMIT;\n");
        }
    }
    source.run(&sql);
    expected
}

/// Each client gets every row exactly once and in order, from a server of its own.
fn check(version: Version, client: impl Fn(u16, usize) -> Vec<String>) {
    let source = Server::start(version, &[]);
    let state = TempDir::new().unwrap();
    let serve = Serve::start(&source, state.path());
    let expected = workload(&source);
    let seen = client(serve.port, expected.len());
    for (index, (a, b)) in expected.iter().zip(&seen).enumerate() {
        assert_eq!(a, b, "row {index}");
    }
    assert_eq!(expected.len(), seen.len());
}

#[test]
fn java_118_gets_every_row_once_and_in_order() {
    check(Version::Mysql97, |port, count| java("1.1.8", port, count, "plain"));
}

#[test]
fn java_117_gets_every_row_once_and_in_order() {
    check(Version::Mysql80, |port, count| java("1.1.7", port, count, "plain"));
}

#[test]
fn java_gets_what_it_rolled_back_again() {
    check(Version::Mariadb1011, |port, count| java("1.1.8", port, count, "rollback"));
}

#[test]
fn java_gets_what_it_had_not_acknowledged_before_it_reconnected() {
    check(Version::Mariadb1011, |port, count| java("1.1.8", port, count, "reconnect"));
}

#[test]
fn go_gets_every_row_once_and_in_order() {
    check(Version::Mysql57, |port, count| {
        lines(Command::new(cache().join("go-follow")).args([port.to_string(), count.to_string()]))
    });
}

#[test]
fn python_gets_every_row_once_and_in_order() {
    check(Version::Mariadb1011, |port, count| {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/python/follow.py");
        lines(
            Command::new(cache().join("python/bin/python"))
                .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
                .arg(script)
                .args([port.to_string(), count.to_string()]),
        )
    });
}

/// T-POS-1: a killed server goes on behind the last ack that reached the disk.
#[test]
fn a_killed_server_goes_on_behind_the_last_ack() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let state = TempDir::new().unwrap();
    let serve = Serve::start(&source, state.path());
    let expected = workload(&source);
    let first = java("1.1.8", serve.port, 100, "plain");
    let cursor = state.path().join("example/meta.dat");
    // The last write follows the last ack within 25 ms: the file has settled when it stays equal.
    let deadline = Instant::now() + Duration::from_secs(20);
    let read = || std::fs::read_to_string(&cursor).unwrap_or_default();
    let mut last = read();
    let mut since = Instant::now();
    while !last.contains("resumeFile") || since.elapsed() < Duration::from_secs(1) {
        assert!(Instant::now() < deadline, "no cursor in {}: {last}", cursor.display());
        std::thread::sleep(Duration::from_millis(20));
        let now = read();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    serve.kill();
    let serve = Serve::start(&source, state.path());
    let rest = java("1.1.8", serve.port, expected.len() - first.len(), "plain");
    let all = [first, rest].concat();
    assert_eq!(all, expected);
}
