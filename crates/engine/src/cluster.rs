//! An engine's part in a cluster: one session with ZooKeeper, in which every destination stands for its
//! own election.
//!
//! Whatever goes wrong with the session, it is dropped as a whole, and a new one is made.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use towpath_coordination::{Presence, ZkError, ZkSession};
use towpath_protocol::Backoff;

use crate::config::ClusterConfig;

/// Time to get a session.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Time for the ensemble to learn that a session is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Shortest and longest pause between two attempts to get a session.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A session as destinations take part in it.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) session: ZkSession,
    /// Cancelled when the session is of no use any more.
    pub(crate) over: CancellationToken,
    /// The session is closed once nobody holds this any more.
    _held: mpsc::Sender<Infallible>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cluster {
    config: ClusterConfig,
    joined: watch::Sender<Option<Joined>>,
    outage: watch::Sender<Option<Outage>>,
}

/// There is no session.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    pub(crate) since: SystemTime,
    pub(crate) why: String,
}

/// What destinations see of a cluster.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) joined: watch::Receiver<Option<Joined>>,
    pub(crate) outage: watch::Receiver<Option<Outage>>,
}

impl Cluster {
    /// And what destinations see of it.
    pub(crate) fn new(config: ClusterConfig) -> (Self, View) {
        let (joined, sessions) = watch::channel(None);
        let none_yet = Outage { since: SystemTime::now(), why: "no session yet".to_owned() };
        let (outage, outages) = watch::channel(Some(none_yet));
        (Self { config, joined, outage }, View { joined: sessions, outage: outages })
    }

    /// Tells why there is no session.
    fn lost(&self, error: &ZkError) {
        self.outage.send_modify(|outage| {
            let since = outage.as_ref().map_or_else(SystemTime::now, |outage| outage.since);
            *outage = Some(Outage { since, why: error.to_string() });
        });
    }

    /// Takes part until `leave`, then deregisters. Dropping the future ends everything at once: others wait
    /// for the session to expire.
    pub(crate) async fn run(self, leave: CancellationToken) {
        let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
        while !leave.is_cancelled() {
            let ClusterConfig { zookeeper, session_timeout, .. } = &self.config;
            let connecting = ZkSession::connect(zookeeper, *session_timeout, CONNECT_DEADLINE);
            let session = match leave.run_until_cancelled(connecting).await {
                None => return,
                Some(Ok(session)) => session,
                Some(Err(error)) => {
                    self.lost(&error);
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
            self.outage.send_replace(None);
            let began = Instant::now();
            let result = self.take_part(&session, &leave).await;
            if began.elapsed() > PAUSES.1 * 2 {
                pauses.reset();
            }
            if let Err(error) = &result {
                self.lost(error);
            }
            session.close(CLOSE_DEADLINE).await;
            if let Err(error) = result {
                tracing::warn!(%error, "ZooKeeper session given up, making another");
                pause(&mut pauses, &leave).await;
            }
        }
    }

    /// Returns when told to leave, or when the session is of no use, with every destination out of it.
    async fn take_part(
        &self,
        session: &ZkSession,
        leave: &CancellationToken,
    ) -> Result<(), ZkError> {
        let address = &self.config.address;
        let registering = Presence::register(session, session.tree().server(address));
        let Some(presence) = leave.run_until_cancelled(registering).await.transpose()? else {
            return Ok(());
        };
        let over = leave.child_token();
        let (held, mut released) = mpsc::channel(1);
        let joined = Joined { session: session.clone(), over: over.clone(), _held: held };
        self.joined.send_replace(Some(joined));
        let mut result = tokio::select! {
            () = leave.cancelled() => Ok(()),
            error = presence.keep() => Err(error),
            error = session.ended() => Err(error),
        };
        over.cancel();
        self.joined.send_replace(None);
        let all_out: Option<Infallible> = released.recv().await;
        if result.is_ok() && all_out.is_none() {
            result = presence.remove().await;
        }
        result
    }
}

async fn pause(pauses: &mut Backoff, leave: &CancellationToken) {
    // Without randomness there is no jitter: it goes on.
    let pause = pauses.next(getrandom::u32().unwrap_or_default());
    leave.run_until_cancelled(sleep(pause)).await;
}
