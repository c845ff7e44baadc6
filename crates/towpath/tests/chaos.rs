//! Three ZooKeeper servers, two Towpath servers, a Java and a Rust client that stand by for each other,
//! a writer that numbers its rows; and everything fails, in an order that a seed decides.
//!
//! `TOWPATH_CHAOS_SECONDS` makes it longer or shorter than three minutes, each kind of fault comes at least
//! twice; `TOWPATH_CHAOS_SEED` gives another order.

mod scene;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use towpath_testkit::{Random, Server, Version, setting};

use crate::numbers::Writer;
use scene::{Follower, Node, Scene};

const DEFAULT_SEED: u64 = 1001;

const DEFAULT_SECONDS: u64 = 180;

/// Numbers written between two faults.
const NUMBERS: u64 = 100;

/// A time between two, in milliseconds.
pub(crate) fn moment(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + random.below(most - least))
}

/// A batch that went out.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    /// When the server last asked its lease for it. The line in the log may be written at any time later: the
    /// process may have been stopped in between.
    asked_ms: u64,
    epoch: i64,
}

/// Deliveries as a server's log tells of them.
fn deliveries(log: &str) -> Vec<Sent> {
    let field = |line: &str, name: &str| -> i64 {
        let value = line.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next());
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in `{line}`"))
    };
    let sent = |line: &str| Sent {
        asked_ms: field(line, "asked_ms=").unsigned_abs(),
        epoch: field(line, "epoch="),
    };
    log.lines().filter(|line| line.contains("batch sent")).map(sent).collect()
}

/// T-HA-1, T-HA-3: every number arrives, in order; repeats only after a fault; never do two servers
/// deliver at once.
#[test]
fn everything_fails_and_nothing_is_lost() {
    let seed = setting("TOWPATH_CHAOS_SEED").unwrap_or(DEFAULT_SEED);
    let length = Duration::from_secs(setting("TOWPATH_CHAOS_SECONDS").unwrap_or(DEFAULT_SECONDS));
    println!("TOWPATH_CHAOS_SEED={seed}");
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut scene = Scene::new(seed, &source);
    let outcome = catch_unwind(AssertUnwindSafe(|| fail_everything(&mut scene, &source, length)));
    if let Err(failure) = outcome {
        let (folder, ends) = scene.evidence(seed);
        // All in one message: there may be nothing else to look at.
        panic!(
            "{}\nTOWPATH_CHAOS_SEED={seed}; all that was said is in {}\n{ends}",
            message(failure.as_ref()),
            folder.display()
        );
    }
}

/// What a panic said.
fn message(failure: &(dyn Any + Send)) -> &str {
    let text = failure.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| failure.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

#[expect(clippy::print_stdout, reason = "what a passing run did")]
fn fail_everything(scene: &mut Scene, source: &Server, length: Duration) {
    let mut writer = Writer::new(source);
    let begun = Instant::now();
    scene.wait_for(writer.write(NUMBERS));
    while begun.elapsed() < length || !scene.had_all_kinds() {
        writer.write(NUMBERS / 2);
        scene.fault(source);
        scene.wait_for(writer.write(NUMBERS / 2));
    }
    scene.clients.iter_mut().for_each(Follower::end);
    scene.nodes.iter_mut().for_each(Node::terminate);
    let (faults, last) = (scene.fault_count(), writer.last());
    println!("{faults} faults, {last} numbers, all went on within {:?}", scene.slowest);
    check_numbers(&scene.clients, last, faults);
    check_epochs(&mut scene.nodes, faults);
    check_failures(&mut scene.nodes);
}

/// Every number is there, in order: a step back is a repeat after a fault, and what a step ahead leaves out
/// the other client had.
#[expect(clippy::print_stdout, reason = "what a passing run did")]
fn check_numbers(clients: &[Follower], last: u64, faults: usize) {
    let all: BTreeSet<u64> =
        clients.iter().flat_map(|client| &client.runs).flatten().copied().collect();
    let lost: Vec<u64> = (1..=last).filter(|number| !all.contains(number)).collect();
    assert!(lost.is_empty(), "lost {lost:?}");

    let mut rewinds = 0;
    for (index, client) in clients.iter().enumerate() {
        let others: BTreeSet<u64> = (clients.iter().enumerate())
            .filter(|(other, _)| *other != index)
            .flat_map(|(_, other)| other.runs.iter().flatten().copied())
            .collect();
        let mut own = BTreeSet::new();
        for run in &client.runs {
            let mut previous: Option<u64> = None;
            for &number in run {
                if let Some(previous) = previous.filter(|previous| number != previous + 1) {
                    if number <= previous {
                        rewinds += 1;
                    }
                    let left_out = (previous + 1..number)
                        .find(|between| !others.contains(between) && !own.contains(between));
                    let at = format!("client {index}, {previous} then {number}");
                    assert_eq!(left_out, None, "out of order, {at}");
                }
                own.insert(number);
                previous = Some(number);
            }
        }
    }
    assert!(rewinds <= faults * 2, "{rewinds} repeats, {faults} faults");
    println!("{rewinds} repeats");
}

/// Epochs grow over all servers' deliveries: no server delivers once a later one has begun.
#[expect(clippy::print_stdout, reason = "what a passing run did")]
fn check_epochs(nodes: &mut [Node], faults: usize) {
    let mut sent: Vec<(Sent, usize)> = Vec::new();
    for (index, node) in nodes.iter_mut().enumerate() {
        sent.extend(deliveries(&node.log()).into_iter().map(|sent| (sent, index)));
    }
    sent.sort_unstable();
    assert!(sent.len() > faults, "{} deliveries in the logs", sent.len());
    for pair in sent.windows(2) {
        let [(before, _), (after, _)] = pair else { continue };
        assert!(before.epoch <= after.epoch, "{before:?}, then {after:?} went out");
    }
    println!("{} deliveries", sent.len());
}

/// Whatever happens to servers and links, the destination can be served: none of it is a failure, after which
/// a server would wait for longer and longer.
fn check_failures(nodes: &mut [Node]) {
    for node in nodes {
        let log = node.log();
        let failure = log.lines().find(|line| line.contains("cannot be served here"));
        assert_eq!(failure, None);
    }
}
