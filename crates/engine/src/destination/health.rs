//! What an instance waits for, and what has happened to it: facts for whoever shows them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;
use towpath_source::Gap;

/// What an instance is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It opens its source.
    Opening,
    /// It waits for events of the source, or for the source itself.
    Source,
    /// It waits for files of the source's archive, which may take long to come.
    Archive,
    /// It decodes what has come.
    Decoding,
    /// It asks the source for the structure of a table.
    Structure,
    /// It reads ahead for the end of a long transaction.
    Fate,
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
            Self::Archive => "waiting for the archive",
            Self::Decoding => "decoding",
            Self::Structure => "asking for the structure of a table",
            Self::Fate => "reading ahead for the end of a long transaction",
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
    /// File and offset up to which the source was read.
    pub read: Option<(Arc<str>, u64)>,
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

/// How far an instance is, for whoever compares it with its source.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// Counts the steps.
    pub(crate) count: u64,
    /// When the last one was.
    pub(crate) moved_at: Instant,
    pub(crate) read: Option<(Arc<str>, u64)>,
    pub(crate) stage: Stage,
}

#[derive(Debug)]
struct Facts {
    told: InstanceHealth,
    count: u64,
    moved_at: Instant,
}

/// The facts of one destination.
#[derive(Debug)]
pub(crate) struct Health(Mutex<Facts>);

impl Health {
    pub(super) fn new() -> Self {
        let told = InstanceHealth {
            stage: Stage::Opening,
            since: SystemTime::now(),
            read: None,
            stalled_since: None,
            stall_count: 0,
            gap_count: 0,
            last_gap: None,
            unknown_event_count: 0,
        };
        Self(Mutex::new(Facts { told, count: 0, moved_at: Instant::now() }))
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> InstanceHealth {
        self.facts().told.clone()
    }

    pub(crate) fn enter(&self, stage: Stage) {
        let told = &mut self.facts().told;
        if told.stage != stage {
            told.stage = stage;
            told.since = SystemTime::now();
        }
    }

    /// Something was read, up to here. True when nothing had been for too long.
    pub(crate) fn moved(&self, read: (Arc<str>, u64)) -> bool {
        let mut facts = self.facts();
        facts.count += 1;
        facts.moved_at = Instant::now();
        facts.told.read = Some(read);
        facts.told.stalled_since.take().is_some()
    }

    pub(crate) fn progress(&self) -> Progress {
        let facts = self.facts();
        Progress {
            count: facts.count,
            moved_at: facts.moved_at,
            read: facts.told.read.clone(),
            stage: facts.told.stage,
        }
    }

    /// The source goes on, and nothing of it is read.
    pub(crate) fn stall(&self) {
        let told = &mut self.facts().told;
        told.stall_count += 1;
        told.stalled_since.get_or_insert_with(SystemTime::now);
    }

    pub(crate) fn gap(&self, gap: Gap) {
        let told = &mut self.facts().told;
        told.gap_count += 1;
        told.last_gap = Some((SystemTime::now(), gap));
    }

    pub(crate) fn left_out(&self, event_count: u64) {
        self.facts().told.unknown_event_count = event_count;
    }
}
