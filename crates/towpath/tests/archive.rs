//! Binlogs that the source has purged and an archive has kept (mysql-source 3.9).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use towpath_testkit::{Fault, Packing, Proxy, Rds, RdsFault, Server, Towpath, Version, wait_until};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, write};
use crate::status::{state, status_of};
use crate::ways_out::{go_on as leave, named, numbers_behind_gap, shown, stopped};

const DEADLINE: Duration = Duration::from_secs(90);

/// A source whose files end up in an archive.
struct Source {
    server: Server,
    rds: Rds,
}

impl Source {
    fn start(version: Version, arguments: &[&str]) -> Self {
        let server = Server::start(version, arguments);
        server.run(TABLE);
        Self { server, rds: Rds::start(2) }
    }

    /// Ends the current file, keeps a copy, and purges it. Its name.
    fn archive(&self, host: &str, packing: Packing) -> String {
        let name = self.rotate();
        self.rds.keep(host, &self.path(&name), packing);
        self.server.purge_to(&self.server.binlog_end().0);
        name
    }

    /// Ends the current file; its name.
    fn rotate(&self) -> String {
        let name = self.server.binlog_end().0;
        self.server.run(self.server.version().rotate_sql());
        name
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.binlog_folder().join(name)
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let mut all = self.rds.arguments();
        if !more.contains(&"--source") {
            all.extend(["--source".to_owned(), self.server.url()]);
        }
        all.extend(more.iter().map(|&argument| argument.to_owned()));
        all
    }

