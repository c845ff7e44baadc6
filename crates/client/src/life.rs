//! The one task behind a connection: attempt after attempt, each in a scope of its own.

#[cfg(not(feature = "cluster"))]
mod alone;
#[cfg(feature = "cluster")]
mod cluster;
mod open;
mod pace;
mod serve;
mod tries;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::client::Inner;
use crate::connection::Shared;
use crate::state::{Ending, State, Waiting};
use crate::{Batch, ClientError, Recovery};
#[cfg(not(feature = "cluster"))]
use alone::{Fence, InCluster, ZkSession};
#[cfg(feature = "cluster")]
use cluster::{Fence, InCluster, ZkSession};
use tries::Tries;

/// Least pause after a failure, even when the cluster has news.
const LEAST_PAUSE: Duration = Duration::from_millis(200);

/// See the module. What it does in a cluster is in `cluster`, and in `alone` where there is none.
#[derive(Debug)]
pub(crate) struct Life {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
    batches: mpsc::Sender<Batch>,
    stop: CancellationToken,
}

/// How an attempt, and the active time it led to, ended.
enum Outcome {
    /// The connection is being closed.
    Stopped,
    Failed(ClientError),
}

impl Life {
    pub(crate) const fn new(
        inner: Arc<Inner>,
        shared: Arc<Shared>,
        batches: mpsc::Sender<Batch>,
        stop: CancellationToken,
    ) -> Self {
        Self { inner, shared, batches, stop }
    }

    /// Lives until it is told to stop, or cannot go on. Dropping the future releases everything.
    pub(crate) async fn run(self) {
        let mut tries = Tries::new(&self.inner.config);
        let ending = loop {
            self.inner.totals.attempts.fetch_add(1, Ordering::Relaxed);
            // All that it opened is dropped when it returns.
            let error = match self.attempt(&mut tries).await {
                Outcome::Stopped => break Ending::Closed,
                Outcome::Failed(error) => error,
            };
            self.shared.ledger(crate::ledger::Ledger::void);
            self.inner.totals.failed(&error);
            self.shared.failed(&error);
            tries.failed(&self.shared, &error);
            let end = tries.end(self.inner.config.give_up);
            if error.recovery() == Recovery::Stop || end.is_some_and(|end| end <= Instant::now()) {
                break Ending::Failed(error);
            }
            let pause = tries.pause();
            self.shared.enter(State::Waiting(Waiting::Retry { cause: error, pause }));
            if self.stop.run_until_cancelled(self.pause(pause, &tries)).await.is_none() {
                break Ending::Closed;
            }
        };
        self.shared.enter(State::Closed(ending));
    }

    async fn through(&self, session: Option<&ZkSession>, tries: &mut Tries) -> Outcome {
        match self.stop.run_until_cancelled(self.open(session, tries)).await {
            None => Outcome::Stopped,
            Some(Err(error)) => Outcome::Failed(error),
            Some(Ok(open)) => {
                self.inner.totals.activations.fetch_add(1, Ordering::Relaxed);
                tries.opened();
                self.serve(open).await
            }
        }
    }

    /// Waits for the next attempt: a shorter time when the cluster says something new.
    async fn pause(&self, pause: Duration, tries: &Tries) {
        sleep(pause.min(LEAST_PAUSE)).await;
        tokio::select! {
            () = sleep(pause.saturating_sub(LEAST_PAUSE)) => {}
            () = self.news(tries) => {}
        }
    }
}
