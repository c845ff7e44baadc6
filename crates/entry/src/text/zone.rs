//! The zone in which TIMESTAMP columns are printed: a name, an offset, or a value of `TZ`.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use thiserror::Error;

/// The zone in which TIMESTAMP columns are printed. Canal takes that of its process.
#[derive(Debug, Clone, Default)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// Any other zone, with its rules.
    Named(TimeZone),
}

/// Seconds that an offset can have: of the world's zones none is farther from UTC than 15:13:42.
const OFFSET_MAX_S: i32 = 18 * 3600;

/// Names that are told for an unknown one, at most.
const NEAR_MAX: usize = 3;

/// A text that is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a known time zone: {reason}")]
pub struct ZoneError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it, and what may have been meant.
    pub reason: String,
}

impl ZoneError {
    /// An error about `text`.
    #[must_use]
    pub fn new(text: &str, reason: impl Into<String>) -> Self {
        let text = text.chars().take(64).flat_map(char::escape_debug).collect();
        Self { text, reason: reason.into() }
    }
}

/// Abbreviations that Java reads as one of the places that use them.
const JAVA_NAMES: [(&str, &str); 25] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

impl Zone {
    /// A name of the time zone database (`Asia/Shanghai`), an offset (`+08:00`, or `GMT+8` as Java
    /// writes it), or `UTC`. The machine's database counts; a name that it lacks is taken from the one
    /// that is built in.
    ///
    /// # Errors
    /// [`ZoneError`] names what may have been meant.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let text = text.trim();
        if let Some(offset_s) = offset_s(java_offset(text).unwrap_or(text)) {
            return Self::fixed(text, offset_s?);
        }
        if let Some(offset) = after_prefix(text, "UTC").filter(|rest| rest.starts_with(['+', '-']))
        {
            let reason = format!(
                "as a POSIX string it means the other direction; write {offset} alone, as +08:00 \
                 for east of UTC"
            );
            return Err(ZoneError::new(text, reason));
        }
        Self::by_name(text)
    }

    /// The value of the environment variable `TZ`, as Canal's JVM takes it: as [`Self::parse`], with a
    /// `:` before it or not; else a POSIX string, as `CST-8` (eight hours east of UTC).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_variable(text: &str) -> Result<Self, ZoneError> {
        let text = text.trim().trim_start_matches(':');
        let name = name_in_path(text).unwrap_or(text);
        match Self::parse(name) {
            Ok(zone) => Ok(zone),
            Err(error) => match TimeZone::posix(text) {
                Ok(zone) => Ok(Self::of(zone)),
                Err(_) => Err(error),
            },
        }
    }

    /// The rules in the bytes of a file like `/etc/localtime`.
    ///
    /// # Errors
    /// When these bytes are not of that format.
    pub fn of_tzif(path: &str, bytes: &[u8]) -> Result<Self, ZoneError> {
        let zone = TimeZone::tzif("", bytes);
        zone.map(Self::of).map_err(|error| ZoneError::new(path, error.to_string()))
    }

    fn by_name(name: &str) -> Result<Self, ZoneError> {
        if name == "Z" {
            return Ok(Self::Utc);
        }
        // With leap seconds, in which no server counts.
        let is_plain = !name.starts_with("right/");
        let found = is_plain.then(|| jiff::tz::db().get(name));
        let found =
            found.and_then(Result::ok).or_else(|| TimeZoneDatabase::bundled().get(name).ok());
        match found {
            Some(zone) if !zone.is_unknown() => Ok(Self::of(zone)),
            _ => Err(ZoneError::new(name, meant(name))),
        }
    }

    fn fixed(text: &str, offset_s: i32) -> Result<Self, ZoneError> {
        let offset = Offset::from_seconds(offset_s)
            .map_err(|error| ZoneError::new(text, error.to_string()))?;
        Ok(Self::of(TimeZone::fixed(offset)))
    }

    fn of(zone: TimeZone) -> Self {
        let is_fixed = zone.following(Timestamp::MIN).next().is_none();
        if is_fixed && zone.to_offset(Timestamp::UNIX_EPOCH).is_zero() {
            return Self::Utc;
        }
        Self::Named(zone)
    }

    /// Seconds east of UTC at a moment, in seconds since 1970.
    #[must_use]
    #[inline]
    pub fn offset_s(&self, unix_s: i64) -> i64 {
        match self {
            Self::Utc => 0,
            Self::Named(zone) => Timestamp::from_second(unix_s)
                .map_or(0, |moment| i64::from(zone.to_offset(moment).seconds())),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Named(zone) = self else { return f.write_str("UTC") };
        match (zone.iana_name(), zone.to_fixed_offset()) {
            (Some(name), _) => f.write_str(name),
            (None, Ok(offset)) => write!(f, "{offset}"),
            (None, Err(_)) => f.write_str("a zone without a name"),
        }
    }
}