    fn serve(&self, more: &[&str]) -> Serving {
        let arguments = self.arguments(more);
        Serving::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts it again; it may have ended by itself.
    fn restart(&self, serving: Serving, more: &[&str]) -> Serving {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        serving.restart_failing(&arguments)
    }

    /// Nobody said what is secret, and every request was a good one.
    fn is_content(&self, serving: &mut Serving) {
        let said = serving.towpath.program().stderr();
        for secret in [self.rds.secret(), "planted-link-signature"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert_eq!(self.rds.refused(), Vec::<String>::new());
        assert!(self.rds.has_failed(), "not every fault came");
    }
}

/// Goes on after a restart: a batch may have ended inside a transaction, whose row comes again.
fn go_on(numbers: &mut Vec<i64>, more: Vec<i64>) {
    let repeated = usize::from(more.first() == numbers.last());
    numbers.extend(more.into_iter().skip(repeated));
}

/// Files of a folder, without the list of downloads.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    names.filter(|name| name != "downloads.list").collect()
}

/// RDS 1: what the server has purged comes from the archive, through every fault of it, over restarts
/// in its midst, then from the server, which is written to all the while: each row once, in order.
fn by_position(version: Version, packing: Packing) {
    let source = Source::start(version, &[]);
    let folder = TempDir::new().unwrap();
    let more = ["--from", "earliest", "--rds-ahead", "1", "--rds-folder"];
    let more: Vec<&str> = more.into_iter().chain(folder.path().to_str()).collect();
    std::fs::write(folder.path().join("mysql-bin.000001"), "not of towpath").unwrap();
    source.rds.watch(folder.path());

    write(&source.server, 1..=20);
    let mut serving = source.serve(&more);
    let mut numbers = serving.numbers_until(20);
    assert_eq!(source.rds.list_count(), 0, "nothing was purged yet");
    let mut serving = source.restart(serving, &more);
    serving.wait_until_running();
    serving.towpath.program().terminate();

    // Another host of the instance, whose files have the same names and what looks like it.
    let other = Server::start(version, &["--server-id=9"]);
    other.run(TABLE);
    for begin in [1, 101, 201, 301] {
        write(&other, begin..=begin + 99);
        let name = other.binlog_end().0;
        other.run(version.rotate_sql());
        source.rds.keep("1-other", &other.binlog_folder().join(name), packing);
    }
    for begin in [21, 121, 221] {
        write(&source.server, begin..=begin + 99);
        source.archive("2-own", packing);
    }
    write(&source.server, 321..=340);
    source.rds.fail_lists(&[RdsFault::Broken, RdsFault::Nonsense]);
    source.rds.fail_downloads(&[RdsFault::Broken, RdsFault::Cut(300), RdsFault::Expired]);
    source.rds.fail_downloads(&[RdsFault::Nonsense]);

    let mut serving = source.restart(serving, &more);
    go_on(&mut numbers, serving.numbers_in_batches(60, 1));
    source.is_content(&mut serving);
    source.rds.fail_downloads(&[RdsFault::Cut(5), RdsFault::Expired]);
    let mut serving = source.restart(serving, &more);
    write(&source.server, 341..=350);
    go_on(&mut numbers, serving.numbers_in_batches(150, 1));
    write(&source.server, 351..=360);
    go_on(&mut numbers, serving.numbers_until(360));
    write(&source.server, 361..=370);
    go_on(&mut numbers, serving.numbers_until(370));
    assert_eq!(numbers, exactly(1..=370));
    source.is_content(&mut serving);
    let listed = source.rds.list_count();

    // At the server nothing is asked of the archive.
    let mut serving = source.restart(serving, &more);
    write(&source.server, 371..=380);
    assert_eq!(serving.numbers_until(380), exactly(371..=380));
    assert_eq!(source.rds.list_count(), listed);
    // The stranger, the list, the file that is read, one ahead and one on its way.
    assert!(source.rds.most_files() <= 5, "{}", source.rds.most_files());
    assert_eq!(files(folder.path()), ["mysql-bin.000001"]);
}

#[test]
fn archived_binlogs_of_mysql_are_read_where_the_server_has_purged() {
    by_position(Version::Mysql57, Packing::Plain);
}

#[test]
fn archived_binlogs_of_mariadb_come_out_of_tars() {
    by_position(Version::Mariadb114, Packing::Tar);
}

/// RDS 2: by GTID the archive of any host will do; transactions that were read are left out.
fn by_gtid(version: Version) {
    let source = Source::start(version, &[]);
    write(&source.server, 1..=10);
    let mut serving = source.serve(&["--gtid", "--from", "earliest"]);
    let mut numbers = serving.numbers_until(10);
    serving.towpath.program().terminate();
    write(&source.server, 11..=20);
    source.archive("2", Packing::Plain);
    for begin in [21, 31] {
        write(&source.server, begin..=begin + 9);
        source.archive("2", Packing::Tar);
    }
    write(&source.server, 41..=50);
    let mut serving = source.restart(serving, &["--gtid"]);
    go_on(&mut numbers, serving.numbers_in_batches(25, 1));
    let mut serving = source.restart(serving, &["--gtid"]);
    write(&source.server, 51..=60);
    go_on(&mut numbers, serving.numbers_until(60));
    assert_eq!(numbers, exactly(1..=60));
    source.is_content(&mut serving);
}

#[test]
fn archived_binlogs_of_mysql_are_read_by_gtid() {
    by_gtid(Version::Mysql97);
}

#[test]
fn archived_binlogs_of_mariadb_are_read_by_gtid() {
    by_gtid(Version::Mariadb114);
}

/// RDS 2: a replica's files, which are called otherwise, hold the same transactions.
#[test]
fn a_replicas_archive_will_do_by_gtid() {
    let source = Source::start(Version::Mysql97, &[]);
    write(&source.server, 1..=10);
    let mut serving = source.serve(&["--gtid", "--from", "earliest"]);
    let mut numbers = serving.numbers_until(10);
    serving.towpath.program().terminate();
    let replica = Server::start_replica_of(&source.server, &[]);
    for begin in [11, 21] {
        write(&source.server, begin..=begin + 9);
        replica.wait_until_it_has_all_of(&source.server);
        let name = replica.binlog_end().0;
        replica.run(replica.version().rotate_sql());
        source.rds.keep("replica", &replica.binlog_folder().join(name), Packing::Plain);
    }
    source.rotate();
    source.server.purge_to(&source.server.binlog_end().0);
    write(&source.server, 31..=40);
    let mut serving = source.restart(serving, &["--gtid"]);
    go_on(&mut numbers, serving.numbers_until(40));
    assert_eq!(numbers, exactly(1..=40));
    source.is_content(&mut serving);
}

/// RDS 3: a file that is lost is named, what comes before it is delivered, and nothing behind it.
#[test]
fn a_file_that_neither_has_is_named() {
    let source = Source::start(Version::Mysql57, &[]);
    write(&source.server, 1..=10);
    let mut serving = source.serve(&["--from", "earliest"]);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    serving.towpath.program().terminate();
    let mut names = Vec::new();
    for begin in [11, 21, 31] {
        write(&source.server, begin..=begin + 9);
        let name = source.rotate();
        source.rds.keep("7", &source.path(&name), Packing::Plain);
        names.push(name);
    }
    let copy = TempDir::new().unwrap();
    let kept = copy.path().join(&names[1]);
    std::fs::copy(source.path(&names[1]), &kept).unwrap();
    let now = source.server.binlog_end().0;
    source.server.purge_to(&now);
    source.rds.lose(&names[1]);
    let mut serving = source.restart(serving, &[]);
    let said = serving.says(" is neither on ");
    let archived = format!(
        "nor in the archive, which has {0} to {0} of host 7, {1} to {1} of host 7",
        names[0], names[2]
    );
    for needle in [&names[1], &format!("which keeps {now} to {now}"), &archived] {
        assert!(said.contains(needle.as_str()), "no `{needle}` in {said}");
    }

    source.rds.keep("7", &kept, Packing::Plain);
    let mut serving = source.restart(serving, &[]);
    assert_eq!(serving.numbers_until(40), exactly(11..=40));
    source.is_content(&mut serving);
}

/// RDS 3: where that is asked for, a hole is jumped over and said, up to what the server has.
#[test]
fn a_file_that_neither_has_can_be_jumped_over() {
    for by in [&[][..], &["--gtid"]] {
        let source = Source::start(Version::Mysql97, &[]);
        write(&source.server, 1..=10);
        let more = [by, &["--from", "earliest", "--when-purged", "oldest"]].concat();
        let mut serving = source.serve(&more);
        let mut numbers = serving.numbers_until(10);
        serving.towpath.program().terminate();
        write(&source.server, 11..=20);
        source.archive("7", Packing::Plain);
        write(&source.server, 21..=30);
        let hole = source.archive("7", Packing::Plain);
        source.rds.lose(&hole);
        write(&source.server, 31..=40);
        let mut serving = source.restart(serving, &more);
        go_on(&mut numbers, serving.numbers_until(40));
        let expected: Vec<i64> = exactly(1..=20).into_iter().chain(31..=40).collect();
        assert_eq!(numbers, expected, "{by:?}");
        let said = serving.says("transactions are lost");
        assert!(said.contains(&hole) && said.contains("the archive has"), "{said}");
        // It is behind the cursor.
        write(&source.server, 41..=50);
        let mut serving = source.restart(serving, &more);
        go_on(&mut numbers, serving.numbers_until(50));
        assert_eq!(numbers.last(), Some(&50));
        assert!(!serving.towpath.program().stderr().contains("transactions are lost"));
        source.is_content(&mut serving);
    }
}

/// What `towpath serve` says when it ends at once.
fn refusal(source: &Source, more: &[&str], state: &Path) -> String {
    let state = state.to_str().unwrap();
    let arguments = source.arguments(more);
    let mut all = vec!["--state", state];
    all.extend(arguments.iter().map(String::as_str));
    let ended = Towpath::try_serve(binary(), &all).wait(DEADLINE);
    assert!(!ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stderr.contains(source.rds.secret()), "{}", ended.stderr);
    ended.stderr
}

/// RDS 7: a file that takes long to come is waited for, however far the source is ahead.
#[test]
fn a_slow_archive_is_no_stall() {
    let source = Source::start(Version::Mysql57, &[]);
    write(&source.server, 1..=10);
    let more = ["--from", "earliest", "--stall-timeout", "1", "--status", "127.0.0.1:0"];
    let mut serving = source.serve(&more);
    let mut numbers = serving.numbers_until(10);
    serving.towpath.program().terminate();
    for begin in [11, 21] {
        write(&source.server, begin..=begin + 9);
        source.archive("7", Packing::Plain);
    }
    write(&source.server, 31..=40);
    let late = Duration::from_secs(5);
    source.rds.fail_downloads(&[RdsFault::Late(Duration::ZERO), RdsFault::Late(late)]);
    let mut serving = source.restart(serving, &more);
    let status = status_of(serving.towpath.program());
    wait_until("the second file to be waited for", DEADLINE, || {
        let destination = &state(&status)["destinations"][0];
        let waits = destination["waits_for"] == "a file of the source's archive";
        (waits && destination["reads_from"] == "archive").then_some(())
    });
    go_on(&mut numbers, serving.numbers_until(40));
    assert_eq!(numbers, exactly(1..=40));
    assert_eq!(source.rds.downloads().len(), 2);
    assert!(!serving.towpath.program().stderr().contains("stalled"));
    source.is_content(&mut serving);
}

/// RDS 8: the end of a long transaction is looked for in the file that is there already.
#[test]
fn a_long_transaction_in_an_archive_is_downloaded_once() {
    let source = Source::start(Version::Mysql57, &[]);
    source.server.run("ALTER TABLE d.n ADD pad VARCHAR(2000)");
    let row = |number| format!("INSERT INTO d.n VALUES ({number}, REPEAT('x', 2000));");
    source.server.run(&row(1));
    let mut serving = source.serve(&["--from", "earliest"]);
    assert_eq!(serving.numbers_until(1), [1]);
    serving.towpath.program().terminate();
    let rows: String = (2..=1500).map(row).collect();
    source.server.run(&format!("BEGIN; {rows} COMMIT;"));
    source.archive("7", Packing::Plain);
    source.server.run(&row(1501));
    let mut serving = source.restart(serving, &[]);
    assert_eq!(serving.numbers_until(1501), exactly(2..=1501));
    assert_eq!(source.rds.downloads().len(), 1);
    source.is_content(&mut serving);
}

/// RDS 9: the place behind an incident is told in an archived file as in one of the server.
#[test]
fn an_incident_in_an_archive_is_left_behind() {
    let small = ["--max-binlog-stmt-cache-size=4096", "--binlog-stmt-cache-size=4096"];
    let source = Source::start(Version::Mysql57, &small);
    source.server.run("CREATE TABLE d.m (a VARCHAR(2000)) ENGINE=MyISAM");
    write(&source.server, 1..=10);
    let mut serving = source.serve(&["--from", "earliest"]);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    let ended = serving.end();
    let begin = source.server.binlog_end().0;
    write(&source.server, 11..=12);
    let values = vec!["(REPEAT('x', 2000))"; 40].join(",");
    source.server.run_with_faults(&format!("INSERT INTO d.m VALUES {values};"));
    write(&source.server, 13..=15);
    // The server itself begins another file behind an incident.
    source.rds.keep("7", &source.path(&begin), Packing::Plain);
    source.archive("7", Packing::Plain);
    write(&source.server, 16..=17);
    let arguments = source.arguments(&[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut serving = ended.start(&arguments);
    assert_eq!(serving.numbers_until(12), exactly(11..=12));
    let (said, ended) = stopped(serving);
    assert!(said.contains("incident"), "{said}");
    let mut serving = leave(ended, &arguments, &named(&said, "--instead-of"));
    assert_eq!(numbers_behind_gap(&mut serving, 17), shown(13..=17));
    source.is_content(&mut serving);
}

/// RDS 4: a host whose files are not those that were read, and a key that does not fit, are said.
#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let source = Source::start(Version::Mysql57, &[]);
    let state = TempDir::new().unwrap();
    write(&source.server, 1..=10);
    let begin = source.server.binlog_end();
    let from = format!("{}:{}", begin.0, begin.1);
    let first = source.rotate();
    let foreign = Server::start(Version::Mysql57, &["--server-id=9"]);
    foreign.run(TABLE);
    write(&foreign, 1..=10);
    foreign.run(foreign.version().rotate_sql());
    source.rds.keep("8", &foreign.binlog_folder().join(&first), Packing::Plain);
    source.server.purge_to(&source.server.binlog_end().0);

    let said = refusal(&source, &["--from", &from], state.path());
    for needle in ["look for the binlog that was read", "host 8", "written by server id 9"] {
        assert!(said.contains(needle), "no `{needle}` in {said}");
    }
    source.rds.lose(&first);
    let said = refusal(&source, &["--from", &from], state.path());
    assert!(said.contains("nor in the archive, which has nothing"), "{said}");

    let mut other = source.arguments(&["--from", &from, "--state", state.path().to_str().unwrap()]);
    let key = other.iter().position(|argument| argument == source.rds.secret()).unwrap();
    other[key] = "planted-wrong-secret".to_owned();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let ended = Towpath::try_serve(binary(), &other).wait(DEADLINE);
    assert!(ended.stderr.contains("400 SignatureDoesNotMatch"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("planted-wrong-secret"), "{}", ended.stderr);
}

/// RDS 5: a table that has changed since, first seen in the archive, has the names of then.
#[test]
fn structures_of_archived_rows_are_those_of_then() {
    let source = Source::start(Version::Mysql57, &[]);
    let begin = source.server.binlog_end();
    let from = format!("{}:{}", begin.0, begin.1);
    write(&source.server, 1..=5);
    source.archive("1", Packing::Plain);
    source.server.run("ALTER TABLE d.n ADD COLUMN x INT FIRST, CHANGE id number INT");
    source.archive("1", Packing::Plain);
    source.server.run("INSERT INTO d.n VALUES (60, 6)");
    let mut serving = source.serve(&["--from", &from]);
    let mut expected: Vec<String> = (1..=5).map(|id| format!("INSERT d.n id={id}")).collect();
    expected.push("INSERT d.n x=60 number=6".to_owned());
    let mut rows = serving.rows_until("d\\.n", "x=60 number=6");
    rows.retain(|row| row.starts_with("INSERT "));
    assert_eq!(rows, expected);
    source.is_content(&mut serving);
}

/// RDS 6: while the link to the source is down its files go, also the one that was being read.
#[test]
fn what_is_purged_while_the_link_is_down_comes_from_the_archive() {
    let source = Source::start(Version::Mysql57, &[]);
    let proxy = Proxy::start(source.server.port());
    let url = format!("mysql://canal:canal@{}", proxy.address());
    let mut serving = source.serve(&["--source", &url, "--from", "now"]);
    serving.wait_until_running();
    write(&source.server, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    proxy.set(Fault::Refuse);
    proxy.cut();
    serving.says("connection lost, trying again");
    for begin in [11, 21] {
        write(&source.server, begin..=begin + 9);
        source.archive("1", Packing::Tar);
    }
    write(&source.server, 31..=40);
    proxy.set(Fault::None);
    assert_eq!(serving.numbers_until(40), exactly(11..=40));
    write(&source.server, 41..=50);
    assert_eq!(serving.numbers_until(50), exactly(41..=50));
    source.is_content(&mut serving);
}
