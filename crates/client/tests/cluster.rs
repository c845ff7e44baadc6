//! Connections in a cluster: a real ZooKeeper, real servers, and what the tree says of them.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use towpath_client::{Builder, Cause, Client, ClientError, Connection, State, Waiting};
use towpath_coordination::{Running, ZkSession, ZkUrl};
use towpath_testkit::{Fault, Proxy, ZooKeeper};

use crate::alone::{next, numbers, until};
use crate::fixture::{PATIENCE, Served, numbered};

/// Of the sessions in these tests.
const SESSION: Duration = Duration::from_secs(3);

fn of(address: &str) -> Builder {
    Client::builder()
        .cluster(&format!("zk://{address}"))
        .unwrap()
        .zookeeper_session_timeout(SESSION)
        .standby_pause(Duration::from_millis(50))
        .pauses(Duration::from_millis(20), Duration::from_millis(500))
}

/// A session that writes what servers write.
async fn admin(zookeeper: &ZooKeeper) -> ZkSession {
    let url: ZkUrl = format!("zk://{}", zookeeper.address()).parse().unwrap();
    ZkSession::connect(&url, Duration::from_secs(30), PATIENCE).await.unwrap()
}

async fn set_running(admin: &ZkSession, address: &str) {
    let running = Running { active: true, address: address.to_owned(), client_id: None };
    admin.put(&admin.tree().running("example"), &running.print()).await.unwrap();
}

/// A server in the tree: its `cluster` node, and `running`.
async fn announce(admin: &ZkSession, address: &str) {
    let node = format!("{}/{address}", admin.tree().cluster("example"));
    admin.create_ephemeral(&node, b"").await.unwrap();
    set_running(admin, address).await;
}

/// Waits until ZooKeeper knows of no session, watch or ephemeral node: I-SESS, I-WATCH, I-LOCK.
async fn nothing_left(zookeeper: &ZooKeeper) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = ["zk_watch_count", "zk_ephemerals_count"].map(|figure| zookeeper.figure(figure));
        let sessions = zookeeper.sessions();
        if sessions == 0 && left == [0, 0] {
            return;
        }
        assert!(Instant::now() < deadline, "{sessions} sessions; watches and ephemerals: {left:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn is_active(state: &State) -> bool {
    matches!(state, State::Active { .. })
}

fn is_standby(state: &State) -> bool {
    matches!(state, State::Waiting(Waiting::Standby { .. }))
}

/// alibaba/canal#5289: a cluster without a live server is an answer, before anything is connected.
#[tokio::test(crate = "towpath_testkit")]
async fn an_empty_cluster_is_an_answer() {
    let zookeeper = ZooKeeper::start();
    let client = of(&zookeeper.address()).wait(Duration::ZERO).build().unwrap();
    // No tree at all; then an empty `cluster`, as a Canal that is stopped leaves it.
    for _ in 0..2 {
        let begun = Instant::now();
        let error = client.connect().await.unwrap_err();
        let ClientError::NoServer { destination, cluster_nodes: 0, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(destination, "example");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let health = client.health();
        assert_eq!((health.connections.len(), health.open_sockets), (0, 0));
        assert_eq!(health.zookeeper.unwrap().watches, 0);
        let admin = admin(&zookeeper).await;
        admin.create_persistent(&admin.tree().cluster("example")).await.unwrap();
        assert!(admin.get(&admin.tree().client("example", 1001)).await.unwrap().is_none());
        admin.close(PATIENCE).await;
    }
    client.close(PATIENCE).await;
    nothing_left(&zookeeper).await;
}

/// A connection that was told so gives up, and says why.
#[tokio::test(crate = "towpath_testkit")]
async fn waiting_for_a_server_ends_when_it_was_told_to() {
    let zookeeper = ZooKeeper::start();
    let client =
        of(&zookeeper.address()).give_up_after(Duration::from_millis(700)).build().unwrap();
    let mut connection = client.start();
    let ended = timeout(PATIENCE, connection.next()).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(ended, ClientError::NoServer { .. }), "{ended}");
    assert!(connection.next().await.is_none());
    assert_eq!(client.health().zookeeper.unwrap().watches, 0);
}

