//! FLOAT and DOUBLE in Java's notation: the shortest digits that identify the value (3.5).

use std::fmt::{Arguments, Write as _};

use super::ShortRoom;

/// Puts a FLOAT; returns its length.
pub(crate) fn put_f32(to: &mut ShortRoom, value: f32) -> Option<usize> {
    let mut out = Out { to, len: 0 };
    if !value.is_finite() {
        out.not_finite(f64::from(value))?;
    } else if value.is_subnormal() {
        out.scientific(format_args!("{value:e}"), format_args!("{value:.1e}"))?;
    } else {
        let text = &mut ryu::Buffer::new();
        out.normal(f64::from(value), text.format_finite(value.abs()))?;
    }
    Some(out.len)
}

/// Puts a DOUBLE; returns its length.
pub(crate) fn put_f64(to: &mut ShortRoom, value: f64) -> Option<usize> {
    let mut out = Out { to, len: 0 };
    if !value.is_finite() {
        out.not_finite(value)?;
    } else if value.is_subnormal() {
        out.scientific(format_args!("{value:e}"), format_args!("{value:.1e}"))?;
    } else {
        let text = &mut ryu::Buffer::new();
        out.normal(value, text.format_finite(value.abs()))?;
    }
    Some(out.len)
}

/// What was put.
struct Out<'a> {
    to: &'a mut ShortRoom,
    len: usize,
}

impl std::fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.put(text.as_bytes()).ok_or(std::fmt::Error)
    }
}

impl Out<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.to.get_mut(self.len..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    /// MySQL stores neither; a damaged file may.
    fn not_finite(&mut self, value: f64) -> Option<()> {
        self.put(match (value.is_nan(), value.is_sign_negative()) {
            (true, _) => b"NaN",
            (false, true) => b"-Infinity",
            (false, false) => b"Infinity",
        })
    }

    /// Subnormal numbers have few digits of precision: Java prints at least two.
    fn scientific(&mut self, shortest: Arguments<'_>, two_digits: Arguments<'_>) -> Option<()> {
        self.write_fmt(shortest).ok()?;
        if !self.to.get(..self.len)?.contains(&b'.') {
            self.len = 0;
            self.write_fmt(two_digits).ok()?;
        }
        self.to.get_mut(..self.len)?.make_ascii_uppercase();
        Some(())
    }

    /// A number whose `text` without its sign is the library's: where Java prints all digits, the
    /// library does, too.
    fn normal(&mut self, value: f64, text: &str) -> Option<()> {
        if value.is_sign_negative() {
            self.put(b"-")?;
        }
        let magnitude = value.abs();
        if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
            return self.put(text.as_bytes());
        }
        self.layout(text)
    }

    /// Lays the digits of `text` (`123.4`, `1e21`, `1.5e-7`) out as Java does beyond 0.001 and 10^7:
    /// `d.dddE[-]n`.
    fn layout(&mut self, text: &str) -> Option<()> {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // All significant digits, without leading and trailing zeros.
        let mut digits = [0_u8; 40];
        let mut count = 0;
        let mut leading = 0;
        for b in whole.bytes().chain(fraction.bytes()) {
            if count == 0 && b == b'0' {
                leading += 1;
            } else if let Some(slot) = digits.get_mut(count) {
                *slot = b;
                count += 1;
            }
        }
        let mut digits = digits.get(..count).unwrap_or_default();
        while let [head @ .., b'0'] = digits {
            digits = head;
        }
        // The value is 0.DIGITS x 10^point.
        let whole_len = i32::try_from(whole.len()).unwrap_or(0);
        let point = whole_len - leading + exponent;
        let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, &[]));
        self.put(first)?;
        self.put(b".")?;
        self.put(if rest.is_empty() { b"0" } else { rest })?;
        self.put(b"E")?;
        self.put(itoa::Buffer::new().format(point - 1).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::SHORT_ROOM;
    use super::*;

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, want) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.1, "1.1"),
            (100.0, "100.0"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (0.001, "0.001"),
            (1e-4, "1.0E-4"),
            (123_456_789.12, "1.2345678912E8"),
            (f64::MAX, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (0.012_345, "0.012345"),
            (-0.001_000_000_000_000_000_9, "-0.0010000000000000009"),
            (1e16, "1.0E16"),
            (1_234_567.125, "1234567.125"),
            (0.000_999_999_999_999_999_9, "9.999999999999998E-4"),
            (123_456_789_012_345_680.0, "1.2345678901234568E17"),
        ] {
            let mut to = [0; SHORT_ROOM];
            let len = put_f64(&mut to, value).unwrap();
            assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), want);
        }
    }

    #[test]
    fn floats_print_as_java_prints_them() {
        for (value, want) in [
            (16_777_216.0_f32, "1.6777216E7"),
            (f32::MAX, "3.4028235E38"),
            (1e-45, "1.4E-45"),
            (1.175_494_4e-38, "1.1754944E-38"),
            (0.1, "0.1"),
        ] {
            let mut to = [0; SHORT_ROOM];
            let len = put_f32(&mut to, value).unwrap();
            assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), want);
        }
    }
}
