//! Nothing is left, whatever happens (client-protocol 7.2): the short forms of `bench/leak-soak`.
//!
//! Descriptors and memory are those of a process, so each of these tests runs in one of its own: the
//! part that is marked as ignored.

mod bed;
mod expiry;
mod follower;
mod rounds;
mod scripted;

use std::process::Command;
use std::time::Duration;

use towpath_testkit::Program;

use bed::Bed;
use rounds::{Round, Rounds};

const DEADLINE: Duration = Duration::from_secs(240);

/// Rounds until the runtime's and the session's own lists have their size.
const WARM_UP: usize = 100;

/// Runs another test of this binary in a process of its own.
fn alone(test: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("leaks::{test}"), "--nocapture"]);
    let ended = Program::start(&mut command, "this is the test itself").wait(DEADLINE);
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("1 passed"), "no test named {test}: {}", ended.stdout);
}

/// Where the follower's process finds ZooKeeper.
const ZOOKEEPER: &str = "TOWPATH_LEAKS_ZOOKEEPER";

/// This program as a client that [`follower::follow`]s.
pub(crate) fn follower(zookeeper: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "leaks::alone_follower"]).env(ZOOKEEPER, zookeeper);
    command
}

/// Goes through the rounds after a warm-up, and looks what is left.
#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "figures for whoever runs it by hand")]
async fn nothing_is_left(kinds: &[(Round, usize)]) {
    let bed = Bed::start(&crate::ALLOCATED).await;
    for (kind, count) in kinds {
        let began = std::time::Instant::now();
        let mut rounds = Rounds::new(&bed, *kind).await;
        rounds.run(WARM_UP.min(count / 3)).await;
        let baseline = bed.at_rest().await;
        rounds.run(*count).await;
        rounds.complete_passes().await;
        let after = bed.assert_back_at(&baseline, rounds.slack_bytes()).await;
        let (name, s) = (kind.name(), began.elapsed().as_secs_f64());
        println!("{name}: {count} rounds in {s:.1} s\n  {baseline:?}\n  {after:?}");
    }
}

/// What is counted is there to be counted: an active connection has a socket (and this process its other
/// end), a lock, watches, a task; a standby has no socket.
#[test]
fn i_sock_i_lock_an_active_connection_holds_what_is_counted() {
    alone("alone_active");
}

#[tokio::test(crate = "towpath_testkit")]
#[ignore = "run in a process of its own by the test above"]
async fn alone_active() {
    let bed = Bed::start(&crate::ALLOCATED).await;
    let mut rounds = Rounds::new(&bed, Round::Cycle).await;
    rounds.run(WARM_UP).await;
    let baseline = bed.at_rest().await;
    assert_eq!(baseline.watches, 0);
    let active = rounds.connected().await;
    let held = bed.at_rest().await;
    assert_eq!(held.sockets, baseline.sockets + 2);
    assert_eq!(held.ephemerals, baseline.ephemerals + 1);
    assert_eq!(held.sessions, baseline.sessions);
    assert!(held.watches > baseline.watches && held.tasks > baseline.tasks, "{held:?}");
    let standby = rounds.standby().await;
    let with_standby = bed.at_rest().await;
    // Its session with ZooKeeper.
    assert_eq!(with_standby.sockets, held.sockets + 1);
    assert_eq!(with_standby.sessions, held.sessions + 1);
    assert_eq!(with_standby.ephemerals, held.ephemerals);
    drop(active);
    drop(standby);
    let slack_bytes = rounds.slack_bytes();
    drop(rounds);
    bed.assert_back_at(&baseline, slack_bytes).await;
}

#[test]
fn i_mem_i_watch_10_000_attempts_in_an_empty_cluster_leave_nothing() {
    alone("alone_empty");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_empty() {
    nothing_is_left(&[(Round::Empty, 10_000)]);
}

#[test]
fn i_sess_a_session_for_each_attempt_leaves_nothing() {
    alone("alone_empty_anew");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_empty_anew() {
    nothing_is_left(&[(Round::EmptyAnew, 500)]);
}

/// T-LEAK-3: after them the one socket of the session with ZooKeeper is there.
#[test]
fn i_sock_i_task_1_000_cycles_and_1_000_failing_connects_leave_nothing() {
    alone("alone_cycles");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_cycles() {
    nothing_is_left(&[(Round::Cycle, 1000), (Round::Refused, 1000)]);
}

#[test]
fn i_clean_a_server_that_dies_at_any_byte_leaves_nothing() {
    alone("alone_dying");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_dying() {
    nothing_is_left(&[
        (Round::DiesInHandshake, 300),
        (Round::DiesInBatch, 300),
        (Round::DiesAfterAck, 300),
    ]);
}

#[test]
fn i_sess_i_lock_a_lost_session_or_lock_leaves_nothing() {
    alone("alone_lost");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_lost() {
    nothing_is_left(&[(Round::LockLost, 200), (Round::Expired, 30), (Round::Standby, 200)]);
}

#[test]
fn i_clean_a_connect_cancelled_at_every_await_leaves_nothing() {
    alone("alone_cancelled");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_cancelled() {
    nothing_is_left(&[(Round::Cancelled, 300), (Round::CancelledAnew, 300)]);
}

#[test]
fn i_idem_client_connection_and_batch_dropped_in_any_order_leave_nothing() {
    alone("alone_dropped");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_dropped() {
    nothing_is_left(&[(Round::Dropped, 400)]);
}

#[test]
fn i_sess_a_process_that_is_told_to_end_with_a_batch_in_hand_leaves_nothing() {
    alone("alone_terminated");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn alone_terminated() {
    nothing_is_left(&[(Round::Terminated, 50)]);
}

#[tokio::test(crate = "towpath_testkit")]
#[ignore = "run in a process of its own by the test above"]
async fn alone_follower() {
    let zookeeper = std::env::var_os(ZOOKEEPER).unwrap();
    follower::follow(zookeeper.to_str().unwrap()).await;
}
