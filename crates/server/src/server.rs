//! Listening, and the life of everything that runs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use towpath_coordination::{Cursor, CursorWriter, RecordLog, StateDirectory, StateError};
use towpath_protocol::SEED_LEN;

use crate::cluster::{Cluster, Member};
use crate::config::{InstanceConfig, ServerConfig};
use crate::destination::{Destination, InstanceHealth, InstanceState, InstanceStatus};
use crate::error::{InstanceError, ServerError};
use crate::figures::{ClientFigures, now_ms};
use crate::instance::{self, Feed};
use crate::session::{Session, Shared};
use crate::slot::{Role, Slot, Slots};
use crate::status::{self, Observer};

/// Pause after an accept that failed: mostly there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time that each part has to end, however long the ones before it took.
const STOP_LEAST: Duration = Duration::from_millis(500);

/// A server that listens, and has not begun to work.
#[derive(Debug)]
#[must_use]
pub struct Server {
    config: ServerConfig,
    listener: TcpListener,
    /// For the status.
    observed: Option<TcpListener>,
    shared: Arc<Shared>,
    work: Work,
    started_ms: i64,
}

/// What a server has to do beside its connections.
#[derive(Debug)]
enum Work {
    Alone { feeds: Vec<(Arc<Destination>, Feed, RecordLog)>, writers: Vec<CursorWriter> },
    Cluster(Cluster),
}

