//! Reading archived files one behind the other: which host's, from which one, and until which.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio::task::{JoinSet, yield_now};
use towpath_binlog::event::{GtidEvent, MariadbGtidEvent, parse_gtid_list};
use towpath_binlog::{
    EventHeader, FileName, MariadbGtidSet, MysqlGtidSet, ParseError, RawEvent, StreamError,
    event_type as t,
};
use tracing::info;

use super::folder::Download;
use super::list::ArchivedFile;
use super::{Archive, Reach, http};
use crate::LastEvent;
use crate::error::{Recovery, SourceError};
use crate::files::OpenFile;

/// `LOG_EVENT_BINLOG_IN_USE_F`: a server was still writing the file.
const IN_USE: u16 = 1;

/// A set behind which reading goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behind {
    Mysql(MysqlGtidSet),
    Mariadb(MariadbGtidSet),
}

/// What is looked for in the archive.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Address of the server, for messages.
    pub(crate) address: &'a str,
    /// Binlog file; with a set, the one in which the last event was.
    pub(crate) file: &'a str,
    /// Offset in it.
    pub(crate) offset: u64,
    /// Only transactions that are not in this set.
    pub(crate) behind: Option<Behind>,
    /// The event that was read last.
    pub(crate) last: Option<&'a LastEvent>,
    /// Time of the newest event that was read; 0: not known.
    pub(crate) time_s: u64,
    /// Id of the server, which its own files have.
    pub(crate) server_id: u32,
    /// The files that the server still has.
    pub(crate) kept: &'a [String],
    /// Longest event in bytes.
    pub(crate) event_len_max: usize,
}

/// Why `fill` returned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It did not: there are events.
    Not,
    /// What was known of the archive is read; the server may have this file.
    Before(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reading {
    archive: Archive,
    host: String,
    /// Id of the server that wrote the files.
    server_id: u32,
    behind: Option<Behind>,
    skipping: Skipping,
    /// Not begun yet, oldest first.
    queue: VecDeque<ArchivedFile>,
    /// At most one.
    download: JoinSet<Result<Download, SourceError>>,
    ready: VecDeque<Download>,
    open: Option<Open>,
    /// The file behind the one that was read last.
    next: Option<String>,
    /// Time of the newest event; 0: not known.
    time_s: u64,
    event_len_max: usize,
}

#[derive(Debug)]
struct Open {
    events: OpenFile,
    /// It is there as long as anybody reads it, also ahead.
    download: Arc<Download>,
    head: Head,
    last_type: u8,
}

/// Whether events are left out until the next transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    Yes,
    No,
}

/// The first event of a file.
#[derive(Debug, Clone, Copy)]
struct Head {
    server_id: u32,
    flags: u16,
}

impl Reading {
    /// Finds the host and the file, and brings it here.
    ///
    /// # Errors
    /// [`SourceError::Gap`] when the archive does not have it, [`SourceError::Archive`] when it cannot
    /// be had, or no host's file is the one that was read.
    pub(crate) async fn open(archive: Archive, wanted: &Wanted<'_>) -> Result<Self, SourceError> {
        let is_named = |file: &&ArchivedFile| file.name == wanted.file;
        let mut files = archive.list(wanted.time_s, Reach::Near).await?;
        if !files.iter().any(|file| is_named(&file)) {
            files = archive.list(wanted.time_s, Reach::Far).await?;
        }
        let mut reasons = Vec::new();
        for candidate in files.iter().filter(is_named) {
            match Self::fitting(&archive, candidate, wanted).await? {
                Ok(found) => return Self::begin(archive, found, files, wanted),
                Err(reason) => reasons.push(reason),
            }
        }
        if wanted.behind.is_some() {
            // A set may lie in any host's files.
            for of_host in files.chunk_by(|a, b| a.host == b.host) {
                match Self::newest_fitting(&archive, of_host, wanted).await? {
                    Ok(found) => return Self::begin(archive, found, files, wanted),
                    Err(reason) => reasons.extend(reason),
                }
            }
        }
        if reasons.is_empty() {
            return Err(gap(wanted.address, wanted.file, wanted.kept, &files));
        }
        Err(SourceError::Archive {
            place: http::shown(&archive.config.endpoint),
            doing: "look for the binlog that was read",
            reason: reasons.join("; "),
            recovery: Recovery::Stop,
        })
    }

