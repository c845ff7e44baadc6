//! Dates and times, old and packed (entry-format 3.3).

use crate::error::ParseError;
use crate::reader::Reader;

/// A calendar date; parts are as stored, zero and impossible ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 15.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

/// A span of time or a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Below zero.
    pub negative: bool,
    /// 0 to 838.
    pub hour: u16,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Millionths of a second.
    pub micros: u32,
    /// Digits of the fraction in the declaration, 0 to 6.
    pub fraction: u8,
}

/// A date with a time of day, in no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// 0 to 31.
    pub hour: u8,
    /// 0 to 63.
    pub minute: u8,
    /// 0 to 63.
    pub second: u8,
    /// Millionths of a second.
    pub micros: u32,
    /// Digits of the fraction in the declaration, 0 to 6.
    pub fraction: u8,
}

/// A moment: seconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970; 0 stands for the zero timestamp.
    pub seconds: u32,
    /// Millionths of a second.
    pub micros: u32,
    /// Digits of the fraction in the declaration, 0 to 6.
    pub fraction: u8,
}

fn u8_of(value: u64) -> u8 {
    u8::try_from(value & 0xff).unwrap_or_default()
}

fn u16_of(value: u64) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or_default()
}

fn u32_of(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or_default()
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &b| value << 8 | u64::from(b))
}

/// Bytes of a fraction of 0 to 6 digits.
const fn fraction_len(fraction: u8) -> usize {
    match fraction {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 2,
        _ => 3,
    }
}

/// One second in units of the last of so many digits.
const fn units(fraction: u8) -> u64 {
    match fraction {
        0 => 1,
        1 => 10,
        2 => 100,
        3 => 1_000,
        4 => 10_000,
        5 => 100_000,
        _ => 1_000_000,
    }
}

/// A number of these units as seconds and micros.
const fn split_units(number: u64, fraction: u8) -> (u64, u64) {
    let units = units(fraction);
    (number / units, number % units * (1_000_000 / units))
}

/// The fraction that follows, in micros.
#[inline]
fn read_fraction(r: &mut Reader<'_>, fraction: u8) -> Result<u32, ParseError> {
    const FIELD: &str = "fraction of a second";
    Ok(match fraction_len(fraction) {
        0 => 0,
        1 => u32::from(r.u8(FIELD)?) * 10_000,
        2 => u32::from(u16::from_be_bytes(r.array(FIELD)?)) * 100,
        _ => {
            let [a, b, c] = r.array(FIELD)?;
            u32::from_be_bytes([0, a, b, c])
        }
    })
}

impl Date {
    /// 3 bytes: day 5 bits, month 4 bits, year 15 bits.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let v = u64::from(r.u24("DATE")?);
        Ok(Self { year: u16_of(v >> 9), month: u8_of(v >> 5 & 15), day: u8_of(v & 31) })
    }
}

impl Time {
    /// The packed form of MySQL 5.6: 3 bytes and the fraction, big endian, offset by 2^23; with 5
    /// or 6 digits one number of 6 bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read(r: &mut Reader<'_>, fraction: u8) -> Result<Self, ParseError> {
        const BIAS: i64 = 0x80_0000;
        let len = fraction_len(fraction);
        let raw = big_endian(r.bytes(3 + len, "TIME")?);
        // One signed number: whole part and fraction together, as the server compares them.
        let bits = 8 * u32::try_from(len).unwrap_or_default();
        let packed = i64::try_from(raw).unwrap_or_default() - (BIAS << bits);
        let magnitude = packed.unsigned_abs();
        let (whole, rest) = (magnitude >> bits, magnitude & ((1 << bits) - 1));
        let micros = match len {
            1 => rest * 10_000,
            2 => rest * 100,
            _ => rest,
        };
        Ok(Self {
            negative: packed < 0,
            hour: u16_of(whole >> 12 & 0x3ff),
            minute: u8_of(whole >> 6 & 63),
            second: u8_of(whole & 63),
            micros: u32_of(micros),
            fraction,
        })
    }

    /// The packed 64-bit form inside JSON documents: 40 bits of time, 24 bits of micros.
    #[must_use]
    pub fn from_packed(packed: i64) -> Self {
        let magnitude = packed.unsigned_abs();
        let whole = magnitude >> 24;
        Self {
            negative: packed < 0,
            hour: u16_of(whole >> 12 & 0x3ff),
            minute: u8_of(whole >> 6 & 63),
            second: u8_of(whole & 63),
            micros: u32_of(magnitude & 0xff_ffff),
            fraction: 6,
        }
    }

    /// The form before MySQL 5.6: a signed number of 3 bytes, hhmmss in decimal. With a fraction
    /// (MariaDB, `Field_time_hires`): a number of 4 to 6 bytes, big endian, in units of the last digit,
    /// counted from one second below the least value.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read_old(r: &mut Reader<'_>, fraction: u8) -> Result<Self, ParseError> {
        /// 838:59:59 and one second.
        const SECONDS: u64 = 3_020_400;
        let len = match fraction {
            0 => return Self::read_old_whole(r),
            1 | 2 => 4,
            3..=5 => 5,
            _ => 6,
        };
        let raw = big_endian(r.bytes(len, "TIME")?);
        let zero = SECONDS * units(fraction);
        let (whole, micros) = split_units(raw.abs_diff(zero), fraction);
        Ok(Self {
            negative: raw < zero,
            hour: u16_of(whole / 3600),
            minute: u8_of(whole / 60 % 60),
            second: u8_of(whole % 60),
            micros: u32_of(micros),
            fraction,
        })
    }

    #[inline]
    fn read_old_whole(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let v = r.u24("TIME")?;
        let negative = v & 0x80_0000 != 0;
        let v = u64::from(if negative { 0x100_0000 - v } else { v });
        Ok(Self {
            negative,
            hour: u16_of(v / 10_000),
            minute: u8_of(v / 100 % 100),
            second: u8_of(v % 100),
            micros: 0,
            fraction: 0,
        })
    }
}

