//! Dates and times as text (entry-format 3.3).

use towpath_binlog::column::{Date, DateTime, Time, Timestamp};

use super::digits::{eight, put_int};
use super::{ShortRoom, Zone};

/// Three numbers below 100 as two digits each, in bytes 0, 1; 3, 4; 6, 7: `00:00:00` and the like. All are
/// divided by ten at once, a multiplication in lanes.
#[inline(always)]
fn three([a, b, c]: [u8; 3], between: [u8; 2]) -> [u8; 8] {
    const LANES: u64 = 0x000f_0000_0f00_000f;
    let [first, second] = between.map(u64::from);
    let all = u64::from(a) | u64::from(b) << 24 | u64::from(c) << 48;
    let tens = (all * 103) >> 10 & LANES;
    let digits = tens | (all - tens * 10) << 8;
    (digits | 0x3030_0030_3000_3030 | first << 16 | second << 40).to_le_bytes()
}

/// Puts `.` and as many digits as the column has, at `at`; returns where they end.
#[inline(always)]
fn put_fraction(to: &mut ShortRoom, at: usize, micros: u32, digits: u8) -> Option<usize> {
    if digits == 0 {
        return Some(at);
    }
    let six = eight(u64::from(micros)) >> 16;
    *to.get_mut(at..)?.first_chunk_mut::<8>()? = (six << 8 | u64::from(b'.')).to_le_bytes();
    Some(at + 1 + usize::from(digits.min(6)))
}

/// Puts a date; returns where it ends.
#[inline(always)]
fn put_day(to: &mut ShortRoom, year: u32, month: u8, day: u8) -> Option<usize> {
    let (mut at, mut rest) = (0, year);
    if year >= 10_000 {
        // No server stores one.
        let [first, ..] = (year / 10_000).to_le_bytes();
        *to.first_mut()? = b'0' | first & 0xf;
        (at, rest) = (1, year % 10_000);
    }
    let part = |value: u32| value.to_le_bytes()[0];
    let digits = three([part(rest % 100), month, day], [b'-'; 2]);
    let century = part(rest / 100);
    *to.get_mut(at..)?.first_chunk_mut::<2>()? = [b'0' + century / 10, b'0' + century % 10];
    *to.get_mut(at + 2..)?.first_chunk_mut::<8>()? = digits;
    Some(at + 10)
}

#[inline(always)]
fn put_clock(to: &mut ShortRoom, at: usize, clock: [u8; 3]) -> Option<usize> {
    *to.get_mut(at)? = b' ';
    *to.get_mut(at + 1..)?.first_chunk_mut::<8>()? = three(clock, [b':'; 2]);
    Some(at + 9)
}

/// Puts a DATE; returns its length.
#[inline]
pub(crate) fn put_date(to: &mut ShortRoom, date: Date) -> Option<usize> {
    put_day(to, u32::from(date.year), date.month, date.day)
}

/// Puts a DATETIME; returns its length.
#[inline]
pub(crate) fn put_datetime(to: &mut ShortRoom, t: DateTime) -> Option<usize> {
    let at = put_date(to, t.date)?;
    let at = put_clock(to, at, [t.hour, t.minute, t.second])?;
    put_fraction(to, at, t.micros, t.fraction)
}

/// Puts a TIME; returns its length.
#[inline]
pub(crate) fn put_time(to: &mut ShortRoom, time: Time) -> Option<usize> {
    *to.first_mut()? = b'-';
    let mut at = usize::from(time.negative);
    let mut hour = time.hour;
    if hour >= 100 {
        at += put_int(to.get_mut(at..)?, false, u64::from(hour / 100))?;
        hour %= 100;
    }
    let [hour, _] = hour.to_le_bytes();
    let clock = three([hour, time.minute, time.second], [b':'; 2]);
    *to.get_mut(at..)?.first_chunk_mut::<8>()? = clock;
    put_fraction(to, at + 8, time.micros, time.fraction)
}

