//! T-WEDGE-1: what a server says of itself, over HTTP and on a signal.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use towpath_client::{Session, SessionOptions};
use towpath_testkit::{Footprint, Server, Version, ZooKeeper, wait_until};

use crate::numbers;
use crate::sequence::{Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(90);

/// One second, and what a busy machine adds; less than any wait of ours for a source.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Where a server says that its status is.
pub(crate) fn status_of(program: &mut towpath_testkit::Program) -> String {
    let line = program.wait_for_line("status on http://", DEADLINE);
    line.rsplit_once("http://").unwrap().1.to_owned()
}

fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Status code and body.
pub(crate) fn get(address: &str, target: &str) -> (u16, String) {
    let answer = exchange(address, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(crate) fn state(address: &str) -> Value {
    let (code, body) = get(address, "/state");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The value of a sample; 0 when it is not there.
pub(crate) fn metric(address: &str, sample: &str) -> f64 {
    let (code, page) = get(address, "/metrics");
    assert_eq!(code, 200, "{page}");
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// A destination of a source, as it runs, and the address of its status.
fn observed(server: &Server) -> (Serving, String) {
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--status", "127.0.0.1:0"]);
    let status = status_of(serving.towpath.program());
    serving.wait_until_running();
    (serving, status)
}

#[test]
fn a_server_tells_how_far_it_is_and_what_it_waits_for() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    let (mut serving, status) = observed(&server);
    write(&server, 1..=20);
    let (file, offset) = server.binlog_end();

    // Nobody has taken anything.
    let destination = wait_until("the end to be read", DEADLINE, || {
        let state = state(&status);
        let destination = state["destinations"][0].clone();
        (destination["read"]["offset"] == offset).then_some(destination)
    });
    assert_eq!(destination["name"], "example");
    assert_eq!(destination["role"], "active");
    assert_eq!(destination["state"], "running");
    assert_eq!(destination["read"]["file"], file.as_str());
    assert_eq!(destination["reads_from"], "server");
    assert_eq!(destination["source"], format!("127.0.0.1:{}", server.port()));
    assert_eq!(destination["waits_for"], "the source to send more");
    assert_eq!(destination["error"], Value::Null);
    assert_eq!(destination["store"]["limit_bytes"], 32 << 20);
    assert_eq!(destination["store"]["not_taken_entries"], 60);
    assert_eq!(destination["clients"].as_array().unwrap().len(), 0);
    assert_eq!(get(&status, "/health").0, 200);

    assert_eq!(serving.numbers_until(20), exactly(1..=20));
    let rows = |which: &str| {
        metric(&status, &format!("canal_instance_{which}_rows{{destination=\"example\",}}"))
    };
    wait_until("the acks to be counted", DEADLINE, || {
        let counted = ["put", "get", "ack"].map(rows);
        (counted == [20.0; 3]).then_some(())
    });
    let destination = &state(&status)["destinations"][0];
    assert_eq!(destination["clients"][0]["id"], 1001);
    assert_eq!(destination["clients"][0]["acknowledged"]["file"], file.as_str());
    assert_eq!(destination["clients"][0]["batches"], 0);
    assert_eq!(destination["store"]["not_acknowledged_entries"], 0);

    // On a signal the same goes to the log.
    let id = serving.towpath.program().id().to_string();
    assert!(Command::new("kill").args(["-USR1", &id]).status().unwrap().success());
    let line = serving.says(" state ");
    let line = if line.contains("waits_for") { line } else { serving.says("waits_for") };
    assert!(line.contains("destination=\"example\"") && line.contains(&file), "{line}");
}

/// server-runtime 8: each family that is there has Canal's name, type, labels and text.
#[test]
fn metrics_have_the_names_that_canal_gives_them() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(TABLE);
    let (mut serving, status) = observed(&server);
    write(&server, 1..=5);
    assert_eq!(serving.numbers_until(5), exactly(1..=5));
    let (code, page) = get(&status, "/");
    assert_eq!(code, 200);
    let samples: Vec<&str> = page.lines().collect();
    for line in [
        "# HELP canal_instance Canal instance",
        "# TYPE canal_instance gauge",
        "canal_instance{destination=\"example\",mode=\"spring\",} 1.0",
        "canal_instance_subscriptions{destination=\"example\",} 1.0",
        "canal_instance_parser_mode{destination=\"example\",parallel=\"false\",} 1.0",
        "canal_instance_store{destination=\"example\",batchMode=\"MEMSIZE\",size=\"32768\",} 1.0",
        "# TYPE canal_instance_store_produce_seq counter",
        "canal_instance_store_produce_seq{destination=\"example\",} 14.0",
        "canal_instance_transactions{destination=\"example\",} 5.0",
        "canal_instance_put_rows{destination=\"example\",} 5.0",
        "# TYPE canal_instance_client_request_latency histogram",
        "towpath_destination_role{destination=\"example\",role=\"serves\",} 1.0",
    ] {
        assert!(samples.contains(&line), "no `{line}` in {page}");
    }
    let subscriptions =
        "canal_instance_client_packets{destination=\"example\",packetType=\"SUBSCRIPTION\",} ";
    assert!(samples.iter().any(|line| line.starts_with(subscriptions)), "{page}");
    for family in ["traffic_delay", "put_delay", "get_delay", "ack_delay", "received_binlog_bytes"]
    {
        assert!(page.contains(&format!("\ncanal_instance_{family}{{")), "{family}: {page}");
    }
    assert!(!page.contains("_total"), "{page}");
    let (_, page) =
        get(&status, "/metrics?name[]=canal_instance&name%5B%5D=canal_instance_put_rows");
    let families = page.lines().filter(|line| line.starts_with("# TYPE"));
    assert_eq!(families.count(), 2, "{page}");
}

/// T-WEDGE-1: what waits for clients is told apart from what waits for the source.
#[test]
fn a_full_store_is_told() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.big (t LONGTEXT)");
    let url = server.url();
    let arguments =
        ["--source", &url, "--from", "earliest", "--store-size", "1", "--status", "127.0.0.1:0"];
    let mut serving = Serving::start(&arguments);
    let status = status_of(serving.towpath.program());
    serving.wait_until_running();
    for _ in 0..6 {
        server.run("INSERT INTO d.big VALUES (REPEAT('x', 900000))");
    }
    let destination = wait_until("the store to be full", DEADLINE, || {
        let destination = state(&status)["destinations"][0].clone();
        let waits_for = destination["waits_for"].as_str().unwrap().to_owned();
        waits_for.contains("full store").then_some(destination)
    });
    assert!(destination["waits_since_ms"].as_i64().unwrap() > 0);
    assert!(destination["store"]["held_bytes"].as_u64().unwrap() > 900_000);
    assert_eq!(get(&status, "/health").0, 200);
    let waited = "canal_instance_sink_blocking_time{destination=\"example\",}";
    wait_until("the waiting to be counted", DEADLINE, || {
        (metric(&status, waited) > 0.0).then_some(())
    });
}

/// A standby lives, and is not where clients should go.
#[test]
fn a_standby_is_healthy_only_when_it_serves() {
    let server = Server::start(Version::Mysql57, &[]);
    let zookeeper = ZooKeeper::start();
    let cluster = zookeeper.address();
    server.run(TABLE);
    let options = ["--status", "127.0.0.1:0"];
    let mut active = numbers::serve_with(&server, &cluster, &options);
    let first = status_of(active.program());
    wait_until("the first to serve", DEADLINE, || (get(&first, "/health").0 == 200).then_some(()));
    let mut standby = numbers::serve_with(&server, &cluster, &options);
    let second = status_of(standby.program());
    let (code, body) = get(&second, "/health");
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("\"example\":\"stands by\""), "{body}");
    assert_eq!(state(&second)["destinations"][0]["role"], "standby");
    assert!(state(&first)["destinations"][0]["epoch"].is_i64());
    let ended = active.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    wait_until("the second to serve", DEADLINE, || {
        (get(&second, "/health").0 == 200).then_some(())
    });
    assert_eq!(get(&second, "/health?destination=example").0, 200);
    assert_eq!(get(&second, "/health?destination=other").0, 503);
}

/// Whatever comes to the port, it goes on answering, and so do the clients' connections.
#[test]
fn odd_requests_and_slow_ones_hold_nothing_up() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let url = server.url();
    let mut serving =
        Serving::start(&["--source", &url, "--from", "earliest", "--status", "127.0.0.1:0"]);
    let status = status_of(serving.towpath.program());
    assert_eq!(get(&status, "/nothing").0, 404);
    let post = exchange(&status, "POST /state HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    assert!(exchange(&status, "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 "));
    assert!(exchange(&status, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect(&status).unwrap();
    // It may be closed before all of it is sent.
    let _sent: bool = stream.write_all(long.as_bytes()).is_ok();
    drop(stream);

    // More than are served at a time, which all say nothing: they are closed after their deadline.
    let silent: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(&status).unwrap()).collect();
    write(&server, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    assert_eq!(get(&status, "/health").0, 200);
    for mut stream in silent {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || answer.is_empty(), "{ended:?}");
    }
}

/// T-WEDGE-5: who takes over is named to the one before, with its age, and in the state; and when it ends
/// in order the next one does not wait.
#[test]
fn a_second_client_of_a_destination_is_named() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (serving, status) = observed(&server);
    write(&server, 1..=3);
    let reader = || state(&status)["destinations"][0]["clients"][0]["reader"].clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = serving.towpath.address();
        let open = async || {
            let mut client = Session::connect(&address, SessionOptions::default()).await.unwrap();
            client.subscribe("d\\.n").await.unwrap();
            client
        };
        let mut first = open().await;
        let taken = first.get(1, DEADLINE).await.unwrap();
        assert!(!taken.is_nothing());
        let since_ms = reader()["since_ms"].as_i64().unwrap();
        assert_eq!(reader()["address"], first.local_addr().to_string());

        let mut second = open().await;
        second.rollback(None).await.unwrap();
        let owner = second.local_addr().to_string();
        assert_eq!(reader()["address"], owner);
        let now_since_ms = reader()["since_ms"].as_i64().unwrap();
        assert!(now_since_ms >= since_ms, "{now_since_ms} {since_ms}");
        let refused = first.get(1, DEADLINE).await.unwrap_err().to_string();
        let (_, rest) = refused.split_once(&format!("subscribed again from {owner}, ")).unwrap();
        let age_ms: i64 = rest.split_once(" ms ago: ").unwrap().0.parse().unwrap();
        assert!(age_ms <= state(&status)["now_ms"].as_i64().unwrap() - now_since_ms, "{refused}");
        // What the first one took comes to the second.
        let again = second.get(1, DEADLINE).await.unwrap();
        assert_eq!(again.entries, taken.entries);

        second.close(DEADLINE).await;
        let begun = Instant::now();
        let mut third = open().await;
        third.rollback(None).await.unwrap();
        assert_eq!(third.get(1, DEADLINE).await.unwrap().entries, taken.entries);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(reader()["address"], third.local_addr().to_string());
        third.close(DEADLINE).await;
    });
}

