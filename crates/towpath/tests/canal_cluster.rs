//! Canal and Towpath as members of one cluster, and their clients as each other's standby.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use towpath_client::Client;
use towpath_coordination::ZkSession;
use towpath_testkit::{
    CanalClient, CanalServer, Program, Server, Towpath, Version, ZooKeeper, wait_until,
};

use crate::doctor::Diagnosis;
use crate::follower::Follower;
use crate::numbers::{Writer, number_of, rewinds, rewinds_of, serve, serve_with, wait_for_number};

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

const CURSOR: &str = "/otter/canal/destinations/example/1001/cursor";

const LOCK: &str = "/otter/canal/destinations/example/1001/running";

/// Who wrote the cursor last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Towpath,
    Canal,
}

/// A look into the tree.
struct Tree {
    runtime: Runtime,
    session: ZkSession,
}

impl Tree {
    fn of(zookeeper: &ZooKeeper) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = zookeeper.address().parse().unwrap();
        let session = ZkSession::connect(&url, DEADLINE, DEADLINE);
        let session = runtime.block_on(session).unwrap();
        Self { runtime, session }
    }

    fn has(&self, path: &str) -> bool {
        self.runtime.block_on(self.session.get(path)).unwrap().is_some()
    }

    /// The client ids that the tree knows.
    fn clients(&self) -> Vec<String> {
        let children = self.session.children("/otter/canal/destinations/example");
        let children = self.runtime.block_on(children).unwrap().unwrap();
        children.into_iter().filter(|child| child.parse::<i16>().is_ok()).collect()
    }

    fn node(&self, path: &str) -> Option<Value> {
        let node = self.runtime.block_on(self.session.get(path)).unwrap();
        node.map(|(data, _)| serde_json::from_slice(&data).unwrap())
    }

    /// Waits until the cursor lies at the last transaction, and says so as its writer does.
    fn wait_for_cursor(&self, by: By, end: &(String, u64)) {
        wait_until(&format!("a cursor by {by:?} at {end:?}"), DEADLINE, || {
            let node = self.node(CURSOR)?;
            let writer = if node.get("towpath").is_some() { By::Towpath } else { By::Canal };
            let position = &node["postion"];
            let at = (position["journalName"].as_str()?.to_owned(), position["position"].as_u64()?);
            (writer == by && at >= *end).then_some(())
        });
    }
}

/// Where the binlog ends.
fn end(source: &Server) -> (String, u64) {
    let status = &source.query("SHOW MASTER STATUS")[0];
    (status[0].clone(), status[1].parse().unwrap())
}

/// Writes so many numbers; where the last of them begins, and which it is.
fn write(writer: &mut Writer<'_>, source: &Server, count: u64) -> ((String, u64), u64) {
    writer.write(count - 1);
    let end = end(source);
    (end, writer.write(1))
}

fn canal(zookeeper: &ZooKeeper, source: &Server) -> CanalServer {
    CanalServer::start_in_cluster(&zookeeper.address(), source, "example")
}

/// How positions are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Positions {
    Files,
    Gtids,
}

