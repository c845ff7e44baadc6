//! How each type becomes text (entry-format 3).

mod float;
mod json;
mod temporal;

pub(crate) use float::{write_f32, write_f64};
pub(crate) use json::{write_diffs, write_json};
pub(crate) use temporal::{write_date, write_datetime, write_time, write_timestamp};

use towpath_binlog::column::Decimal;

pub use temporal::Zone;

/// Appends a number in decimal.
#[inline]
pub(crate) fn write_int<N: itoa::Integer>(out: &mut Vec<u8>, value: N) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
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
    for run in bytes.split_inclusive(|b| !b.is_ascii()) {
        match run.split_last() {
            Some((&last, ascii)) if !last.is_ascii() => {
                out.extend_from_slice(ascii);
                out.extend_from_slice(&[0xc0 | last >> 6, 0x80 | last & 0x3f]);
            }
            _ => out.extend_from_slice(run),
        }
    }
}

/// Length of [`write_latin1`]'s output.
pub(crate) fn latin1_len(bytes: &[u8]) -> usize {
    bytes.len() + bytes.iter().filter(|b| !b.is_ascii()).count()
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
    out.extend(towpath_binlog::Uuid(unpad(bytes)).to_string().bytes());
}

/// MariaDB's INET4.
pub(crate) fn write_inet4(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(std::net::Ipv4Addr::from(unpad::<4>(bytes)).to_string().bytes());
}

/// MariaDB's INET6.
pub(crate) fn write_inet6(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(std::net::Ipv6Addr::from(unpad::<16>(bytes)).to_string().bytes());
}