impl Server {
    /// Takes the port and, unless it is part of a cluster, the state directory. A cluster may be away:
    /// it is looked for when the server runs.
    ///
    /// # Errors
    /// When one of them cannot be had, or the destinations are wrong.
    pub async fn bind(
        config: ServerConfig,
        instances: Vec<InstanceConfig>,
    ) -> Result<Self, ServerError> {
        if instances.is_empty() {
            return Err(ServerError::NoDestination);
        }
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        let observed = match config.status {
            None => None,
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(|source| ServerError::Listen { address, source })?,
            ),
        };
        let (slots, work) = match &config.cluster {
            None => Self::alone(&config, instances)?,
            Some(cluster) => {
                let (mut slots, mut members) = (Slots::default(), Vec::new());
                for instance in instances {
                    slots.check_new(&instance.destination)?;
                    let slot = Arc::new(Slot::new(
                        &instance.destination,
                        &instance.address,
                        Role::Standby,
                    ));
                    slots.add(Arc::clone(&slot));
                    members.push(Member::new(slot, instance)?);
                }
                (slots, Work::Cluster(Cluster::new(cluster.clone(), members)))
            }
        };
        let shared = Shared {
            slots,
            credentials: config.credentials.clone(),
            login_deadline: config.login_deadline,
            strangers: ClientFigures::default(),
            subscriptions: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            filters: Arc::new(Semaphore::new(1)),
        };
        let shared = Arc::new(shared);
        Ok(Self { config, listener, observed, shared, work, started_ms: now_ms() })
    }

    fn alone(
        config: &ServerConfig,
        instances: Vec<InstanceConfig>,
    ) -> Result<(Slots, Work), ServerError> {
        let directory = StateDirectory::open(&config.state)?;
        let (mut slots, mut feeds, mut writers) = (Slots::default(), Vec::new(), Vec::new());
        for instance in instances {
            let InstanceConfig { destination, address, store, filter, feed } = instance;
            slots.check_new(&destination)?;
            let (cursors, writer) = directory.destination(&destination, address.clone())?;
            writers.push(writer);
            let destination =
                Arc::new(Destination::new(&destination, store, filter, cursors, None));
            let role = Role::Active(Arc::clone(&destination));
            slots.add(Arc::new(Slot::new(destination.name(), &address, role)));
            let history = directory.history(destination.name())?;
            feeds.push((destination, feed, history));
        }
        Ok((slots, Work::Alone { feeds, writers }))
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

    /// The state of a destination's instance, to look at or to wait on. None while this server is not
    /// the one that serves it.
    #[must_use]
    pub fn status(&self, destination: &str) -> Option<watch::Receiver<InstanceStatus>> {
        self.destination(destination).map(|destination| destination.status())
    }

    /// What a destination's instance waits for, and what has happened to it. None while this server is
    /// not the one that serves it.
    #[must_use]
    pub fn health(&self, destination: &str) -> Option<InstanceHealth> {
        self.destination(destination).map(|destination| destination.health().get())
    }

    /// The oldest acknowledged position of a destination's clients: where its entries begin.
    #[must_use]
    pub fn cursor(&self, destination: &str) -> Option<Cursor> {
        self.destination(destination)?.oldest_cursor()
    }

    fn destination(&self, name: &str) -> Option<Arc<Destination>> {
        self.shared.slots.get(name)?.current()
    }

    /// Serves until `shutdown`, then stops accepting, lets current answers go out, ends every wait,
    /// writes the cursors and returns; in a cluster it hands its destinations over before it closes
    /// connections. Dropping the future ends everything at once; cursors of the last 25 ms (in a
    /// cluster 250 ms) are then lost, and their entries are delivered again.
    ///
    /// # Errors
    /// When its only instance stops at an error, or the cursors cannot be written at the end. With
    /// several instances the others go on.
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

/// The tasks of a server at work.
struct Running {
    config: ServerConfig,
    listener: TcpListener,
    shared: Arc<Shared>,
    /// Answers for the status; ends with this value.
    status: JoinSet<()>,
    /// Ends sessions and instances.
    stop: CancellationToken,
    work: Tasks,
    sessions: JoinSet<()>,
    next_id: u32,
    crowd: Crowd,
}

/// The tasks behind the destinations.
enum Tasks {
    Alone(Alone),
    Cluster { tasks: JoinSet<()>, leave: CancellationToken },
}

/// The instances of a server that is alone.
struct Alone {
    writers: JoinSet<Result<(), Arc<StateError>>>,
    instances: JoinSet<Result<(), Arc<InstanceError>>>,
    names: HashMap<Id, Arc<Destination>>,
}

/// Whether connections are being refused: said once.
#[derive(PartialEq, Eq)]
enum Crowd {
    Room,
    Full,
}

impl Tasks {
    fn start(work: Work, stop: &CancellationToken) -> Self {
        match work {
            Work::Alone { feeds, writers } => {
                let (mut instances, mut names) = (JoinSet::new(), HashMap::new());
                for (destination, feed, history) in feeds {
                    let owner = Arc::clone(&destination);
                    let task = instance::run(owner, feed, Some(history), stop.clone());
                    names.insert(instances.spawn(task).id(), destination);
                }
                let writers = writers.into_iter().map(CursorWriter::run).collect();
                Self::Alone(Alone { writers, instances, names })
            }
            Work::Cluster(cluster) => {
                let leave = CancellationToken::new();
                let mut tasks = JoinSet::new();
                tasks.spawn(cluster.run(leave.clone()));
                Self::Cluster { tasks, leave }
            }
        }
    }

    /// Ends only with the error of the only instance.
    async fn watch(&mut self) -> Result<Infallible, ServerError> {
        match self {
            Self::Alone(alone) => alone.watch().await,
            // Whatever happens there, it goes on.
            Self::Cluster { tasks, .. } => {
                if let Some(Err(error)) = tasks.join_next().await {
                    tracing::error!(%error, "the cluster's task failed");
                    return Err(ServerError::Cluster(error.to_string()));
                }
                std::future::pending().await
            }
        }
    }
}

impl Alone {
    async fn watch(&mut self) -> Result<Infallible, ServerError> {
        while let Some(ended) = self.instances.join_next_with_id().await {
            let (id, result) = match ended {
                Ok((id, result)) => (id, result),
                Err(error) => (error.id(), Err(Arc::new(InstanceError::Task(error.to_string())))),
            };
            self.ended(id, result)?;
        }
        std::future::pending().await
    }

    fn ended(&mut self, id: Id, result: Result<(), Arc<InstanceError>>) -> Result<(), ServerError> {
        // One for each destination, to the end.
        let is_only = self.writers.len() == 1;
        let Some(destination) = self.names.remove(&id) else { return Ok(()) };
        let Err(source) = result else { return Ok(()) };
        let name = destination.name().to_owned();
        if matches!(*source, InstanceError::Task(_)) {
            destination.set_state(InstanceState::Failed(Arc::clone(&source)));
        }
        if is_only {
            return Err(ServerError::Instance { destination: name, source });
        }
        tracing::error!(destination = name, error = %source, "instance stopped, the others go on");
        Ok(())
    }

    async fn stop(self, deadline: Instant) -> Result<(), ServerError> {
        let Self { mut writers, instances, names } = self;
        end("instances", instances, deadline).await;
        // The last owners of the cursors: their writers write what is left, and end.
        drop(names);
        let deadline = deadline.max(Instant::now() + STOP_LEAST);
        while let Ok(Some(written)) = timeout_at(deadline, writers.join_next()).await {
            match written {
                Ok(result) => result.map_err(ServerError::Cursors)?,
                Err(error) => tracing::error!(%error, "a cursor writer's task failed"),
            }
        }
        if !writers.is_empty() {
            tracing::error!("cursors could not be written in time: entries are delivered again");
        }
        Ok(())
    }
}

impl Running {
    fn start(server: Server, stop: CancellationToken) -> Self {
        let observer = server.observer();
        let Server { config, listener, observed, shared, work, .. } = server;
        let mut status = JoinSet::new();
        if let Some(observed) = observed {
            status.spawn(status::serve(observed, observer));
        }
        let work = Tasks::start(work, &stop);
        Self {
            config,
            listener,
            shared,
            status,
            stop,
            work,
            sessions: JoinSet::new(),
            next_id: 0,
            crowd: Crowd::Room,
        }
    }

    /// Ends only with the error of the only instance.
    async fn serve(&mut self) -> Result<Infallible, ServerError> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Err(error) = self.work.watch() => return Err(error),
                Some(ended) = self.sessions.join_next() => {
                    self.count_sessions();
                    if let Err(error) = ended {
                        tracing::error!(%error, "a session's task failed");
                    }
                }
            }
        }
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.sessions.len() >= self.config.connections_max {
            if self.crowd == Crowd::Room {
                let count = self.config.connections_max;
                tracing::warn!(%peer, count, "too many connections, closing new ones");
            }
            self.crowd = Crowd::Full;
            return;
        }
        self.crowd = Crowd::Room;
        let mut seed = [0; SEED_LEN];
        if let Err(error) = getrandom::fill(&mut seed) {
            tracing::error!(%error, "no randomness for a login seed, connection closed");
            return;
        }
        self.next_id = self.next_id.wrapping_add(1);
        let shared = Arc::clone(&self.shared);
        match Session::new(shared, stream, self.next_id, self.stop.clone()) {
            Ok(session) => {
                self.sessions.spawn(session.run(seed));
                self.count_sessions();
            }
            Err(error) => tracing::debug!(%peer, %error, "connection gone at once"),
        }
    }

    fn count_sessions(&self) {
        self.shared.connections.store(self.sessions.len(), Ordering::Relaxed);
    }

    async fn stop(self) -> Result<(), ServerError> {
        let Self { config, listener, shared, status, stop, work, sessions, .. } = self;
        drop(listener);
        drop(status);
        let deadline = Instant::now() + config.stop_deadline;
        match work {
            Tasks::Alone(alone) => {
                stop.cancel();
                end("sessions", sessions, deadline).await;
                drop(shared);
                alone.stop(deadline).await
            }
            // Others serve the destinations before the clients come to them.
            Tasks::Cluster { tasks, leave } => {
                leave.cancel();
                end("elections", tasks, deadline).await;
                stop.cancel();
                end("sessions", sessions, deadline).await;
                Ok(())
            }
        }
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
