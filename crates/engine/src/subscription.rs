//! How something takes the entries of a destination.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::destination::{Batch, Destination, Reader};
use crate::error::DestinationError;

/// Time for a change of the state to reach the disk.
const DURABLE_DEADLINE: Duration = Duration::from_secs(5);

/// How often it is looked whether a batch id is on disk.
const RESERVATION_POLL: Duration = Duration::from_millis(5);

/// Who subscribes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscriber {
    /// A connection from there. What it has taken stays with its client id when it goes, as in Canal: the
    /// client acknowledges it, or gives it back, over its next one.
    Connection(SocketAddr),
    /// A part of this process, by a name for people. What it has taken and not acknowledged comes again when
    /// its subscription is dropped.
    Worker(Arc<str>),
}

impl Display for Subscriber {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(peer) => peer.fmt(f),
            Self::Worker(name) => name.fmt(f),
        }
    }
}

/// How long a batch is waited for when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Not,
    /// Until then.
    Until(Instant),
    /// For ever.
    Unlimited,
}

/// What is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollBack {
    /// All that is not acknowledged.
    All,
    /// The oldest batch, which has this id, and with it every younger one.
    From(i64),
}

/// A client id's place in a destination. It belongs to one term: when another engine serves the destination,
/// or this one serves it anew, every call says so, and [`crate::Engine::subscribe`] gives another one.
#[derive(Debug)]
pub struct Subscription {
    destination: Arc<Destination>,
    client_id: i16,
    /// Absent where another connection has subscribed for this one.
    reader: Option<Reader>,
}

impl Subscription {
    pub(crate) const fn new(
        destination: Arc<Destination>,
        client_id: i16,
        reader: Option<Reader>,
    ) -> Self {
        Self { destination, client_id, reader }
    }

    /// Name of the destination.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.destination.name()
    }

    /// What the subscription is to others of the same client id: for [`crate::Engine::attach`].
    #[must_use]
    pub const fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The next batch, of about `fetch_size` units of the store (see [`crate::BatchMode`]). `None` when there
    /// is nothing in time. Dropping the future takes nothing.
    ///
    /// # Errors
    /// [`DestinationError`]; when batch ids cannot be reserved on disk, after five seconds.
    pub async fn next(
        &mut self,
        fetch_size: i32,
        wait: Wait,
    ) -> Result<Option<Batch>, DestinationError> {
        let patience = Instant::now() + DURABLE_DEADLINE;
        loop {
            let mut entries = pin!(self.destination.entries().notified());
            entries.as_mut().enable();
            match self.destination.get((self.client_id, self.reader.as_ref()), fetch_size) {
                Ok(None) if wait != Wait::Not => {}
                // Batch ids are being reserved on disk, as after a restart: gives that a moment.
                Err(DestinationError::NotDurable { .. }) if Instant::now() < patience => {
                    sleep(RESERVATION_POLL).await;
                    continue;
                }
                result => return result,
            }
            tokio::select! {
                () = entries => {}
                () = expiry(wait) => return Ok(None),
            }
        }
    }

    /// Its oldest batch has been processed: it never comes again.
    ///
    /// # Errors
    /// [`DestinationError`]
    pub fn ack(&mut self, batch_id: i64) -> Result<(), DestinationError> {
        self.destination.ack(self.client_id, batch_id)
    }

    /// What is not acknowledged comes again.
    ///
    /// # Errors
    /// [`DestinationError`]; never for [`RollBack::All`].
    pub fn roll_back(&mut self, what: RollBack) -> Result<(), DestinationError> {
        match what {
            RollBack::All => {
                self.destination.rollback_all(self.client_id);
                Ok(())
            }
            RollBack::From(batch_id) => self.destination.rollback(self.client_id, batch_id),
        }
    }

    /// The batch could not be delivered: its entries come again, if nothing was taken since.
    pub fn take_back(&mut self, batch_id: i64) {
        self.destination.take_back(self.client_id, batch_id);
    }

    /// Forgets the client id, with all that is known of it.
    ///
    /// # Errors
    /// [`DestinationError`]
    pub async fn unsubscribe(self) -> Result<(), DestinationError> {
        let change = self.destination.unsubscribe(self.client_id)?;
        durable(&self.destination, change).await
    }

    /// Whether another one has subscribed for the same client id since.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.destination.is_taken(self.client_id, self.reader.as_ref())
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// [`DestinationError::NotServed`], [`DestinationError::Failed`]
    pub fn check_served(&self) -> Result<(), DestinationError> {
        self.destination.check_started()
    }

    /// Waits until the destination is not served here any more.
    pub async fn fenced(&self) {
        self.destination.fenced().await;
    }

    /// Whether another engine may serve the destination by now.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.destination.is_fenced()
    }

    /// Number of the lease under which it is served, in a cluster.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        self.destination.epoch()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let is_worker = self
            .reader
            .as_ref()
            .is_some_and(|reader| matches!(reader.subscriber, Subscriber::Worker(_)));
        if is_worker && !self.is_taken() {
            self.destination.rollback_all(self.client_id);
        }
    }
}

/// Waits until a change is on disk.
pub(crate) async fn durable(
    destination: &Destination,
    change: u64,
) -> Result<(), DestinationError> {
    let mut written = destination.written();
    let reached = async { written.wait_for(|written| written.generation >= change).await.is_ok() };
    if timeout(DURABLE_DEADLINE, reached).await.unwrap_or(false) {
        return Ok(());
    }
    let error = destination.written().borrow().error.clone();
    let cause = error.map_or_else(|| "too slow".to_owned(), |error| error.to_string());
    Err(DestinationError::NotDurable { cause })
}

async fn expiry(wait: Wait) {
    match wait {
        Wait::Until(deadline) => sleep_until(deadline).await,
        Wait::Not | Wait::Unlimited => std::future::pending().await,
    }
}