/// Puts a TIMESTAMP; returns its length.
#[inline]
pub(crate) fn put_timestamp(to: &mut ShortRoom, t: Timestamp, zone: &Zone) -> Option<usize> {
    if t.seconds == 0 {
        *to.first_chunk_mut::<19>()? = *b"0000-00-00 00:00:00";
        return put_fraction(to, 19, 0, t.fraction);
    }
    let unix_s = i64::from(t.seconds);
    let local = unix_s + zone.offset_s(unix_s);
    let (year, month, day) = civil(local.div_euclid(86_400));
    let second = u32::try_from(local.rem_euclid(86_400)).ok()?;
    let part = |value: u32| value.to_le_bytes()[0];
    let at = put_day(to, year, part(month), part(day))?;
    let clock = [part(second / 3600), part(second / 60 % 60), part(second % 60)];
    let at = put_clock(to, at, clock)?;
    put_fraction(to, at, t.micros, t.fraction)
}

/// Year, month and day of a count of days since 1970 (proleptic Gregorian calendar; eras of 400
/// years beginning in March, so that the leap day is the last of its year).
const fn civil(days: i64) -> (u32, u32, u32) {
    // A timestamp and the offset of a zone are within these centuries.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    let z = (days + 719_468) as u32;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * m + 2) / 5 + 1;
    let month = if m < 10 { m + 3 } else { m - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::super::SHORT_ROOM;
    use super::*;

    /// F8.
    #[test]
    fn timestamps_are_printed_in_the_zone() {
        let t = Timestamp { seconds: 1_709_251_198, micros: 123_456, fraction: 3 };
        let check = |zone: &Zone, want: &str| {
            let mut to = [0; SHORT_ROOM];
            let len = put_timestamp(&mut to, t, zone).unwrap();
            assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), want);
        };
        check(&Zone::Utc, "2024-02-29 23:59:58.123");
        let shanghai = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8));
        check(&Zone::Named(shanghai), "2024-03-01 07:59:58.123");
    }

    /// Every day that a TIMESTAMP can lie in, against the library.
    #[test]
    fn days_of_timestamps_are_those_of_the_calendar() {
        for day in 0..=u32::MAX / 86_400 {
            let seconds = day * 86_400 + 1;
            let mut to = [0; SHORT_ROOM];
            let t = Timestamp { seconds, micros: 0, fraction: 0 };
            let len = put_timestamp(&mut to, t, &Zone::Utc).unwrap();
            let moment = jiff::Timestamp::from_second(i64::from(seconds)).unwrap();
            let want = moment.strftime("%Y-%m-%d %H:%M:%S").to_string();
            assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), want);
        }
    }

    #[test]
    fn parts_are_printed_as_they_are_stored() {
        let mut to = [0; SHORT_ROOM];
        for value in 0..100_u8 {
            let date = Date { year: 100 * u16::from(value) + 7, month: value, day: 99 - value };
            let t = DateTime {
                date,
                hour: value,
                minute: 99 - value,
                second: value,
                micros: 4056,
                fraction: 5,
            };
            let len = put_datetime(&mut to, t).unwrap();
            let rest = 99 - value;
            let want =
                format!("{value:02}07-{value:02}-{rest:02} {value:02}:{rest:02}:{value:02}.00405");
            assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), want);
        }
        for (hour, negative, want) in [
            (7, false, "07:08:09"),
            (838, true, "-838:08:09.5"),
            (99, true, "-99:08:09.5"),
            (1023, false, "1023:08:09"),
        ] {
            let fraction = u8::from(negative);
            let time = Time { negative, hour, minute: 8, second: 9, micros: 500_000, fraction };
            let len = put_time(&mut to, time).unwrap();
            assert_eq!(std::str::from_utf8(&to[..len]).unwrap(), want);
        }
        let len = put_date(&mut to, Date { year: 32_767, month: 15, day: 31 }).unwrap();
        assert_eq!(&to[..len], b"32767-15-31");
    }
}
