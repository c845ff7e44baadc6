//! What is known of one client id.

use std::collections::VecDeque;

use towpath_coordination::Cursor;

use crate::error::DestinationError;
use crate::figures::Amount;
use crate::subscription::Subscriber;

/// Ids left of a reservation when the next one is asked for.
const IDS_LOW: i64 = 1 << 15;

/// Whether a batch keeps its entries in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Its entries are freed by its ack only.
    Holds,
    /// Its entries come again in another batch.
    Released,
}

/// Who has subscribed for a client id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Grows from subscription to subscription, over all of an engine.
    pub(crate) number: u64,
    /// Who it is.
    pub subscriber: Subscriber,
    /// When it subscribed first, in milliseconds since 1970.
    pub since_ms: i64,
}

/// A batch that was sent and not acknowledged.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) id: i64,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) ack: Option<Cursor>,
    pub(super) hold: Hold,
    pub(super) amount: Amount,
    /// The connection that got it, if it had subscribed.
    pub(super) to: Option<Subscriber>,
}

#[derive(Debug, Default)]
enum Membership {
    #[default]
    Gone,
    /// With this filter, by this change of the state directory.
    Subscribed { filter: String, generation: u64 },
}

/// Whether a subscription is more than a change of its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    New,
    Again,
}

/// One client id of a destination. It outlives its subscription, so that batch ids go on.
#[derive(Debug, Default)]
pub(super) struct Client {
    membership: Membership,
    /// Who has subscribed last, and gets the batches.
    reader: Option<Reader>,
    /// Oldest first.
    pub(super) batches: VecDeque<Outstanding>,
    /// The last batch id given out.
    pub(super) last_id: i64,
    /// Batch ids up to this one are reserved on disk.
    pub(super) reserved: i64,
    /// Batch ids up to this one are reserved when this change is on disk.
    pub(super) reserving: Option<(i64, u64)>,
}

impl Client {
    /// A client of the state directory: it is subscribed, and ids go on above those it ever had.
    pub(super) fn known(known: &towpath_coordination::Client, reserving: (i64, u64)) -> Self {
        let filter = known.filter.clone().unwrap_or_default();
        Self {
            membership: Membership::Subscribed { filter, generation: 0 },
            last_id: known.batch_ids,
            reserved: known.batch_ids,
            reserving: Some(reserving),
            ..Self::default()
        }
    }

    pub(super) const fn is_subscribed(&self) -> bool {
        match self.membership {
            Membership::Subscribed { .. } => true,
            Membership::Gone => false,
        }
    }

    /// The filter that it has subscribed with; empty for none.
    pub(super) fn filter(&self) -> &str {
        match &self.membership {
            Membership::Subscribed { filter, .. } => filter,
            Membership::Gone => "",
        }
    }

    /// The change that brought the same subscription.
    pub(super) fn same(&self, wanted: &str) -> Option<u64> {
        match &self.membership {
            Membership::Subscribed { filter, generation } if filter == wanted => Some(*generation),
            Membership::Subscribed { .. } | Membership::Gone => None,
        }
    }

    pub(super) fn subscribe(&mut self, filter: &str, generation: u64) -> Entrance {
        let subscribed = Membership::Subscribed { filter: filter.to_owned(), generation };
        match std::mem::replace(&mut self.membership, subscribed) {
            Membership::Gone => Entrance::New,
            Membership::Subscribed { .. } => Entrance::Again,
        }
    }

    /// This one gets the batches from now on. True when another one did, which has to be told.
    pub(super) fn is_read_by(&mut self, reader: Reader) -> bool {
        let last = self.reader.replace(reader);
        match (last, &mut self.reader) {
            (Some(last), Some(own)) if last.subscriber == own.subscriber => {
                own.since_ms = last.since_ms;
                false
            }
            (last, _) => last.is_some(),
        }
    }

    /// Whether another connection got something that is not acknowledged.
    pub(super) fn has_batches_of_another(&self, reader: Option<&Reader>) -> bool {
        let Some(own) = reader.map(|reader| &reader.subscriber) else { return false };
        self.batches.iter().any(|batch| batch.to.as_ref().is_some_and(|to| to != own))
    }

    /// Who has subscribed last.
    pub(super) const fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The one who has subscribed after `reader`, if anybody has.
    pub(super) fn newer(&self, reader: Option<&Reader>) -> Option<&Reader> {
        let last = self.reader.as_ref()?;
        reader.filter(|own| own.number < last.number).map(|_| last)
    }

    /// Drops its batches; returns the first entry that they held.
    pub(super) fn unsubscribe(&mut self) -> Option<u64> {
        let first = self.oldest_holding();
        self.membership = Membership::Gone;
        self.batches.clear();
        first
    }

    pub(super) fn oldest_holding(&self) -> Option<u64> {
        self.batches.iter().find(|batch| batch.hold == Hold::Holds).map(|batch| batch.first)
    }

    /// True when the next reservation is due.
    pub(super) const fn needs_ids(&self) -> bool {
        self.reserved.saturating_sub(self.last_id) < IDS_LOW
    }

    /// Removes the oldest batch, if it is that one.
    pub(super) fn take_oldest(
        &mut self,
        batch_id: i64,
        unknown: DestinationError,
    ) -> Result<Outstanding, DestinationError> {
        let oldest = match self.batches.front() {
            Some(batch) if batch.id == batch_id => batch.id,
            Some(batch) if self.batches.iter().any(|other| other.id == batch_id) => {
                return Err(DestinationError::NotOldest { batch_id, oldest: batch.id });
            }
            Some(_) | None => return Err(unknown),
        };
        self.batches.pop_front().filter(|batch| batch.id == oldest).ok_or(unknown)
    }

    /// Batches that reach beyond `sequence` hold nothing any more.
    pub(super) fn release(&mut self, sequence: u64) {
        for batch in self.batches.iter_mut().filter(|batch| batch.end > sequence) {
            batch.hold = Hold::Released;
        }
    }
}
