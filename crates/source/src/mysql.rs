//! A server as the source: dump its binlog as a replica would, and come back after a fault.

mod archived;
mod boundary;
pub(crate) mod dialect;
mod dump;
mod end;
mod fate;
mod feed;
mod find;
mod gtid;
mod jump;
mod prepare;
mod quiet;
mod raw;
mod same;
mod semi_sync;
mod servers;
mod structure;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use towpath_binlog::event::parse_xid;
use towpath_binlog::{RawEvent, event_type as t};
use towpath_schema::{HiddenKey, NameCase};
use tracing::{info, warn};

use crate::archive::{Archive, Ended};
use crate::connection::Connection;
use crate::contact::{self, Contact};
use crate::error::{Recovery, SourceError};
use crate::start::Start;
use crate::url::SourceUrl;
use crate::{Filled, FollowBy, Gap, LastEvent, Passed, ReadFile, SourceConfig};
use archived::After;
use dialect::Flavour;
use dump::{AtEnd, Dump, Request};
pub use end::EndProbe;
use feed::Feed;
use quiet::Quiet;
pub use raw::throw_away;
use same::Memory;
use servers::{Detector, Servers};
use structure::Ahead;

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
/// For the next bytes of a file that is searched.
const FILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a dump must live to be one: with a second reader of the same server id it begins, and ends at once.
const SETTLED: Duration = Duration::from_secs(2);
/// How long another server than before may have less than was read: it may still be applying it.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Follows one server, or its standby. At most one dump exists at any time: it is a field of this
/// value.
#[derive(Debug)]
pub struct MysqlSource {
    servers: Servers,
    config: SourceConfig,
    server_id: u32,
    flavour: Flavour,
    /// The version of the server that was connected to first, as it greets with it.
    version: String,
    /// The identity of the server that is followed.
    identity: String,
    resume: From,
    /// `resume` lies inside a transaction.
    is_inside: bool,
    /// What was read before `resume`.
    memory: Memory,
    progress: Progress,
    archive: Option<Archive>,
    feed: Feed,
    detector: Option<Detector>,
    metadata: Option<Connection>,
    /// What that server adds to tables; known once `metadata` was opened.
    hidden_key: Option<HiddenKey>,
    /// How the server compares names.
    case: NameCase,
    ahead: Ahead,
    backoff: Duration,
    attempt: u32,
    /// Since when the dump runs.
    since: Instant,
    /// Since when another server than before has less than was read.
    behind_since: Option<Instant>,
    /// What was jumped over, until somebody asks.
    gap: Option<Gap>,
    /// The place that the last event told, if it was a heartbeat.
    heartbeat: u32,
    quiet: Quiet,
    /// Where it is told whether the server can be read.
    contact: watch::Sender<Contact>,
}

/// How far reading has come.
#[derive(Debug, Default)]
struct Progress {
    /// The boundary that was told last.
    boundary: Option<(String, u64)>,
    /// A time, in seconds since 1970, that no transaction behind `boundary` is older than.
    boundary_s: u64,
    /// The newest event when `boundary` was told.
    told_s: u64,
    /// The newest event.
    seen_s: u64,
    /// A file, and when it was begun.
    file: Option<(Arc<str>, u32)>,
    /// Where in the file the last end of a transaction starts, and the number in it.
    xid: Option<(u64, i64)>,
}

impl MysqlSource {
    /// Connects to the first server that answers; whether that is the standby.
    async fn connect(servers: &mut Servers) -> Result<(Connection, bool), SourceError> {
        match Connection::open(servers.current()).await {
            Err(error) if error.recovery() == Recovery::Retry && servers.switch() => {
                warn!(error = %error, "the first address does not answer");
                Ok((Connection::open(servers.current()).await?, true))
            }
            result => Ok((result?, false)),
        }
    }

    /// See [`crate::Source::check`].
    pub(crate) async fn check(url: SourceUrl, config: &SourceConfig) -> Result<(), SourceError> {
        let mut servers = Servers::new(url, config.standby.clone());
        let (mut connection, _) = Self::connect(&mut servers).await?;
        prepare::check(&mut connection).await
    }

