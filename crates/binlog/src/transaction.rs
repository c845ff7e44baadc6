//! The bounds of transactions: what each event is to the transaction around it, and which rows of a
//! transaction its source rolled back (mysql-source 2.3, 2.7).
//!
//! A server writes a transaction to its binlog when the transaction ends, in one file. Rows that were
//! rolled back are in the binlog all the same where the server cannot take everything back: behind a
//! change of a table without transactions, or of a temporary table. Then the transaction ends with
//! `ROLLBACK`, or has `ROLLBACK TO` in it.

mod statement;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::ParseError;
use crate::event::{MariadbGtidEvent, QueryEvent, decompress_mariadb};
use crate::format::FormatDescription;
use crate::header::event_type as t;
use crate::stream::RawEvent;

pub use statement::StatementRole;

/// Bytes that a compressed statement may inflate to.
const STATEMENT_LEN_MAX: u64 = 1 << 30;

/// Memory for the savepoints of one transaction, in bytes: the oldest are forgotten beyond it.
const SAVEPOINT_BYTES_MAX: usize = 2 << 20;
/// What a savepoint takes beside its name, in bytes: its share of two trees, and the counts of its name.
const SAVEPOINT_BYTES: usize = 144;

/// Ranges that were rolled back that are kept of one transaction: 4 MiB.
const RANGES_MAX: usize = (4 << 20) / size_of::<Range<u64>>();

/// What an event is to the transaction around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Says which transaction or statement comes next.
    Identity,
    /// Opens a transaction.
    Begin,
    /// Belongs to the transaction that is open.
    Inside,
    /// `SAVEPOINT`, with its name in lower case.
    Savepoint(String),
    /// `ROLLBACK TO`, with the name in lower case.
    RollbackTo(String),
    /// Ends the transaction, which keeps what it did: committed, or prepared (XA).
    End,
    /// Ends the transaction, and takes back what it did.
    Rollback,
    /// Stands by itself between two transactions: a statement, or what a file consists of beside them.
    Alone,
}

/// Where a stream of events stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Outside,
    /// Behind the identity of what comes next, which starts there.
    Announced(u64),
    /// In the transaction that starts there.
    Inside(u64),
}

/// Whether an event stands in the file: what a server makes up for the connection comes between any two
/// others, as the format description at the begin of a dump.
fn is_of_file(event: &RawEvent<'_>) -> bool {
    !event.header.is_artificial() && event.end > event.start
}

/// Follows the bounds of transactions through a stream of events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionBounds {
    state: State,
}

impl TransactionBounds {
    /// Takes the next event of the stream, which begins between two transactions.
    ///
    /// # Errors
    /// [`ParseError`] when the body of an event that matters here is malformed.
    pub fn event(&mut self, event: &RawEvent<'_>) -> Result<Bound, ParseError> {
        let bound = self.bound(event.header.event_type, event.body, &event.format)?;
        let start = match self.state {
            State::Outside => event.start,
            State::Announced(start) | State::Inside(start) => start,
        };
        match bound {
            Bound::Identity => self.state = State::Announced(event.start),
            Bound::Begin => self.state = State::Inside(start),
            Bound::Inside | Bound::Savepoint(_) | Bound::RollbackTo(_) => {}
            Bound::End | Bound::Rollback => self.state = State::Outside,
            Bound::Alone if !is_of_file(event) => {}
            Bound::Alone => self.state = State::Outside,
        }
        Ok(bound)
    }

    /// Where the transaction starts that is open, or announced: the stream can begin there, but at no
    /// event behind. `None` between two transactions.
    #[must_use]
    pub const fn open_since(&self) -> Option<u64> {
        match self.state {
            State::Outside => None,
            State::Announced(start) | State::Inside(start) => Some(start),
        }
    }

