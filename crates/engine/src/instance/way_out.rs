//! How an operator leaves a stop: the command that gets the instance going again.

use std::sync::Arc;

use towpath_coordination::Cursor;
use towpath_entry::DecodeError;
use towpath_source::{Lost, SourceError};

use crate::error::InstanceError;

/// What kind of stop it is.
enum Stop {
    /// The source has purged what comes next.
    Purged,
    /// The cursor means nothing there, or not the same any more.
    Gone,
    /// The next event cannot be read: reading has to go on behind it.
    Unreadable,
    /// Anything else: its own text says what to do.
    Other,
}

fn kind(error: &InstanceError) -> Stop {
    match error {
        InstanceError::Source(error) => match error {
            SourceError::Purged { lost: Lost::Purged, .. } | SourceError::Gap { .. } => {
                Stop::Purged
            }
            SourceError::Purged { lost: Lost::Elsewhere, .. }
            | SourceError::OtherServer { .. }
            | SourceError::Behind { .. }
            | SourceError::InsideEvent { .. } => Stop::Gone,
            SourceError::Server { errno: 1236, .. } => Stop::Gone,
            SourceError::Stream(_)
            | SourceError::Fate { .. }
            | SourceError::EventTooLong { .. }
            | SourceError::BadFile { .. } => Stop::Unreadable,
            SourceError::Url { .. }
            | SourceError::Start { .. }
            | SourceError::Io { .. }
            | SourceError::Silence { .. }
            | SourceError::Server { .. }
            | SourceError::Protocol { .. }
            | SourceError::Tls { .. }
            | SourceError::Privilege { .. }
            | SourceError::Duplicate { .. }
            | SourceError::Ended { .. }
            | SourceError::Setup { .. }
            | SourceError::Lost { .. }
            | SourceError::Archive { .. }
            | SourceError::File { .. } => Stop::Other,
        },
        InstanceError::Decode(_) | InstanceError::EntryTooLong { .. } => Stop::Unreadable,
        InstanceError::StoredFilter { .. }
        | InstanceError::GtidSet { .. }
        | InstanceError::State(_)
        | InstanceError::Task(_)
        | InstanceError::At { .. } => Stop::Other,
    }
}

fn is_incident(error: &InstanceError) -> bool {
    let InstanceError::Decode(DecodeError::At { source, .. }) = error else { return false };
    matches!(**source, DecodeError::Incident { .. })
}

/// Names the command, where there is one. `next` is the place behind the event that was read last.
pub(super) fn told(
    error: Arc<InstanceError>,
    cursor: Option<&Cursor>,
    next: Option<(Arc<str>, u64)>,
) -> Arc<InstanceError> {
    match hint(&error, cursor, next) {
        Some(hint) => Arc::new(InstanceError::At { source: error, hint }),
        None => error,
    }
}

fn hint(
    error: &InstanceError,
    cursor: Option<&Cursor>,
    next: Option<(Arc<str>, u64)>,
) -> Option<String> {
    let instead = cursor.map_or_else(String::new, |c| format!(" --instead-of {}", c.name()));
    let from = |start: &str| format!("--from {start}{instead}");
    let own = error.hint().map_or_else(String::new, |hint| format!("{hint}; "));
    Some(match kind(error) {
        Stop::Other => return None,
        Stop::Purged if cursor.is_some() => "start with `--when-purged oldest` to go on with the \
             oldest transaction that is left, or with `--when-purged newest` to go on with what is \
             written from then on; clients are told of the gap"
            .to_owned(),
        Stop::Purged | Stop::Gone => format!(
            "compare the data, then start with `{}` to get all that the source has, or with `{}` to \
             get what is written from then on",
            from("earliest"),
            from("now")
        ),
        Stop::Unreadable => match next.filter(|_| is_incident(error)) {
            // It is a transaction of its own.
            Some((file, offset)) => format!(
                "compare the data, since the source says that changes are not in its binlog; then \
                 start with `{}` to go on behind that",
                from(&format!("{file}:{offset}"))
            ),
            None => format!(
                "{own}if it cannot be read at all, start with `{}` to leave out what lies up to then, \
                 or name the begin of a later transaction or file in place of `now`",
                from("now")
            ),
        },
    })
}
