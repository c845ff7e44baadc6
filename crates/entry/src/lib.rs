//! Canal's change model: binlog events in, `Entry` messages out, byte for byte as Canal writes them.
//!
//! Knows nothing of sockets or servers.

mod block;

pub use block::{Block, EntryInfo, EntryKind};
