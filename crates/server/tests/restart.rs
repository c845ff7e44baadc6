//! Cursors across connections, stops and kills.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use towpath_engine::{Feed, StoreOptions};
use towpath_server::Server;

use crate::fixture::{DESTINATION, Peer, Served, config, instance, numbered};

/// Blocks end at offset 100 a number, and 104 behind the first.
const fn offset_behind(number: u64) -> u64 {
    number * 100 + 104
}

/// The offset at which a source has to go on.
async fn resume_offset(state: &Path) -> Option<u64> {
    let feed = Feed::Blocks(tokio::sync::mpsc::channel(1).1);
    // The lock of a server that was killed in its last write is free when the write is done.
    loop {
        let feed = match &feed {
            Feed::Blocks(_) => Feed::Blocks(tokio::sync::mpsc::channel(1).1),
            Feed::Source(_) => return None,
        };
        match Server::bind(config(state), vec![instance(DESTINATION, feed)]).await {
            Ok(server) => {
                let cursor = server.engine().cursor(DESTINATION);
                let stop = CancellationToken::new();
                stop.cancel();
                server.run(stop).await.unwrap();
                return cursor?.resume.map(|resume| resume.offset);
            }
            Err(error) => assert!(error.to_string().contains("in use"), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn until_written(state: &Path, text: &str) {
    let path = state.join(DESTINATION).join("meta.dat");
    while !std::fs::read_to_string(&path).is_ok_and(|meta| meta.contains(text)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_connection_that_comes_back_gets_what_it_did_not_ack() {
    let (served, _directory) = Served::new().await;
    for number in 0..4 {
        served.push(numbered(number)).await;
    }
    let mut peer = Peer::subscribed(served.address, "1001").await;
    let mut taken = Vec::new();
    while taken.len() < 4 {
        peer.get("1001", 1000, 0).await;
        taken.extend(peer.expect_numbers().await.1);
    }
    peer.rollback("1001", None).await;
    peer.get("1001", 1000, -1).await;
    let (id, numbers) = peer.expect_numbers().await;
    assert_eq!(numbers, [0, 1, 2, 3]);
    drop(peer);
    // As every stock client does: rollback before and after its subscription.
    let mut peer = Peer::login(served.address).await;
    peer.rollback("1001", None).await;
    peer.subscribe("1001", None).await;
    peer.expect_ok().await;
    peer.rollback("1001", None).await;
    peer.get("1001", 1000, -1).await;
    let (again, numbers) = peer.expect_numbers().await;
    assert_eq!((again, numbers.len()), (id + 1, 4));
    // A batch of one connection may be acknowledged on another.
    let mut other = Peer::login(served.address).await;
    other.ack("1001", again).await;
    other.expect_open().await;
    served.push(numbered(4)).await;
    peer.rollback("1001", None).await;
    peer.get("1001", 1000, 0).await;
    assert_eq!(peer.expect_numbers().await, (again + 1, vec![4]));
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_stop_keeps_the_last_ack() {
    let (served, directory) = Served::new().await;
    let mut peer = Peer::subscribed(served.address, "1001").await;
    for number in 0..3 {
        served.push(numbered(number)).await;
        peer.get("1001", 1, 0).await;
        let (id, numbers) = peer.expect_numbers().await;
        assert_eq!(numbers, [number]);
        peer.ack("1001", id).await;
    }
    peer.expect_open().await;
    served.stop().await.unwrap();
    assert_eq!(resume_offset(directory.path()).await, Some(offset_behind(2)));
}

/// T-POS-1, as far as it goes without a process of its own.
#[tokio::test(crate = "towpath_testkit")]
async fn a_killed_server_goes_on_behind_the_last_ack_and_uses_no_batch_id_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut next = 0;
    let mut last_id = 0;
    for round in 0..3 {
        let state = directory.path();
        let begin = resume_offset(state).await.map_or(0, |offset| (offset - 4) / 100);
        assert_eq!(begin, next, "round {round}");
        let served = Served::with(config(state), StoreOptions::default()).await;
        for number in begin..begin + 4 {
            served.push(numbered(number)).await;
        }
        let mut peer = Peer::subscribed(served.address, "1001").await;
        peer.ack("1001", -1).await;
        let mut numbers = Vec::new();
        while numbers.len() < 3 {
            peer.get("1001", 1, 0).await;
            let (id, more) = peer.expect_numbers().await;
            assert!(id > last_id, "batch id {id} after {last_id}");
            last_id = id;
            numbers.extend(more);
            if numbers.len() == 4 {
                break;
            }
            peer.ack("1001", id).await;
            next = begin + numbers.len() as u64;
        }
        assert_eq!(numbers, (begin..begin + numbers.len() as u64).collect::<Vec<_>>());
        let resume = format!("\"resumeOffset\":{}", offset_behind(next.max(1) - 1));
        if next > begin {
            until_written(state, &resume).await;
        }
        served.kill().await;
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_client_that_acked_nothing_begins_where_it_began_before() {
    let (served, directory) = Served::new().await;
    let mut peer = Peer::subscribed(served.address, "1001").await;
    served.push(numbered(5)).await;
    peer.get("1001", 1, 0).await;
    assert_eq!(peer.expect_numbers().await.1, [5]);
    until_written(directory.path(), "\"resumeOffset\":504").await;
    served.kill().await;
    assert_eq!(resume_offset(directory.path()).await, Some(504));
}
