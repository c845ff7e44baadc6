//! Who serves a destination: a lease on its `running` node, and all that goes with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use towpath_coordination::{
    Contender, Lease, LeaseLost, Presence, Running, SourceAddress, StateError, Taken, ZkCursors,
    ZkError, ZkSession,
};
use towpath_entry::TableFilter;
use towpath_protocol::Backoff;

use super::pause;
use super::term::{STEP_DEADLINE, Term};
use crate::config::InstanceConfig;
use crate::destination::Destination;
use crate::error::{InstanceError, ServerError};
use crate::instance::{Feed, SourceFeed};
use crate::slot::{Role, Slot};
use crate::store::StoreOptions;

/// Time that clients have at a hand-over to acknowledge what they have.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// Pause after a lost lease or a lost link: others may want it.
const AGAIN: Duration = Duration::from_millis(500);

/// Shortest and longest pause before a destination is tried again that could not be served.
const FAILURE_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A destination that this server can serve.
#[derive(Debug)]
pub(crate) struct Member {
    slot: Arc<Slot>,
    source: SourceAddress,
    store: StoreOptions,
    filter: TableFilter,
    feed: SourceFeed,
    failures: Backoff,
    /// Whether a `running` node with our address can only be that of an earlier process.
    is_first: bool,
}

/// How a term ended.
enum Ending {
    /// The server leaves.
    Leaving,
    Lost(LeaseLost),
    Failed(Arc<InstanceError>),
}

impl Ending {
    /// Something failed. For want of ZooKeeper, or of the lease, that is no failure of the destination: it would
    /// be tried again after a minute, and clients would be told of it.
    fn of(cause: Arc<InstanceError>) -> Self {
        if let InstanceError::State(error) = cause.as_ref()
            && let StateError::ZooKeeper(error) = error.as_ref()
            && error.is_passing()
        {
            return Self::Lost(LeaseLost::Session(error.clone()));
        }
        Self::Failed(cause)
    }
}

impl Member {
    pub(crate) fn new(slot: Arc<Slot>, config: InstanceConfig) -> Result<Self, ServerError> {
        let InstanceConfig { destination, address, store, filter, feed } = config;
        let Feed::Source(feed) = feed else { return Err(ServerError::FedByHand { destination }) };
        Ok(Self {
            slot,
            source: address,
            store,
            filter,
            feed: *feed,
            failures: Backoff::new(FAILURE_PAUSES.0, FAILURE_PAUSES.1),
            is_first: true,
        })
    }

    /// Stands for election and serves when elected, until told to leave or the session is over.
    pub(crate) async fn run(
        mut self,
        session: ZkSession,
        address: String,
        leave: CancellationToken,
    ) -> Self {
        let result = self.stand(&session, &address, &leave).await;
        self.slot.set(Role::Standby);
        if let Err(error) = result {
            tracing::warn!(destination = self.slot.name(), %error, "election ended");
        }
        self
    }

    async fn stand(
        &mut self,
        session: &ZkSession,
        address: &str,
        leave: &CancellationToken,
    ) -> Result<(), ZkError> {
        let node = format!("{}/{address}", session.tree().cluster(self.slot.name()));
        let registering = Presence::register(session, node);
        let Some(presence) = leave.run_until_cancelled(registering).await.transpose()? else {
            return Ok(());
        };
        let terms = async {
            while !leave.is_cancelled() {
                self.term(session, address, leave).await;
            }
        };
        // Keeping the node ends with the session, which the cluster sees, too.
        tokio::join!(terms, leave.run_until_cancelled(presence.keep()));
        presence.remove().await
    }

