//! ZooKeeper servers, from the jars that come with Canal's Java client.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{Program, wait_until};
use crate::proxy::Proxy;
use crate::server::{cache, free_port};

const DEADLINE: Duration = Duration::from_secs(60);

/// Time for an answer to a four-letter word. A server that is just starting may take one and forget it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

/// Starts of a server until one must come up: another program may be given the same port meanwhile.
const STARTS: u32 = 3;

/// Milliseconds of a tick: sessions last between two and twenty of them.
const TICK_MS: u32 = 500;

/// One server, or one of an ensemble. Dropping it ends the process and removes its data.
#[derive(Debug)]
pub struct ZooKeeper {
    process: Option<Program>,
    port: u16,
    folder: TempDir,
}

impl ZooKeeper {
    /// Starts a server that stands alone.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    #[must_use]
    pub fn start() -> Self {
        for _ in 1..STARTS {
            let mut server = Self::prepare(1, "");
            server.spawn();
            if server.comes_up() {
                return server;
            }
        }
        let mut server = Self::prepare(1, "");
        server.go_on();
        server
    }

    /// Starts an ensemble. Its sessions last six seconds at most, whatever is asked for.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    #[must_use]
    pub fn ensemble(count: usize) -> Vec<Self> {
        let members: Vec<Member> = (0..count).map(|_| Member::new()).collect();
        Self::start_all(&vec![lines(&members); count])
    }

    /// Starts an ensemble whose first member, which is not the leader, reaches the others through these links.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    #[must_use]
    pub fn ensemble_with_links(count: usize) -> (Vec<Self>, Vec<Proxy>) {
        let members: Vec<Member> = (0..count).map(|_| Member::new()).collect();
        let links: Vec<Proxy> = members.iter().map(|member| Proxy::start(member.quorum)).collect();
        let linked = members.iter().zip(&links).enumerate().map(|(index, (member, link))| {
            let quorum = if index == 0 { member.quorum } else { link.port() };
            Member { quorum, ..*member }
        });
        let mut configurations = vec![lines(&members); count];
        if let Some(first) = configurations.first_mut() {
            *first = lines(&linked.collect::<Vec<_>>());
        }
        (Self::start_all(&configurations), links)
    }

    fn start_all(configurations: &[String]) -> Vec<Self> {
        let prepared = configurations.iter().zip(1..);
        let mut servers: Vec<Self> = prepared.map(|(lines, id)| Self::prepare(id, lines)).collect();
        for server in &mut servers {
            server.spawn();
        }
        for server in &mut servers {
            server.wait_until_up();
        }
        servers
    }

    fn prepare(id: usize, members: &str) -> Self {
        let folder = match TempDir::with_prefix("towpath-zookeeper-") {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for ZooKeeper: {error}"),
        };
        let port = free_port();
        let path = folder.path().display();
        // Canal's clients ask for 90 s; an ensemble is there to have its members fail.
        let longest = if members.is_empty() { 60_000 } else { 6_000 };
        let configuration = format!(
            "tickTime={TICK_MS}\ninitLimit=20\nsyncLimit=10\ndataDir={path}\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\nmaxClientCnxns=0\nmaxSessionTimeout={longest}\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\nforceSync=no\n{members}"
        );
        for (file, content) in [("zoo.cfg", configuration), ("myid", id.to_string())] {
            if let Err(error) = fs::write(folder.path().join(file), content) {
                panic!("{path}/{file}: {error}");
            }
        }
        Self { process: None, port, folder }
    }

