//! One attempt: from nothing to a subscribed session, with the lock in a cluster.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::{sleep, sleep_until};
use towpath_coordination::{Contender, Lease, Running, Servers, ServersChanged, Taken, ZkSession};

use super::Life;
use super::tries::Tries;
use crate::ClientError;
use crate::health::OpenSocket;
use crate::session::Session;
use crate::state::{State, Step, Waiting};

/// Time after which a standby looks again, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Pause after an operator took the lock away: it is another client's turn.
const RELEASED_PAUSE: Duration = Duration::from_secs(10);

/// What an attempt has opened. Dropped in this order: nothing is read without the lock.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) link: Link,
    pub(super) place: Option<InCluster>,
}

/// A subscribed session, and its socket as it is counted.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: Session,
    _socket: OpenSocket,
}

/// A connection's place in a cluster.
#[derive(Debug)]
pub(super) struct InCluster {
    pub(super) lease: Lease,
    pub(super) zookeeper: ZkSession,
}

impl Life {
    /// In a cluster: looks for servers before anything else, waits for one, and for the lock.
    pub(super) async fn open(
        &self,
        zookeeper: Option<&ZkSession>,
        tries: &mut Tries,
    ) -> Result<Open, ClientError> {
        let Some(zookeeper) = zookeeper else {
            let address = tries.next_listed();
            return Ok(Open { link: self.subscribed(&address).await?, place: None });
        };
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
            () = sleep(LOOK_AGAIN) => {}
        }
        sleep(self.inner.config.standby_pause).await;
    }

    /// Connects, logs in, subscribes, and asks for everything that was not acknowledged.
    async fn subscribed(&self, address: &str) -> Result<Link, ClientError> {
        self.shared.enter(State::Connecting(Step::Server(address.to_owned())));
        let socket = self.inner.totals.open_socket();
        let config = &self.inner.config;
        let mut session = Session::connect(address, config.session.clone()).await?;
        session.subscribe(&config.filter).await?;
        session.rollback(None).await?;
        Ok(Link { session, _socket: socket })
    }
}

async fn expiry(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}
