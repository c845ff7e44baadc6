//! One destination's way from its source into its store: a task that owns the source.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use towpath_binlog::{RawEvent, event_type};
use towpath_coordination::{Cursor, RecordLog, Resume};
use towpath_entry::{
    Block, Boundary, DecodeError, Decoder, DecoderOptions, EntryKind, GtidSet, Step, Suppress,
    TableFilter,
};
use towpath_schema::{Catalog, HistoryPosition, PackedTable, StructureAnswer};
use towpath_source::{Filled, Gap, LastEvent, Recovery, Source, SourceConfig, SourceError, Start};

use crate::destination::{Destination, InstanceState, Stage};
use crate::entry_len;
use crate::error::InstanceError;
use crate::figures::now_ms;
use crate::history::{Beginning, History, now_s};
use crate::stall::StallWatch;

/// Bytes of entries that are handed on without waiting for the end of what has arrived.
const PUBLISH_BYTES: usize = 512 << 10;

/// Time between two moves of cursors to places of which clients are not told.
const PASS_INTERVAL: Duration = Duration::from_secs(1);

/// Pause between two attempts to reach a source that cannot be reached now.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Where the entries of a destination come from.
#[derive(Debug)]
pub enum Feed {
    /// A source of binlog events.
    Source(Box<SourceFeed>),
    /// Entries made elsewhere. They begin behind [`crate::Server::cursor`], if there is one; the end
    /// of the channel is the end of the stream.
    Blocks(mpsc::Receiver<Block>),
}

/// A source of binlog events, and how they are decoded.
#[derive(Debug, Clone)]
pub struct SourceFeed {
    /// `mysql://` URL, or a binlog file or folder.
    pub place: String,
    /// Settings of the source.
    pub config: SourceConfig,
    /// Where to begin when no client has a cursor.
    pub start: Start,
    /// Settings of the decoder. The filter is the destination's; the GTID set comes with the start.
    pub decoder: DecoderOptions,
    /// How long the source may go on without anything of it being read, while there is room for it:
    /// then it is connected to anew.
    pub stall_timeout: Duration,
}

/// Feeds the destination until the stream ends, fails, or the server stops, and tells it so.
pub(crate) async fn run(
    destination: Arc<Destination>,
    feed: Feed,
    history: Option<RecordLog>,
    stop: CancellationToken,
) -> Result<(), Arc<InstanceError>> {
    let result = match feed {
        Feed::Blocks(blocks) => {
            destination.set_state(InstanceState::Running);
            stop.run_until_cancelled(forward(&destination, blocks)).await.map(Ok)
        }
        Feed::Source(feed) => {
            Box::pin(follow(&destination, *feed, history, &stop)).await.transpose()
        }
    };
    match result {
        None => destination.set_state(InstanceState::Stopped),
        Some(Ok(())) => destination.set_state(InstanceState::Ended),
        Some(Err(error)) => {
            let error = Arc::new(error);
            destination.set_state(InstanceState::Failed(Arc::clone(&error)));
            return Err(error);
        }
    }
    Ok(())
}

async fn forward(destination: &Destination, mut blocks: mpsc::Receiver<Block>) {
    let mut begun = false;
    while let Some(block) = blocks.recv().await {
        if let Some(first) = block.entries.first().filter(|_| !begun)
            && let Some(context) = block.context(first)
        {
            let gtid = None;
            destination.set_origin(origin(&context.file, first.start_offset, gtid));
            begun = true;
        }
        destination.push(block).await;
    }
}

/// The cursor of a client that has acknowledged nothing yet.
fn origin(file: &Arc<str>, offset: u64, gtid: Option<Arc<str>>) -> Cursor {
    Cursor {
        file: Arc::clone(file),
        offset,
        gtid: gtid.clone().unwrap_or_default(),
        server_id: 0,
        timestamp_ms: 0,
        resume: Some(Resume { file: Arc::clone(file), offset, gtid }),
    }
}

