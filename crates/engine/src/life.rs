//! One destination's life in an engine: term after term, until it is told to leave. An engine that is alone
//! serves in every term; in a cluster the one that holds the lease on the destination's `running` node does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use towpath_coordination::{
    Contender, CursorStore, CursorWriter, Fence, Lease, LeaseLost, Presence, RecordLog, Running,
    SourceAddress, StateDirectory, StateError, Taken, ZkCursors, ZkError,
};
use towpath_protocol::Backoff;

use crate::cluster::Joined;
use crate::config::Plan;
use crate::destination::{Destination, InstanceState};
use crate::error::InstanceError;
use crate::slot::{Role, Slot};
use crate::term::Term;

/// Time that clients have at a hand-over to acknowledge what they have.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// Time for each step of a hand-over in a cluster, where another server waits for it.
const STEP_DEADLINE: Duration = Duration::from_secs(1);

/// Time to write the last cursors to the state directory.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// Pause after a lost lease or a lost link: others may want it.
const AGAIN: Duration = Duration::from_millis(500);

/// Shortest and longest pause before a destination is tried again that has failed.
const FAILURE_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a destination that has failed must read until it is taken as healed.
const HEALED: Duration = Duration::from_secs(5);

/// A destination that has failed, and why.
pub(crate) type Failure = (String, Arc<InstanceError>);

/// What a term needs of the place where the state lies.
#[derive(Debug)]
pub(crate) struct Opened {
    cursors: CursorStore,
    writer: CursorWriter,
    history: Option<RecordLog>,
}

impl Opened {
    /// Of a folder of this machine, for the first term.
    pub(crate) fn first(
        directory: &StateDirectory,
        name: &str,
        address: &SourceAddress,
    ) -> Result<Self, StateError> {
        let (cursors, writer) = directory.destination(name, address.clone())?;
        Ok(Self { cursors, writer, history: Some(directory.history(name)?) })
    }

    /// The same for a later one.
    fn again(
        directory: &StateDirectory,
        name: &str,
        address: &SourceAddress,
    ) -> Result<Self, StateError> {
        let (cursors, writer) = directory.destination_again(name, address.clone())?;
        Ok(Self { cursors, writer, history: Some(directory.history(name)?) })
    }
}

/// Where the state of a destination lies, and with it who may serve it.
#[derive(Debug)]
pub(crate) enum Place {
    Alone {
        directory: StateDirectory,
        /// What the first term begins with.
        opened: Option<Opened>,
        /// Cancelled when the whole engine ends: no client is there any more to wait for.
        closing: CancellationToken,
    },
    Cluster {
        joined: watch::Receiver<Option<Joined>>,
        /// `host:port` of this server.
        address: String,
    },
}

/// The right to serve a destination: without end where the engine is alone.
enum Tenure<'a> {
    Alone { directory: &'a StateDirectory, closing: &'a CancellationToken },
    Lease(Lease),
}

impl Tenure<'_> {
    fn fence(&self) -> Option<Fence> {
        match self {
            Self::Alone { .. } => None,
            Self::Lease(lease) => Some(lease.fence()),
        }
    }

    /// Waits until the right is gone.
    async fn lost(&self) -> LeaseLost {
        match self {
            Self::Alone { .. } => std::future::pending().await,
            Self::Lease(lease) => lease.lost().await,
        }
    }

    async fn open(&self, name: &str, address: &SourceAddress) -> Result<Opened, StateError> {
        match self {
            Self::Alone { directory, .. } => Opened::again(directory, name, address),
            Self::Lease(lease) => {
                let opening =
                    ZkCursors::open(lease.session(), name, address.clone(), lease.fence());
                let (cursors, writer) = opening.await?;
                Ok(Opened { cursors, writer, history: None })
            }
        }
    }

    /// How long clients are waited for at a hand-over.
    fn patience(&self) -> Duration {
        match self {
            Self::Alone { closing, .. } if closing.is_cancelled() => Duration::ZERO,
            Self::Alone { .. } | Self::Lease(_) => DRAIN_PATIENCE,
        }
    }

    const fn deadline(&self) -> Duration {
        match self {
            Self::Alone { .. } => WRITE_DEADLINE,
            Self::Lease(_) => STEP_DEADLINE,
        }
    }
}

/// How serving ended.
enum Ending {
    /// Told to leave; whether the last cursors are written.
    Leaving(Result<(), Arc<StateError>>),
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

/// Why a term ends.
enum Event {
    Leaving,
    Reloaded,
    Lost(LeaseLost),
    Failed(Arc<InstanceError>),
}

/// A destination, and what its terms need. See the module.
#[derive(Debug)]
pub(crate) struct Life {
    slot: Arc<Slot>,
    /// Its settings as they change.
    plans: watch::Receiver<Arc<Plan>>,
    place: Place,
    /// Told of each failure.
    failed: watch::Sender<Option<Failure>>,
    pauses: Backoff,
    /// Whether a `running` node with our address can only be that of an earlier process.
    is_first: bool,
}

impl Life {
    pub(crate) fn new(
        slot: Arc<Slot>,
        plans: watch::Receiver<Arc<Plan>>,
        place: Place,
        failed: watch::Sender<Option<Failure>>,
    ) -> Self {
        let pauses = Backoff::new(FAILURE_PAUSES.0, FAILURE_PAUSES.1);
        Self { slot, plans, place, failed, pauses, is_first: true }
    }

