//! State in a local directory.

mod directory;
mod file;
mod meta;
mod record_log;

pub use directory::StateDirectory;
pub(crate) use file::MetaFile;
pub use record_log::RecordLog;
