//! The dump: packets from the socket, events out of one buffer (mysql-source 1.6, 1.7).

use std::future::{Future as _, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};
use towpath_binlog::{Checksum, EventHeader, EventStream, RawEvent, event_type as t};

use super::dialect::Flavour;
use super::semi_sync::{self, SemiSync};
use super::{EndProbe, From, gtid, prepare};
use crate::connection::Connection;
use crate::error::{Cause, SourceError, cause};
use crate::{ReadFile, SourceConfig};
use tracing::warn;

/// Bytes asked of the socket at a time: the most while much arrives, the least while little does, so that
/// an idle dump holds little.
const BLOCK_LEN: usize = 1 << 20;
const BLOCK_LEN_MIN: usize = 16 << 10;
/// A packet that is this long goes on in the next one.
const PACKET_MAX: usize = 0xff_ffff;
/// Blocks that are kept as room between events; what a longer event needed is given back after it.
const KEPT_BLOCKS: usize = 4;
/// What of an event is buffered before its length counts.
const KEPT_LEN: usize = KEPT_BLOCKS * BLOCK_LEN;
/// For an acknowledgement to be taken.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
const DOING: &str = "read the binlog";
const REGISTER: &str = "register as a replica";

/// What to do at the end of the last file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// Wait for more.
    Wait,
    /// End the dump.
    Stop,
}

/// What is asked of the server.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) config: &'a SourceConfig,
    pub(super) server_id: u32,
    pub(super) from: &'a From,
    pub(super) at_end: AtEnd,
}

/// A running dump. Dropping it closes its socket.
#[derive(Debug)]
pub(crate) struct Dump {
    connection: Connection,
    server_id: u32,
    stream: EventStream,
    event_len_max: usize,
    buffer: Vec<u8>,
    /// Bytes to ask of the socket next.
    block_len: usize,
    /// What of `buffer` was not handed out yet.
    unread: Range<usize>,
    /// The event handed out last, and its offset in the file.
    last: (Range<usize>, u64),
    /// `last` comes once more.
    again: bool,
    /// A position asked for that no event has confirmed yet.
    unconfirmed: Option<(String, u64)>,
    /// Events before this offset are read and not handed out.
    skip_to: u64,
    /// Incidents before this place are over.
    over: Option<(String, u64)>,
    /// Since when `fill` waits for bytes, over all its calls.
    waiting_since: Option<Instant>,
    /// What ended the dump; told by the next `fill`.
    ended: Option<SourceError>,
    semi_sync: SemiSync,
}

impl Dump {
    /// Registers as a replica and asks for the binlog.
    pub(super) async fn begin(
        mut connection: Connection,
        request: &Request<'_>,
    ) -> Result<Self, SourceError> {
        let crc32 = prepare::session(&mut connection, request.config).await?;
        register(&mut connection, request.server_id).await?;
        let mut skip_to = 0;
        let (file, offset, command) = match request.from {
            From::Position { file, offset } => {
                // A dump begins in the first 4 GiB of a file; what lies before is read over.
                let begin = u32::try_from(*offset).unwrap_or_else(|_| {
                    skip_to = *offset;
                    4
                });
                (file.as_str(), u64::from(begin), position_command(file, begin, request))
            }
            From::Gtid(set) if connection.flavour() == Flavour::Mariadb => {
                connect_state(&mut connection, set).await?;
                ("", 4, position_command("", 0, request))
            }
            From::Gtid(set) => ("", 4, gtid_command(set, request)?),
        };
        connection.command(&command).await?;
        let checksum = if crc32 { Checksum::Crc32 } else { Checksum::None };
        let unconfirmed = match request.from {
            From::Position { file, offset } => Some((file.clone(), *offset)),
            From::Gtid(_) => None,
        };
        Ok(Self {
            connection,
            server_id: request.server_id,
            stream: EventStream::new(file, offset, checksum),
            event_len_max: request.config.event_len_max,
            buffer: Vec::new(),
            block_len: BLOCK_LEN_MIN,
            unread: 0..0,
            last: (0..0, 0),
            again: false,
            unconfirmed,
            skip_to,
            over: None,
            waiting_since: None,
            ended: None,
            semi_sync: SemiSync::asked(request.config.semi_sync),
        })
    }