/// `None` when the server stops first.
async fn follow(
    destination: &Destination,
    feed: SourceFeed,
    history: Option<RecordLog>,
    stop: &CancellationToken,
) -> Result<Option<()>, InstanceError> {
    let cursor = destination.oldest_cursor();
    // A cursor that Canal wrote tells nothing of what our history has seen.
    let was_read = cursor.as_ref().is_some_and(|cursor| cursor.resume.is_some());
    let start = cursor.as_ref().map_or_else(|| feed.start.clone(), start_behind);
    let filters = destination.filter_changes();
    let filter = destination.stored_filter()?;
    let mut opening = Opening { place: feed.place, config: feed.config, start };
    opening.config.destination = destination.name().to_owned();
    opening.config.last = cursor.as_ref().and_then(last_event);
    let opened = match cursor {
        Some(_) => stop.run_until_cancelled(opening.open_patiently(destination.name())).await,
        None => stop.run_until_cancelled(opening.open()).await,
    };
    let Some(mut source) = opened.transpose()? else { return Ok(None) };
    let gap = source.take_gap();
    if gap.is_some() {
        // It begins where the source says.
        opening.start = Start::Earliest;
    }
    // Whatever the start was: by GTID the source knows the set that it stands for.
    let gtid = source.gtid_set().map(|set| gtid_set(set, source.is_mariadb()));
    let gtid = gtid.transpose()?.or(feed.decoder.gtid);
    let executed = gtid.as_ref().map(|set| set.to_string().into());
    let skips_tables = feed.decoder.suppress.has(Suppress::TABLE_ERRORS);
    let decoder = Decoder::new(DecoderOptions { filter, gtid, ..feed.decoder });
    let mut pump = Pump {
        destination,
        source,
        decoder,
        filters,
        begin: Begin::Unknown(Asked { start: opening.start, executed, history, was_read }),
        last: None,
        history: None,
        file: None,
        identity: String::new(),
        doubt_count: 0,
        skips_tables,
        passed: Passed::nothing(),
        gap,
        read: None,
        rewind_count: 0,
        read_bytes: 0,
    };
    destination.set_state(InstanceState::Running);
    let reading = Box::pin(stop.run_until_cancelled(pump.supervised(feed.stall_timeout)));
    let result = reading.await;
    pump.source.close().await;
    result.transpose()
}

/// Where reading goes on after what a cursor acknowledges. Canal's own cursor names the last
/// acknowledged event itself, which then comes again.
fn start_behind(cursor: &Cursor) -> Start {
    let (file, offset, gtid) = match &cursor.resume {
        Some(resume) => (&resume.file, resume.offset, resume.gtid.clone()),
        None => (&cursor.file, cursor.offset, Some(Arc::clone(&cursor.gtid))),
    };
    match gtid.filter(|set| !set.is_empty()) {
        Some(set) => Start::Gtid(set.as_ref().to_owned()),
        None => Start::At { file: file.as_ref().to_owned(), offset },
    }
}

/// The cursor of a client that has acknowledged all up to a boundary.
fn cursor_at(boundary: &Boundary) -> Cursor {
    let Boundary { file, offset, gtid, start, timestamp_s, server_id } = boundary.clone();
    Cursor {
        file: Arc::clone(&file),
        offset: start,
        gtid: gtid.clone().unwrap_or_default(),
        server_id,
        timestamp_ms: i64::from(timestamp_s) * 1000,
        resume: Some(Resume { file, offset, gtid }),
    }
}

/// The event that a cursor acknowledges, unless it only says where reading began.
fn last_event(cursor: &Cursor) -> Option<LastEvent> {
    let time_s = u64::try_from(cursor.timestamp_ms / 1000).ok().filter(|s| *s > 0)?;
    let file = cursor.file.as_ref().to_owned();
    Some(LastEvent { file, offset: cursor.offset, time_s, server_id: cursor.server_id })
}

fn gtid_set(text: &str, is_mariadb: bool) -> Result<GtidSet, InstanceError> {
    let failed = |reason: String| InstanceError::GtidSet { set: text.to_owned(), reason };
    GtidSet::parse(text, is_mariadb).map_err(|error| failed(error.to_string()))
}

/// What it takes to open the source.
struct Opening {
    place: String,
    config: SourceConfig,
    start: Start,
}

impl Opening {
    async fn open(&self) -> Result<Source, InstanceError> {
        Ok(Source::open(&self.place, self.config.clone(), &self.start).await?)
    }

