//! A binlog that is not the one that was read, and how each stop is left: by the command that it names.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use towpath_testkit::{Fault, Proxy, Server, Version, wait_until};

use crate::sequence::{Ended, Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(60);

const GTID: &[&str] = &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];

/// The versions that have GTIDs, and what they need for that.
pub(crate) fn with_gtid() -> impl Iterator<Item = (Version, &'static [&'static str])> {
    let versions = Version::ALL.into_iter().filter(|version| *version != Version::Mysql55);
    versions.map(|version| {
        let is_off = matches!(version, Version::Mysql57 | Version::Mysql80);
        (version, if is_off { GTID } else { &[] })
    })
}

/// Waits until it has stopped; what it says, and its state.
pub(crate) fn stopped(mut serving: Serving) -> (String, Ended) {
    serving.says("error: the server stopped");
    serving.says("hint: ");
    let said = serving.towpath.program().stderr();
    (said, serving.ended())
}

/// The arguments that a message names, of those the one that has `with` in it.
pub(crate) fn named(said: &str, with: &str) -> Vec<String> {
    let quoted = said.split('`').skip(1).step_by(2);
    let command = quoted.filter(|text| text.starts_with("--") && text.contains(with)).last();
    let command = command.unwrap_or_else(|| panic!("no command with {with} in {said}"));
    command.split_whitespace().map(ToOwned::to_owned).collect()
}

/// Starts it again with its arguments but for `--from`, and what a message names.
pub(crate) fn go_on(ended: Ended, arguments: &[&str], named: &[String]) -> Serving {
    let mut all: Vec<&str> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if *argument == "--from" {
            rest.next();
        } else {
            all.push(*argument);
        }
    }
    all.extend(named.iter().map(String::as_str));
    ended.start(&all)
}

/// Reads numbers 1 to 20, and ends.
pub(crate) fn read_twenty(server: &Server, arguments: &[&str]) -> Ended {
    server.run(TABLE);
    let mut serving = Serving::start(arguments);
    serving.wait_until_running();
    write(server, 1..=20);
    assert_eq!(serving.numbers_until(20), exactly(1..=20));
    serving.end()
}

/// What comes once the cursor is given up, first told of a gap; and nothing twice.
pub(crate) fn numbers_behind_gap(serving: &mut Serving, last: i64) -> Vec<String> {
    let mut got = serving.rows_until("d\\.n", &format!("id={last}"));
    let gap = got.remove(0);
    assert!(gap.starts_with("GAP "), "{gap}");
    got.iter().map(|row| row.trim_start_matches("INSERT d.n id=").to_owned()).collect()
}

