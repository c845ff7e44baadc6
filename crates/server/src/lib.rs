//! The server: sources in, Canal's client protocol out.
//!
//! An instance feeds a store with entries; sessions hand them to clients in batches and move the
//! cursor when a batch is acknowledged. It does not know how events are parsed.
//!
//! In a cluster ([`ClusterConfig`]) a destination is served by the one server that holds its lease in
//! ZooKeeper; the others stand by.
//!
//! [`Server::bind`] takes the port and the state directory, [`Server::run`] does the rest until it is
//! told to stop. Every task belongs to a set that `run` owns.

mod cluster;
mod config;
mod destination;
mod entry_len;
mod error;
mod figures;
mod history;
mod instance;
mod server;
mod session;
mod slot;
mod status;
mod store;

pub use config::{ClusterConfig, Credentials, InstanceConfig, ServerConfig};
pub use destination::{InstanceHealth, InstanceState, InstanceStatus, Stage};
pub use error::{InstanceError, ServerError};
pub use instance::{Feed, SourceFeed};
pub use server::Server;
pub use status::Observer;
pub use store::{BatchMode, DEFAULT_CAPACITY_BYTES, DdlIsolation, StoreOptions};
