//! What can go wrong in a server, and what a client is told of it.

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use towpath_coordination::StateError;
use towpath_entry::{DecodeError, FilterError};
use towpath_source::SourceError;

/// A request that cannot be served. Its text is Canal's where Canal has one: people search for it.
#[derive(Debug, Clone, Error)]
pub(crate) enum RequestError {
    /// The destination is not known here, or not running.
    #[error("destination:{destination} should start first")]
    NotStarted { destination: String },
    /// The instance of the destination has stopped at an error.
    #[error("destination:{destination} should start first, it stopped: {cause}")]
    Failed { destination: String, cause: String },
    /// The client has not subscribed.
    #[error(
        "ClientIdentity:ClientIdentity[destination={destination},clientId={client_id},\
         filter=<null>] should subscribe first"
    )]
    NotSubscribed { destination: String, client_id: i16 },
    /// An ack of a batch that is not outstanding.
    #[error("ack error , clientId:{client_id} batchId:{batch_id} is not exist , please check")]
    AckUnknown { client_id: i16, batch_id: i64 },
    /// A rollback of a batch that is not outstanding.
    #[error("rollback error, clientId:{client_id} batchId:{batch_id} is not exist , please check")]
    RollbackUnknown { client_id: i16, batch_id: i64 },
    /// An ack or rollback of a batch that is not the oldest.
    #[error("batchId:{batch_id} is not the firstly:{oldest}")]
    NotOldest { batch_id: i64, oldest: i64 },
    /// Another connection has subscribed for the same client since.
    #[error(
        "clientId:{client_id} has subscribed again from {peer}, {age_ms} ms ago: this connection gets \
         nothing more; connect again to take over"
    )]
    Superseded { client_id: i16, peer: SocketAddr, age_ms: i64 },
    /// Too many batches without an ack.
    #[error("clientId:{client_id} has {count} batches that are not acknowledged: ack or roll back")]
    TooManyBatches { client_id: i16, count: usize },
    /// Batch ids cannot be reserved: the state directory cannot be written.
    #[error("no batch id can be given out: the state directory cannot be written ({cause})")]
    NotDurable { cause: String },
    /// A filter that does not compile.
    #[error("filter {0}")]
    Filter(#[from] Arc<FilterError>),
    /// The filters of all clients are too much for a state file.
    #[error(
        "the filters of all clients would take {bytes} bytes in the state of the server, {max} are allowed: \
         use a shorter filter, or unsubscribe clients that nobody uses"
    )]
    TooManyFilters { bytes: usize, max: usize },
    /// The filter was not compiled: the server stops.
    #[error("the filter was not compiled: the server stops")]
    Uncompiled,
    /// A client id that is no 16-bit number.
    #[error("For input string: \"{text}\"")]
    ClientId { text: String },
}

impl RequestError {
    /// The class that stands before the text of such an error in Canal's answers.
    pub(crate) const fn java_class(&self) -> &'static str {
        match self {
            Self::ClientId { .. } => "java.lang.NumberFormatException",
            Self::NotOldest { .. } => {
                "com.alibaba.otter.canal.meta.exception.CanalMetaManagerException"
            }
            Self::NotStarted { .. }
            | Self::Failed { .. }
            | Self::NotSubscribed { .. }
            | Self::AckUnknown { .. }
            | Self::RollbackUnknown { .. }
            | Self::Superseded { .. }
            | Self::TooManyBatches { .. }
            | Self::NotDurable { .. }
            | Self::TooManyFilters { .. }
            | Self::Uncompiled
            | Self::Filter(_) => "com.alibaba.otter.canal.server.exception.CanalServerException",
        }
    }
}

/// Why an instance stopped.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// The filter that a client stored does not compile.
    #[error(
        "the filter that client {client_id} has stored cannot be used: {source}; while the server is \
         stopped, change it in meta.dat of the state directory, or in the client's filter node in ZooKeeper"
    )]
    StoredFilter {
        /// The client.
        client_id: i16,
        /// Why.
        #[source]
        source: FilterError,
    },
    /// The source failed in a way that connecting again does not help.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An event could not be turned into entries.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An entry is longer than a frame of the protocol.
    #[error(
        "the entry of {file}:{offset}, table {table}, has {len} bytes, and Canal's protocol has no \
         frame of more than 2147483647"
    )]
    EntryTooLong {
        /// Binlog file.
        file: String,
        /// Offset of the event.
        offset: u64,
        /// The table.
        table: String,
        /// Bytes of the entry.
        len: usize,
    },
    /// The GTID set to start at is none.
    #[error("GTID set `{set}`: {reason}")]
    GtidSet {
        /// The text.
        set: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Its cursors cannot be read or written.
    #[error(transparent)]
    State(Arc<StateError>),
    /// Its task ended without a word.
    #[error("the instance's task failed: {0}")]
    Task(String),
    /// One of the others, with the command that leads on.
    #[error("{source}")]
    At {
        /// What is wrong.
        #[source]
        source: Arc<Self>,
        /// What the operator can do.
        hint: String,
    },
}

impl InstanceError {
    /// What the operator can do, where the text does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Source(error) => error.hint(),
            Self::At { hint, .. } => Some(hint),
            Self::EntryTooLong { .. } => {
                Some("exclude the table with --black-filter, or start behind the event")
            }
            Self::StoredFilter { .. }
            | Self::Decode(_)
            | Self::GtidSet { .. }
            | Self::State(_)
            | Self::Task(_) => None,
        }
    }
}

/// Why a server cannot start or had to stop.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", listen_hint(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The last changes of cursors could not be written: their entries are delivered again.
    #[error(transparent)]
    Cursors(Arc<StateError>),
    /// Its part in the cluster ended without a word.
    #[error("the cluster's task failed: {0}")]
    Cluster(String),
    /// Two destinations of one name.
    #[error("destination `{destination}` is configured twice")]
    Twice {
        /// The name.
        destination: String,
    },
    /// Entries made elsewhere cannot begin again at another server's cursor.
    #[error("destination `{destination}` is fed by hand: it cannot be part of a cluster")]
    FedByHand {
        /// The name.
        destination: String,
    },
    /// No destination at all.
    #[error("no destination is configured: there is nothing to serve")]
    NoDestination,
    /// The only instance stopped.
    #[error("destination {destination}: {source}")]
    Instance {
        /// Its destination.
        destination: String,
        /// Why.
        #[source]
        source: Arc<InstanceError>,
    },
}

impl ServerError {
    /// What the operator can do, where the text does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Instance { source, .. } => source.hint(),
            Self::Listen { .. }
            | Self::State(_)
            | Self::Cursors(_)
            | Self::Cluster(_)
            | Self::Twice { .. }
            | Self::FedByHand { .. }
            | Self::NoDestination => None,
        }
    }
}

fn listen_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    if error.kind() == ErrorKind::AddrInUse {
        "another process has the port: stop that one, or take another port with --listen"
    } else if error.kind() == ErrorKind::PermissionDenied {
        "ports below 1024 need privileges: take a higher one"
    } else if error.kind() == ErrorKind::AddrNotAvailable {
        "this machine does not have that address"
    } else {
        "take another address with --listen"
    }
}
