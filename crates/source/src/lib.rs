//! Where binlog events come from: a MySQL or MariaDB server, or its binlog files.
//!
//! Knows nothing of clients or of what becomes of the events. A source is a value: it owns its
//! sockets, and dropping it closes them.

mod archive;
mod connection;
mod contact;
mod error;
mod fate;
mod files;
mod inspect;
mod mysql;
mod start;
mod url;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::yield_now;
use towpath_binlog::RawEvent;
use towpath_binlog::transaction::{FateScan, TransactionFate};
use towpath_schema::{NameCase, PackedTable, StructureAnswer};

pub use archive::{AccessKey, ArchiveConfig};
pub use contact::{Contact, Loss, lost};
pub use error::{Lost, Recovery, SourceError};
pub use files::FileSource;
pub use inspect::Inspector;
pub use mysql::{EndProbe, MysqlSource, throw_away};
pub use start::Start;
pub use url::{SourceUrl, TlsMode};

/// Settings of a source.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Name of the destination, part of a generated server id.
    pub destination: String,
    /// Id by which this reader registers; generated when absent. Unique among all replicas.
    pub server_id: Option<u32>,
    /// UUID by which the server tells its replicas apart: a stale dump of the same UUID is ended.
    pub uuid: String,
    /// How often the server sends a heartbeat when it has nothing else. The end of another dump makes
    /// it count anew: several should fit into `read_timeout`.
    pub heartbeat: Duration,
    /// Silence after which the connection is taken as dead, unless the server says otherwise; longer
    /// than `heartbeat`.
    pub read_timeout: Duration,
    /// Longest event in bytes.
    pub event_len_max: usize,
    /// What a place in the binlog is remembered by.
    pub by: FollowBy,
    /// A server that takes over when the first one does not answer.
    pub standby: Option<SourceUrl>,
    /// How it is found out that a server is gone, beside the dump itself.
    pub detect: Option<Detect>,
    /// How far before the last event reading begins on another server, where time is all that the
    /// two have in common.
    pub fallback: Duration,
    /// What was read last, when reading begins behind it.
    pub last: Option<LastEvent>,
    /// The file that was read last, when reading goes on behind what was read.
    pub file: Option<ReadFile>,
    /// Where the binlog files are that the server has purged.
    pub archive: Option<ArchiveConfig>,
    /// What to do when the source has purged the place where reading goes on.
    pub when_purged: WhenPurged,
    /// Ask the source to let commits wait until their transactions have arrived, see
    /// [`Source::acknowledge`].
    pub semi_sync: bool,
}

/// What to do when the source has purged the place where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenPurged {
    /// That is an error.
    #[default]
    Stop,
    /// Go on with the oldest transaction that is left.
    Oldest,
    /// Go on with what is written from now on.
    Newest,
}

/// Transactions that were jumped over, see [`WhenPurged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where reading should have gone on.
    pub wanted: String,
    /// What the source had left.
    pub kept: String,
    /// Where it goes on instead.
    pub resumed: String,
}

/// An event that was read before. It tells whether a binlog is still the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEvent {
    /// Binlog file.
    pub file: String,
    /// Offset at which it starts.
    pub offset: u64,
    /// Its time, in seconds since 1970.
    pub time_s: u64,
    /// Id of the server on which it was made.
    pub server_id: u32,
    /// The number of the transaction that it ends, if that is known.
    pub xid: Option<i64>,
}

/// A file that was read before, and of which server: both tell whether a binlog is still the one that
/// was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// The server, as [`Source::identity`] names it.
    pub server: String,
    /// Name of the file.
    pub file: String,
    /// When the file was begun, seconds since 1970; 0: not known.
    pub begun_s: u32,
    /// Where in it reading goes on.
    pub offset: u64,
}

/// The last place between two transactions that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed<'a> {
    /// Binlog file.
    pub file: &'a str,
    /// Where reading goes on.
    pub offset: u64,
    /// The executed GTID set, in GTID mode.
    pub gtid: Option<&'a str>,
    /// Where the event before the place starts.
    pub start: u64,
    /// Time of that event, in seconds since 1970; 0 when there is none in the file.
    pub timestamp_s: u32,
    /// Id of the server on which it was made.
    pub server_id: u32,
}

/// What a place in the binlog is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FollowBy {
    /// File and offset, which mean something on one server only.
    #[default]
    Position,
    /// The set of executed GTIDs, which means the same on all replicas.
    Gtid,
}

/// A statement that shows whether a server lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detect {
    /// The statement.
    pub sql: String,
    /// Pause between two of them.
    pub interval: Duration,
    /// Failures in a row that are borne; the next one counts.
    pub retries: u32,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            destination: "example".to_owned(),
            server_id: None,
            uuid: random_uuid(),
            heartbeat: Duration::from_secs(5),
            read_timeout: Duration::from_secs(25),
            event_len_max: 1 << 30,
            by: FollowBy::Position,
            standby: None,
            detect: None,
            fallback: Duration::from_secs(60),
            last: None,
            file: None,
            archive: None,
            when_purged: WhenPurged::Stop,
            semi_sync: false,
        }
    }
}

