//! Connections to servers that are named one by one.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use towpath_client::{
    Batch, Builder, Cause, Client, ClientError, Connection, Ending, Recovery, State,
};
use towpath_protocol::reply;
use towpath_testkit::{Fault, Proxy};

use crate::fixture::{PATIENCE, Served, numbered};

pub(crate) fn to(address: &str) -> Builder {
    Client::builder().server(address).pauses(Duration::from_millis(10), Duration::from_millis(50))
}

pub(crate) fn numbers(batch: &Batch) -> Vec<u64> {
    let number = |entry: &bytes::Bytes| u64::from_be_bytes(entry.as_ref().try_into().unwrap());
    batch.raw().iter().map(number).collect()
}

pub(crate) async fn next(connection: &mut Connection) -> Batch {
    let next = timeout(PATIENCE, connection.next()).await.expect("no batch in time");
    next.expect("the connection is closed").unwrap()
}

/// Waits until the connection is in a state that the test is about.
pub(crate) async fn until(connection: &Connection, what: &str, is_it: impl Fn(&State) -> bool) {
    let mut changes = connection.changes();
    let reached = changes.wait_for(|status| is_it(&status.state));
    let reached = timeout(PATIENCE, reached).await;
    assert!(matches!(reached, Ok(Ok(_))), "not {what}: {}", connection.status());
}

#[tokio::test(crate = "towpath_testkit")]
async fn batches_are_acknowledged_or_come_again() {
    let (served, _directory) = Served::new().await;
    let client = to(&served.address.to_string()).unacked_max(8).prefetch(4).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    served.push(numbered(1)).await;
    let one = next(&mut connection).await;
    served.push(numbered(2)).await;
    let two = next(&mut connection).await;
    assert_eq!((numbers(&one), numbers(&two)), (vec![1], vec![2]));
    let health = client.health();
    assert_eq!((health.connections[0].unacked_batches, health.open_sockets), (2, 1));

    // The younger one is acknowledged first: the server hears of it when it is its turn.
    let mut acks = JoinSet::new();
    acks.spawn(two.ack());
    tokio::task::yield_now().await;
    one.ack().await.unwrap();
    timeout(PATIENCE, acks.join_next()).await.unwrap().unwrap().unwrap().unwrap();

    // What is dropped comes again, and takes along what is younger.
    served.push(numbered(3)).await;
    let three = next(&mut connection).await;
    served.push(numbered(4)).await;
    let four = next(&mut connection).await;
    drop(three);
    let again = next(&mut connection).await;
    assert_eq!(numbers(&again)[0], 3);
    assert!(!four.is_current());
    let late = four.ack().await.unwrap_err();
    assert!(matches!(late, ClientError::Stale { .. }), "{late}");
    let mut came = numbers(&again);
    again.ack().await.unwrap();
    while came.len() < 2 {
        let batch = next(&mut connection).await;
        came.extend(numbers(&batch));
        batch.ack().await.unwrap();
    }
    assert_eq!(came, [3, 4]);
    connection.close().await;
    served.stop().await.unwrap();
    assert_eq!(client.health().open_sockets, 0);
}

