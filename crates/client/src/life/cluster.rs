//! What a connection does in a cluster: finds servers, takes the lock, notices when either is another.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::{sleep, sleep_until, timeout};
use towpath_coordination::{Contender, Lease, Running, Servers, ServersChanged, Taken};
pub(super) use towpath_coordination::{Fence, ZkSession};

use super::open::Open;
use super::tries::Tries;
use super::{Life, Outcome};
use crate::ClientError;
use crate::state::{State, Step, Waiting};

/// Time after which a standby looks again, whatever it was told.
const STANDBY_LOOK: Duration = Duration::from_secs(10);

/// Pause after an operator took the lock away: it is another client's turn.
const RELEASED_PAUSE: Duration = Duration::from_secs(10);

/// Pause after a look at the cluster that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A connection's place in a cluster.
#[derive(Debug)]
pub(super) struct InCluster {
    lease: Lease,
    zookeeper: ZkSession,
}

impl InCluster {
    /// Tells whether the lock is still held.
    pub(super) fn fence(&self) -> Fence {
        self.lease.fence()
    }

    /// Waits until the lock is lost.
    pub(super) async fn lost(&self) -> ClientError {
        ClientError::Lock(self.lease.lost().await)
    }

    /// Gives the lock up. What cannot be done within `deadline` the end of the session with ZooKeeper
    /// does.
    pub(super) async fn release(self, deadline: Duration) {
        let _released: bool =
            timeout(deadline, self.lease.release()).await.is_ok_and(|done| done.is_ok());
    }
}

impl Life {
    /// One attempt, and the active time it leads to. All that it opened is dropped when it returns.
    pub(super) async fn attempt(&self, tries: &mut Tries) -> Outcome {
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

    /// Waits until the cluster's servers are others than those of the last attempt.
    pub(super) async fn news(&self, tries: &Tries) {
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

    /// Looks for servers before anything else, waits for one, and for the lock.
    pub(super) async fn open_in(
        &self,
        zookeeper: &ZkSession,
        tries: &mut Tries,
    ) -> Result<Open, ClientError> {
        if tries.is_released {
            self.shared.enter(State::Waiting(Waiting::Standby { owner: None }));
            sleep(RELEASED_PAUSE).await;
        }
        let (address, mut lease) = self.elect(zookeeper, tries).await?;
        let link = tokio::select! {
            biased;
            lost = lease.lost() => return Err(lost.into()),
            link = self.subscribed(&address) => link?,
        };
        // From here on the node tells where the client is connected from.
        if let Err(lost) = lease.rewrite(&link.session.local_addr().to_string()).await {
            drop(link);
            return Err(lost.into());
        }
        let place = Some(InCluster { lease, zookeeper: zookeeper.clone() });
        Ok(Open { link, place })
    }

    /// Waits for a server and for the lock, in this order, again and again until both are there.
    async fn elect(
        &self,
        zookeeper: &ZkSession,
        tries: &mut Tries,
    ) -> Result<(String, Lease), ClientError> {
        let session = &self.inner.config.session;
        let contender = Contender {
            session: zookeeper.clone(),
            path: zookeeper.tree().client_running(&session.destination, session.client_id),
            payload: Running {
                active: true,
                address: zookeeper.local_ip(),
                client_id: Some(session.client_id),
            },
            replaces_own_address: false,
        };
        loop {
            let (servers, changed) = self.servers(zookeeper, tries).await?;
            self.shared.enter(State::Connecting(Step::Lock));
            match contender.contend().await? {
                Ok(lease) => {
                    if let Some(address) = tries.next_of(&servers) {
                        return Ok((address, lease));
                    }
                }
                Err(taken) => {
                    drop(changed);
                    self.stand_by(taken).await;
                    tries.stands_by();
                }
            }
        }
    }

    /// The destination's servers, as soon as there is one.
    async fn servers(
        &self,
        zookeeper: &ZkSession,
        tries: &Tries,
    ) -> Result<(Servers, ServersChanged), ClientError> {
        self.shared.enter(State::Connecting(Step::Servers));
        let since = SystemTime::now();
        let end = tries.end(self.inner.config.give_up);
        let mut shown = None;
        loop {
            let (servers, changed) = Servers::look(zookeeper, &self.shared.destination).await?;
            if !servers.is_empty() {
                return Ok((servers, changed));
            }
            let Servers { cluster_nodes, garbage, .. } = servers.clone();
            if shown.as_ref() != Some(&servers) {
                let garbage = garbage.clone();
                self.shared.enter(State::Waiting(Waiting::NoServer { cluster_nodes, garbage }));
                shown = Some(servers);
            }
            tokio::select! {
                // Also fires when the session ends, which the next look tells.
                () = changed.wait() => {}
                () = expiry(end) => {
                    let destination = self.shared.destination.clone();
                    return Err(ClientError::NoServer { destination, since, cluster_nodes, garbage });
                }
            }
        }
    }

    async fn stand_by(&self, taken: Taken) {
        let owner = taken.owner.map(|owner| owner.address);
        self.shared.enter(State::Waiting(Waiting::Standby { owner }));
        tokio::select! {
            () = taken.changed.fired() => {}
            () = sleep(STANDBY_LOOK) => {}
        }
        sleep(self.inner.config.standby_pause).await;
    }

    /// Waits until the cluster says that another server is the active one.
    pub(super) async fn moved(&self, place: Option<&InCluster>, address: &str) -> ClientError {
        let Some(place) = place else { return std::future::pending().await };
        loop {
            match Servers::look(&place.zookeeper, &self.shared.destination).await {
                Ok((Servers { running: Some(running), .. }, _)) if running != address => {
                    return ClientError::Moved { from: address.to_owned(), to: running };
                }
                Ok((_, changed)) => changed.wait().await,
                // The lock tells when there is nothing left to hope for.
                Err(_) => sleep(LOOK_AGAIN).await,
            }
        }
    }
}

async fn expiry(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}
