//! The sequence of events of a binlog: file, offset, checksums, rotation.
//!
//! The only place that knows how events follow each other. It holds no bytes and does no I/O.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::{StreamError, StreamFault};
use crate::format::{Checksum, FormatDescription};
use crate::header::{EventHeader, event_type};
use crate::reader::Reader;

/// What is known of an event beside its bytes. It stays where the stream has it, and is read there:
/// handed on by value it would cost more than most events take to decode.
#[derive(Debug, Clone)]
pub struct EventPlace {
    /// The common header.
    pub header: EventHeader,
    /// Name of the file.
    pub file: Arc<str>,
    /// Offset at which the event starts.
    pub start: u64,
    /// Offset at which the next event starts; equal to `start` for artificial events.
    pub end: u64,
    /// The format description in force.
    pub format: FormatDescription,
}

/// One event, with its place.
#[derive(Debug, Clone, Copy)]
pub struct RawEvent<'a> {
    /// What stands between header and checksum.
    pub body: &'a [u8],
    /// Header, file and offsets; they can be read as fields of the event.
    pub place: &'a EventPlace,
}

impl Deref for RawEvent<'_> {
    type Target = EventPlace;

    #[inline]
    fn deref(&self) -> &EventPlace {
        self.place
    }
}

/// Where the stream stands.
#[derive(Debug, Clone)]
pub struct EventStream {
    /// Of the last event; its file and format are those in force.
    place: EventPlace,
    offset: u64,
    /// Before the first format description: what the connection announced.
    checksum: Checksum,
}

impl EventStream {
    /// A stream that goes on at `offset` of `file`. `first_checksum` holds until the first format
    /// description: on a network dump what was announced to the server, for a file
    /// [`Checksum::None`].
    #[must_use]
    pub fn new(file: &str, offset: u64, first_checksum: Checksum) -> Self {
        let place = EventPlace {
            header: EventHeader::default(),
            file: Arc::from(file),
            start: offset,
            end: offset,
            format: FormatDescription::default(),
        };
        Self { place, offset, checksum: first_checksum }
    }

    /// The current file.
    #[must_use]
    pub const fn file(&self) -> &Arc<str> {
        &self.place.file
    }

    /// Where the next event of the current file starts.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The format description in force.
    #[must_use]
    pub const fn format(&self) -> &FormatDescription {
        &self.place.format
    }

    /// The event that started at `start` comes again: the offset goes back there. Only for events
    /// that change nothing else (not for rotations and format descriptions).
    pub const fn unread(&mut self, start: u64) {
        self.offset = start;
    }

    /// Takes the next event: `raw` is one whole event, from its header to its checksum.
    ///
    /// # Errors
    /// [`StreamError`], which names file and offset: a length that disagrees with the bytes, a
    /// checksum that does not match, an end position that is not start plus length.
    #[inline]
    pub fn accept<'a>(&'a mut self, raw: &'a [u8]) -> Result<RawEvent<'a>, StreamError> {
        let body = match self.accept_usual(raw) {
            Some(body) => body,
            None => self.accept_any(raw)?,
        };
        Ok(RawEvent { body, place: &self.place })
    }

