//! An ephemeral node that is ours: who may serve a destination, who may read it.
//!
//! ZooKeeper removes the node of an owner that it has not heard of for the session timeout S. The
//! owner therefore counts from the moment at which it *sent* the last request that proved the node
//! to be its own, and stops at two thirds of S, on its own monotonic clock: whatever held it up (a
//! pause, a signal, a lost link), nobody else can have the node by then. A proof is what the leader of the
//! ensemble says: another server of it that is cut off would go on to say what it knew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use zookeeper_client::Stat;

use super::session::Claim;
use super::{NodeWatch, Running, ZkError, ZkSession};

/// How long another owner in this process is asked for the node before it counts as taken.
const CLAIM_PATIENCE: Duration = Duration::from_millis(500);

/// Pause before it is asked again.
const CLAIM_AGAIN: Duration = Duration::from_millis(10);

/// Asks whether a lease holds, without the network.
#[derive(Debug, Clone)]
pub struct Fence {
    path: Arc<str>,
    validity: Duration,
    epoch: i64,
    born: Instant,
    /// Milliseconds from `born` to which the lease is proven; 0 when it is over.
    until_ms: Arc<AtomicU64>,
}

impl Fence {
    /// The creation id of the node: grows with each owner.
    #[must_use]
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// False as soon as somebody else may own the node.
    #[must_use]
    pub fn holds(&self) -> bool {
        Instant::now() < self.until()
    }

    /// Waits until it does not hold any more by this machine's clock. An end that comes before that
    /// shows in [`Self::holds`].
    pub async fn expired(&self) {
        while self.holds() {
            sleep_until(self.until()).await;
        }
    }

    /// The same as an error.
    ///
    /// # Errors
    /// [`LeaseLost::Unproven`]
    pub fn check(&self) -> Result<(), LeaseLost> {
        if self.holds() {
            return Ok(());
        }
        Err(LeaseLost::Unproven { path: self.path.to_string(), after: self.validity })
    }

    fn until(&self) -> Instant {
        self.born + Duration::from_millis(self.until_ms.load(Ordering::Acquire))
    }

    fn extend(&self, until: Instant) {
        let ms = until.saturating_duration_since(self.born).as_millis();
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        // Zero is final.
        let _was: Result<u64, u64> =
            self.until_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, |known| {
                (known != 0).then(|| known.max(ms))
            });
    }

    fn end(&self) {
        self.until_ms.store(0, Ordering::Release);
    }
}

/// Why a lease is over.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseLost {
    /// Somebody removed the node.
    #[error("{path} was removed")]
    Removed {
        /// The node.
        path: String,
    },
    /// It is another's now.
    #[error("{path} belongs to another session now")]
    Taken {
        /// The node.
        path: String,
    },
    /// An operator wrote `"active":false` into it.
    #[error("an operator released {path}")]
    Released {
        /// The node.
        path: String,
    },
    /// It could not be proven in time.
    #[error("{path} could not be confirmed for {} ms: it may be another's by now", after.as_millis())]
    Unproven {
        /// The node.
        path: String,
        /// Two thirds of the session timeout.
        after: Duration,
    },
    /// The session is over.
    #[error(transparent)]
    Session(#[from] ZkError),
}

/// A node that is ours. Dropping it ends what [`Fence`] says at once, and has the node removed.
#[derive(Debug)]
#[must_use]
pub struct Lease {
    session: ZkSession,
    path: String,
    payload: Running,
    fence: Fence,
    /// Goes last: until then nobody else in this process takes the node for a left-over.
    _claim: Claim,
}

/// Who else has the node.
#[derive(Debug)]
pub struct Taken {
    /// What the owner wrote; none when it cannot be read.
    pub owner: Option<Running>,
    /// Fires when something happens to the node.
    pub changed: NodeWatch,
}

/// One that wants a node.
#[derive(Debug, Clone)]
pub struct Contender {
    /// The session that will own it.
    pub session: ZkSession,
    /// The node.
    pub path: String,
    /// What to write into it.
    pub payload: Running,
    /// A node with our own address is left from an earlier process, whose port is ours now.
    pub replaces_own_address: bool,
}

impl Contender {
    /// Takes the node if it is free, or ours from before. Cancelling it leaves no more than a node that
    /// the next one in this session takes over.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn contend(&self) -> Result<Result<Lease, Taken>, ZkError> {
        let claim = match self.claim().await? {
            Ok(claim) => claim,
            Err(taken) => return Ok(Err(taken)),
        };
        loop {
            let sent = Instant::now();
            let data = self.payload.print();
            let unknown = Unknown { session: Some(&self.session), path: &self.path };
            let created = self.session.create_ephemeral(&self.path, &data).await?;
            unknown.known();
            if let Some(stat) = created {
                return Ok(Ok(Lease::new(self, &stat, sent, claim)));
            }
            let (node, changed) = self.session.get_and_watch(&self.path).await?;
            // It went in between.
            let Some((data, stat)) = node else { continue };
            let owner = Running::parse(&self.path, &data).ok();
            let is_left_over = self.replaces_own_address
                && owner.as_ref().is_some_and(|owner| owner.address == self.payload.address);
            // Ours without a lease: an earlier attempt whose outcome nobody waited for.
            if stat.ephemeral_owner == self.session.id() || is_left_over {
                drop(changed);
                self.session.delete(&self.path, Some(stat.version)).await?;
                continue;
            }
            return Ok(Err(Taken { owner, changed }));
        }
    }

    /// The node is another's of this process, or its left-overs are just being removed.
    async fn claim(&self) -> Result<Result<Claim, Taken>, ZkError> {
        let patience = Instant::now() + CLAIM_PATIENCE;
        loop {
            if let Some(claim) = self.session.claim(&self.path) {
                return Ok(Ok(claim));
            }
            let (node, changed) = self.session.get_and_watch(&self.path).await?;
            let is_ours = |stat: &Stat| stat.ephemeral_owner == self.session.id();
            let may_go = node.as_ref().is_none_or(|(_, stat)| is_ours(stat));
            if !may_go || Instant::now() > patience {
                let owner = node.and_then(|(data, _)| Running::parse(&self.path, &data).ok());
                return Ok(Err(Taken { owner, changed }));
            }
            sleep(CLAIM_AGAIN).await;
        }
    }
}

