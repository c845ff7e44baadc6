//! Gets that wait: they hold nothing, and end with whoever waits.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use towpath_engine::StoreOptions;

use crate::fixture::{Peer, Served, config, numbered};

/// Long for a get, so that an answer shows that something woke it.
const LONG_MS: i64 = 600_000;

#[tokio::test(crate = "towpath_testkit")]
async fn a_get_is_answered_as_soon_as_there_is_something() {
    let (served, _directory) = Served::new().await;
    let mut peer = Peer::subscribed(served.address, "1001").await;
    for (number, timeout_ms) in [(0, LONG_MS), (1, 0), (2, LONG_MS)] {
        peer.get("1001", 1000, timeout_ms).await;
        // It waits: the answer to a request behind it does not come before its own.
        served.push(numbered(number)).await;
        let id = i64::try_from(number).unwrap() + 1;
        assert_eq!(peer.expect_numbers().await, (id, vec![number]));
    }
    let begun = Instant::now();
    peer.get("1001", 1000, 30).await;
    assert_eq!(peer.expect_numbers().await, (-1, vec![]));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    peer.get("1001", 1000, -1).await;
    assert_eq!(peer.expect_numbers().await, (-1, vec![]));
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn two_hundred_waiting_gets_do_not_keep_a_new_client_waiting() {
    let (served, _directory) = Served::new().await;
    let mut waiting = Vec::new();
    for number in 0..200 {
        let client_id = (2000 + number).to_string();
        let mut peer = Peer::subscribed(served.address, &client_id).await;
        peer.get(&client_id, 1, 0).await;
        waiting.push(peer);
    }
    let served_at_once = async {
        let mut peer = Peer::subscribed(served.address, "1002").await;
        peer.get("1002", 1, -1).await;
        assert_eq!(peer.expect_numbers().await, (-1, vec![]));
    };
    timeout(Duration::from_secs(2), served_at_once).await.expect("not served at once");
    let begun = Instant::now();
    served.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "waiting gets hold up a stop");
    for mut peer in waiting {
        // The instance may end first: its waiting gets are told so.
        if let Some(answer) = peer.try_receive().await {
            assert!(
                String::from_utf8_lossy(&answer).contains("destination:example should start first")
            );
            peer.expect_closed().await;
        }
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_client_that_goes_while_it_waits_takes_no_batch() {
    let (served, _directory) = Served::new().await;
    for linger in [None, Some(Duration::ZERO)] {
        let mut gone = Peer::subscribed(served.address, "1001").await;
        gone.get("1001", 1, 0).await;
        if linger.is_some() {
            // Ends with a reset instead of an end.
            gone.stream.set_zero_linger().unwrap();
        }
        drop(gone);
    }
    let mut peer = Peer::subscribed(served.address, "1001").await;
    // Once the ends have been seen, nothing but this client takes.
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.push(numbered(7)).await;
    peer.get("1001", 1, LONG_MS).await;
    assert_eq!(peer.expect_numbers().await, (1, vec![7]));
    served.stop().await.unwrap();
}

/// What it has said counts, though a get before it never ends.
#[tokio::test(crate = "towpath_testkit")]
async fn what_a_client_said_before_it_went_is_served() {
    let (served, _directory) = Served::new().await;
    for first in [1, 11] {
        let mut gone = Peer::subscribed(served.address, "1001").await;
        let mut ids = Vec::new();
        for number in [first, first + 1] {
            served.push(numbered(number)).await;
            gone.get("1001", 1, LONG_MS).await;
            let (id, numbers) = gone.expect_numbers().await;
            assert_eq!(numbers, [number]);
            ids.push(id);
        }
        gone.get("1001", 1, 0).await;
        gone.ack("1001", ids[0]).await;
        gone.rollback("1001", None).await;
        drop(gone);
        let mut peer = Peer::subscribed(served.address, "1001").await;
        peer.get("1001", 1, LONG_MS).await;
        let (id, numbers) = peer.expect_numbers().await;
        assert_eq!(numbers, [first + 1]);
        peer.ack("1001", id).await;
        peer.get("1001", 1, -1).await;
        assert_eq!(peer.expect_numbers().await, (-1, vec![]));
    }
    served.stop().await.unwrap();
}

/// T-WEDGE-5: it is told by whom, though there is nothing that it could have got.
#[tokio::test(crate = "towpath_testkit")]
async fn a_get_that_waits_ends_when_another_connection_takes_over() {
    let (served, _directory) = Served::new().await;
    let mut first = Peer::subscribed(served.address, "1001").await;
    first.get("1001", 1, 0).await;
    let mut second = Peer::subscribed(served.address, "1001").await;
    let (code, text) = first.expect_error().await;
    assert_eq!(code, 400);
    let owner = second.stream.local_addr().unwrap();
    assert!(text.contains(&format!("subscribed again from {owner}, ")), "{text}");
    // One that subscribes again, as some do before each request, ends nobody's wait.
    second.get("1001", 1, 0).await;
    second.subscribe("1001", None).await;
    served.push(numbered(1)).await;
    assert_eq!(second.expect_numbers().await, (1, vec![1]));
    second.expect_ok().await;
    served.stop().await.unwrap();
}

/// Canal's client for Java asks for a batch before it gives back what its predecessor had, when it becomes
/// active while it waits in a request.
#[tokio::test(crate = "towpath_testkit")]
async fn a_new_connection_begins_with_what_the_one_before_has_not_acknowledged() {
    let (served, _folder) = Served::new().await;
    let mut gone = Peer::subscribed(served.address, "1001").await;
    served.push(numbered(1)).await;
    gone.get("1001", 10, -1).await;
    assert_eq!(gone.expect_numbers().await.1, [1]);
    drop(gone);

    served.push(numbered(2)).await;
    let mut next = Peer::subscribed(served.address, "1001").await;
    next.get("1001", 10, -1).await;
    let (batch_id, numbers) = next.expect_numbers().await;
    assert_eq!(numbers, [1, 2]);
    // What it got itself is not given again.
    next.get("1001", 10, -1).await;
    assert_eq!(next.expect_numbers().await, (-1, vec![]));
    next.ack("1001", batch_id).await;
    next.expect_open().await;
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn requests_behind_a_waiting_get_are_served_in_order() {
    let (served, _directory) = Served::new().await;
    let mut peer = Peer::subscribed(served.address, "1001").await;
    peer.get("1001", 1, 0).await;
    peer.ack("1001", 1).await;
    peer.get("1001", 1, -1).await;
    // More than a request may have: the server must not read on without bound.
    peer.send(&[0, 0, 0, 2, 0x18, 11].repeat(1000)).await;
    served.push(numbered(3)).await;
    assert_eq!(peer.expect_numbers().await, (1, vec![3]));
    assert_eq!(peer.expect_numbers().await, (-1, vec![]));
    for _ in 0..1000 {
        assert_eq!(peer.expect_error().await.0, 400);
    }
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_client_that_never_acks_holds_the_reader_and_no_more_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreOptions { capacity_bytes: 64 << 10, ..StoreOptions::default() };
    let served = Served::with(config(directory.path()), store).await;
    let mut peer = Peer::subscribed(served.address, "1001").await;
    let mut pushed = 0;
    let mut taken = Vec::new();
    while timeout(Duration::from_millis(100), served.feed.send(numbered(pushed))).await.is_ok() {
        pushed += 1;
        peer.get("1001", 1, -1).await;
        let (id, numbers) = peer.expect_numbers().await;
        if id != -1 {
            taken.push((id, numbers));
        }
        assert!(pushed < 1000, "the store does not fill up");
    }
    // It goes on with the acks, and nothing was lost.
    for (id, _) in &taken {
        peer.ack("1001", *id).await;
    }
    let mut numbers: Vec<u64> = taken.into_iter().flat_map(|(_, numbers)| numbers).collect();
    let feed = async {
        for number in pushed..pushed + 500 {
            served.push(numbered(number)).await;
        }
    };
    let drain = async {
        while numbers.len() < usize::try_from(pushed).unwrap() + 500 {
            peer.get("1001", 1, 0).await;
            let (id, more) = peer.expect_numbers().await;
            numbers.extend(more);
            peer.ack("1001", id).await;
        }
    };
    tokio::join!(feed, drain);
    assert_eq!(numbers, (0..pushed + 500).collect::<Vec<_>>());
    served.stop().await.unwrap();
}
