//! The frames a client sends, with their length in front, written as the Java client writes them.

use crate::frame::{FrameError, frame};
use crate::packet::{BatchRef, ClientAuth, Get, Packet, PacketType, Subscription};

fn packet(packet_type: PacketType, body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(body.len() + 16);
    Packet { body: Some(body).filter(|body| !body.is_empty()), ..Packet::of(packet_type) }
        .write(&mut out);
    frame(&out)
}

/// The login.
///
/// # Errors
/// When a text in it is longer than a frame.
pub fn login(auth: &ClientAuth<'_>) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    auth.write(&mut body);
    packet(PacketType::ClientAuthentication, &body)
}

/// Subscribe.
///
/// # Errors
/// When a text in it is longer than a frame.
pub fn subscribe(subscription: &Subscription<'_>) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    subscription.write(&mut body);
    packet(PacketType::Subscription, &body)
}

/// Unsubscribe.
///
/// # Errors
/// When a text in it is longer than a frame.
pub fn unsubscribe(subscription: &Subscription<'_>) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    subscription.write(&mut body);
    packet(PacketType::Unsubscription, &body)
}

/// Ask for a batch.
///
/// # Errors
/// When a text in it is longer than a frame.
pub fn get(get: &Get<'_>) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    get.write(&mut body);
    packet(PacketType::Get, &body)
}

/// Acknowledge a batch.
///
/// # Errors
/// When a text in it is longer than a frame.
pub fn ack(batch: &BatchRef<'_>) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    batch.write(&mut body);
    packet(PacketType::ClientAck, &body)
}

/// Roll back one batch, or all without a batch id.
///
/// # Errors
/// When a text in it is longer than a frame.
pub fn rollback(batch: &BatchRef<'_>) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    batch.write(&mut body);
    packet(PacketType::ClientRollback, &body)
}
