//! What takes part, what fails of it, and what is left to look at.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use towpath_testkit::{
    CanalClient, Fault, Program, Proxy, Random, Server, Towpath, ZooKeeper, free_port, wait_until,
};

use super::moment;
use crate::binary;

/// Time for everything to go on after a fault.
const RECOVERY: Duration = Duration::from_secs(90);

/// Of the servers' and the Rust client's sessions, in seconds.
const SESSION: &str = "4";

/// Lines of each log, and faults, in the message of a failure.
const SHOWN: usize = 12;

/// One Towpath server with the links around it.
pub(super) struct Node {
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

    pub(super) fn terminate(&mut self) {
        let ended = self.server.take().unwrap().terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        self.said += &ended.stderr;
    }

    /// What all processes of it said up to now.
    pub(super) fn log(&mut self) -> String {
        let now = self.server.as_mut().map(|server| server.program().stderr());
        format!("{}{}", self.said, now.unwrap_or_default())
    }

    fn links_to_zookeeper(&self, fault: Fault) {
        self.to_zookeeper.iter().for_each(|link| link.set(fault));
    }
}

/// A client that is started again when it is killed.
pub(super) struct Follower {
    start: Box<dyn Fn() -> Program>,
    program: Option<Program>,
    /// The numbers that it was given, in their order, each process for itself.
    pub(super) runs: Vec<Vec<u64>>,
    /// All that its processes said.
    said: String,
}