pub(crate) fn shown(numbers: std::ops::RangeInclusive<i64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// A server that had to be started twice was read in a file that is not there any more.
fn is_refused(said: &str) -> bool {
    said.contains("less than was read") || said.contains("is not there")
}

/// A source is reset, and its new history has grown beyond the cursor.
fn reset(version: Version, server_arguments: &[&str], arguments: &[&str], rotate: bool) {
    let server = Server::start(version, server_arguments);
    let url = server.url();
    let mut all = vec!["--source", &url, "--from", "now"];
    all.extend(arguments);
    let ended = read_twenty(&server, &all);
    server.run(version.reset_sql());
    write(&server, 21..=25);
    if rotate {
        for first in [26, 31, 36, 41] {
            server.run(version.rotate_sql());
            write(&server, first..=first + 4);
        }
        server.purge_to("mysql-bin.000002");
    }
    write(&server, 46..=90);
    let (said, ended) = stopped(ended.start(&all));
    assert!(is_refused(&said), "{version:?}: {said}");
    // It stays so.
    let (said, ended) = stopped(ended.start(&all));
    let earliest = named(&said, "--from earliest");
    // Neither a start at a place that is not there nor one that nobody reads of changes what comes then.
    let nowhere = earliest.iter().map(|word| match word.as_str() {
        "earliest" => "mysql-bin.000999:4".to_owned(),
        _ => word.clone(),
    });
    let (_, ended) = stopped(go_on(ended, &all, &nowhere.collect::<Vec<_>>()));
    let mut unread = go_on(ended, &all, &earliest);
    unread.says("clients are told of the gap");
    let mut serving = go_on(unread.kill(), &all, &earliest);
    let got = numbers_behind_gap(&mut serving, 90);
    let expected = match rotate {
        true => [shown(26..=45), shown(46..=90)].concat(),
        false => [shown(21..=25), shown(46..=90)].concat(),
    };
    assert_eq!(got, expected, "{version:?}");
    // The same command again does no harm.
    write(&server, 91..=95);
    let mut serving = go_on(serving.end(), &all, &earliest);
    assert_eq!(serving.numbers_until(95), exactly(91..=95), "{version:?}");
}

#[test]
fn a_reset_is_refused_at_a_restart_by_gtid() {
    for (version, arguments) in with_gtid() {
        reset(version, arguments, &["--gtid"], false);
    }
}

#[test]
fn a_reset_is_refused_also_when_its_files_are_purged() {
    for (version, arguments) in
        [(Version::Mysql97, &[][..]), (Version::Mysql57, GTID), (Version::Mariadb114, &[][..])]
    {
        reset(version, arguments, &["--gtid"], true);
    }
}

#[test]
fn a_reset_is_refused_at_a_restart_by_position() {
    for version in Version::ALL {
        reset(version, &[], &[], false);
    }
}

/// A place in a binlog does not become a set in another one.
#[test]
fn gtids_are_not_a_way_around_a_reset() {
    for version in [Version::Mysql97, Version::Mariadb118] {
        let server = Server::start(version, &[]);
        let url = server.url();
        let all = ["--source", &url, "--from", "now"];
        let ended = read_twenty(&server, &all);
        server.run(version.reset_sql());
        write(&server, 21..=60);
        let (said, ended) = stopped(ended.start(&["--source", &url, "--gtid"]));
        assert!(is_refused(&said), "{version:?}: {said}");
        let mut serving = go_on(ended, &["--source", &url, "--gtid"], &named(&said, "earliest"));
        assert_eq!(numbers_behind_gap(&mut serving, 60), shown(21..=60), "{version:?}");
    }
}

/// Nothing of the kind is met by what servers do every day.
#[test]
fn rotations_purges_and_restarts_are_no_resets() {
    for (version, server_arguments) in with_gtid() {
        for arguments in [&["--gtid"][..], &[]] {
            let mut server = Server::start(version, server_arguments);
            let url = server.url();
            let mut all = vec!["--source", &url, "--from", "now"];
            all.extend(arguments);
            let ended = read_twenty(&server, &all);
            server.run(version.rotate_sql());
            write(&server, 21..=30);
            let mut serving = ended.start(&all);
            assert_eq!(serving.numbers_until(30), exactly(21..=30));
            let ended = serving.end();
            server.run(version.rotate_sql());
            let file = server.binlog_end().0;
            if !arguments.is_empty() {
                server.purge_to(&file);
            }
            server.halt();
            server.go_on();
            write(&server, 31..=40);
            let mut serving = ended.start(&all);
            assert_eq!(serving.numbers_until(40), exactly(31..=40), "{version:?} {arguments:?}");
            server.halt();
            server.go_on();
            write(&server, 41..=50);
            assert_eq!(serving.numbers_until(50), exactly(41..=50), "{version:?} {arguments:?}");
        }
    }
}

/// The connection is down meanwhile: the new history is further than the cursor when it comes back.
#[test]
fn a_reset_is_noticed_behind_a_lost_connection() {
    for (version, server_arguments, arguments) in [
        (Version::Mysql97, &[][..], &["--gtid"][..]),
        (Version::Mariadb114, &[], &["--gtid"]),
        (Version::Mysql57, &[], &[]),
        (Version::Mariadb1011, &[], &[]),
    ] {
        let server = Server::start(version, server_arguments);
        server.run(TABLE);
        server.run(version.rotate_sql());
        let proxy = Proxy::start(server.port());
        let source = format!("mysql://canal:canal@{}", proxy.address());
        let mut all = vec!["--source", &source, "--from", "now"];
        all.extend(arguments);
        let mut serving = Serving::start(&all);
        serving.wait_until_running();
        write(&server, 1..=20);
        assert_eq!(serving.numbers_until(20), exactly(1..=20));
        proxy.set(Fault::Refuse);
        proxy.cut();
        wait_until("the connection to be gone", DEADLINE, || (proxy.open() == 0).then_some(()));
        server.run(version.reset_sql());
        write(&server, 21..=60);
        server.run(version.rotate_sql());
        write(&server, 61..=99);
        proxy.set(Fault::None);
        let (said, ended) = stopped(serving);
        assert!(is_refused(&said), "{version:?}: {said}");
        let mut serving = go_on(ended, &all, &named(&said, "earliest"));
        assert_eq!(numbers_behind_gap(&mut serving, 99), shown(21..=99), "{version:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--"]).args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// The data of an earlier time, the same server otherwise: its UUID, its id, its file names.
#[test]
fn a_server_from_a_backup_is_refused() {
    for (version, server_arguments) in with_gtid() {
        for arguments in [&["--gtid"][..], &[]] {
            let mut server = Server::start(version, server_arguments);
            let url = server.url();
            let mut all = vec!["--source", &url, "--from", "now"];
            all.extend(arguments);
            server.run(TABLE);
            write(&server, 1..=10);
            server.halt();
            let (data, kept) =
                (server.binlog_folder().to_owned(), server.binlog_folder().with_file_name("kept"));
            copy(&data, &kept);
            server.go_on();
            let mut serving = Serving::start(&all);
            serving.wait_until_running();
            write(&server, 11..=20);
            assert_eq!(serving.numbers_until(20), exactly(11..=20));
            let ended = serving.end();
            server.halt();
            std::fs::remove_dir_all(&data).unwrap();
            std::fs::rename(&kept, &data).unwrap();
            server.go_on();
            write(&server, 21..=60);
            let (said, ended) = stopped(ended.start(&all));
            assert!(is_refused(&said), "{version:?}: {said}");
            let mut serving = go_on(ended, &all, &named(&said, "--from now"));
            serving.wait_until_running();
            write(&server, 61..=65);
            let got = numbers_behind_gap(&mut serving, 65);
            assert_eq!(got, shown(61..=65), "{version:?} {arguments:?}");
        }
    }
}

/// A replica that was promoted too early has transactions of its own under the numbers that were read.
#[test]
fn a_promoted_replica_that_has_diverged_is_refused() {
    for (version, server_arguments) in [
        (Version::Mysql97, &[][..]),
        (Version::Mysql57, GTID),
        (Version::Mariadb118, &[]),
        (Version::Mariadb102, &[]),
    ] {
        let master = Server::start(version, server_arguments);
        master.run(TABLE);
        let standby = Server::start_replica_of(&master, server_arguments);
        standby.promote();
        let (source, other) = (master.url(), standby.url());
        let mut serving = Serving::start(&["--source", &source, "--from", "now", "--gtid"]);
        serving.wait_until_running();
        write(&master, 1..=20);
        assert_eq!(serving.numbers_until(20), exactly(1..=20));
        let ended = serving.end();
        write(&standby, 21..=60);
        let all = ["--source", &other, "--gtid"];
        let (said, ended) = stopped(ended.start(&all));
        let mut serving = go_on(ended, &all, &named(&said, "--from now"));
        serving.wait_until_running();
        write(&standby, 61..=65);
        assert_eq!(numbers_behind_gap(&mut serving, 65), shown(61..=65), "{version:?}");
    }
}

/// A statement whose rows do not fit into the cache: the source says in its binlog that they are lost.
#[test]
fn an_incident_is_left_behind() {
    for (version, server_arguments, arguments) in [
        (Version::Mysql97, &[][..], &["--gtid"][..]),
        (Version::Mysql57, GTID, &["--gtid"]),
        (Version::Mysql80, &[], &[]),
        (Version::Mysql55, &[], &[]),
        (Version::Mariadb118, &[], &["--gtid"]),
        (Version::Mariadb102, &[], &[]),
    ] {
        let mut small = vec!["--max-binlog-stmt-cache-size=4096"];
        if version != Version::Mysql55 {
            small.push("--binlog-stmt-cache-size=4096");
        }
        // A thread of MariaDB 10.2 that has met an incident writes the first rows of its next connection
        // without their table map: its connection is the last one here.
        small.push("--thread-cache-size=0");
        let server = Server::start(version, &[server_arguments, &small].concat());
        let url = server.url();
        let mut all = vec!["--source", &url, "--from", "now"];
        all.extend(arguments);
        let ended = read_twenty(&server, &all);
        server.run("CREATE TABLE d.m (a VARCHAR(2000)) ENGINE=MyISAM");
        write(&server, 21..=22);
        let values = vec!["(REPEAT('x', 2000))"; 40].join(",");
        server.run_with_faults(&format!("INSERT INTO d.m VALUES {values};"));
        write(&server, 23..=25);
        // What comes before is delivered first, however long nobody comes.
        let mut serving = ended.start(&all);
        serving.says("reading has failed");
        assert_eq!(serving.numbers_until(22), exactly(21..=22), "{version:?}");
        let (said, ended) = stopped(serving);
        assert!(said.contains("INCIDENT") || said.contains("incident"), "{version:?}: {said}");
        let command = named(&said, "--instead-of");
        let mut serving = go_on(ended, &all, &command);
        let got = numbers_behind_gap(&mut serving, 25);
        assert_eq!(got, shown(23..=25), "{version:?} {command:?}");
        write(&server, 26..=27);
        let mut serving = go_on(serving.end(), &all, &command);
        assert_eq!(serving.numbers_until(27), exactly(26..=27), "{version:?}");
    }
}
