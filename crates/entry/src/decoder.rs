//! Events in, blocks of entries out: a state machine without I/O.

mod options;
mod rollback;
mod rows;
mod statement;
mod structures;
mod tables;
mod transaction;

pub use options::{DecoderOptions, GtidSet, Suppress};
pub use structures::{DoubtfulStatement, StructureRecord, UnknownTable};

use std::sync::Arc;

use towpath_binlog::event::{self, Payload};
use towpath_binlog::{EventHeader, FLAG_IGNORABLE, FormatDescription, RawEvent, event_type as t};

use crate::block::{Block, EntryInfo, EntryKind};
use crate::error::DecodeError;
use crate::filter::TableFilter;
use crate::message::{FrontParts, FrontWriter, GtidProps, Origin};
use crate::output::{Output, Throttle};
use crate::rows::RowsWriter;
use rollback::Outcome;
use structures::{Doubts, Records, ServerStart, Unknown};
use tables::Tables;
use towpath_protocol::entry::{EntryType, EventType};
use towpath_protocol::piece::Piece;
use transaction::HeldBegin;

/// Bytes that a transaction payload may decompress to.
const PAYLOAD_LEN_MAX: u64 = 4 << 30;

/// Where the first event of a file starts.
const FIRST_OFFSET: u64 = 4;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is dealt with.
    Done,
    /// The structure of a table is needed first. Nothing was consumed: look the table up, hand it to
    /// [`Decoder::learn_table`], and feed the same event again.
    NeedTable {
        /// Database name.
        schema: String,
        /// Table name.
        table: String,
    },
    /// More of the transaction has come than is held until its end, and its source may have rolled back some
    /// of it. Nothing was consumed: read ahead, from this event on, until [`Decoder::fate_scan`] knows the
    /// transaction's fate, hand that to [`Decoder::learn_fate`], and feed the same event again.
    NeedFate,
}

/// A place between two transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Binlog file.
    pub file: Arc<str>,
    /// Offset behind the transaction.
    pub offset: u64,
    /// The executed GTID set, in GTID mode.
    pub gtid: Option<Arc<str>>,
    /// Where the event before it starts.
    pub start: u64,
    /// Time of that event, seconds since 1970; 0 when there is none in the file.
    pub timestamp_s: u32,
    /// Id of the server on which it was made.
    pub server_id: u32,
}

/// A transaction payload that is being walked.
#[derive(Debug)]
struct OpenPayload {
    start: u64,
    inner: Vec<u8>,
    offset: usize,
}

/// Turns binlog events into entries. See [`Self::event`].
#[derive(Debug)]
pub struct Decoder {
    options: DecoderOptions,
    output: Output,
    tables: Tables,
    rows: RowsWriter,
    gtid: GtidProps,
    bounds: Throttle,
    boundary: Option<Boundary>,
    /// Between the begin of a transaction and its end: nothing in between is a boundary.
    in_transaction: bool,
    /// What is known of how the transaction ends.
    outcome: Outcome,
    server_start: ServerStart,
    held: Option<HeldBegin>,
    held_file: Option<Arc<str>>,
    payload: Option<OpenPayload>,
    records: Records,
    doubts: Doubts,
    unknown: Unknown,
    /// Buffers used for one entry at a time.
    store: Vec<u8>,
    fronts: FrontWriter,
    /// Rows and length of the store value of the last entry with rows.
    rows_before: (u32, usize),
    inflated: Vec<u8>,
}

impl Decoder {
    /// A decoder that knows no table yet.
    #[must_use]
    pub fn new(options: DecoderOptions) -> Self {
        Self {
            tables: Tables::new(),
            options,
            output: Output::default(),
            rows: RowsWriter::default(),
            gtid: GtidProps::default(),
            bounds: Throttle::default(),
            boundary: None,
            in_transaction: false,
            outcome: Outcome::default(),
            server_start: ServerStart::default(),
            held: None,
            held_file: None,
            payload: None,
            records: Records::default(),
            doubts: Doubts::default(),
            unknown: Unknown::default(),
            store: Vec::new(),
            fronts: FrontWriter::default(),
            rows_before: (1, 256),
            inflated: Vec::new(),
        }
    }

    /// Takes the next event of the stream.
    ///
    /// # Errors
    /// [`DecodeError::At`] names file, offset, event type and table. After an error the decoder has
    /// delivered nothing of the event, and must not be fed what follows it.
    pub fn event(&mut self, event: &RawEvent<'_>) -> Result<Step, DecodeError> {
        let origin = Origin {
            file: &event.file,
            start: event.start,
            end: event.end,
            event_len: event.header.event_len,
            timestamp_s: event.header.timestamp_s,
            server_id: event.header.server_id,
        };
        let kind = event.header.event_type;
        let result = if kind == t::TRANSACTION_PAYLOAD {
            self.payload(event, &origin)
        } else {
            self.plain(&event.header, event.body, &event.format, &origin)
        };
        self.record(kind, &origin);
        // Most results are this one; the others are too large to be moved for nothing.
        if matches!(result, Ok(Step::Done)) { Ok(Step::Done) } else { self.in_place(event, result) }
    }

