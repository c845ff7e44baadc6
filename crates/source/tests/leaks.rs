//! T-LEAK-1: attempts at a source that fail leave nothing.
//!
//! In a program of its own, so that nothing else is counted. `TOWPATH_LEAK_ATTEMPTS` says how many of each
//! kind there are (400; the survey asks for 10,000).
use std::time::Duration;

use tokio::runtime::Handle;
use towpath_source::{Source, SourceConfig, Start};
use towpath_testkit::{
    CountingAllocator, Fault, Footprint, Proxy, Server, Version, free_port, wait_until,
};

#[global_allocator]
static ALLOCATED: CountingAllocator = CountingAllocator::new();

/// Of what an attempt that hangs would take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Attempts before the first look.
const WARM_UP: usize = 50;

/// What lies between two looks and is none of an attempt's: buffers of the runtime, pages of the allocator.
const SLACK_BYTES: usize = 32 << 10;
const SLACK_RESIDENT_BYTES: u64 = 4 << 20;

#[tokio::test(crate = "towpath_testkit")]
async fn failed_attempts_leave_nothing() {
    let count = std::env::var_os("TOWPATH_LEAK_ATTEMPTS");
    let count = count.map_or(400, |text| text.to_str().unwrap().parse().unwrap());
    let server = Server::start(Version::Mariadb1011, &["--max-connect-errors=1000000"]);
    server.run("FLUSH BINARY LOGS");
    let port = server.port();
    let cut = Proxy::start(port);
    let kinds = [
        ("connect", format!("mysql://canal:canal@127.0.0.1:{}", free_port()), 0),
        ("login", format!("mysql://canal:wrong@127.0.0.1:{port}"), 0),
        ("position", format!("mysql://canal:canal@127.0.0.1:{port}"), 0),
        ("cut", format!("mysql://canal:canal@{}", cut.address()), 1),
    ];
    for (kind, url, step) in kinds {
        let attempt = async |number: usize| {
            // Anywhere in the conversation, from the greeting to the answers about the binlog.
            cut.set(Fault::Truncate(1 + number * step * 7 % 600));
            let start = Start::At { file: "mysql-bin.000009".to_owned(), offset: 4 };
            let opened = Source::open(&url, SourceConfig::default(), &start);
            let opened = tokio::time::timeout(DEADLINE, opened).await.unwrap();
            assert!(opened.is_err(), "{kind}, {number}");
        };
        for number in 0..WARM_UP {
            attempt(number).await;
        }
        let at_rest = || {
            wait_until("the proxy to be done", DEADLINE, || (cut.open() == 0).then_some(()));
            let tasks = Handle::current().metrics().num_alive_tasks();
            (Footprint::own(), tasks, ALLOCATED.bytes())
        };
        let (before, tasks_before, bytes_before) = at_rest();
        for number in WARM_UP..WARM_UP + count {
            attempt(number).await;
        }
        let (after, tasks, bytes) = at_rest();
        println!(
            "{kind}: {count} attempts, {bytes_before} to {bytes} bytes\n  {before:?}\n  {after:?}"
        );
        assert_eq!(tasks, tasks_before, "{kind}: tasks");
        assert_eq!(after.descriptors, before.descriptors, "{kind}: descriptors");
        assert_eq!(after.sockets, before.sockets, "{kind}: sockets");
        assert!(bytes <= bytes_before + SLACK_BYTES, "{kind}: bytes allocated");
        let allowed_bytes = before.resident_bytes + SLACK_RESIDENT_BYTES;
        assert!(after.resident_bytes <= allowed_bytes, "{kind}: memory");
    }
    wait_until("the source to have no connection left", DEADLINE, || {
        let rows = server.query("SHOW PROCESSLIST");
        (!rows.iter().any(|row| row.get(1).is_some_and(|user| user == "canal"))).then_some(())
    });
}
