//! `towpath serve`, killed at random moments while a client has batches out (F32).
//!
//! `TOWPATH_KILLS` says how often for each server (10), `TOWPATH_KILLS_SEED` repeats an order.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::thread::scope;
use std::time::Duration;

use tokio::time::timeout;
use towpath_client::{ClientError, Session, SessionOptions};
use towpath_testkit::{Random, Server, Version, setting};

use crate::chaos::moment;
use crate::sequence::{Serving, TABLE, exactly, inserted};

/// Batches that are out at every kill, once so many have come.
const KEPT_OUT: usize = 2;
/// Batches that are out at once.
const OUT_MAX: usize = 5;

/// A writer of transactions of consecutive numbers.
#[derive(Default)]
struct Numbers {
    last: i64,
    /// The first number of each transaction.
    firsts: BTreeSet<i64>,
}

impl Numbers {
    fn sql(&mut self, random: &mut Random) -> String {
        let mut sql = String::new();
        for _ in 0..50 + random.below(200) {
            self.firsts.insert(self.last + 1);
            sql.push_str("BEGIN;\n");
            for _ in 0..=random.below(8) {
                self.last += 1;
                writeln!(sql, "INSERT INTO d.n VALUES ({});", self.last).unwrap();
            }
            sql.push_str("COMMIT;\n");
        }
        sql
    }

    /// A run comes without a gap, in order, and from the begin of a transaction that is not behind what
    /// is missing.
    fn check(&self, run: &[i64], acked: i64, what: &str) {
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else { return };
        assert_eq!(run, exactly(first..=last), "{what}: out of order");
        assert!(first <= acked + 1, "{what}: {first} after the ack of {acked}: a loss");
        assert!(self.firsts.contains(&first), "{what}: {first} begins no transaction");
    }
}

/// What a client saw of one process.
#[derive(Debug, Default)]
struct Run {
    numbers: Vec<i64>,
    /// Batches, with the last number up to each.
    out: VecDeque<(i64, i64)>,
    /// The highest number for which an ack was sent.
    acked: i64,
}

/// Takes small batches and acknowledges them, as it comes.
async fn follow(
    address: &str,
    random: &mut Random,
    run: &mut Run,
) -> Result<Infallible, ClientError> {
    let mut client = Session::connect(address, SessionOptions::default()).await?;
    client.subscribe("d\\.n").await?;
    loop {
        if run.out.len() < OUT_MAX && random.below(3) > 0 {
            let batch = client.get(1, Duration::from_millis(20)).await?;
            if batch.is_nothing() {
                continue;
            }
            run.numbers.extend(batch.entries.iter().flat_map(|entry| inserted(entry)));
            let last = run.numbers.last().copied().unwrap_or_default();
            run.out.push_back((batch.id, last));
        } else if run.out.len() > KEPT_OUT
            && let Some((id, last)) = run.out.pop_front()
        {
            run.acked = run.acked.max(last);
            client.ack(id).await?;
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a passing run did")]
fn killed(version: Version, more: &[&str], seed: u64) {
    let mut random = Random::new(seed);
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let url = server.url();
    let mut arguments = vec!["--source", &url, "--from", "earliest"];
    arguments.extend(more);
    let mut numbers = Numbers::default();
    let (mut acked, mut repeated, mut was_out) = (0, 0, 0);
    let mut serving = Serving::start(&arguments);
    for round in 0..setting("TOWPATH_KILLS").unwrap_or(10) {
        let sql = numbers.sql(&mut random);
        let mut run = Run { acked, ..Run::default() };
        let address = serving.towpath.address();
        let alive = moment(&mut random, 0, 1200);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = scope(|threads| {
            threads.spawn(|| server.run(&sql));
            let follow = follow(&address, &mut random, &mut run);
            if let Ok(Err(error)) = runtime.block_on(async { timeout(alive, follow).await }) {
                panic!("{error}: {}", serving.towpath.program().stderr());
            }
            serving.kill()
        });
        let what = format!("seed {seed}, round {round}, {version:?}");
        numbers.check(&run.numbers, acked, &what);
        repeated += run.numbers.iter().filter(|number| **number <= acked).count();
        was_out = was_out.max(run.out.len());
        acked = run.acked;
        serving = ended.start(&arguments);
    }
    // There may be nothing that is not acknowledged.
    server.run(&numbers.sql(&mut random));
    let rest = serving.numbers_until(numbers.last);
    numbers.check(&rest, acked, &format!("seed {seed}, the end, {version:?}"));
    assert!(was_out > 1, "seed {seed}: no batches were out at any kill");
    println!("{version:?}: {} numbers, {repeated} repeated after their ack was sent", numbers.last);
}

/// F32.
#[test]
fn a_killed_server_loses_nothing_and_repeats_whole_transactions() {
    let seed = setting("TOWPATH_KILLS_SEED").unwrap_or(32);
    killed(Version::Mysql97, &["--gtid"], seed);
    killed(Version::Mysql57, &[], seed + 1);
    killed(Version::Mariadb1011, &[], seed + 2);
}
