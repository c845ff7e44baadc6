//! `towpath doctor` against real servers, well and ill: what it finds, what it says, how it ends.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use towpath_coordination::{ZkSession, ZkUrl};
use towpath_testkit::{
    CanalClient, Fault, Program, Proxy, Server, Towpath, Version, ZooKeeper, wait_until,
};

use crate::binary;

const DEADLINE: Duration = Duration::from_secs(60);
/// For a server that is to be found silent, in seconds.
const SHORT: &str = "2";

/// What a run of `towpath doctor --json` found.
pub(crate) struct Diagnosis {
    code: i32,
    findings: Vec<Value>,
    said: String,
}

impl Diagnosis {
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["doctor", "--json"]).args(arguments);
        let ended = Program::start(&mut command, "build the towpath binary").wait(DEADLINE);
        let read = |line: &str| serde_json::from_str(line).unwrap();
        Self {
            code: ended.status.code().unwrap(),
            findings: ended.stdout.lines().map(read).collect(),
            said: format!("{arguments:?}:\n{}{}", ended.stdout, ended.stderr),
        }
    }

    /// There is such a finding, and it has all of `needles` in its text and fix.
    pub(crate) fn has(&self, result: &str, step: &str, needles: &[&str]) -> &Self {
        let found = self.findings.iter().any(|finding| {
            let text = format!("{} {}", finding["text"], finding["fix"]);
            finding["result"] == result
                && finding["step"] == step
                && needles.iter().all(|needle| text.contains(needle))
        });
        assert!(found, "no {result} of {step} with {needles:?} in {}", self.said);
        self
    }

    fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}", self.said);
        self
    }

    pub(crate) fn has_no(&self, result: &str) -> &Self {
        assert!(self.findings.iter().all(|f| f["result"] != result), "{}", self.said);
        self
    }
}

/// A session of the test itself, to write what others would not.
async fn session(zookeeper: &ZooKeeper) -> ZkSession {
    let url: ZkUrl = zookeeper.address().parse().unwrap();
    ZkSession::connect(&url, Duration::from_secs(10), DEADLINE).await.unwrap()
}

fn zk(zookeeper: &ZooKeeper) -> String {
    format!("zk://{}/otter/canal", zookeeper.address())
}

#[test]
fn a_healthy_cluster_is_found_healthy_and_a_purged_cursor_is_named() {
    let zookeeper = ZooKeeper::start();
    let source = Server::start(
        Version::Mariadb1011,
        &["--binlog-row-metadata=FULL", "--expire-logs-days=7", "--gtid-strict-mode=1"],
    );
    source.run("CREATE DATABASE shop; CREATE TABLE shop.boat (id INT PRIMARY KEY)");
    let url = source.url();
    let serve = || {
        let arguments = ["--source", &url, "--from", "earliest", "--session-timeout", "4"];
        Towpath::serve_in_cluster(binary(), &zookeeper.address(), &arguments)
    };
    let mut one = serve();
    one.program().wait_for_line(" active ", DEADLINE);
    let mut two = serve();
    two.program().wait_for_line("standing by", DEADLINE);
    let mut client = CanalClient::follow_cluster(&zookeeper.address(), "example");
    source.run("INSERT INTO shop.boat VALUES (1)");
    client.wait_for_line("id=1", DEADLINE);
    let cluster = zk(&zookeeper);
    let healthy = || Diagnosis::of(&[&cluster, "--source", &url]);
    // The cursor reaches the tree a moment after the row reached the client.
    let diagnosis = wait_until("a cluster without a warning", DEADLINE, || {
        let diagnosis = healthy();
        diagnosis.findings.iter().all(|f| f["result"] != "warning").then_some(diagnosis)
    });
    diagnosis
        .ends_with(0)
        .has_no("failure")
        .has_no("skipped")
        .has("ok", "ensemble", &["ZooKeeper 3.", "standalone"])
        .has("ok", "running", &[&one.address(), "serves it"])
        .has("ok", "cluster", &[&two.address(), "stands by"])
        .has("ok", "clients", &["1001"])
        .has("ok", "cursor", &["mysql-bin.000001:"])
        .has("ok", "position", &["binlog"])
        .has("ok", "lock", &["127.0.0.1:"])
        .has("ok", "dump", &["REPLICATION SLAVE is granted"])
        .has("ok", "gtid", &["gtid_strict_mode is on"])
        .has("note", "tables", &["1, without a primary key: 0"]);

    each_server_is_told_from_the_other(&cluster, &one, &two);

    // Everybody goes, the source throws its binlog away, a writer goes on.
    drop(client);
    for server in [two, one] {
        assert!(server.terminate().status.success());
    }
    source.run("FLUSH BINARY LOGS");
    source.purge_to("mysql-bin.000002");
    Diagnosis::of(&[&cluster, "--source", &url])
        .ends_with(1)
        .has("warning", "servers", &["no server of this cluster runs"])
        .has("failure", "cluster", &["no server is registered", "start a server"])
        .has("failure", "running", &["no server is active"])
        .has(
            "failure",
            "position",
            &["purged: the client goes on at mysql-bin.000001:", "keeps mysql-bin.000002:4 to"],
        );
    source.run("RESET MASTER TO 7");
    Diagnosis::of(&[&cluster, "--source", &url]).ends_with(1).has(
        "failure",
        "position",
        &["keeps mysql-bin.000007:4"],
    );
}

