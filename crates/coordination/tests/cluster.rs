//! Sessions, leases and cursors with a real ZooKeeper.

use std::future::{Future as _, poll_fn};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use towpath_coordination::{
    Client, Contender, Lease, LeaseLost, Running, Servers, SourceAddress, StateError, ZkCursors,
    ZkError, ZkSession, ZkUrl,
};
use towpath_testkit::{Fault, Proxy, ZooKeeper};

use crate::cursor;

const SECONDS: Duration = Duration::from_secs(10);

/// Of the sessions in these tests.
const SESSION: Duration = Duration::from_secs(3);

fn url(address: &str) -> ZkUrl {
    format!("zk://{address}/otter/canal").parse().unwrap()
}

async fn connect(address: &str) -> ZkSession {
    ZkSession::connect(&url(address), SESSION, SECONDS).await.unwrap()
}

fn contender(session: &ZkSession, address: &str) -> Contender {
    Contender {
        session: session.clone(),
        path: session.tree().running("example"),
        payload: Running { active: true, address: address.to_owned(), client_id: None },
        replaces_own_address: true,
    }
}

async fn take(session: &ZkSession, address: &str) -> Lease {
    contender(session, address).contend().await.unwrap().unwrap()
}

fn source() -> SourceAddress {
    SourceAddress { host: "db".to_owned(), port: 3306 }
}

