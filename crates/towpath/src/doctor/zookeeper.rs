//! A cluster: the ensemble, Canal's tree in it, and the servers that the tree names.

mod client;
mod destination;
mod ensemble;

use std::time::Duration;

use tokio::time::Instant;
use towpath_coordination::{ZkError, ZkSession};

use super::findings::{Finding, Findings, Span};
use super::mysql::{self, Positions};
use super::{ClusterPlace, Options};

/// In the order in which they are done; those of a destination from `cluster` on.
const STEPS: [&str; 9] = [
    "ensemble",
    "session",
    "root",
    "servers",
    "destinations",
    "cluster",
    "running",
    "clients",
    "node_times",
];

/// What is asked of the ensemble; it grants less or more.
const SESSION_TIMEOUT: Duration = Duration::from_secs(12);

/// Of any kind of node at most so many are looked at.
const NODES_MAX: usize = 200;

/// A node from further in the future than this means that a clock is wrong.
const FUTURE_MAX_MS: i64 = 2_000;

struct Cluster<'a> {
    findings: &'a mut Findings,
    options: &'a Options,
    session: ZkSession,
    positions: Option<Positions>,
    /// When the newest node that was seen was written, by the ensemble's clock.
    newest_ms: i64,
}

/// Ends the look at the tree: the step, and why.
type Stop = (&'static str, ZkError);

pub(super) async fn run(findings: &mut Findings, place: &ClusterPlace, options: &Options) {
    let positions = match &options.source {
        Some(source) => mysql::run(findings, source, options).await,
        None => None,
    };
    let servers = place.url.servers.as_str();
    ensemble::check(findings, servers, options.deadline).await;
    let begun = Instant::now();
    let session = match ZkSession::connect(&place.url, SESSION_TIMEOUT, options.deadline).await {
        Ok(session) => session,
        Err(error) => {
            let fix = "see what the ensemble's servers answer above: clients and servers of the \
                       cluster cannot work without a session";
            findings.add(&Finding::failure("session", servers, error.to_string()).fix(fix));
            findings.skip_after(&STEPS, "session", servers);
            return;
        }
    };
    let text = format!("session 0x{:x}, timeout {}", session.id(), Span(session.timeout()));
    findings.add(&Finding::ok("session", servers, text).took(begun.elapsed()));
    let mut cluster = Cluster { findings, options, session, positions, newest_ms: 0 };
    if let Err((step, error)) = cluster.all(place).await {
        let fix = "the ensemble does not answer as it should: look at its servers' logs";
        cluster.findings.add(&Finding::failure(step, servers, error.to_string()).fix(fix));
        cluster.findings.skip_after(&STEPS, step, servers);
    }
    cluster.session.close(options.deadline).await;
}

impl Cluster<'_> {
    async fn all(&mut self, place: &ClusterPlace) -> Result<(), Stop> {
        let servers = place.url.servers.as_str();
        if !self.root(place).await.map_err(|error| ("root", error))? {
            self.findings.skip_after(&STEPS, "root", servers);
            return Ok(());
        }
        self.servers().await.map_err(|error| ("servers", error))?;
        let found = self.destinations(place).await.map_err(|error| ("destinations", error))?;
        if found.is_empty() {
            self.findings.skip_after(&STEPS, "destinations", servers);
            return Ok(());
        }
        for name in found {
            self.destination(&name).await.map_err(|error| ("cluster", error))?;
        }
        self.node_times(servers);
        Ok(())
    }

    async fn root(&mut self, place: &ClusterPlace) -> Result<bool, ZkError> {
        const STEP: &str = "root";
        let root = self.session.tree().root().to_owned();
        if self.session.get(&root).await?.is_some() {
            self.findings.add(&Finding::ok(STEP, &root, "is there"));
            return Ok(true);
        }
        let mut there = String::new();
        for name in root.split('/').filter(|name| !name.is_empty()) {
            let deeper = format!("{there}/{name}");
            if self.session.get(&deeper).await?.is_none() {
                break;
            }
            there = deeper;
        }
        let deepest = if there.is_empty() { "/" } else { &there };
        let text = format!("is not there: the tree ends at {deepest}");
        let fix = match self.another_root().await? {
            Some(other) => format!(
                "there is a tree at {other}: towpath doctor zk://{}{other}",
                place.url.servers
            ),
            None => "no server was ever part of this cluster: check the path in the URL, and \
                     canal.zkServers (serve: --zk) of the servers"
                .to_owned(),
        };
        self.findings.add(&Finding::failure(STEP, &root, text).fix(fix));
        Ok(false)
    }

    /// Canal's own root, or that root in a chroot.
    async fn another_root(&self) -> Result<Option<String>, ZkError> {
        let top = self.session.children("/").await?.unwrap_or_default();
        let chroots = top.iter().take(NODES_MAX).map(|name| format!("/{name}/otter/canal"));
        for path in std::iter::once("/otter/canal".to_owned()).chain(chroots) {
            if self.session.get(&path).await?.is_some() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Servers that run, whatever they serve.
    async fn servers(&mut self) -> Result<(), ZkError> {
        let path = format!("{}/cluster", self.session.tree().root());
        let mut found = self.session.children(&path).await?.unwrap_or_default();
        found.sort_unstable();
        found.truncate(NODES_MAX);
        let finding = if found.is_empty() {
            Finding::warning("servers", &path, "no server of this cluster runs")
                .fix("start one, and look at its log: does it reach ZooKeeper?")
        } else {
            Finding::ok("servers", &path, found.join(", "))
        };
        self.findings.add(&finding);
        Ok(())
    }

    async fn destinations(&mut self, place: &ClusterPlace) -> Result<Vec<String>, ZkError> {
        const STEP: &str = "destinations";
        let path = format!("{}/destinations", self.session.tree().root());
        let mut found = self.session.children(&path).await?.unwrap_or_default();
        found.sort_unstable();
        let listed = found.join(", ");
        let Some(wanted) = &place.destination else {
            let finding = if found.is_empty() {
                Finding::failure(STEP, &path, "there is no destination").fix(
                    "start a server with a destination: towpath serve --destination NAME --zk ...",
                )
            } else {
                Finding::ok(STEP, &path, listed)
            };
            self.findings.add(&finding);
            found.truncate(NODES_MAX);
            return Ok(found);
        };
        if found.contains(wanted) {
            self.findings.add(&Finding::ok(STEP, &path, format!("`{wanted}` is there")));
            return Ok(vec![wanted.clone()]);
        }
        let text = format!("`{wanted}` is not there");
        let fix =
            format!("correct the name, or start a server that serves it; there are: {listed}");
        self.findings.add(&Finding::failure(STEP, &path, text).fix(fix));
        Ok(Vec::new())
    }

    /// Reads a node, and notes when it was written.
    async fn read(&mut self, path: &str) -> Result<Option<Node>, ZkError> {
        let Some((data, stat)) = self.session.get(path).await? else { return Ok(None) };
        self.newest_ms = self.newest_ms.max(stat.mtime);
        Ok(Some(Node { data, written_ms: stat.mtime, is_ephemeral: stat.ephemeral_owner != 0 }))
    }

    fn node_times(&mut self, servers: &str) {
        const STEP: &str = "node_times";
        let ahead_ms = self.newest_ms.saturating_sub(super::now_ms());
        let finding = if self.newest_ms == 0 {
            Finding::note(STEP, servers, "no node was read that has a time")
        } else if ahead_ms > FUTURE_MAX_MS {
            let text = format!("a node was written {} from now", span_ms(ahead_ms));
            let fix =
                "the clock of the ensemble's leader is ahead of this machine's: set both by NTP";
            Finding::warning(STEP, servers, text).fix(fix)
        } else {
            let text =
                format!("the newest node was written {} ago", span_ms(ahead_ms.saturating_neg()));
            Finding::ok(STEP, servers, text)
        };
        self.findings.add(&finding);
    }
}

/// A node's data and what matters of the rest.
struct Node {
    data: Vec<u8>,
    written_ms: i64,
    is_ephemeral: bool,
}

fn span_ms(ms: i64) -> Span {
    Span(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// Since `ms`, by this machine's clock.
fn age(ms: i64) -> Span {
    span_ms(super::now_ms().saturating_sub(ms))
}
