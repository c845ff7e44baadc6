//! Framing: a signed 32-bit big-endian length, then that many bytes of one packet.

use thiserror::Error;

/// Bytes of the length in front of each packet.
pub const HEADER_LEN: usize = 4;

/// Longest packet in bytes that a server takes from a peer that has not logged in.
pub const LIMIT_BEFORE_LOGIN: usize = 64 << 10;

/// Longest packet in bytes that a server takes afterwards: every request is tiny.
pub const LIMIT_AFTER_LOGIN: usize = 1 << 20;

/// Longest packet in bytes that a client takes: one event may be huge.
pub const LIMIT_CLIENT: usize = 256 << 20;

/// Bytes of a buffer that stay for the next packet.
const KEPT_LEN: usize = 4096;

/// A length that no packet of this protocol has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is below zero.
    #[error("frame length {len} is negative: the peer does not speak this protocol")]
    Negative {
        /// The length as sent.
        len: i32,
    },
    /// The length is above what is allowed here.
    #[error("frame length {len} is above the limit of {limit} bytes")]
    TooLong {
        /// The length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Reads the length of a packet.
///
/// # Errors
/// When it is negative or above `limit`.
pub fn body_len(header: [u8; HEADER_LEN], limit: usize) -> Result<usize, FrameError> {
    let len = i32::from_be_bytes(header);
    let bytes = usize::try_from(len).map_err(|_| FrameError::Negative { len })?;
    if bytes > limit { Err(FrameError::TooLong { len: bytes, limit }) } else { Ok(bytes) }
}

/// The header of a packet of `len` bytes.
pub(crate) fn header(len: usize) -> Result<[u8; HEADER_LEN], FrameError> {
    const LIMIT: usize = i32::MAX.unsigned_abs() as usize;
    i32::try_from(len).map(i32::to_be_bytes).map_err(|_| FrameError::TooLong { len, limit: LIMIT })
}

/// Puts the length in front of a packet.
///
/// # Errors
/// When the packet has more than 2 147 483 647 bytes.
pub fn frame(packet: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(HEADER_LEN + packet.len());
    out.extend_from_slice(&header(packet.len())?);
    out.extend_from_slice(packet);
    Ok(out)
}

/// Splits a byte stream into packets, whatever the pieces it arrives in.
///
/// Memory: what has arrived, never what a length promises.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    start: usize,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that takes packets of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    /// Changes the limit for the packets that follow.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes that have arrived and belong to no packet yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Bytes of the packet that has begun to arrive, with its length; nothing before the length is there,
    /// or if it is not allowed.
    #[must_use]
    pub fn announced(&self) -> Option<usize> {
        let header = self.buffer.get(self.start..)?.first_chunk()?;
        Some(HEADER_LEN + body_len(*header, self.limit).ok()?)
    }

    /// The first bytes that have arrived and belong to no packet yet.
    #[must_use]
    pub fn begun(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Whether as much has arrived as one packet can have: read on only after [`Self::next_frame`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffered() >= self.limit.saturating_add(HEADER_LEN)
    }

    /// The buffer to append arriving bytes to.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.shrink_to(KEPT_LEN);
        }
        &mut self.buffer
    }

    /// Takes the next whole packet, without its length.
    ///
    /// # Errors
    /// On a length that is negative or above the limit, as soon as its four bytes are there. The
    /// stream is of no use afterwards.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let len = body_len(*header, self.limit)?;
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let body = body.to_vec();
        self.start += HEADER_LEN + len;
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            // One long request must not hold memory for the life of a connection.
            self.buffer.shrink_to(KEPT_LEN);
        }
        Ok(Some(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_whole_however_the_bytes_arrive() {
        let stream =
            [frame(b"abc").unwrap(), frame(b"").unwrap(), frame(b"defg").unwrap()].concat();
        for step in 1..=stream.len() {
            let mut decoder = FrameDecoder::new(16);
            let mut packets = Vec::new();
            for piece in stream.chunks(step) {
                decoder.space().extend_from_slice(piece);
                while let Some(packet) = decoder.next_frame().unwrap() {
                    packets.push(packet);
                }
            }
            assert_eq!(packets, [b"abc".to_vec(), Vec::new(), b"defg".to_vec()], "step {step}");
            assert_eq!(decoder.buffered(), 0);
        }
    }

    #[test]
    fn a_bad_length_is_refused_from_its_four_bytes() {
        let mut decoder = FrameDecoder::new(LIMIT_BEFORE_LOGIN);
        decoder.space().extend_from_slice(b"HTTP");
        assert_eq!(
            decoder.next_frame(),
            Err(FrameError::TooLong { len: 0x4854_5450, limit: LIMIT_BEFORE_LOGIN })
        );
        assert_eq!(body_len([0xff, 0xff, 0xff, 0xfb], 10), Err(FrameError::Negative { len: -5 }));
        assert_eq!(body_len([0x7f, 0xff, 0xff, 0xff], usize::MAX), Ok(0x7fff_ffff));
    }

    #[test]
    fn a_packet_is_announced_by_its_length() {
        let mut decoder = FrameDecoder::new(1 << 20);
        assert_eq!(decoder.announced(), None);
        decoder.space().extend_from_slice(&[0, 1, 0]);
        assert_eq!(decoder.announced(), None);
        decoder.space().push(0);
        assert_eq!(decoder.announced(), Some(4 + (1 << 16)));
        // What a long one took is given back, also when the next one has begun.
        decoder.space().extend_from_slice(&[7; 1 << 16]);
        decoder.space().push(0x7f);
        assert!(decoder.next_frame().unwrap().is_some());
        assert_eq!((decoder.begun(), decoder.announced()), (&[0x7f][..], None));
        assert!(decoder.space().capacity() <= 4096);
    }

    #[test]
    fn the_buffer_is_full_at_one_packet_of_the_limit() {
        let mut decoder = FrameDecoder::new(8);
        decoder.space().extend_from_slice(&[0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7]);
        assert!(!decoder.is_full());
        decoder.space().push(8);
        assert!(decoder.is_full());
        assert!(decoder.next_frame().unwrap().is_some());
        assert!(!decoder.is_full());
    }
}
