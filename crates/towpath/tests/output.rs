//! Where changes are shown: pipes, terminals, people.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use towpath_testkit::{Program, Server, Version, wait_until};

use crate::binary;
use crate::sequence::{Serving, TABLE, write};

const DEADLINE: Duration = Duration::from_secs(20);

/// A program whose output goes into a pipe. Dropping it kills it.
struct Piped(Child);

impl Drop for Piped {
    fn drop(&mut self) {
        let _killed: bool = self.0.kill().is_ok();
        let _reaped: bool = self.0.wait().is_ok();
    }
}

impl Piped {
    fn start(arguments: &[&str]) -> (Self, BufReader<ChildStdout>) {
        let mut command = Command::new(binary());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        (Self(child), out)
    }

    /// How it ended, and what it said.
    fn ended(mut self) -> (ExitStatus, String) {
        let status = wait_until("the end of the program", DEADLINE, || self.0.try_wait().unwrap());
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

/// As `| head -1`: the end of the reader is seen although nothing more happens that could be written.
#[test]
fn a_pipe_that_nobody_reads_ends_the_command_quietly() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let mut serving = Serving::start(&["--source", &server.url(), "--from", "now"]);
    serving.wait_until_running();
    write(&server, 1..=3);
    let url = server.url();
    let place = format!("canal://{}/example", serving.towpath.address());
    for arguments in [
        &["tail", "--from", "earliest", &url][..],
        &["tail", "--json", "--from", "earliest", &url],
        &["tail", "--take", &place],
        &["client", "--flat", &place],
        &["client", "--count", &place],
    ] {
        write(&server, 11..=12);
        let (program, mut out) = Piped::start(arguments);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{arguments:?}");
        drop(out);
        let (status, said) = program.ended();
        assert!(status.success(), "{arguments:?}: {status} {said}");
        assert!(!said.contains("error") && !said.contains("panic"), "{arguments:?}: {said}");
        server.run("DELETE FROM d.n WHERE id > 10");
    }
}

/// What is followed, from where, with which filter: `now` is told as a place.
#[test]
fn tail_says_first_what_it_follows_and_from_where() {
    let source = Server::start(Version::Mysql80, &["--gtid-mode=ON", "--enforce-gtid-consistency"]);
    source.run(TABLE);
    let maria = Server::start(Version::Mariadb1011, &[]);
    maria.run(TABLE);
    let first_line = |arguments: &[&str], server: &Server| {
        let mut command = Command::new(binary());
        command.arg("tail").args(arguments).arg(server.url());
        let mut program = Program::start(&mut command, "build the towpath binary");
        program.wait_for_line("following ", DEADLINE)
    };
    let (file, offset) = source.binlog_end();
    let version = source.query("SELECT VERSION()").remove(0).remove(0);
    let line = first_line(&["--filter", "d\\.n", "--black-filter", "x\\..*"], &source);
    assert_eq!(
        line,
        format!(
            "following MySQL {version} at 127.0.0.1:{} from {file}:{offset}, tables d\\.n but x\\..*",
            source.port()
        )
    );
    let line = first_line(&["--gtid"], &source);
    let set = source.query("SELECT @@GLOBAL.gtid_executed").remove(0).remove(0);
    assert!(line.ends_with(&format!(" from gtid:{set}, all tables")), "{line}");
    let line = first_line(&["--from", "earliest"], &maria);
    let version = maria.query("SELECT VERSION()").remove(0).remove(0);
    assert!(line.starts_with(&format!("following MariaDB {version} at ")), "{line}");
    assert!(line.ends_with(" from mysql-bin.000001:4, all tables"), "{line}");
}

/// More than a pipe holds.
#[test]
fn a_file_is_decoded_no_further_than_somebody_reads() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let values = (1..=20_000).map(|id| format!("({id})")).collect::<Vec<_>>().join(",");
    server.run(&format!("INSERT INTO d.n VALUES {values}"));
    let file = server.binlog_folder().join("mysql-bin.000001");
    for format in [&[][..], &["--json"], &["--flat"]] {
        let (program, mut out) =
            Piped::start(&[&["decode", file.to_str().unwrap()], format].concat());
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        let (status, said) = program.ended();
        assert!(status.success() && said.is_empty(), "{format:?}: {status} {said}");
    }
}

