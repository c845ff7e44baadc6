//! Canal's client protocol as bytes: frames, packets, the password scramble; the entries in a batch, and
//! the flat JSON that Canal makes of them.
//!
//! Pure: bytes and values in, bytes and values out. It knows neither sockets nor binlogs. A server reads
//! [`Request`]s and writes the frames of [`reply`]; a client writes [`request`] frames, reads [`Reply`]s,
//! and in them [`entry::Entry`]s.
//!
//! [`Backoff`] is how long both wait between attempts.
//!
//! Every length is checked before it is believed, unknown fields are stepped over, and a field whose
//! wire type differs from the declared one is an error.

mod backoff;
pub mod entry;
pub mod flat;
mod frame;
mod packet;
pub mod piece;
pub mod protobuf;
pub mod reply;
pub mod request;
mod scramble;

pub use backoff::Backoff;
pub use frame::{
    FrameDecoder, FrameError, HEADER_LEN, LIMIT_AFTER_LOGIN, LIMIT_BEFORE_LOGIN, LIMIT_CLIENT,
    body_len, frame,
};
pub use packet::{
    Ack, BatchRef, ClientAuth, Get, Handshake, Messages, Packet, PacketError, PacketType, Reply,
    Request, Subscription, Text,
};
pub use scramble::{HashError, PasswordHash, SEED_LEN, token};
