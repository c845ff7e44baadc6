//! What is in a text, a word at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// A byte that a JSON string escapes.
    pub(super) has_special: bool,
    /// A byte beyond ASCII.
    pub(super) has_high: bool,
}

/// A high bit set somewhere if one of the bytes is to be escaped; none if not.
#[inline(always)]
const fn special(word: u64) -> u64 {
    const fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (control | zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64))) & HIGH
}

/// Looks for bytes below 0x20, quotes and backslashes, and for bytes from 0x80 on.
#[inline]
pub(super) fn scan(bytes: &[u8]) -> Found {
    let (words, tail) = bytes.as_chunks::<8>();
    let (mut specials, mut all) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        specials |= special(word);
        all |= word;
    }
    if let Some(last) = bytes.last_chunk::<8>() {
        // It overlaps the one before, which changes nothing.
        let word = u64::from_le_bytes(*last);
        specials |= special(word);
        all |= word;
    } else {
        for &byte in tail {
            let word = u64::from(byte) | (ONES * u64::from(b' ')) & !0xff;
            specials |= special(word);
            all |= word;
        }
    }
    Found { has_special: specials != 0, has_high: all & HIGH != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for len in 0..40 {
            let plain = vec![b' '; len];
            assert_eq!(scan(&plain), Found { has_special: false, has_high: false });
            for at in 0..len {
                for byte in 0..=255 {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    let found = scan(&bytes);
                    let is_special = matches!(byte, 0..0x20 | b'"' | b'\\');
                    assert_eq!(found.has_special, is_special, "{byte} at {at} of {len}");
                    assert_eq!(found.has_high, byte >= 0x80, "{byte} at {at} of {len}");
                }
            }
        }
    }
}
