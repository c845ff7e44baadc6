//! What can go wrong between here and a server, and what is done about it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
#[cfg(feature = "cluster")]
use towpath_coordination::{LeaseLost, ZkError};
use towpath_protocol::{FrameError, PacketError};

/// Why there is no connection, or no batch. Whatever failed has released all that it had.
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    /// Connecting, reading or writing failed.
    #[error("{address}: {doing}: {source}")]
    Io {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// No answer came in time.
    #[error("{address}: {doing}: no answer within {} ms", deadline.as_millis())]
    Deadline {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// How long was waited.
        deadline: Duration,
    },
    /// A length that no answer has.
    #[error("{address}: {source}; is this the client port of a Canal server (11111)?")]
    Frame {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// An answer that cannot be read.
    #[error("{address}: {doing}: {source}; is this the client port of a Canal server (11111)?")]
    Packet {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// What is wrong with it.
        #[source]
        source: PacketError,
    },
    /// An answer of another kind.
    #[error("{address}: {doing}: {found} where {expected} is expected")]
    Unexpected {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// What came.
        found: &'static str,
        /// What should have come.
        expected: &'static str,
    },
    /// The server says no.
    #[error("{address}: {doing}: error {code}: {}", text.trim_end())]
    Refused {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// The server's code.
        code: i32,
        /// The server's text.
        text: String,
    },
    /// The server refuses the login.
    #[error("{address}: login refused: error {code}: {}; check user and password", text.trim_end())]
    Login {
        /// Host and port.
        address: String,
        /// The server's code.
        code: i32,
        /// The server's text.
        text: String,
    },
    /// A protocol version that is not spoken here.
    #[error(
        "{address}: the server speaks version {version} of the protocol, this client version 1"
    )]
    Version {
        /// Host and port.
        address: String,
        /// Its version.
        version: i32,
    },
    /// An earlier error, or a dropped future, closed the connection.
    #[error("{address}: the connection is closed since an earlier request failed: connect again")]
    Closed {
        /// Host and port.
        address: String,
    },
    /// TLS cannot be had.
    #[error("{place}: TLS: {reason}")]
    Tls {
        /// The server, file or name.
        place: String,
        /// Why.
        reason: String,
    },
    /// Settings that cannot be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },
    /// The cluster has no server for the destination: nothing was connected to.
    #[error(
        "destination `{destination}` has no server in the cluster for {} s ({cluster_nodes} nodes \
         below `cluster`{}): start one, or check the destination's name",
        since.elapsed().unwrap_or_default().as_secs(),
        garbage.as_ref().map(|text| format!("; {text}")).unwrap_or_default()
    )]
    NoServer {
        /// The destination.
        destination: String,
        /// Since when none is seen.
        since: SystemTime,
        /// Nodes below the destination's `cluster`, those without a usable address included.
        cluster_nodes: usize,
        /// What is wrong with the `running` node, if there is one.
        garbage: Option<String>,
    },
    /// Another client has the lock.
    #[error(
        "client {client_id} of destination `{destination}` is taken by {} for {} s: it is this one's \
         turn when that one ends",
        owner.as_deref().unwrap_or("an owner that does not say who it is"),
        since.elapsed().unwrap_or_default().as_secs()
    )]
    Standby {
        /// The destination.
        destination: String,
        /// The client id.
        client_id: i16,
        /// The owner's address, as it says itself.
        owner: Option<String>,
        /// Since when it is waited for.
        since: SystemTime,
    },
    /// ZooKeeper is away, or says no.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    ZooKeeper(#[from] ZkError),
    /// The client's lock is lost.
    #[cfg(feature = "cluster")]
    #[error("the client's lock is lost: {0}")]
    Lock(#[from] LeaseLost),
    /// Another server became active.
    #[error("{from} is not active any more, {to} is")]
    Moved {
        /// The server that was connected.
        from: String,
        /// The one that is active.
        to: String,
    },
    /// The batch is not this client's any more: its entries come again.
    #[error(
        "batch {batch_id} cannot be acknowledged any more: its connection is gone, or an earlier batch \
         was rolled back; its entries come again"
    )]
    Stale {
        /// Its id.
        batch_id: i64,
    },
}

/// What is done after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It is tried again, later.
    Retry,
    /// Trying again is of no use: somebody has to do something first.
    Stop,
}

