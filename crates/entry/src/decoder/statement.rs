//! Statements: QUERY and the events that accompany it (entry-format 2.2-2.4).

use towpath_binlog::event::{IntVar, QueryEvent, Rand, UserVar, UserVarValue, decompress_mariadb};
use towpath_binlog::event_type as t;
use towpath_binlog::transaction::StatementRole;
use towpath_binlog::{EventHeader, FLAG_THREAD_SPECIFIC, FormatDescription};
use towpath_schema::{CanalKind, Classified, ServerKind, SessionId};

use super::options::Suppress;
use super::tables::Reading;
use super::{Decoder, Origin, Step};
use crate::block::EntryKind;
use crate::error::DecodeError;
use crate::filter::FilterError;
use crate::message::encode_names;
use crate::text::{self, statement_text};
use towpath_protocol::entry::EventType;
use towpath_protocol::protobuf;

/// Bytes that a compressed statement may inflate to.
const STATEMENT_LEN_MAX: u64 = 1 << 30;

const fn event_type(kind: CanalKind) -> EventType {
    match kind {
        CanalKind::Insert => EventType::Insert,
        CanalKind::Update => EventType::Update,
        CanalKind::Delete => EventType::Delete,
        CanalKind::Create => EventType::Create,
        CanalKind::Alter => EventType::Alter,
        CanalKind::Erase => EventType::Erase,
        CanalKind::Query => EventType::Query,
        CanalKind::Truncate => EventType::Truncate,
        CanalKind::Rename => EventType::Rename,
        CanalKind::CreateIndex => EventType::CreateIndex,
        CanalKind::DropIndex => EventType::DropIndex,
    }
}

const fn entry_kind(kind: CanalKind) -> EntryKind {
    match kind {
        CanalKind::Insert | CanalKind::Update | CanalKind::Delete => EntryKind::Rows,
        CanalKind::Query => EntryKind::Statement,
        CanalKind::Create
        | CanalKind::Alter
        | CanalKind::Erase
        | CanalKind::Truncate
        | CanalKind::Rename
        | CanalKind::CreateIndex
        | CanalKind::DropIndex => EntryKind::Ddl,
    }
}

/// The text after the literal, which is compared as Canal does: upper case only.
fn xid_text<'a>(sql: &'a str, literal: &str) -> &'a str {
    sql.split_once(literal).map_or("", |(_, xid)| xid)
}

/// The server that wrote a file, if its format description told.
pub(super) fn server_kind(format: &FormatDescription) -> Option<ServerKind> {
    let (major, minor, patch) = format.version_number();
    let part = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let version = (part(major), part(minor), part(patch));
    (major > 0).then(|| ServerKind { is_mariadb: format.is_mariadb(), version })
}