/// What stands behind a prefix in any case.
fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `+8` of `GMT+8`: to Java that is east of UTC, to POSIX west.
fn java_offset(text: &str) -> Option<&str> {
    after_prefix(text, "GMT").filter(|rest| rest.starts_with(['+', '-']))
}

/// Reads `+08:00`, `-3`, `+0530`, `+05:30:15`; `None`: it is no offset.
fn offset_s(text: &str) -> Option<Result<i32, ZoneError>> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let wrong = || ZoneError::new(text, "an offset is written as +08:00, up to 18:00");
    let parts: Vec<&str> = match (rest.contains(':'), rest.len()) {
        (false, 3 | 4) => rest.split_at_checked(rest.len() - 2).map(|(h, m)| vec![h, m])?,
        _ => rest.split(':').collect(),
    };
    let number = |part: &&str| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| part.parse::<i32>().ok()).flatten()
    };
    let numbers: Option<Vec<i32>> = parts.iter().map(number).collect();
    let seconds = match numbers.as_deref() {
        Some([hours]) => hours * 3600,
        Some([hours, minutes]) if *minutes < 60 => hours * 3600 + minutes * 60,
        Some([hours, minutes, seconds]) if *minutes < 60 && *seconds < 60 => {
            hours * 3600 + minutes * 60 + seconds
        }
        _ => return Some(Err(wrong())),
    };
    Some(if seconds <= OFFSET_MAX_S { Ok(sign * seconds) } else { Err(wrong()) })
}

/// The zone that a path like `/usr/share/zoneinfo/posix/Asia/Shanghai` names.
pub(super) fn name_in_path(path: &str) -> Option<&str> {
    let (_, name) = path.rsplit_once("zoneinfo/").unwrap_or(("", path));
    let name = name.strip_prefix("posix/").unwrap_or(name);
    (name != path && !name.is_empty()).then_some(name)
}

/// What may have been meant by a name that is unknown.
fn meant(name: &str) -> String {
    let java = JAVA_NAMES.iter().find(|(short, _)| short.eq_ignore_ascii_case(name));
    if let Some((_, place)) = java {
        return format!(
            "several zones are abbreviated so; Java reads {place}: write that name, or another one"
        );
    }
    let near = near(name);
    if near.is_empty() {
        return "expected a name like Asia/Shanghai, an offset like +08:00, or UTC".to_owned();
    }
    format!("did you mean {}?", near.join(" or "))
}

/// The names that are nearest to one.
fn near(name: &str) -> Vec<String> {
    let wanted: String = name
        .chars()
        .take(64)
        .map(|c| if c == ' ' { '_' } else { c.to_ascii_lowercase() })
        .collect();
    let place = |name: &str| name.rsplit_once('/').map_or(name, |(_, place)| place).to_owned();
    let (limit, limit_of_place) = (wanted.len() / 5 + 1, place(&wanted).len() / 4);
    let mut all: Vec<(usize, String)> = TimeZoneDatabase::bundled()
        .available()
        .map(|known| known.to_string())
        .filter_map(|known| {
            let lower = known.to_ascii_lowercase();
            let far = distance(&wanted, &lower);
            let of_place = distance(&place(&wanted), &place(&lower));
            let is_near = far <= limit || of_place <= limit_of_place;
            is_near.then_some((far.min(of_place + 1), known))
        })
        .collect();
    all.sort();
    all.truncate(NEAR_MAX);
    all.into_iter().map(|(_, known)| known).collect()
}