    /// One attempt: stands by while another serves, or serves.
    async fn term(&mut self, session: &ZkSession, address: &str, leave: &CancellationToken) {
        let contender = Contender {
            session: session.clone(),
            path: session.tree().running(self.slot.name()),
            payload: Running { active: true, address: address.to_owned(), client_id: None },
            replaces_own_address: self.is_first,
        };
        let contended = leave.run_until_cancelled(contender.contend()).await;
        let lease = match contended {
            None => return,
            Some(Ok(Ok(lease))) => lease,
            Some(Ok(Err(taken))) => return self.stand_by(taken, leave).await,
            Some(Err(error)) => {
                tracing::warn!(destination = self.slot.name(), %error, "cannot stand for election");
                leave.run_until_cancelled(sleep(AGAIN)).await;
                return;
            }
        };
        self.is_first = false;
        let began = Instant::now();
        let ending = self.serve(lease, leave).await;
        if began.elapsed() > FAILURE_PAUSES.1 * 2 {
            self.failures.reset();
        }
        match ending {
            Ending::Leaving => {}
            Ending::Lost(reason) => {
                tracing::warn!(destination = self.slot.name(), %reason, "not active any more");
                leave.run_until_cancelled(sleep(AGAIN)).await;
            }
            Ending::Failed(cause) => {
                tracing::error!(
                    destination = self.slot.name(),
                    error = %cause,
                    "cannot be served here, others may try"
                );
                pause(&mut self.failures, leave).await;
            }
        }
    }

    async fn stand_by(&mut self, taken: Taken, leave: &CancellationToken) {
        self.is_first = false;
        self.slot.set(Role::Standby);
        let owner = taken.owner.map(|owner| owner.address);
        tracing::info!(destination = self.slot.name(), owner, "standing by");
        leave.run_until_cancelled(taken.changed.fired()).await;
    }

    /// Serves while the lease holds, and hands over.
    async fn serve(&self, lease: Lease, leave: &CancellationToken) -> Ending {
        let name = self.slot.name();
        let fence = lease.fence();
        let epoch = fence.epoch();
        let opening = ZkCursors::open(lease.session(), name, self.source.clone(), fence.clone());
        let opened = tokio::select! {
            opened = opening => opened.map_err(|e| InstanceError::State(Arc::new(e))),
            lost = lease.lost() => return self.end(lease, Ending::Lost(lost)).await,
            () = leave.cancelled() => return self.end(lease, Ending::Leaving).await,
        };
        let (cursors, writer) = match opened {
            Ok(opened) => opened,
            // Going on without them would lose changes.
            Err(error) => return self.end(lease, Ending::of(Arc::new(error))).await,
        };
        let (store, filter) = (self.store, self.filter.clone());
        let destination = Arc::new(Destination::new(name, store, filter, cursors, Some(fence)));
        let mut term = Term::start(Arc::clone(&destination), &self.feed, writer);
        self.slot.set(Role::Active(destination));
        tracing::info!(destination = name, epoch, "active");
        let ending = tokio::select! {
            lost = lease.lost() => Ending::Lost(lost),
            cause = term.failed() => Ending::of(cause),
            () = leave.cancelled() => Ending::Leaving,
        };
        match &ending {
            Ending::Lost(_) => term.abort().await,
            Ending::Failed(_) => term.hand_over(Duration::ZERO).await,
            Ending::Leaving => term.hand_over(DRAIN_PATIENCE).await,
        }
        self.end(lease, ending).await
    }

    /// Gives the node up, as the last thing.
    async fn end(&self, lease: Lease, ending: Ending) -> Ending {
        let destination = self.slot.name();
        self.slot.set(match &ending {
            Ending::Failed(cause) => Role::Failed(Arc::clone(cause)),
            Ending::Lost(_) | Ending::Leaving => Role::Standby,
        });
        match timeout(STEP_DEADLINE, lease.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(destination, %error, "goes with the session"),
            Err(_) => {
                tracing::warn!(destination, "no answer from ZooKeeper: goes with the session");
            }
        }
        ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_want_of_the_lease_is_no_failure_of_the_destination() {
        let of = |error: ZkError| {
            Ending::of(Arc::new(InstanceError::State(Arc::new(StateError::ZooKeeper(error)))))
        };
        let path = || "/running".to_owned();
        assert!(matches!(of(ZkError::Fenced { path: path() }), Ending::Lost(_)));
        let (data, reason) = ("x".to_owned(), "no JSON".to_owned());
        let payload = ZkError::Payload { path: path(), data, reason };
        assert!(matches!(of(payload), Ending::Failed(_)));
        let ended = Ending::of(Arc::new(InstanceError::Task("it panicked".to_owned())));
        assert!(matches!(ended, Ending::Failed(_)));
    }
}
