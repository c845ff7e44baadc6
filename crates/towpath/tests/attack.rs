//! Peers that want nothing but to be in the way, while a client is at work.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use towpath_client::{Credentials, Session, SessionOptions};
use towpath_protocol::{ClientAuth, Packet, Reply, request, token};
use towpath_testkit::{Server, SqlSession, Version};

use crate::sequence::{Over, Serving, TABLE, exactly, inserted};
use crate::status::{get, status_of};

const HALF_FRAMES: usize = 850;
const HALF_REQUESTS: usize = 64;
const SILENT: usize = 10_000;
const GUESSES: usize = 10_000;
/// Guesses that are under way at a time.
const GUESSERS: usize = 32;

/// Time without an attack.
const QUIET: Duration = Duration::from_secs(3);
/// Between two rows.
const PAUSE: Duration = Duration::from_millis(10);
/// For a login and an answer of the status while all of that goes on, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);
const DEADLINE: Duration = Duration::from_secs(60);
const BOUND_BYTES: u64 = 64 << 20;

/// Rows as they are written and as they arrive.
#[derive(Default)]
struct Rows {
    /// When each number was written, from 1 on.
    written: Mutex<Vec<Instant>>,
    /// Each number that came, and when.
    came: Mutex<Vec<(i64, Instant)>>,
}

impl Rows {
    fn write(&self, server: &Server, over: &AtomicBool) {
        let mut sql = SqlSession::open(server);
        while !over.load(Ordering::Acquire) {
            let number = {
                let mut written = self.written.lock().unwrap();
                written.push(Instant::now());
                written.len()
            };
            sql.run(&format!("INSERT INTO d.n VALUES ({number});"));
            sleep(PAUSE);
        }
    }

    async fn follow(&self, session: &mut Session, over: &AtomicBool) {
        let mut last_came = Instant::now();
        loop {
            let batch = session.get(1000, Duration::from_millis(200)).await.unwrap();
            let (count, now) = {
                let (mut came, now) = (self.came.lock().unwrap(), Instant::now());
                let numbers = batch.entries.iter().flat_map(|entry| inserted(entry));
                came.extend(numbers.map(|number| (number, now)));
                (came.len(), now)
            };
            session.ack(batch.id).await.unwrap();
            if !batch.is_nothing() {
                last_came = now;
            } else if over.load(Ordering::Acquire) && count == self.written.lock().unwrap().len() {
                return;
            }
            assert!(last_came.elapsed() < DEADLINE, "nothing comes behind {count}");
        }
    }

    /// Times from the statement to the row, of those written from `begin` to `end`: p50, p99, all.
    fn latency(&self, begin: Instant, end: Instant) -> (Duration, Duration, usize) {
        let (written, came) = (self.written.lock().unwrap(), self.came.lock().unwrap());
        let of = |number: i64| written[usize::try_from(number).unwrap() - 1];
        let chosen = came.iter().filter(|(number, _)| (begin..end).contains(&of(*number)));
        let mut times: Vec<Duration> =
            chosen.map(|(number, at)| at.saturating_duration_since(of(*number))).collect();
        times.sort();
        assert!(times.len() >= 20, "{} rows", times.len());
        (times[times.len() / 2], times[times.len() * 99 / 100], times.len())
    }
}

