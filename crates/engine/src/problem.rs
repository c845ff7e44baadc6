//! What is wrong with a destination, each with its begin and its cause: the same for whoever shows it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towpath_source::Contact;

use crate::destination::{InstanceState, Look, Stage};
use crate::figures::now_ms;
use crate::slot::Trouble;

/// How long a full store is normal while nobody takes or acknowledges anything.
const FULL_MAX: Duration = Duration::from_secs(5);

/// How long a source may be away: a connection made anew is nothing wrong.
const RECONNECT_MAX: Duration = Duration::from_secs(3);

/// Something wrong with a destination.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What it is.
    pub kind: ProblemKind,
    /// Since when.
    pub since: SystemTime,
    /// Why, for people.
    pub why: String,
}

/// What can be wrong with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// It cannot be served: see its error.
    Failing,
    /// Its source does not answer, or refuses.
    SourceUnreachable,
    /// Its source is connected, and says nothing, not even that it lives.
    SourceSilent,
    /// Its source goes on, and nothing of it is read.
    Stalled,
    /// There is no session with ZooKeeper: nothing can be served.
    NoZooKeeper,
    /// Cursors cannot be written: what is acknowledged comes again after an end.
    StateUnwritable,
    /// There is no room for more, and nobody takes or acknowledges anything.
    StoreFull,
}

impl ProblemKind {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Failing,
        Self::SourceUnreachable,
        Self::SourceSilent,
        Self::Stalled,
        Self::NoZooKeeper,
        Self::StateUnwritable,
        Self::StoreFull,
    ];

    /// A few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::SourceUnreachable => "source unreachable",
            Self::SourceSilent => "source silent",
            Self::Stalled => "stalled",
            Self::NoZooKeeper => "ZooKeeper unreachable",
            Self::StateUnwritable => "state cannot be written",
            Self::StoreFull => "store full",
        }
    }
}

/// What is wrong.
pub(crate) fn problems(
    trouble: Option<&Trouble>,
    active: Option<(&InstanceState, &Look)>,
    home: Option<Problem>,
) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(trouble) = trouble {
        let (since, why) = (trouble.since, trouble.cause.to_string());
        found.push(Problem { kind: ProblemKind::Failing, since, why });
    }
    let unwritten = active.and_then(|(_, look)| look.unwritten.as_ref());
    let unwritten = unwritten.map(|(since, error)| Problem {
        kind: ProblemKind::StateUnwritable,
        since: *since,
        why: error.to_string(),
    });
    found.extend(home.or(unwritten));
    if let Some((state, look)) = active
        && matches!(state, InstanceState::Starting | InstanceState::Running)
    {
        found.extend(of_source(look));
        found.extend(of_store(look));
    }
    found
}

fn of_source(look: &Look) -> Option<Problem> {
    if let Contact::Lost(loss) = &look.contact
        && loss.since.elapsed().unwrap_or_default() >= RECONNECT_MAX
    {
        let why = format!("{}; tried {} times", loss.error, loss.attempts);
        return Some(Problem { kind: ProblemKind::SourceUnreachable, since: loss.since, why });
    }
    if let Some(since) = look.health.stalled_since {
        let why = "the source goes on, and nothing of it comes".to_owned();
        return Some(Problem { kind: ProblemKind::Stalled, since, why });
    }
    let waits = match look.health.stage {
        Stage::Source | Stage::Opening | Stage::Structure | Stage::Fate => true,
        Stage::Archive | Stage::Decoding | Stage::History | Stage::Room => false,
    };
    let waiting_since = look.health.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    let waiting_since_ms = i64::try_from(waiting_since.as_millis()).unwrap_or(i64::MAX);
    let since_ms = look.reading.silent_since_ms(waiting_since_ms).filter(|_| waits)?;
    let since = UNIX_EPOCH + Duration::from_millis(u64::try_from(since_ms).unwrap_or(0));
    let silence_s = (now_ms() - since_ms) / 1000;
    let why = format!("nothing was heard for {silence_s} s, though it promised a heartbeat");
    Some(Problem { kind: ProblemKind::SourceSilent, since, why })
}

fn of_store(look: &Look) -> Option<Problem> {
    let since_ms = look.reading.full_since_ms?;
    let for_ms = now_ms() - since_ms;
    if look.idle < FULL_MAX || for_ms < i64::try_from(FULL_MAX.as_millis()).unwrap_or(i64::MAX) {
        return None;
    }
    let since = UNIX_EPOCH + Duration::from_millis(u64::try_from(since_ms).unwrap_or(0));
    let idle_s = look.idle.as_secs();
    let why = match look.holder {
        Some((client_id, batch_id)) => format!(
            "client id {client_id} has not acknowledged batch {batch_id}, and nobody has taken or \
             acknowledged anything for {idle_s} s"
        ),
        None => format!("nobody has taken or acknowledged anything for {idle_s} s"),
    };
    Some(Problem { kind: ProblemKind::StoreFull, since, why })
}
