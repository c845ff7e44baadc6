//! The state in memory, and the task that writes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::file::{BATCH_IDS_STEP, MetaFile};
use super::meta::{Client, Cursor, SourceAddress};
use crate::StateError;

/// Least time between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(25);

/// Time between two attempts while writing fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Attempts of the last write.
const LAST_ATTEMPTS: u32 = 3;

/// The state of one destination.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) destination: String,
    pub(super) address: SourceAddress,
    pub(super) clients: Vec<Client>,
    pub(super) generation: u64,
}

/// How far writing has come.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Every change up to this number is on disk.
    pub generation: u64,
    /// Why the latest attempt failed, if it did. It is tried again every second.
    pub error: Option<Arc<StateError>>,
}

/// Clients, cursors and batch ids of a destination. A change is in memory at once and on disk soon
/// after; each has a number, which [`Written::generation`] reaches when it is on disk.
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
    file: Arc<MetaFile>,
    state: watch::Receiver<State>,
    written: watch::Sender<Written>,
}

pub(super) fn open(
    file: MetaFile,
    destination: &str,
    address: SourceAddress,
    clients: Vec<Client>,
) -> Result<(CursorStore, CursorWriter), StateError> {
    let destination = destination.to_owned();
    let state = State { destination, address, clients, generation: 0 };
    file.store(&state)?;
    let (state_sender, state) = watch::channel(state);
    let (written_sender, written) = watch::channel(Written::default());
    Ok((
        CursorStore { state: state_sender, written },
        CursorWriter { file: Arc::new(file), state, written: written_sender },
    ))
}

impl CursorStore {
    /// All clients, in the order in which they subscribed.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.state.borrow().clients.clone()
    }

    /// How many clients are known.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.state.borrow().clients.len()
    }

    /// The cursor of a client.
    #[must_use]
    pub fn cursor(&self, client_id: i16) -> Option<Cursor> {
        let state = self.state.borrow();
        state.clients.iter().find(|client| client.id == client_id)?.cursor.clone()
    }

    /// Adds a client, or replaces its filter. Returns the number of the change.
    pub fn subscribe(&self, client_id: i16, filter: Option<&str>) -> u64 {
        self.change(|clients| {
            let filter = filter.map(str::to_owned);
            match clients.iter_mut().find(|client| client.id == client_id) {
                Some(client) => client.filter = filter,
                None => clients.push(Client { id: client_id, filter, cursor: None, batch_ids: 0 }),
            }
        })
    }

    /// Forgets a client. Returns the number of the change.
    pub fn unsubscribe(&self, client_id: i16) -> u64 {
        self.change(|clients| clients.retain(|client| client.id != client_id))
    }

    /// Sets the cursor of a known client. Returns the number of the change.
    pub fn set_cursor(&self, client_id: i16, cursor: Cursor) -> u64 {
        self.change(|clients| {
            if let Some(client) = clients.iter_mut().find(|client| client.id == client_id) {
                client.cursor = Some(cursor);
            }
        })
    }

    /// Sets a cursor for every client that has none. Returns the number of the change.
    pub fn set_first_cursor(&self, cursor: &Cursor) -> u64 {
        self.change(|clients| {
            for client in clients.iter_mut().filter(|client| client.cursor.is_none()) {
                client.cursor = Some(cursor.clone());
            }
        })
    }

    /// Reserves batch ids beyond `from`, which is the last one in use. Returns the last reserved id,
    /// usable once the change with the number that comes with it is on disk.
    pub fn reserve_batch_ids(&self, client_id: i16, from: i64) -> (i64, u64) {
        let last = from.saturating_add(BATCH_IDS_STEP);
        let generation = self.change(|clients| {
            if let Some(client) = clients.iter_mut().find(|client| client.id == client_id) {
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

    fn change(&self, change: impl FnOnce(&mut Vec<Client>)) -> u64 {
        let mut generation = 0;
        self.state.send_modify(|state| {
            change(&mut state.clients);
            state.generation += 1;
            generation = state.generation;
        });
        generation
    }
}

impl CursorWriter {
    /// Writes whatever changes, until the [`CursorStore`] is dropped and its last change is on disk.
    ///
    /// Dropping the future loses the changes of the last 25 ms; their rows are then delivered again.
    ///
    /// # Errors
    /// When the last write fails. Earlier failures are logged, shown in [`Written::error`], and tried
    /// again.
    pub async fn run(mut self) -> Result<(), StateError> {
        let mut failing = false;
        while self.state.changed().await.is_ok() {
            let pause = match self.write().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("cursors can be written again");
                    }
                    WRITE_INTERVAL
                }
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
                Err(error) if attempt == LAST_ATTEMPTS => {
                    return Err(StateError::Write {
                        path: error_path(&error),
                        source: std::io::Error::other(error.to_string()),
                    });
                }
                Err(_) => {
                    attempt += 1;
                    sleep(WRITE_INTERVAL).await;
                }
            }
        }
    }

    /// Waits until the store is dropped, whatever else happens to it.
    async fn closed(state: &watch::Receiver<State>) {
        let mut state = state.clone();
        state.mark_unchanged();
        while state.changed().await.is_ok() {}
    }

    async fn write(&mut self) -> Result<(), Arc<StateError>> {
        let state = self.state.borrow_and_update().clone();
        let file = Arc::clone(&self.file);
        let generation = state.generation;
        let result = match spawn_blocking(move || file.store(&state)).await {
            Ok(result) => result.map_err(Arc::new),
            Err(e) => Err(Arc::new(StateError::Write {
                path: "meta.dat".into(),
                source: std::io::Error::other(e),
            })),
        };
        self.written.send_modify(|written| match &result {
            Ok(()) => *written = Written { generation, error: None },
            Err(error) => written.error = Some(Arc::clone(error)),
        });
        result
    }
}

fn error_path(error: &StateError) -> std::path::PathBuf {
    match error {
        StateError::Create { path, .. }
        | StateError::Write { path, .. }
        | StateError::Read { path, .. }
        | StateError::InUse { path }
        | StateError::Damaged { path, .. } => path.clone(),
        StateError::Name { destination } => destination.into(),
    }
}
