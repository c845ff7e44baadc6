//! More peers than there is room for: those that have logged in stay, and others come in.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use towpath_engine::StoreOptions;
use towpath_protocol::PasswordHash;
use towpath_server::{Credentials, ServerConfig};

use crate::fixture::{Peer, Served, config, numbered};

/// Of a peer that is not one of a crowd.
const ELSEWHERE: &str = "127.0.0.2";

async fn with(change: impl FnOnce(&mut ServerConfig)) -> (Served, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    change(&mut config);
    (Served::with(config, StoreOptions::default()).await, directory)
}

fn with_password(config: &mut ServerConfig) {
    let password = PasswordHash::of("secret");
    config.credentials = Some(Credentials { user: Some("canal".to_owned()), password });
}

/// The answer to a login that is right.
const OK: [u8; 4] = [0x10, 1, 0x18, 3];

#[tokio::test(crate = "towpath_testkit")]
async fn silent_peers_make_room_and_clients_stay() {
    let (served, _directory) = with(|config| config.connections_max = 20).await;
    let mut first = Peer::subscribed(served.address, "1001").await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(Peer::from("127.0.0.1", served.address).await);
    }
    let mut second = Peer::login(served.address).await;
    served.push(numbered(1)).await;
    first.get("1001", 1, 0).await;
    assert_eq!(first.expect_numbers().await.1, [1]);
    second.expect_open().await;
    // A few of them are left, the youngest ones.
    let mut greeted = Vec::new();
    for peer in &mut silent {
        let open = tokio::time::timeout(Duration::from_millis(100), async {
            while peer.try_receive().await.is_some() {}
        });
        greeted.push(open.await.is_err());
    }
    let left = greeted.iter().filter(|open| **open).count();
    assert!((1..=10).contains(&left), "{left} of {greeted:?}");
    assert!(greeted[..90].iter().all(|open| !open), "{greeted:?}");
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_address_has_no_more_than_its_part() {
    let (served, _directory) = with(|config| config.connections_per_address_max = Some(2)).await;
    let mut first = Peer::login(served.address).await;
    let mut second = Peer::login(served.address).await;
    Peer::from("127.0.0.1", served.address).await.expect_closed().await;
    let mut elsewhere = Peer::from(ELSEWHERE, served.address).await;
    assert_eq!(elsewhere.try_login("", "").await.unwrap(), OK);
    for peer in [&mut first, &mut second, &mut elsewhere] {
        peer.expect_open().await;
    }
    served.stop().await.unwrap();
}

/// Guesses from one address, until `time` has passed; how many were compared.
async fn guess(served: &Served, time: Duration) -> usize {
    let mut guesses = JoinSet::new();
    for _ in 0..30 {
        let (address, until) = (served.address, Instant::now() + time);
        guesses.spawn(async move {
            let mut compared = 0;
            while Instant::now() < until {
                let mut peer = Peer::from("127.0.0.1", address).await;
                let Some(answer) = peer.try_login("canal", "wrong").await else { continue };
                compared +=
                    usize::from(String::from_utf8_lossy(&answer).contains("for user:canal"));
            }
            compared
        });
    }
    guesses.join_all().await.into_iter().sum()
}

#[tokio::test(crate = "towpath_testkit")]
async fn guesses_are_compared_slowly_and_keep_nobody_else_out() {
    let (served, _directory) = with(with_password).await;
    let mut at_work = Peer::from("127.0.0.1", served.address).await;
    assert_eq!(at_work.try_login("canal", "secret").await.unwrap(), OK);
    let begun = Instant::now();
    let compared = async {
        let compared = guess(&served, Duration::from_secs(3)).await;
        (compared, begun.elapsed())
    };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut elsewhere = Peer::from(ELSEWHERE, served.address).await;
        let asked = Instant::now();
        assert_eq!(elsewhere.try_login("canal", "secret").await.unwrap(), OK);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        at_work.expect_open().await;
    };
    let ((compared, elapsed), ()) = tokio::join!(compared, meanwhile);
    // Twenty at once and two in each second.
    let most = 21 + usize::try_from(elapsed.as_millis() / 500).unwrap();
    assert!((20..=most).contains(&compared), "{compared} in {elapsed:?}");
    // The right one from the same address has its turn, too.
    let mut peer = Peer::from("127.0.0.1", served.address).await;
    assert_eq!(peer.try_login("canal", "secret").await.unwrap(), OK);
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn long_requests_that_do_not_arrive_hold_up_no_short_ones() {
    let (served, _directory) = Served::new().await;
    let mut halves = Vec::new();
    for _ in 0..40 {
        let mut peer = Peer::login(served.address).await;
        // A request of 1 MiB that begins, and no more of it.
        peer.send(&[0, 0x10, 0, 0]).await;
        peer.send(&[0; 2000]).await;
        halves.push(peer);
    }
    let mut peer = Peer::subscribed(served.address, "1001").await;
    served.push(numbered(1)).await;
    peer.get("1001", 1, 5000).await;
    assert_eq!(peer.expect_numbers().await.1, [1]);
    drop(halves);
    // The memory is free again: a filter that is long, and of no use.
    let filter = format!("a\\.({})", vec!["b"; 30_000].join("|"));
    peer.subscribe("1001", Some(&filter)).await;
    let _told = peer.receive().await;
    peer.expect_open().await;
    served.stop().await.unwrap();
}
