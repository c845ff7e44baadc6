//! The fastest possible Canal client: subscribes, gets, acknowledges and throws away, counting as it
//! goes, so that what it measures is the server.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use thiserror::Error;
use towpath_protocol::protobuf::{Fields, Malformed, Value};
use towpath_protocol::{
    BatchRef, ClientAuth, FrameError, Get, HEADER_LEN, LIMIT_CLIENT, Packet, PacketError,
    PacketType, Reply, Subscription, body_len, request, token,
};

use super::{Arguments, Tally, age_us};
use crate::place::CanalPlace;
use crate::report::Failure;

/// How long the server may hold a get that has nothing.
const GET_TIMEOUT_MS: i64 = 100;
/// Idle timeout that the server is asked for.
const IDLE_MS: i32 = 3_600_000;

#[derive(Debug, Error)]
enum DrainError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("an entry of the batch is malformed: {0}")]
    Entry(#[from] Malformed),
}

struct Connection {
    stream: TcpStream,
    frame: Vec<u8>,
}

impl Connection {
    fn send(&mut self, frame: Result<Vec<u8>, FrameError>) -> Result<(), DrainError> {
        Ok(self.stream.write_all(&frame?)?)
    }

    /// The next packet, in a buffer that is used again.
    fn receive(&mut self) -> Result<Packet<'_>, DrainError> {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header)?;
        self.frame.resize(body_len(header, LIMIT_CLIENT)?, 0);
        self.stream.read_exact(&mut self.frame)?;
        Ok(Packet::parse(&self.frame)?)
    }

    fn acknowledged(&mut self) -> Result<(), DrainError> {
        accepted(&self.receive()?)
    }
}

/// An error answer becomes an error.
fn accepted(packet: &Packet<'_>) -> Result<(), DrainError> {
    match Reply::parse(packet)? {
        Reply::Ack(ack) if ack.error_code.unwrap_or(0) != 0 => {
            Err(DrainError::Refused(ack.error_message.unwrap_or_default().to_owned()))
        }
        Reply::Ack(_) | Reply::Handshake(_) | Reply::Messages(_) => Ok(()),
    }
}

/// Row changes in an entry: the `rowDatas` (12) of the `storeValue` (3) of a `ROWDATA` (`entryType`
/// (2) of 2).
fn row_count(entry: &[u8]) -> Result<u64, DrainError> {
    let (mut fields, mut kind, mut store) = (Fields::new(entry), 0, &[][..]);
    while let Some(field) = fields.next_field()? {
        match field {
            (2, Value::Varint(value)) => kind = value,
            (3, Value::Bytes(bytes)) => store = bytes,
            _ => {}
        }
    }
    let (mut fields, mut rows) = (Fields::new(store), 0);
    while let Some((number, _)) = fields.next_field()? {
        rows += u64::from(number == 12);
    }
    Ok(if kind == 2 { rows } else { 0 })
}

pub(super) fn run(place: &CanalPlace, arguments: &Arguments) -> Result<Tally, Failure> {
    drain(place, arguments)
        .map_err(|error| Failure::new(&format!("cannot read from {}", place.address), error))
        .map_err(|failure| failure.with_hint("`towpath doctor URL` looks step by step"))
}

fn drain(place: &CanalPlace, arguments: &Arguments) -> Result<Tally, DrainError> {
    let mut connection = connect(place)?;
    let destination = Some(place.destination.as_str());
    let client_id = arguments.client_id.to_string();
    let client_id = Some(client_id.as_str());
    let filter = Some(arguments.filter.as_str()).filter(|filter| !filter.is_empty());
    connection.send(request::subscribe(&Subscription { destination, client_id, filter }))?;
    connection.acknowledged()?;
    let batch = BatchRef { destination, client_id, batch_id: None };
    connection.send(request::rollback(&batch))?;
    let get = Get {
        destination,
        client_id,
        fetch_size: Some(arguments.batch),
        timeout: Some(GET_TIMEOUT_MS),
        unit: Some(2),
        auto_ack: Some(false),
    };
    let get = request::get(&get)?;
    let mut tally = Tally::default();
    let idle = Duration::from_secs(arguments.idle.into());
    let (mut first, mut last) = (None, Instant::now());
    while arguments.rows.is_none_or(|rows| tally.rows < rows) && last.elapsed() < idle {
        connection.stream.write_all(&get)?;
        let packet = connection.receive()?;
        if packet.packet_type() != PacketType::Messages {
            accepted(&packet)?;
            continue;
        }
        let Some(batch_id) = count(&mut tally, packet.body(), arguments)? else { continue };
        first.get_or_insert_with(Instant::now);
        connection.send(request::ack(&BatchRef { batch_id: Some(batch_id), ..batch }))?;
        last = Instant::now();
    }
    tally.elapsed = first.map(|first| last - first).unwrap_or_default();
    Ok(tally)
}

/// Counts what is in a batch; its id, or `None` when there is nothing.
fn count(tally: &mut Tally, body: &[u8], arguments: &Arguments) -> Result<Option<i64>, DrainError> {
    let (mut fields, mut batch_id) = (Fields::new(body), None);
    while let Some(field) = fields.next_field()? {
        match field {
            (1, Value::Varint(id)) => batch_id = Some(id.cast_signed()).filter(|id| *id != -1),
            (2, Value::Bytes(entry)) => {
                tally.entries += 1;
                tally.bytes += u64::try_from(entry.len()).unwrap_or_default();
                tally.rows += row_count(entry)?;
                if !arguments.latency.is_empty() {
                    tally.ages_us.extend(age_us(entry));
                }
            }
            _ => {}
        }
    }
    Ok(batch_id)
}

fn connect(place: &CanalPlace) -> Result<Connection, DrainError> {
    let stream = TcpStream::connect(&place.address)?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, frame: Vec::new() };
    let packet = connection.receive()?;
    let Reply::Handshake(handshake) = Reply::parse(&packet)? else {
        return Err(DrainError::Refused("it does not greet as a Canal server does".to_owned()));
    };
    let seeds = handshake.seeds.unwrap_or_default().to_vec();
    let login = place.login.as_ref();
    let password = login.map(|login| token(&login.password, &seeds));
    connection.send(request::login(&ClientAuth {
        username: login.map(|login| login.user.as_str()),
        password: password.as_deref().map(str::as_bytes),
        net_read_timeout: Some(IDLE_MS),
        net_write_timeout: Some(IDLE_MS),
        ..ClientAuth::default()
    }))?;
    connection.acknowledged()?;
    Ok(connection)
}
