//! What destinations cost that have nothing to do (T-WEDGE-6); `bench/idle` runs this and says what it means.
//!
//! `idle DESTINATIONS SECONDS`: one server, so many destinations, one real MySQL. When all of them stream
//! it counts CPU, switches, memory and descriptors of this process while nothing happens: once as they
//! are, and once more after each has read 4 MiB of binlog that it does not want.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for measuring")]

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use towpath_coordination::SourceAddress;
use towpath_engine::{DestinationConfig, Feed, InstanceState, SourceFeed, StoreOptions};
use towpath_entry::{DecoderOptions, TableFilter};
use towpath_server::{Observer, Server, ServerConfig};
use towpath_source::{SourceConfig, Start};
use towpath_testkit::{Server as Mysql, Version};

/// For all destinations to stream, or to have read something.
const DEADLINE: Duration = Duration::from_secs(300);
/// Longer than from one look at the source's end to the next.
const SETTLE: Duration = Duration::from_secs(25);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Canal's own, and the command line's.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Below them are the ids of servers.
const SERVER_IDS_FROM: u32 = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [destinations, seconds] = arguments.as_slice() else { return };
    let count: u32 = destinations.parse().unwrap();
    let seconds = Duration::from_secs(seconds.parse().unwrap());
    // A dump and what looks at the end, for each; what the system gives to no other is kept free.
    let connections = format!("--max-connections={}", 3 * count + 100);
    let mysql = Mysql::start(Version::Mysql97, &[&connections, "--open-files-limit=65536"]);
    mysql.run("CREATE DATABASE d; CREATE TABLE d.unwanted (b LONGBLOB)");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&mysql, count, seconds));
}

fn instance(number: u32, mysql: &Mysql) -> DestinationConfig {
    let filter = TableFilter::new("", "d\\..*").unwrap();
    let feed = SourceFeed {
        place: mysql.url(),
        config: SourceConfig {
            server_id: Some(SERVER_IDS_FROM + number),
            ..SourceConfig::default()
        },
        instead_of: None,
        start: Start::Now,
        decoder: DecoderOptions::default(),
        stall_timeout: STALL_TIMEOUT,
    };
    DestinationConfig {
        destination: format!("d{number}"),
        address: SourceAddress { host: "127.0.0.1".to_owned(), port: mysql.port() },
        store: StoreOptions::default(),
        filter,
        feed: Feed::Source(Box::new(feed)),
    }
}

async fn measure(mysql: &Mysql, count: u32, seconds: Duration) {
    let state = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        state: state.path().to_owned(),
        ..ServerConfig::default()
    };
    let begun = Instant::now();
    let instances = (0..count).map(|number| instance(number, mysql)).collect();
    let server = Server::bind(config, instances).await.unwrap();
    let bound = begun.elapsed();
    let observer = server.observer();
    let states: Vec<_> =
        (0..count).map(|number| server.engine().status(&format!("d{number}")).unwrap()).collect();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(shutdown.clone()));
    for mut state in states {
        let running = state.wait_for(|status| matches!(status.state, InstanceState::Running));
        timeout(DEADLINE, running).await.unwrap().unwrap();
    }
    println!(
        "destinations {count} bound_s {:.2} running_s {:.2}",
        bound.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    mysql.run("INSERT INTO d.unwanted VALUES ('')");
    until_read(&observer, mysql).await;
    sleep(SETTLE).await;
    println!("fresh {}", rest(mysql, seconds).await);
    for _ in 0..64 {
        mysql.run("INSERT INTO d.unwanted VALUES (REPEAT('x', 65536))");
    }
    until_read(&observer, mysql).await;
    sleep(SETTLE).await;
    println!("after_reading {}", rest(mysql, seconds).await);
    shutdown.cancel();
    let stopped = Instant::now();
    timeout(DEADLINE, tasks.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    println!("stopped_s {:.2}", stopped.elapsed().as_secs_f64());
}

/// Waits until all have read up to the end of the binlog.
async fn until_read(observer: &Observer, mysql: &Mysql) {
    let (file, offset) = mysql.binlog_end();
    let all_read = async {
        loop {
            let state: Value = serde_json::from_str(&observer.state()).unwrap();
            let destinations = state.get("destinations").and_then(Value::as_array).unwrap();
            if destinations.iter().all(|destination| {
                let read = destination.get("read").unwrap();
                read.get("file").and_then(Value::as_str) == Some(&file)
                    && read.get("offset").and_then(Value::as_u64) == Some(offset)
            }) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(DEADLINE, all_read).await.unwrap();
}

/// What this process costs in so many seconds.
async fn rest(mysql: &Mysql, seconds: Duration) -> String {
    let (begun, ticks, switches) = (Instant::now(), cpu_ticks(), switches());
    sleep(seconds).await;
    let elapsed = begun.elapsed().as_secs_f64();
    let connections = mysql
        .query("SHOW PROCESSLIST")
        .iter()
        .filter(|row| row.get(1).is_some_and(|user| user == "canal"))
        .count();
    let mut line = String::new();
    write!(
        line,
        "seconds {elapsed:.0} cpu_percent {:.2} switches_per_s {:.0} resident_mib {} peak_mib {} descriptors {} threads {} source_connections {connections}",
        (cpu_ticks() - ticks) / TICKS_PER_S * 100.0 / elapsed,
        (self::switches() - switches) / elapsed,
        status("self", "VmRSS:") / 1024.0,
        status("self", "VmHWM:") / 1024.0,
        fs::read_dir("/proc/self/fd").unwrap().count(),
        fs::read_dir("/proc/self/task").unwrap().count(),
    )
    .unwrap();
    line
}

/// What /proc counts in, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// User and system time of this process.
fn cpu_ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
}

/// A number of a thread's status.
fn status(thread: &str, name: &str) -> f64 {
    let path = match thread {
        "self" => "/proc/self/status".to_owned(),
        thread => format!("/proc/self/task/{thread}/status"),
    };
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// How often threads of this process were switched to.
fn switches() -> f64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads
        .map(|thread| {
            let name = thread.unwrap().file_name().into_string().unwrap();
            status(&name, "voluntary_ctxt_switches:") + status(&name, "nonvoluntary_ctxt_switches:")
        })
        .sum()
}
