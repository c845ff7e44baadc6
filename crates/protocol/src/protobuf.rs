//! Protobuf, as far as Canal's protocol needs it: one reader, one writer.
//!
//! The writer is also that of the decoder, for which its functions are made: small ones that are
//! inlined, and such as put into room that is there.

mod read;
mod write;

pub use read::{Fields, Malformed, Value};
pub use write::{
    bytes, head, int, len64, pair, put_head, put_varint, put_varint_loose, signed, two_bytes,
    varint, varint_len,
};
