//! Writes fields: to the end of a vector, or to the front of room that was made before.

/// Appends a varint.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low7(value) | 0x80);
        value >>= 7;
    }
    out.push(low7(value));
}

#[inline]
fn low7(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low & 0x7f
}

/// Bytes of a varint.
#[inline]
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    // 9 / 64 approximates 1 / 7 well enough for 64 bits.
    let bits = 64 - (value | 1).leading_zeros();
    (bits * 9 + 64) as usize / 64
}

/// Appends a varint field.
#[inline]
pub fn int(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

/// Appends an `int32` or `int64` field; negative numbers take ten bytes.
pub fn signed(out: &mut Vec<u8>, field: u8, value: i64) {
    int(out, field, value.cast_unsigned());
}

/// Appends the tag and length of a length-delimited field.
#[inline]
pub fn head(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | 2);
    varint(out, len64(len));
}

/// Puts a length as a varint to the front of `to`; returns how many bytes it takes. `None` without
/// room for them.
#[inline]
pub fn put_varint(to: &mut [u8], len: usize) -> Option<usize> {
    let mut value = len64(len);
    let mut count = 0;
    loop {
        let byte = to.get_mut(count)?;
        count += 1;
        if value < 0x80 {
            *byte = low7(value);
            return Some(count);
        }
        *byte = low7(value) | 0x80;
        value >>= 7;
    }
}

/// A varint of two bytes: a value from 0x80 to 0x3fff.
#[inline(always)]
#[must_use]
pub const fn two_bytes(value: u64) -> [u8; 2] {
    // The upper seven bits move up by one.
    let [low, high, ..] = (value + (value & 0x3f80) + 0x80).to_le_bytes();
    [low, high]
}

/// Puts a varint to the front of `to`, and anything into the eight bytes there; returns how many bytes
/// it takes. `None` without room for eight bytes, or more when it is that long.
#[inline(always)]
pub fn put_varint_loose(to: &mut [u8], value: u64) -> Option<usize> {
    let [low, ..] = value.to_le_bytes();
    if value < 0x80 {
        *to.first_mut()? = low;
        return Some(1);
    }
    if value < 0x4000 {
        *to.first_chunk_mut::<2>()? = two_bytes(value);
        return Some(2);
    }
    if value >> 56 != 0 {
        return put_varint(to, usize::try_from(value).ok()?);
    }
    // Seven bits to a byte: halves of 28 bits apart, then of 14, then of 7.
    let halves = (value & 0x0fff_ffff) | ((value & 0x00ff_ffff_f000_0000) << 4);
    let quarters = (halves & 0x0000_3fff_0000_3fff) | ((halves & 0x0fff_c000_0fff_c000) << 2);
    let spread = (quarters & 0x007f_007f_007f_007f) | ((quarters & 0x3f80_3f80_3f80_3f80) << 1);
    let last = (63 - (spread | 1).leading_zeros()) / 8;
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * last)) - 1);
    *to.first_chunk_mut::<8>()? = (spread | more).to_le_bytes();
    Some(last as usize + 1)
}

/// Puts a tag and the length behind it to the front of `to`; returns how many bytes they take.
#[inline]
pub fn put_head(to: &mut [u8], tag: u8, len: usize) -> Option<usize> {
    let (first, rest) = to.split_first_mut()?;
    *first = tag;
    Some(1 + put_varint(rest, len)?)
}

/// Appends a length-delimited field.
#[inline]
pub fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    head(out, field, value.len());
    out.extend_from_slice(value);
}

/// Appends a `Pair` as a length-delimited field.
pub fn pair(out: &mut Vec<u8>, field: u8, key: &[u8], value: &[u8]) {
    let len = 2 + varint_len(len64(key.len())) + key.len() + varint_len(len64(value.len()));
    head(out, field, len + value.len());
    bytes(out, 1, key);
    bytes(out, 2, value);
}

/// A length as the wire has it.
#[inline]
#[must_use]
pub fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::read::{Fields, Value};
    use super::*;

    #[test]
    fn varint_len_counts_what_varint_writes_and_what_is_written_is_read() {
        for bits in 0..64 {
            for value in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                let mut out = Vec::new();
                varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                let mut loose = [0xff; 16];
                let len = put_varint_loose(&mut loose, value).unwrap();
                assert_eq!(loose[..len], out, "{value}");
                let mut message = Vec::new();
                int(&mut message, 1, value);
                let mut fields = Fields::new(&message);
                assert_eq!(fields.next_field(), Ok(Some((1, Value::Varint(value)))));
                assert_eq!(fields.next_field(), Ok(None));
            }
        }
        assert_eq!(varint_len(u64::MAX), 10);
    }
}
