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
    /// Digits that a value has at most.
    pub const DIGITS_MAX: u8 = 65;

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
    /// [`ParseError::Truncated`]; [`ParseError::Invalid`] for more than [`Self::DIGITS_MAX`] digits, or more
    /// behind the point than there are.
    #[inline]
    pub fn read(r: &mut Reader<'a>, precision: u8, scale: u8) -> Result<Self, ParseError> {
        if precision > Self::DIGITS_MAX || scale > precision {
            return Err(r.invalid("DECIMAL", u64::from(precision), "at most 65 digits"));
        }
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
    #[must_use]
    #[inline]
    pub fn groups(&self) -> (Groups<'a>, Groups<'a>) {
        let whole = self.precision.saturating_sub(self.scale);
        let whole_len = usize::from(whole / 9) * 4 + group_bytes(whole % 9);
        let (before, after) = self.bytes.split_at_checked(whole_len).unwrap_or((self.bytes, &[]));
        // The sign bit is the first bit of all, also when there are no digits before the point.
        let flip = if self.is_negative() { u32::MAX } else { 0 };
        let sign = |is_first: bool| u32::from(is_first) << 31;
        (
            Groups {
                rest: before,
                lead: whole % 9,
                full: whole / 9,
                trail: 0,
                flip,
                sign: sign(true),
            },
            Groups {
                rest: after,
                lead: 0,
                full: self.scale / 9,
                trail: self.scale % 9,
                flip,
                sign: sign(whole_len == 0),
            },
        )
    }
}

/// Groups of digits; see [`Decimal::groups`].
#[derive(Debug, Clone)]
pub struct Groups<'a> {
    rest: &'a [u8],
    /// Digits of a group that is not full, before the full ones or behind them.
    lead: u8,
    full: u8,
    trail: u8,
    /// Ones when the value is below zero.
    flip: u32,
    /// The sign bit, of the first group.
    sign: u32,
}

impl Iterator for Groups<'_> {
    type Item = (u32, u8);

    #[inline]
    fn next(&mut self) -> Option<(u32, u8)> {
        let digits = if self.lead > 0 {
            std::mem::take(&mut self.lead)
        } else if self.full > 0 {
            self.full -= 1;
            9
        } else if self.trail > 0 {
            std::mem::take(&mut self.trail)
        } else {
            return None;
        };
        let len = group_bytes(digits);
        // The group at the top of a word, as if more digits followed.
        let word = match self.rest.first_chunk::<4>() {
            Some(word) => u32::from_be_bytes(*word),
            None => {
                let mut word = [0; 4];
                for (to, from) in word.iter_mut().zip(self.rest) {
                    *to = *from;
                }
                u32::from_be_bytes(word)
            }
        };
        self.rest = self.rest.get(len..).unwrap_or_default();
        let word = word ^ std::mem::take(&mut self.sign) ^ self.flip;
        Some((word >> (32 - 8 * len), digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents and user variables bring these numbers with each value.
    #[test]
    fn more_digits_than_there_can_be_are_refused() {
        let bytes = [0x80; 200];
        for (precision, scale) in [(66, 0), (255, 200), (10, 11)] {
            assert!(Decimal::read(&mut Reader::new(&bytes), precision, scale).is_err());
        }
        assert!(Decimal::read(&mut Reader::new(&bytes), 65, 38).is_ok());
    }

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