fn options() -> SessionOptions {
    let credentials = Credentials { user: "app".to_owned(), password: "secret".to_owned() };
    let connect_timeout = DEADLINE;
    SessionOptions { credentials: Some(credentials), connect_timeout, ..SessionOptions::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn from(host: &str, address: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{host}:0").parse().unwrap())?;
    socket.connect(address.parse().unwrap()).await
}

/// Descriptors that this process may have.
fn descriptors_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// Sends `begin` on `count` connections, and leaves them at that.
async fn halves(host: &str, address: &str, count: usize, begin: &[u8]) -> Vec<TcpStream> {
    let mut halves = Vec::new();
    for _ in 0..count {
        let Ok(mut half) = from(host, address).await else { continue };
        // Some are gone before they have said it.
        let _sent: bool = half.write_all(begin).await.is_ok();
        halves.push(half);
    }
    halves
}

async fn silent(host: &str, address: &str) {
    let held_max = descriptors_max().saturating_sub(HALF_FRAMES + 500).max(100);
    let mut held = VecDeque::new();
    for _ in 0..SILENT {
        let Ok(silent) = from(host, address).await else { continue };
        held.push_back(silent);
        if held.len() > held_max {
            held.pop_front();
        }
    }
}

/// One wrong password; whether the server has compared it.
async fn guess(host: &str, address: &str) -> Option<bool> {
    let mut stream = from(host, address).await.ok()?;
    let greeting = receive(&mut stream).await?;
    let packet = Packet::parse(&greeting).ok()?;
    let Ok(Reply::Handshake(handshake)) = Reply::parse(&packet) else { return None };
    let token = token("guess", handshake.seeds?);
    let (username, password) = (Some("app"), Some(token.as_bytes()));
    let auth = ClientAuth { username, password, ..ClientAuth::default() };
    stream.write_all(&request::login(&auth).unwrap()).await.ok()?;
    let answer = receive(&mut stream).await?;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("auth failed"), "{answer}");
    Some(answer.contains("for user:app"))
}

async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let len = stream.read_u32().await.ok()?;
    let mut frame = vec![0; usize::try_from(len).ok()?];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// How many guesses the server has compared.
async fn guesses(host: &'static str, address: &str) -> usize {
    let (mut guessers, left) = (JoinSet::new(), std::sync::Arc::new(AtomicUsize::new(GUESSES)));
    for _ in 0..GUESSERS {
        let (address, left) = (address.to_owned(), std::sync::Arc::clone(&left));
        guessers.spawn(async move {
            let mut compared = 0;
            while left
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
                .is_ok()
            {
                let told = timeout(Duration::from_millis(300), guess(host, &address)).await;
                compared += usize::from(matches!(told, Ok(Some(true))));
            }
            compared
        });
    }
    guessers.join_all().await.into_iter().sum()
}

/// Does `look` again and again until it is over; the longest time that it took, and how often it was done.
fn again(over: &AtomicBool, mut look: impl FnMut()) -> (Duration, usize) {
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !over.load(Ordering::Acquire) {
        let begun = Instant::now();
        look();
        (longest, count) = (longest.max(begun.elapsed()), count + 1);
        sleep(Duration::from_millis(200));
    }
    (longest, count)
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap()
}

/// What an attack came to.
struct Attack {
    took: Duration,
    compared: usize,
    logins: (Duration, usize),
    health: (Duration, usize),
}

/// All of it at once, while others log in and ask for the health.
fn attack(address: &str, status: &str) -> Attack {
    let over = AtomicBool::new(false);
    scope(|threads| {
        let logins = threads.spawn(|| {
            again(&over, || {
                runtime().block_on(async {
                    let session = Session::connect(address, options()).await.unwrap();
                    session.close(DEADLINE).await;
                });
            })
        });
        let health = threads.spawn(|| again(&over, || assert_eq!(get(status, "/health").0, 200)));
        let begun = Instant::now();
        let compared = {
            let _over = Over(&over);
            // The head of a frame of 64 000 bytes, and half of it.
            let frame = [&64_000_u32.to_be_bytes()[..], &[0; 32_000]].concat();
            runtime().block_on(async {
                let request = b"GET /health HTTP/1.1\r\nHost:";
                let (_frames, _requests, (), compared) = tokio::join!(
                    halves("127.0.0.2", address, HALF_FRAMES, &frame),
                    halves("127.0.0.2", status, HALF_REQUESTS, request),
                    silent("127.0.0.3", address),
                    guesses("127.0.0.4", address),
                );
                compared
            })
        };
        let took = begun.elapsed();
        Attack { took, compared, logins: joined(logins), health: joined(health) }
    })
}

/// Rows arrive, clients come in and the status answers, whatever else is at the ports; `bench/attack` prints
/// the figures.
#[test]
fn a_client_at_work_goes_on_whatever_others_do_at_the_ports() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let url = server.url();
    let password = ["--user", "app", "--password", "secret", "--status", "127.0.0.1:0"];
    let mut serving = Serving::start(&[&["--source", &url][..], &password].concat());
    let status = status_of(serving.towpath.program());
    serving.wait_until_running();
    let (address, rows, over) =
        (serving.towpath.address(), Rows::default(), AtomicBool::new(false));
    // The cursor is there before the first row.
    runtime().block_on(async {
        let mut session = Session::connect(&address, options()).await.unwrap();
        session.subscribe("d\\.n").await.unwrap();
        session.close(DEADLINE).await;
    });
    let (begun, attacked, ended, attack) = scope(|threads| {
        let writer = threads.spawn(|| rows.write(&server, &over));
        let client = threads.spawn(|| {
            runtime().block_on(async {
                let mut session = Session::connect(&address, options()).await.unwrap();
                session.subscribe("d\\.n").await.unwrap();
                rows.follow(&mut session, &over).await;
                session.close(DEADLINE).await;
            });
        });
        let _over = Over(&over);
        let begun = Instant::now();
        sleep(QUIET);
        let attacked = Instant::now();
        let attack = attack(&address, &status);
        let ended = Instant::now();
        over.store(true, Ordering::Release);
        joined(writer);
        joined(client);
        (begun, attacked, ended, attack)
    });

    let numbers: Vec<i64> = rows.came.lock().unwrap().iter().map(|(number, _)| *number).collect();
    let count = i64::try_from(rows.written.lock().unwrap().len()).unwrap();
    assert_eq!(numbers, exactly(1..=count));
    let peak = serving.towpath.peak_memory_bytes();
    let said = serving.towpath.program().stderr();
    let lines = said.lines().count();
    for (name, from, to) in [("quiet", begun, attacked), ("attacked", attacked, ended)] {
        let (p50, p99, count) = rows.latency(from, to);
        println!("{name}: {count} rows, statement to row p50 {p50:.1?}, p99 {p99:.1?}");
    }
    let Attack { took, compared, logins, health } = attack;
    println!(
        "attack of {took:.1?}: {compared} guesses compared, {} logins in at most {:.1?}, {} answers in \
         at most {:.1?}, {} MiB at most, {lines} lines in the log",
        logins.1,
        logins.0,
        health.1,
        health.0,
        peak >> 20
    );
    assert!(peak < BOUND_BYTES, "{} MiB", peak >> 20);
    assert!(lines < 150, "{lines} lines: {said}");
    // Twenty at once and two in each second.
    let most = 21 + usize::try_from(took.as_millis() / 500).unwrap();
    assert!((1..=most).contains(&compared), "{compared} in {took:?}");
    assert!(logins.0 < PATIENCE && logins.1 > 0, "{logins:?}");
    assert!(health.0 < PATIENCE && health.1 > 0, "{health:?}");
    drop(serving.end());
}

