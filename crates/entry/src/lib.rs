//! Canal's change model: binlog events in, `Entry` messages out, byte for byte as Canal writes them.
//! What reads them is in `towpath-protocol`.
//!
//! Knows nothing of sockets or servers. [`Decoder`] is the whole way in: feed it events, take
//! [`Block`]s of encoded entries from it.

mod arena;
mod block;
mod decoder;
mod error;
mod filter;
mod message;
mod output;
mod plan;
mod rows;
mod text;

pub use block::{Block, Context, EntryInfo, EntryKind};
pub use decoder::{
    Boundary, Decoder, DecoderOptions, DoubtfulStatement, GtidSet, Step, StructureRecord, Suppress,
    UnknownTable,
};
pub use error::DecodeError;
pub use filter::{
    FILTER_LEN_MAX, FieldFilter, FieldFilterError, FilterError, TableFilter, filter_remarks,
    filter_within, shown_filter,
};
pub use text::{Zone, ZoneError, statement_text};