/// Statements beside rows are shown if that is asked for, from a server, from its files, and as a client.
#[test]
fn the_statement_of_rows_is_shown_on_demand() {
    for (version, argument) in [
        (Version::Mysql80, "--binlog-rows-query-log-events=ON"),
        (Version::Mariadb1011, "--binlog-annotate-row-events=ON"),
    ] {
        let server = Server::start(version, &[argument]);
        server.run(TABLE);
        let mut serving = Serving::start(&["--source", &server.url(), "--from", "now"]);
        serving.wait_until_running();
        let (file, offset) = server.binlog_end();
        server.run("INSERT INTO d.n SELECT 7 AS remark; TRUNCATE TABLE d.n");
        let from = format!("{file}:{offset}");
        let path = server.binlog_folder().join("mysql-bin.000001");
        let place = format!("canal://{}/example", serving.towpath.address());
        let url = server.url();
        let shown = |arguments: &[&str]| {
            let output = Command::new(binary()).args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        for format in [&[][..], &["--json"], &["--flat"]] {
            for (command, limit) in [
                (&["tail", "--from", &from, &url][..], ["--limit", "2"]),
                (&["decode", path.to_str().unwrap()], ["--time-zone", "UTC"]),
            ] {
                let arguments = [command, format, &limit].concat();
                let plain = shown(&arguments);
                assert!(plain.contains("TRUNCATE") && !plain.contains("remark"), "{plain}");
                let limit = if limit[0] == "--limit" { ["--limit", "3"] } else { limit };
                let all = shown(&[command, format, &limit, &["--annotations"]].concat());
                assert!(all.contains("TRUNCATE") && all.contains("remark"), "{version:?}: {all}");
            }
        }
        // As a client: the server sends all of it.
        let plain = shown(&["client", "--json", "--limit", "2", &place]);
        assert!(plain.contains("TRUNCATE") && !plain.contains("remark"), "{plain}");
        server.run("INSERT INTO d.n SELECT 8 AS remark");
        let all = shown(&["tail", "--take", "--annotations", "--limit", "2", &place]);
        assert!(all.contains("remark") && all.contains("id=8"), "{all}");
    }
}

/// What an update changed in a long value is seen; --full and --json have all of it.
#[test]
fn a_long_value_is_shown_around_its_change() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v TEXT)");
    let (long, other) =
        (format!("{0}Old{0}", "x".repeat(500)), format!("{0}New{0}", "x".repeat(500)));
    server.run(&format!("INSERT INTO d.t VALUES (1, '{long}'); UPDATE d.t SET v = '{other}'"));
    let path = server.binlog_folder().join("mysql-bin.000001");
    let shown = |more: &[&str]| {
        let output = Command::new(binary()).arg("decode").arg(&path).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&[]);
    let update = text.lines().find(|line| line.contains(" update ")).unwrap();
    assert!(update.contains("xOldx") && update.contains("xNewx") && update.len() < 250, "{update}");
    for format in ["--full", "--json"] {
        assert!(shown(&[format]).lines().last().unwrap().contains(&other), "{format}");
    }
}

#[test]
fn colours_are_where_they_are_asked_for() {
    let nowhere = "canal://127.0.0.1:1/example";
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["tail", "--help"], 0),
        (&["tail", "--nonsense"], 2),
        (&["doctor", "--deadline", "1", nowhere], 1),
    ] {
        for (color, is_colored) in
            [("--color=always", true), ("--color=never", false), ("--color=auto", false)]
        {
            let output = Command::new(binary()).arg(color).args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}");
            let said = [output.stdout, output.stderr].concat();
            assert_eq!(said.contains(&0x1b), is_colored, "{color} {arguments:?}");
        }
    }
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let path = server.binlog_folder().join("mysql-bin.000001");
    for (color, is_colored) in [("always", true), ("never", false), ("auto", false)] {
        let mut command = Command::new(binary());
        let output = command.args(["decode", "--color", color]).arg(&path).output().unwrap();
        assert_eq!(output.stdout.contains(&0x1b), is_colored, "{color}");
    }
}
