//! Does a client leak? `bench/leak-soak` runs it; `docs/reliability.md` says what came out.
#![expect(clippy::unwrap_used, reason = "it ends with a panic as a test would")]
#![expect(clippy::print_stdout, reason = "a program that reports")]

#[path = "../../tests/leaks/bed.rs"]
mod bed;
#[path = "../../tests/leaks/expiry.rs"]
mod expiry;
#[path = "../../tests/leaks/follower.rs"]
mod follower;
mod picture;
#[path = "../../tests/leaks/rounds.rs"]
mod rounds;
mod sample;
#[path = "../../tests/leaks/scripted.rs"]
mod scripted;
mod soak;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use towpath_testkit::CountingAllocator;

use bed::Bed;
use rounds::{Round, Rounds};
use soak::Soak;

#[global_allocator]
static ALLOCATED: CountingAllocator = CountingAllocator::new();

/// Rounds until the runtime's and the session's own lists have their size.
const WARM_UP: usize = 200;

const KINDS: [Round; 14] = [
    Round::Empty,
    Round::EmptyAnew,
    Round::Cycle,
    Round::Refused,
    Round::DiesInHandshake,
    Round::DiesInBatch,
    Round::DiesAfterAck,
    Round::Cancelled,
    Round::CancelledAnew,
    Round::Dropped,
    Round::Standby,
    Round::LockLost,
    Round::Expired,
    Round::Terminated,
];

const USAGE: &str = "\
leak soak    connects to an empty cluster, with this client and with Canal's Java clients
  --attempts N       of this client, by one that is shared (1000000)
  --sessions N       of this client, by a new one each time (20000)
  --minutes N        bound of the whole (60)
  --callers N        that connect at the same time, of each client (20)
  --java VERSIONS    of the Java clients, or none (1.1.7,1.1.8)
  --csv FILE         figures
  --svg FILE         the same as a picture
leak rounds  connects, servers that die, cancelled and dropped connections; nothing may be left
  --rounds N         of each kind (10000)
  --only KIND        only this one
leak draw    draws a picture of figures
  --csv FILE, --svg FILE";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(command) = arguments.next() else {
        // `cargo bench` goes through all of them.
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    };
    if command == "follow" {
        let zookeeper = arguments.next().unwrap();
        follow(&zookeeper);
        return ExitCode::SUCCESS;
    }
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        let known = arguments.next().is_some_and(|value| options.set(&name, value));
        if !known {
            println!("{name}: not known, or without a usable value\n{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    match command.as_str() {
        "soak" => soak(&options),
        "rounds" => all_rounds(&options),
        "help" => println!("{USAGE}"),
        "draw" => picture::draw(&sample::read(&options.csv), &options.svg),
        _ => {
            println!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What was asked for.
struct Options {
    attempts: usize,
    sessions: usize,
    rounds: usize,
    callers: usize,
    limit: Duration,
    only: Option<Round>,
    java: String,
    csv: String,
    svg: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attempts: 1_000_000,
            sessions: 20_000,
            rounds: 10_000,
            callers: 20,
            limit: Duration::from_mins(60),
            only: None,
            java: "1.1.7,1.1.8".to_owned(),
            csv: "leak-soak.csv".to_owned(),
            svg: "leak-soak.svg".to_owned(),
        }
    }
}

impl Options {
    /// False: there is no such option, or its value is of no use.
    fn set(&mut self, name: &str, value: String) -> bool {
        let number = value.parse::<usize>();
        match (name, number) {
            ("--java", _) => self.java = value,
            ("--csv", _) => self.csv = value,
            ("--svg", _) => self.svg = value,
            ("--attempts", Ok(number)) => self.attempts = number,
            ("--sessions", Ok(number)) => self.sessions = number,
            ("--rounds", Ok(number)) => self.rounds = number,
            ("--callers", Ok(number @ 1..)) => self.callers = number,
            ("--minutes", Ok(number)) => {
                self.limit = Duration::from_secs(60 * u64::try_from(number).unwrap());
            }
            ("--only", _) => {
                self.only = KINDS.into_iter().find(|round| round.name() == value);
                return self.only.is_some();
            }
            _ => return false,
        }
        true
    }
}

/// This program as a client of its own.
fn follower(zookeeper: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["follow", zookeeper]);
    command
}

#[tokio::main(flavor = "current_thread")]
async fn follow(zookeeper: &str) {
    follower::follow(zookeeper).await;
}

#[tokio::main(flavor = "current_thread")]
async fn soak(options: &Options) {
    let Options { csv, svg, .. } = options;
    let bed = Bed::start(&ALLOCATED).await;
    let mut soak = Soak::start(&bed, options).await;
    soak.shared(options.attempts).await;
    soak.anew(options.sessions).await;
    drop(soak);
    picture::draw(&sample::read(csv), svg);
    println!("{csv} has the figures, {svg} the picture");
}

#[tokio::main(flavor = "current_thread")]
async fn all_rounds(options: &Options) {
    let bed = Bed::start(&ALLOCATED).await;
    for kind in KINDS {
        if options.only.is_some_and(|only| only != kind) {
            continue;
        }
        let began = Instant::now();
        let mut rounds = Rounds::new(&bed, kind).await;
        rounds.run(WARM_UP).await;
        let baseline = bed.at_rest().await;
        rounds.run(options.rounds).await;
        rounds.complete_passes().await;
        let after = bed.assert_back_at(&baseline, rounds.slack_bytes()).await;
        let (name, s) = (kind.name(), began.elapsed().as_secs_f64());
        println!("{name}: {} rounds in {s:.0} s\n  {baseline:?}\n  {after:?}", options.rounds);
    }
}
