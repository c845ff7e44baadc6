//! The frames a server sends, with their length in front.

use crate::frame::{FrameError, HEADER_LEN, frame, header};
use crate::packet::{Ack, Handshake, Packet, PacketType};
use crate::protobuf::{len64, varint, varint_len};
use crate::scramble::SEED_LEN;

/// Longest text in bytes that an error carries: it quotes requests.
const TEXT_LEN_MAX: usize = 8 << 10;

fn small(packet_type: PacketType, body: Option<&[u8]>) -> Vec<u8> {
    let packet = Packet { version: Some(1), body, ..Packet::of(packet_type) };
    let mut out = Vec::new();
    packet.write(&mut out);
    // Every caller's body is bounded far below 2 GiB.
    frame(&out).unwrap_or_default()
}

/// The greeting.
#[must_use]
pub fn handshake(seed: &[u8; SEED_LEN]) -> Vec<u8> {
    let mut body = Vec::new();
    Handshake { seeds: Some(seed), ..Handshake::default() }.write(&mut body);
    small(PacketType::Handshake, Some(&body))
}

/// Success.
#[must_use]
pub fn ok() -> Vec<u8> {
    small(PacketType::Ack, None)
}

/// An error. A text above 8 KiB is cut.
#[must_use]
pub fn error(code: i32, text: &str) -> Vec<u8> {
    let cut = text.floor_char_boundary(TEXT_LEN_MAX);
    let mut body = Vec::new();
    Ack { error_code: Some(code), error_message: text.get(..cut) }.write(&mut body);
    small(PacketType::Ack, Some(&body))
}

/// "Nothing there": batch -1, with the version that only this answer carries.
#[must_use]
pub fn no_messages() -> Vec<u8> {
    const BODY: [u8; 11] = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    small(PacketType::Messages, Some(&BODY))
}

/// What stands before the entries of a batch: length, packet type, length of the body, batch id. The
/// entries follow as they lie in the store, each with its tag and length, `entries_len` bytes in all.
///
/// # Errors
/// When the frame would have more than 2 147 483 647 bytes.
pub fn messages_head(batch_id: i64, entries_len: usize) -> Result<Vec<u8>, FrameError> {
    let id = batch_id.cast_unsigned();
    let body_len = entries_len.saturating_add(1 + varint_len(id));
    let packet_len = body_len.saturating_add(3 + varint_len(len64(body_len)));
    let mut out = Vec::with_capacity(HEADER_LEN + 24);
    out.extend_from_slice(&header(packet_len)?);
    out.extend_from_slice(&[0x18, 0x07, 0x2a]);
    varint(&mut out, len64(body_len));
    out.push(0x08);
    varint(&mut out, id);
    Ok(out)
}
