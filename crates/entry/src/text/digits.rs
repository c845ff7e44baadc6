//! Integers in decimal, eight digits at a time in one register.

/// Bytes that [`put_int`] may touch: a sign, twenty digits, and what a word writes beyond them.
const INT_ROOM: usize = 1 + 3 * 8;

const EIGHT: u64 = 100_000_000;

/// The digit 0 eight times.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Puts a number to the front of `to`, and anything into the [`INT_ROOM`] bytes there; returns its
/// length. `None` when there is no such room.
#[inline(always)]
pub(crate) fn put_int(to: &mut [u8], negative: bool, magnitude: u64) -> Option<usize> {
    let to = to.first_chunk_mut::<INT_ROOM>()?;
    let sign_len = usize::from(negative);
    *to.first_mut()? = b'-';
    let digits = to.get_mut(sign_len..)?;
    let len = if magnitude < EIGHT {
        put_leading(digits, magnitude)?
    } else {
        put_many(digits, magnitude)?
    };
    Some(sign_len + len)
}

/// A number of more than eight digits.
#[inline(never)]
fn put_many(to: &mut [u8], value: u64) -> Option<usize> {
    let (high, low) = (value / EIGHT, value % EIGHT);
    let len = if high < EIGHT {
        put_leading(to, high)?
    } else {
        let len = put_leading(to, high / EIGHT)?;
        put_word(to.get_mut(len..)?, eight(high % EIGHT))?;
        len + 8
    };
    put_word(to.get_mut(len..)?, eight(low))?;
    Some(len + 8)
}

/// Puts a number below 10^9 with `width` digits, 1 to 9, and anything into the eight bytes behind the
/// first one. `None` without room for nine bytes.
#[inline(always)]
pub(crate) fn put_padded(to: &mut [u8], value: u32, width: usize) -> Option<usize> {
    let value = u64::from(value);
    if width >= 9 {
        let [first, ..] = (value / EIGHT).to_le_bytes();
        *to.first_mut()? = b'0' + first % 10;
        put_word(to.get_mut(1..)?, eight(value % EIGHT))?;
        return Some(9);
    }
    put_word(to, eight(value % EIGHT) >> (8 * (8 - width.min(8))))?;
    Some(width)
}

/// A number below 10^8 without leading zeros.
#[inline(always)]
fn put_leading(to: &mut [u8], value: u64) -> Option<usize> {
    let values = values(value);
    // The first digit is in the lowest byte; the last one stays, also when it is 0.
    let zeros = (values | 1 << 56).trailing_zeros() / 8;
    put_word(to, (values | ZEROS) >> (8 * zeros))?;
    Some(8 - zeros as usize)
}

#[inline(always)]
fn put_word(to: &mut [u8], word: u64) -> Option<()> {
    *to.first_chunk_mut::<8>()? = word.to_le_bytes();
    Some(())
}

/// The eight digits of a number below 10^8, the first one in the lowest byte.
#[inline(always)]
pub(super) const fn eight(value: u64) -> u64 {
    values(value) | ZEROS
}

/// The values of these digits: halves of four digits, then of two, then of one, each division by a
/// multiplication in all lanes at once.
#[inline(always)]
const fn values(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(negative: bool, magnitude: u64) {
        let mut to = [0; INT_ROOM];
        let len = put_int(&mut to, negative, magnitude).unwrap();
        let sign = if negative { "-" } else { "" };
        assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), format!("{sign}{magnitude}"));
    }

    #[test]
    fn numbers_are_printed_as_the_library_prints_them() {
        for number in 0..200_000 {
            check(number % 3 == 0, number);
        }
        let mut power = 1_u64;
        while let Some(next) = power.checked_mul(10) {
            for number in [power - 1, power, power + 1, power / 9 * 8, power.wrapping_mul(7)] {
                check(false, number);
                check(true, number);
            }
            power = next;
        }
        // Every value of each half of eight digits.
        for half in 0..10_000 {
            check(false, half * 10_000 + (9_999 - half));
        }
        check(false, u64::MAX);
        check(true, i64::MIN.unsigned_abs());
    }
}