    /// Takes an event that lies where it must and changes nothing of what is in force: nearly all of
    /// them. `None` when there is more to look at; then nothing has changed.
    #[inline]
    fn accept_usual<'a>(&mut self, raw: &'a [u8]) -> Option<&'a [u8]> {
        let (head, rest) = raw.split_first_chunk::<{ EventHeader::LEN }>()?;
        let header = EventHeader::of(head);
        let end = self.offset + u64::from(header.event_len);
        let is_usual = u32::try_from(raw.len()) == Ok(header.event_len)
            && !header.is_artificial()
            && header.log_pos != 0
            && u64::from(header.log_pos) == end & 0xffff_ffff
            && !matches!(
                header.event_type,
                event_type::FORMAT_DESCRIPTION
                    | event_type::ROTATE
                    | event_type::HEARTBEAT
                    | event_type::HEARTBEAT_V2
            );
        if !is_usual {
            return None;
        }
        let body = match self.checksum {
            Checksum::None => rest,
            Checksum::Crc32 => {
                let (summed, crc) = raw.split_last_chunk::<4>()?;
                if crc32fast::hash(summed) != u32::from_le_bytes(*crc) {
                    return None;
                }
                rest.split_last_chunk::<4>()?.0
            }
        };
        self.place.header = header;
        self.place.start = self.offset;
        self.place.end = end;
        self.offset = end;
        Some(body)
    }

    #[cold]
    fn accept_any<'a>(&mut self, raw: &'a [u8]) -> Result<&'a [u8], StreamError> {
        let header = EventHeader::parse(raw).map_err(|e| self.fault(0, e.into()))?;
        if u32::try_from(raw.len()) != Ok(header.event_len) {
            let fault = StreamFault::Length { claimed: header.event_len, at_hand: raw.len() };
            return Err(self.fault(header.event_type, fault));
        }
        let body = self
            .strip_checksum(&header, raw)
            .map_err(|fault| self.fault(header.event_type, fault))?;
        let start = self.offset;
        let end = self.end_of(&header).map_err(|fault| self.fault(header.event_type, fault))?;
        match header.event_type {
            event_type::FORMAT_DESCRIPTION => {
                let with_checksum = raw.get(EventHeader::LEN..).unwrap_or_default();
                self.place.format = FormatDescription::parse(with_checksum)
                    .map_err(|e| self.fault(header.event_type, e.into()))?;
                self.checksum = self.place.format.checksum;
                self.offset = end;
            }
            event_type::ROTATE => {
                let (position, name) =
                    parse_rotate(body).map_err(|e| self.fault(header.event_type, e.into()))?;
                // A rotate of the file itself is followed by an artificial one; both say the same.
                if *self.place.file != *name {
                    self.place.file = Arc::from(name.as_ref());
                }
                self.offset = position;
            }
            _ => self.offset = end,
        }
        self.place.header = header;
        self.place.start = start;
        self.place.end = end;
        Ok(body)
    }

    fn fault(&self, event_type: u8, source: StreamFault) -> StreamError {
        StreamError { file: self.place.file.to_string(), offset: self.offset, event_type, source }
    }

    /// Offset behind the event. `log_pos` is 32 bits wide and missing on some events, so the offset
    /// is counted here and only checked against it (mysql-source 2.8, 2.10).
    fn end_of(&self, header: &EventHeader) -> Result<u64, StreamFault> {
        if header.is_artificial() || matches!(header.event_type, 27 | 41) {
            // A heartbeat says how far the source has skipped ahead in the same file.
            let skipped = matches!(header.event_type, 27 | 41) && header.log_pos != 0;
            let ahead = widen(header.log_pos, self.offset);
            return Ok(if skipped && ahead > self.offset { ahead } else { self.offset });
        }
        let end = self.offset + u64::from(header.event_len);
        if header.log_pos == 0 {
            // A format description sent when the dump starts past it; MariaDB 11.4 inside
            // transactions.
            let stays = header.event_type == event_type::FORMAT_DESCRIPTION && self.offset > 4;
            return Ok(if stays { self.offset } else { end });
        }
        if u64::from(header.log_pos) == end & 0xffff_ffff {
            return Ok(end);
        }
        if header.event_type == event_type::FORMAT_DESCRIPTION {
            return Ok(self.offset);
        }
        if self.place.format.ends_are_relative() {
            return Ok(end);
        }
        // Events that the source leaves out (annotations that were not asked for, encryption)
        // make the offset jump ahead; it never goes back.
        let ahead = widen(header.log_pos, end);
        if ahead > end {
            return Ok(ahead);
        }
        Err(StreamFault::Position { log_pos: header.log_pos, end })
    }

    fn strip_checksum<'a>(
        &self,
        header: &EventHeader,
        raw: &'a [u8],
    ) -> Result<&'a [u8], StreamFault> {
        let body = raw.get(EventHeader::LEN..).unwrap_or_default();
        let split = raw.split_last_chunk::<4>();
        let matches = |head: &[u8], crc: &[u8; 4]| {
            let (found, computed) = (u32::from_le_bytes(*crc), crc32fast::hash(head));
            if found == computed { Ok(()) } else { Err(StreamFault::Checksum { found, computed }) }
        };
        let without = |body: &'a [u8]| body.split_last_chunk::<4>().map_or(body, |(b, _)| b);
        match header.event_type {
            // It carries its checksum whatever its algorithm byte says, and its parser wants it.
            event_type::FORMAT_DESCRIPTION => Ok(body),
            // A made-up rotate follows what the connection announced or the last description: the
            // bytes themselves tell (mysql-source 2.1).
            event_type::ROTATE if header.is_artificial() || header.log_pos == 0 => {
                Ok(match split {
                    Some((head, crc)) if matches(head, crc).is_ok() => without(body),
                    _ => body,
                })
            }
            _ if self.checksum.is_empty() => Ok(body),
            _ => {
                let Some((head, crc)) = split else { return Ok(body) };
                matches(head, crc)?;
                Ok(without(body))
            }
        }
    }
}

