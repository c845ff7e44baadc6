//! The dump: packets from the socket, events out of one buffer (mysql-source 1.6, 1.7).

use std::ops::Range;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use towpath_binlog::{Checksum, EventHeader, EventStream, MysqlGtidSet, RawEvent};

use super::{From, prepare};
use crate::SourceConfig;
use crate::connection::Connection;
use crate::error::SourceError;

/// Bytes asked of the socket at a time.
const BLOCK_LEN: usize = 1 << 20;
/// A packet that is this long goes on in the next one.
const PACKET_MAX: usize = 0xff_ffff;
const DOING: &str = "read the binlog";

/// A running dump. Dropping it closes its socket.
#[derive(Debug)]
pub(crate) struct Dump {
    connection: Connection,
    server_id: u32,
    stream: EventStream,
    event_len_max: usize,
    buffer: Vec<u8>,
    /// What of `buffer` was not handed out yet.
    unread: Range<usize>,
    /// Start of the last packet handed out, and of its event in the file.
    last: (usize, u64),
    /// An event that spans packets, joined.
    joined: Vec<u8>,
    /// What ended the dump; told by the next `fill`.
    ended: Option<SourceError>,
}

impl Dump {
    /// Registers as a replica and asks for the binlog.
    pub(super) async fn begin(
        mut connection: Connection,
        config: &SourceConfig,
        server_id: u32,
        from: &From,
    ) -> Result<Self, SourceError> {
        let crc32 = prepare::session(&mut connection, config).await?;
        let mariadb = connection.version.to_ascii_lowercase().contains("mariadb");
        let mut register = vec![0x15];
        register.extend(server_id.to_le_bytes());
        register.extend([0; 3]);
        register.extend([0; 2 + 4 + 4]);
        connection.command(&register).await?;
        connection.read_packet("register as a replica").await?;
        let (file, offset, command) = match from {
            From::Position { file, offset } => {
                (file.as_str(), *offset, position_command(file, *offset, server_id, &connection)?)
            }
            From::Gtid(set) if mariadb => {
                let quoted = set.replace('\'', "");
                for sql in [
                    format!("SET @slave_connect_state = '{quoted}'"),
                    "SET @slave_gtid_strict_mode = 0".to_owned(),
                    "SET @slave_gtid_ignore_duplicates = 0".to_owned(),
                ] {
                    connection.query(&sql).await?;
                }
                ("", 4, position_command("", 0, server_id, &connection)?)
            }
            From::Gtid(set) => ("", 4, gtid_command(set, server_id)?),
        };
        connection.command(&command).await?;
        let checksum = if crc32 { Checksum::Crc32 } else { Checksum::None };
        Ok(Self {
            connection,
            server_id,
            stream: EventStream::new(file, offset, checksum),
            event_len_max: config.event_len_max,
            buffer: Vec::new(),
            unread: 0..0,
            last: (0, 0),
            joined: Vec::new(),
            ended: None,
        })
    }

    pub(super) const fn thread_id(&self) -> u32 {
        self.connection.thread_id
    }

