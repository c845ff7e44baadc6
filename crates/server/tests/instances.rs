//! Real sources behind the protocol, and instances that fail beside others that go on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use towpath_engine::{Feed, InstanceState, SourceFeed};
use towpath_entry::DecoderOptions;
use towpath_protocol::entry::{Entry, EntryType};
use towpath_protocol::{BatchRef, Get, Subscription, request};
use towpath_server::{Server, ServerConfig};
use towpath_source::{SourceConfig, Start};

use crate::fixture::{DESTINATION, PATIENCE, Peer, config, instance};

fn source(place: &Path, start: Start) -> Feed {
    Feed::Source(Box::new(SourceFeed {
        place: place.to_str().unwrap().to_owned(),
        config: SourceConfig::default(),
        start,
        instead_of: None,
        decoder: DecoderOptions::default(),
        stall_timeout: PATIENCE,
    }))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden").join(name)
}

/// 4-byte big-endian length, then the bytes of an entry.
fn recorded(name: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(golden(name).join("entries.bin")).unwrap();
    let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
        entries.push(entry.to_vec());
        rest = tail;
    }
    entries
}

/// Takes and acknowledges batches until nothing comes and the source has ended.
async fn drain(peer: &mut Peer, fetch_size: i32, max: usize) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while entries.len() < max {
        peer.get("1001", fetch_size, 100).await;
        let (id, more) = peer.expect_batch().await;
        if id == -1 {
            break;
        }
        entries.extend(more);
        peer.ack("1001", id).await;
    }
    entries
}

/// Serves a folder until its end has been read, lets the client drain it, and stops.
async fn served(state: &Path, name: &str, fetch_size: i32, max: usize) -> Vec<Vec<u8>> {
    let feed = source(&golden(name), Start::Earliest);
    let server = Server::bind(config(state), vec![instance(DESTINATION, feed)]).await.unwrap();
    let (address, shutdown) = (server.local_addr().unwrap(), CancellationToken::new());
    let mut status = server.engine().status(DESTINATION).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(shutdown.clone()));
    let ended = status.wait_for(|status| matches!(status.state, InstanceState::Ended));
    timeout(PATIENCE, ended).await.unwrap().unwrap();
    let mut peer = Peer::subscribed(address, "1001").await;
    let entries = drain(&mut peer, fetch_size, max).await;
    peer.expect_open().await;
    shutdown.cancel();
    timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    entries
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_binlog_file_reaches_the_client_as_canals_bytes() {
    for fetch_size in [1, 7, 1000] {
        let directory = tempfile::tempdir().unwrap();
        let got = served(directory.path(), "statements", fetch_size, usize::MAX).await;
        assert!(got == recorded("statements"), "fetch size {fetch_size}: the bytes differ");
    }
}

/// Where an entry comes from: a restart must neither skip one nor go back behind an ack.
fn places(entries: &[Vec<u8>]) -> Vec<(i64, EntryType)> {
    let place = |entry: &Vec<u8>| {
        let entry = Entry::parse(entry).unwrap();
        (entry.header.logfile_offset, entry.entry_type)
    };
    entries.iter().map(place).collect()
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_binlog_file_is_read_on_behind_the_last_ack_after_each_restart() {
    let directory = tempfile::tempdir().unwrap();
    let expected = places(&recorded("types-fullmeta"));
    let mut got = Vec::new();
    for (fetch_size, max) in [(1, 20), (3, 40), (1000, usize::MAX)] {
        let more = places(&served(directory.path(), "types-fullmeta", fetch_size, max).await);
        // What comes again begins with the transaction that was acked in part.
        let begin = expected.iter().position(|place| *place == more[0]).unwrap();
        assert!(begin <= got.len(), "{begin} after {}: a gap", got.len());
        assert!(got.len() - begin < 10, "{begin} after {}: too far back", got.len());
        got.truncate(begin);
        got.extend(more);
    }
    assert_eq!(got, expected);
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_failed_instance_says_why_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let (feed, blocks) = mpsc::channel(1);
    let instances = vec![
        instance("broken", source(&missing, Start::Now)),
        instance("example", Feed::Blocks(blocks)),
    ];
    let server = Server::bind(config(&directory.path().join("state")), instances).await.unwrap();
    let (address, shutdown) = (server.local_addr().unwrap(), CancellationToken::new());
    let engine = server.engine();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(shutdown.clone()));
    let failed = async {
        while engine.look_at("broken").unwrap().trouble.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, failed).await.unwrap();
    let mut peer = Peer::login(address).await;
    let broken = Some("broken");
    let id = Some("1001");
    let sub = Subscription { destination: broken, client_id: id, filter: None };
    let get = Get { destination: broken, client_id: id, ..Get::default() };
    for request in [request::subscribe(&sub).unwrap(), request::get(&get).unwrap()] {
        peer.send(&request).await;
        let (code, text) = peer.expect_error().await;
        assert_eq!(code, 400);
        assert!(text.contains("destination:broken should start first, it stopped: "), "{text}");
        assert!(text.contains("missing: No such file"), "{text}");
    }
    let all = BatchRef { destination: broken, client_id: id, batch_id: None };
    peer.send(&request::rollback(&all).unwrap()).await;
    peer.expect_open().await;
    let mut peer = Peer::subscribed(address, "1001").await;
    feed.send(crate::fixture::numbered(1)).await.unwrap();
    peer.get("1001", 1, 0).await;
    assert_eq!(peer.expect_numbers().await.1, [1]);
    shutdown.cancel();
    timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_failure_ends_the_server_if_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let instances = vec![instance(DESTINATION, source(&missing, Start::Now))];
    let config = ServerConfig { fail_fast: true, ..config(&directory.path().join("state")) };
    let server = Server::bind(config, instances).await.unwrap();
    let ended = timeout(PATIENCE, server.run(CancellationToken::new())).await.unwrap();
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("destination example: ") && error.contains("missing"), "{error}");
}