/// It waits on the watch, and is active as soon as there is a server.
#[tokio::test(crate = "towpath_testkit")]
async fn a_server_that_comes_is_connected_at_once() {
    let zookeeper = ZooKeeper::start();
    let client = of(&zookeeper.address()).build().unwrap();
    let mut connection = client.start();
    let is_waiting = |state: &State| matches!(state, State::Waiting(Waiting::NoServer { .. }));
    until(&connection, "waiting", is_waiting).await;
    assert_eq!(client.health().zookeeper.unwrap().watches, 2);

    let (served, _directory) = Served::new().await;
    let admin = admin(&zookeeper).await;
    let begun = Instant::now();
    announce(&admin, &served.address.to_string()).await;
    until(&connection, "active", is_active).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    served.push(numbered(1)).await;
    let batch = next(&mut connection).await;
    batch.ack().await.unwrap();

    // The lock says where the client is connected from, as Canal's own does.
    let lock = admin.tree().client_running("example", 1001);
    let State::Active { local, .. } = connection.status().state else { panic!() };
    let (data, _) = admin.get(&lock).await.unwrap().unwrap();
    let expected = format!(r#"{{"active":true,"address":"{local}","clientId":1001}}"#);
    assert_eq!(String::from_utf8(data).unwrap(), expected);

    connection.close().await;
    // I-LOCK
    assert!(admin.get(&lock).await.unwrap().is_none());
    client.close(PATIENCE).await;
    admin.close(PATIENCE).await;
    nothing_left(&zookeeper).await;
    served.stop().await.unwrap();
}

/// I-ONE: of two clients one is active; the other knows of whom it is the standby, and takes over.
#[tokio::test(crate = "towpath_testkit")]
async fn i_one_a_standby_takes_over() {
    let zookeeper = ZooKeeper::start();
    let (served, _directory) = Served::new().await;
    let admin = admin(&zookeeper).await;
    announce(&admin, &served.address.to_string()).await;
    let one = of(&zookeeper.address()).build().unwrap();
    // In another process, and in the same one.
    let others = [of(&zookeeper.address()).build().unwrap(), one.clone()];
    for (round, other) in others.into_iter().enumerate() {
        let round = u64::try_from(round).unwrap();
        let mut first = one.connect().await.unwrap();
        let State::Active { local, .. } = first.status().state else { panic!() };
        let mut second = other.start();
        until(&second, "a standby", is_standby).await;
        let State::Waiting(Waiting::Standby { owner }) = second.status().state else { panic!() };
        assert_eq!(owner, Some(local.to_string()));
        let waited = second.active(Duration::ZERO).await.unwrap_err();
        assert!(waited.to_string().contains(&local.to_string()), "{waited}");

        served.push(numbered(round * 10)).await;
        let batch = next(&mut first).await;
        assert_eq!(numbers(&batch), [round * 10]);
        batch.ack().await.unwrap();
        served.push(numbered(round * 10 + 1)).await;
        let unacked = next(&mut first).await;
        first.close().await;
        until(&second, "active", is_active).await;
        drop(unacked);
        let batch = next(&mut second).await;
        assert_eq!(numbers(&batch), [round * 10 + 1]);
        batch.ack().await.unwrap();
        second.close().await;
    }
    served.stop().await.unwrap();
}

/// I-ONE: an active client that loses ZooKeeper stops before the lock can be another's, and hands
/// nothing on after that.
#[tokio::test(crate = "towpath_testkit")]
async fn i_one_a_client_cut_off_from_zookeeper_stops_in_time() {
    let zookeeper = ZooKeeper::start();
    let link = Proxy::start(zookeeper.port());
    let (served, _directory) = Served::new().await;
    let admin = admin(&zookeeper).await;
    announce(&admin, &served.address.to_string()).await;
    let cut_off = of(&link.address()).build().unwrap();
    let mut first = cut_off.connect().await.unwrap();
    served.push(numbered(1)).await;
    let batch = next(&mut first).await;
    let other = of(&zookeeper.address()).build().unwrap();
    let mut second = other.start();
    until(&second, "a standby", is_standby).await;

    link.set(Fault::Silence);
    let stopped = async {
        until(&first, "stopped", |state| !is_active(state)).await;
        Instant::now()
    };
    let begun = async {
        until(&second, "active", is_active).await;
        Instant::now()
    };
    let (stopped, begun) = tokio::join!(stopped, begun);
    assert!(stopped < begun, "two were active for {:?}", stopped - begun);
    assert_eq!(cut_off.health().open_sockets, 0);
    assert!(!batch.is_current());
    let late = batch.ack().await.unwrap_err();
    assert!(matches!(late, ClientError::Stale { .. }), "{late}");
    let again = next(&mut second).await;
    assert_eq!(numbers(&again), [1]);
    again.ack().await.unwrap();

    // It comes back as the standby.
    link.set(Fault::None);
    until(&first, "a standby", is_standby).await;
    second.close().await;
    until(&first, "active", is_active).await;
    first.close().await;
    served.stop().await.unwrap();
}

/// The lock is removed by hand, taken by another, or released by an operator.
#[tokio::test(crate = "towpath_testkit")]
async fn a_lost_lock_ends_the_active_time_and_is_taken_again() {
    let zookeeper = ZooKeeper::start();
    let (served, _directory) = Served::new().await;
    let admin = admin(&zookeeper).await;
    announce(&admin, &served.address.to_string()).await;
    let client = of(&zookeeper.address()).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    let lock = admin.tree().client_running("example", 1001);
    served.push(numbered(1)).await;
    let kept = next(&mut connection).await;
    admin.delete(&lock, None).await.unwrap();
    until(&connection, "not active", |state| !is_active(state)).await;
    until(&connection, "active", is_active).await;
    assert!(!kept.is_current());
    assert_eq!(client.health().failures[&Cause::Lock], 1);
    let again = next(&mut connection).await;
    assert_eq!(numbers(&again), [1]);
    again.ack().await.unwrap();

    let released = br#"{"active":false,"address":"x:1","clientId":1001}"#;
    admin.set(&lock, released, None).await.unwrap().unwrap();
    until(&connection, "released", is_standby).await;
    // Another has its turn now.
    let rival = admin.create_ephemeral(&lock, br#"{"active":true,"address":"rival:1"}"#);
    wait_for_gone(&admin, &lock).await;
    assert!(rival.await.unwrap().is_some());
    connection.close().await;
    assert!(admin.get(&lock).await.unwrap().is_some(), "the lock of another was removed");
    served.stop().await.unwrap();
}

async fn wait_for_gone(admin: &ZkSession, path: &str) {
    let gone = async {
        while admin.get(path).await.unwrap().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

/// `running` names another server: the client goes there.
#[tokio::test(crate = "towpath_testkit")]
async fn the_client_follows_the_active_server() {
    let zookeeper = ZooKeeper::start();
    let (one, _one_directory) = Served::new().await;
    let (two, _two_directory) = Served::new().await;
    let admin = admin(&zookeeper).await;
    announce(&admin, &one.address.to_string()).await;
    let client = of(&zookeeper.address()).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    announce(&admin, &two.address.to_string()).await;
    let to_two = two.address.to_string();
    let is_there =
        |state: &State| matches!(state, State::Active { address, .. } if *address == to_two);
    until(&connection, "at the other server", is_there).await;
    assert_eq!(client.health().failures[&Cause::Moved], 1);
    two.push(numbered(5)).await;
    let batch = next(&mut connection).await;
    assert_eq!(numbers(&batch), [5]);
    batch.ack().await.unwrap();
    assert_eq!(client.health().open_sockets, 1);
    connection.close().await;
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

/// Garbage in `running`, a stale address, servers that send each other's clients away: the live server
/// is found, or the error tells what is in the way.
#[tokio::test(crate = "towpath_testkit")]
async fn stale_and_broken_nodes_are_passed_by() {
    let zookeeper = ZooKeeper::start();
    let admin = admin(&zookeeper).await;
    let client = of(&zookeeper.address())
        .wait(Duration::from_millis(300))
        .connect_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let running = admin.tree().running("example");
    for garbage in ["{}", "", "not json", r#"{"address":17}"#, r#"{"address":"nowhere"}"#] {
        admin.put(&running, garbage.as_bytes()).await.unwrap();
        let error = client.connect().await.unwrap_err();
        assert!(matches!(error, ClientError::NoServer { .. }), "{error}");
        assert!(error.to_string().contains("example/running"), "{error}");
    }
    // Nobody answers there, and one that accepts and says nothing.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    set_running(&admin, &nobody.to_string()).await;
    let error = client.connect().await.unwrap_err();
    assert_eq!(error.cause(), Cause::Network, "{error}");
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    set_running(&admin, &mute.local_addr().unwrap().to_string()).await;
    let error = client.connect().await.unwrap_err();
    assert_eq!(error.cause(), Cause::Deadline, "{error}");

    // Two that do not serve the destination, each named in turn.
    let (one, _one_directory) = Served::new().await;
    let (two, _two_directory) = Served::new().await;
    let elsewhere = of(&zookeeper.address())
        .destination("elsewhere")
        .give_up_after(Duration::from_secs(1))
        .build()
        .unwrap();
    for served in [&one, &two] {
        let node = format!("{}/{}", admin.tree().cluster("elsewhere"), served.address);
        admin.create_ephemeral(&node, b"").await.unwrap();
    }
    let mut connection = elsewhere.start();
    let failed = timeout(PATIENCE, connection.next()).await.unwrap().unwrap().unwrap_err();
    assert!(failed.to_string().contains("should start first"), "{failed}");
    drop(connection);

    // The stale address is still in `running`; a live server is in `cluster`.
    let node = format!("{}/{}", admin.tree().cluster("example"), one.address);
    admin.create_ephemeral(&node, b"").await.unwrap();
    set_running(&admin, &nobody.to_string()).await;
    let patient = of(&zookeeper.address()).build().unwrap();
    let connection = patient.start();
    until(&connection, "active", is_active).await;
    drop(connection);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

/// Its data gone, and started again: sessions, lock and watches are made anew.
#[tokio::test(crate = "towpath_testkit")]
async fn a_zookeeper_that_lost_its_data_is_used_again() {
    let mut zookeeper = ZooKeeper::start();
    let (served, _directory) = Served::new().await;
    let address = served.address.to_string();
    let first = admin(&zookeeper).await;
    announce(&first, &address).await;
    let client = of(&zookeeper.address()).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    drop(first);
    zookeeper.halt();
    zookeeper.wipe();
    zookeeper.go_on();
    until(&connection, "not active", |state| !is_active(state)).await;
    let admin = admin(&zookeeper).await;
    announce(&admin, &address).await;
    until(&connection, "active", is_active).await;
    served.push(numbered(1)).await;
    next(&mut connection).await.ack().await.unwrap();
    let lock = admin.tree().client_running("example", 1001);
    assert!(admin.get(&lock).await.unwrap().is_some());
    connection.close().await;
    served.stop().await.unwrap();
}

/// I-IDEM and I-LOCK: closed or dropped, in whatever state, the end is the same.
#[tokio::test(crate = "towpath_testkit")]
async fn i_idem_every_end_is_the_same_end() {
    let zookeeper = ZooKeeper::start();
    let (served, _directory) = Served::new().await;
    let admin = admin(&zookeeper).await;
    let client = of(&zookeeper.address()).build().unwrap();
    let lock = admin.tree().client_running("example", 1001);
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    for round in 0..12 {
        let state =
            ["no server", "connecting", "standby", "active", "at once", "active"][round % 6];
        set_running(&admin, &served.address.to_string()).await;
        let owner = match state {
            "standby" => Some(client.connect().await.unwrap()),
            _ => None,
        };
        if state == "no server" {
            admin.delete(&admin.tree().running("example"), None).await.unwrap();
        } else if state == "connecting" {
            set_running(&admin, &mute).await;
        }
        let connection = client.start();
        let is_reached = |now: &State| match state {
            "no server" => matches!(now, State::Waiting(Waiting::NoServer { .. })),
            "connecting" => {
                matches!(now, State::Connecting(towpath_client::Step::Server(_)))
            }
            "standby" => is_standby(now),
            "active" => is_active(now),
            _ => true,
        };
        until(&connection, state, is_reached).await;
        let changes = connection.changes();
        if round < 6 {
            connection.close().await;
        } else {
            drop(connection);
        }
        drop(owner);
        wait_for_gone(&admin, &lock).await;
        let ended = changes.borrow().state.clone();
        assert!(matches!(ended, State::Closed(_)), "{state}: {}", ended.name());
        let gone = async {
            while client.health().open_sockets > 0 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect(state);
        assert_eq!(client.health().connections.len(), 0, "{state}");
    }
    client.close(PATIENCE).await;
    admin.close(PATIENCE).await;
    nothing_left(&zookeeper).await;
    served.stop().await.unwrap();
}

/// I-BOUND: ZooKeeper and the server both silent, closing takes a second at most.
#[tokio::test(crate = "towpath_testkit")]
async fn i_bound_closing_needs_nobody() {
    let zookeeper = ZooKeeper::start();
    let to_zookeeper = Proxy::start(zookeeper.port());
    let (served, _directory) = Served::new().await;
    let to_server = Proxy::start(served.address.port());
    let admin = admin(&zookeeper).await;
    announce(&admin, &to_server.address()).await;
    let client = of(&to_zookeeper.address()).build().unwrap();
    let mut connection: Connection = client.connect().await.unwrap();
    served.push(numbered(1)).await;
    let batch = next(&mut connection).await;
    to_zookeeper.set(Fault::Silence);
    to_server.set(Fault::Silence);
    let begun = Instant::now();
    connection.close().await;
    client.close(Duration::from_millis(100)).await;
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    drop(batch);
    to_zookeeper.set(Fault::None);
    to_server.set(Fault::None);
    drop(admin);
    nothing_left(&zookeeper).await;
    served.stop().await.unwrap();
}
