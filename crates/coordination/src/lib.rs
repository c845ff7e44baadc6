//! Where the cursors of a destination's clients lie, and who may write them.
//!
//! The local half: one state directory of one process, with Canal's `meta.dat` for each destination.
//! It knows neither the source nor entries.
//!
//! - [`StateDirectory`] is held by one process at a time.
//! - [`CursorStore`] is the destination's state in memory; every change marks it as to be written.
//! - [`CursorWriter`] is the task that writes it: at once, but at most every 25 ms.

mod error;
mod local;

pub use error::StateError;
pub use local::{
    Client, Cursor, CursorStore, CursorWriter, Resume, SourceAddress, StateDirectory, Written,
};
