//! A client of Canal and Towpath servers that cannot leak a connection.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use towpath_client::Client;
//!
//! let client = Client::builder()
//!     .cluster("zk://zk1,zk2,zk3/otter/canal")? // or .server("127.0.0.1:11111"), or several
//!     .destination("example")
//!     .filter("shop\\..*")
//!     .build()?;
//! let mut connection = client.connect().await?;
//! while let Some(batch) = connection.next().await {
//!     let batch = batch?;
//!     for row in batch.rows()? {
//!         println!("{} {}.{}", row.kind.name(), row.schema, row.table);
//!     }
//!     batch.ack().await?; // or drop it: then it comes again
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` has whole programs: `follow`, `cluster`, `blocking`.
//!
//! A [`Connection`] is one value that owns everything: socket, lock, watches and the task behind it.
//! Dropping it, at any moment, releases all of it. Its life is one enum, [`State`]: it connects, waits
//! (for a server, for its turn, for the next attempt), is active, drains, is closed; [`Status`] tells
//! since when and why. Each attempt builds in a scope of its own, which is dropped as a whole when it
//! fails. An empty cluster is noticed before anything is opened.
//!
//! - [`Client`] holds the settings, one ZooKeeper session for all its connections, and the
//!   [`Health`] of everything that it made.
//! - [`Batch`] is acknowledged by [`Batch::ack`], and given back when it is dropped.
//! - [`blocking`] is the same for programs without an async runtime.
//! - [`Session`] is one bare connection to one server, for those who need just that.
//!
//! In a cluster the client HA lock of Canal's Java client is taken, so that ours and Java clients stand
//! by for each other.
//!
//! Features, both on by default: `cluster` (ZooKeeper), `tls`. Without them a client is one of servers
//! that are named, and pulls in neither.

mod batch;
pub mod blocking;
mod builder;
mod client;
mod connection;
mod error;
mod health;
mod ledger;
mod life;
mod row;
mod session;
mod state;
#[cfg(feature = "tls")]
mod tls;

pub use batch::Batch;
pub use builder::Builder;
pub use client::Client;
pub use connection::Connection;
pub use error::{Cause, ClientError, Recovery};
pub use health::{ConnectionHealth, Health};
pub use row::{Row, RowKind};
pub use session::{Credentials, RawBatch, Session, SessionOptions};
pub use state::{Ending, State, Status, Step, Waiting};
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(feature = "cluster")]
pub use towpath_coordination::ZkStatus;
pub use towpath_protocol::entry::{
    Column, Entry, EntryType, EventType, Header, ReadError, RowChange, RowData,
};

/// Compiles the program in the README, whose other blocks name what they are.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
