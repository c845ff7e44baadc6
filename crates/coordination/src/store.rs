//! The state in memory, and the task that writes it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::StateError;
use crate::cursor::{Client, Cursor, SourceAddress, State};
use crate::local::MetaFile;
use crate::zookeeper::{ZkCursors, ZkError};

/// Batch ids that are reserved at a time.
pub(crate) const BATCH_IDS_STEP: i64 = 1 << 16;

/// Least time between two writes of a file.
const FILE_INTERVAL: Duration = Duration::from_millis(25);

/// Least time between two writes to ZooKeeper, which others need too.
const ZOOKEEPER_INTERVAL: Duration = Duration::from_millis(250);

/// Time between two attempts while writing fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Attempts of the last write.
const LAST_ATTEMPTS: u32 = 3;

/// How far writing has come.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Every change up to this number is on disk, or in ZooKeeper.
    pub generation: u64,
    /// Why the latest attempt failed, if it did. It is tried again every second.
    pub error: Option<Arc<StateError>>,
    /// Since when attempts fail.
    pub failing_since: Option<SystemTime>,
}

/// Clients, cursors and batch ids of a destination. A change is in memory at once and on disk, or in
/// ZooKeeper, soon after; each has a number, which [`Written::generation`] reaches when it is there.
///
/// Dropping it lets the [`CursorWriter`] write what is left and end.
#[derive(Debug)]
pub struct CursorStore {
    state: watch::Sender<State>,
    written: watch::Receiver<Written>,
}

/// Writes the state of a destination. Must be run: see [`Self::run`].
#[derive(Debug)]
#[must_use]
pub struct CursorWriter {
    place: Place,
    state: watch::Receiver<State>,
    written: watch::Sender<Written>,
}

/// Where the state lies.
#[derive(Debug)]
enum Place {
    File(Arc<MetaFile>),
    ZooKeeper(Box<ZkCursors>),
}

impl Place {
    const fn interval(&self) -> Duration {
        match self {
            Self::File(_) => FILE_INTERVAL,
            Self::ZooKeeper(_) => ZOOKEEPER_INTERVAL,
        }
    }

    async fn store(&mut self, state: State) -> Result<(), StateError> {
        match self {
            Self::File(file) => {
                let file = Arc::clone(file);
                spawn_blocking(move || file.store(&state)).await.unwrap_or_else(|e| {
                    Err(StateError::Write {
                        path: "meta.dat".into(),
                        source: std::io::Error::other(e),
                    })
                })
            }
            Self::ZooKeeper(cursors) => Ok(cursors.store(&state).await?),
        }
    }
}

/// Opens what lies in a file, and writes it once.
pub(crate) fn open_local(
    file: MetaFile,
    destination: &str,
    address: SourceAddress,
    clients: Vec<Client>,
) -> Result<(CursorStore, CursorWriter), StateError> {
    let state = State::new(destination, address, clients);
    file.store(&state)?;
    Ok(open(Place::File(Arc::new(file)), state))
}

/// Opens what lies in ZooKeeper.
pub(crate) fn open_zookeeper(
    cursors: ZkCursors,
    destination: &str,
    address: SourceAddress,
    clients: Vec<Client>,
) -> (CursorStore, CursorWriter) {
    let state = State::new(destination, address, clients);
    open(Place::ZooKeeper(Box::new(cursors)), state)
}

fn open(place: Place, state: State) -> (CursorStore, CursorWriter) {
    let (state_sender, state) = watch::channel(state);
    let (written_sender, written) = watch::channel(Written::default());
    (
        CursorStore { state: state_sender, written },
        CursorWriter { place, state, written: written_sender },
    )
}

/// Bytes that a text takes in a state file.
#[must_use]
pub fn stored_len(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(of).sum()
}