fn each_server_is_told_from_the_other(cluster: &str, one: &Towpath, two: &Towpath) {
    let place = |server: &Towpath, name: &str| format!("canal://{}/{name}", server.address());
    Diagnosis::of(&[&place(one, "example")]).ends_with(0).has(
        "ok",
        "destination",
        &["`example` is served here"],
    );
    Diagnosis::of(&[&place(two, "example")]).ends_with(1).has(
        "failure",
        "destination",
        &["not served here", "should start first"],
    );
    Diagnosis::of(&[&place(one, "other")]).ends_with(1).has("failure", "destination", &["`other`"]);
    // It asked without a trace.
    let ids = Diagnosis::of(&[cluster]);
    ids.ends_with(0).has("ok", "clients", &["client id 1001"]);
}

#[tokio::test(crate = "towpath_testkit")]
async fn what_is_wrong_in_the_tree_is_named_with_its_node() {
    let zookeeper = ZooKeeper::start();
    let cluster = zk(&zookeeper);
    Diagnosis::of(&[&cluster])
        .ends_with(1)
        .has("failure", "root", &["is not there: the tree ends at /", "check the path"])
        .has("skipped", "running", &["because root failed"]);
    let session = session(&zookeeper).await;
    let tree = session.tree();
    session.create_persistent("/otter/canal").await.unwrap();
    Diagnosis::of(&[&cluster]).ends_with(1).has("failure", "destinations", &["no destination"]);
    let elsewhere = format!("zk://{}/chroot/otter/canal", zookeeper.address());
    Diagnosis::of(&[&elsewhere]).ends_with(1).has("failure", "root", &["tree at /otter/canal"]);

    session.create_persistent(&tree.cluster("shop")).await.unwrap();
    Diagnosis::of(&[&cluster])
        .ends_with(1)
        .has("failure", "cluster", &["no server is registered", "nobody to connect to"])
        .has("failure", "running", &["no server is active"]);
    let named = format!("{cluster}?destination=other");
    Diagnosis::of(&[&named]).ends_with(1).has("failure", "destinations", &["`other`", "shop"]);

    // A stale server, a name that is none, and payloads of every wrong kind.
    let stale = format!("{}/127.0.0.1:1", tree.cluster("shop"));
    session.create_ephemeral(&stale, b"").await.unwrap();
    session.create_persistent(&format!("{}/nonsense", tree.cluster("shop"))).await.unwrap();
    let running = tree.running("shop");
    let address = r#"{"active":true,"address":"127.0.0.1:1"}"#;
    session.create_ephemeral(&running, address.as_bytes()).await.unwrap();
    Diagnosis::of(&[&cluster])
        .ends_with(1)
        .has("warning", "cluster", &["127.0.0.1:1 is registered, and stale: nobody answers"])
        .has("warning", "cluster", &["nonsense is no host:port", "delete /otter"])
        .has("failure", "cluster", &["no registered server answers"])
        .has("failure", "running", &["stale: 127.0.0.1:1 is named as the active server"]);
    let zookeeper_itself = format!(r#"{{"address":"{}"}}"#, zookeeper.address());
    for (payload, says) in [
        ("{}", "there is no address"),
        ("not json", "holds `not json`"),
        (r#"{"address":7}"#, "invalid type"),
        (r#"{"address":"nowhere"}"#, "names `nowhere`, which is no host:port"),
        (&zookeeper_itself, "is active, and not registered among its servers"),
    ] {
        session.set(&running, payload.as_bytes(), None).await.unwrap();
        let diagnosis = Diagnosis::of(&[&cluster, "--deadline", SHORT]);
        let verdict = if says.contains("not registered") { "warning" } else { "failure" };
        diagnosis.ends_with(1).has(verdict, "running", &[says]);
    }
    session.delete(&running, None).await.unwrap();
    session.put(&running, address.as_bytes()).await.unwrap();

    // A client: filter, cursor, lock.
    session.put(&tree.filter("shop", 1001), b"a(").await.unwrap();
    session.put(&tree.cursor("shop", 1001), b"{\"postion\":1}").await.unwrap();
    session.put(&tree.client_running("shop", 1001), b"{}").await.unwrap();
    let waiting = r#"{"active":true,"address":"10.0.0.9","clientId":1002}"#;
    let lock = tree.client_running("shop", 1002);
    session.create_ephemeral(&lock, waiting.as_bytes()).await.unwrap();
    let old = r#"{"postion":{"journalName":"b.1","position":4,"timestamp":1500000000000}}"#;
    session.put(&tree.cursor("shop", 1002), old.as_bytes()).await.unwrap();
    let nodes = zookeeper.figure("zk_znode_count");
    Diagnosis::of(&[&cluster])
        .ends_with(1)
        .has("failure", "running", &["persistent: it stays for ever"])
        .has("warning", "clients", &["1001, 1002"])
        .has("failure", "filter", &["1001/filter", "compiles"])
        .has("failure", "cursor", &["1001/cursor holds", "postion"])
        .has("failure", "lock", &["persistent: nobody holds it"])
        .has("warning", "lock", &["10.0.0.9 holds it", "is not connected to a server"])
        .has("warning", "cursor", &["b.1:4, a change of", "days ago"]);
    assert_eq!(zookeeper.figure("zk_znode_count"), nodes, "it looks, and writes nothing");
    wait_until("the doctor's session to be over", DEADLINE, || {
        (zookeeper.sessions() == 1).then_some(())
    });
}

/// Servers that answer, and are not what the tree says they are.
#[tokio::test(crate = "towpath_testkit")]
async fn servers_are_asked_whether_they_do_what_the_tree_says() {
    let zookeeper = ZooKeeper::start();
    let source = Server::start(Version::Mariadb1011, &[]);
    let url = source.url();
    let states = [tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap()];
    let states = states.each_ref().map(|state| state.path().to_str().unwrap());
    let mut open = Towpath::serve(binary(), &["--source", &url, "--state", states[0]]);
    let password = ["--user", "app", "--password", "secret"];
    let arguments = ["--source", &url, "--state", states[1]];
    let mut closed = Towpath::serve(binary(), &[&arguments[..], &password].concat());
    for server in [&mut open, &mut closed] {
        server.program().wait_for_line("to=\"running\"", DEADLINE);
    }
    let session = session(&zookeeper).await;
    let (tree, cluster) = (session.tree(), zk(&zookeeper));
    let payload =
        |address: &str| format!(r#"{{"active":true,"address":"{address}"}}"#).into_bytes();
    let registered = |server: &Towpath, name: &str| {
        (format!("{}/{}", tree.cluster(name), server.address()), payload(&server.address()))
    };

    // It has the node of a destination that it does not serve.
    let (node, active) = registered(&open, "shop");
    session.create_ephemeral(&node, b"").await.unwrap();
    session.create_ephemeral(&tree.running("shop"), &active).await.unwrap();
    Diagnosis::of(&[&cluster]).ends_with(1).has("ok", "cluster", &["stands by"]).has(
        "failure",
        "running",
        &["does not serve it: destination:shop should start first"],
    );
    session.delete(&tree.running("shop"), None).await.unwrap();
    session.delete(&node, None).await.unwrap();

    // Two serve at once, and one of them lets nobody in without a password.
    let (first, _) = registered(&open, "example");
    let (second, active) = registered(&closed, "example");
    for node in [&first, &second] {
        session.create_ephemeral(node, b"").await.unwrap();
    }
    session.create_ephemeral(&tree.running("example"), &active).await.unwrap();
    let example = format!("{cluster}?destination=example");
    Diagnosis::of(&[&example])
        .ends_with(1)
        .has("failure", "running", &[&open.address(), "serves it too", "two servers deliver"])
        .has("warning", "running", &[&closed.address(), "auth failed", "--password"]);
    session.delete(&first, None).await.unwrap();
    Diagnosis::of(&[&example]).ends_with(0).has("warning", "running", &["auth failed"]);
    Diagnosis::of(&[&[example.as_str()][..], &password].concat()).ends_with(0).has(
        "ok",
        "running",
        &["and serves it"],
    );
}

#[test]
fn a_zookeeper_that_is_away_or_silent_is_told_in_time() {
    let mut zookeeper = ZooKeeper::start();
    let link = Proxy::start(zookeeper.port());
    let both = format!("zk://{},127.0.0.1:1/otter/canal", zookeeper.address());
    // One of two is away: a warning, and the way on.
    Diagnosis::of(&[&both]).has("warning", "ensemble", &["nobody answers", "nothing listens"]).has(
        "ok",
        "session",
        &["session 0x"],
    );
    let twice = format!("zk://{},{}/otter/canal", zookeeper.address(), link.address());
    Diagnosis::of(&[&twice]).ends_with(1).has("failure", "ensemble", &["not one ensemble"]);
    link.set(Fault::Silence);
    let silent = format!("zk://{}/otter/canal", link.address());
    Diagnosis::of(&[&silent, "--deadline", SHORT])
        .ends_with(1)
        .has("failure", "ensemble", &["accepts connections and says nothing within 2 s"])
        .has("failure", "session", &["no session within"])
        .has("skipped", "root", &["because session failed"])
        .has("skipped", "running", &["because session failed"]);
    zookeeper.halt();
    Diagnosis::of(&[&zk(&zookeeper)])
        .ends_with(1)
        .has("failure", "ensemble", &["nobody answers", "nothing listens on that port"])
        .has("failure", "session", &["no session within"])
        .has("skipped", "destinations", &["because session failed"]);
}

#[test]
fn a_source_is_found_wanting_step_by_step() {
    let source = Server::start(
        Version::Mariadb1011,
        &["--binlog-row-image=MINIMAL", "--binlog-ignore-db=audit", "--expire-logs-days=0.5"],
    );
    source.run(
        "CREATE DATABASE shop; CREATE TABLE shop.boat (id INT); \
         CREATE USER poor@'%' IDENTIFIED BY 'x'; \
         CREATE USER reader@'%' IDENTIFIED BY 'x'; GRANT SELECT ON shop.* TO reader@'%'; \
         CREATE USER slave@'%' IDENTIFIED BY 'x'; GRANT REPLICATION SLAVE ON *.* TO slave@'%'",
    );
    let port = source.port();
    let url = |login: &str| format!("mysql://{login}@127.0.0.1:{port}");
    Diagnosis::of(&[&source.url()])
        .ends_with(0)
        .has("ok", "login", &["by mysql_native_password, in clear"])
        .has("ok", "version", &["MariaDB", "10.11"])
        .has("ok", "clock", &["this machine's"])
        .has("warning", "row_image", &["MINIMAL"])
        .has("note", "row_metadata", &["NO_LOG"])
        .has("warning", "binlog_filter", &["not of audit (binlog_ignore_db)"])
        .has("warning", "expire", &["12 h only", "binlog_expire_logs_seconds"])
        .has("note", "tables", &["1, without a primary key: 1"])
        .has("ok", "dump", &["arrived"]);
    let wrong = Diagnosis::of(&[&url("canal:secret")]);
    wrong.ends_with(1).has("failure", "login", &["errno = 1045", "check user and password"]).has(
        "skipped",
        "dump",
        &["because login failed"],
    );
    assert!(!wrong.said.lines().skip(1).any(|line| line.contains("secret")), "{}", wrong.said);
    Diagnosis::of(&[&url("poor:x")])
        .ends_with(1)
        .has("failure", "select", &["lacks SELECT", "GRANT SELECT ON *.* TO 'poor'@'%'"])
        .has("failure", "binlog_status", &["lacks REPLICATION CLIENT", "GRANT REPLICATION CLIENT"])
        .has("failure", "dump", &["REPLICATION"]);
    Diagnosis::of(&[&url("reader:x")]).has("note", "select", &["`shop`.`boat`"]);
    Diagnosis::of(&[&url("slave:x")]).ends_with(1).has("failure", "binlog_status", &["lacks"]);

    // A reader's id is taken, and told.
    let state = tempfile::TempDir::new().unwrap();
    let state = state.path().to_str().unwrap();
    let mut server = Towpath::serve(
        binary(),
        &["--source", &source.url(), "--server-id", "77", "--state", state],
    );
    server.program().wait_for_line("to=\"running\"", DEADLINE);
    source.run("GRANT REPLICATION MASTER ADMIN ON *.* TO canal@'%'");
    Diagnosis::of(&[&source.url(), "--server-id", "77"]).ends_with(1).has(
        "failure",
        "replicas",
        &["another replica has server id 77", "--server-id"],
    );
    Diagnosis::of(&[&source.url(), "--server-id", "78"]).ends_with(0).has(
        "ok",
        "replicas",
        &["77"],
    );
}

#[test]
fn a_source_that_cannot_be_reached_is_told_in_time() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let link = Proxy::start(source.port());
    link.set(Fault::Silence);
    let silent = format!("mysql://canal:canal@{}", link.address());
    Diagnosis::of(&[&silent, "--deadline", SHORT]).ends_with(1).has("ok", "connect", &["TCP"]).has(
        "failure",
        "login",
        &["says nothing: no login within 2 s"],
    );
    Diagnosis::of(&["mysql://canal:canal@127.0.0.1:1"])
        .ends_with(1)
        .has("failure", "connect", &["nobody answers", "nothing listens"])
        .has("skipped", "login", &["because connect failed"]);
    Diagnosis::of(&["mysql://canal:canal@no-such-host.invalid"]).ends_with(1).has(
        "failure",
        "resolve",
        &["cannot be resolved"],
    );
}

#[test]
fn a_source_without_rows_in_its_binlog_is_a_failure() {
    for (argument, step, says) in [
        ("--skip-log-bin", "log_bin", "the binlog is off"),
        ("--binlog-format=STATEMENT", "binlog_format", "SET GLOBAL binlog_format = 'ROW'"),
    ] {
        let source = Server::start(Version::Mariadb1011, &[argument]);
        Diagnosis::of(&[&source.url()]).ends_with(1).has("failure", step, &[says]);
    }
}

/// T-VER-2, F10.
#[test]
fn mysql_of_old_and_new_is_asked_in_its_own_words() {
    for (version, name) in [(Version::Mysql97, "MySQL 9.7"), (Version::Mysql57, "MySQL 5.7")] {
        let source = Server::start(version, &[]);
        Diagnosis::of(&[&source.url()])
            .ends_with(0)
            .has("ok", "version", &[name])
            .has("ok", "binlog_status", &["the binlog ends at mysql-bin."])
            .has("ok", "binlog_files", &["files"])
            .has("ok", "replicas", &["no other replica"])
            .has("ok", "dump", &["arrived"]);
    }
}

#[test]
fn a_server_is_told_from_what_only_listens() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let url = source.url();
    let state = tempfile::TempDir::new().unwrap();
    let state = state.path().to_str().unwrap();
    let arguments = ["--source", &url, "--state", state, "--user", "app", "--password", "secret"];
    let mut server = Towpath::serve(binary(), &arguments);
    server.program().wait_for_line("to=\"running\"", DEADLINE);
    let address = server.address();
    Diagnosis::of(&[&format!("canal://app:secret@{address}/example")])
        .ends_with(0)
        .has("ok", "handshake", &["protocol version 1"])
        .has("ok", "login", &["as `app`, and nobody without"])
        .has("ok", "destination", &["`example` is served here"]);
    for login in ["", "app:wrong@", "other:secret@"] {
        Diagnosis::of(&[&format!("canal://{login}{address}/example")])
            .ends_with(1)
            .has("failure", "login", &["auth failed for user", "canal://user:password@"])
            .has("skipped", "destination", &["because login failed"]);
    }
    let link = Proxy::start(server.port());
    let linked = format!("canal://app:secret@{}/example", link.address());
    link.set(Fault::Silence);
    Diagnosis::of(&[&linked, "--deadline", SHORT]).ends_with(1).has(
        "failure",
        "handshake",
        &["accepts connections and says nothing", "within 2 s"],
    );
    link.set(Fault::Truncate(20));
    Diagnosis::of(&[&linked]).ends_with(1).has("failure", "login", &["closed the connection"]);
    let database = format!("canal://127.0.0.1:{}/example", source.port());
    Diagnosis::of(&[&database]).ends_with(1).has(
        "failure",
        "handshake",
        &["does not speak Canal's protocol", "greets as MySQL", "11111"],
    );
}

#[test]
fn wrong_arguments_are_told_apart_from_failures() {
    for arguments in [
        &["http://me:secret@db"][..],
        &["canal://me:secret@db:x"],
        &["zk://a/x?y=secret"],
        &["mysql://db:secret"],
        &["canal://db", "--source", "mysql://a:secret@b"],
    ] {
        let mut command = Command::new(binary());
        command.arg("doctor").args(arguments);
        let ended = Program::start(&mut command, "build the towpath binary").wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
}

#[test]
fn a_source_that_leaves_out_what_did_not_change_is_whole() {
    let source = Server::start(Version::Mariadb114, &["--binlog-row-image=FULL_NODUP"]);
    Diagnosis::of(&[&source.url()]).has("ok", "row_image", &["FULL_NODUP", "before image"]);
}
