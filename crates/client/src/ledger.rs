//! The batches that are out: what the user did with them, and what the server is told of it.
//!
//! The server takes acks in the order of the batches only, and gives back everything from the oldest
//! on. So an ack waits for the older ones, and a batch that is given back takes the younger ones along.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// What the user did with a batch.
#[derive(Debug)]
enum Fate {
    /// Nothing yet.
    Out,
    /// Acknowledged it, and waits to hear that this was sent.
    Acked(oneshot::Sender<()>),
    /// Gave it back.
    Returned,
}

#[derive(Debug)]
struct Outstanding {
    id: i64,
    len: usize,
    fate: Fate,
}

/// What the server has to be told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// That this batch, the oldest, was processed.
    Ack(i64),
    /// That all batches come again.
    Rollback,
    /// Nothing.
    Nothing,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Grows whenever all batches become void.
    term: u64,
    batches: VecDeque<Outstanding>,
}

impl Ledger {
    pub(crate) const fn term(&self) -> u64 {
        self.term
    }

    pub(crate) fn count(&self) -> usize {
        self.batches.len()
    }

    /// Bytes of all entries that are out.
    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.len).sum()
    }

    /// A batch came.
    pub(crate) fn add(&mut self, id: i64, len: usize) {
        self.batches.push_back(Outstanding { id, len, fate: Fate::Out });
    }

    /// The user acknowledges. `None`: the batch is void. What comes back hears when the ack is sent,
    /// and is cut off when the batch becomes void.
    pub(crate) fn ack(&mut self, term: u64, id: i64) -> Option<oneshot::Receiver<()>> {
        let batch = self.find(term, id)?;
        let (sender, receiver) = oneshot::channel();
        batch.fate = Fate::Acked(sender);
        Some(receiver)
    }

    /// The user gives it back.
    pub(crate) fn give_back(&mut self, term: u64, id: i64) {
        if let Some(batch) = self.find(term, id) {
            batch.fate = Fate::Returned;
        }
    }

    /// Whether it can still be acknowledged: neither it nor an older one was given back.
    pub(crate) fn is_current(&self, term: u64, id: i64) -> bool {
        let mut kept = self.batches.iter().take_while(|it| !matches!(it.fate, Fate::Returned));
        term == self.term && kept.any(|batch| batch.id == id)
    }

    fn find(&mut self, term: u64, id: i64) -> Option<&mut Outstanding> {
        if term != self.term {
            return None;
        }
        self.batches.iter_mut().find(|batch| batch.id == id)
    }

    pub(crate) fn next(&self) -> Action {
        match self.batches.front() {
            Some(Outstanding { id, fate: Fate::Acked(_), .. }) => Action::Ack(*id),
            Some(Outstanding { fate: Fate::Returned, .. }) => Action::Rollback,
            Some(Outstanding { fate: Fate::Out, .. }) | None => Action::Nothing,
        }
    }

    /// The ack of the oldest batch is sent.
    pub(crate) fn acked(&mut self) {
        if let Some(Outstanding { fate: Fate::Acked(waiting), .. }) = self.batches.pop_front() {
            // Nobody has to wait for it.
            let _heard: bool = waiting.send(()).is_ok();
        }
    }

    /// All batches come again: those that are out can neither be acknowledged nor given back.
    pub(crate) fn void(&mut self) {
        self.term += 1;
        self.batches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_go_out_in_the_order_of_the_batches() {
        let mut ledger = Ledger::default();
        for id in 1..=3 {
            ledger.add(id, 10);
        }
        let mut late = ledger.ack(0, 2).unwrap();
        assert_eq!(ledger.next(), Action::Nothing);
        let mut first = ledger.ack(0, 1).unwrap();
        assert_eq!(ledger.next(), Action::Ack(1));
        ledger.acked();
        assert!(first.try_recv().is_ok() && late.try_recv().is_err());
        assert_eq!(ledger.next(), Action::Ack(2));
        ledger.acked();
        assert_eq!((ledger.count(), ledger.bytes()), (1, 10));
    }

    #[test]
    fn what_is_given_back_takes_the_younger_ones_along_and_waits_for_the_older() {
        let mut ledger = Ledger::default();
        for id in 1..=3 {
            ledger.add(id, 10);
        }
        ledger.give_back(0, 2);
        // The server is not told yet: the younger one is void all the same.
        assert_eq!([1, 2, 3].map(|id| ledger.is_current(0, id)), [true, false, false]);
        let mut young = ledger.ack(0, 3).unwrap();
        assert_eq!(ledger.next(), Action::Nothing);
        let _first = ledger.ack(0, 1).unwrap();
        ledger.acked();
        assert_eq!(ledger.next(), Action::Rollback);
        ledger.void();
        assert!(young.try_recv().is_err());
        assert!(ledger.ack(0, 3).is_none());
        ledger.add(3, 1);
        ledger.give_back(0, 3);
        assert_eq!(ledger.next(), Action::Nothing);
    }
}