impl CursorStore {
    /// All clients, in the order in which they subscribed.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let mut state = self.state.borrow().clone();
        state.share_out();
        state.clients
    }

    /// How many clients are known.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.state.borrow().clients.len()
    }

    /// Bytes that the filters of all clients but one take in a state file.
    #[must_use]
    pub fn filter_bytes(&self, but: i16) -> usize {
        let state = self.state.borrow();
        let others = state.clients.iter().filter(|client| client.id != but);
        others.filter_map(|client| client.filter.as_deref()).map(stored_len).sum()
    }

    /// The cursor of a client.
    #[must_use]
    pub fn cursor(&self, client_id: i16) -> Option<Cursor> {
        let state = self.state.borrow();
        let client = state.clients.iter().find(|client| client.id == client_id)?;
        state.cursor_of(client).cloned()
    }

    /// Adds a client, or replaces its filter. Returns the number of the change.
    pub fn subscribe(&self, client_id: i16, filter: Option<&str>) -> u64 {
        self.change(|State { clients, .. }| {
            let filter = filter.map(str::to_owned);
            match clients.iter_mut().find(|client| client.id == client_id) {
                Some(client) => client.filter = filter,
                None => clients.push(Client { id: client_id, filter, cursor: None, batch_ids: 0 }),
            }
        })
    }

    /// Forgets a client. Returns the number of the change.
    pub fn unsubscribe(&self, client_id: i16) -> u64 {
        self.change(|state| state.clients.retain(|client| client.id != client_id))
    }

    /// Sets the cursor of a known client. Returns the number of the change.
    pub fn set_cursor(&self, client_id: i16, cursor: Cursor) -> u64 {
        self.change(|state| {
            state.share_out();
            if let Some(client) = state.clients.iter_mut().find(|client| client.id == client_id) {
                client.cursor = Some(cursor);
            }
        })
    }

    /// Sets a cursor for every client that has none. Returns the number of the change.
    pub fn set_first_cursor(&self, cursor: &Cursor) -> u64 {
        self.change(|state| {
            state.share_out();
            for client in state.clients.iter_mut().filter(|client| client.cursor.is_none()) {
                client.cursor = Some(cursor.clone());
            }
        })
    }

    /// Sets the cursors of all clients, and of those that come later. Costs the same for any number of
    /// clients. Returns the number of the change.
    pub fn set_all_cursors(&self, cursor: Cursor) -> u64 {
        self.change(|state| state.common = Some(cursor))
    }

    /// Reserves batch ids beyond `from`, which is the last one in use. Returns the last reserved id,
    /// usable once the change with the number that comes with it is on disk.
    pub fn reserve_batch_ids(&self, client_id: i16, from: i64) -> (i64, u64) {
        let last = from.saturating_add(BATCH_IDS_STEP);
        let generation = self.change(|state| {
            if let Some(client) = state.clients.iter_mut().find(|client| client.id == client_id) {
                client.batch_ids = client.batch_ids.max(last);
            }
        });
        (last, generation)
    }

    /// How far writing has come: to look at, or to wait on.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<Written> {
        self.written.clone()
    }

    /// Ends changes: later ones are not made, and their numbers never reached. The writer writes what
    /// is left and ends, whoever still holds this value.
    pub fn close(&self) {
        self.state.send_modify(|state| state.is_closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> u64 {
        let mut generation = 0;
        self.state.send_if_modified(|state| {
            generation = state.generation + 1;
            if state.is_closed {
                return false;
            }
            change(state);
            state.generation = generation;
            true
        });
        generation
    }
}

impl CursorWriter {
    /// Writes whatever changes, until the [`CursorStore`] is closed or dropped and its last change is
    /// written.
    ///
    /// Dropping the future loses the changes of the last interval (25 ms in a file, 250 ms in
    /// ZooKeeper); their rows are then delivered again.
    ///
    /// # Errors
    /// When the last write fails, or another server is active. Other failures are logged, shown in
    /// [`Written::error`], and tried again.
    pub async fn run(mut self) -> Result<(), Arc<StateError>> {
        let mut failing = false;
        while self.state.changed().await.is_ok() && !self.state.borrow().is_closed {
            let pause = match self.write().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("cursors can be written again");
                    }
                    self.place.interval()
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%error, "cursors cannot be written, trying again");
                    }
                    self.state.mark_changed();
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = Self::closed(&self.state) => break,
            }
        }
        let mut attempt = 1;
        loop {
            if self.state.borrow().generation == self.written.borrow().generation {
                return Ok(());
            }
            match self.write().await {
                Ok(()) => {}
                Err(error) if attempt == LAST_ATTEMPTS || error.is_final() => return Err(error),
                Err(_) => {
                    attempt += 1;
                    sleep(self.place.interval()).await;
                }
            }
        }
    }

    /// Waits until the store is closed or dropped, whatever else happens to it.
    async fn closed(state: &watch::Receiver<State>) {
        let mut state = state.clone();
        // An error means that it is dropped.
        let _closed: bool = state.wait_for(|state| state.is_closed).await.is_ok();
    }

    async fn write(&mut self) -> Result<(), Arc<StateError>> {
        let mut state = self.state.borrow_and_update().clone();
        state.share_out();
        let generation = state.generation;
        let result = self.place.store(state).await.map_err(Arc::new);
        self.written.send_modify(|written| match &result {
            Ok(()) => *written = Written { generation, ..Written::default() },
            Err(error) => {
                written.error = Some(Arc::clone(error));
                written.failing_since.get_or_insert_with(SystemTime::now);
            }
        });
        result
    }
}

impl StateError {
    /// Whether trying again is of no use: somebody else is the owner now.
    const fn is_final(&self) -> bool {
        matches!(self, Self::ZooKeeper(ZkError::Fenced { .. } | ZkError::SessionEnded { .. }))
    }
}
