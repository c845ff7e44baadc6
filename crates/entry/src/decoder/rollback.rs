//! What a source rolled back of a transaction whose rows are in its binlog all the same.
//!
//! Nothing of such a transaction may go out before its end is known: what comes is held, and taken back when
//! the source took it back. A transaction that is too long to be held is read ahead for its end.

use towpath_binlog::FormatDescription;
use towpath_binlog::transaction::{FateScan, Savepoints, StatementRole, TransactionFate};

use super::{Decoder, Origin};
use crate::error::DecodeError;

/// What is known of how the transaction at hand ends.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    state: State,
    savepoints: Savepoints,
    /// The identity of the transaction says that all changes in it are rows.
    only_rows: bool,
    /// The event from which on it has to be read ahead.
    asked: u64,
}

#[derive(Debug, Default)]
enum State {
    /// There is none, or its source can have rolled back nothing of it.
    #[default]
    Certain,
    /// It began there, and is held.
    Held { begin: u64 },
    /// It was read ahead.
    Known(TransactionFate),
}

impl Outcome {
    pub(super) fn forget(&mut self) {
        self.state = State::Certain;
        self.savepoints.clear();
    }

    /// Whether it has to be read ahead, from an event on, what becomes of the transaction.
    #[cold]
    pub(super) const fn is_asked(&mut self, from: u64) -> bool {
        self.asked = from;
        matches!(self.state, State::Held { .. })
    }

    /// Whether what an event did is known to be taken back.
    #[inline]
    pub(super) fn is_rolled_back(&self, origin: &Origin<'_>) -> bool {
        match &self.state {
            State::Certain | State::Held { .. } => false,
            State::Known(fate) => fate.is_rolled_back(origin.start),
        }
    }

    /// The transaction cannot be rolled back in the binlog.
    pub(super) const fn all_are_rows(&mut self) {
        self.only_rows = true;
    }

    /// What the identity of a transaction of MySQL says of it. Since 8.0 rows by themselves can be left out
    /// of the binlog when they are rolled back; before, a temporary table kept them in.
    pub(super) fn identified(&mut self, may_have_statements: bool, format: &FormatDescription) {
        self.only_rows = !may_have_statements && format.version_number() >= (8, 0, 2);
    }
}

impl Decoder {
    /// A transaction begins: what comes is held if its source may have rolled it back.
    pub(super) fn hold_transaction(&mut self, origin: &Origin<'_>) {
        self.outcome.savepoints.clear();
        if !self.outcome.only_rows {
            self.outcome.state = State::Held { begin: origin.start };
            self.output.hold();
        }
    }

    /// The transaction is over.
    pub(super) fn release_transaction(&mut self) {
        self.output.release();
        self.outcome.forget();
        self.outcome.only_rows = false;
    }

    /// How to find out what [`super::Step::NeedFate`] asks for; `None` if nothing is asked.
    #[must_use]
    pub fn fate_scan(&self) -> Option<FateScan> {
        let Outcome { state, savepoints, asked, .. } = &self.outcome;
        match state {
            State::Held { begin } => Some(FateScan::new(*begin, *asked, savepoints.clone())),
            State::Certain | State::Known(_) => None,
        }
    }

    /// Takes what [`super::Step::NeedFate`] asked for.
    pub fn learn_fate(&mut self, fate: TransactionFate) {
        self.output.retract(|offset| fate.is_rolled_back(offset));
        self.output.release();
        self.outcome.state = State::Known(fate);
    }

    /// Another transaction, or another file, begins, and the one at hand has no end: its server ended while
    /// it was written, and took it back when it was started again.
    pub(super) fn cut_off(&mut self, origin: &Origin<'_>) {
        if let State::Held { .. } = self.outcome.state
            && !self.output.holds_no_more_than_a_begin()
        {
            self.output.retract(|_| true);
            self.doubts.add("a transaction without an end: it was rolled back", origin);
        }
        self.release_transaction();
    }

    /// Whether a statement divides the transaction at hand, or takes a part of it back; that is dealt with.
    pub(super) fn divides(&mut self, sql: &[u8], origin: &Origin<'_>) -> Result<bool, DecodeError> {
        let is_held = matches!(self.outcome.state, State::Held { .. });
        match StatementRole::of(sql) {
            StatementRole::Savepoint(name) => {
                if is_held {
                    self.outcome.savepoints.set(&name, origin.start);
                }
                Ok(true)
            }
            StatementRole::RollbackTo(name) if is_held => {
                let range = self.outcome.savepoints.roll_back_to(&name, origin.start)?;
                self.output.retract(|offset| range.contains(&offset));
                Ok(true)
            }
            StatementRole::RollbackTo(_) => match self.outcome.state {
                State::Known(_) | State::Held { .. } => Ok(true),
                State::Certain => Err(DecodeError::RolledBack),
            },
            StatementRole::Begin
            | StatementRole::Commit
            | StatementRole::Rollback
            | StatementRole::XaStart
            | StatementRole::XaEnd
            | StatementRole::XaCommit
            | StatementRole::XaRollback
            | StatementRole::OpensTransaction
            | StatementRole::Other => Ok(false),
        }
    }

    /// `ROLLBACK`: all that rows did in the transaction is taken back.
    pub(super) fn rolled_back(&mut self, origin: &Origin<'_>) -> Result<(), DecodeError> {
        match self.outcome.state {
            State::Held { .. } => self.output.retract(|_| true),
            State::Known(_) => {}
            State::Certain if self.in_transaction => return Err(DecodeError::RolledBack),
            State::Certain => {
                self.passed(origin);
                return Ok(());
            }
        }
        if !self.output.holds_no_more_than_a_begin() {
            // Statements are left, of tables that may have no transactions.
            self.carry(b"ROLLBACK", Some(""), origin);
        }
        self.end("0", &[], origin);
        Ok(())
    }
}
