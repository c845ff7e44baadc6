//! The file of one destination, replaced as a whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{create_private, meta};
use crate::StateError;
use crate::cursor::{Client, State};
use crate::store::BATCH_IDS_STEP;

/// Bytes a cursor file can have: it is read as a whole. What clients can bring to it, above all their
/// filters, is bounded far below, where they subscribe.
const LEN_MAX: u64 = 256 << 20;

/// `meta.dat` with its previous generation beside it. Holds the lock of the state directory.
#[derive(Debug)]
pub(crate) struct MetaFile {
    directory: PathBuf,
    current: PathBuf,
    previous: PathBuf,
    temporary: PathBuf,
    /// Whether `current` is damaged: it must then not take the place of its previous generation.
    damaged: AtomicBool,
    _lock: Arc<File>,
}

enum Found {
    Nothing,
    Damaged(String),
    Clients(Vec<Client>),
}

impl MetaFile {
    pub(super) fn new(directory: PathBuf, lock: Arc<File>) -> Self {
        Self {
            current: directory.join("meta.dat"),
            previous: directory.join("meta.dat.prev"),
            temporary: directory.join("meta.dat.tmp"),
            directory,
            damaged: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Whether a folder has one, of this generation or the one before.
    pub(super) fn is_in(folder: &Path) -> bool {
        folder.join("meta.dat").exists() || folder.join("meta.dat.prev").exists()
    }

    pub(super) fn load(&self) -> Result<Vec<Client>, StateError> {
        let detail = match read(&self.current)? {
            Found::Clients(clients) => return Ok(clients),
            Found::Nothing => "it is missing".to_owned(),
            Found::Damaged(detail) => detail,
        };
        match (read(&self.previous)?, detail.as_str()) {
            (Found::Nothing, "it is missing") => Ok(Vec::new()),
            (Found::Nothing, _) => Err(self.both_damaged(detail, "it is missing".to_owned())),
            (Found::Damaged(previous), _) => Err(self.both_damaged(detail, previous)),
            (Found::Clients(mut clients), _) => {
                self.damaged.store(true, Ordering::Relaxed);
                tracing::warn!(
                    file = %self.current.display(),
                    error = detail,
                    "cursor file damaged, going on from its previous generation"
                );
                // The lost generation may have reserved a step more.
                for client in &mut clients {
                    client.batch_ids = client.batch_ids.saturating_add(BATCH_IDS_STEP);
                }
                Ok(clients)
            }
        }
    }

    fn both_damaged(&self, detail: String, previous_detail: String) -> StateError {
        StateError::Damaged { path: self.current.clone(), detail, previous_detail }
    }

    /// Replaces the file. After a crash at any moment either the new content or the old one is there,
    /// as `meta.dat` or as its previous generation.
    pub(crate) fn store(&self, state: &State) -> Result<(), StateError> {
        let bytes = meta::print(state).map_err(|e| StateError::Write {
            path: self.current.clone(),
            source: std::io::Error::other(e),
        })?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > LEN_MAX) {
            let (path, len) = (self.current.clone(), bytes.len());
            return Err(StateError::TooLong { path, len, max: LEN_MAX });
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Write { path, source }
        };
        let mut file = create_private(&self.temporary).map_err(failed(&self.temporary))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed(&self.temporary))?;
        if !self.damaged.load(Ordering::Relaxed) {
            match fs::rename(&self.current, &self.previous) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(&self.previous)(e)),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.temporary, &self.current).map_err(failed(&self.current))?;
        self.damaged.store(false, Ordering::Relaxed);
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed(&self.directory))
    }
}

fn read(path: &Path) -> Result<Found, StateError> {
    let failed = |source| StateError::Read { path: path.to_owned(), source };
    let len = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(failed(e)),
    };
    if len > LEN_MAX {
        return Ok(Found::Damaged(format!("{len} bytes are too many")));
    }
    let bytes = fs::read(path).map_err(failed)?;
    Ok(meta::parse(&bytes).map_or_else(Found::Damaged, Found::Clients))
}