    /// Brings a file here if it is one to begin with; else why it is not.
    async fn fitting(
        archive: &Archive,
        candidate: &ArchivedFile,
        wanted: &Wanted<'_>,
    ) -> Result<Result<(Download, Head), String>, SourceError> {
        let download = archive.download(candidate).await?;
        let head = Head::read(download.path())?;
        let Some(reason) = refusal(&download, head, wanted).await? else {
            return Ok(Ok((download, head)));
        };
        info!(host = candidate.host, file = candidate.name, reason, "not the file to begin with");
        Ok(Err(format!("host {}, {}: {reason}", candidate.host, candidate.name)))
    }

    /// The newest file of a host that takes for granted only what is in the set. What files take for
    /// granted grows, so half of them are left out with each that is looked into.
    async fn newest_fitting(
        archive: &Archive,
        files: &[ArchivedFile],
        wanted: &Wanted<'_>,
    ) -> Result<Result<(Download, Head), Option<String>>, SourceError> {
        let (mut low, mut high) = (0, files.len());
        let mut best = Err(None);
        while low < high {
            let middle = usize::midpoint(low, high);
            let Some(file) = files.get(middle) else { break };
            match Self::fitting(archive, file, wanted).await? {
                Ok(found) => {
                    best = Ok(found);
                    low = middle + 1;
                }
                Err(reason) => {
                    if best.is_err() {
                        best = Err(Some(reason));
                    }
                    high = middle;
                }
            }
        }
        Ok(best)
    }

    fn begin(
        archive: Archive,
        (download, head): (Download, Head),
        files: Vec<ArchivedFile>,
        wanted: &Wanted<'_>,
    ) -> Result<Self, SourceError> {
        let from = if wanted.behind.is_some() { 4 } else { wanted.offset };
        let events = OpenFile::open(download.path(), download.name(), from)?;
        let (host, first) = (download.host().to_owned(), download.name().to_owned());
        info!(host, file = first, offset = from, "reading archived binlogs");
        let mut reading = Self {
            archive,
            host,
            server_id: head.server_id,
            behind: wanted.behind.clone(),
            skipping: Skipping::No,
            queue: VecDeque::new(),
            download: JoinSet::new(),
            ready: VecDeque::new(),
            open: Some(Open { events, download: Arc::new(download), head, last_type: 0 }),
            next: Some(first),
            time_s: wanted.time_s,
            event_len_max: wanted.event_len_max,
        };
        reading.enqueue(files, wanted.kept);
        Ok(reading)
    }

    /// Id of the server that wrote the files.
    pub(crate) const fn server_id(&self) -> u32 {
        self.server_id
    }

    /// The same again from the event that came last, to read ahead. The file that is open is not
    /// downloaded again.
    pub(crate) async fn again(&self, kept: &[String]) -> Result<Option<Self>, SourceError> {
        let Some(open) = &self.open else { return Ok(None) };
        let events = open.events.again()?;
        let files = self.archive.list(self.time_s, Reach::Near).await?;
        let mut reading = Self {
            archive: self.archive.clone(),
            host: self.host.clone(),
            server_id: self.server_id,
            behind: None,
            skipping: Skipping::No,
            queue: VecDeque::new(),
            download: JoinSet::new(),
            ready: VecDeque::new(),
            open: Some(Open { events, download: Arc::clone(&open.download), ..*open }),
            next: Some(open.download.name().to_owned()),
            time_s: self.time_s,
            event_len_max: self.event_len_max,
        };
        reading.enqueue(files, kept);
        Ok(Some(reading))
    }

    /// The file that is open from the event on that came last, to read it ahead.
    pub(crate) fn file_ahead(&self) -> Result<Option<OpenFile>, SourceError> {
        self.open.as_ref().map(|open| open.events.again()).transpose()
    }

    /// Where the event that was handed out last begins.
    pub(crate) fn place(&self) -> Option<(String, u64)> {
        let open = self.open.as_ref()?;
        Some((open.download.name().to_owned(), open.events.last_offset()))
    }

    /// Where the next event begins.
    pub(crate) fn position(&self) -> Option<(Arc<str>, u64)> {
        let open = self.open.as_ref()?;
        Some((Arc::clone(open.events.name()), open.events.offset()))
    }

    pub(crate) fn file(&self) -> Option<Arc<str>> {
        self.open.as_ref().map(|open| Arc::clone(open.events.name()))
    }

