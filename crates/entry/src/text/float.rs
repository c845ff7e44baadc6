//! FLOAT and DOUBLE in Java's notation: the shortest digits that identify the value (3.5).

use std::fmt::Arguments;

/// Appends a FLOAT.
pub(crate) fn write_f32(out: &mut Vec<u8>, value: f32) {
    if !value.is_finite() {
        return write_not_finite(out, f64::from(value));
    }
    if value.is_subnormal() {
        return write_scientific(out, format_args!("{value:e}"), format_args!("{value:.1e}"));
    }
    layout(out, value.is_sign_negative(), ryu::Buffer::new().format_finite(value.abs()));
}

/// Appends a DOUBLE.
pub(crate) fn write_f64(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return write_not_finite(out, value);
    }
    if value.is_subnormal() {
        return write_scientific(out, format_args!("{value:e}"), format_args!("{value:.1e}"));
    }
    layout(out, value.is_sign_negative(), ryu::Buffer::new().format_finite(value.abs()));
}

/// MySQL stores neither; a damaged file may.
fn write_not_finite(out: &mut Vec<u8>, value: f64) {
    let text: &[u8] = match (value.is_nan(), value.is_sign_negative()) {
        (true, _) => b"NaN",
        (false, true) => b"-Infinity",
        (false, false) => b"Infinity",
    };
    out.extend_from_slice(text);
}

/// Subnormal numbers have few digits of precision: Java prints at least two.
fn write_scientific(out: &mut Vec<u8>, shortest: Arguments<'_>, two_digits: Arguments<'_>) {
    let start = out.len();
    super::write_formatted(out, shortest);
    if !out.get(start..).unwrap_or_default().contains(&b'.') {
        out.truncate(start);
        super::write_formatted(out, two_digits);
    }
    out.get_mut(start..).unwrap_or_default().make_ascii_uppercase();
}

/// Lays the digits of `text` (`123.4`, `1e21`, `1.5e-7`) out as Java does: plain from 0.001 up to
/// 10^7, else `d.dddE[-]n`.
fn layout(out: &mut Vec<u8>, negative: bool, text: &str) {
    if negative {
        out.push(b'-');
    }
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
    if digits.is_empty() {
        out.extend_from_slice(b"0.0");
        return;
    }
    // The value is 0.DIGITS x 10^point.
    let whole_len = i32::try_from(whole.len()).unwrap_or(0);
    let point = whole_len - leading + exponent;
    if (-2..=7).contains(&point) {
        plain(out, digits, point);
        return;
    }
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, &[]));
    out.extend_from_slice(first);
    out.push(b'.');
    out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
    out.push(b'E');
    super::write_int(out, point - 1);
}

fn plain(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let Ok(whole) = usize::try_from(point) else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-point).unwrap_or(0)));
        out.extend_from_slice(digits);
        return;
    };
    if whole == 0 {
        out.extend_from_slice(b"0.");
        out.extend_from_slice(digits);
        return;
    }
    let (before, after) = digits.split_at_checked(whole).unwrap_or((digits, &[]));
    out.extend_from_slice(before);
    out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(digits.len())));
    out.push(b'.');
    out.extend_from_slice(if after.is_empty() { b"0" } else { after });
}

#[cfg(test)]
mod tests {
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
            (123_456_789_012_345_680.0, "1.2345678901234568E17"),
        ] {
            let mut out = Vec::new();
            write_f64(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), want);
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
            let mut out = Vec::new();
            write_f32(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