impl DateTime {
    /// From the packed number: 17 bits year x 13 + month, 5 day, 5 hour, 6 minute, 6 second.
    #[inline]
    fn unpack(packed: u64, micros: u32, fraction: u8) -> Self {
        let year_month = packed >> 22 & 0x1_ffff;
        Self {
            date: Date {
                year: u16_of(year_month / 13),
                month: u8_of(year_month % 13),
                day: u8_of(packed >> 17 & 31),
            },
            hour: u8_of(packed >> 12 & 31),
            minute: u8_of(packed >> 6 & 63),
            second: u8_of(packed & 63),
            micros,
            fraction,
        }
    }

    /// The packed form of MySQL 5.6: 5 bytes big endian, offset by 2^39, and the fraction.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline(always)]
    pub fn read(r: &mut Reader<'_>, fraction: u8) -> Result<Self, ParseError> {
        let [a, b, c, d, e] = r.array("DATETIME")?;
        let raw = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        let micros = read_fraction(r, fraction)?;
        Ok(Self::unpack(raw & 0x7f_ffff_ffff, micros, fraction))
    }

    /// The packed 64-bit form inside JSON documents: 40 bits, then 24 bits of micros.
    #[must_use]
    pub fn from_packed(packed: i64) -> Self {
        let magnitude = packed.unsigned_abs();
        Self::unpack(magnitude >> 24, u32_of(magnitude & 0xff_ffff), 6)
    }

    /// The form before MySQL 5.6: YYYYMMDDhhmmss as a decimal number of 8 bytes. With a fraction
    /// (MariaDB, `Field_datetime_hires`): a number of 6 to 8 bytes, big endian, in units of the last digit,
    /// with 13 months in a year and 32 days in a month.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read_old(r: &mut Reader<'_>, fraction: u8) -> Result<Self, ParseError> {
        let len = match fraction {
            0 => return Self::read_old_whole(r),
            1 | 2 => 6,
            3..=5 => 7,
            _ => 8,
        };
        let raw = big_endian(r.bytes(len, "DATETIME")?);
        let (whole, micros) = split_units(raw, fraction);
        let (hours, days) = (whole / 3600, whole / 86_400);
        Ok(Self {
            date: Date {
                year: u16_of(days / (32 * 13)),
                month: u8_of(days / 32 % 13),
                day: u8_of(days % 32),
            },
            hour: u8_of(hours % 24),
            minute: u8_of(whole / 60 % 60),
            second: u8_of(whole % 60),
            micros: u32_of(micros),
            fraction,
        })
    }

    #[inline]
    fn read_old_whole(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let v = r.u64("DATETIME")?;
        let (date, time) = (v / 1_000_000, v % 1_000_000);
        Ok(Self {
            date: Date {
                year: u16_of(date / 10_000),
                month: u8_of(date / 100 % 100),
                day: u8_of(date % 100),
            },
            hour: u8_of(time / 10_000),
            minute: u8_of(time / 100 % 100),
            second: u8_of(time % 100),
            micros: 0,
            fraction: 0,
        })
    }
}