/// The numbers that a client's output tells of. One that was killed may leave half a line, and half a number.
pub(super) fn numbers(output: &str) -> Vec<u64> {
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let rows = whole.lines().filter(|line| line.contains("shop.numbers") && line.contains("id="));
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

    /// What all processes of it said up to now.
    fn log(&self) -> String {
        let program = self.program.as_ref();
        let now = program.map(|program| format!("{}{}", program.stdout(), program.stderr()));
        format!("{}{}", self.said, now.unwrap_or_default())
    }

    pub(super) fn end(&mut self) {
        let mut program = self.program.take().unwrap();
        let has_ended = program.has_ended();
        let ended = program.kill();
        self.runs.push(numbers(&ended.stdout));
        self.said += &format!("{}\n{}\n--- ended\n", ended.stdout, ended.stderr);
        assert!(!has_ended, "a client ended by itself: {}", last_lines(&ended.stderr, SHOWN));
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

fn last_lines(text: &str, count: usize) -> String {
    let skipped = text.lines().count().saturating_sub(count);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

/// What can fail.
#[derive(Debug, Clone, Copy)]
enum Kind {
    ServerKilled,
    ServerTerminated,
    ServerPaused,
    CutOffFromZooKeeper,
    LinksCut,
    AnswersCutOff,
    EverythingLate,
    MemberAway,
    ClientKilled,
}

const KINDS: [Kind; 9] = [
    Kind::ServerKilled,
    Kind::ServerTerminated,
    Kind::ServerPaused,
    Kind::CutOffFromZooKeeper,
    Kind::LinksCut,
    Kind::AnswersCutOff,
    Kind::EverythingLate,
    Kind::MemberAway,
    Kind::ClientKilled,
];

/// Each kind of fault with each server, in any order, before any of them comes again: so a short run has them
/// all.
#[derive(Default)]
struct Deck(Vec<(Kind, usize)>);

impl Deck {
    fn deal(&mut self, random: &mut Random) -> (Kind, usize) {
        if self.0.is_empty() {
            self.0 = KINDS.iter().flat_map(|kind| [(*kind, 0), (*kind, 1)]).collect();
        }
        self.0.swap_remove(random.index(self.0.len()))
    }
}

pub(super) struct Scene {
    random: Random,
    deck: Deck,
    ensemble: Vec<ZooKeeper>,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Follower>,
    /// What failed, and until when.
    faults: Vec<String>,
    /// The longest time until everything went on.
    pub(super) slowest: Duration,
}

impl Scene {
    pub(super) fn new(seed: u64, source: &Server) -> Self {
        let ensemble = ZooKeeper::ensemble(3);
        let addresses: Vec<String> = ensemble.iter().map(ZooKeeper::address).collect();
        let addresses = addresses.join(",");
        let mut nodes = vec![Node::new(&ensemble), Node::new(&ensemble)];
        nodes.iter_mut().for_each(|node| node.start(source));
        let clients = vec![
            Follower::new({
                let addresses = addresses.clone();
                move || CanalClient::follow_cluster(&addresses, "example")
            }),
            Follower::new(move || rust_client(&addresses)),
        ];
        Self {
            random: Random::new(seed),
            deck: Deck::default(),
            ensemble,
            nodes,
            clients,
            faults: Vec::new(),
            slowest: Duration::ZERO,
        }
    }

    pub(super) const fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// Whether each kind of fault has been there.
    pub(super) const fn had_all_kinds(&self) -> bool {
        self.faults.len() >= KINDS.len() * 2
    }

    fn hold(&mut self, least: u64, most: u64) {
        std::thread::sleep(moment(&mut self.random, least, most));
    }

    /// One fault from its beginning to its end.
    pub(super) fn fault(&mut self, source: &Server) {
        let (kind, at) = self.deck.deal(&mut self.random);
        let begun = clock();
        // Before it ends: its end may fail, too.
        self.faults.push(format!("{kind:?} ({at}) from {begun}"));
        self.act(kind, at, source);
        if let Some(fault) = self.faults.last_mut() {
            *fault += &format!(" until {}", clock());
        }
    }

    fn act(&mut self, kind: Kind, at: usize, source: &Server) {
        match kind {
            Kind::ServerKilled => {
                self.nodes[at].kill();
                self.hold(0, 3000);
                self.nodes[at].start(source);
            }
            Kind::ServerTerminated => {
                self.nodes[at].terminate();
                self.hold(0, 1000);
                self.nodes[at].start(source);
            }
            Kind::ServerPaused => {
                self.nodes[at].program().pause();
                // Longer than the session, and shorter.
                self.hold(500, 8000);
                self.nodes[at].program().resume();
            }
            Kind::CutOffFromZooKeeper => {
                self.nodes[at].links_to_zookeeper(Fault::Silence);
                self.hold(500, 8000);
                self.nodes[at].links_to_zookeeper(Fault::None);
            }
            Kind::LinksCut => {
                self.nodes[at].to_zookeeper.iter().for_each(Proxy::cut);
                self.nodes[at].front.cut();
            }
            Kind::AnswersCutOff => {
                let limit = usize::try_from(self.random.below(20_000)).unwrap();
                self.nodes[at].front.set(Fault::Truncate(limit));
                self.hold(500, 3000);
                self.nodes[at].front.set(Fault::None);
            }
            Kind::EverythingLate => {
                let delay = moment(&mut self.random, 1, 200);
                self.nodes[at].front.set(Fault::Delay(delay));
                self.nodes[at].links_to_zookeeper(Fault::Delay(delay));
                self.hold(500, 3000);
                self.nodes[at].front.set(Fault::None);
                self.nodes[at].links_to_zookeeper(Fault::None);
            }
            Kind::MemberAway => {
                let member = usize::try_from(self.random.below(3)).unwrap();
                self.ensemble[member].halt();
                self.hold(500, 4000);
                self.ensemble[member].go_on();
            }
            Kind::ClientKilled => self.clients[at].restart(),
        }
    }

    /// Waits until a client has a number.
    pub(super) fn wait_for(&mut self, number: u64) {
        let begun = Instant::now();
        wait_until(&format!("number {number}"), RECOVERY, || {
            self.clients.iter().any(|client| client.has(number)).then_some(())
        });
        self.slowest = self.slowest.max(begun.elapsed());
    }

    /// Keeps what everybody said, for whoever looks into a failure, and gives the ends of it.
    pub(super) fn evidence(&mut self, seed: u64) -> (PathBuf, String) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut logs = vec![("faults".to_owned(), self.faults.join("\n"))];
        for (index, node) in self.nodes.iter_mut().enumerate() {
            logs.push((format!("server-{index}"), node.log()));
        }
        for (index, client) in self.clients.iter().enumerate() {
            logs.push((format!("client-{index}"), client.log()));
        }
        let mut ends = String::new();
        for (index, member) in self.ensemble.iter().enumerate() {
            let mode = member.mode().unwrap_or_else(|| "no answer".to_owned());
            writeln!(ends, "ZooKeeper {index}: {mode}").unwrap();
        }
        for (name, log) in logs {
            writeln!(ends, "--- {name}\n{}", last_lines(&log, SHOWN)).unwrap();
            let odd: Vec<&str> = log
                .lines()
                .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
                .collect();
            if !odd.is_empty() {
                let odd = last_lines(&odd.join("\n"), SHOWN);
                writeln!(ends, "--- {name}, warnings and errors\n{odd}").unwrap();
            }
            std::fs::write(folder.join(format!("{name}.log")), log).unwrap();
        }
        (folder, ends)
    }
}

/// The time of day, as the logs have it.
fn clock() -> String {
    let ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let (hours, minutes) = (ms / 3_600_000 % 24, ms / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", ms / 1000 % 60, ms % 1000)
}
