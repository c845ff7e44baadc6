//! The directory, held by one process at a time.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::create_private;
use super::file::MetaFile;
use super::record_log::RecordLog;
use crate::StateError;
use crate::cursor::SourceAddress;
use crate::store::{self, CursorStore, CursorWriter};

/// Less than this and the next cursors have no room.
const PROBE_LEN: usize = 4096;

const PROBE_FILE: &str = "towpath.probe";
const LOCK_FILE: &str = "towpath.lock";
const HISTORY_FILE: &str = "schema.history";

/// A state directory, locked for this process until the value and every [`CursorWriter`] from it are
/// dropped. The operating system frees the lock when the process dies.
#[derive(Debug, Clone)]
#[must_use]
pub struct StateDirectory {
    path: PathBuf,
    lock: Arc<File>,
}

impl StateDirectory {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be created or written, or when another process holds it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path)
            .map_err(|source| StateError::Create { path: path.to_owned(), source })?;
        let lock_path = path.join(LOCK_FILE);
        let failed = |source| StateError::Write { path: lock_path.clone(), source };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Reads the state of a destination, and writes it once, so that a directory that cannot be
    /// written is known now. `address` is the source as configured, for Canal's eyes.
    ///
    /// Run the writer in a task; it ends after the last write, once the store is dropped. A
    /// destination must not be opened twice at a time.
    ///
    /// # Errors
    /// When the name is no file name, the state is damaged beyond its previous generation, or the
    /// directory cannot be written.
    pub fn destination(
        &self,
        destination: &str,
        address: SourceAddress,
    ) -> Result<(CursorStore, CursorWriter), StateError> {
        let directory = self.folder(destination)?;
        let file = MetaFile::new(directory, Arc::clone(&self.lock));
        let clients = file.load()?;
        store::open_local(file, destination, address, clients)
    }

    /// The same for a destination that was opened before, and whose state must therefore be there: without it
    /// clients would begin anew, behind rows that they never got.
    ///
    /// # Errors
    /// As [`Self::destination`]; [`StateError::Gone`].
    pub fn destination_again(
        &self,
        destination: &str,
        address: SourceAddress,
    ) -> Result<(CursorStore, CursorWriter), StateError> {
        self.check_held()?;
        let path = self.path.join(destination);
        if MetaFile::is_in(&path) {
            self.destination(destination, address)
        } else {
            Err(StateError::Gone { path })
        }
    }

    /// Whether the directory is still the one that was opened.
    fn check_held(&self) -> Result<(), StateError> {
        let gone = || StateError::Gone { path: self.path.clone() };
        let found = fs::metadata(self.path.join(LOCK_FILE)).map_err(|_| gone())?;
        let held = self.lock.metadata().map_err(|_| gone())?;
        if is_same(&found, &held) { Ok(()) } else { Err(gone()) }
    }

    /// The file in which a destination keeps its history of structures. It is not read yet.
    ///
    /// # Errors
    /// When the name is no file name, or its directory cannot be made.
    pub fn history(&self, destination: &str) -> Result<RecordLog, StateError> {
        let directory = self.folder(destination)?;
        let path = directory.join(HISTORY_FILE);
        Ok(RecordLog::new(path, directory, Arc::clone(&self.lock)))
    }

    /// Tries whether the directory can be written: a file of 4 KiB comes and goes.
    ///
    /// # Errors
    /// [`StateError::Write`], [`StateError::Gone`]
    pub fn probe(&self) -> Result<(), StateError> {
        self.check_held()?;
        let path = self.path.join(PROBE_FILE);
        let written = create_private(&path).and_then(|mut file| file.write_all(&[0; PROBE_LEN]));
        let removed = fs::remove_file(&path);
        written.and(removed).map_err(|source| StateError::Write { path, source })
    }

    fn folder(&self, destination: &str) -> Result<PathBuf, StateError> {
        let plain = !destination.is_empty()
            && !destination.starts_with('.')
            && !destination.contains(['/', '\\', '\0']);
        if !plain {
            return Err(StateError::Name { destination: destination.to_owned() });
        }
        let directory = self.path.join(destination);
        fs::create_dir_all(&directory)
            .map_err(|source| StateError::Create { path: directory.clone(), source })?;
        Ok(directory)
    }
}

#[cfg(unix)]
fn is_same(left: &Metadata, right: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

#[cfg(not(unix))]
fn is_same(_left: &Metadata, _right: &Metadata) -> bool {
    true
}
