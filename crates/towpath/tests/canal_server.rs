//! Our client, and our command line, on a real Canal server.

use std::process::Command;
use std::time::{Duration, Instant};

use towpath_client::{Batch, Client, ClientError};
use towpath_testkit::{CanalServer, Program, Server, Version};

use crate::binary;
use crate::follower::{Follower, print};
use crate::workload::{SCHEMA, Workload, assert_rows, done};

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn client_of(server: &CanalServer) -> towpath_client::Builder {
    // Small batches: KiB, as servers read it by default.
    Client::builder().server(&server.address()).fetch_size(50)
}

fn rows_of(batch: &Batch) -> Vec<String> {
    batch.rows().unwrap().iter().map(print).collect()
}

/// The next batch with rows in it.
async fn next(connection: &mut towpath_client::Connection) -> Batch {
    loop {
        let batch = tokio::time::timeout(DEADLINE, connection.next()).await.unwrap();
        let batch = batch.unwrap().unwrap();
        if !rows_of(&batch).is_empty() {
            return batch;
        }
        batch.ack().await.unwrap();
    }
}

#[tokio::test(crate = "towpath_testkit", flavor = "multi_thread", worker_threads = 1)]
async fn our_client_gets_every_row_of_a_canal_server_once_and_in_order() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut workload = Workload::default();
    source.run(SCHEMA);
    source.run(&workload.transactions(400));
    source.run(&done(1));
    let server = CanalServer::start(&source, "example");
    let client = client_of(&server).build().unwrap();

    // Given back: it comes again, and so do those that were fetched behind it.
    let mut connection = client.connect().await.unwrap();
    let first = next(&mut connection).await;
    let wanted = rows_of(&first);
    drop(first);
    let first = next(&mut connection).await;
    let mut got = rows_of(&first);
    let common = wanted.len().min(got.len());
    assert_rows("given back", &wanted[..common], &got[..common]);
    first.ack().await.unwrap();
    let second = next(&mut connection).await;
    got.extend(rows_of(&second));
    second.ack().await.unwrap();
    connection.close().await;

    // Acknowledged: a later connection goes on behind it.
    let mut connection = client.connect().await.unwrap();
    loop {
        let batch = next(&mut connection).await;
        got.extend(rows_of(&batch));
        batch.ack().await.unwrap();
        if got.last().unwrap().contains("shop.done") {
            break;
        }
    }
    got.pop();
    assert_rows("our client", &workload.expected, &got);
    connection.close().await;
    assert_eq!(client.health().open_sockets, 0);
}

#[test]
fn a_canal_server_says_what_it_does_not_have_and_filters() {
    let source = Server::start(Version::Mysql57, &[]);
    source.run(SCHEMA);
    let server = CanalServer::start(&source, "example");

    let begin = Instant::now();
    let client =
        client_of(&server).destination("nowhere").wait(Duration::from_secs(2)).build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let error = runtime.block_on(client.connect()).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let error = error.to_string();
    assert!(error.contains("nowhere"), "{error}");

    let follower = Follower::start(&client_of(&server).filter("shop\\.done").build().unwrap());
    follower.wait_until_active();
    source.run(&Workload::default().transactions(10));
    source.run(&done(7));
    follower.wait_for_row("INSERT shop.done () (id=7)");
    let rows = follower.close();
    assert_eq!(rows, ["INSERT shop.done () (id=7)"]);
}

#[tokio::test(crate = "towpath_testkit", flavor = "multi_thread", worker_threads = 1)]
async fn a_canal_server_with_a_password_takes_ours_and_no_other() {
    let source =
        Server::start(Version::Mysql80, &["--default-authentication-plugin=mysql_native_password"]);
    source.run(SCHEMA);
    source.run(&done(1));
    let server = CanalServer::start_with_login(&source, "example");
    let builder = || client_of(&server).wait(Duration::ZERO);

    let client = builder().credentials("canal", "canal").build().unwrap();
    let mut connection = client.connect().await.unwrap();
    let batch = next(&mut connection).await;
    assert_eq!(rows_of(&batch), ["INSERT shop.done () (id=1)"]);
    batch.ack().await.unwrap();
    connection.close().await;

    for client in [builder().credentials("canal", "wrong"), builder()] {
        let error = client.build().unwrap().connect().await.unwrap_err();
        assert!(matches!(error, ClientError::Login { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(&server.address()) && !error.contains("wrong"), "{error}");
    }
}

/// The command line as a client of a Canal server.
#[test]
fn tail_and_client_follow_a_canal_server() {
    let source = Server::start(Version::Mariadb1011, &[]);
    source.run("CREATE DATABASE shop; CREATE TABLE shop.done (id INT PRIMARY KEY)");
    let server = CanalServer::start(&source, "example");
    let place = format!("canal://{}/example", server.address());
    let towpath = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).arg(&place);
        Program::start(&mut command, "build the towpath binary")
    };
    source.run(&(1..=3).map(done).collect::<String>());

    let shown = ["--json", "--filter", "shop\\.done", "--limit", "3"];
    let refused = towpath(&[&["tail"], &shown[..]].concat()).wait(DEADLINE);
    assert!(!refused.status.success() && refused.stderr.contains("--take"), "{}", refused.stderr);
    let ended = towpath(&[&["tail", "--take"], &shown[..]].concat()).wait(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    let ids: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(ids.len(), 3, "{}", ended.stdout);

    let mut counting = towpath(&["client", "--count"]);
    counting.wait_for_line(": active at ", DEADLINE);
    source.run(&(4..=9).map(done).collect::<String>());
    counting.wait_for_line("latest", DEADLINE);
    counting.terminate();
    let ended = counting.wait(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    let count: u64 = ended
        .stdout
        .lines()
        .filter_map(|line| line.split_once(" rows/s")?.0.parse::<u64>().ok())
        .sum();
    assert!(count > 0, "{}", ended.stdout);
}
