//! State in a local directory.

mod directory;
mod file;
mod meta;
mod record_log;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

pub use directory::StateDirectory;
pub(crate) use file::MetaFile;
pub use record_log::RecordLog;

/// An empty file that only its owner can read: filters and structures tell what is in a database.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