    fn spawn(&mut self) {
        let jars = cache().join("clients/java-1.1.8");
        assert!(jars.exists(), "{} is missing: run scripts/servers/clients", jars.display());
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Dzookeeper.preAllocSize=64")
            .arg("-cp")
            .arg(format!("{}/*", jars.display()))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.folder.path().join("zoo.cfg"));
        self.process = Some(Program::start(&mut command, "run scripts/servers/clients"));
    }

    /// Starts it again after [`Self::halt`], with its data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn go_on(&mut self) {
        self.spawn();
        self.wait_until_up();
    }

    /// Kills it; its data stays.
    pub fn halt(&mut self) {
        self.process = None;
    }

    /// Removes its data while it is halted.
    ///
    /// # Panics
    /// When that fails.
    pub fn wipe(&mut self) {
        let data = self.folder.path().join("version-2");
        if let Err(error) = fs::remove_dir_all(&data) {
            panic!("{}: {error}", data.display());
        }
    }

    fn wait_until_up(&mut self) {
        if !self.comes_up() {
            let said = self.process.take().map(|process| process.kill().stdout);
            panic!("ZooKeeper on port {} ends: {}", self.port, said.unwrap_or_default());
        }
    }

    /// Waits until it answers; false when it ends instead.
    fn comes_up(&mut self) -> bool {
        let what = format!("ZooKeeper on port {}", self.port);
        wait_until(&what, DEADLINE, || {
            if self.process.as_mut().is_none_or(Program::has_ended) {
                return Some(false);
            }
            self.mode().map(|_| true)
        })
    }

    /// Client port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn ask_if_up(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Whether it is `leader`, `follower` or `standalone`; none while it has no part in a quorum, or does not
    /// answer.
    #[must_use]
    pub fn mode(&self) -> Option<String> {
        let answer = self.ask_if_up("srvr")?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// What it answers to a four-letter word.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn ask(&self, word: &str) -> String {
        let what = format!("ZooKeeper on port {} to answer to {word}", self.port);
        wait_until(&what, DEADLINE, || self.ask_if_up(word))
    }

    /// A figure of `mntr`, as `zk_watch_count`.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn figure(&self, name: &str) -> u64 {
        let answer = self.ask("mntr");
        let found = answer.lines().find_map(|line| {
            let (key, value) = line.split_once('\t')?;
            (key == name).then(|| value.trim().parse().ok())?
        });
        match found {
            Some(figure) => figure,
            None => panic!("no {name} in mntr: {answer}"),
        }
    }

    /// Sessions that have not ended, whether their clients are connected or not.
    #[must_use]
    pub fn live_sessions(&self) -> usize {
        live_sessions(&self.ask("dump")).count()
    }

    /// Sessions that it knows of: open connections without the one that asks.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let answer = self.ask("cons");
        answer.lines().filter(|line| line.contains("sid=0x")).count()
    }

    /// Ephemeral nodes below a path, of all sessions.
    #[must_use]
    pub fn ephemerals(&self, path: &str) -> usize {
        // Below each session, one a line.
        let answer = self.ask("dump");
        let nodes = answer.lines().filter_map(|line| line.strip_prefix('\t'));
        nodes.filter(|node| node.starts_with(path)).count()
    }

    /// Watches on nodes below a path, one for each session that watches. When a session is ended by
    /// another connection than its own, this version of the server keeps a watch that was asked for at
    /// that moment: those do not count.
    #[must_use]
    pub fn watches(&self, path: &str) -> usize {
        let sessions = self.ask("dump");
        let live: Vec<&str> = live_sessions(&sessions).collect();
        let mut is_live = false;
        let mut count = 0;
        for line in self.ask("wchc").lines() {
            match line.strip_prefix('\t') {
                None => is_live = live.contains(&line),
                Some(node) => count += usize::from(is_live && node.starts_with(path)),
            }
        }
        count
    }

    /// Sessions whose connections come from one of these ports.
    #[must_use]
    pub fn sessions_of(&self, ports: &[u16]) -> usize {
        let answer = self.ask("cons");
        let is_of = |line: &&str| {
            let address = line.trim_start().split('[').next().unwrap_or_default();
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            line.contains("sid=0x") && port.is_some_and(|port| ports.contains(&port))
        };
        answer.lines().filter(is_of).count()
    }
}

/// Where a member of an ensemble is found by the others.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// By those that follow it.
    quorum: u16,
    election: u16,
}

impl Member {
    fn new() -> Self {
        Self { quorum: free_port(), election: free_port() }
    }
}

/// What a configuration says of the members.
fn lines(members: &[Member]) -> String {
    let line = |(Member { quorum, election }, id): (&Member, usize)| {
        format!("server.{id}=127.0.0.1:{quorum}:{election}\n")
    };
    members.iter().zip(1..).map(line).collect()
}

fn live_sessions(dump: &str) -> impl Iterator<Item = &str> {
    let sessions = dump.lines().take_while(|line| !line.starts_with("ephemeral nodes"));
    sessions.filter_map(|line| line.strip_prefix('\t')).filter(|line| line.starts_with("0x"))
}
