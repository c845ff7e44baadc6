//! What can go wrong between here and an ensemble.

use std::time::Duration;

use thiserror::Error;

/// An operation on ZooKeeper that failed, or has no known outcome.
#[derive(Debug, Clone, Error)]
pub enum ZkError {
    /// An address that cannot be used.
    #[error(
        "ZooKeeper address `{url}`: {reason}; expected zk://host:2181,host2:2181/otter/canal, or a \
         connect string as host:2181,host2:2181"
    )]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No session could be had.
    #[error("ZooKeeper {servers}: no session within {} ms: {reason}", after.as_millis())]
    Unreachable {
        /// The servers.
        servers: String,
        /// How long was tried.
        after: Duration,
        /// The last reason.
        reason: String,
    },
    /// The session is over: expired, closed, or the login was refused.
    #[error("ZooKeeper {servers}: the session is over: {reason}")]
    SessionEnded {
        /// The servers.
        servers: String,
        /// How it ended.
        reason: String,
    },
    /// The ensemble said no.
    #[error("ZooKeeper {servers}: {doing} {path}: {source}")]
    Operation {
        /// The servers.
        servers: String,
        /// What was being done.
        doing: &'static str,
        /// The node.
        path: String,
        /// Why.
        #[source]
        source: zookeeper_client::Error,
    },
    /// No answer came in time: whether it was done is not known.
    #[error("ZooKeeper {servers}: {doing} {path}: no answer within {} ms", after.as_millis())]
    Deadline {
        /// The servers.
        servers: String,
        /// What was being done.
        doing: &'static str,
        /// The node.
        path: String,
        /// How long was waited.
        after: Duration,
    },
    /// A node holds something else than it should.
    #[error(
        "ZooKeeper node {path} holds `{data}`: {reason}; remove the node, or find who wrote it"
    )]
    Payload {
        /// The node.
        path: String,
        /// The beginning of what it holds.
        data: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another server wrote what only the owner of a lease may write.
    #[error("ZooKeeper node {path} was changed by another server: this one is not active any more")]
    Fenced {
        /// The node.
        path: String,
    },
}

impl ZkError {
    /// Whether it is a matter of the link, the session or the lease, which another session may not have; and
    /// not of what the tree holds or allows.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::SessionEnded { .. }
            | Self::Deadline { .. }
            | Self::Fenced { .. } => true,
            Self::Operation { source, .. } => !matches!(
                source,
                zookeeper_client::Error::NoAuth
                    | zookeeper_client::Error::AuthFailed
                    | zookeeper_client::Error::InvalidAcl
                    | zookeeper_client::Error::QuotaExceeded
            ),
            Self::Url { .. } | Self::Payload { .. } => false,
        }
    }

    /// Whether the session that it happened in must be given up: it is over, or something is under
    /// way in it that nobody waits for any more.
    #[must_use]
    pub const fn ends_session(&self) -> bool {
        match self {
            Self::SessionEnded { .. } | Self::Deadline { .. } | Self::Unreachable { .. } => true,
            Self::Operation { source, .. } => {
                matches!(
                    source,
                    zookeeper_client::Error::SessionExpired
                        | zookeeper_client::Error::SessionMoved
                        | zookeeper_client::Error::ClientClosed
                        | zookeeper_client::Error::AuthFailed
                        | zookeeper_client::Error::ConnectionLoss
                )
            }
            Self::Url { .. } | Self::Payload { .. } | Self::Fenced { .. } => false,
        }
    }
}