/// Each takes up the cursor that the other wrote: a client that has acknowledged everything sees
/// nothing again, not even after a kill.
fn take_over(source: &Server, positions: Positions) {
    let zookeeper = ZooKeeper::start();
    let place = zookeeper.address();
    let tree = Tree::of(&zookeeper);
    let mut writer = Writer::new(source);
    let (serve, canal) = match positions {
        Positions::Files => (
            Box::new(|| serve(source, &place)) as Box<dyn Fn() -> Towpath>,
            Box::new(|| canal(&zookeeper, source)) as Box<dyn Fn() -> CanalServer>,
        ),
        Positions::Gtids => (
            Box::new(|| serve_with(source, &place, &["--gtid"])) as Box<dyn Fn() -> Towpath>,
            Box::new(|| CanalServer::start_in_cluster_by_gtid(&place, source, "example")) as _,
        ),
    };
    let mut one = serve();
    one.program().wait_for_line(" active ", DEADLINE);
    let mut two = canal();
    assert!(!two.has_served(), "{}", one.program().stderr());
    let mut client = CanalClient::follow_cluster(&place, "example");
    let mut advance = |client: &mut Program, by: By| {
        let (end, last) = write(&mut writer, source, 200);
        wait_for_number(client, last);
        tree.wait_for_cursor(by, &end);
        let gtid = tree.node(CURSOR).unwrap()["postion"]["gtid"].as_str().unwrap_or("").to_owned();
        assert_eq!(gtid.is_empty(), positions == Positions::Files, "{gtid}");
        last
    };

    advance(&mut client, By::Towpath);
    let ended = one.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    two.wait_until_serving();
    advance(&mut client, By::Canal);

    let mut three = serve();
    three.program().wait_for_line("standing by", DEADLINE);
    two.kill();
    three.program().wait_for_line(" active ", DEADLINE);
    let last = advance(&mut client, By::Towpath);

    source.run("INSERT INTO shop.done VALUES (1)");
    let ended = client.wait(DEADLINE);
    assert_eq!(rewinds_of(&ended.stdout, last), Vec::<u64>::new(), "{}", ended.stderr);
    let ended = three.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn towpath_and_canal_take_over_from_each_other_where_the_java_client_was() {
    take_over(&Server::start(Version::Mariadb1011, &[]), Positions::Files);
}

#[test]
fn towpath_and_canal_take_over_from_each_other_by_gtid() {
    let source =
        Server::start(Version::Mysql57, &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]);
    take_over(&source, Positions::Gtids);
}

