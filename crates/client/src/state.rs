//! The life of a connection, as one enum.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::ClientError;

/// What an attempt is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It gets a session with ZooKeeper.
    ZooKeeper,
    /// It asks the cluster for the destination's servers.
    Servers,
    /// It asks for the client's lock.
    Lock,
    /// It connects to this server, logs in and subscribes.
    Server(String),
}

/// What is waited for.
#[derive(Debug, Clone)]
pub enum Waiting {
    /// The cluster has no server. Nothing is open but the session with ZooKeeper and its watches.
    NoServer {
        /// Nodes below the destination's `cluster`.
        cluster_nodes: usize,
        /// What is wrong with the `running` node, if there is one.
        garbage: Option<String>,
    },
    /// Another client has the lock.
    Standby {
        /// Its address, as it says itself.
        owner: Option<String>,
    },
    /// The last attempt failed; this is the pause before the next.
    Retry {
        /// Why it failed.
        cause: ClientError,
        /// How long the pause is.
        pause: Duration,
    },
}

/// How a connection ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// It was closed, or dropped.
    Closed,
    /// It cannot go on.
    Failed(ClientError),
}

/// Where a connection is in its life.
#[derive(Debug, Clone)]
pub enum State {
    /// An attempt is under way.
    Connecting(Step),
    /// Something is waited for.
    Waiting(Waiting),
    /// Batches are delivered.
    Active {
        /// The server.
        address: String,
        /// This side's address.
        local: SocketAddr,
    },
    /// Acks go out, the rest is given back.
    Draining,
    /// Nothing is left.
    Closed(Ending),
}

impl State {
    /// `connecting`, `waiting`, `active`, `draining` or `closed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connecting(_) => "connecting",
            Self::Waiting(_) => "waiting",
            Self::Active { .. } => "active",
            Self::Draining => "draining",
            Self::Closed(_) => "closed",
        }
    }
}

/// A state, and how it came to it.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Since when, by the wall clock.
    pub since: SystemTime,
    /// Since when, by the monotonic clock.
    pub entered: Instant,
    /// The number of the attempt, from 1; begins again after a success.
    pub attempt: u64,
    /// Why the latest attempt, or the latest active time, ended.
    pub last_failure: Option<ClientError>,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Connecting(Step::Servers),
            since: SystemTime::now(),
            entered: Instant::now(),
            attempt: 1,
            last_failure: None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.entered.elapsed().as_secs();
        match &self.state {
            State::Connecting(step) => {
                write!(f, "connecting ({step}), attempt {}, for {age} s", self.attempt)
            }
            State::Waiting(waiting) => write!(f, "waiting ({waiting}) for {age} s"),
            State::Active { address, .. } => write!(f, "active at {address} for {age} s"),
            State::Draining => write!(f, "draining for {age} s"),
            State::Closed(Ending::Closed) => write!(f, "closed {age} s ago"),
            State::Closed(Ending::Failed(error)) => write!(f, "closed {age} s ago: {error}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZooKeeper => f.write_str("session with ZooKeeper"),
            Self::Servers => f.write_str("looking for servers"),
            Self::Lock => f.write_str("asking for the lock"),
            Self::Server(address) => f.write_str(address),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer { garbage: Some(garbage), .. } => write!(f, "no server; {garbage}"),
            Self::NoServer { .. } => f.write_str("no server in the cluster"),
            Self::Standby { owner: Some(owner) } => write!(f, "standby of {owner}"),
            Self::Standby { owner: None } => f.write_str("standby"),
            Self::Retry { cause, pause } => {
                write!(f, "again after {} ms, since {cause}", pause.as_millis())
            }
        }
    }
}