impl Timestamp {
    /// The form of MySQL 5.6: 4 bytes big endian and the fraction.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read(r: &mut Reader<'_>, fraction: u8) -> Result<Self, ParseError> {
        let seconds = u32::from_be_bytes(r.array("TIMESTAMP")?);
        Ok(Self { seconds, micros: read_fraction(r, fraction)?, fraction })
    }

    /// The form before MySQL 5.6: 4 bytes little endian. With a fraction (MariaDB,
    /// `Field_timestamp_hires`): 4 bytes big endian, then 1 to 3 in units of the last digit.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn read_old(r: &mut Reader<'_>, fraction: u8) -> Result<Self, ParseError> {
        if fraction == 0 {
            return Ok(Self { seconds: r.u32("TIMESTAMP")?, micros: 0, fraction });
        }
        let seconds = u32::from_be_bytes(r.array("TIMESTAMP")?);
        let raw = big_endian(r.bytes(fraction_len(fraction), "fraction of a second")?);
        let micros = raw * (1_000_000 / units(fraction));
        Ok(Self { seconds, micros: u32_of(micros), fraction })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_times_keep_sign_and_fraction() {
        let check = |bytes: &[u8], fraction, want: (bool, u16, u8, u8, u32)| {
            let t = Time::read(&mut Reader::new(bytes), fraction).unwrap();
            assert_eq!((t.negative, t.hour, t.minute, t.second, t.micros), want, "{bytes:x?}");
        };
        check(&[0xb4, 0x6e, 0xfb], 0, (false, 838, 59, 59, 0));
        check(&[0x4b, 0x91, 0x05], 0, (true, 838, 59, 59, 0));
        check(&[0x86, 0x40, 0x00], 0, (false, 100, 0, 0, 0));
        check(&[0x7f, 0x37, 0x47, 0xb2], 2, (true, 12, 34, 56, 780_000));
        check(&[0x7f, 0xff, 0xff, 0xb2], 2, (true, 0, 0, 0, 780_000));
        check(&[0x7f, 0x37, 0x48, 0x00], 2, (true, 12, 34, 56, 0));
        check(&[0x7f, 0x37, 0x47, 0xf3, 0xf5, 0x7d], 6, (true, 12, 34, 56, 789_123));
        check(&[0x7f, 0xff, 0xff, 0xf4, 0x19, 0x1f], 6, (true, 0, 0, 0, 780_001));
    }

    /// Bytes of MariaDB 10.2 and 11.8.
    #[test]
    fn old_times_with_fractions_are_read() {
        let time = |bytes: &[u8]| {
            let mut r = Reader::new(bytes);
            let fraction = [0, 0, 0, 0, 2, 5, 6][bytes.len()];
            let t = Time::read_old(&mut r, fraction).unwrap();
            assert!(r.is_empty());
            (t.negative, t.hour, t.minute, t.second, t.micros)
        };
        assert_eq!(time(&[0x11, 0xc8, 0xce, 0x8e]), (true, 10, 11, 12, 500_000));
        assert_eq!(time(&[0x46, 0x52, 0xfc, 0xa6, 0x00]), (false, 0, 0, 0, 0));
        assert_eq!(time(&[0x02, 0xbf, 0x3d, 0xde, 0x7b, 0xff]), (true, 0, 0, 0, 1));
        assert_eq!(time(&[0, 0, 0, 0x0d, 0x60, 0]), (true, 838, 59, 59, 123_456));
        let bytes = [0x01, 0x01, 0x8d, 0xc2, 0x62, 0xd5, 0xf7, 0x01];
        let t = DateTime::read_old(&mut Reader::new(&bytes), 6).unwrap();
        assert_eq!((t.date.year, t.date.month, t.date.day), (2016, 12, 21));
        assert_eq!((t.hour, t.minute, t.second, t.micros), (17, 57, 16, 1));
        let t = Timestamp::read_old(&mut Reader::new(&[0x3a, 0x4f, 0xd7, 0x0b, 0x04, 0xd2]), 4);
        let t = t.unwrap();
        assert_eq!((t.seconds, t.micros), (0x3a4f_d70b, 123_400));
    }

    #[test]
    fn packed_datetimes_unpack() {
        let bytes = [0x99, 0xb2, 0xbb, 0x7e, 0xfa, 0x04, 0xce];
        let t = DateTime::read(&mut Reader::new(&bytes), 3).unwrap();
        assert_eq!((t.date.year, t.date.month, t.date.day), (2024, 2, 29));
        assert_eq!((t.hour, t.minute, t.second, t.micros), (23, 59, 58, 123_000));
    }
}
