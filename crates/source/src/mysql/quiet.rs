//! A dump that is silent is not lost for that: the end of any other dump wakes all of a server, which
//! then count the time to their next heartbeat anew. So the server is asked before a connection is
//! given up.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::feed::Feed;
use super::{EndProbe, MysqlSource, dialect};
use crate::SourceConfig;
use crate::connection::Connection;
use crate::error::SourceError;

/// For all answers of the server.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Silences in a row that are borne because the server says that it has nothing to send. What lies
/// between may have lost the connection all the same, without telling either side.
const LOOKS_MAX: u32 = 10;

/// What came of the silences so far.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Looks since something came.
    looks: u32,
    /// The server has something to send.
    is_ahead: bool,
}

impl Quiet {
    /// How long the next silence may be.
    pub(super) const fn limit(&self, config: &SourceConfig) -> Duration {
        if self.is_ahead { config.heartbeat } else { config.read_timeout }
    }
}

/// What the server says of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It runs, and there is nothing to send.
    Idle,
    /// It runs, and there is more than what came.
    Ahead,
    /// It does not run.
    Gone,
}

impl MysqlSource {
    /// Whether silence is all that is wrong. Cancelling it loses nothing.
    pub(super) async fn is_only_quiet(&mut self) -> bool {
        if self.quiet.is_ahead || self.quiet.looks >= LOOKS_MAX {
            return false;
        }
        let (Feed::Server(dump), Some((file, offset))) = (&self.feed, self.position()) else {
            return false;
        };
        let url = self.servers.current();
        let limit = LOOK_TIMEOUT.min(self.config.read_timeout);
        let asked = async { look(self.beside().await?, dump.thread_id(), (&file, offset)).await };
        let look = match timeout(limit, asked).await {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => {
                warn!(source = %url, error = %error, "the source is silent, and cannot be asked");
                return false;
            }
            Err(_) => return false,
        };
        self.quiet.looks += 1;
        self.quiet.is_ahead = look == Look::Ahead;
        debug!(source = %url, look = ?look, looks = self.quiet.looks, "the source is silent");
        look != Look::Gone
    }

    /// Reads from the server, which may be silent as long as it says that it has nothing to send.
    /// Cancelling it loses nothing.
    pub(super) async fn fill_from_server(&mut self) -> Result<(), SourceError> {
        loop {
            let Feed::Server(dump) = &mut self.feed else { return Ok(()) };
            let silence = self.quiet.limit(&self.config);
            let filled = match &mut self.detector {
                None => dump.fill(silence).await,
                Some(detector) => tokio::select! {
                    biased;
                    () = detector.lost() => Err(self.servers.lost()),
                    filled = dump.fill(silence) => filled,
                },
            };
            match filled {
                Ok(()) => {
                    self.quiet = Quiet::default();
                    return Ok(());
                }
                Err(SourceError::Silence { .. }) if self.is_only_quiet().await => {}
                Err(fault) => return Err(fault),
            }
        }
    }
}

async fn look(
    mut connection: Connection,
    thread_id: u32,
    (file, offset): (&str, u64),
) -> Result<Look, SourceError> {
    // All versions have it, and it shows an account its own threads. Greetings have 32 bits of an id.
    let threads = connection.query("SHOW PROCESSLIST").await?;
    let is_dump = threads.iter().any(|row| {
        let [Some(id), _, _, _, Some(command), ..] = row.as_slice() else { return false };
        let id = id.parse::<u64>().map(|id| id & u64::from(u32::MAX));
        id == Ok(thread_id.into()) && command.starts_with("Binlog Dump")
    });
    if !is_dump {
        return Ok(Look::Gone);
    }
    let (end_file, end) = dialect::end(&mut connection).await?;
    let is_there = end_file == file && end == offset;
    let is_behind = is_there || EndProbe::is_behind((file, offset), (&end_file, end));
    Ok(if is_behind { Look::Idle } else { Look::Ahead })
}