    /// A destination that has run before waits for its source: both may have been started together.
    async fn open_patiently(&self, destination: &str) -> Result<Source, InstanceError> {
        loop {
            match Source::open(&self.place, self.config.clone(), &self.start).await {
                Err(error) if error.recovery() == Recovery::Retry => {
                    tracing::warn!(destination, %error, "source cannot be reached, trying again");
                    sleep(RETRY_PAUSE).await;
                }
                result => return Ok(result?),
            }
        }
    }
}

/// The start that was asked for.
struct Asked {
    start: Start,
    /// Its GTID set.
    executed: Option<Arc<str>>,
    /// Where the history lies.
    history: Option<RecordLog>,
    /// See [`Beginning::was_read`].
    was_read: bool,
}

/// Whether it is known where reading began.
enum Begin {
    /// Not yet.
    Unknown(Asked),
    /// Reading goes on at another server, at an earlier place perhaps.
    Moved,
    Known,
}

/// Why decoding pauses.
enum Pause {
    /// Nothing is left in the buffer.
    Empty,
    /// There is enough to publish.
    Full,
    /// The stream goes on in another file.
    NextFile {
        /// The one before was read to its end.
        is_over: bool,
    },
    /// The file was begun at this time.
    FileBegins { begun_s: u32 },
    /// The structure of a table has to be looked up.
    NeedTable { schema: String, table: String },
}

/// The last entry that was handed on.
struct LastPublished {
    file: Arc<str>,
    offset: u64,
    kind: EntryKind,
}

struct Pump<'a> {
    destination: &'a Destination,
    source: Source,
    decoder: Decoder,
    filters: watch::Receiver<Option<TableFilter>>,
    begin: Begin,
    last: Option<LastPublished>,
    history: Option<History>,
    /// The file that is being read.
    file: Option<Arc<str>>,
    /// The server that is being read.
    identity: String,
    /// Statements in doubt up to now.
    doubt_count: u64,
    /// Rows of tables that cannot be known are left out.
    skips_tables: bool,
    passed: Passed,
    /// What was jumped over, until it is announced.
    gap: Option<Gap>,
    /// Up to where the source was read.
    read: Option<(Arc<str>, u64)>,
    /// How often the start was found to be inside a transaction.
    rewind_count: u32,
    /// Bytes of events read.
    read_bytes: u64,
}

/// The boundary at which cursors were put last, and when.
struct Passed {
    at: Option<(Arc<str>, u64)>,
    when: Instant,
}

impl Passed {
    fn nothing() -> Self {
        Self { at: None, when: Instant::now() }
    }

    fn at(boundary: &Boundary) -> Self {
        Self { at: Some((Arc::clone(&boundary.file), boundary.offset)), when: Instant::now() }
    }

    /// A new file counts at once, other places now and then.
    fn is_due(&self, boundary: &Boundary) -> bool {
        match &self.at {
            Some((file, _)) if *file != boundary.file => true,
            Some((_, offset)) if *offset == boundary.offset => false,
            _ => self.when.elapsed() >= PASS_INTERVAL,
        }
    }
}

/// Names the table whose event is too long: that of the last table map.
fn with_table(mut error: SourceError, decoder: &Decoder) -> SourceError {
    if let SourceError::EventTooLong { table, .. } = &mut error {
        *table = decoder.table_at_hand();
    }
    error
}

/// What ended a stretch of reading.
enum Ended {
    Stream,
    /// It is made anew.
    Connection,
    Stalled,
}