    /// Connects, checks that the server can be followed from `start`, and begins the dump. A
    /// standby is tried when the first address does not answer.
    ///
    /// # Errors
    /// [`SourceError`]: whatever stands in the way is said at once, nothing is retried here.
    pub async fn open(
        url: SourceUrl,
        config: SourceConfig,
        start: &Start,
    ) -> Result<Self, SourceError> {
        let mut servers = Servers::new(url, config.standby.clone());
        let (mut connection, is_standby) = Self::connect(&mut servers).await?;
        prepare::check(&mut connection).await?;
        let identity = prepare::identity(&mut connection).await?;
        let case = structure::name_case(&mut connection).await?;
        let server_id = config.server_id.unwrap_or_else(|| prepare::generated_id(&config));
        let url = servers.current();
        let last_s = config.last.as_ref().map_or(0, |last| last.time_s);
        let progress =
            Progress { boundary_s: last_s, told_s: last_s, seen_s: last_s, ..Progress::default() };
        let archive = config.archive.as_ref().map(Archive::open).transpose()?;
        let memory = Memory { file: config.file.clone(), last: config.last.clone() };
        let opening = Opening {
            url,
            config: &config,
            server_id,
            start,
            memory: &memory,
            server: &identity,
            is_standby,
        };
        let (resume, gap, feed) =
            opening.begin(&mut connection, archive.as_ref(), &progress).await?;
        info!(source = %url, server = %connection.version, server_id, start = ?resume, "connected");
        let memory = memory.on(&identity, start, gap.is_some());
        let flavour = connection.flavour();
        let mut source = Self {
            servers,
            config,
            server_id,
            flavour,
            version: connection.version.clone(),
            identity,
            resume,
            is_inside: false,
            memory,
            progress,
            archive,
            feed,
            detector: None,
            metadata: None,
            hidden_key: None,
            case,
            ahead: Ahead::default(),
            backoff: BACKOFF_MIN,
            attempt: 0,
            since: Instant::now(),
            behind_since: None,
            gap,
            heartbeat: 0,
            contact: watch::Sender::default(),
            quiet: Quiet::default(),
        };
        if matches!(source.feed, Feed::Nothing) {
            source.dump_on(connection).await?;
        }
        Ok(source)
    }

    /// Begins the dump at `resume`.
    async fn dump_on(&mut self, connection: Connection) -> Result<(), SourceError> {
        let request = Request {
            config: &self.config,
            server_id: self.server_id,
            from: &self.resume,
            at_end: AtEnd::Wait,
        };
        let mut dump = Dump::begin(connection, &request).await?;
        dump.begin_behind(self.memory.file.as_ref().filter(|read| read.server == self.identity));
        self.feed = Feed::Server(Box::new(dump));
        let url = self.servers.current();
        self.detector = self.config.detect.as_ref().map(|detect| Detector::start(url, detect));
        self.since = Instant::now();
        self.quiet = Quiet::default();
        Ok(())
    }

