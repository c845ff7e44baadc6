//! How each type becomes text (entry-format 3).

mod charset;
mod digits;
mod float;
mod json;
mod temporal;

pub(crate) use charset::Charset;
pub use charset::statement_text;
pub(crate) use digits::{INT_ROOM, put_int};
pub(crate) use float::{write_f32, write_f64};
pub(crate) use json::{write_diffs, write_json};
pub(crate) use temporal::{write_date, write_datetime, write_time, write_timestamp};

use std::io::Write as _;

use towpath_binlog::column::Decimal;

pub use temporal::Zone;

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

/// Appends a number with at least `width` digits.
pub(crate) fn write_padded(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// DECIMAL: groups of nine fraction digits in full, an incomplete last group only when it is not
/// zero, at least one digit after the point (entry-format 3.4).
pub(crate) fn write_decimal(out: &mut Vec<u8>, decimal: &Decimal<'_>) {
    if decimal.is_negative() {
        out.push(b'-');
    }
    let (whole, fraction) = decimal.groups();
    let mut started = false;
    for (value, _) in whole {
        if started {
            write_padded(out, value, 9);
        } else if value != 0 {
            write_int(out, value);
            started = true;
        }
    }
    if !started {
        out.push(b'0');
    }
    if decimal.scale() == 0 {
        return;
    }
    out.push(b'.');
    let point = out.len();
    for (value, digits) in fraction {
        if digits == 9 || value != 0 {
            write_padded(out, value, usize::from(digits));
        }
    }
    if out.len() == point {
        out.push(b'0');
    }
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

/// Appends bytes as ISO-8859-1: each one as the character of its number. Of every byte both bytes of its
/// character are put, and one or two of them count: in binary data no branch is foreseen.
pub(crate) fn write_latin1(out: &mut Vec<u8>, bytes: &[u8]) {
    const BLOCK: usize = 1 << 10;
    let mut block = [0; 2 * BLOCK];
    for bytes in bytes.chunks(BLOCK) {
        let mut len = 0;
        for &byte in bytes {
            let is_high = byte >> 7;
            let lead = if is_high == 1 { 0xc0 | byte >> 6 } else { byte };
            if let Some(to) = block.get_mut(len..).and_then(<[u8]>::first_chunk_mut::<2>) {
                *to = [lead, 0x80 | byte & 0x3f];
            }
            len += 1 + usize::from(is_high);
        }
        out.extend_from_slice(block.get(..len).unwrap_or_default());
    }
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

/// MariaDB's INET6.
pub(crate) fn write_inet6(out: &mut Vec<u8>, bytes: &[u8]) {
    write_formatted(out, format_args!("{}", std::net::Ipv6Addr::from(unpad::<16>(bytes))));
}

#[cfg(test)]
mod tests {
    use super::*;

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
