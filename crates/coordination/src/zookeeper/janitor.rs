//! Removes what a cancelled attempt may have left in a session that goes on.
//!
//! A future that is dropped while a node is being created cannot say whether the node will be there,
//! and must not remove it blindly: it may be another's. The session looks later.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::session::Inner;
use super::{ZkError, ZkSession};

/// Pause before another look after a failure.
const AGAIN: Duration = Duration::from_millis(500);

/// Nodes to look at.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    paths: Mutex<BTreeSet<String>>,
    added: Notify,
}

impl Suspects {
    fn paths<T>(&self, change: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        change(&mut self.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn add(&self, path: &str) {
        self.paths(|paths| paths.insert(path.to_owned()));
        self.added.notify_one();
    }
}

/// Looks at suspects as long as the session, which it does not keep, is there.
pub(super) fn start(session: Weak<Inner>, suspects: Arc<Suspects>) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            suspects.added.notified().await;
            while let Some(path) = suspects.paths(BTreeSet::pop_first) {
                let Some(session) = ZkSession::upgrade(&session) else { return };
                let looked = clean(&session, &path).await;
                let is_over = session.is_over();
                drop(session);
                if is_over {
                    return;
                }
                if looked.is_err() {
                    sleep(AGAIN).await;
                    suspects.add(&path);
                }
            }
        }
    });
    task
}

async fn clean(session: &ZkSession, path: &str) -> Result<(), ZkError> {
    // Otherwise somebody of this session owns it by now, or finds out.
    let Some(_claim) = session.claim(path) else { return Ok(()) };
    if let Some((_, stat)) = session.get(path).await?
        && stat.ephemeral_owner == session.id()
    {
        session.delete(path, Some(stat.version)).await?;
    }
    Ok(())
}
