//! Peers that do what no client does: each is told what is wrong or dropped, and costs the others
//! nothing.

use std::time::Duration;

use tokio::sync::mpsc;
use towpath_engine::{Feed, StoreOptions};
use towpath_protocol::{ClientAuth, PasswordHash, request, token};
use towpath_server::{Credentials, Server, ServerConfig};

use crate::fixture::{DESTINATION, Peer, Served, config, instance, numbered};

async fn impatient() -> (Served, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config =
        ServerConfig { login_deadline: Duration::from_millis(200), ..config(directory.path()) };
    (Served::with(config, StoreOptions::default()).await, directory)
}

#[tokio::test(crate = "towpath_testkit")]
async fn garbage_and_impossible_lengths_end_the_connection_at_once() {
    let (served, _directory) = Served::new().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0, 1, 0, 1],
        &[0, 0, 0, 3, 0xff, 0xff, 0xff],
        &[0, 0, 0, 6, 0x18, 2, 0x2a, 2, 0x0a, 9],
    ] {
        let (mut peer, _) = Peer::connect(served.address).await;
        peer.send(bytes).await;
        peer.expect_closed().await;
    }
    let mut peer = Peer::login(served.address).await;
    peer.send(&[0, 0x10, 0, 0]).await;
    drop(peer);
    let mut peer = Peer::login(served.address).await;
    peer.send(&[0, 0x10, 0, 1]).await;
    peer.expect_closed().await;
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn half_a_frame_and_silence_end_at_the_login_deadline() {
    let (served, _directory) = impatient().await;
    for half in [&b""[..], &[0, 0], &[0, 0, 0, 9, 0x18, 2]] {
        let (mut peer, _) = Peer::connect(served.address).await;
        peer.send(half).await;
        peer.expect_closed().await;
    }
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn silence_after_the_login_ends_at_the_idle_timeout_asked_for() {
    let (served, _directory) = Served::new().await;
    let (mut peer, _) = Peer::connect(served.address).await;
    let auth = ClientAuth { net_read_timeout: Some(50), ..ClientAuth::default() };
    peer.send(&request::login(&auth).unwrap()).await;
    peer.expect_ok().await;
    peer.send(&[0, 0, 0, 9, 0x18]).await;
    peer.expect_closed().await;
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn frames_in_pieces_and_many_at_once_are_served() {
    let (served, _directory) = Served::new().await;
    let mut peer = Peer::login(served.address).await;
    for byte in [0, 0, 0, 2, 0x18, 11] {
        peer.send(&[byte]).await;
    }
    assert_eq!(peer.expect_error().await.0, 400);
    peer.send(&[0, 0, 0, 2, 0x18, 11].repeat(500)).await;
    for _ in 0..500 {
        assert_eq!(peer.expect_error().await.0, 400);
    }
    peer.expect_open().await;
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_password_is_asked_for_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let credentials =
        Credentials { user: Some("canal".to_owned()), password: PasswordHash::of("secret") };
    let config = ServerConfig { credentials: Some(credentials), ..config(directory.path()) };
    let served = Served::with(config, StoreOptions::default()).await;
    for (user, password) in
        [("canal", None), ("canal", Some("wrong")), ("other", Some("secret")), ("", Some(""))]
    {
        let (mut peer, seed) = Peer::connect(served.address).await;
        let token = password.map(|password| token(password, &seed));
        let auth = ClientAuth {
            username: Some(user),
            password: token.as_deref().map(str::as_bytes),
            ..ClientAuth::default()
        };
        peer.send(&request::login(&auth).unwrap()).await;
        assert_eq!(peer.expect_error().await, (400, format!("auth failed for user:{user}")));
        peer.expect_closed().await;
    }
    for plain in [&b"secret"[..], b"zz", b"e3619321c1a937c46a0d8bd1dac39f93b27d4458ff"] {
        let (mut peer, _) = Peer::connect(served.address).await;
        let auth =
            ClientAuth { username: Some("canal"), password: Some(plain), ..ClientAuth::default() };
        peer.send(&request::login(&auth).unwrap()).await;
        assert_eq!(peer.expect_error().await.0, 400);
    }
    let (mut peer, seed) = Peer::connect(served.address).await;
    let token = token("secret", &seed);
    let auth = ClientAuth {
        username: Some("canal"),
        password: Some(token.as_bytes()),
        ..ClientAuth::default()
    };
    peer.send(&request::login(&auth).unwrap()).await;
    peer.expect_ok().await;
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_error_without_a_request_is_the_last_thing_sent() {
    let (served, _directory) = Served::new().await;
    served.push(numbered(1)).await;
    for request in ["ack", "rollback"] {
        let mut peer = Peer::subscribed(served.address, "1001").await;
        // The get behind it must not be answered: the client would take the error for its answer.
        match request {
            "ack" => peer.ack("1001", 999).await,
            _ => peer.rollback("1001", Some(999)).await,
        }
        peer.get("1001", 1, -1).await;
        let (code, text) = peer.expect_error().await;
        assert_eq!(code, 400);
        assert!(
            text.ends_with("clientId:1001 batchId:999 is not exist , please check\n"),
            "{text}"
        );
        peer.expect_closed().await;
    }
    let mut peer = Peer::subscribed(served.address, "1001").await;
    peer.ack("1001", 0).await;
    let (code, text) = peer.expect_error().await;
    assert_eq!((code, text.split(' ').next().unwrap()), (402, "batchId"));
    peer.expect_closed().await;
    let mut peer = Peer::login(served.address).await;
    peer.ack("", 5).await;
    let text = "destination or clientId is null. Ack: destination: \"example\"\nbatch_id: 5\n";
    assert_eq!(peer.expect_error().await, (401, text.to_owned()));
    served.stop().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn what_a_server_needs_is_checked_at_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let bind = async |config: ServerConfig, names: &[&str]| {
        let instances =
            names.iter().map(|name| instance(name, Feed::Blocks(mpsc::channel(1).1))).collect();
        Server::bind(config, instances).await.map(|server| server.local_addr().unwrap())
    };
    let first = {
        let feed = Feed::Blocks(mpsc::channel(1).1);
        Server::bind(config(directory.path()), vec![instance(DESTINATION, feed)]).await.unwrap()
    };
    let address = first.local_addr().unwrap();
    let other = directory.path().join("other");
    let taken = ServerConfig { listen: address, ..config(&other) };
    let error = bind(taken, &["a"]).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
    assert!(error.contains("another process has the port"), "{error}");
    let error = bind(config(directory.path()), &["a"]).await.unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = bind(config(&file), &["a"]).await.unwrap_err().to_string();
    assert!(error.contains("cannot be created"), "{error}");
    let error = bind(config(&other), &["a", "a"]).await.unwrap_err().to_string();
    assert_eq!(error, "destination `a` is configured twice");
    let error = bind(config(&other), &[]).await.unwrap_err().to_string();
    assert!(error.contains("nothing to serve"), "{error}");
    let error = bind(config(&other), &["../a"]).await.unwrap_err().to_string();
    assert!(error.contains("plain file name"), "{error}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn connections_above_the_limit_are_closed_and_the_others_served() {
    let directory = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        connections_max: 2,
        connections_per_address_max: Some(2),
        ..config(directory.path())
    };
    let served = Served::with(config, StoreOptions::default()).await;
    let mut first = Peer::login(served.address).await;
    let second = Peer::login(served.address).await;
    let stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
    Peer { stream }.expect_closed().await;
    first.expect_open().await;
    drop(second);
    // The place is free once the server has seen the end.
    loop {
        let stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
        if (Peer { stream }).try_receive().await.is_some() {
            break;
        }
    }
    served.stop().await.unwrap();
}
