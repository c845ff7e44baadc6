//! State in a local directory.

mod directory;
mod file;
mod meta;
mod writer;

pub use directory::StateDirectory;
pub use meta::{Client, Cursor, Resume, SourceAddress};
pub use writer::{CursorStore, CursorWriter, Written};
