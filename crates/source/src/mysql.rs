//! A server as the source: dump its binlog as a replica would, and come back after a fault.

pub(crate) mod dialect;
mod dump;
mod find;
mod prepare;

use std::time::Duration;

use tokio::time::Instant;
use towpath_binlog::RawEvent;
use towpath_schema::{Column, Table, table_from_create};
use tracing::{info, warn};

use crate::connection::Connection;
use crate::error::{Recovery, SourceError};
use crate::start::Start;
use crate::url::SourceUrl;
use crate::{Filled, SourceConfig};
use dump::{AtEnd, Dump, Request};

/// Where a dump begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    Position { file: String, offset: u64 },
    Gtid(String),
}

/// Shortest and longest pause between two attempts.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Time to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Follows one server. At most one dump exists at any time: it is a field of this value.
#[derive(Debug)]
pub struct MysqlSource {
    url: SourceUrl,
    config: SourceConfig,
    server_id: u32,
    /// The identity of the server that was connected first.
    identity: String,
    resume: From,
    dump: Option<Dump>,
    metadata: Option<Connection>,
    backoff: Duration,
    attempt: u32,
    /// Since when the dump runs.
    since: Instant,
}

impl MysqlSource {
    /// Connects, checks that the server can be followed from `start`, and begins the dump.
    ///
    /// # Errors
    /// [`SourceError`]: whatever stands in the way is said at once, nothing is retried here.
    pub async fn open(
        url: SourceUrl,
        config: SourceConfig,
        start: &Start,
    ) -> Result<Self, SourceError> {
        let mut connection = Connection::open(&url).await?;
        prepare::check(&mut connection).await?;
        let identity = prepare::identity(&mut connection).await?;
        let server_id = config.server_id.unwrap_or_else(|| prepare::generated_id(&config));
        let resume = find::find(&url, &mut connection, start, server_id).await?;
        info!(source = %url, server = %connection.version, server_id, start = ?resume, "connected");
        let request = Request { config: &config, server_id, from: &resume, at_end: AtEnd::Wait };
        let dump = Dump::begin(connection, &request).await?;
        Ok(Self {
            url,
            config,
            server_id,
            identity,
            resume,
            dump: Some(dump),
            metadata: None,
            backoff: BACKOFF_MIN,
            attempt: 0,
            since: Instant::now(),
        })
    }

    /// See [`crate::Source::fill`].
    pub(crate) async fn fill(&mut self) -> Result<Filled, SourceError> {
        loop {
            let fault = match &mut self.dump {
                Some(dump) => match dump.fill(self.config.read_timeout).await {
                    Ok(()) => return Ok(Filled::Events),
                    Err(fault) => {
                        // A dump that ends as soon as it began, as with a second reader of the same
                        // server id, is no success.
                        if self.since.elapsed() > BACKOFF_MAX {
                            self.backoff = BACKOFF_MIN;
                            self.attempt = 0;
                        }
                        fault
                    }
                },
                None => {
                    tokio::time::sleep(self.jittered()).await;
                    match self.reconnect().await {
                        Ok(()) => return Ok(Filled::Reconnected),
                        Err(fault) => fault,
                    }
                }
            };
            self.dump = None;
            if fault.recovery() == Recovery::Stop {
                return Err(fault);
            }
            self.attempt += 1;
            warn!(
                source = %self.url,
                attempt = self.attempt,
                retry_in_ms = self.backoff.as_millis(),
                error = %fault,
                "connection lost, trying again"
            );
        }
    }

    /// Between half of the back-off and all of it; then doubles it up to its bound.
    fn jittered(&mut self) -> Duration {
        let mut byte = [0];
        // Without randomness the pause is the longest of its range.
        let fraction = getrandom::fill(&mut byte).map_or(255, |()| byte.map(u32::from)[0]);
        let pause = self.backoff / 2 + self.backoff / 2 * fraction / 255;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        pause
    }

    async fn reconnect(&mut self) -> Result<(), SourceError> {
        self.metadata = None;
        let mut connection = Connection::open(&self.url).await?;
        let now = prepare::identity(&mut connection).await?;
        if now != self.identity && matches!(self.resume, From::Position { .. }) {
            return Err(SourceError::OtherServer {
                address: self.url.address(),
                before: self.identity.clone(),
                now,
            });
        }
        info!(source = %self.url, resume = ?self.resume,
            "connected again; what was read of an unfinished transaction comes a second time");
        let request = Request {
            config: &self.config,
            server_id: self.server_id,
            from: &self.resume,
            at_end: AtEnd::Wait,
        };
        self.dump = Some(Dump::begin(connection, &request).await?);
        self.since = Instant::now();
        Ok(())
    }

