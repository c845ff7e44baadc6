//! Compressed things: `TRANSACTION_PAYLOAD` (40), MariaDB's compressed events and columns.

use std::io::Read;

use crate::error::ParseError;
use crate::reader::Reader;

/// How a [`Payload`] is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadCompression {
    /// Zstandard.
    Zstd,
    /// Not at all.
    None,
}

/// `TRANSACTION_PAYLOAD` (40): the events of one transaction (mysql-source 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// How `bytes` is compressed.
    pub compression: PayloadCompression,
    /// Claimed length in bytes after decompression.
    pub uncompressed_len: u64,
    /// The inner events, without checksums, compressed.
    pub bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let mut compression = PayloadCompression::None;
        let (mut uncompressed_len, mut payload_len) = (0, None);
        loop {
            let field = r.lenenc("payload field")?;
            if field == 0 {
                break;
            }
            let mut value = Reader::new(r.lenenc_bytes("payload field value")?);
            match field {
                1 => payload_len = Some(value.lenenc_len("payload size")?),
                2 => {
                    compression = match value.lenenc("compression type")? {
                        0 => PayloadCompression::Zstd,
                        255 => PayloadCompression::None,
                        other => return Err(r.invalid("compression type", other, "0 or 255")),
                    }
                }
                3 => uncompressed_len = value.lenenc("uncompressed size")?,
                _ => {}
            }
        }
        let bytes = match payload_len {
            Some(len) => r.bytes(len, "payload")?,
            None => r.take_rest(),
        };
        Ok(Self { compression, uncompressed_len, bytes })
    }

    /// The inner events one behind the other, into `out`. Stops at `limit` bytes.
    ///
    /// # Errors
    /// [`ParseError::Decompress`]; [`ParseError::Limit`] when there is more than `limit`.
    pub fn decompress(&self, out: &mut Vec<u8>, limit: u64) -> Result<(), ParseError> {
        out.clear();
        match self.compression {
            PayloadCompression::None => out.extend_from_slice(self.bytes),
            PayloadCompression::Zstd => {
                let mut decoder = ruzstd::decoding::StreamingDecoder::new(self.bytes)
                    .map_err(|e| decompress_error("transaction payload", &e))?;
                read_limited(&mut decoder, out, limit, "transaction payload")?;
            }
        }
        Ok(())
    }
}

fn decompress_error(field: &'static str, error: &dyn std::fmt::Display) -> ParseError {
    ParseError::Decompress { field, reason: error.to_string() }
}

fn read_limited(
    from: &mut dyn Read,
    out: &mut Vec<u8>,
    limit: u64,
    field: &'static str,
) -> Result<(), ParseError> {
    let before = out.len();
    from.take(limit.saturating_add(1)).read_to_end(out).map_err(|e| decompress_error(field, &e))?;
    let len = u64::try_from(out.len() - before).unwrap_or(u64::MAX);
    if len > limit {
        let limit_name = "source.event_len_max";
        return Err(ParseError::Limit { field, claimed: len, limit, limit_name });
    }
    Ok(())
}

/// Appends what MariaDB's compressed events hold: bit 7, algorithm in bits 4-6 (0 is zlib), in
/// bits 0-2 the count of bytes of the big-endian raw length, then the stream (mysql-source 2.10).
///
/// # Errors
/// [`ParseError`] for another algorithm, a damaged stream, or more than `limit` bytes.
pub fn decompress_mariadb(bytes: &[u8], out: &mut Vec<u8>, limit: u64) -> Result<(), ParseError> {
    const FIELD: &str = "compressed event";
    let mut r = Reader::new(bytes);
    let head = r.u8(FIELD)?;
    if head & 0xf0 != 0x80 {
        return Err(r.invalid("compression header", u64::from(head), "zlib (80 to 87)"));
    }
    let claimed = r
        .bytes(usize::from(head & 7), "uncompressed length")?
        .iter()
        .fold(0_u64, |len, &b| len << 8 | u64::from(b));
    if claimed > limit {
        let limit_name = "source.event_len_max";
        return Err(ParseError::Limit { field: FIELD, claimed, limit, limit_name });
    }
    let before = out.len();
    let mut decoder = flate2::read::ZlibDecoder::new(r.rest());
    read_limited(&mut decoder, out, limit, FIELD)?;
    let len = u64::try_from(out.len() - before).unwrap_or(u64::MAX);
    if len == claimed {
        Ok(())
    } else {
        Err(r.invalid("uncompressed length", claimed, "the length of what was inflated"))
    }
}

/// The value of a MariaDB COMPRESSED column, into `out`: an empty value is empty; else the first
/// byte holds the algorithm in its high half (0 stored, 8 zlib) and in its low three bits the
/// count of length bytes (MariaDB `sql/field.cc`, `Field_longstr::compress`).
///
/// # Errors
/// [`ParseError`] for another algorithm, a damaged stream, or more than `limit` bytes.
pub fn decompress_column(bytes: &[u8], out: &mut Vec<u8>, limit: u64) -> Result<(), ParseError> {
    out.clear();
    let mut r = Reader::new(bytes);
    if r.is_empty() {
        return Ok(());
    }
    let head = r.u8("compressed column")?;
    match head >> 4 {
        0 => {
            out.extend_from_slice(r.take_rest());
            Ok(())
        }
        8 => {
            r.bytes(usize::from(head & 7), "uncompressed length")?;
            // Bit 3 set: a raw stream without zlib's header.
            if head & 8 != 0 {
                let mut decoder = flate2::read::DeflateDecoder::new(r.rest());
                read_limited(&mut decoder, out, limit, "compressed column")
            } else {
                let mut decoder = flate2::read::ZlibDecoder::new(r.rest());
                read_limited(&mut decoder, out, limit, "compressed column")
            }
        }
        _ => Err(r.invalid("compression method", u64::from(head), "stored or zlib")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadb_zlib_is_inflated_and_bounded() {
        let bytes = [
            0x82, 0x01, 0x2c, 0x78, 0x9c, 0x73, 0x74, 0x1c, 0x05, 0xc4, 0x02, 0x00, 0xcb, 0x9e,
            0x4c, 0x2d,
        ];
        let mut out = Vec::new();
        decompress_mariadb(&bytes, &mut out, 1 << 20).unwrap();
        assert_eq!(out, [b'A'; 300]);
        assert!(decompress_mariadb(&bytes, &mut Vec::new(), 100).is_err());
    }
}