impl Pump<'_> {
    /// Reads until the stream ends. Dropping the future loses nothing: what was not acknowledged is
    /// read again.
    async fn supervised(&mut self, limit: Duration) -> Result<(), InstanceError> {
        let destination = self.destination;
        let mut told = None;
        loop {
            let ended = match self.source.end_probe() {
                None => self.run().await?,
                Some(probe) => tokio::select! {
                    biased;
                    ended = self.run() => ended?,
                    () = StallWatch { destination, probe, limit }.stalled(&mut told) => Ended::Stalled,
                },
            };
            match ended {
                Ended::Stream => return Ok(()),
                // Perhaps another server answers.
                Ended::Connection => {}
                Ended::Stalled => self.source.reopen(),
            }
        }
    }

    /// Reads until the stream or its connection ends. It may be dropped while it waits for the source,
    /// also for a structure.
    async fn run(&mut self) -> Result<Ended, InstanceError> {
        let health = self.destination.health();
        loop {
            self.decode_buffered().await?;
            self.publish().await?;
            self.moved();
            let is_archived = self.source.kind() == "archive";
            health.enter(if is_archived { Stage::Archive } else { Stage::Source });
            let filled = self.source.fill().await;
            health.enter(Stage::Decoding);
            match filled.map_err(|error| with_table(error, &self.decoder))? {
                Filled::Events => {}
                Filled::Reconnected => {
                    self.reconnected()?;
                    return Ok(Ended::Connection);
                }
                Filled::End => {
                    self.publish().await?;
                    return Ok(Ended::Stream);
                }
            }
            if self.filters.has_changed().unwrap_or(false)
                && let Some(filter) = self.filters.borrow_and_update().clone()
            {
                self.decoder.set_filter(filter);
            }
        }
    }

    /// A start inside a transaction, as cursors of a Canal server may name: its begin is searched, once.
    async fn rewind(&mut self, error: DecodeError) -> Result<(), InstanceError> {
        self.rewind_count += 1;
        if self.rewind_count > 1 || !self.source.rewind().await? {
            return Err(error.into());
        }
        Ok(())
    }

    /// Notes how far the source was read.
    fn moved(&mut self) {
        let position = self.source.position();
        if position.is_none() || position == self.read {
            return;
        }
        self.read.clone_from(&position);
        if let Some(position) = position
            && self.destination.health().moved(position)
        {
            let destination = self.destination.name();
            tracing::info!(destination, "reading goes on after it had stalled");
        }
    }

    async fn decode_buffered(&mut self) -> Result<(), InstanceError> {
        if !matches!(self.begin, Begin::Known) {
            self.destination.health().enter(Stage::Opening);
            self.begin().await?;
            self.destination.health().enter(Stage::Decoding);
        }
        loop {
            let paused = match self.decode_known() {
                Err(InstanceError::Decode(error)) if error.is_inside_a_transaction() => {
                    return self.rewind(error).await;
                }
                paused => paused?,
            };
            match paused {
                Pause::Empty => return Ok(()),
                Pause::Full => {}
                Pause::NextFile { is_over } => self.next_file(is_over).await?,
                Pause::FileBegins { begun_s } => self.file_begins(begun_s).await?,
                Pause::NeedTable { schema, table } => {
                    self.destination.health().enter(Stage::Structure);
                    self.learn(&schema, &table).await?;
                    self.destination.health().enter(Stage::Decoding);
                    self.source.unread();
                }
            }
            if self.decoder.pending_bytes() >= PUBLISH_BYTES {
                self.publish().await?;
            }
        }
    }

    /// Decodes what is in the buffer, up to something that has to be waited for. Apart from the
    /// waiting, so that the loop lives in registers.
    fn decode_known(&mut self) -> Result<Pause, InstanceError> {
        loop {
            // The event stays where it is: moving it costs more than most events do.
            let next = self.source.next_event();
            let Ok(Some(event)) = &next else {
                return next.map(|_| Pause::Empty).map_err(InstanceError::from);
            };
            let header = &event.header;
            self.read_bytes += u64::from(header.event_len);
            match self.decoder.event(event)? {
                Step::Done if header.event_type == event_type::ROTATE => {
                    return Ok(Pause::NextFile { is_over: !header.is_artificial() });
                }
                Step::Done
                    if header.event_type == event_type::FORMAT_DESCRIPTION
                        && header.timestamp_s > 0 =>
                {
                    return Ok(Pause::FileBegins { begun_s: header.timestamp_s });
                }
                Step::Done => {}
                Step::NeedTable { schema, table } => {
                    return Ok(Pause::NeedTable { schema, table });
                }
            }
            if self.decoder.pending_bytes() >= PUBLISH_BYTES {
                return Ok(Pause::Full);
            }
        }
    }

    /// Looks for the first event that tells where reading began, and finds out what the structures
    /// are there.
    async fn begin(&mut self) -> Result<(), InstanceError> {
        // Behind a gap the source says what the place stands for.
        let behind_gap = self.gap.as_ref().and_then(|_| self.source.gtid_set().map(str::to_owned));
        let (at, cursor, begun_s) = loop {
            let Some(event) = self.source.next_event()? else { return Ok(()) };
            if event.header.event_type == event_type::ROTATE {
                // It only announces the file.
                self.decoder.event(&event)?;
                continue;
            }
            let cursor = match &self.begin {
                Begin::Unknown(asked) => first_cursor(&asked.start, asked.executed.clone(), &event),
                Begin::Moved | Begin::Known => None,
            };
            let gtid = cursor.as_ref().map(|cursor| cursor.gtid.as_ref().to_owned());
            let gtid = gtid.or_else(|| behind_gap.clone());
            let at = HistoryPosition {
                file: event.file.as_ref().to_owned(),
                offset: event.start,
                gtid: gtid.unwrap_or_default(),
            };
            self.file = Some(Arc::clone(&event.file));
            // Nothing for the decoder, and not to be read twice.
            let is_used = event.header.event_type == event_type::FORMAT_DESCRIPTION;
            break (at, cursor, is_used.then_some(event.header.timestamp_s));
        };
        self.source.identity().clone_into(&mut self.identity);
        let case = self.source.name_case();
        let identity = self.identity.clone();
        let begin = std::mem::replace(&mut self.begin, Begin::Known);
        let was_read = matches!(&begin, Begin::Unknown(asked) if asked.was_read);
        let begun_at_s = begun_s.unwrap_or(0);
        let beginning = Beginning { identity, case, at, begun_s: begun_at_s, was_read };
        match begin {
            Begin::Unknown(Asked { history: Some(log), .. }) => {
                self.open_history(log, &beginning).await?;
            }
            Begin::Unknown(_) => self.decoder.set_catalog(Catalog::new(case)),
            Begin::Moved => {
                let catalog = self.present(&beginning).await?;
                self.decoder.set_catalog(catalog);
            }
            Begin::Known => {}
        }
        if let Some(cursor) = cursor {
            self.destination.set_origin(cursor);
        }
        if let Some(gap) = self.gap.take() {
            self.announce(gap, &beginning.at);
        }
        if begun_s.is_none() {
            self.source.unread();
        }
        Ok(())
    }

    /// Tells clients, and whoever looks at the instance, what is lost.
    fn announce(&mut self, gap: Gap, at: &HistoryPosition) {
        let facts = [
            ("TOWPATH_GAP_WANTED", gap.wanted.as_str()),
            ("TOWPATH_GAP_KEPT", &gap.kept),
            ("TOWPATH_GAP_RESUMED", &gap.resumed),
        ];
        self.decoder.announce_gap((&at.file.as_str().into(), at.offset), now_s(), &facts);
        let (wanted, kept, resumed) = (&gap.wanted, &gap.kept, &gap.resumed);
        tracing::warn!(
            destination = self.destination.name(),
            wanted,
            kept,
            resumed,
            "transactions are lost: the source has purged them, and reading jumps over the gap"
        );
        self.destination.health().gap(gap);
    }

    async fn open_history(
        &mut self,
        log: RecordLog,
        beginning: &Beginning,
    ) -> Result<(), InstanceError> {
        let name = self.destination.name();
        let opened = History::open(name, log, beginning.clone()).await;
        let (history, found) = opened.map_err(|error| InstanceError::State(Arc::new(error)))?;
        self.history = Some(history);
        let catalog = match found {
            // Statements in a gap are not in it.
            Some(catalog) if self.gap.is_none() => catalog,
            _ => self.present(beginning).await?,
        };
        tracing::info!(
            destination = name,
            file = beginning.at.file,
            offset = beginning.at.offset,
            table_count = catalog.tables().count(),
            "structures at the start are known"
        );
        self.decoder.keep_records();
        self.decoder.set_catalog(catalog);
        Ok(())
    }

    /// The source's structures that hold at the event that came last; the history begins there. In a
    /// cluster there is none, and tables are looked up as they come.
    async fn present(&mut self, beginning: &Beginning) -> Result<Catalog, InstanceError> {
        let mut catalog = Catalog::new(beginning.case);
        if self.history.is_some() {
            for table in self.tables().await? {
                catalog.learn(table);
            }
        }
        if let Some(history) = &mut self.history {
            let begun = history.begin(beginning, &catalog).await;
            begun.map_err(|error| InstanceError::State(Arc::new(error)))?;
        }
        Ok(catalog)
    }

    /// All structures, as long as it takes.
    async fn tables(&mut self) -> Result<Vec<PackedTable>, InstanceError> {
        loop {
            match self.source.tables().await {
                Err(error) if error.recovery() == Recovery::Retry => {
                    let destination = self.destination.name();
                    tracing::warn!(destination, %error, "structures cannot be read, trying again");
                    sleep(RETRY_PAUSE).await;
                }
                result => return Ok(result?),
            }
        }
    }

    /// A rotation says that the file before it was read; `is_over`: to its end.
    async fn next_file(&mut self, is_over: bool) -> Result<(), InstanceError> {
        let Some(file) = self.source.file().filter(|file| Some(file) != self.file.as_ref()) else {
            return Ok(());
        };
        self.file = Some(Arc::clone(&file));
        self.publish().await?;
        if is_over {
            self.decoder.file_begins(&file);
        }
        if let Some(history) = &mut self.history {
            let at =
                HistoryPosition { file: file.as_ref().to_owned(), offset: 4, gtid: String::new() };
            history.mark(at).await.map_err(|error| InstanceError::State(Arc::new(error)))?;
        }
        Ok(())
    }

    /// The time tells the file from one of the same name, should the source be reset.
    async fn file_begins(&mut self, begun_s: u32) -> Result<(), InstanceError> {
        if let (Some(history), Some(file)) = (&mut self.history, self.source.file()) {
            let noted = history.file_begins(self.source.identity(), &file, begun_s).await;
            noted.map_err(|error| InstanceError::State(Arc::new(error)))?;
        }
        Ok(())
    }

    async fn learn(&mut self, schema: &str, table: &str) -> Result<(), InstanceError> {
        let found = loop {
            match self.source.table(schema, table).await {
                Err(error) if error.recovery() == Recovery::Retry => {
                    let destination = self.destination.name();
                    tracing::warn!(
                        destination,
                        schema,
                        table,
                        %error,
                        "structure of a table cannot be read, trying again"
                    );
                    sleep(RETRY_PAUSE).await;
                }
                // What the statements say counts where the source does not answer; and without the rows
                // of tables that cannot be known, that is all there is to know.
                Err(error)
                    if error.is_about_a_table()
                        && (self.skips_tables || self.decoder.knows(schema, table)) =>
                {
                    let obstacle = Some(error.to_string());
                    break StructureAnswer { obstacle, ..StructureAnswer::default() };
                }
                result => break result?,
            }
        };
        self.decoder.learn_table(schema, table, found);
        Ok(())
    }

    /// Hands on what is finished, waiting while the store is full. What it changed in structures is
    /// on disk before.
    async fn publish(&mut self) -> Result<(), InstanceError> {
        self.report_doubts();
        let records = self.decoder.take_records();
        let health = self.destination.health();
        if !records.is_empty() {
            health.enter(Stage::History);
        }
        if let Some(history) = &mut self.history {
            let kept = history.append(records, self.decoder.catalog()).await;
            kept.map_err(|error| InstanceError::State(Arc::new(error)))?;
        }
        let mut event_ms = None;
        if let Some(block) = self.decoder.take() {
            entry_len::check(&block, entry_len::MAX)?;
            event_ms = block.entries.last().map(|entry| entry.execute_time_ms).filter(|ms| *ms > 0);
            self.last = LastPublished::of(&block);
            self.destination.push(block).await;
            health.enter(Stage::Decoding);
            // Files are never waited for: the sessions want to run as well.
            tokio::task::yield_now().await;
        }
        if let Some(boundary) = self.decoder.boundary() {
            self.source.resume_from(&boundary.file, boundary.offset, boundary.gtid.as_deref());
        }
        self.source.acknowledge().await;
        self.pass();
        self.note(event_ms);
        Ok(())
    }

    /// Transactions of which nothing is delivered, and files without any, move cursors, too: else the
    /// source would purge what they name (F15).
    fn pass(&mut self) {
        let Some(boundary) = self.decoder.boundary() else { return };
        let is_passed = self
            .last
            .as_ref()
            .is_none_or(|last| *last.file != *boundary.file || last.offset <= boundary.offset);
        if is_passed && self.passed.is_due(boundary) && self.destination.pass(&cursor_at(boundary))
        {
            self.passed = Passed::at(boundary);
        }
    }

    /// Tells those who look from outside how far reading is. What brought no entry, a heartbeat or a
    /// table that is left out, says that there is nothing to wait for.
    fn note(&self, event_ms: Option<i64>) {
        let now = now_ms();
        let boundary = self.decoder.boundary();
        self.destination.note(|reading| {
            reading.from = self.source.kind();
            if let Some(address) = self.source.address()
                && *address != *reading.source
            {
                reading.source = address;
            }
            reading.bytes = self.read_bytes;
            reading.heard_ms = now;
            reading.event_ms = event_ms.unwrap_or(now);
            if let Some(boundary) = boundary {
                if reading.file.as_ref() != Some(&boundary.file) {
                    reading.file = Some(Arc::clone(&boundary.file));
                }
                reading.offset = boundary.offset;
                reading.gtid.clone_from(&boundary.gtid);
            }
        });
    }

    fn report_doubts(&mut self) {
        let (tables, event_count) = self.decoder.take_unknown_tables();
        if event_count > 0 {
            self.destination.health().left_out(event_count);
        }
        for table in tables {
            tracing::warn!(
                destination = self.destination.name(),
                file = table.file.as_ref(),
                offset = table.offset,
                reason = table.reason,
                event_count,
                "a table cannot be read: its rows are left out from here on"
            );
        }
        let (latest, count) = self.decoder.take_doubts();
        for statement in latest {
            self.doubt_count += 1;
            tracing::warn!(
                destination = self.destination.name(),
                file = statement.file.as_ref(),
                offset = statement.offset,
                sql = statement.sql,
                count = self.doubt_count,
                "a statement is not understood: it is delivered, and the tables that it names are \
                 read again before their next rows"
            );
        }
        self.doubt_count = count;
    }

    /// The stream begins again at the last boundary: what was handed on of an unfinished
    /// transaction comes a second time, which nobody can take back.
    fn reconnected(&mut self) -> Result<(), InstanceError> {
        self.decoder.restart();
        if let Some(gap) = self.source.take_gap() {
            if let Some(set) = self.source.gtid_set() {
                self.decoder.set_gtid(gtid_set(set, self.source.is_mariadb())?);
            }
            self.gap = Some(gap);
            if matches!(self.begin, Begin::Known) {
                // Statements in the gap are lost, too.
                self.begin = Begin::Moved;
            }
            self.last = None;
            return Ok(());
        }
        let has_gtid = self.decoder.boundary().is_some_and(|boundary| boundary.gtid.is_some());
        if matches!(self.begin, Begin::Known)
            && self.source.identity() != self.identity
            && !has_gtid
        {
            // Its places have nothing to do with those of the history.
            self.begin = Begin::Moved;
        }
        let unfinished = self.last.take().filter(|last| match last.kind {
            EntryKind::Begin | EntryKind::Rows | EntryKind::Query => true,
            EntryKind::End | EntryKind::Ddl => false,
        });
        let Some(last) = unfinished else { return Ok(()) };
        let boundary = self.decoder.boundary();
        tracing::warn!(
            destination = self.destination.name(),
            from_file = boundary.map(|boundary| boundary.file.as_ref()),
            from_offset = boundary.map(|boundary| boundary.offset),
            to_file = last.file.as_ref(),
            to_offset = last.offset,
            "connection lost inside a transaction: its entries up to here are delivered again"
        );
        Ok(())
    }
}

impl LastPublished {
    fn of(block: &Block) -> Option<Self> {
        let entry = block.entries.last()?;
        let file = Arc::clone(&block.context(entry)?.file);
        Some(Self { file, offset: entry.end_offset, kind: entry.kind })
    }
}

/// Where reading began, once an event tells it: a rotation only announces the file.
fn first_cursor(start: &Start, gtid: Option<Arc<str>>, event: &RawEvent<'_>) -> Option<Cursor> {
    if event.header.event_type == event_type::ROTATE {
        return None;
    }
    Some(match start {
        Start::At { file, offset } => origin(&file.as_str().into(), *offset, gtid),
        Start::Now | Start::Earliest | Start::Gtid(_) | Start::Time { .. } => {
            origin(&event.file, event.start, gtid)
        }
    })
}
