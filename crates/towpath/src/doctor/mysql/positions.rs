//! What a source still has of its binlog, and where a cursor stands in it.

use std::fmt;

use towpath_binlog::{FileName, MysqlGtidSet};

use super::super::findings::Size;
use super::{Row, text};

/// The binlog files of a source, oldest first, with their sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Positions {
    /// Host and port.
    pub(in super::super) address: String,
    files: Vec<(String, u64)>,
    /// `gtid_purged` of a MySQL server.
    pub(super) purged: Option<String>,
}

/// Where a position stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// That many bytes are behind it.
    Behind(u64),
    /// Its file is older than what is kept.
    Purged,
    /// Its file is there, and ends before it.
    Beyond(u64),
    /// Its file is of another name, or newer than all that are there.
    Foreign,
}

impl Positions {
    pub(super) fn read(rows: &[Row], address: &str) -> Self {
        let file = |row: &Row| {
            let size = text(row, 1).and_then(|size| size.parse().ok()).unwrap_or(0);
            (text(row, 0).unwrap_or_default(), size)
        };
        Self { address: address.to_owned(), files: rows.iter().map(file).collect(), purged: None }
    }

    pub(in super::super) fn standing(&self, file: &str, offset: u64) -> Standing {
        let mut from = self.files.iter().skip_while(|(name, _)| name != file);
        if let Some((_, size)) = from.next() {
            return match size.checked_sub(offset) {
                Some(rest) => {
                    Standing::Behind(from.fold(rest, |sum, (_, size)| sum.saturating_add(*size)))
                }
                None => Standing::Beyond(*size),
            };
        }
        let Some((oldest, _)) = self.files.first() else { return Standing::Foreign };
        match FileName::is_earlier(file, oldest) {
            true => Standing::Purged,
            false => Standing::Foreign,
        }
    }

    /// Whether a GTID set lacks nothing that was purged; none where that cannot be known.
    pub(in super::super) fn has_all_behind(&self, gtid: &str) -> Option<bool> {
        let purged = MysqlGtidSet::parse(self.purged.as_deref()?).ok()?;
        let set = MysqlGtidSet::parse(gtid).ok().filter(|set| !set.is_empty())?;
        Some(set.contains(&purged))
    }

    /// The oldest and newest file.
    pub(in super::super) fn kept(&self) -> String {
        match (self.files.first(), self.files.last()) {
            (Some((oldest, _)), Some((newest, size))) => {
                format!("{oldest}:4 to {newest}:{size}")
            }
            _ => "nothing".to_owned(),
        }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.files.len();
        let bytes = self.files.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
        write!(f, "{count} files, {}: {}", Size(bytes), self.kept())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_among_the_files() {
        let row = |name: &str, size: &str| vec![Some(name.to_owned()), Some(size.to_owned())];
        let rows = [row("b.999999", "100"), row("b.1000000", "50")];
        let positions = Positions::read(&rows, "db");
        for (file, offset, expected) in [
            ("b.999999", 30, Standing::Behind(120)),
            ("b.1000000", 50, Standing::Behind(0)),
            ("b.1000000", 51, Standing::Beyond(50)),
            ("b.999998", 4, Standing::Purged),
            ("b.1000001", 4, Standing::Foreign),
            ("a.999998", 4, Standing::Foreign),
            ("", 4, Standing::Foreign),
        ] {
            assert_eq!(positions.standing(file, offset), expected, "{file}:{offset}");
        }
        assert_eq!(positions.to_string(), "2 files, 150 bytes: b.999999:4 to b.1000000:50");
        assert_eq!(Positions::default().standing("b.1", 4), Standing::Foreign);
    }

    #[test]
    fn purged_sets_are_compared() {
        let uuid = "726757ad-4455-11e8-ae04-0242ac110002";
        let purged = Some(format!("{uuid}:1-5"));
        let positions = Positions { purged, ..Positions::default() };
        assert_eq!(positions.has_all_behind(&format!("{uuid}:1-7")), Some(true));
        assert_eq!(positions.has_all_behind(&format!("{uuid}:1-4")), Some(false));
        assert_eq!(positions.has_all_behind("0-1-7"), None);
        assert_eq!(positions.has_all_behind(""), None);
    }
}
