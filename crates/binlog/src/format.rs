//! `FORMAT_DESCRIPTION` (15): what the following events look like.

use crate::error::ParseError;
use crate::reader::Reader;

/// How events end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// No checksum.
    #[default]
    None,
    /// Four bytes of CRC32 (zlib) at the end of each event.
    Crc32,
}

impl Checksum {
    /// Bytes at the end of each event.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32 => 4,
        }
    }

    /// True when there is no checksum.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None)
    }
}

/// The decoded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// Version of the binlog format; 4 since MySQL 5.0.
    pub binlog_version: u16,
    /// Server version text, such as `8.0.36` or `10.11.6-MariaDB-log`.
    pub server_version: String,
    /// Seconds since 1970 at which the file was begun; 0 in all files but the first after a start.
    pub created_s: u32,
    /// How the events after this one end.
    pub checksum: Checksum,
    post_header_lens: Vec<u8>,
}

impl Default for FormatDescription {
    /// What is assumed before the first description: MySQL 5.5 and later, without checksums.
    fn default() -> Self {
        Self {
            binlog_version: 4,
            server_version: String::new(),
            created_s: 0,
            checksum: Checksum::None,
            post_header_lens: Vec::new(),
        }
    }
}

impl FormatDescription {
    /// Reads the event body with the checksum of this event (which is always there when the server
    /// knows checksums) still at its end.
    ///
    /// # Errors
    /// [`ParseError`] when the body is cut or the header length is not 19.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let binlog_version = r.u16("binlog version")?;
        let mut version = Reader::new(r.bytes(50, "server version")?);
        let server_version = String::from_utf8_lossy(version.nul_terminated()).into_owned();
        // Trees of 5.1 and 5.2 that were never released (mysql-server calls them by this name too).
        if server_version.contains("-a_drop") {
            let (major, minor, _) = version_number(&server_version);
            let value = u64::from(major * 10 + minor);
            return Err(r.invalid(
                "server version",
                value,
                "one that numbers its events as all do",
            ));
        }
        let created_s = r.u32("create timestamp")?;
        let header_len = r.u8("header length")?;
        if header_len != 19 {
            return Err(r.invalid("header length", u64::from(header_len), "19"));
        }
        let mut tail = r.take_rest();
        let mut checksum = Checksum::None;
        if knows_checksums(&server_version) {
            // algorithm (1), then the CRC32 (4) of this event, always
            let Some((lens, [algorithm, _, _, _, _])) = tail.split_last_chunk::<5>() else {
                return Err(r.invalid("checksum algorithm", 0, "5 bytes at the end"));
            };
            tail = lens;
            checksum = match algorithm {
                0 | 255 => Checksum::None,
                1 => Checksum::Crc32,
                &other => {
                    return Err(r.invalid("checksum algorithm", u64::from(other), "0 or 1"));
                }
            };
        }
        Ok(Self {
            binlog_version,
            server_version,
            created_s,
            checksum,
            post_header_lens: tail.to_vec(),
        })
    }

    /// Length of the post-header of an event type; 0 for types that the server did not know.
    #[must_use]
    pub fn post_header_len(&self, event_type: u8) -> usize {
        let index = usize::from(event_type).wrapping_sub(1);
        self.post_header_lens.get(index).copied().map_or(0, usize::from)
    }

    /// True for MariaDB.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.server_version.to_ascii_lowercase().contains("mariadb")
    }

    /// True for servers whose events inside a transaction say where they end in the transaction's
    /// cache, not in the file: MySQL before 5.1.22.
    #[must_use]
    pub fn ends_are_relative(&self) -> bool {
        matches!(self.version_number(), (1..=4, ..) | (5, 0, _) | (5, 1, ..22))
            && !self.is_mariadb()
    }

    /// Major, minor and patch number of the server, MariaDB's `5.5.5-` prefix removed.
    #[must_use]
    pub fn version_number(&self) -> (u32, u32, u32) {
        version_number(&self.server_version)
    }
}

/// Checksums exist from MySQL 5.6.1 and MariaDB 5.3 on (mysql-source 2.2).
fn knows_checksums(server_version: &str) -> bool {
    let least =
        if server_version.to_ascii_lowercase().contains("mariadb") { (5, 3, 0) } else { (5, 6, 1) };
    version_number(server_version) >= least
}

fn version_number(text: &str) -> (u32, u32, u32) {
    let text = match text.strip_prefix("5.5.5-") {
        Some(rest) if rest.to_ascii_lowercase().contains("mariadb") => rest,
        _ => text,
    };
    let mut parts = text.split('.').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part.get(..digits).and_then(|d| d.parse().ok()).unwrap_or(0)
    });
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
