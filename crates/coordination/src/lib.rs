//! Where the cursors of a destination's clients lie, and who may serve a destination.
//!
//! - Alone: [`StateDirectory`], one directory held by one process at a time, with Canal's `meta.dat`
//!   for each destination.
//! - In a cluster: Canal's ZooKeeper tree. [`ZkSession`] is a session, [`Lease`] the right to a
//!   destination, [`Servers`] what a client needs to know, [`ZkCursors`] the cursors there.
//!
//! Either way [`CursorStore`] is the destination's state in memory, and [`CursorWriter`] the task that
//! writes what changes. Nothing here knows the source or entries.

mod cursor;
mod error;
mod local;
mod store;
mod zookeeper;

pub use cursor::{BinlogFile, Client, Cursor, Resume, SourceAddress};
pub use error::StateError;
pub use local::{RecordLog, StateDirectory};
pub use store::{CursorStore, CursorWriter, Written, stored_len};
pub use zookeeper::{
    Contender, Ensemble, Fence, Lease, LeaseLost, NodeWatch, Presence, Running, Servers,
    ServersChanged, Taken, Tree, ZkCursors, ZkError, ZkSession, ZkStatus, ZkUrl,
};
