//! How each type becomes text (entry-format 3).

mod charset;
mod digits;
mod float;
mod json;
mod temporal;
mod zone;

pub(crate) use charset::Charset;
pub(crate) use charset::name_of_collation as charset_name;
pub use charset::statement_text;
pub(crate) use digits::{put_int, put_padded};
pub(crate) use float::{put_f32, put_f64};
pub(crate) use json::{write_diffs, write_json};
pub(crate) use temporal::{put_date, put_datetime, put_time, put_timestamp};

use std::io::Write as _;

use towpath_binlog::column::{Date, DateTime, Decimal, Time, Timestamp};
use towpath_binlog::{ColumnKind, Reader};

use crate::message::no_room;

pub use zone::{Zone, ZoneError};

/// Bytes that functions that put a short text may touch: those of the longest one (a DECIMAL of 65 digits,
/// with sign and point), and what a word writes beyond them.
pub(crate) const SHORT_ROOM: usize = 80;

/// Where a short text goes: to the front, and anything behind it.
pub(crate) type ShortRoom = [u8; SHORT_ROOM];

/// Appends a number in decimal.
#[inline]
pub(crate) fn write_int<N: itoa::Integer>(out: &mut Vec<u8>, value: N) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends what the library formats.
pub(crate) fn write_formatted(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _written: bool = out.write_fmt(what).is_ok();
}

/// Appends a short text.
pub(crate) fn write_short(out: &mut Vec<u8>, put: impl FnOnce(&mut ShortRoom) -> Option<usize>) {
    let mut room = [0; SHORT_ROOM];
    let len = put(&mut room).unwrap_or_else(no_room);
    out.extend_from_slice(room.get(..len).unwrap_or_default());
}

/// True for a type whose texts are all short and need no more than its value.
pub(crate) const fn is_short(kind: ColumnKind) -> bool {
    matches!(
        kind,
        ColumnKind::Date
            | ColumnKind::Time { .. }
            | ColumnKind::DateTime { .. }
            | ColumnKind::Timestamp { .. }
            | ColumnKind::Decimal { .. }
            | ColumnKind::Float
            | ColumnKind::Double
            | ColumnKind::Year
            | ColumnKind::Enum { .. }
    )
}

/// Puts the text of the value at the front of `raw`, when it is always a short one; returns how many
/// bytes both take. `None` when it is not, or cut off.
pub(crate) fn put_short(
    kind: ColumnKind,
    zone: &Zone,
    raw: &[u8],
    to: &mut ShortRoom,
) -> Option<(usize, usize)> {
    let mut r = Reader::new(raw);
    let len = match kind {
        ColumnKind::Date => put_date(to, Date::read(&mut r).ok()?),
        ColumnKind::Time { fraction } => put_time(to, Time::read(&mut r, fraction).ok()?),
        ColumnKind::DateTime { fraction } => {
            put_datetime(to, DateTime::read(&mut r, fraction).ok()?)
        }
        ColumnKind::Timestamp { fraction } => {
            put_timestamp(to, Timestamp::read(&mut r, fraction).ok()?, zone)
        }
        ColumnKind::Decimal { precision, scale } => {
            put_decimal(to, &Decimal::read(&mut r, precision, scale).ok()?)
        }
        ColumnKind::Float => put_f32(to, f32::from_le_bytes(r.array("FLOAT").ok()?)),
        ColumnKind::Double => put_f64(to, f64::from_le_bytes(r.array("DOUBLE").ok()?)),
        ColumnKind::Year => put_year(to, r.u8("YEAR").ok()?),
        ColumnKind::Enum { bytes } => put_int(to, false, r.uint(usize::from(bytes), "ENUM").ok()?),
        ColumnKind::Tiny
        | ColumnKind::Short
        | ColumnKind::Int24
        | ColumnKind::Long
        | ColumnKind::LongLong
        | ColumnKind::Bit { .. }
        | ColumnKind::Set { .. }
        | ColumnKind::OldTime { .. }
        | ColumnKind::OldDateTime { .. }
        | ColumnKind::OldTimestamp { .. }
        | ColumnKind::Char { .. }
        | ColumnKind::VarChar { .. }
        | ColumnKind::Blob { .. }
        | ColumnKind::Json { .. }
        | ColumnKind::Geometry { .. }
        | ColumnKind::Vector { .. }
        | ColumnKind::CompressedVarChar { .. }
        | ColumnKind::CompressedBlob { .. }
        | ColumnKind::Other { .. } => None,
    }?;
    Some((r.offset(), len))
}

