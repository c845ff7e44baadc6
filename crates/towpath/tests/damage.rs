//! An event that cannot be read, in the middle of a stream (F17).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use towpath_client::{ClientError, Session, SessionOptions};
use towpath_testkit::{Server, Version};

use crate::sequence::{Ended, Serving, TABLE, exactly, inserted, write};
use crate::ways_out::{go_on, named, numbers_behind_gap, read_twenty, shown, stopped};

const DEADLINE: Duration = Duration::from_secs(60);

/// The number whose event is damaged. The ones before it are more than the store takes, so that a client
/// gets of them before the damage is met.
const BAD: i64 = 6000;

/// What is wrong with the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// A byte of its row: nothing but the checksum tells.
    Value,
    /// Its type is one that nobody knows.
    Type,
}

/// A byte of a binlog file.
struct Byte {
    path: PathBuf,
    at: u64,
}

impl Byte {
    fn flip(&self) {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.at).unwrap();
        byte[0] ^= 0xff;
        file.write_all_at(&byte, self.at).unwrap();
    }
}

/// What a client gets and acknowledges until the server refuses or is gone.
fn numbers_until_refused(serving: &Serving) -> Vec<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, end) = (serving.towpath.address(), Instant::now() + DEADLINE);
    let mut numbers = Vec::new();
    let refused: Result<(), ClientError> = runtime.block_on(async {
        let mut client = Session::connect(&address, SessionOptions::default()).await?;
        client.subscribe("d\\.n").await?;
        while Instant::now() < end {
            let batch = client.get(100, Duration::from_secs(1)).await?;
            numbers.extend(batch.entries.iter().flat_map(|entry| inserted(entry)));
            client.ack(batch.id).await?;
        }
        Ok(())
    });
    assert!(refused.is_err(), "the damage was never met: {:?}", numbers.last());
    numbers
}

/// The instance stops at the event, and nothing behind it was given out.
fn stops(mut serving: Serving, place: &str, had: i64) -> (Ended, i64) {
    let numbers = numbers_until_refused(&serving);
    let first = numbers.first().copied().unwrap_or(had + 1);
    let last = numbers.last().copied().unwrap_or(had);
    assert_eq!(numbers, exactly(first..=last), "{place}");
    assert!(first <= had + 1 && last < BAD, "{first}..={last} after {had}, {place}");
    serving.says("error: the server stopped");
    let said = serving.towpath.program().stderr();
    assert!(said.contains(place), "{place}: {said}");
    (serving.ended(), last.max(had))
}

fn damaged(version: Version, checksum: &str, damage: Damage) {
    let server = Server::start(version, &[checksum]);
    server.run(TABLE);
    let url = server.url();
    let arguments = ["--source", &url, "--from", "now", "--store-size", "1"];
    let mut serving = Serving::start(&arguments);
    serving.wait_until_running();
    write(&server, 1..=10);
    assert_eq!(serving.numbers_until(10), exactly(1..=10));
    let ended = serving.end();

    let (file, _) = server.binlog_end();
    write(&server, 11..=BAD + 100);
    server.run(version.rotate_sql());
    write(&server, BAD + 101..=BAD + 110);
    let events = server.query(&format!("SHOW BINLOG EVENTS IN '{file}'"));
    let mut rows = (0..events.len()).filter(|event| events[*event][2].starts_with("Write_rows"));
    let bad = rows.nth(usize::try_from(BAD).unwrap() - 1).unwrap();
    // Not every version tells where an event ends.
    let [start, behind]: [u64; 2] = [bad, bad + 1].map(|event| events[event][1].parse().unwrap());
    let at = match damage {
        Damage::Value => behind - 5,
        Damage::Type => start + 4,
    };
    let byte = Byte { path: server.binlog_folder().join(&file), at };
    byte.flip();

    let place = format!("{file}:{start}");
    let (ended, had) = stops(ended.start(&arguments), &place, 10);
    assert!(had > 10, "{version:?}: nothing was given out");
    let (ended, had) = stops(ended.start(&arguments), &place, had);
    // The cause is gone: what was not acknowledged comes, and all that follows.
    byte.flip();
    let numbers = ended.start(&arguments).numbers_until(BAD + 110);
    let first = numbers[0];
    assert!(first <= had + 1, "{first} after {had}");
    assert_eq!(numbers, exactly(first..=BAD + 110));
}

/// F17: found by the checksum.
#[test]
fn nothing_behind_an_event_with_a_wrong_checksum_is_given_out() {
    damaged(Version::Mysql57, "--binlog-checksum=CRC32", Damage::Value);
    damaged(Version::Mariadb114, "--binlog-checksum=CRC32", Damage::Value);
}

/// F17: found by who reads it.
#[test]
fn nothing_behind_an_event_that_cannot_be_read_is_given_out() {
    damaged(Version::Mysql57, "--binlog-checksum=NONE", Damage::Type);
    damaged(Version::Mariadb114, "--binlog-checksum=NONE", Damage::Type);
}

/// The file cannot be repaired: the commands that the message names lead on.
#[test]
fn a_damaged_event_is_left_behind() {
    for (version, arguments) in [
        (Version::Mysql97, &["--gtid"][..]),
        (Version::Mysql57, &[]),
        (Version::Mariadb118, &["--gtid"]),
        (Version::Mariadb102, &[]),
    ] {
        for start in ["now", "mysql-bin.000002:4"] {
            let server = Server::start(version, &["--binlog-checksum=CRC32"]);
            let url = server.url();
            let mut all = vec!["--source", &url, "--from", "now"];
            all.extend(arguments);
            let ended = read_twenty(&server, &all);
            let (file, end) = server.binlog_end();
            write(&server, 21..=30);
            let path = server.binlog_folder().join(&file);
            server.run(version.rotate_sql());
            write(&server, 31..=40);
            Byte { path, at: end + 300 }.flip();
            let mut serving = ended.start(&all);
            serving.says("reading has failed");
            // What stands before it is not lost.
            assert!(serving.numbers_until(21).starts_with(&[21]), "{version:?}");
            let (said, ended) = stopped(serving);
            let command: Vec<String> = named(&said, "--from now")
                .into_iter()
                .map(|word| if word == "now" { start.to_owned() } else { word })
                .collect();
            let mut serving = go_on(ended, &all, &command);
            serving.wait_until_running();
            write(&server, 41..=45);
            let first = if start == "now" { 41 } else { 31 };
            let got = numbers_behind_gap(&mut serving, 45);
            assert_eq!(got, shown(first..=45), "{version:?} {command:?}");
        }
    }
}
