//! What can be wrong with the place where cursors lie.

use std::path::PathBuf;

use thiserror::Error;

use crate::ZkError;

/// A state directory, or a tree in ZooKeeper, that cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It cannot be created.
    #[error(
        "the state directory {} cannot be created: {source}; choose another one or change its \
         parent's permissions",
        path.display()
    )]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file in it cannot be written.
    #[error(
        "{} cannot be written: {source}; check the permissions and free space of the state directory",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What would be written could not be read again.
    #[error(
        "{} would have {len} bytes and could not be read again, {max} are allowed: unsubscribe clients that \
         nobody uses",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Bytes it would have.
        len: usize,
        /// Bytes it can have.
        max: u64,
    },
    /// A file in it cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not the one any more that was opened.
    #[error(
        "{} was removed or replaced while the server works with it: put it back as it was, or stop the server \
         and start it with --from at the place that its clients have acknowledged",
        path.display()
    )]
    Gone {
        /// What is not there.
        path: PathBuf,
    },
    /// Another process works with it.
    #[error(
        "the state directory {} is in use by another process: stop that one, or give this one a \
         directory of its own",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A destination whose name is no file name.
    #[error("`{destination}` cannot be the name of a destination: it must be a plain file name")]
    Name {
        /// The name.
        destination: String,
    },
    /// Neither the cursor file nor its previous generation can be understood.
    #[error(
        "{} is damaged ({detail}) and so is its previous generation ({previous_detail}): the acked \
         position is not known. Restore one of them from a backup, or remove both to start at the \
         configured position",
        path.display()
    )]
    Damaged {
        /// The cursor file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What is wrong with its previous generation.
        previous_detail: String,
    },
    /// A file of records is damaged elsewhere than at its end.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    DamagedLog {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// Cursors cannot be read from, or written to, ZooKeeper.
    #[error("cursors: {0}")]
    ZooKeeper(#[from] ZkError),
}