/// YEAR: 0 or years since 1900.
pub(crate) fn put_year(to: &mut ShortRoom, year: u8) -> Option<usize> {
    if year == 0 {
        *to.first_chunk_mut::<4>()? = *b"0000";
        return Some(4);
    }
    put_int(to, false, 1900 + u64::from(year))
}

/// DECIMAL: groups of nine fraction digits in full, an incomplete last group only when it is not
/// zero, at least one digit after the point (entry-format 3.4).
pub(crate) fn put_decimal(to: &mut ShortRoom, decimal: &Decimal<'_>) -> Option<usize> {
    *to.first_mut()? = b'-';
    let start = usize::from(decimal.is_negative());
    let mut at = start;
    let (whole, fraction) = decimal.groups();
    for (value, _) in whole {
        if at > start {
            at += put_padded(to.get_mut(at..)?, value, 9)?;
        } else if value != 0 {
            at += put_int(to.get_mut(at..)?, false, u64::from(value))?;
        }
    }
    if at == start {
        *to.get_mut(at)? = b'0';
        at += 1;
    }
    if decimal.scale() == 0 {
        return Some(at);
    }
    *to.get_mut(at..)?.first_chunk_mut::<2>()? = *b".0";
    at += 1;
    let point = at;
    for (value, digits) in fraction {
        if digits == 9 || value != 0 {
            at += put_padded(to.get_mut(at..)?, value, usize::from(digits))?;
        }
    }
    Some(at.max(point + 1))
}

/// True when no byte has its high bit set. Looks at whole blocks, and at the last one wherever it
/// begins: the library's way looks at up to 31 bytes at the end one by one.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    const BLOCK: usize = 32;
    /// Blocks that are looked at before the answer is.
    const STRIDE: usize = 16;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let with = |mut all: [u64; BLOCK / 8], block: &[u8; BLOCK]| {
        for (all, word) in all.iter_mut().zip(block.as_chunks::<8>().0) {
            *all |= u64::from_le_bytes(*word);
        }
        all
    };
    let none_high = |[a, b, c, d]: [u64; BLOCK / 8]| (a | b | c | d) & HIGH == 0;
    let (mut blocks, rest) = bytes.as_chunks::<BLOCK>();
    while let Some((stride, others)) = blocks.split_at_checked(STRIDE) {
        if !none_high(stride.iter().fold([0; BLOCK / 8], with)) {
            return false;
        }
        blocks = others;
    }
    if let Some(last) = bytes.last_chunk::<BLOCK>() {
        return none_high(blocks.iter().chain([last]).fold([0; BLOCK / 8], with));
    }
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word) & HIGH == 0;
    let (words, few) = rest.as_chunks::<8>();
    words.iter().all(word)
        && match rest.last_chunk::<8>() {
            Some(last) => word(last),
            None => few.iter().all(u8::is_ascii),
        }
}

/// Appends bytes as UTF-8, malformed sequences replaced as Java does: one U+FFFD for each maximal
/// valid prefix.
pub(crate) fn write_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends bytes as ISO-8859-1: each one as the character of its number.
pub(crate) fn write_latin1(out: &mut Vec<u8>, bytes: &[u8]) {
    let (start, len) = (out.len(), latin1_len(bytes));
    out.resize(start + len + LATIN1_SLACK, 0);
    put_latin1(out.get_mut(start..).unwrap_or_default(), bytes).unwrap_or_else(no_room);
    out.truncate(start + len);
}

/// Bytes of the text that [`put_latin1`] makes.
pub(crate) fn latin1_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// Words whose high bits are counted in the bytes of one: none of them overflows.
    const WORDS: usize = 255;
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words = words.chunks(WORDS).map(|words| {
        let counts = words.iter().map(|word| u64::from_le_bytes(*word) >> 7 & ONES).sum::<u64>();
        counts.to_le_bytes().into_iter().map(usize::from).sum::<usize>()
    });
    let in_rest = rest.iter().map(|byte| usize::from(byte >> 7));
    bytes.len() + in_words.sum::<usize>() + in_rest.sum::<usize>()
}

/// Bytes behind the text that [`put_latin1`] may touch.
pub(crate) const LATIN1_SLACK: usize = 8;

