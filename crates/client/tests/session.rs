//! A session against scripted servers: whatever they do, it ends in time and never takes an answer
//! for that of another request.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use towpath_client::{ClientError, Credentials, Session, SessionOptions};
use towpath_protocol::{Packet, PacketType, frame, reply};

const SEED: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// One step of a server.
enum Do {
    Send(Vec<u8>),
    Expect(PacketType),
    ExpectBytes(Vec<u8>),
    Silence,
}

async fn play(mut stream: TcpStream, script: Vec<Do>) {
    for step in script {
        match step {
            Do::Send(bytes) => stream.write_all(&bytes).await.unwrap(),
            Do::Expect(packet_type) => {
                let body = receive(&mut stream).await;
                assert_eq!(Packet::parse(&body).unwrap().packet_type(), packet_type);
            }
            Do::ExpectBytes(bytes) => {
                assert_eq!(frame(&receive(&mut stream).await).unwrap(), bytes);
            }
            Do::Silence => std::future::pending().await,
        }
    }
    // Until the client closes.
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.unwrap();
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(header)).unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    body
}

/// A server that plays the script once, and its address.
async fn server(script: Vec<Do>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { play(listener.accept().await.unwrap().0, script).await });
    (address, tasks)
}

fn login() -> Vec<Do> {
    vec![
        Do::Send(reply::handshake(&SEED)),
        Do::Expect(PacketType::ClientAuthentication),
        Do::Send(reply::ok()),
    ]
}

async fn connected(steps: Vec<Do>) -> (Session, JoinSet<()>) {
    let mut script = login();
    script.extend(steps);
    let (address, tasks) = server(script).await;
    let options =
        SessionOptions { reply_timeout: Duration::from_millis(300), ..Default::default() };
    (Session::connect(&address, options).await.unwrap(), tasks)
}

async fn refused(script: Vec<Do>) -> String {
    let (address, _tasks) = server(script).await;
    let options =
        SessionOptions { connect_timeout: Duration::from_millis(300), ..Default::default() };
    Session::connect(&address, options).await.unwrap_err().to_string()
}

