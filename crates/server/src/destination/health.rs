//! What an instance waits for, and what has happened to it: facts for whoever shows them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use towpath_source::Gap;

/// What an instance is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It opens its source.
    Opening,
    /// It waits for events of the source, or for the source itself.
    Source,
    /// It decodes what has come.
    Decoding,
    /// It asks the source for the structure of a table.
    Structure,
    /// It writes the history of structures.
    History,
    /// It waits for room in the store: for clients to take and to acknowledge.
    Room,
}

impl Stage {
    /// A few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening the source",
            Self::Source => "waiting for the source",
            Self::Decoding => "decoding",
            Self::Structure => "asking for the structure of a table",
            Self::History => "writing the history of structures",
            Self::Room => "waiting for room in the store",
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InstanceHealth {
    /// What it is at.
    pub stage: Stage,
    /// Since when.
    pub since: SystemTime,
    /// The end of the last event that was read.
    pub read: Option<(String, u64)>,
    /// Since when the source has more than is read, and nothing of it comes.
    pub stalled_since: Option<SystemTime>,
    /// How often that was so.
    pub stall_count: u64,
    /// How often something that the source had purged was jumped over.
    pub gap_count: u64,
    /// The last time, and what it was.
    pub last_gap: Option<(SystemTime, Gap)>,
    /// Rows events that were left out, for the structure of their table is not known.
    pub unknown_event_count: u64,
}

/// The facts of one destination.
#[derive(Debug)]
pub(crate) struct Health(Mutex<InstanceHealth>);

impl Health {
    pub(super) fn new() -> Self {
        Self(Mutex::new(InstanceHealth {
            stage: Stage::Opening,
            since: SystemTime::now(),
            read: None,
            stalled_since: None,
            stall_count: 0,
            gap_count: 0,
            last_gap: None,
            unknown_event_count: 0,
        }))
    }

    fn facts(&self) -> MutexGuard<'_, InstanceHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> InstanceHealth {
        self.facts().clone()
    }

    pub(crate) fn enter(&self, stage: Stage) {
        let mut facts = self.facts();
        if facts.stage != stage {
            facts.stage = stage;
            facts.since = SystemTime::now();
        }
    }

    pub(crate) fn gap(&self, gap: Gap) {
        let mut facts = self.facts();
        facts.gap_count += 1;
        facts.last_gap = Some((SystemTime::now(), gap));
    }

    pub(crate) fn left_out(&self, event_count: u64) {
        self.facts().unknown_event_count = event_count;
    }
}