/// T-LEAK-4: a peer that closes its side is let go, on every port that is listened on.
#[test]
fn a_peer_that_closes_its_side_is_let_go() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (mut serving, status) = observed(&server);
    let client = serving.towpath.address();
    let process = serving.towpath.program().id();
    let listened: Vec<u16> = [&client, &status]
        .map(|address| address.rsplit_once(':').unwrap().1.parse().unwrap())
        .to_vec();
    let open = || {
        let ports = Footprint::of(process).ports;
        ports.into_iter().filter(|port| listened.contains(port)).count()
    };
    let before = open();
    let peers: Vec<TcpStream> = [&client, &status]
        .into_iter()
        // Fewer than the status port takes at a time.
        .flat_map(|address| (0..10).map(|_| TcpStream::connect(address.as_str()).unwrap()))
        .collect();
    wait_until("the peers to be there", DEADLINE, || {
        (open() == before + peers.len()).then_some(())
    });
    for peer in &peers {
        peer.shutdown(Shutdown::Write).unwrap();
    }
    // They are still open on this side: what is left of them there would be in CLOSE_WAIT.
    wait_until("their descriptors to be free", DEADLINE, || (open() == before).then_some(()));
    drop(peers);
}

/// Peers that begin a request and leave it at that take no answer from others.
#[test]
fn half_requests_do_not_hold_up_the_status() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (mut serving, status) = observed(&server);
    let mut halves = Vec::new();
    for count in [64, 300] {
        while halves.len() < count {
            let mut half = TcpStream::connect(&status).unwrap();
            half.write_all(b"GET /state HTTP/1.1\r\nHost:").unwrap();
            halves.push(half);
        }
        let begun = Instant::now();
        assert_eq!(get(&status, "/health").0, 200);
        assert!(begun.elapsed() < AT_ONCE, "{count}: {:?}", begun.elapsed());
    }
    // The limit holds, and all of them are let go when their time is over.
    let port: u16 = status.rsplit_once(':').unwrap().1.parse().unwrap();
    let process = serving.towpath.program().id();
    let open = || Footprint::of(process).ports.into_iter().filter(|open| *open == port).count();
    assert!(open() <= 41, "{}", open());
    wait_until("half requests to end", DEADLINE, || (open() == 1).then_some(()));
    drop(halves);
}

