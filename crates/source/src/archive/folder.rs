//! The folder for files on their way. It keeps a list of what it made, and removes nothing else.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Recovery, SourceError};

/// Names of the files made here, one a line, each written before its file is made.
const LIST: &str = "downloads.list";

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    list: Mutex<File>,
    next: AtomicU64,
}

/// A file in the folder. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Download {
    path: PathBuf,
    file: Option<File>,
    name: String,
    host: String,
    _folder: Arc<Folder>,
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> SourceError {
    move |source| SourceError::File { path: path.to_owned(), source }
}

impl Folder {
    /// Makes the folder if it is missing; removes what was made here before.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        fs::create_dir_all(path).map_err(failed(path))?;
        let list_path = path.join(LIST);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut list = options.open(&list_path).map_err(failed(&list_path))?;
        // What is in it may be in use by the process that wrote it.
        match list.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(&list_path)(error)),
            Err(TryLockError::WouldBlock) => {
                return Err(SourceError::Archive {
                    place: path.display().to_string(),
                    doing: "take the folder for downloads",
                    reason: "another process uses it: give each a --rds-folder of its own"
                        .to_owned(),
                    recovery: Recovery::Retry,
                });
            }
        }
        let mut listed = String::new();
        list.read_to_string(&mut listed).map_err(failed(&list_path))?;
        for name in listed.lines().filter(|name| is_ours(name)) {
            let left = path.join(name);
            match fs::remove_file(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&left)(error));
                }
                _ => {}
            }
        }
        list.set_len(0).and_then(|()| list.rewind()).map_err(failed(&list_path))?;
        Ok(Self { path: path.to_owned(), list: Mutex::new(list), next: AtomicU64::new(0) })
    }

    /// A new file for the binlog `name` of a host.
    pub(super) fn begin(self: &Arc<Self>, name: &str, host: &str) -> Result<Download, SourceError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let own = format!("towpath-{}-{number}-{name}", std::process::id());
        let path = self.path.join(&own);
        {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(list, "{own}").map_err(failed(&self.path.join(LIST)))?;
        }
        let file =
            File::options().write(true).create_new(true).open(&path).map_err(failed(&path))?;
        let (name, host) = (name.to_owned(), host.to_owned());
        Ok(Download { path, file: Some(file), name, host, _folder: Arc::clone(self) })
    }
}

/// A list that somebody changed must not lead out of the folder.
fn is_ours(name: &str) -> bool {
    name.starts_with("towpath-") && !name.contains(['/', '\\'])
}

impl Download {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(failed(&self.path))
    }

    /// All of it is written. It need not survive a crash: it is downloaded again.
    pub(super) fn finish(&mut self) -> Result<(), SourceError> {
        match self.file.take() {
            Some(mut file) => file.flush().map_err(failed(&self.path)),
            None => Ok(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // What stays is in the list, and removed at the next start.
        let _removed: bool = fs::remove_file(&self.path).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_here_is_removed() {
        let parent = std::env::temp_dir().join(format!("towpath-folder-{}", std::process::id()));
        let path = parent.join("inner");
        let folder = Arc::new(Folder::open(&path).unwrap());
        for name in ["mysql-bin.000001", "towpath-old"] {
            fs::write(path.join(name), "keep").unwrap();
        }
        fs::write(parent.join("towpath-outside"), "keep").unwrap();
        let mut download = folder.begin("mysql-bin.000001", "h").unwrap();
        download.write(b"abc").unwrap();
        download.finish().unwrap();
        let made = download.path().to_owned();
        assert_eq!(fs::read(&made).unwrap(), b"abc");
        drop(download);
        assert!(!made.exists());

        let said = Folder::open(&path).unwrap_err().to_string();
        assert!(said.contains("another process uses it"), "{said}");
        drop(folder);

        // As a crash leaves it, and as somebody may have changed it.
        fs::write(&made, "left").unwrap();
        let mut list = fs::read_to_string(path.join(LIST)).unwrap();
        list.push_str("mysql-bin.000001\n../towpath-outside\ntowpath-/../../towpath-outside\n");
        fs::write(path.join(LIST), list).unwrap();
        let _folder = Folder::open(&path).unwrap();
        assert!(!made.exists());
        assert!(path.join("mysql-bin.000001").exists() && path.join("towpath-old").exists());
        assert!(parent.join("towpath-outside").exists());
        fs::remove_dir_all(parent).unwrap();
    }
}
