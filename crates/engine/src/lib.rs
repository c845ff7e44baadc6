//! Everything between a source of row changes and those who consume them, without packets, HTTP or Canal's
//! sentences.
//!
//! An [`Engine`] holds destinations, which come, change and go while the others run. The instance of a
//! destination feeds a store with entries; a [`Subscription`] takes them out in batches and moves the cursor
//! when a batch is acknowledged: what a session, a queue and a target hold alike. A destination that fails is
//! tried again and again.
//!
//! In a cluster a destination is served by the one engine that holds its lease in ZooKeeper; the others stand
//! by. An engine that is alone is a cluster of one, whose leases never end.

mod cluster;
mod config;
mod destination;
mod engine;
mod entry_len;
mod error;
mod figures;
mod history;
mod instance;
mod life;
mod look;
mod problem;
mod slot;
mod store;
mod subscription;
mod term;

pub use config::{ClusterConfig, DestinationConfig, EngineConfig};
pub use destination::{
    Batch, ClientLook, InstanceHealth, InstanceState, InstanceStatus, Look, Reader, Stage,
    StoreLook,
};
pub use engine::Engine;
pub use error::{DestinationError, EngineError, InstanceError};
pub use figures::{Amount, Figures, Reading};
pub use instance::{Feed, SourceFeed};
pub use look::{ActiveLook, DestinationLook, Fitness, RoleLook};
pub use problem::{Problem, ProblemKind};
pub use slot::Trouble;
pub use store::{BatchMode, DEFAULT_CAPACITY_BYTES, DdlIsolation, StoreOptions, UNIT_BYTES};
pub use subscription::{RollBack, Subscriber, Subscription, Wait};
pub use towpath_source::Contact;