    /// Takes the files of this host behind the current one that the server does not have.
    fn enqueue(&mut self, files: Vec<ArchivedFile>, kept: &[String]) {
        let at = self.next.as_deref().and_then(FileName::parse).map_or(0, |next| next.number);
        let current = self.open.as_ref().map(|open| open.download.name().to_owned());
        let is_new = |file: &ArchivedFile| {
            file.host == self.host
                && file.number >= at
                && Some(&file.name) != current.as_ref()
                && !kept.contains(&file.name)
        };
        self.queue = files.into_iter().filter(is_new).collect();
    }

    /// Asks the archive again for the file that comes next; false when it does not have it.
    pub(crate) async fn look_again(&mut self, kept: &[String]) -> Result<bool, SourceError> {
        let files = self.archive.list(self.time_s, Reach::Near).await?;
        self.enqueue(files, kept);
        Ok(self.next.is_some() && self.upcoming() == self.next.as_deref())
    }

    /// What is missing when neither has the next file.
    pub(crate) async fn gap(&self, address: &str, kept: &[String]) -> SourceError {
        let files = self.archive.list(self.time_s, Reach::Far).await.unwrap_or_default();
        gap(address, self.next.as_deref().unwrap_or_default(), kept, &files)
    }

    /// The file that is to be read next of those that are known.
    fn upcoming(&self) -> Option<&str> {
        let ready = self.ready.front().map(Download::name);
        ready.or_else(|| self.queue.front().map(|file| file.name.as_str()))
    }

    /// Keeps the download going while there is room in the folder.
    fn top_up(&mut self) -> Result<(), SourceError> {
        while let Some(done) = self.download.try_join_next() {
            self.arrived(done)?;
        }
        let room = self.archive.config.ahead_count.max(1);
        if self.download.is_empty()
            && self.ready.len() < room
            && let Some(file) = self.queue.front().cloned()
        {
            let archive = self.archive.clone();
            // It stays in the queue until it is here.
            self.download.spawn(async move { archive.download(&file).await });
        }
        Ok(())
    }

    fn arrived(
        &mut self,
        done: Result<Result<Download, SourceError>, tokio::task::JoinError>,
    ) -> Result<(), SourceError> {
        let failed = |reason: String| SourceError::Archive {
            place: http::shown(&self.archive.config.endpoint),
            doing: "download a binlog",
            reason,
            recovery: Recovery::Retry,
        };
        let download = done.map_err(|error| failed(error.to_string()))??;
        if self.queue.front().is_some_and(|file| file.name == download.name()) {
            self.queue.pop_front();
            self.ready.push_back(download);
        }
        Ok(())
    }

    /// Waits until there is more to read. Cancelling it loses nothing.
    pub(crate) async fn fill(&mut self) -> Result<Ended, SourceError> {
        loop {
            self.top_up()?;
            if let Some(open) = &mut self.open {
                // A file is never waited for: other tasks want to run as well.
                yield_now().await;
                if open.events.fill()? {
                    return Ok(Ended::Not);
                }
                self.next = Some(open.successor()?);
                self.open = None;
                continue;
            }
            let next = self.next.clone().unwrap_or_default();
            if self.upcoming() != Some(next.as_str()) {
                // There is a hole in what is known, or its end.
                self.queue.clear();
                self.ready.clear();
                self.download.shutdown().await;
                return Ok(Ended::Before(next));
            }
            match self.ready.pop_front() {
                Some(download) => self.open_next(download)?,
                None => {
                    if let Some(done) = self.download.join_next().await {
                        self.arrived(done)?;
                    }
                }
            }
        }
    }

    fn open_next(&mut self, download: Download) -> Result<(), SourceError> {
        let head = Head::read(download.path())?;
        if head.server_id != self.server_id {
            return Err(SourceError::BadFile {
                path: download.path().to_owned(),
                offset: 4,
                reason: format!(
                    "{} of host {} was written by server id {}, the file before it by {}",
                    download.name(),
                    self.host,
                    head.server_id,
                    self.server_id
                ),
            });
        }
        let events = OpenFile::open(download.path(), download.name(), 4)?;
        info!(host = self.host, file = download.name(), "reading an archived binlog");
        self.open = Some(Open { events, download: Arc::new(download), head, last_type: 0 });
        Ok(())
    }

    /// The next event that is in the buffer.
    pub(crate) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        if self.behind.is_some() && !self.skip_known()? {
            return Ok(None);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        let Some(event) = open.events.next_event(self.event_len_max)? else { return Ok(None) };
        open.last_type = event.header.event_type;
        self.time_s = self.time_s.max(u64::from(event.header.timestamp_s));
        Ok(Some(event))
    }