/// What kind of failure it was: a bounded set, to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody answers at the address, or the connection broke.
    Network,
    /// No answer in time.
    Deadline,
    /// What came is not what Canal's protocol allows.
    Protocol,
    /// The server says no.
    Refused,
    /// TLS.
    Tls,
    /// Settings.
    Setting,
    /// The cluster has no server.
    NoServer,
    /// Another client has the lock.
    Standby,
    /// ZooKeeper.
    ZooKeeper,
    /// The lock was lost.
    Lock,
    /// Another server became active.
    Moved,
    /// An outdated batch.
    Stale,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Network,
        Self::Deadline,
        Self::Protocol,
        Self::Refused,
        Self::Tls,
        Self::Setting,
        Self::NoServer,
        Self::Standby,
        Self::ZooKeeper,
        Self::Lock,
        Self::Moved,
        Self::Stale,
    ];

    /// As it stands in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Deadline => "deadline",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Tls => "tls",
            Self::Setting => "setting",
            Self::NoServer => "no_server",
            Self::Standby => "standby",
            Self::ZooKeeper => "zookeeper",
            Self::Lock => "lock",
            Self::Moved => "moved",
            Self::Stale => "stale",
        }
    }
}

impl ClientError {
    pub(crate) fn deadline(address: &str, doing: &'static str, deadline: Duration) -> Self {
        Self::Deadline { address: address.to_owned(), doing, deadline }
    }

    pub(crate) fn io(address: &str, doing: &'static str, source: std::io::Error) -> Self {
        Self::Io { address: address.to_owned(), doing, source: Arc::new(source) }
    }

    /// What kind it is.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Io { .. } | Self::Closed { .. } => Cause::Network,
            Self::Deadline { .. } => Cause::Deadline,
            Self::Frame { .. }
            | Self::Packet { .. }
            | Self::Unexpected { .. }
            | Self::Version { .. } => Cause::Protocol,
            Self::Refused { .. } | Self::Login { .. } => Cause::Refused,
            Self::Tls { .. } => Cause::Tls,
            Self::Setting { .. } => Cause::Setting,
            Self::NoServer { .. } => Cause::NoServer,
            Self::Standby { .. } => Cause::Standby,
            #[cfg(feature = "cluster")]
            Self::ZooKeeper(_) => Cause::ZooKeeper,
            #[cfg(feature = "cluster")]
            Self::Lock(_) => Cause::Lock,
            Self::Moved { .. } => Cause::Moved,
            Self::Stale { .. } => Cause::Stale,
        }
    }

    /// Whether a new attempt may help. A refused login does not get better by itself; a server that
    /// does not serve the destination may be about to.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            #[cfg(feature = "cluster")]
            Self::ZooKeeper(ZkError::Url { .. }) => Recovery::Stop,
            #[cfg(feature = "cluster")]
            Self::ZooKeeper(_) | Self::Lock(_) => Recovery::Retry,
            Self::Login { .. } | Self::Version { .. } | Self::Tls { .. } | Self::Setting { .. } => {
                Recovery::Stop
            }
            Self::Io { .. }
            | Self::Deadline { .. }
            | Self::Frame { .. }
            | Self::Packet { .. }
            | Self::Unexpected { .. }
            | Self::Refused { .. }
            | Self::Closed { .. }
            | Self::NoServer { .. }
            | Self::Standby { .. }
            | Self::Moved { .. }
            | Self::Stale { .. } => Recovery::Retry,
        }
    }

    /// Whether the ZooKeeper session that it happened in is of no use any more.
    #[cfg(feature = "cluster")]
    pub(crate) const fn ends_zookeeper_session(&self) -> bool {
        match self {
            Self::ZooKeeper(error) | Self::Lock(LeaseLost::Session(error)) => error.ends_session(),
            Self::Lock(LeaseLost::Unproven { .. }) => true,
            Self::Lock(
                LeaseLost::Removed { .. } | LeaseLost::Taken { .. } | LeaseLost::Released { .. },
            )
            | Self::Io { .. }
            | Self::Deadline { .. }
            | Self::Frame { .. }
            | Self::Packet { .. }
            | Self::Unexpected { .. }
            | Self::Refused { .. }
            | Self::Login { .. }
            | Self::Version { .. }
            | Self::Closed { .. }
            | Self::Tls { .. }
            | Self::Setting { .. }
            | Self::NoServer { .. }
            | Self::Standby { .. }
            | Self::Moved { .. }
            | Self::Stale { .. } => false,
        }
    }
}
