//! A real ZooKeeper, a scripted server in its tree, and what this process holds of both.

use std::time::Duration;

use towpath_client::{Builder, Client};
use towpath_coordination::{Running, Tree, ZkSession, ZkUrl};
use towpath_testkit::{CountingAllocator, Footprint, ZooKeeper};

use super::expiry::Expiry;
use super::scripted::Scripted;

pub(crate) const DESTINATION: &str = "example";

/// Time in which everything that an attempt had must be gone.
const SETTLE_DEADLINE: Duration = Duration::from_secs(10);

/// Looks in a row that must find the same.
const STEADY_LOOKS: usize = 5;

const DEADLINE: Duration = Duration::from_secs(10);

/// What a process holds, and ZooKeeper for it. The bed itself has one session, and its servers' tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: usize,
    pub(crate) tasks: usize,
    pub(crate) threads: u64,
    pub(crate) descriptors: usize,
    pub(crate) sockets: usize,
    pub(crate) watches: usize,
    pub(crate) sessions: usize,
    pub(crate) ephemerals: usize,
}

impl Held {
    /// What is above the baseline, each named by its invariant.
    fn beyond(&self, baseline: &Self, slack_bytes: usize) -> Vec<String> {
        let figures = [
            ("I-TASK: tasks", self.tasks, baseline.tasks),
            ("I-SOCK: sockets", self.sockets, baseline.sockets),
            ("I-CLEAN: descriptors", self.descriptors, baseline.descriptors),
            ("I-WATCH: watches", self.watches, baseline.watches),
            ("I-SESS: sessions", self.sessions, baseline.sessions),
            ("I-LOCK: ephemeral nodes", self.ephemerals, baseline.ephemerals),
            ("I-MEM: bytes", self.bytes, baseline.bytes + slack_bytes),
        ];
        let mut beyond: Vec<String> = figures
            .into_iter()
            .filter(|(_, now, allowed)| now > allowed)
            .map(|(name, now, allowed)| format!("{name}: {now}, allowed {allowed}"))
            .collect();
        if self.threads > baseline.threads {
            beyond.push(format!("I-TASK: threads: {} after {}", self.threads, baseline.threads));
        }
        beyond
    }
}

/// Goes through attempts by the round, in a current-thread runtime of its own.
pub(crate) struct Bed {
    allocator: &'static CountingAllocator,
    pub(crate) zookeeper: ZooKeeper,
    pub(crate) control: ZkSession,
    pub(crate) server: Scripted,
    pub(crate) expiry: Expiry,
}

impl Bed {
    /// A tree with an empty cluster.
    pub(crate) async fn start(allocator: &'static CountingAllocator) -> Self {
        let zookeeper = ZooKeeper::start();
        let url: ZkUrl = format!("zk://{}/otter/canal", zookeeper.address()).parse().unwrap();
        let session = ZkSession::connect(&url, Duration::from_secs(30), DEADLINE);
        let control = session.await.unwrap();
        let tree = Tree::new("/otter/canal");
        control.create_persistent(&tree.cluster(DESTINATION)).await.unwrap();
        // Otherwise the first lock makes it.
        control.create_persistent(&tree.client(DESTINATION, 1001)).await.unwrap();
        let expiry = Expiry::start(zookeeper.address()).await;
        Self { allocator, zookeeper, control, server: Scripted::start().await, expiry }
    }

    /// The cluster's active server is the scripted one from now on, or another that is not there.
    pub(crate) async fn announce(&self, address: &str) {
        let path = self.control.tree().running(DESTINATION);
        self.control.delete(&path, None).await.unwrap();
        let running = Running { active: true, address: address.to_owned(), client_id: None };
        assert!(self.control.create_ephemeral(&path, &running.print()).await.unwrap().is_some());
    }

    /// The cluster is empty from now on.
    pub(crate) async fn silence(&self) {
        let path = self.control.tree().running(DESTINATION);
        self.control.delete(&path, None).await.unwrap();
    }

    /// A client of the cluster.
    pub(crate) fn builder(&self) -> Builder {
        Self::builder_at(&self.zookeeper.address())
    }

    /// The same by another way.
    pub(crate) fn builder_at(zookeeper: &str) -> Builder {
        let cluster = format!("zk://{zookeeper}/otter/canal");
        Client::builder()
            .cluster(&cluster)
            .unwrap()
            .destination(DESTINATION)
            .wait(DEADLINE)
            .pauses(Duration::from_millis(1), Duration::from_millis(20))
            .standby_pause(Duration::ZERO)
    }

    /// What is held at this moment.
    pub(crate) fn held(&self) -> Held {
        let bytes = self.allocator.bytes();
        let footprint = Footprint::own();
        Held {
            bytes,
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            threads: footprint.threads,
            descriptors: footprint.descriptors,
            sockets: footprint.sockets,
            watches: self.zookeeper.watches("/"),
            sessions: self.zookeeper.live_sessions(),
            ephemerals: self.zookeeper.ephemerals("/"),
        }
    }

    /// What is held once nothing of it goes away any more by itself: for a baseline.
    pub(crate) async fn at_rest(&self) -> Held {
        let (mut before, mut looks) = (self.held(), 0);
        while looks < STEADY_LOOKS {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.held();
            looks = if now == before { looks + 1 } else { 0 };
            before = now;
        }
        before
    }

    /// Waits until no more is held than at the baseline, but for some bytes.
    pub(crate) async fn assert_back_at(&self, baseline: &Held, slack_bytes: usize) -> Held {
        let end = tokio::time::Instant::now() + SETTLE_DEADLINE;
        loop {
            let now = self.held();
            let beyond = now.beyond(baseline, slack_bytes);
            if beyond.is_empty() {
                return now;
            }
            let watches = || self.zookeeper.ask("wchc");
            let is_late = tokio::time::Instant::now() > end;
            assert!(!is_late, "{beyond:#?}\nbaseline {baseline:?}\nwatches {}", watches());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
