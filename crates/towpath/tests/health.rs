//! What is wrong is told by `/health`, `/state`, the metrics and the log, while it is wrong and no longer:
//! the table of docs/status.md, a test for each line.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use towpath_testkit::{Fault, PATIENT, Proxy, Server, Towpath, Version, ZooKeeper, wait_until};

use crate::binary;
use crate::numbers;
use crate::sequence::{Serving, TABLE, exactly, write};
use crate::status::{get, metric, state, status_of};

/// For anything to be told; a silent source takes ten seconds, a busy machine more.
const DEADLINE: Duration = Duration::from_secs(60);

/// Health of a destination named `example`.
struct Watched<'a> {
    address: &'a str,
    problem: &'a str,
}

impl Watched<'_> {
    fn is_in_metrics(&self) -> bool {
        let sample =
            format!("towpath_problem{{destination=\"example\",problem=\"{}\",}}", self.problem);
        metric(self.address, &sample) > 0.5
    }

    fn in_state(&self) -> Option<Value> {
        let state = state(self.address);
        let problems = state["destinations"][0]["problems"].as_array()?.clone();
        problems.into_iter().find(|problem| problem["kind"] == self.problem)
    }

    /// Waits until it is told everywhere, with its begin and with `why`.
    fn comes(&self, why: &str) {
        let found = wait_until(self.problem, DEADLINE, || self.in_state());
        let told = found["why"].as_str().unwrap();
        assert!(told.contains(why), "{told}");
        assert!(found["since_ms"].as_i64().unwrap() > 1_700_000_000_000, "{found}");
        let (code, body) = get(self.address, "/health");
        assert_eq!(code, 503, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let told = body["problems"]["example"].as_array().unwrap();
        assert!(told.iter().any(|problem| problem["kind"] == self.problem), "{body}");
        assert!(self.is_in_metrics());
        let (succeeds, said) = self.doctor();
        assert!(!succeeds && said.contains(self.problem), "{said}");
    }

    /// Whether the doctor is content, and what it says.
    fn doctor(&self) -> (bool, String) {
        let place = format!("http://{}", self.address);
        let output = Command::new(binary()).args(["doctor", &place]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// Waits until all is well.
    fn goes(&self) {
        wait_until("health", DEADLINE, || (get(self.address, "/health").0 == 200).then_some(()));
        assert!(self.in_state().is_none());
        assert!(!self.is_in_metrics());
        let (succeeds, said) = self.doctor();
        assert!(succeeds, "{said}");
    }
}

fn serving(arguments: &[&str]) -> (Serving, String) {
    let all = [arguments, &["--status", "127.0.0.1:0", PATIENT]].concat();
    let mut serving = Serving::start(&all);
    let address = status_of(serving.towpath.program());
    (serving, address)
}

#[test]
fn a_source_that_is_stopped_is_told() {
    let mut server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    let (mut serving, address) = serving(&["--source", &server.url()]);
    serving.wait_until_running();
    let watched = Watched { address: &address, problem: "source unreachable" };
    watched.goes();
    server.halt();
    watched.comes("127.0.0.1");
    assert_eq!(state(&address)["destinations"][0]["reads_from"], "none");
    serving.says("connection lost, trying again");
    server.go_on();
    watched.goes();
    serving.says("the source is read again");
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
}

#[test]
fn a_source_that_falls_silent_is_told() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let proxy = Proxy::start(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    let (mut serving, address) = serving(&["--source", &url, "--source-timeout", "20"]);
    serving.wait_until_running();
    let watched = Watched { address: &address, problem: "source silent" };
    wait_until("the source to be waited for", DEADLINE, || {
        let state = state(&address);
        (state["destinations"][0]["waits_for"] == "the source to send more").then_some(())
    });
    watched.goes();
    proxy.set(Fault::Silence);
    watched.comes("nothing was heard for");
    let lag = || state(&address)["destinations"][0]["lag_ms"].as_i64().unwrap();
    let before = lag();
    wait_until("the lag to grow", DEADLINE, || (lag() > before).then_some(()));
    let watched = Watched { address: &address, problem: "source unreachable" };
    watched.comes("tried");
    proxy.set(Fault::None);
    watched.goes();
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
}

#[test]
fn a_source_that_is_down_at_the_first_start_is_waited_for() {
    let mut server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    server.halt();
    let (mut serving, address) = serving(&["--source", &server.url()]);
    let watched = Watched { address: &address, problem: "failing" };
    watched.comes("127.0.0.1");
    serving.says("cannot be served here, trying again");
    server.go_on();
    watched.goes();
    serving.says("it works again, after failures");
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
}

#[test]
fn a_password_and_a_privilege_that_are_put_right_heal_the_destination() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    server.run(
        "CREATE USER u IDENTIFIED WITH mysql_native_password BY 'old'; \
         GRANT SELECT, REPLICATION CLIENT ON *.* TO u",
    );
    let url = format!("mysql://u:new@127.0.0.1:{}", server.port());
    let (mut serving, address) = serving(&["--source", &url]);
    let watched = Watched { address: &address, problem: "failing" };
    watched.comes("Access denied");
    server.run("ALTER USER u IDENTIFIED WITH mysql_native_password BY 'new'");
    wait_until("the privilege to be missed", DEADLINE, || {
        watched.in_state()?["why"].as_str()?.contains("REPLICATION SLAVE").then_some(())
    });
    let failing = &state(&address)["destinations"][0]["failing"];
    assert!(failing["failures"].as_u64().unwrap() >= 2, "{failing}");
    server.run("GRANT REPLICATION SLAVE ON *.* TO u");
    watched.goes();
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));

    // The password is changed while it runs, and the connection is lost.
    server.run("ALTER USER u IDENTIFIED WITH mysql_native_password BY 'other'");
    let threads = server.query("SELECT id FROM information_schema.processlist WHERE user = 'u'");
    for thread in threads {
        server.run_with_faults(&format!("KILL {};", thread.concat()));
    }
    watched.comes("Access denied");
    write(&server, 4..=6);
    server.run("ALTER USER u IDENTIFIED WITH mysql_native_password BY 'new'");
    watched.goes();
    assert_eq!(serving.numbers_until(6), exactly(4..=6));
}