    /// Reads over transactions that were read before; false when the buffer ends there.
    fn skip_known(&mut self) -> Result<bool, SourceError> {
        let (Some(behind), Some(open)) = (&self.behind, &mut self.open) else { return Ok(true) };
        while let Some(event) = open.events.next_event(self.event_len_max)? {
            let kind = event.header.event_type;
            self.skipping = behind.skips(&event, self.skipping)?;
            if self.skipping == Skipping::No || frames(kind) {
                open.events.unread();
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn unread(&mut self) {
        if let Some(open) = &mut self.open {
            open.events.unread();
        }
    }
}

impl Open {
    /// The file behind this one, of which all is read.
    fn successor(&self) -> Result<String, SourceError> {
        let name = self.download.name();
        if **self.events.name() != *name {
            return Ok(self.events.name().as_ref().to_owned());
        }
        // A server that ended, or was killed, leaves no rotation. One that was copied while it was
        // being written has none either, and is not whole.
        if self.last_type != t::STOP && self.head.flags & IN_USE != 0 {
            return Err(SourceError::BadFile {
                path: self.download.path().to_owned(),
                offset: self.events.last_offset(),
                reason: format!("{name} was archived while it was being written: it is not whole"),
            });
        }
        FileName::following(name).ok_or_else(|| SourceError::BadFile {
            path: self.download.path().to_owned(),
            offset: self.events.last_offset(),
            reason: format!("{name} has no number, by which the next file could be found"),
        })
    }
}

impl Head {
    fn read(path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File { path: path.to_owned(), source };
        let mut bytes = [0; 4 + EventHeader::LEN];
        let mut file = std::fs::File::open(path).map_err(failed)?;
        file.read_exact(&mut bytes).map_err(failed)?;
        let header = bytes.get(4..).map(EventHeader::parse).transpose();
        match header {
            Ok(Some(header)) => Ok(Self { server_id: header.server_id, flags: header.flags }),
            Ok(None) | Err(_) => Err(SourceError::BadFile {
                path: path.to_owned(),
                offset: 4,
                reason: "no event begins here".to_owned(),
            }),
        }
    }
}

/// What is not part of any transaction.
const fn frames(kind: u8) -> bool {
    matches!(
        kind,
        t::FORMAT_DESCRIPTION | t::ROTATE | t::STOP | t::PREVIOUS_GTIDS | t::MARIADB_GTID_LIST
    )
}

fn malformed(event: &RawEvent<'_>) -> impl Fn(ParseError) -> SourceError {
    let (file, offset) = (event.file.to_string(), event.start);
    let event_type = event.header.event_type;
    move |error| {
        let (file, source) = (file.clone(), error.into());
        SourceError::Stream(StreamError { file, offset, event_type, source })
    }
}

impl Behind {
    /// Whether the transaction that an event begins was read already.
    fn skips(&self, event: &RawEvent<'_>, before: Skipping) -> Result<Skipping, SourceError> {
        let bad = malformed(event);
        let is_known = match (self, event.header.event_type) {
            (Self::Mysql(set), t::GTID) => holds(set, &GtidEvent::parse(event.body).map_err(&bad)?),
            (Self::Mysql(set), t::GTID_TAGGED) => {
                holds(set, &GtidEvent::parse_tagged(event.body).map_err(&bad)?)
            }
            (Self::Mysql(_), t::ANONYMOUS_GTID) => false,
            (Self::Mariadb(set), t::MARIADB_GTID) => {
                let gtid = MariadbGtidEvent::parse(event.body).map_err(&bad)?;
                let reached = set.iter().find(|(domain, ..)| *domain == gtid.domain);
                reached.is_some_and(|(.., sequence)| gtid.sequence <= sequence)
            }
            _ => return Ok(before),
        };
        Ok(if is_known { Skipping::Yes } else { Skipping::No })
    }

    /// What was executed before a file, if an event says it, and is not in the set.
    fn lacks(&self, event: &RawEvent<'_>) -> Result<Option<String>, SourceError> {
        let bad = malformed(event);
        match (self, event.header.event_type) {
            (Self::Mysql(set), t::PREVIOUS_GTIDS) => {
                let before = MysqlGtidSet::decode(event.body).map_err(bad)?;
                Ok(Some(before.subtract(set).to_string()))
            }
            (Self::Mariadb(set), t::MARIADB_GTID_LIST) => {
                let before = parse_gtid_list(event.body).map_err(bad)?;
                let reached = |wanted: u32| {
                    let found = set.iter().find(|(domain, ..)| *domain == wanted);
                    found.map_or(0, |(.., sequence)| sequence)
                };
                let mut lacking = MariadbGtidSet::default();
                for (domain, server, sequence) in before.iter() {
                    if sequence > reached(domain) {
                        lacking.update(domain, server, sequence);
                    }
                }
                Ok(Some(lacking.to_string()))
            }
            _ => Ok(None),
        }
    }
}

fn holds(set: &MysqlGtidSet, gtid: &GtidEvent) -> bool {
    let mut one = MysqlGtidSet::default();
    one.add(gtid.uuid, &gtid.tag, gtid.number);
    set.contains(&one)
}

/// Why a file is not the one to begin with.
async fn refusal(
    download: &Download,
    head: Head,
    wanted: &Wanted<'_>,
) -> Result<Option<String>, SourceError> {
    if let Some(behind) = &wanted.behind {
        return lacking(download, behind, wanted.event_len_max);
    }
    match wanted.last.filter(|last| last.file == wanted.file) {
        Some(last) => stands_there(download, last, wanted.event_len_max).await,
        None if head.server_id == wanted.server_id => Ok(None),
        None => Ok(Some(format!(
            "written by server id {}, the source is {}",
            head.server_id, wanted.server_id
        ))),
    }
}

/// Whether the event that was read last stands in a file.
async fn stands_there(
    download: &Download,
    last: &LastEvent,
    event_len_max: usize,
) -> Result<Option<String>, SourceError> {
    let none = |reason: String| {
        Ok(Some(format!("no event at offset {}, where one was read ({reason})", last.offset)))
    };
    let mut events = OpenFile::open(download.path(), download.name(), last.offset)?;
    loop {
        match events.next_event(event_len_max) {
            Ok(Some(event)) => {
                let header = event.header;
                let is_same = u64::from(header.timestamp_s) == last.time_s
                    && header.server_id == last.server_id;
                // The events inside of a payload have times of their own.
                if is_same || header.event_type == t::TRANSACTION_PAYLOAD {
                    return Ok(None);
                }
                return Ok(Some(format!(
                    "another event at offset {} (time {}, server id {}) than the one read (time {}, \
                     server id {})",
                    last.offset, header.timestamp_s, header.server_id, last.time_s, last.server_id
                )));
            }
            Ok(None) => match events.fill() {
                Ok(true) => yield_now().await,
                Ok(false) => return none("the file ends before it".to_owned()),
                Err(error) => return none(error.to_string()),
            },
            Err(error) => return none(error.to_string()),
        }
    }
}

/// What a file takes for granted and is not in the set.
fn lacking(
    download: &Download,
    behind: &Behind,
    event_len_max: usize,
) -> Result<Option<String>, SourceError> {
    let mut events = OpenFile::open(download.path(), download.name(), 4)?;
    loop {
        while let Some(event) = events.next_event(event_len_max)? {
            if let Some(lacks) = behind.lacks(&event)? {
                let reason = format!("transactions before it are not in the set: {lacks}");
                return Ok((!lacks.is_empty()).then_some(reason));
            }
            if matches!(event.header.event_type, t::GTID | t::ANONYMOUS_GTID | t::MARIADB_GTID) {
                return Ok(Some("it does not say what was executed before it".to_owned()));
            }
        }
        if !events.fill()? {
            return Ok(Some("it does not say what was executed before it".to_owned()));
        }
    }
}

/// Neither of the two has a file.
fn gap(address: &str, file: &str, kept: &[String], files: &[ArchivedFile]) -> SourceError {
    let kept = match (kept.first(), kept.last()) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "nothing".to_owned(),
    };
    let mut archived = Vec::new();
    for of_host in files.chunk_by(|a, b| a.host == b.host) {
        for run in of_host.chunk_by(|a, b| a.number + 1 == b.number) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                archived.push(format!("{} to {} of host {}", first.name, last.name, first.host));
            }
        }
    }
    let archived = if archived.is_empty() { "nothing".to_owned() } else { archived.join(", ") };
    let (address, file) = (address.to_owned(), file.to_owned());
    SourceError::Gap { address, file, kept, archived }
}
