//! The one task behind a connection: attempt after attempt, each in a scope of its own.

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
use towpath_coordination::{Servers, ZkSession};

use crate::client::Inner;
use crate::connection::Shared;
use crate::state::{Ending, State, Step, Waiting};
use crate::{Batch, ClientError, Recovery};
use tries::Tries;

/// Least pause after a failure, even when the cluster has news.
const LEAST_PAUSE: Duration = Duration::from_millis(200);

/// See the module.
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

    async fn attempt(&self, tries: &mut Tries) -> Outcome {
        let Some(ensemble) = &self.inner.ensemble else {
            return self.through(None, tries).await;
        };
        self.shared.enter(State::Connecting(Step::ZooKeeper));
        let session = match self.stop.run_until_cancelled(ensemble.session()).await {
            None => return Outcome::Stopped,
            Some(Ok(session)) => session,
            Some(Err(error)) => return Outcome::Failed(error.into()),
        };
        let outcome = self.through(Some(&session), tries).await;
        if let Outcome::Failed(error) = &outcome
            && error.ends_zookeeper_session()
        {
            ensemble.give_up(&session).await;
        }
        outcome
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

    /// Waits until the cluster's servers are others than those of the last attempt.
    async fn news(&self, tries: &Tries) {
        if let Some(ensemble) = &self.inner.ensemble
            // Not a new one: that is for the next attempt.
            && let Some(session) = ensemble.current().await
            && let Ok((servers, changed)) = Servers::look(&session, &self.shared.destination).await
        {
            if tries.saw(&servers) {
                changed.wait().await;
            }
            return;
        }
        // Nobody to ask, or no answer.
        std::future::pending::<()>().await;
    }
}
