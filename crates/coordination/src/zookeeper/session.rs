//! One session with an ensemble, every operation under a deadline.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error, OneshotWatcher, SessionState, Stat,
    StateWatcher,
};

use super::farewell::{self, Owner};
use super::janitor::{self, Suspects};
use super::{Tree, ZkError, ZkUrl};

/// Time for one operation. An operation without an answer ends the session.
const OPERATION_DEADLINE: Duration = Duration::from_secs(5);

const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

/// A session. Clones share it; dropping the last one ends it, and with it its ephemeral nodes.
#[derive(Clone)]
#[must_use]
pub struct ZkSession {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    client: Client,
    servers: String,
    tree: Tree,
    /// What `contact_ms` counts from.
    born: Instant,
    contact_ms: AtomicU64,
    watches: AtomicUsize,
    /// Nodes that a value of this process owns, or is about to.
    claims: Mutex<HashSet<String>>,
    suspects: Arc<Suspects>,
    _owner: Owner,
    /// Ends with the session.
    _janitor: JoinSet<()>,
}

/// A session as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZkStatus {
    /// ZooKeeper's own word: `SyncConnected`, `Disconnected`, `Expired`...
    pub state: String,
    /// The session's id.
    pub session_id: i64,
    /// The timeout that the ensemble granted.
    pub session_timeout: Duration,
    /// Since the last answer to an operation.
    pub last_contact: Duration,
    /// Watches that are held.
    pub watches: usize,
}

impl fmt::Debug for ZkSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZkSession").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// A node that is watched once. Dropping it takes the watch back.
#[must_use]
pub struct NodeWatch {
    watcher: OneshotWatcher,
    counted: Counted,
}

/// The right to own a node in a session that others share: one value has it.
#[must_use]
pub(super) struct Claim {
    session: ZkSession,
    path: String,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.session.claims(|claims| claims.remove(&self.path));
    }
}

/// A watch as its session counts it.
struct Counted(ZkSession);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.inner.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for NodeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeWatch").finish_non_exhaustive()
    }
}

impl NodeWatch {
    /// Waits until the node changes, or the session ends.
    pub async fn fired(self) {
        let Self { watcher, counted: _until_it_fired } = self;
        watcher.changed().await;
    }
}

