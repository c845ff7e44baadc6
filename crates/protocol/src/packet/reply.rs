//! What a server sends.

use super::value::{put_bytes, put_int, put_text};
use super::{Packet, PacketError, PacketType};
use crate::protobuf::Fields;

/// The greeting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// Field 1: never written.
    pub communication_encoding: Option<&'a str>,
    /// Field 2: 8 random bytes; servers up to 1.1.3 send none.
    pub seeds: Option<&'a [u8]>,
    /// Field 3: never written.
    pub supported_compressions: Option<i32>,
}

impl<'a> Handshake<'a> {
    /// Reads a greeting.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut handshake = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => handshake.communication_encoding = Some(value.string(field)?),
                2 => handshake.seeds = Some(value.bytes(field)?),
                3 => handshake.supported_compressions = Some(value.int32(field)?),
                _ => {}
            }
        }
        Ok(handshake)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_text(out, 1, self.communication_encoding);
        put_bytes(out, 2, self.seeds);
        put_int(out, 3, self.supported_compressions.map(i64::from));
    }
}

/// Success (no code, or 0) or an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Field 1: above 0 for an error.
    pub error_code: Option<i32>,
    /// Field 2.
    pub error_message: Option<&'a str>,
}

impl<'a> Ack<'a> {
    /// Reads an answer.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut ack = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => ack.error_code = Some(value.int32(field)?),
                2 => ack.error_message = Some(value.string(field)?),
                _ => {}
            }
        }
        Ok(ack)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_int(out, 1, self.error_code.map(i64::from));
        put_text(out, 2, self.error_message);
    }
}

/// A batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages<'a> {
    /// Field 1: -1 when there is nothing.
    pub batch_id: Option<i64>,
    /// Field 2: one `Entry` each, in the bytes that were read.
    pub entries: Vec<&'a [u8]>,
}

impl<'a> Messages<'a> {
    /// Reads a batch.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut messages = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => messages.batch_id = Some(value.int64(field)?),
                2 => messages.entries.push(value.bytes(field)?),
                _ => {}
            }
        }
        Ok(messages)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_int(out, 1, self.batch_id);
        for entry in &self.entries {
            put_bytes(out, 2, Some(entry));
        }
    }
}

/// A packet from a server, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Type 1.
    Handshake(Handshake<'a>),
    /// Type 3.
    Ack(Ack<'a>),
    /// Type 7.
    Messages(Messages<'a>),
}

impl<'a> Reply<'a> {
    /// Reads the inner message of a packet.
    ///
    /// # Errors
    /// When it is not what the packet's type says, when no server sends that type, or when the packet
    /// is compressed.
    pub fn parse(packet: &Packet<'a>) -> Result<Self, PacketError> {
        if let Some(code) = packet.compression.filter(|code| !matches!(code, 0 | 1)) {
            return Err(PacketError::Compressed { code });
        }
        match packet.packet_type() {
            PacketType::Handshake => Handshake::parse(packet.body()).map(Self::Handshake),
            PacketType::Ack => Ack::parse(packet.body()).map(Self::Ack),
            PacketType::Messages => Messages::parse(packet.body()).map(Self::Messages),
            found @ (PacketType::Compatible
            | PacketType::ClientAuthentication
            | PacketType::Subscription
            | PacketType::Unsubscription
            | PacketType::Get
            | PacketType::ClientAck
            | PacketType::Shutdown
            | PacketType::Dump
            | PacketType::Heartbeat
            | PacketType::ClientRollback
            | PacketType::Unrecognized(_)) => {
                Err(PacketError::Type { found, expected: "HANDSHAKE, ACK or MESSAGES" })
            }
        }
    }
}