/// What a closed connection had not acknowledged goes to the next one, and nothing else.
#[tokio::test(crate = "towpath_testkit")]
async fn a_closed_connection_gives_back_what_is_out() {
    let (served, _directory) = Served::new().await;
    let client = to(&served.address.to_string()).build().unwrap();
    for number in 1..=2 {
        served.push(numbered(number)).await;
    }
    let mut connection = client.connect().await.unwrap();
    let mut seen = Vec::new();
    let first = next(&mut connection).await;
    seen.extend(numbers(&first));
    first.ack().await.unwrap();
    served.push(numbered(3)).await;
    let kept = next(&mut connection).await;
    connection.close().await;
    let late = kept.ack().await.unwrap_err();
    assert_eq!(late.cause(), Cause::Stale);

    let mut connection = client.connect().await.unwrap();
    while seen.last() != Some(&3) {
        let batch = next(&mut connection).await;
        seen.extend(numbers(&batch));
        batch.ack().await.unwrap();
    }
    assert_eq!(seen, [1, 2, 3]);
    drop(connection);
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_server_that_goes_away_is_found_again() {
    let (served, directory) = Served::new().await;
    let link = Proxy::start(served.address.port());
    let client = to(&link.address()).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    served.push(numbered(1)).await;
    let first = next(&mut connection).await;
    served.stop().await.unwrap();
    until(&connection, "waiting", |state| matches!(state, State::Waiting(_))).await;
    assert!(!first.is_current());

    let config = crate::fixture::config(directory.path());
    let served = Served::with(config, towpath_engine::StoreOptions::default()).await;
    link.retarget(served.address.port());
    until(&connection, "active", |state| matches!(state, State::Active { .. })).await;
    assert!(connection.status().last_failure.is_some());
    served.push(numbered(1)).await;
    let again = next(&mut connection).await;
    assert_eq!(numbers(&again), [1]);
    again.ack().await.unwrap();
    assert_eq!(link.open(), 1, "I-SOCK: one socket for each active connection");
    assert!(client.health().failures[&Cause::Network] >= 1);
    connection.close().await;
    served.stop().await.unwrap();
}

/// Several servers: the one that serves the destination is found, wherever it stands in the list.
#[tokio::test(crate = "towpath_testkit")]
async fn servers_are_tried_in_turn() {
    let (served, _directory) = Served::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (other, _other_directory) = Served::new().await;
    let client = Client::builder()
        .server(&nobody.to_string())
        .server(&other.address.to_string())
        .server(&served.address.to_string())
        .pauses(Duration::from_millis(10), Duration::from_millis(50))
        .build()
        .unwrap();
    other.stop().await.unwrap();
    let connection = client.connect().await.unwrap();
    let State::Active { address, .. } = connection.status().state else { panic!() };
    assert_eq!(address, served.address.to_string());
    drop(connection);
    served.stop().await.unwrap();
}

/// I-CAUSE, and a password that is wrong is not tried again.
#[tokio::test(crate = "towpath_testkit")]
async fn i_cause_failures_tell_what_happened() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = to(&nobody.to_string()).wait(Duration::from_millis(100)).build().unwrap();
    let refused = client.connect().await.unwrap_err();
    assert_eq!((refused.cause(), refused.recovery()), (Cause::Network, Recovery::Retry));
    assert!(refused.to_string().starts_with(&format!("{nobody}: connect: ")), "{refused}");

    let (served, directory) = Served::new().await;
    let unknown = to(&served.address.to_string())
        .destination("elsewhere")
        .wait(Duration::from_millis(100))
        .build()
        .unwrap();
    let refused = unknown.connect().await.unwrap_err().to_string();
    assert!(refused.contains("destination:elsewhere should start first"), "{refused}");
    served.stop().await.unwrap();

    let mut config = crate::fixture::config(directory.path());
    config.credentials = Some(towpath_server::Credentials {
        user: None,
        password: towpath_protocol::PasswordHash::of("right"),
    });
    let served = Served::with(config, towpath_engine::StoreOptions::default()).await;
    let address = served.address.to_string();
    let client = to(&address).credentials("me", "wrong").build().unwrap();
    let mut connection = client.start();
    let failed = timeout(PATIENCE, connection.next()).await.unwrap().unwrap().unwrap_err();
    assert!(failed.to_string().contains("login refused"), "{failed}");
    assert!(connection.next().await.is_none());
    assert!(matches!(connection.status().state, State::Closed(Ending::Failed(_))));
    assert_eq!(client.health().attempts, 1);
    let client = to(&address).credentials("me", "right").build().unwrap();
    client.connect().await.unwrap().close().await;
    served.stop().await.unwrap();
}

/// I-BOUND and I-SOCK: servers that say nothing, close at once, or talk nonsense.
#[tokio::test(crate = "towpath_testkit")]
async fn odd_servers_cost_no_more_than_their_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut held = Vec::new();
        for round in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            match round % 4 {
                // Closes at once.
                0 => {}
                // Closes after the handshake.
                1 => stream.write_all(&reply::handshake(&[7; 8])).await.unwrap(),
                2 => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap(),
                // Says nothing.
                _ => held.push(stream),
            }
        }
    });
    let client = to(&address)
        .connect_timeout(Duration::from_millis(150))
        .give_up_after(Duration::from_secs(2))
        .build()
        .unwrap();
    let begun = Instant::now();
    let mut connection = client.start();
    let failed = timeout(PATIENCE, connection.next()).await.unwrap().unwrap();
    assert!(failed.is_err());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let health = client.health();
    for cause in [Cause::Network, Cause::Protocol, Cause::Deadline] {
        assert!(health.failures.contains_key(&cause), "{health}");
    }
    assert_eq!(health.open_sockets, 0);
}

