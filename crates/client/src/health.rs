//! What can be seen of a client from outside.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

#[cfg(feature = "cluster")]
use towpath_coordination::ZkStatus;

use crate::connection::Shared;
use crate::{Cause, ClientError, State, Status};

/// One connection.
#[derive(Debug, Clone)]
pub struct ConnectionHealth {
    /// The destination.
    pub destination: String,
    /// The client id.
    pub client_id: i16,
    /// Where it is in its life.
    pub status: Status,
    /// Batches that were delivered and are not acknowledged.
    pub unacked_batches: usize,
    /// Bytes of their entries.
    pub unacked_bytes: usize,
    /// Batches delivered since the connection was made.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// When the latest entry was written at the source.
    pub latest: Option<SystemTime>,
}

impl ConnectionHealth {
    /// Age of the latest entry: an upper bound of the lag while changes come.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.latest.map(|latest| latest.elapsed().unwrap_or_default())
    }
}

/// A client with all its connections.
#[derive(Debug, Clone)]
pub struct Health {
    /// Its connections that are not dropped yet.
    pub connections: Vec<ConnectionHealth>,
    /// The session with ZooKeeper; `None` outside of a cluster, or while there is none.
    #[cfg(feature = "cluster")]
    pub zookeeper: Option<ZkStatus>,
    /// Sockets that are open, or being opened, to servers.
    pub open_sockets: usize,
    /// Attempts to connect, since the client was made.
    pub attempts: u64,
    /// Attempts that led to an active connection.
    pub activations: u64,
    /// Failures by cause; those that never happened are left out.
    pub failures: BTreeMap<Cause, u64>,
}

/// What all connections of a client count together.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) attempts: AtomicU64,
    pub(crate) activations: AtomicU64,
    failures: [AtomicU64; Cause::ALL.len()],
    sockets: AtomicUsize,
    connections: Mutex<BTreeMap<u64, Arc<Shared>>>,
    next_id: AtomicU64,
}

/// A connection in the list of its client, as long as it lives.
#[derive(Debug)]
pub(crate) struct Registered {
    totals: Arc<Totals>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.totals.connections(|connections| connections.remove(&self.id));
    }
}

