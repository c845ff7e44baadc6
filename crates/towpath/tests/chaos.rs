//! Three ZooKeeper servers, two Towpath servers, a Java and a Rust client that stand by for each other,
//! a writer that numbers its rows; and everything fails, in an order that a seed decides.
//!
//! `TOWPATH_CHAOS_SECONDS` makes it longer or shorter than ten minutes, `TOWPATH_CHAOS_SEED` repeats an
//! order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use towpath_testkit::{
    CanalClient, Fault, Program, Proxy, Random, Server, Towpath, Version, ZooKeeper, free_port,
    setting, wait_until,
};

use crate::binary;
use crate::numbers::Writer;

/// Time for everything to go on after a fault.
const RECOVERY: Duration = Duration::from_secs(90);

/// Of the servers' and the Rust client's sessions, in seconds.
const SESSION: &str = "4";

/// Numbers written between two faults.
const NUMBERS: u64 = 100;

/// A time between two, in milliseconds.
pub(crate) fn moment(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + random.below(most - least))
}

/// One Towpath server with the links around it.
struct Node {
    port: u16,
    /// To each ZooKeeper server.
    to_zookeeper: Vec<Proxy>,
    /// From the clients.
    front: Proxy,
    server: Option<Towpath>,
    /// What earlier processes of it said.
    said: String,
}

impl Node {
    fn new(ensemble: &[ZooKeeper]) -> Self {
        let port = free_port();
        Self {
            port,
            to_zookeeper: ensemble.iter().map(|member| Proxy::start(member.port())).collect(),
            front: Proxy::start(port),
            server: None,
            said: String::new(),
        }
    }

    fn start(&mut self, source: &Server) {
        let (url, advertised) = (source.url(), self.front.address());
        let zookeeper: Vec<String> = self.to_zookeeper.iter().map(Proxy::address).collect();
        let (zookeeper, listen) = (zookeeper.join(","), format!("127.0.0.1:{}", self.port));
        let arguments = [
            "--zk",
            &zookeeper,
            "--listen",
            &listen,
            "--advertise",
            &advertised,
            "--source",
            &url,
            "--from",
            "earliest",
            "--session-timeout",
            SESSION,
        ];
        let log = "warn,towpath_server=debug,towpath_engine=debug";
        self.server = Some(Towpath::serve_with_log(binary(), &arguments, log));
    }

    fn program(&mut self) -> &mut Program {
        self.server.as_mut().unwrap().program()
    }

    fn kill(&mut self) {
        self.said += &self.server.take().unwrap().kill().stderr;
    }

    fn terminate(&mut self) {
        let ended = self.server.take().unwrap().terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        self.said += &ended.stderr;
    }

    fn links_to_zookeeper(&self, fault: Fault) {
        self.to_zookeeper.iter().for_each(|link| link.set(fault));
    }
}

/// A client that is started again when it is killed.
struct Follower {
    start: Box<dyn Fn() -> Program>,
    program: Option<Program>,
    /// The numbers that it was given, in their order, each process for itself.
    runs: Vec<Vec<u64>>,
    /// All that its processes said.
    said: String,
}

