//! What can go wrong in an engine, and with what is asked of a destination.

use std::sync::Arc;

use thiserror::Error;
use towpath_coordination::StateError;
use towpath_entry::{DecodeError, FilterError};
use towpath_source::SourceError;

use crate::subscription::Subscriber;

/// Something asked of a destination that cannot be had.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// There is none of this name, or it is not served here now.
    #[error("destination {destination} is not served here")]
    NotServed {
        /// Its name.
        destination: String,
    },
    /// Its instance has failed. It is tried again.
    #[error("destination {destination} has failed: {cause}")]
    Failed {
        /// Its name.
        destination: String,
        /// Why.
        cause: String,
    },
    /// The client id has not subscribed.
    #[error("client id {client_id} has not subscribed to destination {destination}")]
    NotSubscribed {
        /// Name of the destination.
        destination: String,
        /// The client id.
        client_id: i16,
    },
    /// An acknowledgement of a batch that the client does not have.
    #[error("client id {client_id} has no batch {batch_id} to acknowledge")]
    AckUnknown {
        /// The client id.
        client_id: i16,
        /// The batch id.
        batch_id: i64,
    },
    /// A rollback of a batch that the client does not have.
    #[error("client id {client_id} has no batch {batch_id} to roll back")]
    RollbackUnknown {
        /// The client id.
        client_id: i16,
        /// The batch id.
        batch_id: i64,
    },
    /// An acknowledgement or rollback of a batch that is not the oldest.
    #[error("batch {batch_id} is not the oldest one, which is {oldest}")]
    NotOldest {
        /// The batch id.
        batch_id: i64,
        /// Id of the oldest batch.
        oldest: i64,
    },
    /// Another connection has subscribed for the same client since.
    #[error(
        "clientId:{client_id} has subscribed again from {subscriber}, {age_ms} ms ago: this connection gets \
         nothing more; connect again to take over"
    )]
    Superseded {
        /// The client id.
        client_id: i16,
        /// Who that is.
        subscriber: Subscriber,
        /// How long ago, in milliseconds.
        age_ms: i64,
    },
    /// Too many batches without an acknowledgement.
    #[error("clientId:{client_id} has {count} batches that are not acknowledged: ack or roll back")]
    TooManyBatches {
        /// The client id.
        client_id: i16,
        /// Its batches.
        count: usize,
    },
    /// Batch ids cannot be reserved: the state cannot be written.
    #[error("no batch id can be given out: the state directory cannot be written ({cause})")]
    NotDurable {
        /// Why.
        cause: String,
    },
    /// A filter that does not compile.
    #[error("filter {0}")]
    Filter(#[from] Arc<FilterError>),
    /// The filters of all clients are too much for a state file.
    #[error(
        "the filters of all clients would take {bytes} bytes in the state of the server, {max} are allowed: \
         use a shorter filter, or unsubscribe clients that nobody uses"
    )]
    TooManyFilters {
        /// What they would take, in bytes.
        bytes: usize,
        /// What they may take, in bytes.
        max: usize,
    },
    /// The filter was not compiled: the engine stops.
    #[error("the filter was not compiled: the server stops")]
    Uncompiled,
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

/// Why an engine cannot start a destination.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The last changes of cursors could not be written: their entries are delivered again.
    #[error(transparent)]
    Cursors(Arc<StateError>),
    /// Entries made elsewhere cannot begin again: neither at another engine's cursor nor after a reload.
    #[error(
        "destination `{destination}` is fed by hand: it cannot be part of a cluster, nor be reloaded"
    )]
    FedByHand {
        /// The name.
        destination: String,
    },
    /// The new settings of a destination do not work. The old ones stay.
    #[error("destination {destination}: {source}; it goes on as it was")]
    Invalid {
        /// The name.
        destination: String,
        /// What is wrong.
        #[source]
        source: Arc<InstanceError>,
    },
    /// The engine has been closed.
    #[error("destination {destination} is not started: the engine stops")]
    Closed {
        /// The name.
        destination: String,
    },
}

impl EngineError {
    /// What the operator can do, where the text does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Invalid { source, .. } => source.hint(),
            Self::State(_) | Self::Cursors(_) | Self::FedByHand { .. } | Self::Closed { .. } => {
                None
            }
        }
    }
}
