//! Dates and times as text (entry-format 3.3).

use towpath_binlog::column::{Date, DateTime, Time, Timestamp};

use super::{write_int, write_padded};

/// The zone in which TIMESTAMP columns are printed. Canal takes that of its process.
#[derive(Debug, Clone, Default)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// A zone of the time zone database.
    Named(jiff::tz::TimeZone),
}

impl Zone {
    /// The zone of this process, as Canal takes it: `TZ`, else the system's.
    #[must_use]
    pub fn of_process() -> Self {
        Self::Named(jiff::tz::TimeZone::system())
    }

    /// Seconds east of UTC at a moment.
    fn offset_s(&self, unix_s: i64) -> i64 {
        match self {
            Self::Utc => 0,
            Self::Named(zone) => jiff::Timestamp::from_second(unix_s)
                .map_or(0, |moment| i64::from(zone.to_offset(moment).seconds())),
        }
    }
}

fn fraction(out: &mut Vec<u8>, micros: u32, digits: u8) {
    if digits == 0 {
        return;
    }
    out.push(b'.');
    let start = out.len();
    write_padded(out, micros, 6);
    out.truncate(start + usize::from(digits));
}

fn two(out: &mut Vec<u8>, value: u8) {
    out.push(b'0' + value / 10 % 10);
    out.push(b'0' + value % 10);
}

pub(crate) fn write_date(out: &mut Vec<u8>, date: Date) {
    write_padded(out, u32::from(date.year), 4);
    out.push(b'-');
    two(out, date.month);
    out.push(b'-');
    two(out, date.day);
}

pub(crate) fn write_time(out: &mut Vec<u8>, time: Time) {
    if time.negative {
        out.push(b'-');
    }
    write_padded(out, u32::from(time.hour), 2);
    out.push(b':');
    two(out, time.minute);
    out.push(b':');
    two(out, time.second);
    fraction(out, time.micros, time.fraction);
}

pub(crate) fn write_datetime(out: &mut Vec<u8>, t: DateTime) {
    write_date(out, t.date);
    out.push(b' ');
    two(out, t.hour);
    out.push(b':');
    two(out, t.minute);
    out.push(b':');
    two(out, t.second);
    fraction(out, t.micros, t.fraction);
}

pub(crate) fn write_timestamp(out: &mut Vec<u8>, t: Timestamp, zone: &Zone) {
    let zero = t.seconds == 0;
    if zero {
        out.extend_from_slice(b"0000-00-00 00:00:00");
        return fraction(out, 0, t.fraction);
    }
    let unix_s = i64::from(t.seconds);
    let local = unix_s + zone.offset_s(unix_s);
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let part = |value: i64| u8::try_from(value).unwrap_or_default();
    if year < 1000 {
        write_padded(out, u32::try_from(year).unwrap_or_default(), 4);
    } else {
        write_int(out, year);
    }
    out.push(b'-');
    two(out, part(month));
    out.push(b'-');
    two(out, part(day));
    out.push(b' ');
    two(out, part(second / 3600));
    out.push(b':');
    two(out, part(second / 60 % 60));
    out.push(b':');
    two(out, part(second % 60));
    fraction(out, t.micros, t.fraction);
}

/// Year, month and day of a count of days since 1970 (proleptic Gregorian calendar; eras of 400
/// years beginning in March, so that the leap day is the last of its year).
const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
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
    use super::*;

    /// F8.
    #[test]
    fn timestamps_are_printed_in_the_zone() {
        let t = Timestamp { seconds: 1_709_251_198, micros: 123_456, fraction: 3 };
        let mut out = Vec::new();
        write_timestamp(&mut out, t, &Zone::Utc);
        assert_eq!(out, b"2024-02-29 23:59:58.123");
        out.clear();
        let shanghai = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8));
        write_timestamp(&mut out, t, &Zone::Named(shanghai));
        assert_eq!(out, b"2024-03-01 07:59:58.123");
    }
}
