//! Each server of the connect string by itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::super::findings::{Finding, Findings, Verdict};
use super::super::reach::{self, Unreached};

const STEP: &str = "ensemble";
/// Longest answer in bytes.
const ANSWER_LEN_MAX: u64 = 64 << 10;

/// How a server is.
#[derive(Debug)]
enum State {
    /// In its own words: `leader`, `follower`, `standalone`...
    Serves {
        mode: String,
        version: String,
    },
    /// Part of an ensemble without a majority.
    Waits,
    /// It does not answer to `srvr`: a setting.
    NotListed,
    Silent,
    /// Something else answers.
    Stranger(String),
    Unreached(Unreached),
}

pub(super) async fn check(findings: &mut Findings, servers: &str, deadline: Duration) {
    let mut asking = JoinSet::new();
    for (index, address) in servers.split(',').map(str::to_owned).enumerate() {
        asking.spawn(async move {
            let begun = Instant::now();
            (index, ask(&address, deadline).await, begun.elapsed(), address)
        });
    }
    let mut seen = asking.join_all().await;
    seen.sort_unstable_by_key(|(index, ..)| *index);
    let is_up = |state: &State| matches!(state, State::Serves { .. } | State::NotListed);
    let up = seen.iter().filter(|(_, state, ..)| is_up(state)).count();
    let mode_count = |wanted: &str| {
        let is = |state: &State| matches!(state, State::Serves { mode, .. } if mode == wanted);
        seen.iter().filter(|(_, state, ..)| is(state)).count()
    };
    let (alone, leaders) = (mode_count("standalone"), mode_count("leader"));
    for (_, state, took, address) in &seen {
        findings.add(&told(address, state, up > 0, deadline).took(*took));
    }
    if seen.len() > 1 && (alone > 1 || leaders > 1 || (alone == 1 && up > 1)) {
        let text = format!(
            "these are not one ensemble: {alone} stand alone, {leaders} are leaders; each has a tree \
             of its own, and who connects gets one of them by chance"
        );
        let fix =
            "name the servers of one ensemble only; their zoo.cfg lists all of them as server.N";
        findings.add(&Finding::failure(STEP, servers, text).fix(fix));
    }
}

async fn ask(address: &str, deadline: Duration) -> State {
    let mut stream = match reach::reach(address, deadline).await {
        Ok(stream) => stream,
        Err(error) => return State::Unreached(error),
    };
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(b"srvr").await?;
        stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await
    };
    match timeout(deadline, talk).await {
        Ok(Ok(_)) => state(&String::from_utf8_lossy(&answer)),
        Ok(Err(error)) => State::Stranger(error.to_string()),
        Err(_) => State::Silent,
    }
}

fn state(answer: &str) -> State {
    let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name));
    if let Some(mode) = field("Mode: ") {
        let version = field("Zookeeper version: ").unwrap_or_default();
        let version = version.split([',', '-']).next().unwrap_or_default();
        State::Serves { mode: mode.trim().to_owned(), version: version.to_owned() }
    } else if answer.contains("not currently serving") {
        State::Waits
    } else if answer.contains("is not executed because it is not in the whitelist") {
        State::NotListed
    } else {
        let first = answer.lines().next().unwrap_or("nothing");
        State::Stranger(first.chars().take(80).collect())
    }
}

fn told(address: &str, state: &State, others: bool, deadline: Duration) -> Finding {
    // One that is away is no failure as long as the rest serves.
    let verdict = if others { Verdict::Warning } else { Verdict::Failure };
    let bad = |text: String| Finding::new(verdict, STEP, address, text);
    match state {
        State::Serves { mode, version } => {
            Finding::ok(STEP, address, format!("ZooKeeper {version}, {mode}"))
        }
        State::NotListed => {
            Finding::note(STEP, address, "ZooKeeper, which does not answer to srvr")
                .fix("4lw.commands.whitelist=srvr in zoo.cfg lets it tell its state")
        }
        State::Waits => bad("it runs, and does not serve: its ensemble has no majority".to_owned())
            .fix("start the other servers of the ensemble, and look at its log"),
        State::Silent => {
            let seconds = deadline.as_secs();
            bad(format!("it accepts connections and says nothing within {seconds} s")).fix(
                "the process may be stopped or out of memory, or something in between swallows \
                      the bytes: look at it, start it again",
            )
        }
        State::Stranger(said) => bad(format!("it is no ZooKeeper server: `{said}`"))
            .fix("correct host and port: ZooKeeper's clientPort is 2181 by default"),
        State::Unreached(error) => bad(error.to_string()).fix(error.fix()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_srvr_are_understood() {
        let answer =
            "Zookeeper version: 3.8.0-5a02a05, built on x\nMode: follower\nNode count: 5\n";
        let State::Serves { mode, version } = state(answer) else { panic!() };
        assert_eq!((mode.as_str(), version.as_str()), ("follower", "3.8.0"));
        let text = "This ZooKeeper instance is not currently serving requests\n";
        assert!(matches!(state(text), State::Waits));
        let text = "srvr is not executed because it is not in the whitelist.\n";
        assert!(matches!(state(text), State::NotListed));
        assert!(
            matches!(state("HTTP/1.1 400\r\n"), State::Stranger(said) if said == "HTTP/1.1 400")
        );
        assert!(matches!(state(""), State::Stranger(said) if said == "nothing"));
    }
}