/// How many letters have to be put in, taken out or replaced.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut next = vec![index + 1];
        let mut before = index + 1;
        for (pair, other) in row.windows(2).zip(&right) {
            let [diagonal, above] = pair else { continue };
            let replaced = diagonal + usize::from(letter != *other);
            before = replaced.min(above + 1).min(before + 1);
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds east of UTC on 2024-07-01.
    fn summer(zone: Result<Zone, ZoneError>) -> i64 {
        zone.unwrap().offset_s(1_719_792_000)
    }

    #[test]
    fn names_and_offsets_are_read() {
        for (text, hours) in [
            ("Asia/Shanghai", 8.0),
            ("asia/shanghai", 8.0),
            ("PRC", 8.0),
            ("Europe/Berlin", 2.0),
            ("UTC", 0.0),
            ("Etc/GMT-8", 8.0),
            ("GMT", 0.0),
            ("GMT+8", 8.0),
            ("GMT-03:30", -3.5),
            ("+08:00", 8.0),
            ("-0930", -9.5),
            ("+5", 5.0),
            ("+05:45", 5.75),
            ("Z", 0.0),
            ("EST", -5.0),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "hours")]
            let found = summer(Zone::parse(text)) as f64 / 3600.0;
            assert!((found - hours).abs() < 1e-9, "{text}: {found}");
        }
        assert!(matches!(Zone::parse("Etc/UTC"), Ok(Zone::Utc)));
    }

    #[test]
    fn the_variable_may_be_a_posix_string_or_a_path_too() {
        for (text, seconds) in [
            (":Asia/Shanghai", 8 * 3600),
            ("posix/Asia/Shanghai", 8 * 3600),
            (":/usr/share/zoneinfo/Asia/Shanghai", 8 * 3600),
            ("CST-8", 8 * 3600),
            ("UTC-8", 8 * 3600),
            ("<+0330>-3:30", 12_600),
            ("EST5EDT,M3.2.0,M11.1.0", -4 * 3600),
            ("GMT+8", 8 * 3600),
        ] {
            assert_eq!(summer(Zone::of_variable(text)), seconds, "{text}");
        }
    }

    #[test]
    fn an_unknown_zone_is_refused_with_near_names() {
        for (text, want) in [
            ("Asia/Shanghia", "did you mean Asia/Shanghai"),
            ("Shanghai", "did you mean Asia/Shanghai"),
            ("America/New York", "did you mean America/New_York?"),
            ("Mars/Olympus", "expected a name like Asia/Shanghai"),
            ("CST", "Java reads America/Chicago"),
            ("UTC+8", "write +8 alone"),
            ("+25:00", "up to 18:00"),
            ("+8:60", "up to 18:00"),
            ("", "expected a name like"),
            ("../../etc/passwd", "expected a name like"),
            ("right/Asia/Shanghai", "Asia/Shanghai"),
        ] {
            let error = Zone::parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        let error = Zone::of_variable("Asia/Shangai").unwrap_err().to_string();
        assert!(error.contains("did you mean Asia/Shanghai"), "{error}");
    }

    #[test]
    fn any_text_is_a_zone_or_an_error() {
        for text in ["+", "-", ":", "+:", "++8", "GMT+", "é", "+é8", "GMTé", "\0", "+99999999999"]
        {
            assert!(Zone::parse(text).is_err(), "{text:?}");
            assert!(Zone::of_variable(text).is_err(), "{text:?}");
        }
        assert!(Zone::of_tzif("x", b"TZif2 and no more").is_err());
    }
}
