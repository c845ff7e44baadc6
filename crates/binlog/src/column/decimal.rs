//! DECIMAL: groups of nine digits, big endian, the sign in the first bit.

use crate::error::ParseError;
use crate::reader::Reader;

/// Bytes of a group of 0 to 9 digits.
const GROUP_BYTES: [u8; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// A decimal value, still in its binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    bytes: &'a [u8],
    precision: u8,
    scale: u8,
}

fn group_bytes(digits: u8) -> usize {
    GROUP_BYTES.get(usize::from(digits)).copied().map_or(4, usize::from)
}

impl<'a> Decimal<'a> {
    /// Length in bytes of a DECIMAL(precision, scale).
    #[must_use]
    pub fn len_of(precision: u8, scale: u8) -> usize {
        let whole = precision.saturating_sub(scale);
        usize::from(whole / 9) * 4
            + group_bytes(whole % 9)
            + usize::from(scale / 9) * 4
            + group_bytes(scale % 9)
    }

    /// Takes a value of DECIMAL(precision, scale).
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read(r: &mut Reader<'a>, precision: u8, scale: u8) -> Result<Self, ParseError> {
        let bytes = r.bytes(Self::len_of(precision, scale), "DECIMAL")?;
        Ok(Self { bytes, precision, scale })
    }

    /// True when the value is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.bytes.first().is_some_and(|b| b & 0x80 == 0)
    }

    /// Digits after the point.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// The groups before and after the point, in order: value and number of digits of each.
    pub fn groups(
        &self,
    ) -> (impl Iterator<Item = (u32, u8)> + 'a, impl Iterator<Item = (u32, u8)> + 'a) {
        let whole = self.precision.saturating_sub(self.scale);
        let lead = std::iter::once(whole % 9).filter(|&digits| digits > 0);
        let trail = std::iter::once(self.scale % 9).filter(|&digits| digits > 0);
        let whole_digits = lead.chain(std::iter::repeat_n(9, usize::from(whole / 9)));
        let fraction_digits = std::iter::repeat_n(9, usize::from(self.scale / 9)).chain(trail);
        let whole_len = usize::from(whole / 9) * 4 + group_bytes(whole % 9);
        let (before, after) = self.bytes.split_at_checked(whole_len).unwrap_or((self.bytes, &[]));
        // The sign bit is the first bit of all, also when there are no digits before the point.
        let flip = if self.is_negative() { 0xff } else { 0 };
        let sign_in_fraction = whole_len == 0;
        (
            walk(before, whole_digits, flip, true),
            walk(after, fraction_digits, flip, sign_in_fraction),
        )
    }
}

fn walk<'a>(
    bytes: &'a [u8],
    digits: impl Iterator<Item = u8> + 'a,
    flip: u8,
    signed: bool,
) -> impl Iterator<Item = (u32, u8)> + 'a {
    let mut rest = bytes;
    let mut sign = if signed { 0x80 } else { 0 };
    digits.map(move |count| {
        let (group, tail) = rest.split_at_checked(group_bytes(count)).unwrap_or((rest, &[]));
        rest = tail;
        let mut value = 0_u32;
        for &byte in group {
            value = value << 8 | u32::from(byte ^ sign ^ flip);
            sign = 0;
        }
        (value, count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_of_the_manual() {
        let check = |bytes: &[u8], precision, scale, negative, whole: &[u32], frac: &[u32]| {
            let d = Decimal::read(&mut Reader::new(bytes), precision, scale).unwrap();
            let (w, f) = d.groups();
            assert_eq!(d.is_negative(), negative);
            assert_eq!(w.map(|g| g.0).collect::<Vec<_>>(), whole);
            assert_eq!(f.map(|g| g.0).collect::<Vec<_>>(), frac);
        };
        check(&[0x80, 0, 0, 1, 0x32], 10, 2, false, &[1], &[50]);
        check(&[0x7f, 0xff, 0xff, 0xfe, 0xff], 10, 2, true, &[1], &[0]);
        check(
            &[0x80, 0, 0, 0, 1, 7, 0x5b, 0xcd, 0x15, 0],
            20,
            10,
            false,
            &[0, 1],
            &[123_456_789, 0],
        );
    }
}