/// I-BACKOFF: against a server that refuses, attempts become rare.
#[tokio::test(crate = "towpath_testkit")]
async fn i_backoff_attempts_become_rare() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::builder().server(&nobody.to_string()).build().unwrap();
    let connection = client.start();
    let mut changes = connection.changes();
    let mut pauses = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let change = timeout(Duration::from_secs(3), changes.changed()).await;
        let Ok(Ok(())) = change else { break };
        let status = changes.borrow_and_update().clone();
        if let State::Waiting(towpath_client::Waiting::Retry { pause, .. }) = status.state {
            pauses.push(pause);
            assert_eq!(usize::try_from(status.attempt).unwrap(), pauses.len() + 1);
        }
    }
    // 100, 200, 400, 800, 1600 ms, each between half and whole, and never less than 200 together.
    assert!((3..=9).contains(&pauses.len()), "{pauses:?}");
    assert!(pauses.last().unwrap() > &Duration::from_millis(200), "{pauses:?}");
    drop(connection);
}

/// I-PAIR: an answer that nobody asked for ends the connection, and nothing of it reaches the user.
#[tokio::test(crate = "towpath_testkit")]
async fn i_pair_an_unasked_answer_ends_the_connection() {
    let (served, _directory) = Served::new().await;
    let client = to(&served.address.to_string()).build().unwrap();
    let mut connection = client.connect().await.unwrap();
    served.push(numbered(1)).await;
    let batch = next(&mut connection).await;
    // Behind the client's back its batch is acknowledged: its own ack has an error for an answer.
    let mut peer = crate::fixture::Peer::login(served.address).await;
    peer.ack("1001", batch.id()).await;
    peer.expect_open().await;
    batch.ack().await.unwrap();
    until(&connection, "thrown out", |state| matches!(state, State::Waiting(_))).await;
    let why = connection.status().last_failure.unwrap();
    assert!(why.to_string().contains("is not exist"), "{why}");
    until(&connection, "active again", |state| matches!(state, State::Active { .. })).await;
    served.push(numbered(2)).await;
    let batch = next(&mut connection).await;
    assert_eq!(numbers(&batch), [2]);
    batch.ack().await.unwrap();
    connection.close().await;
    served.stop().await.unwrap();
}

/// I-BOUND and I-IDEM: closing takes a second at most, in every state.
#[tokio::test(crate = "towpath_testkit")]
async fn i_bound_closing_is_quick_in_every_state() {
    let (served, _directory) = Served::new().await;
    let link = Proxy::start(served.address.port());
    let client = to(&link.address()).build().unwrap();
    // At once; while connecting to a server that says nothing; active with a batch out and no link.
    client.start().close().await;
    link.set(Fault::Silence);
    let connection = client.start();
    until(&connection, "connecting", |state| matches!(state, State::Connecting(_))).await;
    let begun = Instant::now();
    connection.close().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    link.set(Fault::None);
    let mut connection = client.connect().await.unwrap();
    served.push(numbered(1)).await;
    let batch = next(&mut connection).await;
    link.set(Fault::Silence);
    let begun = Instant::now();
    connection.close().await;
    assert!(begun.elapsed() < Duration::from_millis(1200), "{:?}", begun.elapsed());
    drop(batch);
    link.set(Fault::None);
    let health = client.health();
    assert_eq!((health.connections.len(), health.open_sockets), (0, 0));
    served.stop().await.unwrap();
}

/// The blocking face.
#[test]
fn a_program_without_a_runtime_follows_a_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (served, _directory) = runtime.block_on(Served::new());
    let client = to(&served.address.to_string()).build().unwrap();
    let mut connection = towpath_client::blocking::Connection::open(&client).unwrap();
    runtime.block_on(served.push(numbered(1)));
    let batch = connection.next().unwrap().unwrap();
    assert_eq!(numbers(&batch), [1]);
    connection.ack(batch).unwrap();
    assert_eq!(connection.health().batches, 1);
    connection.close();
    runtime.block_on(served.stop()).unwrap();
}