/// The numbers that a client's output tells of.
fn numbers(output: &str) -> Vec<u64> {
    let rows = output.lines().filter(|line| line.contains("shop.numbers") && line.contains("id="));
    let number = |row: &str| {
        let digits = row.rsplit_once("id=")?.1;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    rows.filter_map(number).collect()
}

impl Follower {
    fn new(start: impl Fn() -> Program + 'static) -> Self {
        let program = Some(start());
        Self { start: Box::new(start), program, runs: Vec::new(), said: String::new() }
    }

    fn has(&self, number: u64) -> bool {
        self.program.as_ref().is_some_and(|program| numbers(&program.stdout()).contains(&number))
    }

    fn end(&mut self) {
        let ended = self.program.take().unwrap().kill();
        self.runs.push(numbers(&ended.stdout));
        self.said += &format!("{}\n{}\n--- ended\n", ended.stdout, ended.stderr);
    }

    fn restart(&mut self) {
        self.end();
        self.program = Some((self.start)());
    }
}

fn rust_client(zookeeper: &str) -> Program {
    let mut command = Command::new(binary());
    command.args(["client", &format!("zk://{zookeeper}"), "--session-timeout", SESSION]);
    Program::start(&mut command, "build the towpath binary")
}

struct Scene {
    random: Random,
    ensemble: Vec<ZooKeeper>,
    nodes: Vec<Node>,
    clients: Vec<Follower>,
    faults: Vec<String>,
    /// When each paused server went on: its node, and the time in microseconds since 1970.
    resumes: Vec<(usize, u128)>,
}

impl Scene {
    fn node(&mut self) -> usize {
        usize::try_from(self.random.below(2)).unwrap()
    }

    fn hold(&mut self, least: u64, most: u64) {
        std::thread::sleep(moment(&mut self.random, least, most));
    }

    /// One fault from its beginning to its end.
    fn fault(&mut self, source: &Server) {
        let at = self.node();
        let kind = self.random.below(9);
        match kind {
            0 => {
                self.nodes[at].kill();
                self.hold(0, 3000);
                self.nodes[at].start(source);
            }
            1 => {
                self.nodes[at].terminate();
                self.hold(0, 1000);
                self.nodes[at].start(source);
            }
            2 => {
                self.nodes[at].program().pause();
                // Longer than the session, and shorter.
                self.hold(500, 8000);
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                self.resumes.push((at, now.as_micros()));
                self.nodes[at].program().resume();
            }
            3 => {
                self.nodes[at].links_to_zookeeper(Fault::Silence);
                self.hold(500, 8000);
                self.nodes[at].links_to_zookeeper(Fault::None);
            }
            4 => {
                self.nodes[at].to_zookeeper.iter().for_each(Proxy::cut);
                self.nodes[at].front.cut();
            }
            5 => {
                let limit = usize::try_from(self.random.below(20_000)).unwrap();
                self.nodes[at].front.set(Fault::Truncate(limit));
                self.hold(500, 3000);
                self.nodes[at].front.set(Fault::None);
            }
            6 => {
                let delay = moment(&mut self.random, 1, 200);
                self.nodes[at].front.set(Fault::Delay(delay));
                self.nodes[at].links_to_zookeeper(Fault::Delay(delay));
                self.hold(500, 3000);
                self.nodes[at].front.set(Fault::None);
                self.nodes[at].links_to_zookeeper(Fault::None);
            }
            7 => {
                let member = usize::try_from(self.random.below(3)).unwrap();
                self.ensemble[member].halt();
                self.hold(500, 4000);
                self.ensemble[member].go_on();
            }
            _ => self.clients[at].restart(),
        }
        const KINDS: [&str; 9] = [
            "server killed",
            "server terminated",
            "server paused",
            "server cut off from ZooKeeper",
            "links cut",
            "answers cut off",
            "everything late",
            "ZooKeeper member away",
            "client killed",
        ];
        let name = KINDS[usize::try_from(kind).unwrap()];
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        self.faults.push(format!("{name} ({at}) until {now}"));
    }

    /// Keeps what everybody said, for whoever looks into a failure.
    fn keep(&self, seed: u64) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        std::fs::create_dir_all(&folder).unwrap();
        for (index, node) in self.nodes.iter().enumerate() {
            std::fs::write(folder.join(format!("server-{index}.log")), &node.said).unwrap();
        }
        for (index, client) in self.clients.iter().enumerate() {
            std::fs::write(folder.join(format!("client-{index}.log")), &client.said).unwrap();
        }
        std::fs::write(folder.join("faults.log"), self.faults.join("\n")).unwrap();
        folder
    }

    fn wait_for(&self, number: u64, seed: u64) {
        let what = format!(
            "number {number} after {:?}; TOWPATH_CHAOS_SEED={seed}",
            self.faults.iter().rev().take(3).collect::<Vec<_>>()
        );
        wait_until(&what, RECOVERY, || {
            self.clients.iter().any(|client| client.has(number)).then_some(())
        });
    }
}

/// Time in which a server that goes on comes to what it was doing when it was stopped.
const RESUMED_MICROS: u128 = 200_000;

const DAY_MICROS: u128 = 86_400_000_000;

/// The time of day of a log line, `2026-01-02T03:04:05.678901Z`.
fn micros_of_day(time: &str) -> u128 {
    let digits: Vec<u128> = time
        .split_once('T')
        .map(|(_, clock)| clock.trim_end_matches('Z'))
        .into_iter()
        .flat_map(|clock| clock.split([':', '.']))
        .map(|part| part.parse().unwrap())
        .collect();
    ((digits[0] * 60 + digits[1]) * 60 + digits[2]) * 1_000_000 + digits[3]
}