    fn bound(
        &self,
        event_type: u8,
        body: &[u8],
        format: &FormatDescription,
    ) -> Result<Bound, ParseError> {
        let is_inside = matches!(self.state, State::Inside(_));
        Ok(match event_type {
            t::GTID | t::GTID_TAGGED | t::ANONYMOUS_GTID => Bound::Identity,
            t::MARIADB_GTID if MariadbGtidEvent::parse(body)?.opens_transaction() => Bound::Begin,
            t::MARIADB_GTID => Bound::Identity,
            t::XID | t::XA_PREPARE | t::TRANSACTION_PAYLOAD => Bound::End,
            t::QUERY => {
                if QueryEvent::begin_of(body, format)?.is_some() {
                    return Ok(Bound::Begin);
                }
                of_statement(QueryEvent::parse(body, format)?.sql, is_inside)
            }
            t::MARIADB_QUERY_COMPRESSED => {
                let mut sql = Vec::new();
                let query = QueryEvent::parse(body, format)?;
                decompress_mariadb(query.sql, &mut sql, STATEMENT_LEN_MAX)?;
                of_statement(&sql, is_inside)
            }
            // A file ends, and another one begins: no transaction goes on across them.
            t::FORMAT_DESCRIPTION
            | t::PREVIOUS_GTIDS
            | t::MARIADB_GTID_LIST
            | t::STOP
            | t::ROTATE => Bound::Alone,
            _ if is_inside || matches!(self.state, State::Announced(_)) => Bound::Inside,
            // The rows of a file that begins inside a transaction, and what stands before statements.
            t::TABLE_MAP..=t::DELETE_ROWS_V1
            | t::WRITE_ROWS..=t::DELETE_ROWS
            | t::ROWS_QUERY
            | t::PARTIAL_UPDATE_ROWS
            | t::INTVAR
            | t::RAND
            | t::USER_VAR
            | t::BEGIN_LOAD_QUERY
            | t::APPEND_BLOCK
            | t::MARIADB_ANNOTATE_ROWS
            | t::MARIADB_WRITE_ROWS_COMPRESSED_V1..=t::MARIADB_DELETE_ROWS_COMPRESSED => {
                Bound::Inside
            }
            _ => Bound::Alone,
        })
    }
}

fn of_statement(sql: &[u8], is_inside: bool) -> Bound {
    match StatementRole::of(sql) {
        StatementRole::Begin | StatementRole::XaStart => Bound::Begin,
        StatementRole::Commit if is_inside => Bound::End,
        StatementRole::Rollback if is_inside => Bound::Rollback,
        StatementRole::Savepoint(name) => Bound::Savepoint(name),
        StatementRole::RollbackTo(name) => Bound::RollbackTo(name),
        // How MySQL 8.0.21 and later log `CREATE TABLE ... SELECT`: rows follow.
        StatementRole::OpensTransaction if !is_inside => Bound::Begin,
        StatementRole::Commit
        | StatementRole::Rollback
        | StatementRole::XaEnd
        | StatementRole::XaCommit
        | StatementRole::XaRollback
        | StatementRole::OpensTransaction
        | StatementRole::Other => match is_inside {
            true => Bound::Inside,
            false => Bound::Alone,
        },
    }
}

/// Why the rows of a transaction that were rolled back cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavepointError {
    /// There is no such savepoint.
    #[error("ROLLBACK TO `{0}` names a savepoint that the transaction does not have")]
    Unknown(String),
    /// The savepoint is not known any more, or never was.
    #[error(
        "ROLLBACK TO `{0}` names none of the latest savepoints of the transaction, and its older ones were \
         forgotten: all of them would take more than {SAVEPOINT_BYTES_MAX} bytes"
    )]
    Forgotten(String),
    /// A bound on memory.
    #[error("the transaction has more than {RANGES_MAX} rollbacks to savepoints")]
    TooMany,
}

/// The savepoints of a transaction. They take at most 2 MiB: the oldest are forgotten beyond.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Savepoints {
    /// Number of the savepoint of a name.
    numbers: BTreeMap<Arc<str>, u64>,
    /// Name, and offset of its event, of the savepoint of a number. Numbers grow from one to the next.
    marks: BTreeMap<u64, (Arc<str>, u64)>,
    last_number: u64,
    /// Lengths of all names.
    name_bytes: usize,
    has_forgotten: bool,
}

impl Savepoints {
    /// Another transaction begins.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A savepoint of this name, whose event starts at `offset`. An earlier one of the same name is gone.
    pub fn set(&mut self, name: &str, offset: u64) {
        if let Some(number) = self.numbers.get(name).copied() {
            self.remove(number);
        }
        self.last_number += 1;
        let name = Arc::<str>::from(name);
        self.name_bytes += name.len();
        self.numbers.insert(Arc::clone(&name), self.last_number);
        self.marks.insert(self.last_number, (name, offset));
        while self.bytes() > SAVEPOINT_BYTES_MAX
            && let Some((&oldest, _)) = self.marks.first_key_value()
        {
            self.remove(oldest);
            self.has_forgotten = true;
        }
    }

