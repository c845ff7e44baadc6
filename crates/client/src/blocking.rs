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
use std::time::Duration;

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

/// Time for what the thread has under way when it ends; looking up a host's name cannot be interrupted.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// A [`crate::Connection`] with a thread of its own, which keeps the lock while batches are processed.
/// Must not be used inside of an async runtime. Dropping it ends the thread.
#[derive(Debug)]
#[must_use]
pub struct Connection {
    // Dropped before the runtime in which it lives.
    connection: crate::Connection,
    thread: Thread,
}

/// The runtime with its one thread.
#[derive(Debug)]
struct Thread(Option<Runtime>);

impl Thread {
    fn start() -> Result<Self, OpenError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("towpath-client")
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        Ok(Self(Some(runtime)))
    }

    fn wait_for<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        // It is there until it is dropped.
        self.0.as_ref().map(|runtime| runtime.block_on(future))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(END_DEADLINE);
        }
    }
}

impl Connection {
    /// As [`Client::connect`].
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(client: &Client) -> Result<Self, OpenError> {
        let thread = Thread::start()?;
        let gone = || ClientError::Closed { address: "the client's thread".to_owned() };
        let client = client.for_another_runtime();
        let connection = thread.wait_for(client.connect()).ok_or_else(gone)??;
        Ok(Self { connection, thread })
    }

    /// As [`crate::Connection::next`].
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend itself for acks")]
    pub fn next(&mut self) -> Option<Result<Batch, ClientError>> {
        self.thread.wait_for(self.connection.next())?
    }

    /// As [`Batch::ack`].
    ///
    /// # Errors
    /// [`ClientError::Stale`]
    pub fn ack(&self, batch: Batch) -> Result<(), ClientError> {
        let batch_id = batch.id();
        self.thread.wait_for(batch.ack()).unwrap_or(Err(ClientError::Stale { batch_id }))
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
        let Self { connection, thread } = self;
        // Nothing: it is closed either way.
        let _closed: Option<()> = thread.wait_for(connection.close());
    }
}
