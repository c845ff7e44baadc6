//! A source that goes away, falls silent, changes places or loses its past.

use std::process::Command;
use std::time::{Duration, Instant};

use towpath_testkit::{Ended, Fault, Program, Proxy, Server, Version, free_port, wait_until};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, write};

const GTID: &[&str] = &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];

/// The master dies, its replica, whose files are called otherwise, is promoted.
fn promoted(version: Version, server_arguments: &[&str], arguments: &[&str]) -> Vec<i64> {
    let mut master = Server::start(version, server_arguments);
    master.run(TABLE);
    let standby = Server::start_replica_of(&master, server_arguments);
    // The standby's binlog has to be older than the interval that reading goes back by time.
    let clock = || master.query("SELECT UNIX_TIMESTAMP()")[0][0].parse::<u64>().unwrap();
    let begun = clock();
    wait_until("two seconds to pass", Duration::from_secs(10), || {
        (clock() > begun + 2).then_some(())
    });
    let (source, other) = (master.url(), standby.url());
    let mut all = vec!["--source", &source, "--standby", &other, "--from", "now"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    write(&master, 1..=40);
    let mut numbers = serving.numbers_until(40);
    write(&master, 41..=60);
    standby.wait_until_it_has_all_of(&master);
    master.halt();
    standby.promote();
    write(&standby, 61..=80);
    numbers.extend(serving.numbers_until(80));
    // What was acknowledged on the new server holds after a restart, too.
    write(&standby, 81..=90);
    let mut serving = serving.restart(&all);
    numbers.extend(serving.numbers_until(90));
    numbers
}

/// F3, T-POS-5: nothing lost, nothing doubled.
#[test]
fn a_promoted_mysql_replica_is_followed_by_gtid() {
    assert_eq!(promoted(Version::Mysql97, &[], &["--gtid"]), exactly(1..=90));
}

/// F12: the first address refuses.
#[test]
fn a_promoted_mysql_57_replica_is_followed_by_gtid() {
    assert_eq!(promoted(Version::Mysql57, GTID, &["--gtid"]), exactly(1..=90));
}

/// F26.
#[test]
fn a_promoted_mariadb_replica_is_followed_by_gtid() {
    assert_eq!(promoted(Version::Mariadb114, &[], &["--gtid"]), exactly(1..=90));
}

/// Without GTIDs by time: nothing lost, the last interval comes again.
#[test]
fn a_promoted_replica_without_gtids_is_followed_by_time() {
    let numbers = promoted(Version::Mysql57, GTID, &["--fallback-interval", "1"]);
    let mut highest = 0;
    for number in numbers {
        assert!(number <= highest + 1, "{number} after {highest}: numbers are lost");
        highest = highest.max(number);
    }
    assert_eq!(highest, 90);
}

/// How long the detecting statement may go without an answer: three questions, and ten seconds for the
/// last one.
const DETECTED: Duration = Duration::from_secs(13);

/// For what else takes time on a busy machine; less than the ten seconds of one more question.
const SLACK: Duration = Duration::from_secs(8);

/// F12, F13: the detecting statement finds out what the dump alone would wait for; a master that only
/// needs a second is kept.
fn left_for_its_standby(fault: Fault) {
    let master = Server::start(Version::Mariadb1011, &[]);
    master.run(TABLE);
    let standby = Server::start_replica_of(&master, &[]);
    let proxy = Proxy::start(master.port());
    let source = format!("mysql://canal:canal@{}", proxy.address());
    let other = standby.url();
    let detecting = ["--detect-sql", "SELECT 1", "--detect-interval", "1", "--detect-retries", "2"];
    let mut all = vec!["--source", &source, "--standby", &other, "--gtid", "--from", "now"];
    all.extend(detecting);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    write(&master, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    proxy.set(fault);
    let begun = Instant::now();
    serving.says("going over to the other server");
    assert!(begun.elapsed() < DETECTED + SLACK, "{fault:?}: {:?}", begun.elapsed());
    proxy.set(Fault::None);
    standby.wait_until_it_has_all_of(&master);
    standby.promote();
    write(&standby, 11..=20);
    assert_eq!(serving.numbers_until(20), exactly(11..=20));
}

#[test]
fn a_silent_master_is_left_for_its_standby() {
    left_for_its_standby(Fault::Silence);
}

#[test]
fn a_master_that_is_too_slow_is_left_for_its_standby() {
    left_for_its_standby(Fault::Delay(Duration::from_secs(8)));
}

/// F12: it refuses, and the detecting statement need not wait.
#[test]
fn a_master_that_refuses_is_left_for_its_standby() {
    left_for_its_standby(Fault::Refuse);
}

/// F12: each answer comes seconds late, and is an answer.
#[test]
fn a_slow_master_is_kept() {
    let master = Server::start(Version::Mariadb1011, &[]);
    master.run(TABLE);
    let standby = Server::start_replica_of(&master, &[]);
    let proxy = Proxy::start(master.port());
    let source = format!("mysql://canal:canal@{}", proxy.address());
    let other = standby.url();
    let mut all = vec!["--source", &source, "--standby", &other, "--gtid", "--from", "now"];
    all.extend(["--detect-sql", "SELECT 1", "--detect-interval", "1", "--detect-retries", "0"]);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    write(&master, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    // Three seconds there and back: longer than the interval, shorter than is waited for an answer.
    proxy.set(Fault::Delay(Duration::from_millis(1500)));
    for number in 11..=15 {
        write(&master, number..=number);
        assert_eq!(serving.numbers_until(number), [number]);
    }
    assert!(!serving.towpath.program().stderr().contains("going over"));
}

/// F12: without a standby the same server is waited for.
#[test]
fn a_silent_master_without_a_standby_is_waited_for() {
    let master = Server::start(Version::Mysql57, &[]);
    master.run(TABLE);
    let proxy = Proxy::start(master.port());
    let source = format!("mysql://canal:canal@{}", proxy.address());
    let mut all = vec!["--source", &source, "--from", "now"];
    all.extend(["--detect-sql", "SELECT 1", "--detect-interval", "1", "--detect-retries", "0"]);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    write(&master, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    proxy.set(Fault::Silence);
    write(&master, 11..=20);
    serving.says("the detecting statement failed too often");
    proxy.set(Fault::None);
    assert_eq!(serving.numbers_until(20), exactly(11..=20));
}

/// The standby lacks what the master had delivered.
#[test]
fn a_standby_with_less_than_was_read_stops_the_instance() {
    let mut master = Server::start(Version::Mysql97, &[]);
    master.run(TABLE);
    let standby = Server::start_replica_of(&master, &[]);
    let (source, other) = (master.url(), standby.url());
    let mut serving =
        Serving::start(&["--source", &source, "--standby", &other, "--gtid", "--from", "now"]);
    serving.wait_until_running();
    standby.promote();
    write(&master, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    master.halt();
    write(&standby, 1..=3);
    let line = serving.says("the source has less than was read before");
    assert!(line.contains("it lacks"), "{line}");
    // It is given time to catch up, and then the instance stops.
    serving.says("error: the server stopped");
}

fn reset(version: Version, arguments: &[&str]) {
    let master = Server::start(version, &[]);
    master.run(TABLE);
    let source = master.url();
    let mut all = vec!["--source", &source, "--from", "now", "--source-timeout", "4"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    write(&master, 1..=200);
    assert_eq!(serving.numbers_until(200), exactly(1..=200));
    master.run(version.reset_sql());
    write(&master, 201..=203);
    // Not every version ends the dump at a reset.
    for row in master.query("SHOW PROCESSLIST") {
        if row[4].contains("Binlog Dump") {
            master.run_with_faults(&format!("KILL {};", row[0]));
        }
    }
    let line = serving.says("less than was read");
    assert!(line.contains("it lacks"), "{line}");
}

#[test]
fn a_reset_is_noticed_by_position() {
    reset(Version::Mysql80, &[]);
    reset(Version::Mariadb1011, &[]);
}

#[test]
fn a_reset_is_noticed_by_gtid() {
    reset(Version::Mysql97, &["--gtid"]);
    reset(Version::Mariadb118, &["--gtid"]);
}

/// F13, T-WEDGE-3: packets are dropped while the source goes on.
#[test]
fn reading_goes_on_after_a_black_hole() {
    for version in [Version::Mysql80, Version::Mariadb114] {
        let server = Server::start(version, &[]);
        server.run(TABLE);
        let (proxy, mut serving) = Serving::behind_proxy(&server, &["--source-timeout", "2"]);
        write(&server, 1..=50);
        assert_eq!(serving.numbers_until(50), exactly(1..=50));
        proxy.set(Fault::Silence);
        write(&server, 51..=100);
        let line = serving.says("connection lost, trying again");
        assert!(line.contains("read the binlog: nothing came for 2 s"), "{line}");
        proxy.set(Fault::None);
        assert_eq!(serving.numbers_until(100), exactly(51..=100));
        // Idle, but for heartbeats: the connection stays.
        let connections = proxy.accepted();
        write(&server, 101..=101);
        assert_eq!(serving.numbers_until(101), exactly(101..=101));
        assert_eq!(proxy.accepted(), connections, "{version:?}");
    }
}

/// A connection that is cut again and again.
#[test]
fn cut_connections_lose_and_double_nothing() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let (proxy, mut serving) = Serving::behind_proxy(&server, &[]);
    for round in 0..5 {
        write(&server, round * 20 + 1..=round * 20 + 20);
        let before = proxy.accepted();
        proxy.cut();
        wait_until("another connection", Duration::from_secs(30), || {
            (proxy.accepted() > before).then_some(())
        });
    }
    assert_eq!(serving.numbers_until(100), exactly(1..=100));
}

/// F11: a file of the same name on another binlog is not read blindly, after a restart either.
#[test]
fn a_restart_on_a_binlog_begun_anew_is_refused() {
    for version in [Version::Mysql80, Version::Mariadb118] {
        let server = Server::start(version, &[]);
        server.run(TABLE);
        let source = server.url();
        let arguments = ["--source", source.as_str(), "--from", "now"];
        let mut serving = Serving::start(&arguments);
        serving.wait_until_running();
        write(&server, 1..=20);
        assert_eq!(serving.numbers_until(20), exactly(1..=20));
        // Nothing has changed: it goes on.
        write(&server, 21..=30);
        let mut serving = serving.restart(&arguments);
        assert_eq!(serving.numbers_until(30), exactly(21..=30));
        server.run(version.reset_sql());
        write(&server, 31..=300);
        let mut serving = serving.restart_failing(&arguments);
        let line = serving.says("less than was read");
        // A server that is slow at its start may have begun more files.
        assert!(line.contains("it lacks "), "{line}");
    }
}

/// How the address of the master leads elsewhere for new connections, while those that there are stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    /// Nobody answers: there is a standby.
    Nobody,
    /// The replica, as behind an address that moves.
    Replica,
}

/// A master, its replica, the master's address, and the arguments to follow it by GTID.
struct Moving {
    master: Server,
    replica: Server,
    proxy: Proxy,
    arguments: Vec<String>,
    elsewhere: Elsewhere,
}

impl Moving {
    fn start(version: Version, server_arguments: &[&str], elsewhere: Elsewhere) -> Self {
        let master = Server::start(version, server_arguments);
        master.run(TABLE);
        master.run("ALTER TABLE d.n ADD pad VARCHAR(2000)");
        let replica = Server::start_replica_of(&master, server_arguments);
        let proxy = Proxy::start(master.port());
        let mut arguments = vec!["--gtid".to_owned(), "--from".to_owned(), "now".to_owned()];
        if elsewhere == Elsewhere::Nobody {
            arguments.extend(["--standby".to_owned(), replica.url()]);
        }
        Self { master, replica, proxy, arguments, elsewhere }
    }

    fn url(&self) -> String {
        format!("mysql://canal:canal@{}", self.proxy.address())
    }

    fn serve(&self) -> Serving {
        let url = self.url();
        let arguments = self.arguments.iter().map(String::as_str);
        Serving::start(&["--source", &url].into_iter().chain(arguments).collect::<Vec<_>>())
    }

    fn moves(&self) {
        self.proxy.retarget(match self.elsewhere {
            Elsewhere::Nobody => free_port(),
            Elsewhere::Replica => self.replica.port(),
        });
    }

    /// A transaction of some 3 MB.
    fn write_long(&self, numbers: std::ops::RangeInclusive<i64>) {
        let rows: String = numbers
            .map(|n| format!("INSERT INTO d.n VALUES ({n}, REPEAT('x', 2000));\n"))
            .collect();
        self.master.run(&format!("BEGIN;\n{rows}COMMIT;"));
        self.replica.wait_until_it_has_all_of(&self.master);
    }
}

/// The end of a long transaction is asked of a server that is not there any more.
#[test]
fn a_master_that_is_gone_within_a_long_transaction_is_left() {
    for (version, server_arguments) in [(Version::Mariadb1011, &[][..]), (Version::Mysql57, GTID)] {
        for elsewhere in [Elsewhere::Nobody, Elsewhere::Replica] {
            let moving = Moving::start(version, server_arguments, elsewhere);
            let mut serving = moving.serve();
            serving.wait_until_running();
            moving.master.run("INSERT INTO d.n VALUES (1, '')");
            assert_eq!(serving.numbers_until(1), [1]);
            moving.moves();
            moving.write_long(2..=1500);
            let numbers = serving.numbers_until(1500);
            assert_eq!(numbers, exactly(2..=1500), "{version:?} {elsewhere:?}");
            serving.says("a question beside the dump has no answer");
        }
    }
}

/// The structures at the start are asked for.
#[test]
fn a_master_that_is_gone_before_it_has_told_its_structures_is_left() {
    for elsewhere in [Elsewhere::Nobody, Elsewhere::Replica] {
        let moving = Moving::start(Version::Mysql97, &[], elsewhere);
        // The dump has begun before another connection is made.
        moving.proxy.set(Fault::Delay(Duration::from_millis(100)));
        let mut serving = moving.serve();
        wait_until("a connection", Duration::from_secs(30), || {
            (moving.proxy.accepted() > 0).then_some(())
        });
        moving.moves();
        serving.says("a question beside the dump has no answer");
        moving.proxy.set(Fault::None);
        serving.says("structures at the start are known");
        moving.master.run("INSERT INTO d.n VALUES (1, ''), (2, '')");
        assert_eq!(serving.numbers_until(2), [1, 2], "{elsewhere:?}");
    }
}

/// The structure of a table is asked for, by the command line.
#[test]
fn a_master_that_is_gone_before_it_has_told_a_structure_is_left() {
    for elsewhere in [Elsewhere::Nobody, Elsewhere::Replica] {
        let moving = Moving::start(Version::Mariadb114, &[], elsewhere);
        let url = moving.url();
        let mut tail = Command::new(binary());
        tail.args(["tail", "--json", "--filter", "d\\.n", "--no-query-dml", "--limit", "10"]);
        tail.args(&moving.arguments).arg(&url);
        let mut tail = Program::start(&mut tail, "build the towpath binary");
        tail.wait_for_line("following ", Duration::from_secs(60));
        moving.moves();
        moving.write_long(1..=10);
        let Ended { status, stdout, stderr } = tail.wait(Duration::from_secs(90));
        assert!(
            status.success() && stdout.lines().count() == 10,
            "{elsewhere:?}: {stdout}{stderr}"
        );
    }
}