    /// By GTID a MariaDB begins with a file and leaves out what the set contains, but for incidents,
    /// which have no GTID: they are told by where the set was reached.
    pub(super) fn begin_behind(&mut self, read: Option<&ReadFile>) {
        self.over = read
            .filter(|_| self.unconfirmed.is_none())
            .map(|read| (read.file.clone(), read.offset));
    }

    #[inline]
    fn is_old_incident(&self, raw: &Range<usize>) -> bool {
        let is_incident = self.buffer.get(raw.start + 4) == Some(&t::INCIDENT);
        is_incident && self.is_over(raw.clone())
    }

    #[cold]
    fn is_over(&self, raw: Range<usize>) -> bool {
        let Some((file, offset)) = &self.over else { return false };
        let header = EventHeader::parse(self.buffer.get(raw).unwrap_or_default());
        let Ok(end) = header.map(|header| u64::from(header.log_pos)) else { return false };
        let place = (self.stream.file().as_ref(), end);
        end != 0 && (place == (file, *offset) || EndProbe::is_behind((file, *offset), place))
    }

    /// Where the event that was handed out last begins.
    pub(super) fn place(&self) -> (String, u64) {
        (self.stream.file().as_ref().to_owned(), self.last.1)
    }

    /// Where the next event begins.
    pub(super) fn position(&self) -> (std::sync::Arc<str>, u64) {
        (self.file(), self.stream.offset())
    }

    pub(super) fn file(&self) -> std::sync::Arc<str> {
        std::sync::Arc::clone(self.stream.file())
    }

    /// The connection, on which the packets of the dump come.
    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    pub(super) const fn thread_id(&self) -> u32 {
        self.connection.thread_id
    }

    /// Reads until at least one more packet is whole. Cancelling loses nothing, and the time waited
    /// counts on in the next call.
    pub(crate) async fn fill(&mut self, silence: Duration) -> Result<(), SourceError> {
        if let Some(ended) = self.ended.take() {
            return Err(ended);
        }
        while !self.again && self.whole_packet().is_none() {
            self.make_room();
            let filled = self.buffer.len();
            let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + silence;
            let read =
                timeout_at(deadline, self.connection.stream.read_buf(&mut self.buffer)).await;
            self.waiting_since = None;
            match read {
                Err(_) => {
                    return Err(SourceError::Silence {
                        address: self.connection.address.clone(),
                        doing: DOING,
                        seconds: silence.as_secs(),
                    });
                }
                Ok(Err(error)) => return Err(self.connection.io(DOING, error)),
                Ok(Ok(0)) => {
                    let closed = std::io::ErrorKind::UnexpectedEof.into();
                    return Err(self.connection.io(DOING, closed));
                }
                Ok(Ok(count)) => {
                    self.unread.end = filled + count;
                    self.block_len = next_block_len(self.block_len, count);
                }
            }
            self.check_len()?;
        }
        Ok(())
    }

    /// The same without waiting: false when no packet is whole with what has come, and when the dump has
    /// ended, which [`Self::fill`] tells.
    pub(crate) async fn try_fill(&mut self, silence: Duration) -> bool {
        let filled = {
            let mut fill = pin!(self.fill(silence));
            poll_fn(|context| Poll::Ready(fill.as_mut().poll(context))).await
        };
        match filled {
            Poll::Ready(Ok(())) => return true,
            Poll::Ready(Err(error)) => self.ended = Some(error),
            // It is not waited for yet.
            Poll::Pending => self.waiting_since = None,
        }
        false
    }

    /// Moves what is left to the front and makes room for one block.
    fn make_room(&mut self) {
        if self.unread.is_empty() {
            self.buffer.clear();
            if self.buffer.capacity() > KEPT_BLOCKS * self.block_len {
                self.buffer = Vec::new();
            }
        } else if self.unread.start > 0 {
            self.buffer.drain(..self.unread.start);
        }
        self.unread = 0..self.unread.len();
        self.buffer.reserve(self.block_len);
    }