/// Puts bytes as ISO-8859-1 to the front of `to`. `None` without room for the text and the slack behind
/// it. The characters of four bytes are put together in a register: in binary data no branch is
/// foreseen.
pub(crate) fn put_latin1(to: &mut [u8], bytes: &[u8]) -> Option<()> {
    let mut at = 0;
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        let mut word = 0;
        let mut bits = 0;
        for byte in four {
            word |= u64::from(*LATIN1.get(usize::from(*byte))?) << (bits & 63);
            bits += 8 + u32::from(byte >> 7) * 8;
        }
        *to.get_mut(at..)?.first_chunk_mut::<8>()? = word.to_le_bytes();
        at += bits as usize / 8;
    }
    for byte in rest {
        let pair = LATIN1.get(usize::from(*byte))?.to_le_bytes();
        *to.get_mut(at..)?.first_chunk_mut::<2>()? = pair;
        at += 1 + usize::from(byte >> 7);
    }
    Some(())
}

/// For each byte its character in UTF-8.
static LATIN1: [u16; 256] = latin1();

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn latin1() -> [u16; 256] {
    let mut table = [0; 256];
    let (mut byte, mut number) = (0, 0);
    while byte < 256 {
        table[byte] =
            if number < 0x80 { number } else { 0xc0 | number >> 6 | (0x80 | number & 0x3f) << 8 };
        byte += 1;
        number += 1;
    }
    table
}

/// The bytes with the trailing zero bytes that the binlog leaves out, as for BINARY.
fn unpad<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut whole = [0; N];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    whole
}

/// MariaDB's UUID.
pub(crate) fn write_uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    write_formatted(out, format_args!("{}", towpath_binlog::Uuid(unpad(bytes))));
}

/// MariaDB's INET4.
pub(crate) fn write_inet4(out: &mut Vec<u8>, bytes: &[u8]) {
    write_formatted(out, format_args!("{}", std::net::Ipv4Addr::from(unpad::<4>(bytes))));
}

/// MariaDB's INET6, as its `Inet6::to_string` has it: other than in RFC 5952 a single zero is left out, and
/// an address behind six zeros has the form of IPv4.
pub(crate) fn write_inet6(out: &mut Vec<u8>, bytes: &[u8]) {
    let address = std::net::Ipv6Addr::from(unpad::<16>(bytes));
    let words = address.segments();
    let (start, len) = longest_gap(words);
    let is_v4 = len == 6 || len == 5 && words.get(5) == Some(&0xffff);
    if start == 0 && is_v4 {
        let prefix = if len == 6 { "::" } else { "::ffff:" };
        let [.., a, b, c, d] = address.octets();
        let v4 = std::net::Ipv4Addr::new(a, b, c, d);
        return write_formatted(out, format_args!("{prefix}{v4}"));
    }
    for (index, word) in words.into_iter().enumerate() {
        if index == start && len > 0 {
            out.extend_from_slice(b"::");
        } else if !(start..start + len).contains(&index) {
            if index > 0 && index != start + len {
                out.push(b':');
            }
            write_formatted(out, format_args!("{word:x}"));
        }
    }
}

/// Where the longest run of zeros begins, the first of several, and how long it is: a single zero is one
/// as well.
fn longest_gap(words: [u16; 8]) -> (usize, usize) {
    let (mut best, mut current) = ((0, 0), (0, 0));
    for (index, word) in words.into_iter().enumerate() {
        current = if word == 0 { (current.0, current.1 + 1) } else { (index + 1, 0) };
        if current.1 > best.1 {
            best = current;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever bytes they have, damaged ones included.
    #[test]
    fn every_decimal_has_room() {
        for precision in 0..=Decimal::DIGITS_MAX {
            for scale in 0..=precision {
                for fill in [0x00, 0x7f, 0x80, 0xff] {
                    let bytes = [fill; 40];
                    let decimal =
                        Decimal::read(&mut Reader::new(&bytes), precision, scale).unwrap();
                    assert!(put_decimal(&mut [0; SHORT_ROOM], &decimal).is_some());
                }
            }
        }
    }

    #[test]
    fn bytes_are_the_characters_of_their_numbers() {
        let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for len in [0, 1, 127, 129, 1023, 1024, 1025, 5000] {
            let mut out = b"before".to_vec();
            write_latin1(&mut out, &all[..len]);
            let text: String = all[..len].iter().map(|byte| char::from(*byte)).collect();
            assert_eq!(out, format!("before{text}").into_bytes());
            let mut high = Vec::new();
            write_latin1(&mut high, &vec![0xff; len]);
            assert_eq!(high, "\u{ff}".repeat(len).into_bytes());
        }
    }

    #[test]
    fn one_byte_with_a_high_bit_is_seen_wherever_it_is() {
        for len in 0..150 {
            let mut bytes = vec![b'a'; len];
            assert!(is_ascii(&bytes));
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "{at} of {len}");
                bytes[at] = 0x7f;
            }
        }
    }
}
