//! The same client for programs without an async runtime.
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = towpath_client::Client::builder().server("127.0.0.1:11111").build()?;
//! let mut connection = towpath_client::blocking::Connection::open(&client)?;
//! while let Some(batch) = connection.next() {
//!     let batch = batch?;
//!     println!("{} entries", batch.raw().len());
//!     connection.ack(batch)?;
//! }
//! # Ok(())
//! # }
//! ```

use std::io;

use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use crate::{Batch, Client, ClientError, ConnectionHealth, Status};

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The thread behind it cannot be started.
    #[error("the thread behind the connection cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// As without blocking.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A [`crate::Connection`] with a thread of its own, which keeps the lock while batches are processed.
/// Must not be used inside of an async runtime. Dropping it ends the thread.
#[derive(Debug)]
#[must_use]
pub struct Connection {
    // Dropped before the runtime in which it lives.
    connection: crate::Connection,
    runtime: Runtime,
}

impl Connection {
    /// As [`Client::connect`].
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(client: &Client) -> Result<Self, OpenError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("towpath-client")
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        let connection = runtime.block_on(client.connect())?;
        Ok(Self { connection, runtime })
    }

    /// As [`crate::Connection::next`].
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend itself for acks")]
    pub fn next(&mut self) -> Option<Result<Batch, ClientError>> {
        self.runtime.block_on(self.connection.next())
    }

    /// As [`Batch::ack`].
    ///
    /// # Errors
    /// [`ClientError::Stale`]
    pub fn ack(&self, batch: Batch) -> Result<(), ClientError> {
        self.runtime.block_on(batch.ack())
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> Status {
        self.connection.status()
    }

    /// Its figures.
    #[must_use]
    pub fn health(&self) -> ConnectionHealth {
        self.connection.health()
    }

    /// As [`crate::Connection::close`].
    pub fn close(self) {
        self.runtime.block_on(self.connection.close());
    }
}