    /// Lives until told to leave. Dropping the future ends everything at once.
    ///
    /// # Errors
    /// When the last cursors are not written: their entries are delivered again.
    pub(crate) async fn run(mut self, leave: CancellationToken) -> Result<(), Arc<StateError>> {
        let mut written = Ok(());
        while !leave.is_cancelled() {
            written = match &mut self.place {
                Place::Alone { directory, opened, closing } => {
                    let (directory, closing) = (directory.clone(), closing.clone());
                    let opened = opened.take();
                    let tenure = Tenure::Alone { directory: &directory, closing: &closing };
                    let ending = self.serve(&tenure, opened, &leave).await;
                    self.show(&ending);
                    self.rest(ending, &leave).await
                }
                Place::Cluster { joined, address } => {
                    let (mut joined, address) = (joined.clone(), address.clone());
                    self.join(&mut joined, &address, &leave).await;
                    Ok(())
                }
            };
        }
        self.slot.set(Role::Standby);
        written
    }

    /// Takes part in the session of the moment, to its end.
    async fn join(
        &mut self,
        joined: &mut watch::Receiver<Option<Joined>>,
        address: &str,
        leave: &CancellationToken,
    ) {
        let session = leave.run_until_cancelled(joined.wait_for(Option::is_some)).await;
        // An error would mean that the engine has ended.
        let Some(Ok(session)) = session.map(|found| found.map(|session| session.clone())) else {
            return leave.cancelled().await;
        };
        let Some(session) = session else { return };
        let until = leave.child_token();
        let result = {
            let mut standing = std::pin::pin!(self.stand(&session, address, &until));
            tokio::select! {
                result = &mut standing => result,
                () = session.over.cancelled() => {
                    until.cancel();
                    standing.await
                }
            }
        };
        self.slot.set(Role::Standby);
        if let Err(error) = result {
            tracing::warn!(destination = self.slot.name(), %error, "election ended");
        }
        let over = session.over.clone();
        drop(session);
        if !over.is_cancelled() {
            leave.run_until_cancelled(sleep(AGAIN)).await;
        }
    }

    /// Stands for election and serves when elected.
    async fn stand(
        &mut self,
        joined: &Joined,
        address: &str,
        leave: &CancellationToken,
    ) -> Result<(), ZkError> {
        let session = &joined.session;
        let node = format!("{}/{address}", session.tree().cluster(self.slot.name()));
        let registering = Presence::register(session, node);
        let Some(presence) = leave.run_until_cancelled(registering).await.transpose()? else {
            return Ok(());
        };
        let terms = async {
            while !leave.is_cancelled() {
                self.contend(joined, address, leave).await;
            }
        };
        // Keeping the node ends with the session, which the cluster sees, too.
        tokio::join!(terms, leave.run_until_cancelled(presence.keep()));
        presence.remove().await
    }

    /// One attempt: stands by while another serves, or serves.
    async fn contend(&mut self, joined: &Joined, address: &str, leave: &CancellationToken) {
        let session = &joined.session;
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
        let tenure = Tenure::Lease(lease);
        let ending = self.serve(&tenure, None, leave).await;
        self.show(&ending);
        if let Tenure::Lease(lease) = tenure {
            self.release(lease).await;
        }
        // What is not written there is told in the log.
        let _told: bool = self.rest(ending, leave).await.is_ok();
    }

    async fn stand_by(&mut self, taken: Taken, leave: &CancellationToken) {
        self.is_first = false;
        self.slot.set(Role::Standby);
        let owner = taken.owner.map(|owner| owner.address);
        tracing::info!(destination = self.slot.name(), owner, "standing by");
        leave.run_until_cancelled(taken.changed.fired()).await;
    }

    /// Gives the node up, as the last thing.
    async fn release(&self, lease: Lease) {
        let destination = self.slot.name();
        match timeout(STEP_DEADLINE, lease.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(destination, %error, "goes with the session"),
            Err(_) => {
                tracing::warn!(destination, "no answer from ZooKeeper: goes with the session");
            }
        }
    }

