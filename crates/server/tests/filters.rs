//! Filters that clients bring: refused with a reason before anything changes, bounded, and never the
//! reason why a server cannot start again.

use std::time::{Duration, Instant};

use towpath_engine::StoreOptions;
use towpath_entry::FILTER_LEN_MAX;

use crate::fixture::{Peer, Served, config};

#[tokio::test(crate = "towpath_testkit")]
async fn a_filter_that_cannot_be_used_is_refused_with_a_short_reason() {
    let (served, directory) = Served::new().await;
    let mut peer = Peer::subscribed(served.address, "1001").await;
    let meta = directory.path().join("example/meta.dat");
    let before = std::fs::read(&meta).unwrap();
    let many = r"(?!.*x)(?=.*y)\w+\d+.*,".repeat(20_000);
    for (filter, want) in [
        ("a([", "is not a regular expression"),
        (r"(?<=x)y", "look-behind"),
        (r"(a+)+\1", "too many ways"),
        (&*format!("(a{{60000}}){{60000}}{}", "b".repeat(100_000)), "too large"),
        (&*many, "too large"),
        (&*r"(((".repeat(100_000), "too deeply"),
        (&*"a".repeat(FILTER_LEN_MAX + 1), "524288 are allowed"),
    ] {
        peer.subscribe("1001", Some(filter)).await;
        let (code, text) = peer.expect_error().await;
        assert_eq!(code, 400);
        assert!(text.contains(want) && text.len() < 1_000, "{text}");
    }
    assert_eq!(std::fs::read(&meta).unwrap(), before);
    peer.subscribe("1001", Some(r"shop\..*")).await;
    peer.expect_ok().await;
    served.stop().await.unwrap();
}

/// Long filters of many clients: nobody else waits for them, and the state can be read again.
#[tokio::test(crate = "towpath_testkit")]
async fn long_filters_are_bounded_all_together() {
    let (served, directory) = Served::new().await;
    let names: String = (0..20_000).map(|n| format!(r"db_{n}\.order_{n},")).collect();
    assert!(names.len() < FILTER_LEN_MAX, "{}", names.len());
    let mut peers = Vec::new();
    for id in 0..8 {
        let mut peer = Peer::login(served.address).await;
        peer.subscribe(&format!("{}", 1001 + id), Some(&format!("{names}c{id}\\..*"))).await;
        peers.push(peer);
    }
    let begun = Instant::now();
    let mut other = Peer::subscribed(served.address, "7").await;
    other.get("7", 1, -1).await;
    assert_eq!(other.expect_batch().await.0, -1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for peer in &mut peers {
        peer.expect_ok().await;
    }
    let mut accepted = 8;
    let refused = loop {
        let id = format!("{}", 1001 + accepted);
        other.subscribe(&id, Some(&format!("{names}c{accepted}\\..*"))).await;
        let frame = other.receive().await;
        if frame != [0x10, 1, 0x18, 3] {
            break String::from_utf8_lossy(&frame).into_owned();
        }
        accepted += 1;
        assert!(accepted < 100);
    };
    assert!(refused.contains("the filters of all clients would take"), "{refused}");
    assert!(accepted > 10, "{accepted}");
    // The same one again is no more of it.
    other.subscribe("1001", Some(&format!("{names}c0\\..*"))).await;
    other.expect_ok().await;
    served.stop().await.unwrap();
    let served = Served::with(config(directory.path()), StoreOptions::default()).await;
    let mut peer = Peer::subscribed(served.address, "7").await;
    peer.expect_open().await;
    served.stop().await.unwrap();
}