    /// A rollback to a savepoint, whose event starts at `offset`: events that start in the range are taken
    /// back. The savepoint stays, those behind it are gone.
    ///
    /// # Errors
    /// [`SavepointError::Unknown`], [`SavepointError::Forgotten`]
    pub fn roll_back_to(&mut self, name: &str, offset: u64) -> Result<Range<u64>, SavepointError> {
        let number = self.numbers.get(name).copied();
        let mark = number.and_then(|number| Some((number, self.marks.get(&number)?.1)));
        let Some((number, start)) = mark else {
            let name = name.to_owned();
            return Err(match self.has_forgotten {
                true => SavepointError::Forgotten(name),
                false => SavepointError::Unknown(name),
            });
        };
        while let Some((&last, _)) = self.marks.last_key_value()
            && last > number
        {
            self.remove(last);
        }
        Ok(start..offset)
    }

    fn remove(&mut self, number: u64) {
        if let Some((name, _)) = self.marks.remove(&number) {
            self.numbers.remove(&name);
            self.name_bytes -= name.len();
        }
    }

    fn bytes(&self) -> usize {
        self.name_bytes + self.marks.len() * SAVEPOINT_BYTES
    }
}

/// Which events of a transaction its source rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionFate {
    /// Offsets at which they start, in order.
    rolled_back: Vec<Range<u64>>,
    /// The transaction has no end.
    is_cut_off: bool,
}

impl TransactionFate {
    /// Whether the changes of the event that starts at `offset` were taken back.
    #[must_use]
    pub fn is_rolled_back(&self, offset: u64) -> bool {
        let behind = self.rolled_back.partition_point(|range| range.start <= offset);
        let range = behind.checked_sub(1).and_then(|index| self.rolled_back.get(index));
        range.is_some_and(|range| offset < range.end)
    }

    /// Whether the transaction has no end: its server ended while it was written, and took all of it back.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Takes back what lies in a range, which ends behind all others.
    ///
    /// # Errors
    /// [`SavepointError::TooMany`]
    pub fn roll_back(&mut self, range: Range<u64>) -> Result<(), SavepointError> {
        while self.rolled_back.last().is_some_and(|last| last.start >= range.start) {
            self.rolled_back.pop();
        }
        if self.rolled_back.len() >= RANGES_MAX {
            return Err(SavepointError::TooMany);
        }
        self.rolled_back.push(range);
        Ok(())
    }
}

/// Reads ahead through one transaction for what becomes of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FateScan {
    /// Where the transaction begins.
    begin: u64,
    /// The first event that is looked at.
    from: u64,
    bounds: TransactionBounds,
    savepoints: Savepoints,
    fate: TransactionFate,
}

/// Why a scan ends without a fate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FateError {
    /// An event cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// See there.
    #[error(transparent)]
    Savepoint(#[from] SavepointError),
}

impl FateScan {
    /// For the transaction whose first event starts at `begin`, from an event in it on that starts at
    /// `from`, with the savepoints that it has there.
    #[must_use]
    pub fn new(begin: u64, from: u64, savepoints: Savepoints) -> Self {
        let bounds = TransactionBounds { state: State::Inside(begin) };
        Self { begin, from, bounds, savepoints, fate: TransactionFate::default() }
    }

    /// Takes the next event of the file; the fate is known at the transaction's last one. A transaction
    /// behind which its file ends, or the next one begins, was cut off by the end of its server, which
    /// takes it back when it starts again.
    ///
    /// # Errors
    /// [`FateError`]
    pub fn event(&mut self, event: &RawEvent<'_>) -> Result<Option<TransactionFate>, FateError> {
        if !is_of_file(event) || event.start < self.from {
            return Ok(None);
        }
        match self.bounds.event(event)? {
            Bound::Savepoint(name) => self.savepoints.set(&name, event.start),
            Bound::RollbackTo(name) => {
                self.fate.roll_back(self.savepoints.roll_back_to(&name, event.start)?)?;
            }
            Bound::End => return Ok(Some(std::mem::take(&mut self.fate))),
            Bound::Rollback => {
                self.fate.roll_back(self.begin..event.start)?;
                return Ok(Some(std::mem::take(&mut self.fate)));
            }
            Bound::Alone | Bound::Begin | Bound::Identity => return Ok(Some(self.without_end())),
            Bound::Inside => {}
        }
        Ok(None)
    }

    /// The fate of a transaction whose file ends, and is not the last one.
    #[must_use]
    pub fn cut_off(self) -> TransactionFate {
        self.without_end()
    }

    fn without_end(&self) -> TransactionFate {
        let rolled_back = std::iter::once(self.begin..u64::MAX).collect();
        TransactionFate { rolled_back, is_cut_off: true }
    }
}

#[cfg(test)]
mod tests;
