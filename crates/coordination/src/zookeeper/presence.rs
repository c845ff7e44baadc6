//! An ephemeral node that says that we are there.

use std::time::Duration;

use tokio::time::sleep;

use super::{ZkError, ZkSession};

/// Pause before a node is made again that somebody removed.
const AGAIN: Duration = Duration::from_millis(200);

/// A node named after our address. It goes with its session, or by [`Self::remove`].
#[derive(Debug)]
#[must_use]
pub struct Presence {
    session: ZkSession,
    path: String,
}

impl Presence {
    /// Makes the node. One of an earlier process with our address is replaced: its port is ours now.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn register(session: &ZkSession, path: String) -> Result<Self, ZkError> {
        let presence = Self { session: session.clone(), path };
        while !presence.make().await? {
            let Some((_, stat)) = session.get(&presence.path).await? else { continue };
            if stat.ephemeral_owner == session.id() {
                break;
            }
            session.delete(&presence.path, Some(stat.version)).await?;
        }
        Ok(presence)
    }

    async fn make(&self) -> Result<bool, ZkError> {
        Ok(self.session.create_ephemeral(&self.path, b"").await?.is_some())
    }

    /// Makes the node again whenever somebody removes it. Returns only when that is not possible.
    ///
    /// # Errors
    /// Always: [`ZkError`].
    pub async fn keep(&self) -> ZkError {
        loop {
            match self.session.get_and_watch(&self.path).await {
                Ok((Some((_, stat)), changed)) => {
                    if stat.ephemeral_owner != self.session.id() {
                        let path = &self.path;
                        tracing::error!(path, "another server registers with this one's address");
                    }
                    changed.fired().await;
                    if self.session.is_over() {
                        return self.session.ended().await;
                    }
                }
                Ok((None, _)) => {
                    sleep(AGAIN).await;
                    if let Err(error) = self.make().await
                        && self.session.is_over()
                    {
                        return error;
                    }
                }
                Err(error) if self.session.is_over() => return error,
                // A lost link.
                Err(_) => sleep(AGAIN).await,
            }
        }
    }

    /// Removes the node.
    ///
    /// # Errors
    /// [`ZkError`]: then it goes with the session.
    pub async fn remove(self) -> Result<(), ZkError> {
        if let Some((_, stat)) = self.session.get(&self.path).await?
            && stat.ephemeral_owner == self.session.id()
        {
            self.session.delete(&self.path, Some(stat.version)).await?;
        }
        Ok(())
    }
}
