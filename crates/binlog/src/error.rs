//! What can be wrong with bytes that claim to be a binlog.

use thiserror::Error;

/// A fault inside one event. Offsets count from the first byte after the event header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The event ends inside a field.
    #[error("byte {offset} of the event body: {field} needs {need} bytes, {left} left")]
    Truncated {
        /// Name of the field in the manual's words.
        field: &'static str,
        /// Offset in the event body.
        offset: usize,
        /// Bytes that the field needs.
        need: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A field holds a value that no server writes.
    #[error("byte {offset} of the event body: {field} is {value}: {expected}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// Offset in the event body.
        offset: usize,
        /// The value found.
        value: u64,
        /// What was expected.
        expected: &'static str,
    },
    /// A length is above a named limit.
    #[error("{field} claims {claimed} bytes, the limit {limit_name} allows {limit}")]
    Limit {
        /// Name of the field.
        field: &'static str,
        /// The claimed length in bytes.
        claimed: u64,
        /// The limit in bytes.
        limit: u64,
        /// The name of the limit in the configuration.
        limit_name: &'static str,
    },
    /// Compressed bytes do not decompress.
    #[error("{field} does not decompress: {reason}")]
    Decompress {
        /// Name of the field.
        field: &'static str,
        /// What the decompressor said.
        reason: String,
    },
}

/// A fault in the sequence of events of one binlog file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{offset}: event type {event_type}: {source}")]
pub struct StreamError {
    /// Binlog file name.
    pub file: String,
    /// Offset at which the faulty event starts.
    pub offset: u64,
    /// Type code of the event (0 when its header could not be read).
    pub event_type: u8,
    /// What is wrong with it.
    #[source]
    pub source: StreamFault,
}

/// The kinds of [`StreamError`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamFault {
    /// The event's bytes are malformed.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// Header length and bytes at hand disagree.
    #[error("the header claims {claimed} bytes, {at_hand} are there")]
    Length {
        /// Length in the header.
        claimed: u32,
        /// Bytes given.
        at_hand: usize,
    },
    /// The checksum does not match.
    #[error("checksum is {found:08x}, the bytes give {computed:08x}: damaged, or not an event")]
    Checksum {
        /// The checksum stored in the event.
        found: u32,
        /// The CRC32 of its bytes.
        computed: u32,
    },
    /// The end position in the header does not fit the offset at which the event starts.
    #[error("the header says that the event ends at {log_pos}, counted from the start it is {end}")]
    Position {
        /// End position in the header (modulo 2^32).
        log_pos: u32,
        /// Start offset + length.
        end: u64,
    },
}
