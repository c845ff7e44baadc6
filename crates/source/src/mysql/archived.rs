//! From the server to its archive when it has purged what comes next, and back.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::dialect::{self, Flavour};
use super::feed::Feed;
use super::same::Memory;
use super::structure::Ahead;
use super::{From, MysqlSource, gtid, jump};
use crate::SourceConfig;
use crate::archive::{Archive, Behind, Ended, Reading, Wanted};
use crate::connection::Connection;
use crate::error::SourceError;
use crate::start::Start;

/// How often the archive is asked for a file that the server has purged and it does not list: the
/// list may be late.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How it goes on behind the files of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// With what comes next.
    Goes,
    /// Behind a gap.
    Jumped,
}

/// The place of a start that the server has purged, as far as an archive is searched for it.
pub(super) fn place_of(start: &Start) -> Option<From> {
    match start {
        Start::At { file, offset } => Some(From::Position { file: file.clone(), offset: *offset }),
        Start::Gtid(set) => Some(From::Gtid(set.clone())),
        Start::Now | Start::Earliest | Start::Time { .. } => None,
    }
}

/// The files that the server has.
pub(super) async fn kept(connection: &mut Connection) -> Result<Vec<String>, SourceError> {
    Ok(dialect::files(connection).await?.into_iter().map(|file| file.name).collect())
}

async fn server_id(connection: &mut Connection) -> Result<u32, SourceError> {
    let text = connection.scalar("SELECT @@global.server_id").await?.unwrap_or_default();
    text.parse().map_err(|_| connection.setup(format!("its server_id is `{text}`")))
}

/// Finds a place in the archive. `file` is the one that was read last, `time_s` the time of the newest
/// event; 0: not known.
pub(super) async fn find(
    archive: &Archive,
    connection: &mut Connection,
    from: &From,
    (config, file, time_s): (&SourceConfig, Option<&str>, u64),
) -> Result<Reading, SourceError> {
    let (kept, server_id) = (kept(connection).await?, server_id(connection).await?);
    let last = config.last.as_ref();
    let (file, offset, behind) = match from {
        From::Position { file, offset } => (file.as_str(), *offset, None),
        From::Gtid(set) => {
            let behind = match connection.flavour() {
                Flavour::Mysql => Behind::Mysql(gtid::parse_mysql(set)?),
                Flavour::Mariadb => Behind::Mariadb(gtid::parse_mariadb(set)?),
            };
            let file = file.or_else(|| last.map(|last| last.file.as_str()));
            (file.unwrap_or_default(), 4, Some(behind))
        }
    };
    warn!(source = %connection.address, from = ?from,
        "the server has purged what comes next: looking for it in the archive");
    let wanted = Wanted {
        address: &connection.address,
        file,
        offset,
        behind,
        last,
        time_s,
        server_id,
        kept: &kept,
        event_len_max: config.event_len_max,
    };
    Reading::open(archive.clone(), &wanted).await
}

impl MysqlSource {
    /// What is known of the archive is read, up to `next`: the server goes on, or the archive has more
    /// by now.
    pub(super) async fn after_archive(&mut self, next: String) -> Result<After, SourceError> {
        let mut connection = match self.beside().await {
            Err(SourceError::OtherServer { .. }) => {
                self.reopen();
                return Ok(After::Goes);
            }
            connection => connection?,
        };
        for look in 1.. {
            let kept = kept(&mut connection).await?;
            let Some(from) = self.on_server(&mut connection, &next, &kept).await? else {
                let Feed::Archive(reading) = &mut self.feed else { break };
                if reading.look_again(&kept).await? {
                    break;
                }
                if look >= LOOKS {
                    let fault = reading.gap(&connection.address, &kept).await;
                    self.jump(fault, connection).await?;
                    return Ok(After::Jumped);
                }
                sleep(LOOK_PAUSE).await;
                continue;
            };
            info!(source = %self.servers.current(), resume = ?from,
                "the archive is read, the server goes on");
            self.resume = from;
            self.feed = Feed::Nothing;
            self.dump_on(connection).await?;
            break;
        }
        Ok(After::Goes)
    }

    /// Goes on behind what neither has, if that is asked for; else the fault.
    pub(super) async fn jump(
        &mut self,
        fault: SourceError,
        mut connection: Connection,
    ) -> Result<(), SourceError> {
        let set = if let From::Gtid(set) = &self.resume { Some(set.as_str()) } else { None };
        let settings = (&self.config, self.server_id);
        let at = (self.servers.current(), &mut connection);
        let (from, gap) = jump::over(fault, at, set, settings).await?;
        self.resume = from;
        self.gap = gap;
        self.memory = Memory::default();
        self.feed = Feed::Nothing;
        self.dump_on(connection).await
    }

    /// Statements of the archive from the place that is read to its end, if `file` lies in it; then
    /// the first file behind it, which the server has.
    pub(super) async fn scan_archive(&mut self, file: &str) -> Result<Option<String>, SourceError> {
        let Feed::Archive(reading) = &self.feed else { return Ok(None) };
        let Some(connection) = &mut self.metadata else { return Ok(None) };
        let mut kept = kept(connection).await?;
        if kept.iter().any(|name| name == file) {
            return Ok(None);
        }
        let Some(mut ahead) = reading.again(&kept).await? else { return Ok(None) };
        self.ahead = Ahead::default();
        loop {
            match ahead.fill().await? {
                Ended::Not => {}
                Ended::Before(next) if kept.contains(&next) => return Ok(Some(next)),
                Ended::Before(_) => {
                    kept = self::kept(connection).await?;
                    if !ahead.look_again(&kept).await? {
                        return Err(ahead.gap(&connection.address, &kept).await);
                    }
                }
            }
            while let Some(event) = ahead.next_event()? {
                self.ahead.take(&event)?;
            }
        }
    }

    /// Why the server cannot tell structures, when what is read comes from another host's archive:
    /// their places have nothing in common.
    pub(super) async fn foreign_archive(&mut self) -> Result<Option<String>, SourceError> {
        let Feed::Archive(reading) = &self.feed else { return Ok(None) };
        let before = reading.server_id();
        let now = server_id(self.metadata().await?).await?;
        Ok((now != before).then(|| {
            format!("it is read from the archive of server id {before}, and the source is {now}")
        }))
    }

    /// Where the server itself can go on, if it can.
    async fn on_server(
        &self,
        connection: &mut Connection,
        next: &str,
        kept: &[String],
    ) -> Result<Option<From>, SourceError> {
        if let From::Gtid(set) = &self.resume {
            return match gtid::check(connection, set).await {
                Ok(()) => Ok(Some(self.resume.clone())),
                Err(error) if error.is_purged() => Ok(None),
                Err(error) => Err(error),
            };
        }
        if !kept.iter().any(|file| file == next) {
            return Ok(None);
        }
        let (now, Feed::Archive(reading)) = (server_id(connection).await?, &self.feed) else {
            return Ok(None);
        };
        let before = reading.server_id();
        if now == before {
            return Ok(Some(From::Position { file: next.to_owned(), offset: 4 }));
        }
        Err(SourceError::OtherServer {
            address: connection.address.clone(),
            before: format!("server_id {before}, whose archived files were read"),
            now: format!("server_id {now}"),
        })
    }
}
