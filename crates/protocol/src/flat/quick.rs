//! Fields of a message as they nearly always are, read in registers. Where this gives up,
//! [`crate::entry`] says what is wrong.

/// The fields of a message one by one.
#[derive(Clone, Copy)]
pub(super) struct Quick<'a> {
    pub(super) rest: &'a [u8],
}

/// A field: its tag, its value or length, and the message from its content on.
pub(super) struct Item<'a> {
    pub(super) tag: u8,
    pub(super) number: u64,
    pub(super) from: &'a [u8],
}

impl<'a> Item<'a> {
    /// The content of a length-delimited field.
    #[inline(always)]
    pub(super) fn content(&self) -> Option<&'a [u8]> {
        self.from.get(..self.len())
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX)
    }
}

impl<'a> Quick<'a> {
    /// The next field; `None` for one that has an unusual form. Not to be asked at the end.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Item<'a>> {
        let (&[tag, low], rest) = self.rest.split_first_chunk()?;
        let (number, from) =
            if low < 0x80 { (u64::from(low), rest) } else { long_number(low, rest)? };
        match tag & 0x87 {
            0 => self.rest = from,
            2 => self.rest = from.get(usize::try_from(number).ok()?..)?,
            _ => return None,
        }
        Some(Item { tag, number, from })
    }
}

/// A varint that begins with `low`, which is not its end. Up to eight bytes more in one go.
#[inline(always)]
fn long_number(low: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    const ENDS: u64 = 0x8080_8080_8080_8080;
    let Some(word) = rest.first_chunk() else { return number_at_end(low, rest) };
    let word = u64::from_le_bytes(*word);
    let end = !word & ENDS;
    if end == 0 {
        return None;
    }
    // Everything up to the end, then its parts of seven bits moved together by twos.
    let parts = word & (end ^ (end - 1)) & !ENDS;
    let twos = (parts & 0x007f_007f_007f_007f) | (parts & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (twos & 0x0000_3fff_0000_3fff) | (twos & 0x3fff_0000_3fff_0000) >> 2;
    let number = (fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4;
    let number = number << 7 | u64::from(low & 0x7f);
    Some((number, rest.get(end.trailing_zeros() as usize / 8 + 1..)?))
}

/// The same where less than eight bytes are left.
fn number_at_end(low: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = u64::from(low & 0x7f);
    for (index, &byte) in (1_u32..).zip(rest) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((number, rest.get(usize::try_from(index).ok()?..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whole() {
        for bits in 7..63 {
            for number in [1_u64 << bits, (1 << bits) + 1, u64::MAX >> (63 - bits)] {
                let mut message = vec![1 << 3];
                let mut left = number;
                while left >= 0x80 {
                    message.push(left.to_le_bytes()[0] | 0x80);
                    left >>= 7;
                }
                message.push(left.to_le_bytes()[0]);
                let len = message.len();
                for behind_len in [0, 1, 8] {
                    message.resize(len + behind_len, 0xff);
                    let mut fields = Quick { rest: &message };
                    assert_eq!(fields.next().map(|field| field.number), Some(number));
                    assert_eq!(fields.rest.len(), behind_len);
                }
            }
        }
    }
}