fn batch(id: i64, entries: &[u8]) -> Vec<u8> {
    let mut bytes = reply::messages_head(id, entries.len()).unwrap();
    bytes.extend_from_slice(entries);
    bytes
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_session_goes_through() {
    let (mut client, mut tasks) = connected(vec![
        Do::Expect(PacketType::Subscription),
        Do::Send(reply::ok()),
        Do::Expect(PacketType::ClientRollback),
        Do::Expect(PacketType::Get),
        Do::Send(batch(5, &[0x12, 2, 0xaa, 0xbb, 0x12, 1, 0xcc])),
        Do::Expect(PacketType::ClientAck),
        Do::Expect(PacketType::Get),
        Do::Send(reply::no_messages()),
        Do::Expect(PacketType::Unsubscription),
        Do::Send(reply::ok()),
    ])
    .await;
    client.subscribe(".*").await.unwrap();
    client.rollback(None).await.unwrap();
    let batch = client.get(1000, Duration::ZERO).await.unwrap();
    assert_eq!((batch.id, batch.entries.len()), (5, 2));
    assert_eq!(batch.entries.concat(), [0xaa, 0xbb, 0xcc]);
    client.ack(batch.id).await.unwrap();
    let batch = client.get(1000, Duration::from_secs(1)).await.unwrap();
    assert!(batch.is_nothing());
    client.ack(batch.id).await.unwrap();
    client.unsubscribe().await.unwrap();
    client.close(Duration::from_secs(1)).await;
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn the_login_is_the_worked_one_and_old_servers_are_served() {
    let auth = |password: &str| {
        towpath_protocol::request::login(&towpath_protocol::ClientAuth {
            username: Some("canal"),
            password: Some(password.as_bytes()),
            net_read_timeout: Some(3_600_000),
            net_write_timeout: Some(3_600_000),
            ..Default::default()
        })
        .unwrap()
    };
    let scrambled = auth("7de44690d8e53782cb61804a2455c284a3bbfb06");
    for (greeting, expected) in [
        (reply::handshake(&SEED), scrambled),
        (frame(&[0x18, 1, 0x2a, 0]).unwrap(), auth("canal")),
        (frame(&[0x18, 1]).unwrap(), auth("canal")),
    ] {
        let script = vec![Do::Send(greeting), Do::ExpectBytes(expected), Do::Send(reply::ok())];
        let (address, mut tasks) = server(script).await;
        let credentials = Credentials { user: "canal".to_owned(), password: "canal".to_owned() };
        assert!(!format!("{credentials:?}").contains("password"));
        let options =
            SessionOptions { credentials: Some(credentials), ..SessionOptions::default() };
        let client = Session::connect(&address, options);
        client.await.unwrap().close(Duration::from_secs(1)).await;
        tasks.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn what_is_no_canal_server_is_said_so() {
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    assert!(refused(vec![Do::Send(http)]).await.contains("above the limit of 268435456 bytes"));
    assert!(refused(vec![Do::Send(vec![0xff; 4])]).await.contains("negative"));
    assert!(refused(vec![Do::Send(vec![0, 0, 0, 2, 0xff, 0xff])]).await.contains("ends inside"));
    assert!(refused(vec![Do::Silence]).await.contains("no answer within 300 ms"));
    assert!(refused(vec![Do::Send(reply::ok())]).await.contains("ACK where HANDSHAKE"));
    let version_2 = frame(&[0x10, 2, 0x18, 1]).unwrap();
    assert!(refused(vec![Do::Send(version_2)]).await.contains("version 2"));
    let mut script = login();
    script.pop();
    script.push(Do::Send(reply::error(400, "auth failed for user:canal")));
    assert!(refused(script).await.contains("login refused: error 400: auth failed for user:canal"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Session::connect(&address, SessionOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("connect: "), "{error}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_error_that_nobody_asked_for_closes_the_connection() {
    let error = reply::error(400, "ack error , clientId:1001 batchId:7 is not exist\n");
    let (mut client, _tasks) = connected(vec![
        Do::Expect(PacketType::ClientAck),
        Do::Expect(PacketType::Get),
        Do::Send(error),
        Do::Send(reply::no_messages()),
    ])
    .await;
    client.ack(7).await.unwrap();
    let error = client.get(1, Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().ends_with("batchId:7 is not exist"), "{error}");
    let error = client.get(1, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed { .. }), "{error}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_late_answer_and_a_dropped_request_close_the_connection() {
    let (mut client, _tasks) = connected(vec![Do::Expect(PacketType::Get), Do::Silence]).await;
    let error = client.get(1, Duration::from_millis(10)).await.unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }), "{error}");
    assert!(matches!(client.ack(1).await, Err(ClientError::Closed { .. })));

    let (mut client, _tasks) = connected(vec![Do::Expect(PacketType::Get), Do::Silence]).await;
    let get = client.get(1, Duration::from_secs(9));
    assert!(tokio::time::timeout(Duration::from_millis(20), get).await.is_err());
    assert!(matches!(client.ack(1).await, Err(ClientError::Closed { .. })));
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_answer_too_many_closes_the_connection() {
    let twice = [reply::ok(), reply::ok()].concat();
    let (mut client, _tasks) =
        connected(vec![Do::Expect(PacketType::Subscription), Do::Send(twice)]).await;
    client.subscribe("").await.unwrap();
    let error = client.get(1, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "{error}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn frames_may_come_in_pieces() {
    let bytes = batch(9, &[0x12, 1, 0xcc]);
    let pieces = bytes.iter().map(|byte| Do::Send(vec![*byte]));
    let steps = std::iter::once(Do::Expect(PacketType::Get)).chain(pieces).collect();
    let (mut client, _tasks) = connected(steps).await;
    assert_eq!(client.get(1, Duration::ZERO).await.unwrap().id, 9);
}
