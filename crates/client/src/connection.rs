//! The connection as its user holds it, and what it shares with the task behind it.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use futures_core::Stream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::health::{ConnectionHealth, Registered};
use crate::ledger::Ledger;
use crate::state::{Ending, State, Status, Waiting};
use crate::{Batch, ClientError};

/// Time in which everything of a connection ends.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// What a connection, its task and its batches share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) destination: String,
    pub(crate) client_id: i16,
    status: watch::Sender<Status>,
    ledger: Mutex<Ledger>,
    /// Reported when the user has decided something about a batch.
    pub(crate) work: Notify,
    batches: AtomicU64,
    entries: AtomicU64,
    /// Time of the latest entry at the source, milliseconds since 1970.
    latest_ms: AtomicI64,
}

impl Shared {
    pub(crate) fn new(destination: &str, client_id: i16) -> Self {
        Self {
            destination: destination.to_owned(),
            client_id,
            status: watch::Sender::new(Status::new()),
            ledger: Mutex::default(),
            work: Notify::new(),
            batches: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            latest_ms: AtomicI64::new(0),
        }
    }

    pub(crate) fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(crate) fn enter(&self, state: State) {
        let destination = self.destination.as_str();
        self.status.send_if_modified(|status| {
            // The end is the end.
            if matches!(status.state, State::Closed(_)) {
                return false;
            }
            let from = status.state.name();
            tracing::debug!(destination, from, to = state.name(), "connection changed state");
            status.state = state;
            status.since = SystemTime::now();
            status.entered = Instant::now();
            true
        });
    }

    /// An attempt, or the active time after it, ended.
    pub(crate) fn failed(&self, error: &ClientError) {
        // Told with the state that follows at once.
        self.status.send_if_modified(|status| {
            let was_active = matches!(status.state, State::Active { .. });
            status.attempt = if was_active { 1 } else { status.attempt + 1 };
            status.last_failure = Some(error.clone());
            false
        });
    }

    pub(crate) fn came(&self, entry_count: usize, latest_ms: Option<i64>) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(entry_count).unwrap_or(u64::MAX);
        self.entries.fetch_add(count, Ordering::Relaxed);
        if let Some(ms) = latest_ms {
            self.latest_ms.store(ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn health(&self) -> ConnectionHealth {
        let (unacked_batches, unacked_bytes) =
            self.ledger(|ledger| (ledger.count(), ledger.bytes()));
        let latest = u64::try_from(self.latest_ms.load(Ordering::Relaxed)).unwrap_or(0);
        ConnectionHealth {
            destination: self.destination.clone(),
            client_id: self.client_id,
            status: self.status(),
            unacked_batches,
            unacked_bytes,
            batches: self.batches.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            latest: (latest > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(latest)),
        }
    }
}

/// A client's connection to a destination, through all reconnects. Yields [`Batch`]es; as a [`Stream`],
/// too. Dropping it releases everything; [`Self::close`] does so in order.
#[derive(Debug)]
#[must_use]
pub struct Connection {
    shared: Arc<Shared>,
    batches: mpsc::Receiver<Batch>,
    stop: CancellationToken,
    task: JoinSet<()>,
    end: End,
    _registered: Registered,
}

/// Whether the user knows how it ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Unsaid,
    Said,
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        batches: mpsc::Receiver<Batch>,
        stop: CancellationToken,
        task: JoinSet<()>,
        registered: Registered,
    ) -> Self {
        Self { shared, batches, stop, task, end: End::Unsaid, _registered: registered }
    }

    /// The next batch. `None` when the connection is closed; before that its error, if it failed.
    /// Reconnects do not show here: what was not acknowledged comes again. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Batch, ClientError>> {
        std::future::poll_fn(|context| self.poll_batch(context)).await
    }

    fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Batch, ClientError>>> {
        loop {
            match ready!(self.batches.poll_recv(context)) {
                Some(batch) if batch.is_current() => return Poll::Ready(Some(Ok(batch))),
                // It comes again.
                Some(stale) => stale.give_back(),
                None => break,
            }
        }
        if std::mem::replace(&mut self.end, End::Said) == End::Said {
            return Poll::Ready(None);
        }
        Poll::Ready(match self.shared.status().state {
            State::Closed(Ending::Failed(error)) => Some(Err(error)),
            State::Closed(Ending::Closed)
            | State::Connecting(_)
            | State::Waiting(_)
            | State::Active { .. }
            | State::Draining => None,
        })
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Its states as they come, to wait on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Its figures.
    #[must_use]
    pub fn health(&self) -> ConnectionHealth {
        self.shared.health()
    }

    /// Waits until it is active, for `patience` at most beyond what a step that is under way takes.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Why it is not: [`ClientError::NoServer`], [`ClientError::Standby`], the last attempt's error.
    pub async fn active(&self, patience: Duration) -> Result<(), ClientError> {
        let mut changes = self.changes();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let status = changes.borrow_and_update().clone();
            let (destination, since) = (self.shared.destination.clone(), status.since);
            let why = match status.state {
                State::Active { .. } => return Ok(()),
                State::Connecting(_) => None,
                State::Waiting(Waiting::NoServer { cluster_nodes, garbage }) => {
                    Some(ClientError::NoServer { destination, since, cluster_nodes, garbage })
                }
                State::Waiting(Waiting::Standby { owner }) => {
                    let client_id = self.shared.client_id;
                    Some(ClientError::Standby { destination, client_id, owner, since })
                }
                State::Waiting(Waiting::Retry { cause, .. }) => Some(cause),
                State::Closed(Ending::Failed(error)) => return Err(error),
                State::Draining | State::Closed(Ending::Closed) => {
                    return Err(ClientError::Closed { address: destination });
                }
            };
            let changed = changes.changed();
            match why {
                // Each step has a deadline of its own.
                None => drop(changed.await),
                Some(why) => tokio::select! {
                    _ = changed => {}
                    () = sleep_until(deadline) => return Err(why),
                },
            }
        }
    }

    /// Sends the acks that are due, gives the rest back, releases the lock, closes the socket; whatever
    /// of it is not done within a second is dropped.
    pub async fn close(mut self) {
        self.stop.cancel();
        let _in_time: bool = timeout(CLOSE_DEADLINE, self.task.join_next()).await.is_ok();
        self.task.shutdown().await;
    }
}

impl Stream for Connection {
    type Item = Result<Batch, ClientError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_batch(context)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort_all();
        self.shared.ledger(Ledger::void);
        self.shared.enter(State::Closed(Ending::Closed));
    }
}