/// A creation whose outcome is not known: when it is dropped the session looks what came of it.
struct Unknown<'a> {
    session: Option<&'a ZkSession>,
    path: &'a str,
}

impl Unknown<'_> {
    fn known(mut self) {
        self.session = None;
    }
}

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            session.suspect(self.path);
        }
    }
}

impl Lease {
    fn new(contender: &Contender, stat: &Stat, sent: Instant, claim: Claim) -> Self {
        let session = contender.session.clone();
        let fence = Fence {
            path: contender.path.as_str().into(),
            validity: validity(&session),
            epoch: stat.czxid,
            born: sent,
            until_ms: Arc::new(AtomicU64::new(1)),
        };
        fence.extend(sent + validity(&session));
        let (path, payload) = (contender.path.clone(), contender.payload.clone());
        Self { session, path, payload, fence, _claim: claim }
    }

    /// A handle to ask whether it still holds.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// The node.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The session that owns it.
    pub const fn session(&self) -> &ZkSession {
        &self.session
    }

    /// Writes another address into the node.
    ///
    /// # Errors
    /// [`LeaseLost`] when it is not ours any more, or that is not known.
    pub async fn rewrite(&mut self, address: &str) -> Result<(), LeaseLost> {
        address.clone_into(&mut self.payload.address);
        let sent = Instant::now();
        let stat = self.session.set(&self.path, &self.payload.print(), None).await?;
        match stat {
            Some(stat) if self.is_ours(&stat) => {
                self.fence.extend(sent + validity(&self.session));
                Ok(())
            }
            Some(_) => Err(LeaseLost::Taken { path: self.path.clone() }),
            None => Err(LeaseLost::Removed { path: self.path.clone() }),
        }
    }

    fn is_ours(&self, stat: &Stat) -> bool {
        stat.ephemeral_owner == self.session.id() && stat.czxid == self.fence.epoch
    }

    /// Proves the lease again and again; returns when it is over. The caller must then stop what the
    /// lease allowed, before anything else. Cancelling it stops the proving.
    pub async fn lost(&self) -> LeaseLost {
        let lost = self.prove().await;
        self.fence.end();
        lost
    }

    async fn prove(&self) -> LeaseLost {
        let validity = validity(&self.session);
        loop {
            let until = self.fence.until();
            let sent = Instant::now();
            let unproven = || LeaseLost::Unproven { path: self.path.clone(), after: validity };
            let looking = self.session.get_latest_and_watch(&self.path);
            let watch = match timeout_at(until, looking).await {
                Ok(Ok((Some((data, stat)), watch))) if self.is_ours(&stat) => {
                    self.fence.extend(sent + validity);
                    let found = Running::parse(&self.path, &data);
                    if found.is_ok_and(|found| !found.active) {
                        return LeaseLost::Released { path: self.path.clone() };
                    }
                    Some(watch)
                }
                Ok(Ok((Some(_), _))) => return LeaseLost::Taken { path: self.path.clone() },
                Ok(Ok((None, _))) => return LeaseLost::Removed { path: self.path.clone() },
                Ok(Err(error)) if self.session.is_over() => return LeaseLost::Session(error),
                // A lost link: there is time until `until`.
                Ok(Err(_)) => None,
                Err(_) => return unproven(),
            };
            let fired = async {
                match watch {
                    Some(watch) => watch.fired().await,
                    None => sleep(validity / 20).await,
                }
            };
            tokio::select! {
                () = fired => {}
                () = sleep(validity / 4) => {}
                () = sleep_until(self.fence.until()) => return unproven(),
            }
        }
    }

    /// Gives the node up, and waits until it is gone.
    ///
    /// # Errors
    /// [`ZkError`]: then it goes with the session.
    pub async fn release(self) -> Result<(), ZkError> {
        self.fence.end();
        let Some((_, stat)) = self.session.get(&self.path).await? else { return Ok(()) };
        if self.is_ours(&stat) {
            self.session.delete(&self.path, Some(stat.version)).await?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = self.fence.holds();
        self.fence.end();
        if held {
            self.session.delete_in_passing(&self.path);
        } else {
            // The node may be another's by now.
            self.session.suspect(&self.path);
        }
    }
}

/// How long a proof counts.
fn validity(session: &ZkSession) -> Duration {
    session.timeout() * 2 / 3
}
