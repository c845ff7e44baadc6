//! What makes connections.

use std::sync::Arc;
#[cfg(feature = "cluster")]
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
#[cfg(feature = "cluster")]
use towpath_coordination::Ensemble;

use crate::builder::Config;
use crate::connection::Shared;
use crate::health::Totals;
use crate::life::Life;
use crate::{Builder, ClientError, Connection, Health};

/// What a client and its connections share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    #[cfg(feature = "cluster")]
    pub(crate) ensemble: Option<Ensemble>,
    pub(crate) totals: Arc<Totals>,
}

impl Inner {
    fn of(config: Config, totals: Arc<Totals>) -> Self {
        Self {
            #[cfg(feature = "cluster")]
            ensemble: config.ensemble(),
            config,
            totals,
        }
    }
}

/// Settings, a session with ZooKeeper that all connections share, and an eye on all of them. Cloning
/// it is cheap. The session ends with the last clone and connection.
#[derive(Debug, Clone)]
#[must_use]
pub struct Client {
    inner: Arc<Inner>,
}

impl Client {
    /// Where to set things up.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(config: Config) -> Self {
        Self { inner: Arc::new(Inner::of(config, Arc::default())) }
    }

    /// The same settings and figures, with a session with ZooKeeper of its own: a session lives in the
    /// runtime that made it.
    pub(crate) fn for_another_runtime(&self) -> Self {
        let config = self.inner.config.clone();
        Self { inner: Arc::new(Inner::of(config, Arc::clone(&self.inner.totals))) }
    }

    /// A connection that is active, within the time of [`Builder::wait`]. Dropping the future releases
    /// everything.
    ///
    /// # Errors
    /// Why there is none. Everything of the attempt is released by then; in an empty cluster, nothing
    /// was connected to.
    pub async fn connect(&self) -> Result<Connection, ClientError> {
        let connection = self.start();
        match connection.active(self.inner.config.wait).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    /// A connection that becomes active when it can, and says meanwhile what it waits for.
    pub fn start(&self) -> Connection {
        let config = &self.inner.config;
        let shared = Arc::new(Shared::new(&config.session.destination, config.session.client_id));
        let (sender, batches) = mpsc::channel(config.prefetch);
        let stop = CancellationToken::new();
        let life = Life::new(Arc::clone(&self.inner), Arc::clone(&shared), sender, stop.clone());
        let mut task = JoinSet::new();
        task.spawn(life.run());
        let registered = self.inner.totals.register(&shared);
        Connection::new(shared, batches, stop, task, registered)
    }

    /// How everything stands.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            #[cfg(feature = "cluster")]
            zookeeper: self.inner.ensemble.as_ref().and_then(Ensemble::status),
            ..self.inner.totals.health()
        }
    }

    /// Ends the session with ZooKeeper, once all connections are closed, and waits up to `deadline`
    /// until ZooKeeper knows. Dropping the client ends it, too, without waiting.
    #[cfg(feature = "cluster")]
    pub async fn close(self, deadline: Duration) {
        if let Some(ensemble) = &self.inner.ensemble {
            ensemble.close(deadline).await;
        }
    }
}
