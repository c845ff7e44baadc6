//! A server's part in a cluster: one session with ZooKeeper, one election per destination.
//!
//! Whatever goes wrong with the session, it is dropped as a whole, and a new one is made.

mod election;
mod term;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use towpath_coordination::{Presence, ZkError, ZkSession};
use towpath_protocol::Backoff;

use crate::config::ClusterConfig;
pub(crate) use election::Member;

/// Time to get a session.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Time for the ensemble to learn that a session is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Shortest and longest pause between two attempts to get a session.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Waits after a failure.
async fn pause(pauses: &mut Backoff, leave: &CancellationToken) {
    // Without randomness there is no jitter: it goes on.
    let pause = pauses.next(getrandom::u32().unwrap_or_default());
    leave.run_until_cancelled(sleep(pause)).await;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cluster {
    config: ClusterConfig,
    members: Vec<Member>,
}

impl Cluster {
    pub(crate) const fn new(config: ClusterConfig, members: Vec<Member>) -> Self {
        Self { config, members }
    }

    /// Takes part until `leave`, then hands over and deregisters. Dropping the future ends everything
    /// at once: others wait for the session to expire.
    pub(crate) async fn run(mut self, leave: CancellationToken) {
        let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
        while !leave.is_cancelled() {
            let ClusterConfig { zookeeper, session_timeout, .. } = &self.config;
            let connecting = ZkSession::connect(zookeeper, *session_timeout, CONNECT_DEADLINE);
            let session = match leave.run_until_cancelled(connecting).await {
                None => return,
                Some(Ok(session)) => session,
                Some(Err(error)) => {
                    tracing::warn!(%error, "no session with ZooKeeper, trying again");
                    pause(&mut pauses, &leave).await;
                    continue;
                }
            };
            tracing::info!(
                zookeeper = %zookeeper,
                session_id = format!("0x{:x}", session.id()),
                session_timeout_ms = session.timeout().as_millis(),
                address = self.config.address,
                "ZooKeeper session established"
            );
            let began = Instant::now();
            let result = self.take_part(&session, &leave).await;
            if began.elapsed() > PAUSES.1 * 2 {
                pauses.reset();
            }
            session.close(CLOSE_DEADLINE).await;
            if let Err(error) = result {
                tracing::warn!(%error, "ZooKeeper session given up, making another");
                pause(&mut pauses, &leave).await;
            }
        }
    }

    /// Returns when told to leave, with everything handed over, or when the session is of no use.
    async fn take_part(
        &mut self,
        session: &ZkSession,
        leave: &CancellationToken,
    ) -> Result<(), ZkError> {
        let address = &self.config.address;
        let registering = Presence::register(session, session.tree().server(address));
        let Some(presence) = leave.run_until_cancelled(registering).await.transpose()? else {
            return Ok(());
        };
        let leave = leave.child_token();
        let mut elections = JoinSet::new();
        for member in self.members.drain(..) {
            elections.spawn(member.run(session.clone(), address.clone(), leave.clone()));
        }
        let mut result = tokio::select! {
            () = leave.cancelled() => Ok(()),
            error = presence.keep() => Err(error),
            error = session.ended() => Err(error),
        };
        leave.cancel();
        while let Some(ended) = elections.join_next().await {
            match ended {
                Ok(member) => self.members.push(member),
                Err(error) => {
                    tracing::error!(%error, "an election's task failed: its destination is lost here");
                }
            }
        }
        if result.is_ok() {
            result = presence.remove().await;
        }
        result
    }
}
