//! Listening, and the life of everything that runs.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use towpath_engine::{DestinationConfig, Engine, EngineConfig};

use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::figures::{Requests, now_ms};
use crate::listen::guesses::Guesses;
use crate::listen::notices::Notices;
use crate::listen::tls::Certificate;
use crate::listen::{Door, Guest, Port};
use crate::session::{Room, Shared};
use crate::status::{self, Observer};

/// Time that each part has to end, however long the ones before it took.
const STOP_LEAST: Duration = Duration::from_millis(500);

/// A server that listens, and does not answer yet.
#[derive(Debug)]
#[must_use]
pub struct Server {
    config: ServerConfig,
    listener: TcpListener,
    certificate: Option<Certificate>,
    /// For the status.
    observed: Option<TcpListener>,
    shared: Arc<Shared>,
    started_ms: i64,
}

impl Server {
    /// Takes the port and, unless it is part of a cluster, the state directory, and starts the destinations.
    /// A cluster may be away: it is looked for all the time.
    ///
    /// # Errors
    /// When one of them cannot be had, or the destinations are wrong.
    pub async fn bind(
        config: ServerConfig,
        destinations: Vec<DestinationConfig>,
    ) -> Result<Self, ServerError> {
        if destinations.is_empty() {
            return Err(ServerError::NoDestination);
        }
        let mut names = HashSet::new();
        if let Some(twice) = destinations.iter().find(|one| !names.insert(&*one.destination)) {
            return Err(ServerError::Twice { destination: twice.destination.clone() });
        }
        let certificate = config.tls.clone().map(Certificate::read).transpose()?;
        let listener = listen(config.listen).await?;
        let observed = match config.status {
            None => None,
            Some(address) => Some(listen(address).await?),
        };
        let engine = Engine::open(match &config.cluster {
            None => EngineConfig::Alone(config.state.clone()),
            Some(cluster) => EngineConfig::Cluster(cluster.clone()),
        })?;
        for destination in destinations {
            if let Err(error) = engine.start(destination).await {
                // What the others have not written is nothing: nobody was served.
                let _told: bool = engine.close(config.stop_deadline).await.is_ok();
                return Err(error.into());
            }
        }
        let shared = Shared {
            engine,
            credentials: config.credentials.clone(),
            login_deadline: config.login_deadline,
            requests: Requests::default(),
            connections: AtomicUsize::new(0),
            room: Room::new(),
            guesses: Guesses::new(Instant::now()),
            notices: Notices::default(),
        };
        let shared = Arc::new(shared);
        Ok(Self { config, listener, certificate, observed, shared, started_ms: now_ms() })
    }

    /// The destinations that it serves: to start, change and stop them, or to take their entries.
    pub fn engine(&self) -> Engine {
        self.shared.engine.clone()
    }

    /// Where it listens: tells the port when port 0 was asked for.
    ///
    /// # Errors
    /// When the operating system does not know.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the status is asked for, if it can be.
    #[must_use]
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.observed.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Looks at it while it runs.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let listen = self.listener.local_addr().unwrap_or(self.config.listen);
        Observer::new(&self.shared, listen, self.started_ms)
    }

    /// Serves until `shutdown`, then stops accepting, lets current answers go out, ends every wait,
    /// writes the cursors and returns; in a cluster it hands its destinations over before it closes
    /// connections. Dropping the future ends everything at once; cursors of the last 25 ms (in a
    /// cluster 250 ms) are then lost, and their entries are delivered again.
    ///
    /// # Errors
    /// When a destination fails and [`ServerConfig::fail_fast`] is set, or the cursors cannot be written at
    /// the end.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let mut running = Running::start(self, CancellationToken::new());
        let result = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Err(error) = running.serve() => Err(error),
        };
        let stopped = running.stop().await;
        result.and(stopped)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServerError::Listen { address, source })
}

/// The tasks of a server at work.
struct Running {
    config: ServerConfig,
    /// Nothing is accepted any more once it is gone.
    door: Option<Door>,
    shared: Arc<Shared>,
    /// Answers for the status; ends with this value.
    status: JoinSet<()>,
    /// Ends sessions.
    stop: CancellationToken,
    sessions: JoinSet<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Sessions that have not seen their end yet hold the engine, too.
        self.shared.engine.abandon();
    }
}

impl Running {
    fn start(server: Server, stop: CancellationToken) -> Self {
        let observer = server.observer();
        let Server { config, listener, certificate, observed, shared, .. } = server;
        let mut status = JoinSet::new();
        if let Some(observed) = observed {
            status.spawn(status::serve(observed, observer));
        }
        let port = Port { listener, certificate };
        let door = Door::new(&config, port, Arc::clone(&shared), stop.clone());
        Self { config, door: Some(door), shared, status, stop, sessions: JoinSet::new() }
    }

    /// Ends only with the error of a destination, if that is wanted.
    async fn serve(&mut self) -> Result<Infallible, ServerError> {
        let engine = self.shared.engine.clone();
        let fail_fast = self.config.fail_fast;
        loop {
            tokio::select! {
                admitted = next(self.door.as_mut(), self.sessions.len()) => {
                    if let Some(guest) = admitted {
                        self.sessions.spawn(guest.run());
                        self.count_sessions();
                    }
                }
                (destination, source) = engine.failed(), if fail_fast => {
                    return Err(ServerError::Instance { destination, source });
                }
                Some(ended) = self.sessions.join_next() => {
                    self.count_sessions();
                    if let Err(error) = ended {
                        tracing::error!(%error, "a session's task failed");
                    }
                }
            }
        }
    }

    fn count_sessions(&self) {
        self.shared.connections.store(self.sessions.len(), Ordering::Relaxed);
    }

    /// Ends everything in order; nothing is accepted any more.
    async fn stop(mut self) -> Result<(), ServerError> {
        drop(self.door.take());
        self.status.shutdown().await;
        self.shared.notices.sum_up();
        let (patience, engine) = (self.config.stop_deadline, self.shared.engine.clone());
        let deadline = Instant::now() + patience;
        let sessions = std::mem::take(&mut self.sessions);
        let closed = if self.config.cluster.is_some() {
            // Others serve the destinations before the clients come to them.
            let closed = engine.close(patience).await;
            self.stop.cancel();
            end("sessions", sessions, deadline).await;
            closed
        } else {
            self.stop.cancel();
            end("sessions", sessions, deadline).await;
            engine.close(deadline.saturating_duration_since(Instant::now())).await
        };
        Ok(closed?)
    }
}

/// The next connection that is let in.
async fn next(door: Option<&mut Door>, open: usize) -> Option<Guest> {
    match door {
        Some(door) => door.next(open).await,
        None => std::future::pending().await,
    }
}

/// Waits for tasks to end, and ends those that do not.
async fn end<T: 'static>(name: &'static str, mut tasks: JoinSet<T>, deadline: Instant) {
    let deadline = deadline.max(Instant::now() + STOP_LEAST);
    while let Ok(Some(_)) = timeout_at(deadline, tasks.join_next()).await {}
    if !tasks.is_empty() {
        tracing::warn!(name, count = tasks.len(), "tasks did not end in time, ending them");
    }
    tasks.shutdown().await;
}