/// With few descriptors there are fewer connections, and what the server keeps is written all the same.
#[test]
fn descriptors_are_left_for_the_state_when_peers_take_all_connections() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (state, port) = (tempfile::TempDir::new().unwrap(), towpath_testkit::free_port());
    let address = format!("127.0.0.1:{port}");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 160; exec \"$0\" serve \"$@\""]).arg(crate::binary());
    command.args(["--source", &server.url(), "--listen", &address, "--state"]).arg(state.path());
    let mut program = towpath_testkit::Program::start(&mut command, "build the towpath binary");
    program.wait_for_line("fewer connections than asked for", DEADLINE);
    program.wait_for_line("to=\"running\"", DEADLINE);
    runtime().block_on(async {
        let mut held = Vec::new();
        for _ in 0..500 {
            held.push(from("127.0.0.2", &address).await.unwrap());
        }
        let mut session = Session::connect(&address, options()).await.unwrap();
        // Answered when the cursor is on the disk.
        session.subscribe("d\\.n").await.unwrap();
        server.run("INSERT INTO d.n VALUES (1)");
        let batch = session.get(1000, DEADLINE).await.unwrap();
        assert!(!batch.is_nothing());
        session.ack(batch.id).await.unwrap();
        session.close(DEADLINE).await;
    });
    program.terminate();
    let ended = program.wait(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stderr.contains("could not be accepted"), "{}", ended.stderr);
}