impl Decoder {
    pub(super) fn compressed_query(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<Step, DecodeError> {
        let mut query = QueryEvent::parse(body, format)?;
        let mut inflated = Vec::new();
        decompress_mariadb(query.sql, &mut inflated, STATEMENT_LEN_MAX)?;
        query.sql = &inflated;
        self.statement(&query, header.flags, format, origin)
    }

    pub(super) fn query(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<Step, DecodeError> {
        // The usual case, and the one that must be fast.
        if let Some(thread_id) = QueryEvent::begin_of(body, format)? {
            self.begin(thread_id, &[], origin);
            return Ok(Step::Done);
        }
        let query = QueryEvent::parse(body, format)?;
        self.statement(&query, header.flags, format, origin)
    }

    fn statement(
        &mut self,
        query: &QueryEvent<'_>,
        flags: u16,
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<Step, DecodeError> {
        let (sql, is_exact) = statement_text(query.sql, query.client_charset);
        match StatementRole::of(query.sql) {
            StatementRole::Begin => self.begin(query.thread_id, &[], origin),
            StatementRole::XaStart => {
                let props = [("XA_TYPE", "XA START"), ("XA_XID", xid_text(&sql, "XA START"))];
                self.begin(query.thread_id, &props, origin);
            }
            StatementRole::XaEnd => {
                let props = [("XA_TYPE", "XA END"), ("XA_XID", xid_text(&sql, "XA END"))];
                self.end("0", &props, origin)?;
            }
            StatementRole::XaCommit => {
                self.xa_outcome(EventType::XaCommit, "XA COMMIT", &sql, origin);
            }
            StatementRole::XaRollback => {
                self.xa_outcome(EventType::XaRollback, "XA ROLLBACK", &sql, origin);
            }
            StatementRole::Commit => self.end("0", &[], origin)?,
            StatementRole::Rollback => self.rolled_back(origin)?,
            StatementRole::Savepoint(name) => self.savepoint(&name, origin),
            StatementRole::RollbackTo(name) => self.rolled_back_to(&name, origin)?,
            StatementRole::OpensTransaction | StatementRole::Other => {
                if self.needs_fate(origin) {
                    return Ok(Step::NeedFate);
                }
                let reading = Reading {
                    server: server_kind(format),
                    sql_mode: query.sql_mode,
                    server_charset: query.server_charset,
                    is_exact,
                    session: SessionId { server_id: origin.server_id, thread_id: query.thread_id },
                    is_bound: flags & FLAG_THREAD_SPECIFIC != 0,
                };
                self.other_statement(query, &sql, reading, origin)?;
            }
        }
        Ok(Step::Done)
    }

    fn xa_outcome(&mut self, outcome: EventType, literal: &str, sql: &str, origin: &Origin<'_>) {
        self.write_held();
        self.store.clear();
        protobuf::int(&mut self.store, 2, outcome.code());
        protobuf::bytes(&mut self.store, 11, sql.as_bytes());
        protobuf::pair(&mut self.store, 13, b"XA_TYPE", literal.as_bytes());
        protobuf::pair(&mut self.store, 13, b"XA_XID", xid_text(sql, literal).as_bytes());
        let names = encode_names(Some(""), Some(""));
        self.push(origin, EntryKind::Statement, &names, outcome);
        self.in_transaction = false;
        self.release_transaction();
        self.passed(origin);
    }

    fn other_statement(
        &mut self,
        query: &QueryEvent<'_>,
        sql: &str,
        reading: Reading,
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        if query.alter_phase.is_some_and(|phase| !phase.is_done()) {
            self.ddl_boundary(sql, origin);
            return Ok(());
        }
        let database = String::from_utf8_lossy(query.schema);
        let (results, in_doubt) = self.tables.apply(sql, &database, reading);
        if in_doubt {
            self.doubts.add(sql, origin);
        }
        let suppress = self.options.suppress;
        let wanted = |result: &Classified| match result.kind {
            CanalKind::Insert | CanalKind::Update | CanalKind::Delete => {
                Ok(!suppress.has(Suppress::QUERY_DML))
            }
            CanalKind::Query => Ok(!suppress.has(Suppress::QUERY_DCL)),
            CanalKind::Create
            | CanalKind::Alter
            | CanalKind::Erase
            | CanalKind::Truncate
            | CanalKind::Rename
            | CanalKind::CreateIndex
            | CanalKind::DropIndex => self.ddl_is_wanted(result),
        };
        let mut is_wanted = false;
        for result in &results {
            is_wanted = is_wanted || wanted(result)?;
        }
        let deliver = is_wanted && !suppress.has(Suppress::QUERY_DDL) && !self.outcome.is_cut_off();
        let Some(first) = results.first().filter(|_| deliver) else {
            if results.first().is_none_or(|r| entry_kind(r.kind) != EntryKind::Rows) {
                self.ddl_boundary(sql, origin);
            }
            return Ok(());
        };
        let kind = entry_kind(first.kind);
        let change_type = event_type(first.kind);
        self.write_held();
        self.store.clear();
        protobuf::int(&mut self.store, 2, change_type.code());
        protobuf::int(&mut self.store, 10, u64::from(kind != EntryKind::Rows));
        protobuf::bytes(&mut self.store, 11, sql.as_bytes());
        if !database.is_empty() {
            protobuf::bytes(&mut self.store, 14, database.as_bytes());
        }
        let names = encode_names(first.schema.as_deref(), first.table.as_deref());
        // Inside a transaction it must not move a cursor past what is still to come.
        let inside = kind != EntryKind::Rows && self.is_inside(sql);
        self.push(origin, if inside { EntryKind::Query } else { kind }, &names, change_type);
        if kind != EntryKind::Rows {
            self.ddl_boundary(sql, origin);
        }
        Ok(())
    }

    fn is_inside(&self, sql: &str) -> bool {
        self.in_transaction || StatementRole::of(sql.as_bytes()) == StatementRole::OpensTransaction
    }

    /// A statement commits by itself, unless it is part of a transaction.
    fn ddl_boundary(&mut self, sql: &str, origin: &Origin<'_>) {
        if !self.is_inside(sql) {
            self.passed(origin);
        }
    }

    fn ddl_is_wanted(&self, result: &Classified) -> Result<bool, FilterError> {
        let filter = &self.options.filter;
        let name = |text: &Option<String>| text.as_deref().unwrap_or("null").to_owned();
        let (schema, table) = (name(&result.schema), name(&result.table));
        match &result.source {
            Some((from_schema, from_table)) => filter.matches_rename(
                (&schema, &table),
                (from_schema.as_deref().unwrap_or("null"), from_table),
            ),
            None => filter.matches(&schema, &table),
        }
    }

    /// An entry that carries a statement and belongs to no table (2.4).
    pub(super) fn carry(
        &mut self,
        kind: EntryKind,
        sql: &[u8],
        table: Option<&str>,
        origin: &Origin<'_>,
    ) {
        if self.options.suppress.has(Suppress::QUERY_DML) || self.outcome.is_cut_off() {
            return;
        }
        self.write_held();
        self.store.clear();
        protobuf::int(&mut self.store, 2, EventType::Query.code());
        protobuf::bytes(&mut self.store, 11, sql);
        let names = encode_names(Some(""), table);
        self.push(origin, kind, &names, EventType::Query);
    }

    fn leaves_annotations(&self) -> bool {
        self.options.suppress.has(Suppress::ANNOTATIONS)
    }

    pub(super) fn rows_query(&mut self, sql: &[u8], origin: &Origin<'_>) {
        if self.leaves_annotations() || self.outcome.is_rolled_back(origin) {
            return;
        }
        let sql = String::from_utf8_lossy(sql);
        let table = towpath_schema::first_table(&sql);
        self.carry(EntryKind::Annotation, sql.as_bytes(), table.as_deref(), origin);
    }

    pub(super) fn annotate(&mut self, sql: &[u8], origin: &Origin<'_>) {
        if self.leaves_annotations() || self.outcome.is_rolled_back(origin) {
            return;
        }
        let sql = String::from_utf8_lossy(sql);
        self.carry(EntryKind::Annotation, sql.as_bytes(), Some(""), origin);
    }

    pub(super) fn variable(
        &mut self,
        event_type: u8,
        body: &[u8],
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        self.write_held();
        let mut sql = Vec::new();
        if event_type == t::INTVAR {
            let (name, value) = match IntVar::parse(body)? {
                IntVar::InsertId(value) => ("SET INSERT_ID = ", value),
                IntVar::LastInsertId(value) => ("SET LAST_INSERT_ID = ", value),
            };
            sql.extend_from_slice(name.as_bytes());
            text::write_int(&mut sql, value.cast_signed());
        } else if event_type == t::RAND {
            let rand = Rand::parse(body)?;
            sql.extend_from_slice(b"SET SESSION rand_seed1 = ");
            text::write_int(&mut sql, rand.seed1.cast_signed());
            sql.extend_from_slice(b" , rand_seed2 = ");
            text::write_int(&mut sql, rand.seed2.cast_signed());
        } else {
            write_user_var(&mut sql, &UserVar::parse(body)?);
        }
        // INTVAR entries carry no GTID, even in GTID mode.
        let gtid = (event_type == t::INTVAR).then(|| std::mem::take(&mut self.gtid));
        self.carry(EntryKind::Query, &sql, Some(""), origin);
        if let Some(gtid) = gtid {
            self.gtid = gtid;
        }
        Ok(())
    }
}

fn write_user_var(sql: &mut Vec<u8>, variable: &UserVar<'_>) {
    sql.extend_from_slice(b"SET @");
    text::write_utf8(sql, variable.name);
    sql.extend_from_slice(b" := ");
    match variable.value {
        UserVarValue::Null => sql.extend_from_slice(b"NULL"),
        UserVarValue::Text(value, _) => {
            sql.push(b'\'');
            text::write_utf8(sql, value);
            sql.push(b'\'');
        }
        UserVarValue::Real(value) => text::write_short(sql, |to| text::put_f64(to, value)),
        UserVarValue::Int(value) => text::write_int(sql, value),
        UserVarValue::Unsigned(value) => text::write_int(sql, value),
        UserVarValue::Decimal(value) => text::write_short(sql, |to| text::put_decimal(to, &value)),
    }
}