    /// Payload length of the packet at `at`, if its header is there.
    fn packet_len(&self, at: usize) -> Option<usize> {
        let [a, b, c, _] = *self.buffer.get(at..self.unread.end)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes([a, b, c, 0])).ok()
    }

    /// The next payload, if it is whole: its first part, and where its last packet ends.
    fn whole_packet(&self) -> Option<(Range<usize>, usize)> {
        let mut at = self.unread.start;
        let first = at + 4..at + 4 + self.packet_len(at)?;
        loop {
            let len = self.packet_len(at)?;
            let end = at + 4 + len;
            if end > self.unread.end {
                return None;
            }
            if len < PACKET_MAX {
                return Some((first, end));
            }
            at = end;
        }
    }

    /// Takes the next payload out of the buffer, its parts moved together.
    fn next_payload(&mut self) -> Option<Range<usize>> {
        let (mut payload, end) = self.whole_packet()?;
        let mut at = payload.end;
        while at < end {
            let len = self.packet_len(at)?;
            self.buffer.copy_within(at + 4..at + 4 + len, payload.end);
            payload.end += len;
            at += 4 + len;
        }
        self.unread.start = end;
        Some(payload)
    }

    /// The next event that is in the buffer.
    pub(crate) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        loop {
            if self.ended.is_some() {
                return Ok(None);
            }
            let raw = if std::mem::take(&mut self.again) {
                self.last.0.clone()
            } else {
                let Some(payload) = self.next_payload() else { return Ok(None) };
                if let Some(fault) = self.fault_of(payload.clone()) {
                    self.ended = Some(fault);
                    return Ok(None);
                }
                payload.start + 1 + self.semi_sync_prefix(&payload)?..payload.end
            };
            self.last = (raw.clone(), self.stream.offset());
            if self.is_old_incident(&raw) {
                self.stream.accept(self.buffer.get(raw).unwrap_or_default())?;
                continue;
            }
            if self.stream.offset() < self.skip_to {
                self.skip(raw)?;
                continue;
            }
            return self.hand_out(raw).map(Some);
        }
    }

    /// Bytes of semi-synchronous replication before an event.
    fn semi_sync_prefix(&mut self, payload: &Range<usize>) -> Result<usize, SourceError> {
        if self.semi_sync == SemiSync::Off {
            return Ok(0);
        }
        let is_asked = self.semi_sync == SemiSync::Asked;
        let behind = self.buffer.get(payload.start + 1..payload.end).unwrap_or_default();
        let Ok(len) = self.semi_sync.take(behind) else {
            let reason = "a packet without the bytes of semi-synchronous replication";
            return Err(self.connection.protocol(DOING, &reason));
        };
        if is_asked && self.semi_sync == SemiSync::Off {
            warn!(source = %self.connection.address,
                "the source is not semi-synchronous: its commits do not wait for this reader");
        }
        Ok(len)
    }

    /// Tells the source, if it waits for it, that all events that were handed out have arrived. A fault
    /// is told by the next `fill`.
    pub(super) async fn acknowledge(&mut self) {
        if self.semi_sync != SemiSync::Due || self.again {
            return;
        }
        self.semi_sync = SemiSync::Quiet;
        let packet = semi_sync::acknowledgement(self.stream.file(), self.stream.offset());
        let sent = timeout(ACKNOWLEDGE_TIMEOUT, self.connection.command(&packet)).await;
        self.ended = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(SourceError::Silence {
                address: self.connection.address.clone(),
                doing: "acknowledge a transaction",
                seconds: ACKNOWLEDGE_TIMEOUT.as_secs(),
            }),
        };
    }

    fn hand_out(&mut self, raw: Range<usize>) -> Result<RawEvent<'_>, SourceError> {
        let raw = self.buffer.get(raw).unwrap_or_default();
        let Some((file, offset)) = &self.unconfirmed else { return Ok(self.stream.accept(raw)?) };
        let address = &self.connection.address;
        let inside = |reason: String| SourceError::InsideEvent {
            address: address.clone(),
            file: file.clone(),
            offset: *offset,
            reason,
        };
        let event = self.stream.accept(raw).map_err(|e| inside(e.source.to_string()))?;
        if !leads(&event.header) {
            if let Some(reason) = not_an_event(&event) {
                return Err(inside(reason.to_owned()));
            }
            self.unconfirmed = None;
        }
        Ok(event)
    }

    /// Reads over an event before `skip_to`.
    fn skip(&mut self, raw: Range<usize>) -> Result<(), SourceError> {
        let before = std::sync::Arc::clone(self.stream.file());
        let raw = self.buffer.get(raw).unwrap_or_default();
        self.stream.accept(raw)?;
        let reason = if **self.stream.file() != *before && !before.is_empty() {
            "the file ends before it"
        } else if self.stream.offset() > self.skip_to {
            "it lies inside the event before it"
        } else {
            return Ok(());
        };
        Err(SourceError::InsideEvent {
            address: self.connection.address.clone(),
            file: before.as_ref().to_owned(),
            offset: self.skip_to,
            reason: reason.to_owned(),
        })
    }

    /// What a payload that is no event says.
    fn fault_of(&self, payload: Range<usize>) -> Option<SourceError> {
        let packet = self.buffer.get(payload).unwrap_or_default();
        let address = || self.connection.address.clone();
        match packet.first() {
            Some(0) => None,
            Some(0xff) => Some(self.server_fault(packet)),
            Some(0xfe) => {
                Some(SourceError::Ended { address: address(), server_id: self.server_id })
            }
            _ => Some(self.connection.protocol(DOING, &"a packet that is no event")),
        }
    }

    fn server_fault(&self, packet: &[u8]) -> SourceError {
        let fault = self.connection.server_error(DOING, packet);
        let SourceError::Server { address, errno, message, .. } = &fault else { return fault };
        let (address, reason) = (address.clone(), message.clone());
        match (cause(*errno, message), &self.unconfirmed) {
            (Cause::Duplicate, _) => {
                let server_id = self.server_id;
                SourceError::Duplicate { address, server_id, message: reason }
            }
            (Cause::Boundary, Some((file, offset))) => {
                let (file, offset) = (file.clone(), *offset);
                SourceError::InsideEvent { address, file, offset, reason }
            }
            _ => fault,
        }
    }

    /// An event that claims to be longer than the limit is refused before it is buffered, and so is
    /// one that does not end.
    fn check_len(&self) -> Result<(), SourceError> {
        if self.whole_packet().is_some() {
            return Ok(());
        }
        let payload = self.buffer.get(self.unread.start + 5..self.unread.end).unwrap_or_default();
        let payload = payload.get(self.semi_sync.prefix_len(payload)..).unwrap_or_default();
        let claimed = EventHeader::parse(payload)
            .map_or(0, |header| usize::try_from(header.event_len).unwrap_or(usize::MAX));
        let len = claimed.max(self.unread.len().saturating_sub(KEPT_LEN));
        if len > self.event_len_max {
            return Err(SourceError::EventTooLong {
                address: self.connection.address.clone(),
                file: self.stream.file().to_string(),
                offset: self.stream.offset(),
                table: None,
                len,
                limit: self.event_len_max,
            });
        }
        Ok(())
    }

    /// The last event comes again.
    pub(super) const fn unread(&mut self) {
        self.again = true;
        self.stream.unread(self.last.1);
    }
}