    /// Reads until at least one more packet is whole. Cancelling loses nothing.
    pub(crate) async fn fill(&mut self, silence: Duration) -> Result<(), SourceError> {
        if let Some(ended) = self.ended.take() {
            return Err(ended);
        }
        loop {
            self.make_room();
            let filled = self.buffer.len();
            let read = timeout(silence, self.connection.stream.read_buf(&mut self.buffer)).await;
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
                Ok(Ok(count)) => self.unread.end = filled + count,
            }
            if self.whole_packet().is_some() {
                return Ok(());
            }
        }
    }

    /// Moves what is left to the front and makes room for one block.
    fn make_room(&mut self) {
        if self.unread.is_empty() {
            self.buffer.clear();
            self.unread = 0..0;
            // A huge event's room is given back once it is through.
            if self.buffer.capacity() > 4 * BLOCK_LEN {
                self.buffer = Vec::new();
            }
        } else if self.unread.start > 0 {
            self.buffer.drain(..self.unread.start);
            self.unread = 0..self.unread.len();
        }
        self.buffer.reserve(BLOCK_LEN);
    }

    /// Payload length of the packet at `at`, if its header is there.
    fn packet_len(&self, at: usize) -> Option<usize> {
        let head = self.buffer.get(at..self.unread.end)?.first_chunk::<4>()?;
        let [a, b, c, _] = *head;
        usize::try_from(u32::from_le_bytes([a, b, c, 0])).ok()
    }

    /// The parts of the next whole payload, if it is there: their ranges in the buffer.
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

    /// The next event that is in the buffer.
    pub(crate) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let Some((first, end)) = self.whole_packet() else { return self.check_len() };
        self.last = (self.unread.start, self.stream.offset());
        let start = self.unread.start;
        self.unread.start = end;
        match self.buffer.get(first.start) {
            Some(0) => {}
            Some(0xff) => {
                let packet = self.buffer.get(first).unwrap_or_default();
                self.ended = Some(self.connection.server_error(DOING, packet));
                return Ok(None);
            }
            Some(0xfe) => {
                let address = self.connection.address.clone();
                self.ended = Some(SourceError::Ended { address, server_id: self.server_id });
                return Ok(None);
            }
            _ => {
                self.ended = Some(self.connection.protocol(DOING, &"a packet that is no event"));
                return Ok(None);
            }
        }
        let raw = if first.end == end {
            self.buffer.get(first.start + 1..first.end).unwrap_or_default()
        } else {
            self.join(start, end);
            self.joined.get(1..).unwrap_or_default()
        };
        Ok(Some(self.stream.accept(raw)?))
    }

    /// Joins the payloads of the packets from `at` to `end`.
    fn join(&mut self, mut at: usize, end: usize) {
        self.joined.clear();
        while at < end {
            let Some(len) = self.packet_len_within(at, end) else { break };
            let payload = self.buffer.get(at + 4..at + 4 + len).unwrap_or_default();
            self.joined.extend_from_slice(payload);
            at += 4 + len;
        }
    }

    fn packet_len_within(&self, at: usize, end: usize) -> Option<usize> {
        let [a, b, c, _] = *self.buffer.get(at..end)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes([a, b, c, 0])).ok()
    }

    /// An event that claims to be longer than the limit is refused before it is buffered.
    fn check_len(&self) -> Result<Option<RawEvent<'_>>, SourceError> {
        let payload = self.buffer.get(self.unread.start + 5..self.unread.end).unwrap_or_default();
        if let Ok(header) = EventHeader::parse(payload) {
            let len = usize::try_from(header.event_len).unwrap_or(usize::MAX);
            if len > self.event_len_max {
                let reason = format!(
                    "an event of {len} bytes at {}:{}, the limit is {}",
                    self.stream.file(),
                    self.stream.offset(),
                    self.event_len_max
                );
                let address = self.connection.address.clone();
                return Err(SourceError::Setup { address, reason });
            }
        }
        Ok(None)
    }

    /// The last event comes again.
    pub(super) fn unread(&mut self) {
        let (start, offset) = self.last;
        self.unread.start = start;
        self.stream.unread(offset);
    }
}

fn position_command(
    file: &str,
    offset: u64,
    server_id: u32,
    connection: &Connection,
) -> Result<Vec<u8>, SourceError> {
    let Ok(offset) = u32::try_from(offset) else {
        let reason = format!(
            "{file}:{offset} lies beyond 4 GiB, where a dump cannot begin: start at the beginning \
             of the file, or with a GTID set"
        );
        return Err(SourceError::Setup { address: connection.address.clone(), reason });
    };
    let mut command = vec![0x12];
    command.extend(offset.to_le_bytes());
    // MariaDB: send annotations; MySQL 8.0.26 and later: heartbeats with 64-bit positions.
    command.extend(2_u16.to_le_bytes());
    command.extend(server_id.to_le_bytes());
    command.extend(file.as_bytes());
    Ok(command)
}

fn gtid_command(set: &str, server_id: u32) -> Result<Vec<u8>, SourceError> {
    let parsed = MysqlGtidSet::parse(set)
        .map_err(|e| SourceError::Start { start: format!("gtid:{set}"), reason: e.to_string() })?;
    let data = parsed.encode();
    let mut command = vec![0x1e];
    command.extend(2_u16.to_le_bytes());
    command.extend(server_id.to_le_bytes());
    command.extend(0_u32.to_le_bytes());
    command.extend(4_u64.to_le_bytes());
    command.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    command.extend(data);
    Ok(command)
}