/// A peer that vanishes without a word is noticed by both sides: their system asks after a minute.
#[test]
fn silent_connections_are_asked_by_both_sides_if_they_live() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (serving, _status) = observed(&server);
    let address = serving.towpath.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SessionOptions::default();
        let session = Session::connect(&address, options).await.unwrap();
        let local = session.local_addr().port();
        let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
        wait_until("both sides to be silent", DEADLINE, || {
            let asks =
                [(local, port), (port, local)].map(|(from, to)| seconds_until_asked(from, to));
            asks.iter().all(|asks| asks.is_some_and(|s| (1..=60).contains(&s))).then_some(())
        });
        session.close(DEADLINE).await;
    });
}

/// Seconds until the system asks the other side of a connection on this machine if it lives: the
/// columns of /proc/net/tcp are in the manual of the C library's proc(5).
fn seconds_until_asked(from: u16, to: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[1].ends_with(&format!(":{from:04X}")) && columns[2].ends_with(&format!(":{to:04X}"))
    })?;
    // Timer 2 is that of keepalive, in hundredths of a second.
    let timer = line.split_whitespace().nth(5)?.strip_prefix("02:")?;
    Some(u64::from_str_radix(timer, 16).unwrap().div_ceil(100))
}

/// T-LEAK-2: with a silent source, too, the end comes at once, and the source has no connection of it.
#[test]
fn an_end_leaves_no_connection_at_a_source_that_is_idle() {
    for version in [Version::Mysql57, Version::Mysql97, Version::Mariadb1011] {
        let server = Server::start(version, &[]);
        server.run(TABLE);
        let (mut serving, _status) = observed(&server);
        write(&server, 1..=1);
        assert_eq!(serving.numbers_until(1), [1]);
        let connections = || {
            let rows = server.query("SHOW PROCESSLIST");
            rows.into_iter().filter(|row| row[1] == "canal").collect::<Vec<_>>()
        };
        assert!(!connections().is_empty());
        let begun = Instant::now();
        let _ended = serving.end();
        let took = begun.elapsed();
        assert!(took < AT_ONCE, "{version:?}: {took:?}");
        wait_until("the source to have no connection left", AT_ONCE, || {
            connections().is_empty().then_some(())
        });
    }
}