/// The same with our client, and rows on their way at every fault: what is not lost may come again,
/// once for each fault.
#[test]
fn our_client_goes_from_towpath_to_canal_and_back_and_loses_nothing() {
    let zookeeper = ZooKeeper::start();
    let source = Server::start(Version::Mysql57, &[]);
    let mut writer = Writer::new(&source);
    let mut one = serve(&source, &zookeeper.address());
    one.program().wait_for_line(" active ", DEADLINE);
    let mut two = canal(&zookeeper, &source);
    let client = Client::builder()
        .cluster(&zookeeper.address())
        .unwrap()
        .zookeeper_session_timeout(Duration::from_secs(4))
        .fetch_size(10)
        .build()
        .unwrap();
    let follower = Follower::start(&client);
    follower.wait_for_number(writer.write(300) - 200);

    writer.write(100);
    let ended = one.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    two.wait_until_serving();
    follower.wait_for_number(writer.write(100) - 50);

    let mut three = serve(&source, &zookeeper.address());
    three.program().wait_for_line("standing by", DEADLINE);
    writer.write(100);
    let ended = two.terminate();
    let stopped = Instant::now();
    assert!(ended.stdout.contains("stopped"), "{}\n{}", ended.stdout, ended.stderr);
    three.program().wait_for_line(" active ", DEADLINE);
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
    follower.wait_for_number(writer.write(100) - 50);

    let mut four = canal(&zookeeper, &source);
    writer.write(100);
    three.kill();
    four.wait_until_serving();
    follower.wait_for_number(writer.write(100));

    let five = serve(&source, &zookeeper.address());
    writer.write(100);
    four.kill();
    follower.wait_for_number(writer.write(100));
    let rows = follower.close();
    let rewinds = rewinds(rows.iter().map(|row| number_of(row)), writer.last());
    assert!(rewinds.len() <= 4, "{rewinds:?}");
    let ended = five.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// A Canal server that was stopped for longer than its session goes on as if nothing had happened, and
/// writes an old cursor over that of its successor, who writes it over. Nothing comes twice for it.
#[test]
fn a_canal_server_that_slept_through_its_session_costs_no_row() {
    let zookeeper = ZooKeeper::start();
    let tree = Tree::of(&zookeeper);
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let mut one = canal(&zookeeper, &source);
    one.wait_until_serving();
    let mut two = serve(&source, &zookeeper.address());
    two.program().wait_for_line("standing by", DEADLINE);
    let client = Client::builder().cluster(&zookeeper.address()).unwrap().build().unwrap();
    let follower = Follower::start(&client);
    follower.wait_for_number(writer.write(100));

    one.program().pause();
    two.program().wait_for_line(" active ", DEADLINE);
    follower.wait_for_number(writer.write(100));
    let node = format!("/otter/canal/cluster/{}", one.address());
    wait_until("Canal's session to be over", DEADLINE, || (!tree.has(&node)).then_some(()));
    one.program().resume();
    wait_until("Canal to be back", DEADLINE, || tree.has(&node).then_some(()));
    let (end, last) = write(&mut writer, &source, 100);
    follower.wait_for_number(last);
    tree.wait_for_cursor(By::Towpath, &end);

    // It was running all the time, and serves again what its clients acknowledged elsewhere.
    let ended = two.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    follower.wait_for_number(writer.write(100));
    let rows = follower.close();
    let rewinds = rewinds(rows.iter().map(|row| number_of(row)), writer.last());
    assert!(rewinds.len() <= 2, "{rewinds:?}");
}

/// How many sessions watch the clients' lock.
fn lock_watchers(zookeeper: &ZooKeeper) -> usize {
    let watches = zookeeper.ask("wchp");
    let lines = watches.lines().skip_while(|line| *line != LOCK).skip(1);
    lines.take_while(|line| line.starts_with('\t')).count()
}

/// Both kinds of clients hold the same lock: the one that is second waits until the first is gone.
#[test]
fn java_clients_and_ours_stand_by_for_each_other() {
    let zookeeper = ZooKeeper::start();
    let tree = Tree::of(&zookeeper);
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let mut server = canal(&zookeeper, &source);
    server.wait_until_serving();
    let client = Client::builder().cluster(&zookeeper.address()).unwrap().build().unwrap();
    let owner = || tree.node(LOCK).map(|lock| lock["address"].as_str().unwrap().to_owned());

    let mut java = CanalClient::follow_cluster(&zookeeper.address(), "example");
    wait_for_number(&mut java, writer.write(100));
    let ours = Follower::start(&client);
    assert_eq!(Some(ours.wait_until_standby()), owner());
    wait_for_number(&mut java, writer.write(100));
    assert_eq!(ours.rows(), Vec::<String>::new());
    let last_of_java = writer.last();
    writer.done();
    let ended = java.wait(DEADLINE);
    assert_eq!(rewinds_of(&ended.stdout, last_of_java), Vec::<u64>::new(), "{}", ended.stderr);
    let local = ours.wait_until_active();
    assert_eq!(owner(), Some(local));
    ours.wait_for_number(writer.write(100));

    let cluster = format!("zk://{}/otter/canal", zookeeper.address());
    Diagnosis::of(&[&cluster, "--source", &source.url()])
        .has_no("failure")
        .has("ok", "running", &[&server.address(), "serves it"])
        .has("ok", "lock", &["127.0.0.1:"])
        .has("ok", "clients", &["client id 1001"]);
    let server_itself = format!("canal://{}/example", server.address());
    Diagnosis::of(&[&server_itself]).has_no("failure").has(
        "ok",
        "destination",
        &["is served here"],
    );
    assert_eq!(tree.clients(), ["1001"], "the doctor leaves nothing");

    let mut java = CanalClient::follow_cluster(&zookeeper.address(), "example");
    wait_until("the Java client to stand by", DEADLINE, || {
        (lock_watchers(&zookeeper) == 2).then_some(())
    });
    ours.wait_for_number(writer.write(100));
    assert!(!java.stdout().contains("connected"), "{}", java.stdout());
    let rows = ours.close();
    let numbers = rows.iter().filter(|row| row.contains("shop.numbers")).map(|row| number_of(row));
    let all = (1..=last_of_java).chain(numbers);
    assert_eq!(rewinds(all, writer.last()), Vec::<u64>::new());
    java.wait_for_line("connected", DEADLINE);
    wait_for_number(&mut java, writer.write(100));
}
