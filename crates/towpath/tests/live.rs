//! The command line against real servers.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use towpath_testkit::{Server, Version};

fn towpath() -> Command {
    Command::new(env!("CARGO_BIN_EXE_towpath"))
}

fn sql(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The binlog that the server wrote, as `towpath decode` reads it from the file.
fn decoded(server: &Server) -> Vec<String> {
    let file: PathBuf = server.binlog_folder().join("mysql-bin.000001");
    let output = towpath().arg("decode").arg("--flat").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(without_time).collect()
}

/// A flat message without the time at which it was made.
fn without_time(line: &str) -> String {
    let (head, tail) = line.rsplit_once(",\"ts\":").unwrap();
    let (_, tail) = tail.split_once(',').unwrap();
    format!("{head},{tail}")
}

/// What `towpath tail` shows of `count` messages from the first file on.
fn tailed(server: &Server, count: usize) -> Vec<String> {
    let mut child = towpath()
        .args(["tail", "--flat", "--from", "mysql-bin.000001:4", "--limit", &count.to_string()])
        .arg(server.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines = lines.map(|line| without_time(&line.unwrap())).collect();
    assert!(child.wait().unwrap().success());
    lines
}

/// A dump over the network gives what the file holds, and what Canal stops at is delivered.
fn check(version: Version, scripts: &[&str], must_hold: &[&str]) {
    let server = Server::start(version, &[]);
    for script in scripts {
        let dies_of = |line: &&str| version.dies_of().is_some_and(|bad| line.starts_with(bad));
        let lines: Vec<String> =
            sql(script).lines().filter(|line| !dies_of(line)).map(|l| format!("{l}\n")).collect();
        server.run_with_faults(&lines.concat());
    }
    // Closes the file, so that all of it can be read.
    server.run(version.rotate_sql());
    let from_file = decoded(&server);
    assert!(from_file.len() > 50, "{} messages", from_file.len());
    let from_server = tailed(&server, from_file.len());
    for (index, (a, b)) in from_file.iter().zip(&from_server).enumerate() {
        assert_eq!(a, b, "message {index}");
    }
    assert_eq!(from_file.len(), from_server.len());
    let all = from_file.join("\n");
    for needle in must_hold {
        assert!(all.contains(needle), "not delivered: {needle}");
    }
}

const BEYOND: &[&str] = &[
    r#""data":[{"id":"1","a":"2","b":"5"}]"#,
    r#""a b":"1","c`d":"2","中":"9","Select":"4""#,
    r#""data":[{"id":"1","v":"2"}]"#,
];

/// F10.
#[test]
fn mysql_97_is_followed() {
    let with_srid = [BEYOND, &[r#""mysqlType":{"id":"int","p":"point"}"#]].concat();
    check(Version::Mysql97, &["types.sql", "statements.sql", "beyond.sql"], &with_srid);
}

#[test]
fn mysql_80_is_followed() {
    let scripts = ["types.sql", "statements.sql", "beyond.sql"];
    check(Version::Mysql80, &scripts, &[r#""mysqlType":{"id":"int","p":"point"}"#]);
}

#[test]
fn mysql_57_is_followed() {
    check(Version::Mysql57, &["types.sql", "statements.sql"], &[]);
}

#[test]
fn mysql_55_is_followed() {
    // What it does not know of the scripts fails, and the rest goes on.
    let scripts = ["types.sql", "types-mariadb.sql", "statements.sql"];
    check(Version::Mysql55, &scripts, &[r#""a":"-128","b":"-32768","c":"-8388608""#]);
}

#[test]
fn mariadb_118_is_followed() {
    let scripts = ["types-mariadb.sql", "statements-mariadb.sql", "beyond-mariadb.sql"];
    check(Version::Mariadb118, &scripts, &[r#""table":"sq""#, r#""table":"t_ver""#]);
}

/// T-PARSE-4, F25.
#[test]
fn mariadb_114_is_followed() {
    let scripts = ["types-mariadb.sql", "statements-mariadb.sql", "beyond-mariadb.sql"];
    check(Version::Mariadb114, &scripts, &[r#""table":"sq""#, r#""table":"t_ver""#]);
}

#[test]
fn mariadb_102_is_followed() {
    let scripts = ["types-mariadb.sql", "statements-mariadb.sql", "beyond-mariadb.sql"];
    check(Version::Mariadb102, &scripts, &[r#""table":"t_geo""#]);
}

#[test]
fn mariadb_1011_is_followed() {
    let scripts = ["types-mariadb.sql", "statements-mariadb.sql", "beyond-mariadb.sql"];
    let sequences = r#""table":"sq""#;
    check(Version::Mariadb1011, &scripts, &[sequences, r#""table":"t_ver""#]);
}

/// F25.
#[test]
fn mariadb_compressed_events_are_followed() {
    let server = Server::start(
        Version::Mariadb1011,
        &["--log-bin-compress=ON", "--log-bin-compress-min-len=10"],
    );
    server.run("CREATE DATABASE c; CREATE TABLE c.t(id INT PRIMARY KEY, v TEXT)");
    server.run("INSERT INTO c.t VALUES (1, REPEAT('long ', 50)), (2, REPEAT('x', 130))");
    server.run("FLUSH BINARY LOGS");
    let from_file = decoded(&server);
    let from_server = tailed(&server, from_file.len());
    assert_eq!(from_file, from_server);
    assert!(from_file.iter().any(|line| line.contains("long long")), "{from_file:?}");
}

/// F30: every refusal says what, where and what to do.
#[test]
fn bad_input_is_refused_with_a_way_out() {
    let server = Server::start(Version::Mariadb1011, &[]);
    let port = server.port();
    server
        .run("CREATE USER poor@'%' IDENTIFIED BY 'x'; CREATE DATABASE d; CREATE TABLE d.t(a INT)");
    let url = server.url();
    let wrong = format!("mysql://canal:wrong@127.0.0.1:{port}");
    let poor = format!("mysql://poor:x@127.0.0.1:{port}");
    for (arguments, says) in [
        (["--from", "now", wrong.as_str()], ["Access denied", "hint: check user and password"]),
        (
            ["--from", "now", poor.as_str()],
            ["Access denied; you need", "hint: the user needs: GRANT"],
        ),
        (
            ["--from", "mysql-bin.000099:4", &url],
            ["mysql-bin.000099:4 is not there", "--from earliest"],
        ),
        (
            ["--from", "mysql-bin.000001:333", &url],
            ["not the start of an event", "SHOW BINLOG EVENTS IN"],
        ),
        (["--from", "never", &url], ["it is none of the forms", "FILE:OFFSET"]),
        (["--filter", "a([", &url], ["`a([` is not a regular expression", "cannot use --filter"]),
    ] {
        let output = towpath().arg("tail").args(arguments).output().unwrap();
        assert!(!output.status.success());
        for needle in says {
            assert!(text(&output).contains(needle), "{arguments:?}: {}", text(&output));
        }
    }
}

/// F30.
#[test]
fn a_source_without_rows_is_refused() {
    for (argument, says) in
        [("--skip-log-bin", "the binlog is off"), ("--binlog-format=STATEMENT", "SET GLOBAL")]
    {
        let server = Server::start(Version::Mariadb1011, &[argument]);
        let output = towpath().arg("tail").arg(server.url()).output().unwrap();
        assert!(text(&output).contains(says), "{argument}: {}", text(&output));
    }
}

/// TLS 1.2 and 1.3; a certificate of another host or authority is not taken where the URL says so.
#[test]
fn a_source_is_followed_over_tls() {
    for version in ["--tls-version=TLSv1.2", "--tls-version=TLSv1.3"] {
        let server = Server::start(Version::Mysql97, &["--require-secure-transport=ON", version]);
        server.run("CREATE DATABASE d; CREATE TABLE d.t(a INT PRIMARY KEY); FLUSH BINARY LOGS");
        let start = format!("{}:4", server.query("SHOW BINARY LOG STATUS")[0][0]);
        server.run("INSERT INTO d.t VALUES (7)");
        let tail = |options: &str| {
            let url = format!("{}{options}", server.url());
            let from = ["--flat", "--from", &start, "--limit", "1"];
            towpath().arg("tail").args(from).arg(url).output().unwrap()
        };
        let ca = server.binlog_folder().join("ca.pem");
        let other = server.binlog_folder().join("client-key.pem");
        for options in
            ["?tls=required", "?tls=preferred", &format!("?tls=verify-ca&ca={}", ca.display())]
        {
            let output = tail(options);
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(shown.contains(r#""data":[{"a":"7"}]"#), "{options}: {}", text(&output));
        }
        for (options, says) in [
            ("", "hint: the server wants TLS: add ?tls=required"),
            (&format!("?tls=verify-identity&ca={}", ca.display()), "TLS: "),
            (&format!("?tls=verify-ca&ca={}", other.display()), "TLS: "),
        ] {
            let output = tail(options);
            assert!(!output.status.success());
            assert!(text(&output).contains(says), "{options}: {}", text(&output));
        }
    }
}

/// The binlog names columns and storage types with full metadata; how the types were declared is
/// asked of the source.
#[test]
fn declared_types_are_asked_for_where_the_binlog_only_has_names() {
    let server = Server::start(Version::Mysql97, &["--binlog-row-metadata=FULL"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t(a NUMERIC(9,2) PRIMARY KEY, b BIT(10)); FLUSH BINARY LOGS");
    let start = format!("{}:4", server.query("SHOW BINARY LOG STATUS")[0][0]);
    server.run("INSERT INTO d.t VALUES (7, 5)");
    let from = ["tail", "--flat", "--from", &start, "--limit", "1"];
    let output = towpath().args(from).arg(server.url()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains(r#""mysqlType":{"a":"decimal(9,2)","b":"bit(10)"}"#), "{shown}");
}
