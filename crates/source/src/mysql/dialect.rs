//! What differs between the servers: the words they know, by flavour, and what to do where one is
//! missing. Versions are not compared: the newer word is tried first and the older one where the
//! server does not know it (T-VER-2).

use towpath_binlog::FileName;

use crate::connection::{Connection, Row};
use crate::error::SourceError;

/// The two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Mysql,
    Mariadb,
}

/// `ER_PARSE_ERROR`: the statement is of another version.
const UNKNOWN_STATEMENT: u16 = 1064;
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
const DENIED: u16 = 1227;

/// A binlog file. Its size is unknown where the server does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) name: String,
    pub(super) size: Option<u64>,
}

impl Flavour {
    /// From the version text of the greeting: `5.5.5-10.11.19-MariaDB`, `11.4.5-MariaDB-log`.
    pub(crate) fn of(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") { Self::Mariadb } else { Self::Mysql }
    }

    /// Where the binlog ends, or a stream of it: PolarDB-X has the old name only. MySQL 8.2 renamed the statement, MariaDB (which has the new name from
    /// 11.6 on) keeps the old one.
    const fn status(self, stream: Option<&str>) -> [&'static str; 2] {
        match (self, stream) {
            (Self::Mysql, None) => ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"],
            (Self::Mysql, Some(_)) | (Self::Mariadb, _) => {
                ["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"]
            }
        }
    }
}

/// What makes a statement ask for one of the streams of a PolarDB-X, where the URL names one. The name
/// has no quotes in it.
fn of_stream(connection: &Connection) -> String {
    connection.stream_name.as_ref().map_or_else(String::new, |name| format!(" WITH '{name}'"))
}

/// File and offset of the binlog's end.
pub(super) async fn end(connection: &mut Connection) -> Result<(String, u64), SourceError> {
    let of_stream = of_stream(connection);
    let [first, second] = connection.flavour().status(connection.stream_name.as_deref());
    let rows = match connection.query(&format!("{first}{of_stream}")).await {
        Err(SourceError::Server { errno: UNKNOWN_STATEMENT, .. }) => {
            connection.query(&format!("{second}{of_stream}")).await?
        }
        other => other?,
    };
    let row = rows.into_iter().next().ok_or_else(|| no_files(connection))?;
    let (name, offset) = name_and_number(row);
    Ok((name, offset.unwrap_or(4)))
}

/// The binlog files that are left, oldest first; at least one.
pub(super) async fn files(connection: &mut Connection) -> Result<Vec<LogFile>, SourceError> {
    let rows = match connection.query(&format!("SHOW BINARY LOGS{}", of_stream(connection))).await {
        // MySQL before 5.6 wants SUPER for it, and not for what says the same.
        Err(SourceError::Server { errno: DENIED, .. }) => return counted_files(connection).await,
        other => other?,
    };
    let files: Vec<LogFile> = rows
        .into_iter()
        .map(|row| {
            let (name, size) = name_and_number(row);
            LogFile { name, size }
        })
        .collect();
    if files.is_empty() { Err(no_files(connection)) } else { Ok(files) }
}

/// From the first file of `SHOW BINLOG EVENTS` to the current one: they are numbered without gaps.
async fn counted_files(connection: &mut Connection) -> Result<Vec<LogFile>, SourceError> {
    const FILES_MAX: u64 = 1_000_000;
    let (last, size) = end(connection).await?;
    let sql = format!("SHOW BINLOG EVENTS{} LIMIT 1", of_stream(connection));
    let rows = connection.query(&sql).await?;
    let first = rows.into_iter().next().map_or_else(|| last.clone(), |row| name_and_number(row).0);
    let mut files = Vec::new();
    if let (Some(first), Some(last)) = (FileName::parse(&first), FileName::parse(&last)) {
        let from = first.number.max(last.number.saturating_sub(FILES_MAX));
        let name = |number| format!("{}.{number:06}", first.base);
        files.extend((from..last.number).map(|n| LogFile { name: name(n), size: None }));
    }
    files.push(LogFile { name: last, size: Some(size) });
    Ok(files)
}

fn name_and_number(row: Row) -> (String, Option<u64>) {
    let mut fields = row.into_iter().map(Option::unwrap_or_default);
    let name = fields.next().unwrap_or_default();
    (name, fields.next().and_then(|text| text.parse().ok()))
}

fn no_files(connection: &Connection) -> SourceError {
    SourceError::Setup {
        address: connection.address.clone(),
        reason: "the server has no binlog files: is log_bin on?".to_owned(),
    }
}