    /// Whether the server is a MariaDB, whose GTID sets are of another kind.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.flavour == Flavour::Mariadb
    }

    /// The GTID set behind which reading began, when it did so by GTID.
    #[must_use]
    pub fn gtid_set(&self) -> Option<&str> {
        match &self.resume {
            From::Gtid(set) => Some(set),
            From::Position { .. } => None,
        }
    }

    pub(crate) fn end_probe(&self) -> EndProbe {
        EndProbe::new(self.servers.current().clone())
    }

    pub(crate) fn position(&self) -> Option<(Arc<str>, u64)> {
        let (file, offset) = self.feed.position()?;
        // Of a heartbeat's place only 32 bits come.
        let sent = offset & !0xffff_ffff | u64::from(self.heartbeat);
        Some((file, offset.max(sent)))
    }

    /// See [`crate::Source::rewind`]. The begin is searched when the connection is made anew.
    pub(crate) fn rewind(&mut self) -> bool {
        let (From::Position { .. }, Feed::Server(dump)) = (&self.resume, &self.feed) else {
            return false;
        };
        let (file, offset) = dump.place();
        self.resume = From::Position { file, offset };
        self.is_inside = true;
        self.reopen();
        true
    }

    /// The begin of the transaction in which a place of the server that is followed lies.
    async fn begin_of(&self, url: &SourceUrl, from: From) -> Result<From, SourceError> {
        let From::Position { file, offset } = from else { return Ok(from) };
        let begin = find::transaction_begin(url, (&file, offset), self.server_id).await?;
        warn!(source = %url, file, offset, begin,
            "this lies inside a transaction: going back to its begin");
        Ok(From::Position { file, offset: begin })
    }

    pub(crate) async fn acknowledge(&mut self) {
        self.feed.acknowledge().await;
    }

    pub(crate) fn reopen(&mut self) {
        self.feed = Feed::Nothing;
        self.detector = None;
        self.metadata = None;
    }

    /// Another connection to the server that is followed, for questions beside the dump. An address may
    /// lead to another server by now, whose answers mean nothing here: [`SourceError::OtherServer`].
    async fn beside(&self) -> Result<Connection, SourceError> {
        let mut connection = Connection::open(self.servers.current()).await?;
        let now = prepare::identity(&mut connection).await?;
        if now == self.identity {
            return Ok(connection);
        }
        let (address, before) = (connection.address.clone(), self.identity.clone());
        Err(SourceError::OtherServer { address, before, now })
    }

    /// The answer to a question beside the dump. Where the server is gone, is another one, or has purged
    /// what is asked for, the dump is given up, too, for `reconnect` knows what to do then: `None`.
    fn or_reopen<T>(
        &mut self,
        answer: Result<T, SourceError>,
        doing: &'static str,
    ) -> Result<Option<T>, SourceError> {
        let fault = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(fault) => fault,
        };
        let is_of_server = fault.recovery() == Recovery::Retry
            || fault.is_purged()
            || matches!(fault, SourceError::OtherServer { .. });
        if !is_of_server {
            return Err(fault);
        }
        warn!(source = %self.servers.current(), doing, error = %fault,
            "a question beside the dump has no answer, connecting again");
        self.reopen();
        Ok(None)
    }

    pub(crate) const fn take_gap(&mut self) -> Option<Gap> {
        self.gap.take()
    }

    /// See [`crate::Source::fill`].
    pub(crate) async fn fill(&mut self) -> Result<Filled, SourceError> {
        loop {
            let fault = match &mut self.feed {
                Feed::Archive(reading) => match Box::pin(reading.fill()).await {
                    Ok(Ended::Not) => return Ok(Filled::Events),
                    Ok(Ended::Before(next)) => match Box::pin(self.after_archive(next)).await {
                        Ok(After::Goes) => continue,
                        Ok(After::Jumped) => return Ok(Filled::Reconnected),
                        Err(fault) => fault,
                    },
                    Err(fault) => fault,
                },
                Feed::Server(_) => match self.fill_from_server().await {
                    Ok(()) => {
                        if self.since.elapsed() >= SETTLED {
                            self.regained();
                        }
                        return Ok(Filled::Events);
                    }
                    Err(fault) => {
                        // A dump that ends as soon as it began, as with a second reader of the
                        // same server id, is no success.
                        if self.since.elapsed() > BACKOFF_MAX {
                            self.backoff = BACKOFF_MIN;
                            self.attempt = 0;
                        }
                        fault
                    }
                },
                Feed::Nothing => {
                    tokio::time::sleep(self.jittered()).await;
                    match self.reconnect().await {
                        Ok(()) => return Ok(Filled::Reconnected),
                        Err(fault) => {
                            if fault.recovery() == Recovery::Retry && self.servers.failed() {
                                self.backoff = BACKOFF_MIN;
                            }
                            fault
                        }
                    }
                }
            };
            self.feed = Feed::Nothing;
            self.detector = None;
            if fault.recovery() == Recovery::Stop
                && !self.catches_up(&fault)
                && !self.is_archived(&fault)
            {
                return Err(fault);
            }
            self.attempt += 1;
            contact::lost(&self.contact, &fault);
            warn!(
                source = %self.servers.current(),
                attempt = self.attempt,
                retry_in_ms = self.backoff.as_millis(),
                error = %fault,
                "connection lost, trying again"
            );
        }
    }

    /// See [`crate::Source::tell`].
    pub(crate) fn tell(&mut self, contact: watch::Sender<Contact>) {
        self.contact = contact;
    }

    fn regained(&self) {
        let Some(loss) = contact::regained(&self.contact) else { return };
        let after_ms = loss.since.elapsed().unwrap_or_default().as_millis();
        info!(source = %self.servers.current(), attempts = loss.attempts, after_ms,
            "the source is read again");
    }

    /// See [`crate::Source::try_fill`].
    pub(crate) async fn try_fill(&mut self) -> bool {
        match &mut self.feed {
            Feed::Server(dump) => dump.try_fill(self.config.read_timeout).await,
            Feed::Archive(_) | Feed::Nothing => false,
        }
    }

    /// Whether a server that has less than was read may still get it.
    fn catches_up(&mut self, fault: &SourceError) -> bool {
        let SourceError::Behind { .. } = fault else { return false };
        // The server that had it has lost it for good.
        let Some(since) = self.behind_since else { return false };
        since.elapsed() < CATCH_UP
    }

    /// Whether what the server has purged while it was read may be in the archive.
    fn is_archived(&self, fault: &SourceError) -> bool {
        self.archive.is_some() && matches!(fault, SourceError::Server { .. }) && fault.is_purged()
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
        // Perhaps of another server.
        self.ahead = Ahead::default();
        self.heartbeat = 0;
        let url = self.servers.current().clone();
        let mut connection = Connection::open(&url).await?;
        let now = prepare::identity(&mut connection).await?;
        if now != self.identity {
            prepare::check(&mut connection).await?;
            self.case = structure::name_case(&mut connection).await?;
            self.behind_since.get_or_insert_with(Instant::now);
        }
        let from = match self.place_on(&url, &mut connection, &now).await {
            Err(fault) => {
                let set =
                    if let From::Gtid(set) = &self.resume { Some(set.as_str()) } else { None };
                let settings = (&self.config, self.server_id);
                let (from, gap) = jump::over(fault, (&url, &mut connection), set, settings).await?;
                self.gap = gap;
                self.memory = Memory::default();
                from
            }
            Ok(from) if self.is_inside && now == self.identity => self.begin_of(&url, from).await?,
            Ok(from) => from,
        };
        self.is_inside = false;
        info!(source = %url, resume = ?from,
            "connected again; what was read of an unfinished transaction comes a second time");
        if now != self.identity {
            warn!(source = %url, before = self.identity, now, resume = ?from,
                "another server is followed from here on");
            self.progress.file = None;
            self.progress.xid = None;
            self.memory = Memory::default();
        }
        (self.identity, self.resume, self.behind_since) = (now, from, None);
        match &self.archive {
            Some(archive) if !self.is_kept(&mut connection).await? => {
                let file = self.progress.boundary.as_ref().map(|(file, _)| file.as_str());
                let read = (&self.config, file, self.progress.seen_s);
                let found = archived::find(archive, &mut connection, &self.resume, read);
                match Box::pin(found).await {
                    Ok(reading) => self.feed = Feed::Archive(Box::new(reading)),
                    Err(fault) => self.jump(fault, connection).await?,
                }
            }
            _ => self.dump_on(connection).await?,
        }
        self.servers.reached();
        self.since = Instant::now();
        Ok(())
    }

    /// Whether the server has what comes next.
    async fn is_kept(&self, connection: &mut Connection) -> Result<bool, SourceError> {
        match &self.resume {
            From::Position { file, .. } => {
                let files = dialect::files(connection).await?;
                Ok(files.iter().any(|log| log.name == *file))
            }
            From::Gtid(set) => match gtid::check(connection, set).await {
                Ok(()) => Ok(true),
                Err(error) if error.is_purged() => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Where to go on there: by GTID wherever there is a set, else at the same file and offset of the
    /// same server, else by time.
    async fn place_on(
        &self,
        url: &SourceUrl,
        connection: &mut Connection,
        now: &str,
    ) -> Result<From, SourceError> {
        match &self.resume {
            From::Gtid(set) => {
                gtid::check_mode(connection).await?;
                match gtid::check(connection, set).await {
                    Err(error) if error.is_purged() && self.archive.is_some() => {}
                    result => {
                        result?;
                        self.check_same(url, connection, now).await?;
                    }
                }
            }
            From::Position { file, offset } if *now == self.identity => {
                match find::check_kept(connection, file, *offset).await {
                    Err(error) if error.is_purged() && self.archive.is_some() => {}
                    result => {
                        result?;
                        self.check_same(url, connection, now).await?;
                    }
                }
            }
            From::Position { .. } if self.servers.has_other() => {
                let settings = (&self.config, self.server_id);
                return by_time(url, connection, &self.progress, settings).await;
            }
            From::Position { .. } => {
                return Err(SourceError::OtherServer {
                    address: url.address(),
                    before: self.identity.clone(),
                    now: now.to_owned(),
                });
            }
        }
        Ok(self.resume.clone())
    }

    async fn check_same(
        &self,
        url: &SourceUrl,
        connection: &mut Connection,
        now: &str,
    ) -> Result<(), SourceError> {
        let at = (&self.resume, now);
        same::check(url, connection, &self.memory, at, self.server_id).await
    }

    pub(crate) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        let Some(event) = self.feed.next_event()? else { return Ok(None) };
        let header = &event.header;
        if header.event_type == t::XID {
            let xid = parse_xid(event.body).ok();
            self.progress.xid = xid.map(|xid| (event.start, xid.cast_signed()));
        }
        if header.event_type == t::FORMAT_DESCRIPTION && header.timestamp_s != 0 {
            self.progress.file_begins(&event, &self.servers)?;
        } else if !header.is_artificial() && header.event_type != t::ROTATE {
            self.progress.seen_s = self.progress.seen_s.max(u64::from(header.timestamp_s));
        }
        self.heartbeat = match header.event_type {
            t::HEARTBEAT | t::HEARTBEAT_V2 => header.log_pos,
            _ => 0,
        };
        Ok(Some(event))
    }

    pub(crate) fn unread(&mut self) {
        self.feed.unread();
    }

    pub(crate) fn resume_from(&mut self, passed: &Passed<'_>) {
        let &Passed { file, offset, gtid, .. } = passed;
        let last = &mut self.progress.boundary;
        if last.as_ref().is_some_and(|(last, at)| last == file && *at == offset) {
            // Nothing new: it may be a place of the server that was followed before.
            return;
        }
        *last = Some((file.to_owned(), offset));
        // It was passed after what had been read when the one before it was told.
        self.progress.told();
        self.remember(passed);
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

    /// Keeps what tells the binlog from others.
    fn remember(&mut self, passed: &Passed<'_>) {
        if matches!(self.feed, Feed::Archive(_)) {
            // Perhaps of another host, whose files have the same names.
            self.memory = Memory::default();
            return;
        }
        let xid = self.progress.xid.filter(|(start, _)| *start == passed.start);
        let read = self.progress.file.as_ref().filter(|(file, _)| **file == *passed.file);
        self.memory = Memory {
            file: Some(ReadFile {
                server: self.identity.clone(),
                file: passed.file.to_owned(),
                begun_s: read.map_or(0, |(_, begun_s)| *begun_s),
                offset: passed.offset,
            }),
            last: (passed.timestamp_s != 0).then(|| LastEvent {
                file: passed.file.to_owned(),
                offset: passed.start,
                time_s: passed.timestamp_s.into(),
                server_id: passed.server_id,
                xid: xid.map(|(_, xid)| xid),
            }),
        };
    }

    pub(crate) fn file(&self) -> Option<Arc<str>> {
        self.feed.file()
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self.feed {
            Feed::Nothing => "none",
            Feed::Server(_) => "server",
            Feed::Archive(_) => "archive",
        }
    }

    /// What the server is, with its version.
    pub(crate) fn product(&self) -> String {
        match self.flavour {
            Flavour::Mysql => format!("MySQL {}", self.version),
            // It greets with 5.5.5 before its own, for replicas that compare versions.
            Flavour::Mariadb => {
                format!("MariaDB {}", self.version.strip_prefix("5.5.5-").unwrap_or(&self.version))
            }
        }
    }

    /// Where reading goes on when the connection is lost now.
    pub(crate) fn resume(&self) -> String {
        match &self.resume {
            From::Position { file, offset } => format!("{file}:{offset}"),
            From::Gtid(set) => format!("gtid:{set}"),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.servers.current().address()
    }

    /// Which server this is.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// How it compares names.
    pub(crate) const fn name_case(&self) -> NameCase {
        self.case
    }

    /// Ends the dump: closes its socket and tells the server to forget it.
    pub(crate) async fn close(mut self) {
        let Some(dump) = self.feed.take_dump() else { return };
        let thread_id = dump.thread_id();
        drop(dump);
        let kill = async {
            let mut connection = self.beside().await?;
            connection.query(&format!("KILL CONNECTION {thread_id}")).await
        };
        // The server notices the closed socket by itself, only later.
        match tokio::time::timeout(CLOSE_TIMEOUT, kill).await {
            // On another server the number would be that of somebody else.
            Ok(Ok(_) | Err(SourceError::Server { .. } | SourceError::OtherServer { .. })) => {}
            Ok(Err(error)) => {
                warn!(source = %self.servers.current(), error = %error, "could not end the dump thread");
            }
            Err(_) => {
                warn!(source = %self.servers.current(), "could not end the dump thread in time");
            }
        }
    }
}

/// What it takes to find where to begin.
struct Opening<'a> {
    url: &'a SourceUrl,
    config: &'a SourceConfig,
    server_id: u32,
    start: &'a Start,
    memory: &'a Memory,
    /// Which server it is.
    server: &'a str,
    is_standby: bool,
}

impl Opening<'_> {
    /// Where reading begins, what had to be jumped over for it, and what is read there if that is not
    /// the server itself.
    async fn begin(
        &self,
        connection: &mut Connection,
        archive: Option<&Archive>,
        progress: &Progress,
    ) -> Result<(From, Option<Gap>, Feed), SourceError> {
        let fault = match self.place(connection, progress).await {
            Ok(resume) => return Ok((resume, None, Feed::Nothing)),
            Err(fault) => fault,
        };
        let Self { url, config, server_id, start, .. } = *self;
        let fault = match (archive, self.archived()) {
            (Some(archive), Some(from)) if fault.is_purged() => {
                let read = (config, None, progress.seen_s);
                match Box::pin(archived::find(archive, connection, &from, read)).await {
                    Ok(reading) => return Ok((from, None, Feed::Archive(Box::new(reading)))),
                    Err(fault) => fault,
                }
            }
            _ => fault,
        };
        let set = if let Start::Gtid(set) = start { Some(set.as_str()) } else { None };
        let settings = (config, server_id);
        let (from, gap) = jump::over(fault, (url, connection), set, settings).await?;
        Ok((from, gap, Feed::Nothing))
    }

    /// The place on the server, checked as far as that is possible.
    async fn place(
        &self,
        connection: &mut Connection,
        progress: &Progress,
    ) -> Result<From, SourceError> {
        let Self { url, config, server_id, start, memory, server, is_standby } = *self;
        let is_read_here = memory.file.as_ref().is_some_and(|read| read.server == *server);
        let resume = match start {
            // A position of the master: on its standby the time is what it has in common.
            Start::At { .. } if is_standby && !is_read_here && config.last.is_some() => {
                return by_time(url, connection, progress, (config, server_id)).await;
            }
            // Whatever becomes of the place: it means something in one binlog only.
            Start::At { .. } => {
                let place = find::position(url, connection, start, server_id).await?;
                same::check_place(url, connection, memory, server_id).await?;
                find::followed(url, connection, place, (server_id, config.by)).await?
            }
            Start::Now | Start::Earliest | Start::Gtid(_) | Start::Time { .. } => {
                find::find(url, connection, start, (server_id, config.by)).await?
            }
        };
        if let From::Gtid(set) = &resume {
            gtid::check_mode(connection).await?;
            gtid::check(connection, set).await?;
        }
        if let Start::Gtid(_) = start {
            same::check(url, connection, memory, (&resume, server), server_id).await?;
        }
        Ok(resume)
    }

    /// The place in an archive, if it can be one: a file and offset do not become a set there.
    fn archived(&self) -> Option<From> {
        match (archived::place_of(self.start)?, self.config.by) {
            (From::Position { .. }, FollowBy::Gtid) => None,
            (from, _) => Some(from),
        }
    }
}

impl Progress {
    /// A new boundary was told.
    const fn told(&mut self) {
        self.boundary_s = self.told_s;
        self.told_s = self.seen_s;
    }

    /// A file of the same name that was begun at another time is not the one that was read.
    fn file_begins(&mut self, event: &RawEvent<'_>, servers: &Servers) -> Result<(), SourceError> {
        let begun_s = event.header.timestamp_s;
        match &self.file {
            Some((file, before_s)) if *file == event.file && *before_s != begun_s => {
                Err(SourceError::Behind {
                    address: servers.current().address(),
                    missing: format!("{file} as it was read, begun at {before_s}"),
                    has: format!("a file of that name that was begun at {begun_s}: RESET?"),
                })
            }
            Some((file, _)) if *file == event.file => Ok(()),
            _ => {
                self.file = Some((Arc::clone(&event.file), begun_s));
                self.xid = None;
                Ok(())
            }
        }
    }
}

/// The place on another server, by the time of what was read last, less an interval.
async fn by_time(
    url: &SourceUrl,
    connection: &mut Connection,
    progress: &Progress,
    (config, server_id): (&SourceConfig, u32),
) -> Result<From, SourceError> {
    let unix_s = progress.boundary_s.saturating_sub(config.fallback.as_secs());
    if progress.boundary_s == 0 {
        return Err(connection.setup(
            "another server answers, and nothing was read yet whose time could be searched for: \
             start anew with --from",
        ));
    }
    warn!(source = %url, unix_s, "going on by time; what is younger comes a second time");
    find::find(url, connection, &Start::Time { unix_s }, (server_id, FollowBy::Position)).await
}

/// For statements that not every server knows.
fn ignore_server_error<T>(result: Result<T, SourceError>) -> Result<(), SourceError> {
    match result {
        Ok(_) | Err(SourceError::Server { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