/// The offset near `at` that a header tells modulo 4 GiB: positions go on, so one that seems to lie
/// far behind is in the next 4 GiB.
fn widen(log_pos: u32, at: u64) -> u64 {
    const ROUND: u64 = 1 << 32;
    let offset = (at & !(ROUND - 1)) | u64::from(log_pos);
    if offset + ROUND / 2 < at { offset + ROUND } else { offset }
}

/// Position and file name of a `ROTATE` (4).
///
/// # Errors
/// [`crate::ParseError::Truncated`] when the position is cut off.
pub fn parse_rotate(
    body: &[u8],
) -> Result<(u64, std::borrow::Cow<'_, str>), crate::error::ParseError> {
    let mut r = Reader::new(body);
    let position = r.u64("rotate position")?;
    Ok((position, String::from_utf8_lossy(r.take_rest())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ignorable event of `len` bytes that ends at `end`.
    fn event(len: u32, end: u64) -> Vec<u8> {
        let mut raw = vec![0; usize::try_from(len).unwrap()];
        raw[4] = event_type::IGNORABLE;
        raw[9..13].copy_from_slice(&len.to_le_bytes());
        let [a, b, c, d, ..] = end.to_le_bytes();
        raw[13..17].copy_from_slice(&[a, b, c, d]);
        raw
    }

    /// mysql-source 2.8: ends are told modulo 4 GiB.
    #[test]
    fn offsets_go_on_beyond_4_gib() {
        const LEN: u32 = 1 << 20;
        let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
        let mut raw = event(LEN, 0);
        let mut expected = 4;
        while expected < 9 << 30 {
            let end = expected + u64::from(LEN);
            let [a, b, c, d, ..] = end.to_le_bytes();
            raw[13..17].copy_from_slice(&[a, b, c, d]);
            let accepted = stream.accept(&raw).unwrap();
            assert_eq!((accepted.start, accepted.end), (expected, end));
            expected = end;
        }
        // MariaDB leaves ends out, and a heartbeat says how far the source has skipped.
        let accepted = stream.accept(&event(100, 0)[..100]).map(|event| event.end).unwrap();
        assert_eq!(accepted, expected + 100);
        let mut heartbeat = event(30, expected + 500);
        heartbeat[4] = event_type::HEARTBEAT;
        stream.accept(&heartbeat).unwrap();
        assert_eq!(stream.offset(), expected + 500);
        // The source has skipped over the next multiple.
        let mut heartbeat = event(30, (12 << 30) + 70);
        heartbeat[4] = event_type::HEARTBEAT;
        stream.unread((12 << 30) - 100);
        stream.accept(&heartbeat).unwrap();
        assert_eq!(stream.offset(), (12 << 30) + 70);
        stream.unread(expected + 500);
        let fault = stream.accept(&event(100, expected)).unwrap_err().to_string();
        assert!(fault.contains(&format!("mysql-bin.000001:{}", expected + 500)), "{fault}");
    }
}
