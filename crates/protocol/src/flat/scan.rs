//! What is in a text: bytes that a JSON string escapes, and bytes beyond ASCII.

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found(u8);

impl Found {
    const SPECIAL: u8 = 1;
    const HIGH: u8 = 0x80;

    /// A byte below 0x20, a quote or a backslash.
    #[inline(always)]
    pub(super) const fn has_special(self) -> bool {
        self.0 & Self::SPECIAL != 0
    }

    /// A byte from 0x80 on.
    #[inline(always)]
    pub(super) const fn has_high(self) -> bool {
        self.0 & Self::HIGH != 0
    }

    #[inline(always)]
    pub(super) const fn is_plain(self) -> bool {
        self.0 == 0
    }
}

/// As in [`Found`].
#[inline(always)]
fn bits(byte: u8) -> u8 {
    u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\') | (byte & 0x80)
}

/// Written so that the compiler makes vectors of it.
#[inline(always)]
fn bits_of<const N: usize>(chunk: &[u8; N]) -> u8 {
    chunk.iter().fold(0, |all, &byte| all | bits(byte))
}

/// Looks through a text.
#[inline]
pub(super) fn scan(bytes: &[u8]) -> Found {
    let (chunks, tail) = bytes.as_chunks::<32>();
    let mut all = chunks.iter().fold(0, |all, chunk| all | bits_of(chunk));
    // The last ones overlap those before, which changes nothing.
    if let Some(last) = bytes.last_chunk::<32>() {
        all |= bits_of(last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>())
    {
        all |= bits_of(first) | bits_of(last);
    } else {
        all |= tail.iter().fold(0, |all, &byte| all | bits(byte));
    }
    Found(all)
}

/// Looks through the first `len` bytes of a slice; `None` when it is shorter. A short text in words: what
/// the compiler makes of single bytes is a matter of luck.
#[inline(always)]
pub(super) fn scan_front(from: &[u8], len: usize) -> Option<Found> {
    let word = |at: usize| from.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
    match len {
        0..8 if from.len() >= 8 => {
            // Bytes behind the text are shifted out, and blanks count instead of them.
            let blank = 8 * u32::try_from(8 - len).unwrap_or(8);
            let text = word(0)?.checked_shl(blank).unwrap_or(0);
            let blanks = BLANKS.checked_shr(64 - blank).unwrap_or(0);
            Some(found(text | blanks, BLANKS))
        }
        8..=16 => Some(found(word(0)?, word(len - 8)?)),
        _ => from.get(..len).map(scan),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const BLANKS: u64 = 0x20 * ONES;

/// Looks through eight bytes, and other ones.
#[inline(always)]
fn found(one: u64, other: u64) -> Found {
    const HIGH: u64 = 0x80 * ONES;
    /// The high bit of a byte at least, when a byte is below `least`, which is at most 0x80.
    #[inline(always)]
    const fn below(word: u64, least: u64) -> u64 {
        word.wrapping_sub(least * ONES) & !word
    }
    let special = |word: u64| {
        let (quotes, backslashes) = (word ^ (0x22 * ONES), word ^ (0x5c * ONES));
        below(word, 0x20) | below(quotes, 1) | below(backslashes, 1)
    };
    let is_special = (special(one) | special(other)) & HIGH != 0;
    let is_high = (one | other) & HIGH != 0;
    Found(u8::from(is_special) | if is_high { Found::HIGH } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for len in 0..70 {
            let plain = vec![b' '; len];
            assert!(scan(&plain).is_plain());
            for at in 0..len {
                for byte in 0..=255 {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    let special = u8::from(matches!(byte, 0..0x20 | b'"' | b'\\'));
                    let expected = Found(special | byte & Found::HIGH);
                    assert_eq!(scan(&bytes), expected, "{byte} at {at} of {len}");
                    // Whatever is behind it.
                    bytes.extend_from_slice(&[b'"'; 16]);
                    assert_eq!(scan_front(&bytes, len), Some(expected), "{byte} at {at} of {len}");
                }
            }
        }
        assert_eq!(scan_front(b"abc", 4), None);
    }
}