fn random_uuid() -> String {
    let mut bytes = [0; 16];
    // Without randomness all readers share one UUID, and the server says so at the second one.
    let _filled: bool = getrandom::fill(&mut bytes).is_ok();
    towpath_binlog::Uuid(bytes).to_string()
}

/// What [`Source::fill`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// More events may be in the buffer.
    Events,
    /// The connection was lost and is up again: the stream goes on at [`Source::resume_from`].
    Reconnected,
    /// What comes does not go on where the stream was: nothing that is known of its tables holds any more.
    Anew,
    /// There is nothing more, and never will be.
    End,
}

/// A stream of binlog events.
#[derive(Debug)]
pub enum Source {
    /// From a server.
    Mysql(Box<MysqlSource>),
    /// From files.
    Files(Box<FileSource>),
}

impl Source {
    /// Opens a `mysql://` URL, or a binlog file or folder.
    ///
    /// # Errors
    /// [`SourceError`]
    pub async fn open(
        place: &str,
        config: SourceConfig,
        start: &Start,
    ) -> Result<Self, SourceError> {
        if SourceUrl::is_meant(place) {
            let url = SourceUrl::parse(place)?;
            return Ok(Self::Mysql(Box::new(MysqlSource::open(url, config, start).await?)));
        }
        let files = FileSource::open(Path::new(place), start, config.event_len_max)?;
        Ok(Self::Files(Box::new(files)))
    }

    /// Looks whether a place can be read, without reading it: whether a server answers, lets the user in and
    /// has the settings that reading needs; whether files are there.
    ///
    /// # Errors
    /// [`SourceError`]
    pub async fn check(place: &str, config: &SourceConfig) -> Result<(), SourceError> {
        if SourceUrl::is_meant(place) {
            return MysqlSource::check(SourceUrl::parse(place)?, config).await;
        }
        FileSource::open(Path::new(place), &Start::Earliest, config.event_len_max).map(drop)
    }

