//! What a source rolled back of a transaction whose rows are in its binlog all the same.
//!
//! Nothing of such a transaction may go out before its end is known: what comes is held, and taken back when
//! the source took it back. A transaction that is too long to be held is read ahead for its end.

use towpath_binlog::FormatDescription;
use towpath_binlog::transaction::{FateScan, Savepoints, TransactionFate};

use super::{Decoder, Origin};
use crate::block::EntryKind;
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
    /// It began there, and was read ahead.
    Known { begin: u64, fate: TransactionFate },
}

impl Outcome {
    pub(super) fn forget(&mut self) {
        self.state = State::Certain;
        self.savepoints.clear();
        self.only_rows = false;
    }

    /// Whether it has to be read ahead, from an event on, what becomes of the transaction.
    #[cold]
    const fn is_asked(&mut self, from: u64) -> bool {
        self.asked = from;
        matches!(self.state, State::Held { .. })
    }

    /// Whether what an event did is known to be taken back.
    #[inline]
    pub(super) fn is_rolled_back(&self, origin: &Origin<'_>) -> bool {
        match &self.state {
            State::Certain | State::Held { .. } => false,
            State::Known { fate, .. } => fate.is_rolled_back(origin.start),
        }
    }

    /// Whether it is known that the transaction has no end: nothing of it is delivered.
    pub(super) const fn is_cut_off(&self) -> bool {
        match &self.state {
            State::Certain | State::Held { .. } => false,
            State::Known { fate, .. } => fate.is_cut_off(),
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

    /// Whether more of the transaction is held than may be, so that its end has to be known before the event at
    /// hand. To be asked before an event is consumed that adds to the entries of the transaction.
    #[inline]
    pub(super) const fn needs_fate(&mut self, origin: &Origin<'_>) -> bool {
        self.output.holds_too_much(self.options.held_bytes_max)
            && self.outcome.is_asked(origin.start)
    }

    /// The transaction is over.
    pub(super) fn release_transaction(&mut self) {
        self.output.release();
        self.outcome.forget();
    }

    /// How to find out what [`super::Step::NeedFate`] asks for; `None` if nothing is asked.
    #[must_use]
    pub fn fate_scan(&self) -> Option<FateScan> {
        let Outcome { state, savepoints, asked, .. } = &self.outcome;
        match state {
            State::Held { begin } => Some(FateScan::new(*begin, *asked, savepoints.clone())),
            State::Certain | State::Known { .. } => None,
        }
    }

    /// Takes what [`super::Step::NeedFate`] asked for. Nothing happens when nothing was asked.
    pub fn learn_fate(&mut self, fate: TransactionFate) {
        let State::Held { begin } = self.outcome.state else { return };
        if fate.is_cut_off() {
            self.held = None;
            self.output.abandon_group();
        } else {
            self.output.retract(begin, |offset| fate.is_rolled_back(offset));
            self.output.release();
        }
        self.outcome.state = State::Known { begin, fate };
    }

    /// Another transaction, or another file, begins, and the one at hand has no end: its server ended while
    /// it was written, and took it back when it was started again.
    pub(super) fn cut_off(&mut self, origin: &Origin<'_>) {
        if !self.in_transaction {
            return;
        }
        self.in_transaction = false;
        self.held = None;
        let is_told = match self.outcome.state {
            State::Certain => false,
            State::Held { .. } => {
                let has_content = self.output.has_content();
                self.output.abandon_group();
                has_content
            }
            State::Known { .. } => true,
        };
        if is_told {
            self.doubts.add("a transaction without an end: it was rolled back", origin);
        }
        self.release_transaction();
    }

    /// `SAVEPOINT`.
    pub(super) fn savepoint(&mut self, name: &str, origin: &Origin<'_>) {
        if let State::Held { .. } = self.outcome.state {
            self.outcome.savepoints.set(name, origin.start);
        }
    }

    /// `ROLLBACK TO`: what rows did behind the savepoint is taken back.
    pub(super) fn rolled_back_to(
        &mut self,
        name: &str,
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        match &self.outcome.state {
            State::Held { .. } => {
                let range = self.outcome.savepoints.roll_back_to(name, origin.start)?;
                self.output.retract(range.start, |offset| range.contains(&offset));
                Ok(())
            }
            // What is taken back ends where this event starts.
            State::Known { fate, .. } if fate.is_rolled_back(origin.start.saturating_sub(1)) => {
                Ok(())
            }
            State::Known { .. } | State::Certain => Err(DecodeError::RolledBack),
        }
    }

    /// `ROLLBACK`: all that rows did in the transaction is taken back.
    pub(super) fn rolled_back(&mut self, origin: &Origin<'_>) -> Result<(), DecodeError> {
        match &self.outcome.state {
            State::Held { begin } => self.output.retract(*begin, |_| true),
            State::Known { begin, fate } if fate.is_rolled_back(*begin) => {}
            State::Known { .. } => return Err(DecodeError::RolledBack),
            State::Certain if self.in_transaction => return Err(DecodeError::RolledBack),
            State::Certain => {
                self.passed(origin);
                return Ok(());
            }
        }
        if self.output.has_content() {
            // Statements are left, of tables that may have no transactions.
            self.carry(EntryKind::Query, b"ROLLBACK", Some(""), origin);
        }
        self.end("0", &[], origin)
    }
}
