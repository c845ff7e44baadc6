//! State in a local directory.

mod directory;
mod file;
mod meta;

pub use directory::StateDirectory;
pub(crate) use file::MetaFile;