/// A socket as it is counted.
#[derive(Debug)]
pub(crate) struct OpenSocket(Arc<Totals>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Totals {
    fn connections<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, Arc<Shared>>) -> T) -> T {
        change(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn register(self: &Arc<Self>, shared: &Arc<Shared>) -> Registered {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.connections(|connections| connections.insert(id, Arc::clone(shared)));
        Registered { totals: Arc::clone(self), id }
    }

    pub(crate) fn open_socket(self: &Arc<Self>) -> OpenSocket {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        OpenSocket(Arc::clone(self))
    }

    pub(crate) fn failed(&self, error: &ClientError) {
        let cause = error.cause();
        let count = Cause::ALL.iter().zip(&self.failures).find(|(known, _)| **known == cause);
        if let Some((_, count)) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All but the session with ZooKeeper.
    pub(crate) fn health(&self) -> Health {
        let counts = self.failures.iter().map(|count| count.load(Ordering::Relaxed));
        Health {
            connections: self.connections(|connections| {
                connections.values().map(|shared| shared.health()).collect()
            }),
            #[cfg(feature = "cluster")]
            zookeeper: None,
            open_sockets: self.sockets.load(Ordering::Relaxed),
            attempts: self.attempts.load(Ordering::Relaxed),
            activations: self.activations.load(Ordering::Relaxed),
            failures: Cause::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// States in the order of the metric.
const STATES: [&str; 5] = ["connecting", "waiting", "active", "draining", "closed"];

impl Health {
    /// True when every connection delivers, or is only standing by for another client.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.connections.iter().all(|connection| match &connection.status.state {
            State::Active { .. } | State::Waiting(crate::Waiting::Standby { .. }) => true,
            State::Connecting(_) | State::Waiting(_) | State::Draining | State::Closed(_) => false,
        })
    }

    /// Connections in the state of that name.
    #[must_use]
    pub fn count(&self, state: &str) -> usize {
        self.connections.iter().filter(|other| other.status.state.name() == state).count()
    }

    /// The same as text in Prometheus' exposition format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, String)]| {
            // Writing to a string cannot fail.
            let _written: bool =
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").is_ok();
            for (labels, value) in values {
                let _written: bool = writeln!(text, "{name}{labels} {value}").is_ok();
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let states: Vec<_> = STATES
            .iter()
            .map(|state| (format!("{{state=\"{state}\"}}"), self.count(state).to_string()))
            .collect();
        metric("towpath_client_connections", "gauge", "Connections by state.", &states);
        let attempts = one(self.attempts.to_string());
        metric("towpath_client_attempts_total", "counter", "Attempts to connect.", &attempts);
        let activations = one(self.activations.to_string());
        let help = "Attempts that led to an active connection.";
        metric("towpath_client_activations_total", "counter", help, &activations);
        let failures: Vec<_> = (self.failures.iter())
            .map(|(cause, count)| (format!("{{cause=\"{}\"}}", cause.name()), count.to_string()))
            .collect();
        metric("towpath_client_failures_total", "counter", "Failures by cause.", &failures);
        let sockets = one(self.open_sockets.to_string());
        metric("towpath_client_open_sockets", "gauge", "Sockets to servers.", &sockets);
        #[cfg(feature = "cluster")]
        if let Some(zookeeper) = &self.zookeeper {
            let watches = one(zookeeper.watches.to_string());
            metric("towpath_client_zookeeper_watches", "gauge", "Watches held.", &watches);
            let contact = one(zookeeper.last_contact.as_secs_f64().to_string());
            let help = "Since ZooKeeper answered last.";
            metric("towpath_client_zookeeper_last_contact_seconds", "gauge", help, &contact);
        }
        let of = |figure: &dyn Fn(&ConnectionHealth) -> Option<String>| -> Vec<_> {
            let labelled = self.connections.iter().filter_map(|connection| {
                let ConnectionHealth { destination, client_id, .. } = connection;
                let labels = format!("{{destination=\"{destination}\",client_id=\"{client_id}\"}}");
                figure(connection).map(|value| (labels, value))
            });
            labelled.collect()
        };
        let batches = of(&|connection| Some(connection.unacked_batches.to_string()));
        let help = "Batches delivered and not acknowledged.";
        metric("towpath_client_unacked_batches", "gauge", help, &batches);
        let bytes = of(&|connection| Some(connection.unacked_bytes.to_string()));
        metric("towpath_client_unacked_bytes", "gauge", "Bytes of their entries.", &bytes);
        let entries = of(&|connection| Some(connection.entries.to_string()));
        metric("towpath_client_entries_total", "counter", "Entries delivered.", &entries);
        let lag = of(&|connection| connection.lag().map(|lag| lag.as_secs_f64().to_string()));
        metric("towpath_client_lag_seconds", "gauge", "Age of the latest entry.", &lag);
        text
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for connection in &self.connections {
            let ConnectionHealth { destination, client_id, status, .. } = connection;
            write!(f, "{destination}/{client_id}: {status}; {} entries", connection.entries)?;
            writeln!(f, ", {} batches unacked", connection.unacked_batches)?;
        }
        write!(f, "attempts {}, sockets {}", self.attempts, self.open_sockets)?;
        for (cause, count) in &self.failures {
            write!(f, ", {} {count}", cause.name())?;
        }
        #[cfg(feature = "cluster")]
        if let Some(zookeeper) = &self.zookeeper {
            let ZkStatus { state, session_id, watches, .. } = zookeeper;
            write!(f, "\nZooKeeper: {state}, session 0x{session_id:x}, {watches} watches")?;
        }
        Ok(())
    }
}