/// What to ask for after `count` bytes came of the `block_len` that there was room for.
fn next_block_len(block_len: usize, count: usize) -> usize {
    if count >= block_len {
        (block_len * 2).min(BLOCK_LEN)
    } else if count < block_len / 4 {
        (block_len / 2).max(BLOCK_LEN_MIN)
    } else {
        block_len
    }
}

/// Events that come before the first one from the position itself.
fn leads(header: &EventHeader) -> bool {
    header.is_artificial()
        || (header.event_type == t::FORMAT_DESCRIPTION && header.log_pos == 0)
        || matches!(header.event_type, t::HEARTBEAT | t::HEARTBEAT_V2)
}

/// Whether bytes that a server sends from the middle of an event pass for one. Checksums tell for
/// certain; without them type and end position have to.
fn not_an_event(event: &RawEvent<'_>) -> Option<&'static str> {
    let known = matches!(event.header.event_type, 1..=43 | 101..=105 | 160..=171);
    let counted = event.start + u64::from(event.header.event_len);
    let log_pos = u64::from(event.header.log_pos);
    if !known {
        return Some("the bytes there have no known event type");
    }
    // A rotation moves the stream to the next file; MariaDB 11.4 leaves the position out.
    (log_pos != 0 && log_pos != counted & 0xffff_ffff)
        .then_some("the bytes there do not say where they end")
}

/// `COM_REGISTER_SLAVE`: makes the reader visible in the server's list of replicas.
async fn register(connection: &mut Connection, server_id: u32) -> Result<(), SourceError> {
    let host = connection.local.map(|local| local.ip().to_string()).unwrap_or_default();
    let port = connection.local.map_or(0, |local| local.port());
    let mut command = vec![0x15];
    command.extend(server_id.to_le_bytes());
    command.extend(u8::try_from(host.len()));
    command.extend(host.as_bytes());
    // No user and no password: both would show in the list.
    command.extend([0, 0]);
    command.extend(port.to_le_bytes());
    command.extend([0; 4 + 4]);
    match connection.exchange(REGISTER, &command).await {
        Ok(_) => Ok(()),
        Err(SourceError::Server { address, doing, errno: 1045 | 1227, message, .. }) => {
            Err(SourceError::Privilege { address, doing, privilege: "REPLICATION SLAVE", message })
        }
        Err(error) => Err(error),
    }
}

async fn connect_state(connection: &mut Connection, set: &str) -> Result<(), SourceError> {
    let parsed = gtid::parse_mariadb(set)?;
    for sql in [
        &format!("SET @slave_connect_state = '{parsed}'"),
        "SET @slave_gtid_strict_mode = 0",
        "SET @slave_gtid_ignore_duplicates = 0",
    ] {
        connection.query(sql).await?;
    }
    Ok(())
}

fn position_command(file: &str, offset: u32, request: &Request<'_>) -> Vec<u8> {
    let mut command = vec![0x12];
    command.extend(offset.to_le_bytes());
    command.extend(request.flags().to_le_bytes());
    command.extend(request.server_id.to_le_bytes());
    command.extend(file.as_bytes());
    command
}

fn gtid_command(set: &str, request: &Request<'_>) -> Result<Vec<u8>, SourceError> {
    let data = gtid::parse_mysql(set)?.encode();
    let mut command = vec![0x1e];
    command.extend(request.flags().to_le_bytes());
    command.extend(request.server_id.to_le_bytes());
    command.extend(0_u32.to_le_bytes());
    command.extend(4_u64.to_le_bytes());
    command.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    command.extend(data);
    Ok(command)
}

impl Request<'_> {
    /// 2: MariaDB sends annotations, MySQL 8.0.26 and later heartbeats with 64-bit positions.
    /// 1: do not wait at the end.
    const fn flags(&self) -> u16 {
        match self.at_end {
            AtEnd::Wait => 2,
            AtEnd::Stop => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(from: &From, at_end: AtEnd) -> Vec<u8> {
        let config = SourceConfig::default();
        let request = Request { config: &config, server_id: 1111, from, at_end };
        match from {
            From::Position { file, offset } => {
                position_command(file, u32::try_from(*offset).unwrap(), &request)
            }
            From::Gtid(set) => gtid_command(set, &request).unwrap(),
        }
    }

    #[test]
    fn blocks_follow_what_arrives() {
        let after = |block_len, counts: &[usize]| {
            counts.iter().fold(block_len, |block_len, count| next_block_len(block_len, *count))
        };
        assert_eq!(after(BLOCK_LEN_MIN, &[BLOCK_LEN; 10]), BLOCK_LEN);
        assert_eq!(after(BLOCK_LEN, &[60; 10]), BLOCK_LEN_MIN);
        assert_eq!(after(BLOCK_LEN, &[BLOCK_LEN / 2; 10]), BLOCK_LEN);
    }

    /// The examples of mysql-source 1.6.
    #[test]
    fn dumps_are_asked_for_in_the_bytes_that_servers_know() {
        let from = From::Position { file: "mysql-bin.000003".to_owned(), offset: 154 };
        let mut expected = vec![0x12, 0x9a, 0, 0, 0, 2, 0, 0x57, 4, 0, 0];
        expected.extend(b"mysql-bin.000003");
        assert_eq!(request(&from, AtEnd::Wait), expected);
        expected[5] = 3;
        assert_eq!(request(&from, AtEnd::Stop), expected);

        let from = From::Gtid("726757ad-4455-11e8-ae04-0242ac110002:1-3:7-9".to_owned());
        let command = request(&from, AtEnd::Wait);
        assert_eq!(command.len(), 0x57);
        assert_eq!(command[..7], [0x1e, 2, 0, 0x57, 4, 0, 0]);
        assert_eq!(command[7..11], [0; 4]);
        assert_eq!(command[11..19], 4_u64.to_le_bytes());
        assert_eq!(command[19..23], 64_u32.to_le_bytes());
    }
}
