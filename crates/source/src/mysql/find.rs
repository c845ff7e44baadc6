//! From a start as the operator names it to a position of this server (mysql-source 3).

use std::time::Duration;

use towpath_binlog::event_type as t;

use super::From;
use super::dump::{AtEnd, Dump, Request};
use crate::SourceConfig;
use crate::connection::{Connection, Row};
use crate::error::SourceError;
use crate::start::Start;
use crate::url::SourceUrl;

/// A binlog file with its size.
struct LogFile {
    name: String,
    size: u64,
}

pub(super) async fn find(
    url: &SourceUrl,
    connection: &mut Connection,
    start: &Start,
    server_id: u32,
) -> Result<From, SourceError> {
    match start {
        Start::Gtid(set) => Ok(From::Gtid(set.clone())),
        Start::Now => now(connection).await,
        Start::Earliest => {
            let files = files(connection).await?;
            let first = files.into_iter().next().ok_or_else(|| no_files(connection))?;
            Ok(From::Position { file: first.name, offset: 4 })
        }
        Start::At { file, offset } => {
            let files = files(connection).await?;
            if files.iter().any(|log| log.name == *file && *offset <= log.size) {
                return Ok(From::Position { file: file.clone(), offset: *offset });
            }
            let kept = match (files.first(), files.last()) {
                (Some(a), Some(b)) => format!("{}:4 to {}:{}", a.name, b.name, b.size),
                _ => "nothing".to_owned(),
            };
            let wanted = format!("{file}:{offset}");
            Err(SourceError::Purged { address: url.address(), wanted, kept })
        }
        Start::Time { unix_s } => at_time(url, connection, *unix_s, server_id).await,
    }
}

fn no_files(connection: &Connection) -> SourceError {
    SourceError::Setup {
        address: connection.address.clone(),
        reason: "the server has no binlog files: is log_bin on?".to_owned(),
    }
}

async fn now(connection: &mut Connection) -> Result<From, SourceError> {
    let mariadb = connection.is_mariadb();
    let (first, second) = ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS");
    let (first, second) = if mariadb { (second, first) } else { (first, second) };
    let rows = match connection.query(first).await {
        // 1064: the other vocabulary.
        Err(SourceError::Server { errno: 1064, .. }) => connection.query(second).await?,
        other => other?,
    };
    let row = rows.into_iter().next().ok_or_else(|| no_files(connection))?;
    let (file, offset) = file_and_number(row);
    Ok(From::Position { file, offset })
}

fn file_and_number(row: Row) -> (String, u64) {
    let mut fields = row.into_iter().map(Option::unwrap_or_default);
    let file = fields.next().unwrap_or_default();
    let number = fields.next().and_then(|text| text.parse().ok()).unwrap_or(4);
    (file, number)
}

async fn files(connection: &mut Connection) -> Result<Vec<LogFile>, SourceError> {
    let rows = connection.query("SHOW BINARY LOGS").await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let (name, size) = file_and_number(row);
            LogFile { name, size }
        })
        .collect())
}

/// The newest file that was begun before the moment, then the first transaction in it that is not
/// older.
async fn at_time(
    url: &SourceUrl,
    connection: &mut Connection,
    unix_s: u64,
    server_id: u32,
) -> Result<From, SourceError> {
    let files = files(connection).await?;
    let (mut low, mut high) = (0, files.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let Some(file) = files.get(middle) else { break };
        if begun_at(url, &file.name, server_id).await? < unix_s {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some(file) = files.get(low.saturating_sub(1)) else { return Err(no_files(connection)) };
    if low == 0 {
        let wanted = format!("time:{unix_s}");
        let kept = format!("{}:4 and later, all of it younger", file.name);
        return Err(SourceError::Purged { address: url.address(), wanted, kept });
    }
    let mut dump = open(url, &file.name, server_id).await?;
    let mut boundary = 4;
    loop {
        while let Some(event) = dump.next_event()? {
            if **event.file != *file.name {
                return Ok(From::Position { file: file.name.clone(), offset: boundary });
            }
            let header = event.header;
            let real = header.timestamp_s != 0 && header.event_type != t::FORMAT_DESCRIPTION;
            if real && u64::from(header.timestamp_s) >= unix_s {
                return Ok(From::Position { file: file.name.clone(), offset: boundary });
            }
            let ends = match header.event_type {
                t::XID | t::TRANSACTION_PAYLOAD | t::XA_PREPARE => true,
                t::QUERY => !event.body.ends_with(b"BEGIN"),
                _ => boundary == 4,
            };
            if ends && !header.is_artificial() {
                boundary = event.end;
            }
        }
        match dump.fill(Duration::from_secs(10)).await {
            Ok(()) => {}
            // The end of the last file.
            Err(SourceError::Ended { .. } | SourceError::Silence { .. }) => {
                return Ok(From::Position { file: file.name.clone(), offset: boundary });
            }
            Err(error) => return Err(error),
        }
    }
}

async fn open(url: &SourceUrl, file: &str, server_id: u32) -> Result<Dump, SourceError> {
    let connection = Connection::open(url).await?;
    let from = From::Position { file: file.to_owned(), offset: 4 };
    let config = SourceConfig::default();
    let request = Request { config: &config, server_id, from: &from, at_end: AtEnd::Stop };
    Dump::begin(connection, &request).await
}

/// When a file was begun: the time of its format description.
async fn begun_at(url: &SourceUrl, file: &str, server_id: u32) -> Result<u64, SourceError> {
    let mut dump = open(url, file, server_id).await?;
    loop {
        while let Some(event) = dump.next_event()? {
            if event.header.event_type == t::FORMAT_DESCRIPTION && event.header.timestamp_s != 0 {
                return Ok(u64::from(event.header.timestamp_s));
            }
        }
        dump.fill(Duration::from_secs(10)).await?;
    }
}
