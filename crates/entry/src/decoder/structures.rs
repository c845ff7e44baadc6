//! What the decoder learns of structures and tells to whoever keeps their history.

use std::sync::Arc;

use towpath_binlog::event_type as t;
use towpath_schema::{Catalog, NameCase, StructureAnswer, StructureChange};

use towpath_binlog::FormatDescription;

use super::options::Suppress;
use super::{Decoder, Origin, Step};
use crate::error::DecodeError;

/// Statements in doubt that are kept until somebody takes them.
const DOUBTS_MAX: usize = 64;
/// Characters of such a statement that are kept.
const DOUBT_CHARS_MAX: usize = 200;

/// What an event changed in the known structures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructureRecord {
    /// Binlog file.
    pub file: Arc<str>,
    /// From this offset on it holds.
    pub offset: u64,
    /// The executed GTID set, in GTID mode.
    pub gtid: Option<Arc<str>>,
    /// Time of the event, seconds since 1970.
    pub timestamp_s: u32,
    /// The changes, in order.
    pub changes: Vec<StructureChange>,
}

/// A statement that may have changed structures in a way that was not understood. It was delivered;
/// the tables that it names are looked up again before their next rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtfulStatement {
    /// Binlog file.
    pub file: Arc<str>,
    /// Offset of its event.
    pub offset: u64,
    /// The beginning of its text.
    pub sql: String,
}

/// A table whose rows were left out, for its structure is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTable {
    /// Binlog file.
    pub file: Arc<str>,
    /// Offset of the event at which it was noticed.
    pub offset: u64,
    /// What is wrong.
    pub reason: String,
}

/// What [`Suppress::TABLE_ERRORS`] left out.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// Rows events.
    pub(super) events: u64,
    latest: Vec<UnknownTable>,
}

/// Whether records are wanted.
#[derive(Debug, Default)]
pub(super) enum Records {
    #[default]
    NotWanted,
    Wanted(Vec<StructureRecord>),
}

#[derive(Debug, Default)]
pub(super) struct Doubts {
    count: u64,
    latest: Vec<DoubtfulStatement>,
}

impl Doubts {
    pub(super) fn add(&mut self, sql: &str, origin: &Origin) {
        self.count += 1;
        if self.latest.len() < DOUBTS_MAX {
            let (file, offset) = (Arc::clone(origin.file), origin.start);
            let sql = sql.chars().take(DOUBT_CHARS_MAX).collect();
            self.latest.push(DoubtfulStatement { file, offset, sql });
        }
    }
}

/// Whether it is known where the last start of the server lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ServerStart {
    /// Where reading is, or before.
    #[default]
    Placed,
    /// See [`Decoder::begin_file_of_start`].
    ToPlace,
}

impl Decoder {
    /// Tells what is known of the structure that [`super::Step::NeedTable`] asked for, at the place
    /// of the event that asked.
    pub fn learn_table(&mut self, schema: &str, table: &str, answer: StructureAnswer) {
        self.tables.learn(schema, table, answer);
    }

    /// Replaces all known structures by those at the place where the stream begins.
    pub fn set_catalog(&mut self, catalog: Catalog) {
        self.tables.set_catalog(catalog);
        if let Records::Wanted(_) = self.records {
            self.tables.keep_changes();
        }
    }
    /// A file begins that a start of the server began. By GTID a dump begins with a file that was partly
    /// read before: the next event tells whether the start is still to come.
    pub fn begin_file_of_start(&mut self) {
        self.tables.forget_plans();
        self.server_start = ServerStart::ToPlace;
    }

    /// Takes what was executed before the file.
    pub(super) fn place_start(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        self.server_start = ServerStart::Placed;
        let set = self.options.gtid.as_ref();
        if set.map_or(Ok(true), |set| set.is_before(body))? {
            self.tables.server_starts();
        }
        Ok(())
    }

    /// Takes what was found out of how the server compares names, see [`Catalog::settle`].
    pub fn settle_names(&mut self, case: NameCase) {
        self.tables.settle_names(case);
    }

    /// The known structures, as of the last event.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        self.tables.catalog()
    }

    /// From now on keeps what changes, for [`Self::take_records`].
    pub fn keep_records(&mut self) {
        self.records = Records::Wanted(Vec::new());
        self.tables.keep_changes();
    }

    /// What events changed in the known structures since the last call.
    pub fn take_records(&mut self) -> Vec<StructureRecord> {
        match &mut self.records {
            Records::NotWanted => Vec::new(),
            Records::Wanted(records) => std::mem::take(records),
        }
    }

    /// The first few statements in doubt since the last call, and how many there were in all.
    pub fn take_doubts(&mut self) -> (Vec<DoubtfulStatement>, u64) {
        (std::mem::take(&mut self.doubts.latest), self.doubts.count)
    }

    pub(super) fn table_map(
        &mut self,
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<Step, DecodeError> {
        match self.tables.map(body, format, &self.options) {
            Err(error) => {
                self.unknown_table(error, origin)?;
                self.tables.give_up(body, format)?;
                Ok(Step::Done)
            }
            step => step,
        }
    }

    /// Notes a table that cannot be read, where that is allowed.
    pub(super) fn unknown_table(
        &mut self,
        error: DecodeError,
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        let is_allowed = self.options.suppress.has(Suppress::TABLE_ERRORS)
            && matches!(error, DecodeError::NoStructure { .. } | DecodeError::Structure { .. });
        if !is_allowed {
            return Err(error);
        }
        if self.unknown.latest.len() < DOUBTS_MAX {
            let (file, offset) = (Arc::clone(origin.file), origin.start);
            let reason = error.to_string();
            self.unknown.latest.push(UnknownTable { file, offset, reason });
        }
        Ok(())
    }

    /// The first few tables since the last call whose rows were left out, and how many rows events
    /// were in all.
    pub fn take_unknown_tables(&mut self) -> (Vec<UnknownTable>, u64) {
        (std::mem::take(&mut self.unknown.latest), self.unknown.events)
    }

    /// Keeps what the event changed. A statement counts from its end on: a start at its end must know
    /// it, a start at its begin sees it again.
    pub(super) fn record(&mut self, event_type: u8, origin: &Origin) {
        let Records::Wanted(records) = &mut self.records else { return };
        let changes = self.tables.take_changes();
        if changes.is_empty() {
            return;
        }
        let is_statement = matches!(event_type, t::QUERY | t::MARIADB_QUERY_COMPRESSED);
        // Before the first transaction it is the set behind which reading begins.
        let began = self.options.gtid.as_ref().map(|set| Arc::from(set.to_string()));
        records.push(StructureRecord {
            file: Arc::clone(origin.file),
            offset: if is_statement { origin.end } else { origin.start },
            gtid: self.gtid.set.clone().or(began),
            timestamp_s: origin.timestamp_s,
            changes,
        });
    }
}