    pub(crate) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        match &mut self.dump {
            Some(dump) => dump.next_event(),
            None => Ok(None),
        }
    }

    pub(crate) fn unread(&mut self) {
        if let Some(dump) = &mut self.dump {
            dump.unread();
        }
    }

    pub(crate) fn resume_from(&mut self, file: &str, offset: u64, gtid: Option<&str>) {
        match (&mut self.resume, gtid) {
            (From::Gtid(set), Some(gtid)) => gtid.clone_into(set),
            (From::Position { file: to, offset: at }, _) => {
                if to != file {
                    file.clone_into(to);
                }
                *at = offset;
            }
            (From::Gtid(_), None) => {}
        }
    }

    /// See [`crate::Source::table`].
    pub(crate) async fn table(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Table>, SourceError> {
        // A connection that idled may be gone: one fresh attempt.
        match self.table_now(schema, table).await {
            Err(error @ (SourceError::Io { .. } | SourceError::Silence { .. })) => {
                warn!(source = %self.url, error = %error, "metadata connection lost, opening another");
                self.metadata = None;
                self.table_now(schema, table).await
            }
            result => result,
        }
    }

    async fn table_now(&mut self, schema: &str, table: &str) -> Result<Option<Table>, SourceError> {
        let connection = match &mut self.metadata {
            Some(connection) => connection,
            empty => {
                let mut connection = Connection::open(&self.url).await?;
                connection.query("SET NAMES utf8mb4").await?;
                let show_hidden_key =
                    "SET SESSION show_gipk_in_create_table_and_information_schema = ON";
                ignore_server_error(connection.query(show_hidden_key).await)?;
                empty.insert(connection)
            }
        };
        let quote = |name: &str| name.replace('`', "``");
        let sql = format!("SHOW CREATE TABLE `{}`.`{}`", quote(schema), quote(table));
        let text = match connection.query(&sql).await {
            Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten()),
            Err(SourceError::Server { errno: 1146 | 1049, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(table) = text.and_then(|text| table_from_create(&text, schema)) {
            return Ok(Some(table));
        }
        columns(connection, schema, table).await
    }

    /// Ends the dump: closes its socket and tells the server to forget it.
    pub(crate) async fn close(mut self) {
        let Some(dump) = self.dump.take() else { return };
        let thread_id = dump.thread_id();
        drop(dump);
        let kill = async {
            let mut connection = Connection::open(&self.url).await?;
            connection.query(&format!("KILL CONNECTION {thread_id}")).await
        };
        // The server notices the closed socket by itself, only later.
        match tokio::time::timeout(CLOSE_TIMEOUT, kill).await {
            Ok(Ok(_) | Err(SourceError::Server { .. })) => {}
            Ok(Err(error)) => {
                warn!(source = %self.url, error = %error, "could not end the dump thread");
            }
            Err(_) => warn!(source = %self.url, "could not end the dump thread in time"),
        }
    }
}

/// For statements that not every server knows.
fn ignore_server_error<T>(result: Result<T, SourceError>) -> Result<(), SourceError> {
    match result {
        Ok(_) | Err(SourceError::Server { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The structure from `information_schema`, where `SHOW CREATE TABLE` cannot be read.
async fn columns(
    connection: &mut Connection,
    schema: &str,
    table: &str,
) -> Result<Option<Table>, SourceError> {
    let quote = |name: &str| name.replace('\\', "\\\\").replace('\'', "''");
    let sql = format!(
        "SELECT column_name, column_type, column_key, is_nullable FROM information_schema.columns \
         WHERE table_schema = '{}' AND table_name = '{}' ORDER BY ordinal_position",
        quote(schema),
        quote(table)
    );
    let mut found = Table { schema: schema.to_owned(), name: table.to_owned(), ..Table::default() };
    for row in connection.query(&sql).await? {
        let mut fields = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || fields.next().unwrap_or_default();
        let mut column = Column::new(&next(), &next());
        column.is_key = next() == "PRI";
        column.nullable = next() == "YES";
        found.columns.push(column);
    }
    Ok((!found.columns.is_empty()).then_some(found))
}