    /// Serves while the tenure holds, and hands over. New settings begin a new term.
    async fn serve(
        &mut self,
        tenure: &Tenure<'_>,
        mut opened: Option<Opened>,
        leave: &CancellationToken,
    ) -> Ending {
        let slot = Arc::clone(&self.slot);
        slot.attempt();
        loop {
            let plan = Arc::clone(&self.plans.borrow_and_update());
            let opening = async {
                match opened.take() {
                    Some(opened) => Ok(opened),
                    None => tenure.open(slot.name(), &plan.address).await,
                }
            };
            let opened = tokio::select! {
                opened = opening => opened,
                lost = tenure.lost() => return Ending::Lost(lost),
                () = leave.cancelled() => return Ending::Leaving(Ok(())),
            };
            let Opened { cursors, writer, history } = match opened {
                Ok(opened) => opened,
                // Going on without them would lose changes.
                Err(error) => {
                    return Ending::Failed(Arc::new(InstanceError::State(Arc::new(error))));
                }
            };
            let Some(feed) = plan.feed() else {
                leave.cancelled().await;
                return Ending::Leaving(Ok(()));
            };
            let (store, filter, fence) = (plan.store, plan.filter.clone(), tenure.fence());
            let epoch = fence.as_ref().map(Fence::epoch);
            let destination = Destination::new(slot.name(), store, filter, cursors, fence);
            let destination = Arc::new(destination);
            let mut term = Term::start(Arc::clone(&destination), feed, history, writer);
            slot.set_source(plan.source());
            slot.set(Role::Active(Arc::clone(&destination)));
            tracing::info!(destination = slot.name(), epoch, "active");
            let event = self.watch(tenure, (&destination, &mut term), leave).await;
            let deadline = tenure.deadline();
            match event {
                Event::Lost(lost) => {
                    term.abort().await;
                    return Ending::Lost(lost);
                }
                Event::Failed(cause) => {
                    // The cause counts; that cursors are lost is in the log.
                    let _told: bool = term.hand_over(Duration::ZERO, deadline).await.is_ok();
                    return Ending::of(cause);
                }
                Event::Leaving => {
                    return Ending::Leaving(term.hand_over(tenure.patience(), deadline).await);
                }
                Event::Reloaded => {
                    tracing::info!(destination = slot.name(), "new settings: a new term begins");
                    let _told: bool = term.hand_over(tenure.patience(), deadline).await.is_ok();
                }
            }
        }
    }

    /// Waits until a term has to end.
    async fn watch(
        &mut self,
        tenure: &Tenure<'_>,
        (destination, term): (&Destination, &mut Term),
        leave: &CancellationToken,
    ) -> Event {
        let began = Instant::now();
        let event = loop {
            tokio::select! {
                lost = tenure.lost() => break Event::Lost(lost),
                cause = term.failed() => break Event::Failed(cause),
                () = leave.cancelled() => break Event::Leaving,
                Ok(()) = self.plans.changed() => break Event::Reloaded,
                () = healed(destination), if self.slot.trouble().is_some() => self.slot.recover(),
            }
        };
        if began.elapsed() > FAILURE_PAUSES.1 * 2 {
            self.pauses.reset();
        }
        event
    }

    /// Shows how serving ended.
    fn show(&self, ending: &Ending) {
        match ending {
            Ending::Failed(cause) => {
                self.slot.fail(cause);
                let failure = (self.slot.name().to_owned(), Arc::clone(cause));
                self.failed.send_replace(Some(failure));
            }
            Ending::Lost(_) | Ending::Leaving(_) => self.slot.set(Role::Standby),
        }
    }

    /// Waits before the next attempt.
    async fn rest(
        &mut self,
        ending: Ending,
        leave: &CancellationToken,
    ) -> Result<(), Arc<StateError>> {
        let destination = self.slot.name();
        match ending {
            Ending::Leaving(written) => return written,
            Ending::Lost(reason) => {
                tracing::warn!(destination, %reason, "not active any more");
                leave.run_until_cancelled(sleep(AGAIN)).await;
            }
            Ending::Failed(cause) => {
                // Without randomness there is no jitter.
                let pause = self.pauses.next(getrandom::u32().unwrap_or_default());
                self.slot.wait_for_attempt(pause);
                let again_in_ms = pause.as_millis();
                tracing::error!(
                    destination,
                    error = %cause,
                    again_in_ms,
                    "cannot be served here, trying again"
                );
                let mut plans = self.plans.clone();
                tokio::select! {
                    () = sleep(pause) => {}
                    () = leave.cancelled() => {}
                    // What was wrong may be right now.
                    Ok(()) = plans.changed() => {}
                }
            }
        }
        Ok(())
    }
}

/// Waits until a destination has read for a while, or to the end.
async fn healed(destination: &Destination) {
    let mut status = destination.status();
    loop {
        let found = status.wait_for(|status| {
            matches!(status.state, InstanceState::Running | InstanceState::Ended)
        });
        match found.await.map(|status| status.state.clone()) {
            Ok(InstanceState::Ended) => return,
            Ok(_) => {}
            // The term is over.
            Err(_) => return std::future::pending().await,
        }
        // Still the same by then?
        if timeout(HEALED, status.changed()).await.is_err() {
            return;
        }
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
