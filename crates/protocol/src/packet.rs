//! Packets and the messages inside them.
//!
//! Every field is an `Option`, because presence decides (an absent `timeout` is not a `timeout` of 0)
//! and because what was read is then written again byte for byte.

mod reply;
mod request;
mod text;
mod value;

pub use reply::{Ack, Handshake, Messages, Reply};
pub use request::{BatchRef, ClientAuth, Get, Request, Subscription};
pub use text::Text;

use thiserror::Error;

use crate::protobuf::{Fields, Malformed};
use value::{put_bytes, put_int};

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    /// The bytes end inside a field.
    #[error("the message ends inside the field at byte {offset}")]
    Truncated {
        /// Where in the message.
        offset: usize,
    },
    /// No field starts so.
    #[error("byte {offset} starts no field")]
    Key {
        /// Where in the message.
        offset: usize,
    },
    /// A known field has another wire type.
    #[error("field {field} has the wrong wire type")]
    WireType {
        /// Number of the field.
        field: u32,
    },
    /// A text field is not UTF-8.
    #[error("field {field} is not UTF-8")]
    NotUtf8 {
        /// Number of the field.
        field: u32,
    },
    /// A packet of a type that does not belong here.
    #[error("packet type {} where {expected} is expected", found.name())]
    Type {
        /// What came.
        found: PacketType,
        /// What should have come.
        expected: &'static str,
    },
    /// A compressed packet.
    #[error("compression {code} is not supported")]
    Compressed {
        /// Code of the compression.
        code: i32,
    },
}

impl From<Malformed> for PacketError {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::CutOff { offset } | Malformed::Varint { offset } => {
                Self::Truncated { offset }
            }
            Malformed::Number { offset } | Malformed::WireType { offset } => Self::Key { offset },
        }
    }
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketType {
    /// 0: no type.
    Compatible,
    /// 1: the server's greeting.
    Handshake,
    /// 2: the client's login.
    ClientAuthentication,
    /// 3: success or error.
    Ack,
    /// 4: subscribe.
    Subscription,
    /// 5: unsubscribe.
    Unsubscription,
    /// 6: ask for a batch.
    Get,
    /// 7: a batch.
    Messages,
    /// 8: acknowledge a batch.
    ClientAck,
    /// 9: declared, never used.
    Shutdown,
    /// 10: declared, never used.
    Dump,
    /// 11: declared, never used.
    Heartbeat,
    /// 12: roll back.
    ClientRollback,
    /// Any other number.
    Unrecognized(i32),
}

impl PacketType {
    /// The type with this number.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Compatible,
            1 => Self::Handshake,
            2 => Self::ClientAuthentication,
            3 => Self::Ack,
            4 => Self::Subscription,
            5 => Self::Unsubscription,
            6 => Self::Get,
            7 => Self::Messages,
            8 => Self::ClientAck,
            9 => Self::Shutdown,
            10 => Self::Dump,
            11 => Self::Heartbeat,
            12 => Self::ClientRollback,
            other => Self::Unrecognized(other),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Compatible => 0,
            Self::Handshake => 1,
            Self::ClientAuthentication => 2,
            Self::Ack => 3,
            Self::Subscription => 4,
            Self::Unsubscription => 5,
            Self::Get => 6,
            Self::Messages => 7,
            Self::ClientAck => 8,
            Self::Shutdown => 9,
            Self::Dump => 10,
            Self::Heartbeat => 11,
            Self::ClientRollback => 12,
            Self::Unrecognized(code) => code,
        }
    }

    /// Its name in Canal's texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compatible => "PACKAGETYPECOMPATIBLEPROTO2",
            Self::Handshake => "HANDSHAKE",
            Self::ClientAuthentication => "CLIENTAUTHENTICATION",
            Self::Ack => "ACK",
            Self::Subscription => "SUBSCRIPTION",
            Self::Unsubscription => "UNSUBSCRIPTION",
            Self::Get => "GET",
            Self::Messages => "MESSAGES",
            Self::ClientAck => "CLIENTACK",
            Self::Shutdown => "SHUTDOWN",
            Self::Dump => "DUMP",
            Self::Heartbeat => "HEARTBEAT",
            Self::ClientRollback => "CLIENTROLLBACK",
            Self::Unrecognized(_) => "UNRECOGNIZED",
        }
    }
}

/// The envelope of every message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Field 1: 17 or absent; nobody looks at it.
    pub magic_number: Option<i32>,
    /// Field 2: 1 or absent.
    pub version: Option<i32>,
    /// Field 3: see [`PacketType`].
    pub type_code: Option<i32>,
    /// Field 4: absent, 0 or 1 for none; nobody compresses.
    pub compression: Option<i32>,
    /// Field 5: the inner message; absent means empty.
    pub body: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// A packet of a type, with nothing else in it.
    #[must_use]
    pub const fn of(packet_type: PacketType) -> Self {
        Self {
            magic_number: None,
            version: None,
            type_code: Some(packet_type.code()),
            compression: None,
            body: None,
        }
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// When the bytes are no packet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut packet = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => packet.magic_number = Some(value.int32(field)?),
                2 => packet.version = Some(value.int32(field)?),
                3 => packet.type_code = Some(value.int32(field)?),
                4 => packet.compression = Some(value.int32(field)?),
                5 => packet.body = Some(value.bytes(field)?),
                _ => {}
            }
        }
        Ok(packet)
    }

    /// Appends the packet, without its length.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_int(out, 1, self.magic_number.map(i64::from));
        put_int(out, 2, self.version.map(i64::from));
        put_int(out, 3, self.type_code.map(i64::from));
        put_int(out, 4, self.compression.map(i64::from));
        put_bytes(out, 5, self.body);
    }

    /// What it is. An absent type is 0.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        PacketType::from_code(self.type_code.unwrap_or(0))
    }

    /// The inner message. An absent one is empty.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body.unwrap_or_default()
    }
}