impl ZkSession {
    /// Connects.
    ///
    /// # Errors
    /// [`ZkError::Unreachable`] when there is no session within `deadline`. Whatever was made of one is
    /// ended within two seconds, also when the future is dropped.
    pub async fn connect(
        url: &ZkUrl,
        session_timeout: Duration,
        deadline: Duration,
    ) -> Result<Self, ZkError> {
        let failed = |reason: String| ZkError::Unreachable {
            servers: url.servers.clone(),
            after: deadline,
            reason,
        };
        let connector =
            Client::connector().with_session_timeout(session_timeout).with_fail_eagerly();
        let servers = url.servers.clone();
        let connecting = farewell::connect(async move { connector.connect(&servers).await });
        let (client, owner) = match timeout(deadline, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(Error::NoHosts)) => return Err(failed("no server answers".to_owned())),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("no answer".to_owned())),
        };
        let suspects = Arc::new(Suspects::default());
        let inner = Arc::new_cyclic(|session| Inner {
            client,
            servers: url.servers.clone(),
            tree: Tree::new(&url.root),
            born: Instant::now(),
            contact_ms: AtomicU64::new(0),
            watches: AtomicUsize::new(0),
            claims: Mutex::new(HashSet::new()),
            _owner: owner,
            _janitor: janitor::start(Weak::clone(session), Arc::clone(&suspects)),
            suspects,
        });
        Ok(Self { inner })
    }

    fn claims<T>(&self, change: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        change(&mut self.inner.claims.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Claims a node; `None` when another value of this process has it.
    pub(super) fn claim(&self, path: &str) -> Option<Claim> {
        let is_free = self.claims(|claims| claims.insert(path.to_owned()));
        is_free.then(|| Claim { session: self.clone(), path: path.to_owned() })
    }

    /// Canal's tree, as the URL places it.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.inner.tree
    }

    /// This machine's address on the way to the ensemble, as far as the system can tell; what a client
    /// calls itself before it is connected to a server. Asks the system only.
    #[must_use]
    pub fn local_ip(&self) -> String {
        local_ip(&self.inner.servers).unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()).to_string()
    }

    /// The servers of the ensemble.
    #[must_use]
    pub fn servers(&self) -> &str {
        &self.inner.servers
    }

    /// The id, by which ephemeral nodes name their owner.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.inner.client.session_id().0
    }

    /// The timeout that the ensemble granted.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.inner.client.session_timeout()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> ZkStatus {
        let contact = Duration::from_millis(self.inner.contact_ms.load(Ordering::Relaxed));
        ZkStatus {
            state: self.inner.client.state().to_string(),
            session_id: self.id(),
            session_timeout: self.timeout(),
            last_contact: self.inner.born.elapsed().saturating_sub(contact),
            watches: self.inner.watches.load(Ordering::Relaxed),
        }
    }

    /// True when it will never answer again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.inner.client.state().is_terminated()
    }

    /// Waits until it is over; says how it ended.
    pub async fn ended(&self) -> ZkError {
        let mut states = self.inner.client.state_watcher();
        let mut state = states.peek_state();
        while !state.is_terminated() {
            state = states.changed().await;
        }
        self.ended_with(&state.to_string())
    }

    fn ended_with(&self, reason: &str) -> ZkError {
        ZkError::SessionEnded { servers: self.inner.servers.clone(), reason: reason.to_owned() }
    }

    /// Ends the session, unless a clone is left, and waits up to `deadline` until the ensemble knows.
    pub async fn close(self, deadline: Duration) {
        let states = self.inner.client.state_watcher();
        drop(self);
        // Over or not: nothing of it is left here.
        let _told: bool = timeout(deadline, closed(states)).await.is_ok();
    }

    fn touch(&self) {
        let ms = u64::try_from(self.inner.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.inner.contact_ms.store(ms, Ordering::Relaxed);
    }

    fn watch(&self, watcher: OneshotWatcher) -> NodeWatch {
        self.inner.watches.fetch_add(1, Ordering::Relaxed);
        NodeWatch { watcher, counted: Counted(self.clone()) }
    }

    /// `None` stands for "no such node" and its kin, named by `expected`.
    async fn operate<T>(
        &self,
        doing: &'static str,
        path: &str,
        expected: Error,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, ZkError> {
        match timeout(OPERATION_DEADLINE, operation).await {
            Ok(Ok(value)) => {
                self.touch();
                Ok(Some(value))
            }
            Ok(Err(error)) if error == expected => {
                self.touch();
                Ok(None)
            }
            Ok(Err(Error::SessionExpired)) => Err(self.ended_with("it has expired")),
            Ok(Err(Error::ClientClosed)) => Err(self.ended_with("it is closed")),
            Ok(Err(source)) => Err(ZkError::Operation {
                servers: self.inner.servers.clone(),
                doing,
                path: path.to_owned(),
                source,
            }),
            Err(_) => Err(ZkError::Deadline {
                servers: self.inner.servers.clone(),
                doing,
                path: path.to_owned(),
                after: OPERATION_DEADLINE,
            }),
        }
    }

    /// Data and stat of a node; `None` when it is not there.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn get(&self, path: &str) -> Result<Option<(Vec<u8>, Stat)>, ZkError> {
        self.operate("read", path, Error::NoNode, self.inner.client.get_data(path)).await
    }

    /// As [`Self::get`], with a watch for whatever happens to the node next: its creation, too.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn get_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<(Vec<u8>, Stat)>, NodeWatch), ZkError> {
        loop {
            let reading = self.inner.client.get_and_watch_data(path);
            if let Some((data, stat, watcher)) =
                self.operate("read", path, Error::NoNode, reading).await?
            {
                return Ok((Some((data, stat)), self.watch(watcher)));
            }
            let checking = self.inner.client.check_and_watch_stat(path);
            let checked = self.operate("look at", path, Error::NoNode, checking).await?;
            // Otherwise it came in between.
            if let Some((None, watcher)) = checked {
                return Ok((None, self.watch(watcher)));
            }
        }
    }

    /// As [`Self::get_and_watch`], as the leader of the ensemble has it by now. The server that we are connected
    /// to may have lost the leader some seconds ago without knowing it, and answers from memory until then: also
    /// with a node that is another's since.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn get_latest_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<(Vec<u8>, Stat)>, NodeWatch), ZkError> {
        // Sent before the future is polled, and answered before what is asked behind it.
        let asked = self.inner.client.sync(path);
        let found = self.get_and_watch(path).await?;
        self.operate("ask the leader for", path, Error::NoNode, asked).await?;
        Ok(found)
    }

    /// The children of a node, with a watch; for a node that is not there a watch for its creation.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn children_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<Vec<String>>, NodeWatch), ZkError> {
        loop {
            let listing = self.inner.client.list_and_watch_children(path);
            if let Some((children, watcher)) =
                self.operate("list", path, Error::NoNode, listing).await?
            {
                return Ok((Some(children), self.watch(watcher)));
            }
            let checking = self.inner.client.check_and_watch_stat(path);
            let checked = self.operate("look at", path, Error::NoNode, checking).await?;
            if let Some((None, watcher)) = checked {
                return Ok((None, self.watch(watcher)));
            }
        }
    }

    /// The children of a node; `None` when it is not there.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn children(&self, path: &str) -> Result<Option<Vec<String>>, ZkError> {
        self.operate("list", path, Error::NoNode, self.inner.client.list_children(path)).await
    }

    /// Creates a persistent node, with its parents. An existing one is left as it is.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn create_persistent(&self, path: &str) -> Result<(), ZkError> {
        let creating = self.inner.client.mkdir(path, &PERSISTENT);
        self.operate("create", path, Error::NodeExists, creating).await.map(|_| ())
    }

    /// Creates a node that lives as long as the session, with its parents. `None`: there is one.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn create_ephemeral(&self, path: &str, data: &[u8]) -> Result<Option<Stat>, ZkError> {
        self.create_with_parents(path, data, &EPHEMERAL).await
    }

    async fn create_with_parents(
        &self,
        path: &str,
        data: &[u8],
        options: &CreateOptions<'static>,
    ) -> Result<Option<Stat>, ZkError> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        for _ in 0..2 {
            let creating = self.inner.client.create(path, data, options);
            match self.operate("create", path, Error::NodeExists, creating).await {
                Ok(created) => return Ok(created.map(|(stat, _)| stat)),
                Err(ZkError::Operation { source: Error::NoNode, .. }) => {
                    self.create_persistent(parent).await?;
                }
                Err(error) => return Err(error),
            }
        }
        // Somebody removes the parents as quickly as they are made.
        Err(ZkError::Operation {
            servers: self.inner.servers.clone(),
            doing: "create",
            path: path.to_owned(),
            source: Error::NoNode,
        })
    }

    /// Writes a node that has `version`, or any; `None`: it has another one, or is not there.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Option<Stat>, ZkError> {
        let writing = self.inner.client.set_data(path, data, version);
        match self.operate("write", path, Error::BadVersion, writing).await {
            Err(ZkError::Operation { source: Error::NoNode, .. }) => Ok(None),
            other => other,
        }
    }

    /// Creates a persistent node with its parents and data, or writes it whatever it holds.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn put(&self, path: &str, data: &[u8]) -> Result<Stat, ZkError> {
        loop {
            if let Some(stat) = self.set(path, data, None).await? {
                return Ok(stat);
            }
            if let Some(stat) = self.create(path, data).await? {
                return Ok(stat);
            }
        }
    }

    /// Creates a persistent node with its parents and data. `None`: there is one.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn create(&self, path: &str, data: &[u8]) -> Result<Option<Stat>, ZkError> {
        self.create_with_parents(path, data, &PERSISTENT).await
    }

    /// Removes a node that has `version`, or any. False: it is not there, or has another one.
    ///
    /// # Errors
    /// [`ZkError`]
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<bool, ZkError> {
        let deleting = self.inner.client.delete(path, version);
        match self.operate("remove", path, Error::NoNode, deleting).await {
            Ok(deleted) => Ok(deleted.is_some()),
            Err(ZkError::Operation { source: Error::BadVersion, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A node may be there that nobody owns any more: it is looked at soon, and removed if it is ours.
    pub(super) fn suspect(&self, path: &str) {
        self.inner.suspects.add(path);
    }

    /// The session behind a reference that does not keep it, while it is there.
    pub(super) fn upgrade(inner: &Weak<Inner>) -> Option<Self> {
        inner.upgrade().map(|inner| Self { inner })
    }

    /// Asks for a node's removal without waiting for it: for the end of a value that owns the node.
    pub(super) fn delete_in_passing(&self, path: &str) {
        // The request is sent before the future is polled.
        drop(self.inner.client.delete(path, None));
    }
}

/// Nothing is sent: the system only looks up the way. Only literal addresses are asked for, since
/// looking a name up would block.
fn local_ip(servers: &str) -> Option<IpAddr> {
    let target: SocketAddr = servers.split(',').find_map(|server| server.parse().ok())?;
    let any = SocketAddr::new(if target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() }, 0);
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

async fn closed(mut states: StateWatcher) {
    let mut state = states.peek_state();
    while !matches!(state, SessionState::Closed | SessionState::Expired | SessionState::AuthFailed)
    {
        state = states.changed().await;
    }
}
