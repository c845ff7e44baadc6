//! From what has arrived to what is handed on: decoding, publishing, and what they wait for.

mod begin;
mod report;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use towpath_binlog::event_type;
use towpath_entry::{Block, DecodeError, Decoder, EntryKind, Step, TableFilter};
use towpath_schema::{HistoryPosition, NameCase};
use towpath_source::{Filled, Gap, Passed as Boundary, Source, SourceError, Start};

use super::gtid_set;
use super::stall::StallWatch;
use crate::destination::{Destination, Stage};
use crate::entry_len;
use crate::error::InstanceError;
use crate::history::History;
pub(super) use begin::Asked;
use begin::Begin;
use report::Passed;

/// How often more is read while entries wait to be published.
const EXTRA_FILLS_MAX: u32 = 8;

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
    /// The end of a long transaction has to be looked up.
    NeedFate,
}

/// The last entry that was handed on.
struct LastPublished {
    file: Arc<str>,
    offset: u64,
    kind: EntryKind,
}

pub(super) struct Pump<'a> {
    destination: &'a Destination,
    source: Source,
    decoder: Decoder,
    filters: watch::Receiver<Option<TableFilter>>,
    begin: Begin,
    last: Option<LastPublished>,
    history: Option<History>,
    /// Reading begins with a start of the server: no session of before is there.
    starts: bool,
    /// The file that is being read.
    file: Option<Arc<str>>,
    /// The server that is being read.
    identity: String,
    /// Statements in doubt up to now.
    doubt_count: u64,
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

impl<'a> Pump<'a> {
    pub(super) fn new(
        destination: &'a Destination,
        mut source: Source,
        decoder: Decoder,
        filters: watch::Receiver<Option<TableFilter>>,
        mut asked: Asked,
    ) -> Self {
        let gap = source.take_gap();
        if gap.is_some() {
            // It begins where the source says.
            asked.start = Start::Earliest;
        }
        let gap = gap.or_else(|| asked.gap.clone());
        Self {
            destination,
            gap,
            source,
            decoder,
            filters,
            begin: Begin::Unknown(asked),
            last: None,
            history: None,
            starts: false,
            file: None,
            identity: String::new(),
            doubt_count: 0,
            passed: Passed::nothing(),
            read: None,
            rewind_count: 0,
            read_bytes: 0,
        }
    }

    pub(super) async fn close(self) {
        self.source.close().await;
    }

    /// Hands on what was read before an error, but for what is not on disk because of it.
    pub(super) async fn hand_on_rest(&mut self, error: &InstanceError) {
        if matches!(error, InstanceError::State(_)) {
            return;
        }
        if let Err(second) = self.publish().await {
            let destination = self.destination.name();
            tracing::warn!(destination, error = %second, "what was read before the error cannot be handed on");
        }
    }

    /// Where the event that would come next begins.
    pub(super) fn next_place(&self) -> Option<(Arc<str>, u64)> {
        self.source.position()
    }

    /// Reads until the stream ends. Dropping the future loses nothing: what was not acknowledged is
    /// read again.
    pub(super) async fn supervised(&mut self, limit: Duration) -> Result<(), InstanceError> {
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
        let mut extra_fills = 0;
        loop {
            self.decode_buffered().await?;
            // What has come meanwhile goes into the same block: a short one would be copied.
            if self.decoder.has_entries()
                && extra_fills < EXTRA_FILLS_MAX
                && self.source.try_fill().await
            {
                extra_fills += 1;
                continue;
            }
            extra_fills = 0;
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
                Filled::Anew => {
                    self.publish().await?;
                    self.decoder.restart();
                    self.last = None;
                    if matches!(self.begin, Begin::Known) {
                        self.begin = Begin::Moved;
                    }
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
                Pause::NeedFate => {
                    self.destination.health().enter(Stage::Fate);
                    self.learn_fate().await?;
                    self.destination.health().enter(Stage::Decoding);
                    self.source.unread();
                }
            }
            if self.decoder.is_full() {
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
                Step::NeedFate => return Ok(Pause::NeedFate),
            }
            if self.decoder.is_full() {
                return Ok(Pause::Full);
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
        self.tell_file(begun_s);
        if let (Some(history), Some(file)) = (&mut self.history, self.source.file()) {
            let noted = history.file_begins(self.source.identity(), &file, begun_s).await;
            noted.map_err(|error| InstanceError::State(Arc::new(error)))?;
        }
        Ok(())
    }

    async fn learn(&mut self, schema: &str, table: &str) -> Result<(), InstanceError> {
        if self.decoder.catalog().is_undecided(schema, table)
            && let case = self.source.find_name_case().await
            && case != NameCase::Unknown
        {
            self.decoder.settle_names(case);
            return Ok(());
        }
        let found = match self.source.table(schema, table).await {
            // What the stream says of the table counts then, if it is enough.
            Err(error) if error.is_about_a_table() => Some(error.as_answer()),
            found => found?,
        };
        if let Some(found) = found {
            self.decoder.learn_table(schema, table, found);
        }
        Ok(())
    }

    async fn learn_fate(&mut self) -> Result<(), InstanceError> {
        let Some(scan) = self.decoder.fate_scan() else { return Ok(()) };
        if let Some(fate) = self.source.fate(scan).await? {
            self.decoder.learn_fate(fate);
        }
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
            self.source.resume_from(&Boundary {
                file: &boundary.file,
                offset: boundary.offset,
                gtid: boundary.gtid.as_deref(),
                start: boundary.start,
                timestamp_s: boundary.timestamp_s,
                server_id: boundary.server_id,
            });
        }
        self.source.acknowledge().await;
        self.pass();
        self.note(event_ms);
        Ok(())
    }

    /// Transactions of which nothing is delivered, and files without any, move cursors, too: else the
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
            EntryKind::Begin | EntryKind::Rows | EntryKind::Query | EntryKind::Annotation => true,
            EntryKind::End | EntryKind::Ddl | EntryKind::Statement => false,
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
