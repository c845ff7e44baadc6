//! A binlog that is one of several streams (PolarDB-X, `canal.instance.multi.stream.on`).

use std::time::Duration;

use tempfile::TempDir;
use towpath_testkit::{Server, Streams, Towpath, Version};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, write};

const STREAM: &str = "group1_stream_0";

fn server() -> (Server, Streams) {
    let server = Server::start(Version::Mysql57, &["--log-bin=group1_stream_0_binlog"]);
    server.run(TABLE);
    let streams = Streams::start(server.port(), STREAM);
    (server, streams)
}

/// Every question about the binlog is for the stream: its end, its files, places by name and time,
/// after restarts and while structures are read ahead.
#[test]
fn a_stream_is_followed_by_its_name() {
    let (server, streams) = server();
    let url = format!("{}?stream={STREAM}", streams.url());
    let mut serving = Serving::start(&["--source", &url, "--from", "now"]);
    serving.wait_until_running();
    write(&server, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    server.run(server.version().rotate_sql());
    write(&server, 11..=20);
    let mut serving = serving.restart(&["--source", &url]);
    assert_eq!(serving.numbers_until(20), exactly(11..=20));

    let mut serving = Serving::start(&["--source", &url, "--from", "earliest"]);
    assert_eq!(serving.numbers_until(20), exactly(1..=20));
    let from = format!("{STREAM}_binlog.000002:4");
    let mut serving = Serving::start(&["--source", &url, "--from", &from]);
    assert_eq!(serving.numbers_until(20), exactly(11..=20));
    assert!(streams.asked_count() > 0);
    assert_eq!(streams.others(), Vec::<String>::new());
}

/// Without the name the files are those of the global binlog: a place in the stream's is not there.
#[test]
fn a_place_in_a_stream_that_is_not_named_is_refused() {
    let (server, streams) = server();
    write(&server, 1..=5);
    let (url, from) = (streams.url(), format!("{STREAM}_binlog.000001:4"));
    let state = TempDir::new().unwrap();
    let arguments = ["--source", &url, "--from", &from, "--state", state.path().to_str().unwrap()];
    let ended = Towpath::try_serve(binary(), &arguments).wait(Duration::from_secs(90));
    assert!(!ended.status.success());
    let said = format!("position {from} is not there; the source keeps binlog.000001:4");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    assert!(!streams.others().is_empty());
}