/// Deliveries as the servers' logs tell of them: time and epoch.
fn deliveries(log: &str) -> Vec<(&str, i64)> {
    let sent = log.lines().filter(|line| line.contains("batch sent"));
    let parse = |line: &'_ str| {
        let epoch = line.split_once("epoch=")?.1.split_whitespace().next()?;
        Some(epoch.parse().ok()?).map(|epoch: i64| epoch)
    };
    sent.filter_map(|line| Some((line.split_whitespace().next()?, parse(line)?))).collect()
}

/// T-HA-1, T-HA-3: every number arrives, in order; repeats only after a fault; never do two servers
/// deliver at once.
#[test]
fn everything_fails_and_nothing_is_lost() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let seed = setting("TOWPATH_CHAOS_SEED").unwrap_or(u64::try_from(now).unwrap() % 1_000_000);
    let length = Duration::from_secs(setting("TOWPATH_CHAOS_SECONDS").unwrap_or(600));
    println!("TOWPATH_CHAOS_SEED={seed}");
    let ensemble = ZooKeeper::ensemble(3);
    let addresses: Vec<String> = ensemble.iter().map(ZooKeeper::address).collect();
    let addresses = addresses.join(",");
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let mut nodes = vec![Node::new(&ensemble), Node::new(&ensemble)];
    nodes.iter_mut().for_each(|node| node.start(&source));
    let clients = vec![
        Follower::new({
            let addresses = addresses.clone();
            move || CanalClient::follow_cluster(&addresses, "example")
        }),
        Follower::new(move || rust_client(&addresses)),
    ];
    let random = Random::new(seed);
    let mut scene =
        Scene { random, ensemble, nodes, clients, faults: Vec::new(), resumes: Vec::new() };

    let begun = Instant::now();
    scene.wait_for(writer.write(NUMBERS), seed);
    while begun.elapsed() < length {
        writer.write(NUMBERS / 2);
        scene.fault(&source);
        scene.wait_for(writer.write(NUMBERS / 2), seed);
    }
    scene.clients.iter_mut().for_each(Follower::end);
    scene.nodes.iter_mut().for_each(Node::terminate);
    println!("{} faults, {} numbers", scene.faults.len(), writer.last());
    let evidence = scene.keep(seed);
    check(&scene, writer.last(), seed);
    std::fs::remove_dir_all(evidence).unwrap();
}

#[expect(clippy::print_stdout, reason = "what a passing run did")]
fn check(scene: &Scene, last: u64, seed: u64) {
    let runs = || scene.clients.iter().flat_map(|client| &client.runs);
    let all: BTreeSet<u64> = runs().flatten().copied().collect();
    let lost: Vec<u64> = (1..=last).filter(|number| !all.contains(number)).collect();
    assert!(lost.is_empty(), "lost {lost:?}; TOWPATH_CHAOS_SEED={seed}");

    // In order: a step back is a repeat after a fault, and what a step ahead leaves out the other
    // client had.
    let mut rewinds = 0;
    for (index, client) in scene.clients.iter().enumerate() {
        let others: BTreeSet<u64> = (scene.clients.iter().enumerate())
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
                    assert_eq!(left_out, None, "out of order, {at}; TOWPATH_CHAOS_SEED={seed}");
                }
                own.insert(number);
                previous = Some(number);
            }
        }
    }
    let faults = scene.faults.len();
    assert!(rewinds <= faults * 2, "{rewinds} repeats, {faults} faults; TOWPATH_CHAOS_SEED={seed}");

    // Epochs grow over all servers' deliveries: no server delivers once a later one has begun.
    let mut sent: Vec<(&str, i64, usize)> = Vec::new();
    for (index, node) in scene.nodes.iter().enumerate() {
        sent.extend(deliveries(&node.said).into_iter().map(|(time, epoch)| (time, epoch, index)));
    }
    sent.sort_unstable();
    assert!(sent.len() > faults, "{} deliveries in the logs", sent.len());
    let mut latest = 0;
    for &(time, epoch, node) in &sent {
        // What a server was just writing when it was stopped it writes, or tells of, when it goes on:
        // nothing but the receiver could keep that out.
        let was_stopped = || {
            scene.resumes.iter().any(|(resumed, at)| {
                *resumed == node && micros_of_day(time).abs_diff(at % DAY_MICROS) < RESUMED_MICROS
            })
        };
        let is_late = epoch < latest && !was_stopped();
        assert!(!is_late, "at {time} epoch {epoch} delivered after {latest}; seed {seed}");
        latest = latest.max(epoch);
    }
    println!("{} deliveries, {rewinds} repeats", sent.len());
}
