//! Connects to an empty cluster, by this client in this process and by Canal's Java clients in theirs,
//! all at the same ZooKeeper. Each Java client has a tree of its own: they would fight for one lock.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use towpath_client::{Client, ClientError};
use towpath_testkit::{CanalClient, Footprint, Program};

use crate::Options;
use crate::bed::{Bed, DESTINATION, Held};
use crate::sample::{Sample, head};

/// Attempts of a caller between two looks at the clock.
const CHUNK: usize = 50;

/// Least time between two samples.
const SAMPLE: Duration = Duration::from_secs(2);

/// Time for what was just closed to be gone.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) struct Soak<'b> {
    bed: &'b Bed,
    callers: usize,
    began: Instant,
    end: Instant,
    /// What the bed itself holds.
    own: Held,
    java: Vec<Java>,
    /// Nothing of it is kept here: it would count.
    csv: File,
}

/// A Java client at work.
struct Java {
    version: String,
    root: String,
    /// `None`: it has ended.
    program: Option<Program>,
}

impl<'b> Soak<'b> {
    pub(crate) async fn start(bed: &'b Bed, options: &Options) -> Self {
        let callers = options.callers;
        let own = bed.at_rest().await;
        let mut java = Vec::new();
        for version in options.java.split(',').filter(|version| *version != "none") {
            let root = format!("/java-{version}");
            let cluster = format!("{root}/otter/canal/destinations/{DESTINATION}/cluster");
            bed.control.create_persistent(&cluster).await.unwrap();
            let servers = format!("{}{root}", bed.zookeeper.address());
            let program = Some(CanalClient::leak(version, &servers, DESTINATION, callers));
            java.push(Java { version: version.to_owned(), root, program });
        }
        let mut csv = File::create(&options.csv).unwrap();
        csv.write_all(head().as_bytes()).unwrap();
        let began = Instant::now();
        Self { bed, callers, began, end: began + options.limit, own, java, csv }
    }

    /// Attempts of one client that all callers share.
    pub(crate) async fn shared(&mut self, attempts: usize) {
        let client = self.bed.builder().wait(Duration::ZERO).build().unwrap();
        self.series("towpath", attempts, |_| client.clone()).await;
    }

    /// Attempts of clients that are made, and closed, for one each.
    pub(crate) async fn anew(&mut self, attempts: usize) {
        let builder = self.bed.builder().wait(Duration::ZERO);
        self.series("towpath anew", attempts, |_| builder.clone().build().unwrap()).await;
    }

    async fn series(&mut self, name: &str, attempts: usize, client: impl Fn(usize) -> Client) {
        let mut done = 0;
        let mut sampled = Instant::now();
        while done < attempts && Instant::now() < self.end {
            let count = CHUNK.min((attempts - done).div_ceil(self.callers));
            let mut callers = JoinSet::new();
            for _ in 0..self.callers {
                let clients: Vec<Client> = (0..count).map(&client).collect();
                callers.spawn(async move {
                    for client in clients {
                        fail(client).await;
                    }
                });
            }
            while let Some(called) = callers.join_next().await {
                called.unwrap();
                done += count;
            }
            if done == count * self.callers || done >= attempts || sampled.elapsed() >= SAMPLE {
                self.sample(name, done).await;
                sampled = Instant::now();
            }
        }
    }

    async fn sample(&mut self, series: &str, attempts: usize) {
        let held = self.settled().await;
        let footprint = Footprint::own();
        let own = &self.own;
        let count = |now: usize, own: usize| u64::try_from(now.saturating_sub(own)).unwrap();
        let figures = [
            count(attempts, 0),
            self.began.elapsed().as_secs(),
            count(held.bytes, 0),
            footprint.resident_bytes,
            0,
            count(self.bed.zookeeper.watches("/otter"), own.watches),
            count(self.bed.zookeeper.sessions_of(&footprint.ports), own.sessions),
            count(self.bed.zookeeper.ephemerals("/otter"), own.ephemerals),
            count(held.sockets, own.sockets),
            count(held.tasks, own.tasks),
        ];
        self.add(&Sample { series: series.to_owned(), figures });
        for index in 0..self.java.len() {
            if let Some(sample) = self.java_sample(index) {
                self.add(&sample);
            }
        }
    }

    /// Waits, a short time, until the tasks of what was closed have ended.
    async fn settled(&self) -> Held {
        let end = Instant::now() + SETTLE;
        loop {
            let held = self.bed.held();
            // A client that is kept has its session with ZooKeeper: two tasks.
            if held.tasks <= self.own.tasks + 2 || Instant::now() > end {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn add(&mut self, sample: &Sample) {
        self.csv.write_all(sample.line().as_bytes()).unwrap();
        println!("{}", sample.line().trim_end());
    }

    /// What it says of itself, and what is seen of it from outside.
    fn java_sample(&mut self, index: usize) -> Option<Sample> {
        let seconds = self.began.elapsed().as_secs();
        let zookeeper = &self.bed.zookeeper;
        let java = self.java.get_mut(index)?;
        let program = java.program.as_mut()?;
        if program.has_ended() {
            println!("java {} has ended after {seconds} s: {}", java.version, program.stderr());
            java.program = None;
            return None;
        }
        let said = program.stdout();
        let line =
            said.lines().rfind(|line| line.starts_with("sample ") && said.ends_with('\n'))?;
        let figures: Vec<u64> = line.split(' ').skip(1).filter_map(|w| w.parse().ok()).collect();
        let [failures, standbys, heap, listeners, threads] = figures.try_into().ok()?;
        let footprint = Footprint::of(program.id());
        let count = |count: usize| u64::try_from(count).unwrap();
        let figures = [
            failures + standbys,
            seconds,
            heap,
            footprint.resident_bytes,
            listeners,
            count(zookeeper.watches(&java.root)),
            count(zookeeper.sessions_of(&footprint.ports)),
            count(zookeeper.ephemerals(&java.root)),
            count(footprint.sockets),
            threads,
        ];
        Some(Sample { series: format!("java {}", java.version), figures })
    }
}

/// A connect that finds no server.
async fn fail(client: Client) {
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, ClientError::NoServer { cluster_nodes: 0, .. }), "{error}");
}