/// A dump that begins and ends at once again and again is no source that can be read.
#[test]
fn a_source_that_ends_each_dump_is_told() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let proxy = Proxy::start(server.port());
    let url = format!("mysql://canal:canal@{}", proxy.address());
    let (mut serving, address) = serving(&["--source", &url]);
    serving.wait_until_running();
    serving.says("structures at the start are known");
    let watched = Watched { address: &address, problem: "source unreachable" };
    watched.goes();
    // Enough for a login and the begin of a dump.
    proxy.set(Fault::Truncate(3000));
    proxy.cut();
    watched.comes("tried");
    proxy.set(Fault::None);
    watched.goes();
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
}

#[test]
fn a_state_directory_that_is_gone_is_told() {
    let server = Server::start(Version::Mysql97, &[]);
    server.run(TABLE);
    let (mut serving, address) = serving(&["--source", &server.url()]);
    serving.wait_until_running();
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
    let watched = Watched { address: &address, problem: "state cannot be written" };
    watched.goes();
    let (place, aside) = (serving.state_path(""), serving.state_path("").with_extension("aside"));
    fs::rename(&place, &aside).unwrap();
    watched.comes("");
    wait_until("what has happened to be told", DEADLINE, || {
        watched.in_state()?["why"].as_str()?.contains("was removed or replaced").then_some(())
    });
    serving.says("the state directory cannot be written");
    write(&server, 4..=6);
    assert!(!place.exists());
    fs::rename(&aside, &place).unwrap();
    watched.goes();
    serving.says("the state directory can be written again");
    assert_eq!(serving.numbers_until(6), exactly(4..=6));
}

/// Something in the place of the file that is written before each change of the cursors takes effect.
fn a_state_that_cannot_be_written(block: impl Fn(&Path), unblock: impl Fn(&Path), why: &str) {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    let url = server.url();
    let (mut serving, address) = serving(&["--source", &url]);
    serving.wait_until_running();
    write(&server, 1..=3);
    assert_eq!(serving.numbers_until(3), exactly(1..=3));
    let watched = Watched { address: &address, problem: "state cannot be written" };
    watched.goes();
    let place = serving.state_path("example/meta.dat.tmp");
    block(&place);
    write(&server, 4..=6);
    assert_eq!(serving.numbers_until(6), exactly(4..=6));
    watched.comes(why);
    serving.says("cursors cannot be written, trying again");
    unblock(&place);
    watched.goes();
    serving.says("cursors can be written again");
    let mut serving = serving.restart(&["--source", &url]);
    write(&server, 7..=9);
    assert_eq!(serving.numbers_until(9), exactly(7..=9));
}

#[test]
fn a_full_disk_is_told() {
    let block = |place: &Path| symlink("/dev/full", place).unwrap();
    let unblock = |place: &Path| fs::remove_file(place).unwrap();
    a_state_that_cannot_be_written(block, unblock, "No space left on device");
}

#[test]
fn a_state_directory_that_refuses_writes_is_told() {
    let block = |place: &Path| fs::create_dir(place).unwrap();
    let unblock = |place: &Path| fs::remove_dir(place).unwrap();
    a_state_that_cannot_be_written(block, unblock, "check the permissions and free space");
}

#[test]
fn a_zookeeper_that_is_away_is_told() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    let mut zookeeper = ZooKeeper::start();
    let options = ["--status", "127.0.0.1:0"];
    let mut towpath = numbers::serve_with(&server, &zookeeper.address(), &options);
    let address = status_of(towpath.program());
    let watched = Watched { address: &address, problem: "ZooKeeper unreachable" };
    watched.goes();
    zookeeper.halt();
    watched.comes("");
    towpath.program().wait_for_line("no session with ZooKeeper, trying again", DEADLINE);
    zookeeper.go_on();
    watched.goes();
    towpath.program().wait_for_line("ZooKeeper session established", DEADLINE);
}

#[test]
fn a_full_store_that_nobody_empties_is_told() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.wide (a LONGTEXT)");
    let (mut serving, address) = serving(&["--source", &server.url(), "--store-size", "1"]);
    serving.wait_until_running();
    let watched = Watched { address: &address, problem: "store full" };
    watched.goes();
    for _ in 0..8 {
        server.run("INSERT INTO d.wide VALUES (REPEAT('x', 500000))");
    }
    write(&server, 1..=3);
    watched.comes("nobody has taken or acknowledged anything");
    let rows = serving.rows_until(".*\\..*", "id=3");
    assert_eq!(rows.last().map(String::as_str), Some("INSERT d.n id=3"));
    watched.goes();
}

#[test]
fn the_log_is_one_object_a_line_if_that_is_wanted() {
    let server = Server::start(Version::Mysql80, &[]);
    let arguments = ["--source", &server.url(), "--log-format", "json", "--log-level", "debug"];
    let mut serving = Towpath::try_serve(binary(), &arguments);
    serving.wait_for_line("\"to\":\"running\"", DEADLINE);
    let ended = serving.kill();
    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let has = |message: &str| lines.iter().any(|line| line["message"] == message);
    assert!(has("instance changed state"), "{}", ended.stderr);
    assert!(lines.iter().any(|line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("listening on"))
    }));
    assert!(lines.iter().all(|line| line["level"].is_string()));
}