    #[cold]
    fn in_place(
        &self,
        event: &RawEvent<'_>,
        result: Result<Step, DecodeError>,
    ) -> Result<Step, DecodeError> {
        let kind = event.header.event_type;
        result.map_err(|source| DecodeError::At {
            file: event.file.to_string(),
            offset: event.start,
            event_type: kind,
            table: self.tables.name_of_rows(event.body, kind, &event.format),
            source: Box::new(source),
        })
    }

    /// Takes the entries of all groups finished so far.
    pub fn take(&mut self) -> Option<Block> {
        self.output.take()
    }

    /// There is something to take.
    #[must_use]
    pub const fn has_entries(&self) -> bool {
        !self.output.is_empty()
    }

    /// There is enough to take: what follows may need more memory than a block has.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.output.is_full()
    }

    /// The last place between two transactions that was passed: where to go on after a lost
    /// connection.
    #[must_use]
    pub const fn boundary(&self) -> Option<&Boundary> {
        self.boundary.as_ref()
    }

    /// The file before this one was read to its end.
    pub fn file_begins(&mut self, file: &Arc<str>) {
        if !self.in_transaction {
            self.boundary = Some(Boundary {
                file: Arc::clone(file),
                offset: FIRST_OFFSET,
                gtid: self.gtid.set.clone(),
                start: FIRST_OFFSET,
                timestamp_s: 0,
                server_id: 0,
            });
        }
    }

    /// The stream begins again at [`Self::boundary`]: forgets the unfinished group, the table maps
    /// and the current transaction's identity.
    pub fn restart(&mut self) {
        self.held = None;
        self.output.abandon_group();
        self.outcome.forget();
        self.tables.forget_maps();
        self.payload = None;
        self.in_transaction = false;
        self.gtid.current.clear();
    }

    /// Replaces the table filter for the events that follow.
    pub fn set_filter(&mut self, filter: TableFilter) {
        self.options.filter = filter;
        self.tables.forget_plans();
    }

    /// The table whose rows come next, for error messages.
    #[must_use]
    pub fn table_at_hand(&self) -> Option<String> {
        self.tables.last_name()
    }

    /// The table filter in force.
    #[must_use]
    pub const fn filter(&self) -> &TableFilter {
        &self.options.filter
    }

    fn plain(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<Step, DecodeError> {
        match header.event_type {
            t::TABLE_MAP if self.options.suppress.has(Suppress::TABLE_ERRORS) => {
                return self.table_map(body, format, origin);
            }
            t::TABLE_MAP => return self.tables.map(body, format, &self.options),
            t::WRITE_ROWS_V1..=t::DELETE_ROWS_V1
            | t::WRITE_ROWS..=t::DELETE_ROWS
            | t::PARTIAL_UPDATE_ROWS
            | t::MARIADB_WRITE_ROWS_COMPRESSED_V1..=t::MARIADB_DELETE_ROWS_COMPRESSED => {
                if self.needs_fate(origin) {
                    return Ok(Step::NeedFate);
                }
                self.rows_event(header.event_type, body, format, origin)?;
            }
            t::QUERY => return self.query(header, body, format, origin),
            t::MARIADB_QUERY_COMPRESSED => {
                return self.compressed_query(header, body, format, origin);
            }
            t::XID => self.xid(body, origin)?,
            t::GTID | t::GTID_TAGGED | t::ANONYMOUS_GTID => {
                self.mysql_gtid(header.event_type, body, format, origin)?;
            }
            t::MARIADB_GTID => self.mariadb_gtid(body, origin)?,
            t::ROWS_QUERY | t::MARIADB_ANNOTATE_ROWS | t::INTVAR | t::RAND | t::USER_VAR
                if self.needs_fate(origin) =>
            {
                return Ok(Step::NeedFate);
            }
            t::ROWS_QUERY => self.rows_query(event::parse_rows_query(body)?, origin),
            t::MARIADB_ANNOTATE_ROWS => self.annotate(event::parse_annotate(body), origin),
            t::INTVAR | t::RAND | t::USER_VAR => self.variable(header.event_type, body, origin)?,
            t::INCIDENT => {
                let (number, message) = event::parse_incident(body)?;
                return Err(DecodeError::Incident { number, message });
            }
            // Table maps may look different from here on.
            t::FORMAT_DESCRIPTION => {
                // A server makes one up when a dump begins.
                if origin.end > origin.start {
                    self.cut_off(origin);
                }
                if format.created_s > 0 && self.options.gtid.is_some() {
                    self.begin_file_of_start();
                } else {
                    self.tables.begin_file(format);
                }
            }
            t::PREVIOUS_GTIDS | t::MARIADB_GTID_LIST
                if self.server_start == ServerStart::ToPlace =>
            {
                self.place_start(body)?;
            }
            other if carries_nothing(other) || header.flags & FLAG_IGNORABLE != 0 => {}
            event_type => return Err(DecodeError::UnknownEvent { event_type }),
        }
        Ok(Step::Done)
    }

    /// The inner events of a payload, one behind the other. They share the place of the outer event.
    fn payload(&mut self, event: &RawEvent<'_>, origin: &Origin<'_>) -> Result<Step, DecodeError> {
        let mut open = match self.payload.take() {
            Some(open) if open.start == event.start => open,
            _ => {
                let mut inner = Vec::new();
                Payload::parse(event.body)?.decompress(&mut inner, PAYLOAD_LEN_MAX)?;
                OpenPayload { start: event.start, inner, offset: 0 }
            }
        };
        // Servers compress transactions of rows only, which they roll back without a trace.
        self.outcome.all_are_rows();
        while let Some(rest) = open.inner.get(open.offset..).filter(|rest| !rest.is_empty()) {
            let header = EventHeader::parse(rest)?;
            let len = usize::try_from(header.event_len).unwrap_or(usize::MAX);
            let body =
                rest.get(EventHeader::LEN..len).ok_or(towpath_binlog::ParseError::Truncated {
                    field: "inner event",
                    offset: open.offset,
                    need: len,
                    left: rest.len(),
                })?;
            let inner_origin = Origin {
                timestamp_s: header.timestamp_s,
                server_id: header.server_id,
                ..origin.clone()
            };
            let step = self.plain(&header, body, &event.format, &inner_origin)?;
            if step != Step::Done {
                self.payload = Some(open);
                return Ok(step);
            }
            open.offset += len;
        }
        Ok(Step::Done)
    }

    /// Adds a transaction bound whose store value lies in `self.store`.
    fn push_bound(&mut self, origin: &Origin<'_>, kind: EntryKind) {
        self.push_bound_told(origin, origin, kind);
    }

    /// The same with an origin that the entry tells, and one that counts for cursors.
    fn push_bound_told(&mut self, told: &Origin<'_>, origin: &Origin<'_>, kind: EntryKind) {
        let entry_type = match kind {
            EntryKind::End => EntryType::TransactionEnd,
            EntryKind::Begin
            | EntryKind::Rows
            | EntryKind::Ddl
            | EntryKind::Query
            | EntryKind::Annotation
            | EntryKind::Statement => EntryType::TransactionBegin,
        };
        self.push_store((told, origin), kind, &FrontParts::new(entry_type, None, None));
    }

    /// Adds an entry of a statement whose store value lies in `self.store`.
    fn push(&mut self, origin: &Origin<'_>, kind: EntryKind, names: &Piece, event_type: EventType) {
        let parts = FrontParts::new(EntryType::RowData, Some(names), Some(event_type));
        self.push_store((origin, origin), kind, &parts);
    }

    fn push_store(
        &mut self,
        (told, origin): (&Origin<'_>, &Origin<'_>),
        kind: EntryKind,
        parts: &FrontParts<'_>,
    ) {
        let parts = FrontParts { store_len: self.store.len(), ..*parts };
        let out = &mut self.output.bytes;
        let front = self.fronts.write(out, (told, &self.gtid), &parts);
        out.extend(&self.store);
        self.add(origin, kind, (front.entry_len, 0));
    }

    /// Adds the entry that was just written.
    #[inline]
    fn add(&mut self, origin: &Origin<'_>, kind: EntryKind, (entry_len, rows): (usize, u32)) {
        let context = self.output.context(origin.file, self.gtid.set.as_ref());
        self.output.push(EntryInfo {
            end: self.output.bytes.len(),
            entry_len,
            start_offset: origin.start,
            end_offset: origin.end,
            execute_time_ms: origin.execute_time_ms(),
            server_id: origin.server_id,
            row_count: rows,
            context,
            kind,
        });
    }
}

/// Types that are known and have nothing to deliver.
const fn carries_nothing(event_type: u8) -> bool {
    matches!(
        event_type,
        t::UNKNOWN
            | t::START_V3
            | t::STOP
            | t::ROTATE
            | t::LOAD..=t::NEW_LOAD
            | t::BEGIN_LOAD_QUERY
            | t::EXECUTE_LOAD_QUERY
            | t::HEARTBEAT
            | t::IGNORABLE
            | t::PREVIOUS_GTIDS
            | t::TRANSACTION_CONTEXT
            | t::VIEW_CHANGE
            | t::XA_PREPARE
            | t::HEARTBEAT_V2
            | 101..=105
            | t::MARIADB_BINLOG_CHECKPOINT
            | t::MARIADB_GTID_LIST
            | t::MARIADB_START_ENCRYPTION
    )
}
