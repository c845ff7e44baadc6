//! Fields of a message as they nearly always are, read in registers. Where this gives up,
//! [`crate::read`] says what is wrong.

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

#[inline]
fn long_number(low: u8, mut rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = u64::from(low & 0x7f);
    for shift in (7..63).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        rest = tail;
        if byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}