/// Waits until the server knows of no session, watch or ephemeral node any more.
async fn nothing_left(server: &ZooKeeper) {
    let deadline = Instant::now() + SECONDS;
    loop {
        let left = (
            server.sessions(),
            server.figure("zk_watch_count"),
            server.figure("zk_ephemerals_count"),
        );
        if left == (0, 0, 0) {
            return;
        }
        assert!(Instant::now() < deadline, "sessions, watches, ephemerals left: {left:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_lease_goes_to_the_next_when_it_is_released() {
    let server = ZooKeeper::start();
    let one = connect(&server.address()).await;
    let two = connect(&server.address()).await;
    let lease = take(&one, "10.0.0.1:11111").await;
    let first_epoch = lease.fence().epoch();
    let fence = lease.fence();
    assert!(fence.holds());

    let Err(taken) = contender(&two, "10.0.0.2:11111").contend().await.unwrap() else {
        panic!("two owners");
    };
    assert_eq!(taken.owner.unwrap().address, "10.0.0.1:11111");
    let (node, _watch) = two.get_and_watch(&two.tree().running("example")).await.unwrap();
    assert_eq!(node.unwrap().0, br#"{"active":true,"address":"10.0.0.1:11111"}"#);

    lease.release().await.unwrap();
    assert!(!fence.holds());
    timeout(SECONDS, taken.changed.fired()).await.unwrap();
    let lease = take(&two, "10.0.0.2:11111").await;
    assert!(lease.fence().epoch() > first_epoch);

    drop((lease, _watch));
    one.close(SECONDS).await;
    two.close(SECONDS).await;
    nothing_left(&server).await;
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_lease_dropped_is_gone_at_once() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    for _ in 0..20 {
        drop(take(&session, "10.0.0.1:11111").await);
    }
    let path = session.tree().running("example");
    assert!(session.get(&path).await.unwrap().is_none());
    session.close(SECONDS).await;
    nothing_left(&server).await;
}

/// I-LOCK: whenever a contender is cancelled, no node of it is left in a session that goes on.
#[tokio::test(crate = "towpath_testkit")]
async fn a_contender_cancelled_anywhere_leaves_no_node() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let contender = contender(&session, "10.0.0.1:11111");
    for polls in 1..200 {
        let mut contending = Box::pin(contender.contend());
        let mut polled = 0;
        let outcome = poll_fn(|context| {
            let poll = contending.as_mut().poll(context);
            polled += 1;
            if poll.is_pending() && polled == polls { Poll::Ready(None) } else { poll.map(Some) }
        });
        let outcome = timeout(SECONDS, outcome).await.unwrap();
        drop(contending);
        let is_done = outcome.is_some();
        drop(outcome);
        nobody_there(&session, &contender.path).await;
        if is_done {
            assert!(polls > 1, "nothing was cancelled");
            session.close(SECONDS).await;
            drop(contender);
            return nothing_left(&server).await;
        }
    }
    panic!("never done");
}

/// Waits until a node is gone.
async fn nobody_there(session: &ZkSession, path: &str) {
    let gone = async {
        // What was under way is there by now, since a session's requests are done in their order.
        while session.get(path).await.unwrap().is_some() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(SECONDS, gone).await.is_ok(), "the node stays");
}

/// Two contenders of one process and session are two: neither takes the node of the other.
#[tokio::test(crate = "towpath_testkit")]
async fn one_session_has_one_owner_of_a_node() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    let Err(taken) = contender(&session, "10.0.0.1:11111").contend().await.unwrap() else {
        panic!("two owners");
    };
    assert!(lease.fence().holds());
    drop(lease);
    timeout(SECONDS, taken.changed.fired()).await.unwrap();
    drop(take(&session, "10.0.0.1:11111").await);
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_node_of_an_earlier_process_with_our_address_is_replaced() {
    let server = ZooKeeper::start();
    let dead = connect(&server.address()).await;
    let _old = take(&dead, "10.0.0.1:11111").await;
    let session = connect(&server.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    assert!(lease.fence().holds());
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_owner_cut_off_stops_before_another_can_begin() {
    let server = ZooKeeper::start();
    let link = Proxy::start(server.port());
    let cut_off = connect(&link.address()).await;
    let lease = take(&cut_off, "10.0.0.1:11111").await;
    let other = connect(&server.address()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let fence = lease.fence();
        let lost = lease.lost().await;
        assert!(!fence.holds());
        (Instant::now(), lost.to_string())
    });
    sleep(Duration::from_millis(500)).await;
    link.set(Fault::Silence);
    let cut = Instant::now();

    let begun = loop {
        match contender(&other, "10.0.0.2:11111").contend().await.unwrap() {
            Ok(_lease) => break Instant::now(),
            Err(taken) => timeout(SECONDS, taken.changed.fired()).await.unwrap(),
        }
    };
    let (stopped, reason) = tasks.join_next().await.unwrap().unwrap();
    assert!(stopped < begun, "{reason}");
    assert!(begun - stopped > SESSION / 6, "{:?} {reason}", begun - stopped);
    assert!(stopped - cut <= SESSION * 2 / 3 + Duration::from_millis(200), "{reason}");
}

/// A member of the ensemble that has lost the leader answers from memory for a while: that proves nothing.
#[tokio::test(crate = "towpath_testkit")]
async fn an_owner_whose_server_is_cut_off_from_the_ensemble_stops_before_another_can_begin() {
    let (servers, links) = ZooKeeper::ensemble_with_links(3);
    let session = connect(&servers[0].address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    let other = connect(&servers[2].address()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let lost = lease.lost().await;
        (Instant::now(), lost.to_string())
    });
    sleep(Duration::from_millis(500)).await;
    links.iter().for_each(|link| link.set(Fault::Silence));

    let begun = loop {
        match contender(&other, "10.0.0.2:11111").contend().await.unwrap() {
            Ok(_lease) => break Instant::now(),
            Err(taken) => timeout(SECONDS, taken.changed.fired()).await.unwrap(),
        }
    };
    let (stopped, reason) = tasks.join_next().await.unwrap().unwrap();
    assert!(stopped < begun, "{:?} too late: {reason}", stopped - begun);
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_short_cut_costs_no_lease() {
    let server = ZooKeeper::start();
    let link = Proxy::start(server.port());
    let session = connect(&link.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    let outcome = timeout(SESSION * 2, async {
        tokio::join!(lease.lost(), async {
            for _ in 0..5 {
                sleep(Duration::from_millis(400)).await;
                link.cut();
            }
        })
    });
    assert!(outcome.await.is_err(), "the lease was given up");
    assert!(lease.fence().holds());
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_operator_takes_a_lease_away() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let path = session.tree().running("example");
    let lease = take(&session, "10.0.0.1:11111").await;
    let node = br#"{"active":false,"address":"10.0.0.1:11111"}"#;
    session.set(&path, node, None).await.unwrap().unwrap();
    let lost = timeout(SECONDS, lease.lost()).await.unwrap();
    assert!(matches!(lost, LeaseLost::Released { .. }), "{lost}");
    lease.release().await.unwrap();
    assert!(session.get(&path).await.unwrap().is_none());

    let lease = take(&session, "10.0.0.1:11111").await;
    session.delete(&path, None).await.unwrap();
    let lost = timeout(SECONDS, lease.lost()).await.unwrap();
    assert!(matches!(lost, LeaseLost::Removed { .. }), "{lost}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn servers_are_seen_as_they_come_and_go() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let (servers, changed) = Servers::look(&session, "example").await.unwrap();
    assert!(servers.is_empty() && !servers.is_known);

    let other = connect(&server.address()).await;
    let node = format!("{}/10.0.0.2:11111", other.tree().cluster("example"));
    other.create_ephemeral(&node, b"").await.unwrap().unwrap();
    timeout(SECONDS, changed.wait()).await.unwrap();
    let (servers, changed) = Servers::look(&session, "example").await.unwrap();
    assert_eq!(servers.cluster, ["10.0.0.2:11111"]);
    assert!(servers.is_known && servers.running.is_none());

    for garbage in ["{}", "", "not json", "[1]", r#"{"address":"nobody"}"#, r#"{"address":1}"#] {
        session.put(&session.tree().running("example"), garbage.as_bytes()).await.unwrap();
        let (servers, _changed) = Servers::look(&session, "example").await.unwrap();
        assert!(servers.garbage.as_ref().unwrap().contains("example/running"), "{servers:?}");
        assert_eq!(servers.running, None);
    }
    drop(changed);
    assert_eq!(session.status().watches, 0);
    other.close(SECONDS).await;
    session.close(SECONDS).await;
    nothing_left(&server).await;
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_ensemble_away_is_an_error_within_its_deadline() {
    let server = ZooKeeper::start();
    let link = Proxy::start(server.port());
    for fault in [Fault::Silence, Fault::Refuse] {
        link.set(fault);
        let begun = Instant::now();
        let deadline = Duration::from_secs(1);
        let error = ZkSession::connect(&url(&link.address()), SESSION, deadline).await.unwrap_err();
        assert!(matches!(error, ZkError::Unreachable { .. }), "{fault:?}: {error}");
        assert!(begun.elapsed() < deadline * 3 / 2, "{fault:?}: {:?}", begun.elapsed());
    }
    link.set(Fault::None);
    nothing_left(&server).await;
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_expired_session_says_so() {
    let server = ZooKeeper::start();
    let link = Proxy::start(server.port());
    let session = connect(&link.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    link.set(Fault::Silence);
    timeout(SECONDS, session.ended()).await.unwrap();
    assert!(session.is_over());
    link.set(Fault::None);
    let error = session.get(lease.path()).await.unwrap_err();
    assert!(error.ends_session(), "{error}");
    drop((lease, session));
    nothing_left(&server).await;
}

async fn run_writer(
    session: &ZkSession,
    lease: &Lease,
    changes: impl FnOnce(&towpath_coordination::CursorStore),
) -> Result<(), std::sync::Arc<StateError>> {
    let (store, writer) =
        ZkCursors::open(session, "example", source(), lease.fence()).await.unwrap();
    changes(&store);
    drop(store);
    writer.run().await
}

#[tokio::test(crate = "towpath_testkit")]
async fn cursors_lie_where_canal_looks_for_them() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    run_writer(&session, &lease, |store| {
        assert_eq!(store.client_count(), 0);
        store.subscribe(1001, Some("db\\..*"));
        store.set_cursor(1001, cursor(100));
        store.reserve_batch_ids(1001, 0);
        store.subscribe(1002, None);
        store.set_cursor(1002, cursor(4));
        store.subscribe(7, None);
    })
    .await
    .unwrap();
    let node = |path: String| {
        let session = &session;
        async move { String::from_utf8(session.get(&path).await.unwrap().unwrap().0).unwrap() }
    };
    let tree = session.tree();
    assert_eq!(node(tree.filter("example", 1001)).await, "db\\..*");
    let ours = node(tree.cursor("example", 1001)).await;
    assert_eq!(
        ours,
        r#"{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition","identity":{"slaveId":-1,"sourceAddress":{"address":"db","port":3306}},"postion":{"gtid":"","included":false,"journalName":"mysql-bin.000001","position":100,"serverId":1,"timestamp":1700000000000},"towpath":{"resumeFile":"mysql-bin.000001","resumeOffset":131}}"#
    );
    assert!(session.get(&tree.filter("example", 1002)).await.unwrap().is_none());

    // The next owner finds them, and unsubscribing leaves a client's lock alone.
    session.create_ephemeral(&tree.client_running("example", 1002), b"{}").await.unwrap();
    run_writer(&session, &lease, |store| {
        let clients = store.clients();
        let expected = Client {
            id: 1001,
            filter: Some("db\\..*".to_owned()),
            cursor: Some(cursor(100)),
            batch_ids: 65_536 * 2,
        };
        assert_eq!(clients[0], expected);
        assert_eq!(clients[1].cursor, Some(cursor(4)));
        store.unsubscribe(1001);
        store.unsubscribe(1002);
    })
    .await
    .unwrap();
    assert!(session.get(&tree.client("example", 1001)).await.unwrap().is_none());
    assert!(session.get(&tree.client_running("example", 1002)).await.unwrap().is_some());
    assert!(session.get(&tree.cursor("example", 1002)).await.unwrap().is_none());

    session.put(&tree.cursor("example", 9), b"{\"postion\":7}").await.unwrap();
    let refused = ZkCursors::open(&session, "example", source(), lease.fence()).await.unwrap_err();
    assert!(refused.to_string().contains("/9/cursor holds"), "{refused}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_former_owner_writes_no_cursor() {
    let server = ZooKeeper::start();
    let old_session = connect(&server.address()).await;
    let old_lease = take(&old_session, "10.0.0.1:11111").await;
    run_writer(&old_session, &old_lease, |store| {
        store.subscribe(1001, None);
        store.set_cursor(1001, cursor(100));
    })
    .await
    .unwrap();
    let (old_store, old_writer) =
        ZkCursors::open(&old_session, "example", source(), old_lease.fence()).await.unwrap();

    // The clock of the old one is wrong: it believes in its lease while another takes over.
    let session = connect(&server.address()).await;
    session.delete(old_lease.path(), None).await.unwrap();
    let lease = take(&session, "10.0.0.2:11111").await;
    let (store, writer) =
        ZkCursors::open(&session, "example", source(), lease.fence()).await.unwrap();
    assert!(old_lease.fence().holds());
    old_store.set_cursor(1001, cursor(50));
    drop(old_store);
    let fenced = old_writer.run().await.unwrap_err();
    assert!(fenced.to_string().contains("this one is not active any more"), "{fenced}");

    store.set_cursor(1001, cursor(200));
    drop(store);
    writer.run().await.unwrap();
    let (data, _) = session.get(&session.tree().cursor("example", 1001)).await.unwrap().unwrap();
    assert!(String::from_utf8(data).unwrap().contains(r#""position":200"#));

    // And one whose time is over asks nobody.
    let fence = lease.fence();
    let (store, writer) = ZkCursors::open(&session, "example", source(), fence).await.unwrap();
    lease.release().await.unwrap();
    store.set_cursor(1001, cursor(300));
    drop(store);
    assert!(writer.run().await.is_err());
}

/// A Canal server goes on writing without asking when its session is over.
#[tokio::test(crate = "towpath_testkit")]
async fn what_a_former_owner_writes_all_the_same_is_written_over() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    let path = session.tree().cursor("example", 1001);
    let mut old = Vec::new();
    for offset in [100, 200, 300] {
        let (store, writer) =
            ZkCursors::open(&session, "example", source(), lease.fence()).await.unwrap();
        store.subscribe(1001, None);
        if !old.is_empty() {
            session.put(&path, &old).await.unwrap();
        }
        store.set_cursor(1001, cursor(offset));
        drop(store);
        writer.run().await.unwrap();
        let (data, _) = session.get(&path).await.unwrap().unwrap();
        let text = String::from_utf8(data.clone()).unwrap();
        assert!(text.contains(&format!(r#""position":{offset},"#)), "{text}");
        old = data;
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_cursor_write_whose_answer_was_lost_is_no_other_owner() {
    let server = ZooKeeper::start();
    let link = Proxy::start(server.port());
    let session = connect(&link.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    let (store, writer) =
        ZkCursors::open(&session, "example", source(), lease.fence()).await.unwrap();
    store.subscribe(1001, None);
    let mut tasks = JoinSet::new();
    tasks.spawn(writer.run());
    let mut written = store.written();
    let writing = async {
        for n in 1..=12 {
            store.set_cursor(1001, cursor(n * 100));
            sleep(Duration::from_millis(130)).await;
            if n % 3 == 0 {
                link.cut();
            }
        }
        let last = store.set_cursor(1001, cursor(9_999));
        timeout(SECONDS, written.wait_for(|written| written.generation >= last))
            .await
            .unwrap()
            .unwrap();
    };
    tokio::select! {
        lost = lease.lost() => panic!("{lost}"),
        () = writing => {}
    }
    drop(store);
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_wiped_tree_is_made_again() {
    let server = ZooKeeper::start();
    let session = connect(&server.address()).await;
    let lease = take(&session, "10.0.0.1:11111").await;
    let (store, writer) =
        ZkCursors::open(&session, "example", source(), lease.fence()).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(writer.run());
    let mut written = store.written();
    store.subscribe(1001, None);
    let first = store.set_cursor(1001, cursor(100));
    timeout(SECONDS, written.wait_for(|w| w.generation >= first)).await.unwrap().unwrap();
    let path = session.tree().cursor("example", 1001);
    session.delete(&path, None).await.unwrap();
    let second = store.set_cursor(1001, cursor(200));
    timeout(SECONDS, written.wait_for(|w| w.generation >= second)).await.unwrap().unwrap();
    assert!(session.get(&path).await.unwrap().is_some());
}