    /// Opens binlog files that are read one behind the other.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn open_files(files: &[PathBuf], config: &SourceConfig) -> Result<Self, SourceError> {
        let files = FileSource::open_all(files, config.event_len_max)?;
        Ok(Self::Files(Box::new(files)))
    }

    /// Waits until there is more to read. Connects again by itself, with growing pauses, as long as
    /// that can help. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`SourceError`] of the kind [`Recovery::Stop`].
    pub async fn fill(&mut self) -> Result<Filled, SourceError> {
        match self {
            Self::Mysql(source) => source.fill().await,
            Self::Files(source) => {
                // They are never waited for: other tasks want to run as well.
                yield_now().await;
                source.fill()
            }
        }
    }

    /// Reads what is there already, without waiting; true when there are more events then. All else that
    /// ends or fails is told by [`Self::fill`].
    pub async fn try_fill(&mut self) -> bool {
        match self {
            Self::Mysql(source) => source.try_fill().await,
            Self::Files(source) => source.try_fill(),
        }
    }

    /// The next event that is in the buffer, borrowed from it; `None`: call [`Self::fill`].
    ///
    /// # Errors
    /// [`SourceError`]
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        match self {
            Self::Mysql(source) => source.next_event(),
            Self::Files(source) => source.next_event(),
        }
    }

    /// Makes the event that came last come again.
    pub fn unread(&mut self) {
        match self {
            Self::Mysql(source) => source.unread(),
            Self::Files(source) => source.unread(),
        }
    }

    /// The structures that a table may have had at the event that came last: the present one, with all
    /// later statements undone. Nothing is known of the tables of files. `None`: the server does not answer,
    /// and its connection is dropped as by [`Self::reopen`].
    ///
    /// # Errors
    /// [`SourceError`] of the kind [`Recovery::Stop`].
    pub async fn table(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<Option<StructureAnswer>, SourceError> {
        match self {
            Self::Mysql(source) => source.table(schema, table).await,
            Self::Files(_) => Ok(Some(StructureAnswer::default())),
        }
    }

    /// What becomes of the transaction in which the event lies that came last: reads ahead from there. `None`
    /// as for [`Self::table`].
    ///
    /// # Errors
    /// [`SourceError`] of the kind [`Recovery::Stop`].
    pub async fn fate(&mut self, scan: FateScan) -> Result<Option<TransactionFate>, SourceError> {
        match self {
            Self::Mysql(source) => source.fate(scan).await,
            Self::Files(source) => source.fate(scan).await.map(Some),
        }
    }

    /// All tables whose structure at the event that came last is the present one. `None` as for
    /// [`Self::table`].
    ///
    /// # Errors
    /// [`SourceError`] of the kind [`Recovery::Stop`].
    pub async fn tables(&mut self) -> Result<Option<Vec<PackedTable>>, SourceError> {
        match self {
            Self::Mysql(source) => source.tables().await,
            Self::Files(_) => Ok(Some(Vec::new())),
        }
    }

    /// Where it is to tell whether the server that is followed can be read.
    pub fn tell(&mut self, contact: watch::Sender<Contact>) {
        match self {
            Self::Mysql(source) => source.tell(contact),
            Self::Files(_) => {}
        }
    }

    /// The file that is being read.
    #[must_use]
    pub fn file(&self) -> Option<Arc<str>> {
        match self {
            Self::Mysql(source) => source.file(),
            Self::Files(source) => source.file(),
        }
    }

    /// What events come from now: `server`, `archive`, `files`, or `none` while nothing is connected.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mysql(source) => source.kind(),
            Self::Files(_) => "files",
        }
    }

    /// Host and port of the server that is followed.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        match self {
            Self::Mysql(source) => Some(source.address()),
            Self::Files(_) => None,
        }
    }

    /// What the server is that is followed, with its version, as `MySQL 8.0.36`.
    #[must_use]
    pub fn product(&self) -> Option<String> {
        match self {
            Self::Mysql(source) => Some(source.product()),
            Self::Files(_) => None,
        }
    }

    /// The place at which reading begins, as [`Start`] is written, before anything was read.
    #[must_use]
    pub fn begin(&self) -> String {
        match self {
            Self::Mysql(source) => source.resume(),
            Self::Files(source) => source.begin(),
        }
    }

    /// Which server this is: positions of different ones have nothing in common.
    #[must_use]
    pub fn identity(&self) -> &str {
        match self {
            Self::Mysql(source) => source.identity(),
            Self::Files(_) => "files",
        }
    }

    /// How the source compares the names of tables.
    #[must_use]
    pub fn name_case(&self) -> NameCase {
        match self {
            Self::Mysql(source) => source.name_case(),
            Self::Files(_) => NameCase::Unknown,
        }
    }

    /// How the server compares names. All files are read for it, as far as they can be.
    pub async fn find_name_case(&self) -> NameCase {
        match self {
            Self::Mysql(source) => source.name_case(),
            Self::Files(source) => source.find_name_case().await,
        }
    }

    /// Whether the source is a MariaDB, whose GTID sets are of another kind.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        match self {
            Self::Mysql(source) => source.is_mariadb(),
            Self::Files(_) => false,
        }
    }

    /// The GTID set behind which reading began, when it did so by GTID.
    #[must_use]
    pub fn gtid_set(&self) -> Option<&str> {
        match self {
            Self::Mysql(source) => source.gtid_set(),
            Self::Files(_) => None,
        }
    }

    /// Asks the server that is followed where its binlog ends.
    #[must_use]
    pub fn end_probe(&self) -> Option<EndProbe> {
        match self {
            Self::Mysql(source) => Some(source.end_probe()),
            Self::Files(_) => None,
        }
    }

    /// File and offset up to which it was read, or up to which a heartbeat says that there is nothing.
    #[must_use]
    pub fn position(&self) -> Option<(Arc<str>, u64)> {
        match self {
            Self::Mysql(source) => source.position(),
            Self::Files(_) => None,
        }
    }

    /// Goes back to the begin of the transaction in which the event that came last lies; [`Self::fill`]
    /// says when the stream begins there. False when that cannot be done.
    ///
    /// # Errors
    /// [`SourceError`]
    pub async fn rewind(&mut self) -> Result<bool, SourceError> {
        match self {
            Self::Mysql(source) => Ok(source.rewind()),
            Self::Files(source) => source.rewind().await,
        }
    }

    /// All events of whole transactions that were handed out have arrived where they belong. A
    /// semi-synchronous source is told, which may wait for it.
    pub async fn acknowledge(&mut self) {
        match self {
            Self::Mysql(source) => source.acknowledge().await,
            Self::Files(_) => {}
        }
    }

    /// Drops the connection; [`Self::fill`] makes another one and says so.
    pub fn reopen(&mut self) {
        match self {
            Self::Mysql(source) => source.reopen(),
            Self::Files(_) => {}
        }
    }

    /// What was jumped over at the start, or when the connection was lost, since the last call.
    pub fn take_gap(&mut self) -> Option<Gap> {
        match self {
            Self::Mysql(source) => source.take_gap(),
            Self::Files(_) => None,
        }
    }

    /// Where the stream goes on after a lost connection: the last place between two transactions.
    pub fn resume_from(&mut self, passed: &Passed<'_>) {
        match self {
            Self::Mysql(source) => source.resume_from(passed),
            Self::Files(_) => {}
        }
    }

    /// Says goodbye to the server, with a deadline.
    pub async fn close(self) {
        match self {
            Self::Mysql(source) => source.close().await,
            Self::Files(_) => {}
        }
    }
}
