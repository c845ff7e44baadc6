//! What a client sends.

use super::value::{put_bytes, put_int, put_text};
use super::{Packet, PacketError, PacketType};
use crate::protobuf::Fields;

/// The login.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientAuth<'a> {
    /// Field 1.
    pub username: Option<&'a str>,
    /// Field 2: the token in hexadecimal digits, or whatever a client takes for a password.
    pub password: Option<&'a [u8]>,
    /// Field 3, milliseconds.
    pub net_read_timeout: Option<i32>,
    /// Field 4, milliseconds.
    pub net_write_timeout: Option<i32>,
    /// Field 5: with a client id, the login subscribes as well. No client does.
    pub destination: Option<&'a str>,
    /// Field 6.
    pub client_id: Option<&'a str>,
    /// Field 7.
    pub filter: Option<&'a str>,
    /// Field 8, unused.
    pub start_timestamp: Option<i64>,
}

impl std::fmt::Debug for ClientAuth<'_> {
    /// Everything but the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuth")
            .field("username", &self.username)
            .field("net_read_timeout", &self.net_read_timeout)
            .field("net_write_timeout", &self.net_write_timeout)
            .field("destination", &self.destination)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl<'a> ClientAuth<'a> {
    /// Reads a login.
    ///
    /// # Errors
    /// When the bytes are no login.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut auth = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => auth.username = Some(value.string(field)?),
                2 => auth.password = Some(value.bytes(field)?),
                3 => auth.net_read_timeout = Some(value.int32(field)?),
                4 => auth.net_write_timeout = Some(value.int32(field)?),
                5 => auth.destination = Some(value.string(field)?),
                6 => auth.client_id = Some(value.string(field)?),
                7 => auth.filter = Some(value.string(field)?),
                8 => auth.start_timestamp = Some(value.int64(field)?),
                _ => {}
            }
        }
        Ok(auth)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_text(out, 1, self.username);
        put_bytes(out, 2, self.password);
        put_int(out, 3, self.net_read_timeout.map(i64::from));
        put_int(out, 4, self.net_write_timeout.map(i64::from));
        put_text(out, 5, self.destination);
        put_text(out, 6, self.client_id);
        put_text(out, 7, self.filter);
        put_int(out, 8, self.start_timestamp);
    }
}

/// `Sub` and `Unsub`: the same fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Field 1.
    pub destination: Option<&'a str>,
    /// Field 2: a decimal 16-bit number.
    pub client_id: Option<&'a str>,
    /// Field 7: patterns of tables, separated by commas.
    pub filter: Option<&'a str>,
}

impl<'a> Subscription<'a> {
    /// Reads a subscription.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut sub = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => sub.destination = Some(value.string(field)?),
                2 => sub.client_id = Some(value.string(field)?),
                7 => sub.filter = Some(value.string(field)?),
                _ => {}
            }
        }
        Ok(sub)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_text(out, 1, self.destination);
        put_text(out, 2, self.client_id);
        put_text(out, 7, self.filter);
    }
}

/// Asks for a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Get<'a> {
    /// Field 1.
    pub destination: Option<&'a str>,
    /// Field 2: a decimal 16-bit number.
    pub client_id: Option<&'a str>,
    /// Field 3: KiB or entries, as the destination counts.
    pub fetch_size: Option<i32>,
    /// Field 4, in `unit`: -1 does not wait, 0 waits without limit.
    pub timeout: Option<i64>,
    /// Field 5: 0 ns, 1 µs, 2 ms, 3 s, 4 min, 5 h, 6 d, anything else ms.
    pub unit: Option<i32>,
    /// Field 6: ignored by servers.
    pub auto_ack: Option<bool>,
}

impl<'a> Get<'a> {
    /// Reads a get.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut get = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => get.destination = Some(value.string(field)?),
                2 => get.client_id = Some(value.string(field)?),
                3 => get.fetch_size = Some(value.int32(field)?),
                4 => get.timeout = Some(value.int64(field)?),
                5 => get.unit = Some(value.int32(field)?),
                6 => get.auto_ack = Some(value.boolean(field)?),
                _ => {}
            }
        }
        Ok(get)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_text(out, 1, self.destination);
        put_text(out, 2, self.client_id);
        put_int(out, 3, self.fetch_size.map(i64::from));
        put_int(out, 4, self.timeout);
        put_int(out, 5, self.unit.map(i64::from));
        put_int(out, 6, self.auto_ack.map(i64::from));
    }
}

/// `ClientAck` and `ClientRollback`: the same fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchRef<'a> {
    /// Field 1.
    pub destination: Option<&'a str>,
    /// Field 2: a decimal 16-bit number.
    pub client_id: Option<&'a str>,
    /// Field 3: absent and 0 alike mean "none named".
    pub batch_id: Option<i64>,
}

impl<'a> BatchRef<'a> {
    /// Reads an acknowledgement or a rollback.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut batch = Self::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => batch.destination = Some(value.string(field)?),
                2 => batch.client_id = Some(value.string(field)?),
                3 => batch.batch_id = Some(value.int64(field)?),
                _ => {}
            }
        }
        Ok(batch)
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_text(out, 1, self.destination);
        put_text(out, 2, self.client_id);
        put_int(out, 3, self.batch_id);
    }
}

/// A packet from a client, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Type 2.
    Login(ClientAuth<'a>),
    /// Type 4.
    Subscribe(Subscription<'a>),
    /// Type 5.
    Unsubscribe(Subscription<'a>),
    /// Type 6.
    Get(Get<'a>),
    /// Type 8.
    Ack(BatchRef<'a>),
    /// Type 12.
    Rollback(BatchRef<'a>),
    /// A type that no client should send.
    Unsupported(PacketType),
}

impl<'a> Request<'a> {
    /// Reads the inner message of a packet.
    ///
    /// # Errors
    /// When it is not what the packet's type says.
    pub fn parse(packet: &Packet<'a>) -> Result<Self, PacketError> {
        let body = packet.body();
        Ok(match packet.packet_type() {
            PacketType::ClientAuthentication => Self::Login(ClientAuth::parse(body)?),
            PacketType::Subscription => Self::Subscribe(Subscription::parse(body)?),
            PacketType::Unsubscription => Self::Unsubscribe(Subscription::parse(body)?),
            PacketType::Get => Self::Get(Get::parse(body)?),
            PacketType::ClientAck => Self::Ack(BatchRef::parse(body)?),
            PacketType::ClientRollback => Self::Rollback(BatchRef::parse(body)?),
            other @ (PacketType::Compatible
            | PacketType::Handshake
            | PacketType::Ack
            | PacketType::Messages
            | PacketType::Shutdown
            | PacketType::Dump
            | PacketType::Heartbeat
            | PacketType::Unrecognized(_)) => Self::Unsupported(other),
        })
    }
}
