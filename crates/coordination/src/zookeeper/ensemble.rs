//! The one session that a process has with an ensemble.

use std::time::Duration;

use tokio::sync::Mutex;

use super::{ZkError, ZkSession, ZkStatus, ZkUrl};

/// Gives out a session, and makes another when it is of no use any more. Dropping it, and every
/// [`ZkSession`] that it gave out, ends the session.
#[derive(Debug)]
pub struct Ensemble {
    url: ZkUrl,
    session_timeout: Duration,
    connect_deadline: Duration,
    current: Mutex<Option<ZkSession>>,
}

impl Ensemble {
    /// Opens nothing yet.
    #[must_use]
    pub const fn new(url: ZkUrl, session_timeout: Duration, connect_deadline: Duration) -> Self {
        Self { url, session_timeout, connect_deadline, current: Mutex::const_new(None) }
    }

    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &ZkUrl {
        &self.url
    }

    /// The session, connected now if there is none. Cancelling it leaves nothing behind here; ZooKeeper
    /// may have made a session of which nobody knows, and ends it after the session timeout.
    ///
    /// # Errors
    /// [`ZkError::Unreachable`]
    pub async fn session(&self) -> Result<ZkSession, ZkError> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.is_over()) {
            return Ok(session.clone());
        }
        *current = None;
        let connecting = ZkSession::connect(&self.url, self.session_timeout, self.connect_deadline);
        Ok(current.insert(connecting.await?).clone())
    }

    /// The session if there is one: opens nothing. Waits for one that is just being connected.
    pub async fn current(&self) -> Option<ZkSession> {
        let current = self.current.lock().await;
        current.as_ref().filter(|session| !session.is_over()).cloned()
    }

    /// The next one to ask gets another session than this. It ends when nobody uses it any more.
    pub async fn give_up(&self, session: &ZkSession) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|known| known.id() == session.id()) {
            *current = None;
        }
    }

    /// How the session stands; `None` while there is none, or one is being made.
    #[must_use]
    pub fn status(&self) -> Option<ZkStatus> {
        self.current.try_lock().ok()?.as_ref().map(ZkSession::status)
    }

    /// Ends the session, unless somebody still uses it, and waits up to `deadline` until the ensemble
    /// knows.
    pub async fn close(&self, deadline: Duration) {
        let session = self.current.lock().await.take();
        if let Some(session) = session {
            session.close(deadline).await;
        }
    }
}
