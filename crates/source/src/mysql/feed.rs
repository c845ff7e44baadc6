//! Where the events of a followed server come from.

use std::sync::Arc;

use towpath_binlog::RawEvent;

use super::dump::Dump;
use crate::archive::Reading;
use crate::error::SourceError;

/// At most one of them exists at any time.
#[derive(Debug)]
pub(super) enum Feed {
    /// From nowhere: the next step is to connect.
    Nothing,
    /// From the server itself.
    Server(Box<Dump>),
    /// From files that it has purged.
    Archive(Box<Reading>),
}

impl Feed {
    pub(super) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Server(dump) => dump.next_event(),
            Self::Archive(reading) => reading.next_event(),
        }
    }

    pub(super) fn unread(&mut self) {
        match self {
            Self::Nothing => {}
            Self::Server(dump) => dump.unread(),
            Self::Archive(reading) => reading.unread(),
        }
    }

    pub(super) fn file(&self) -> Option<Arc<str>> {
        match self {
            Self::Nothing => None,
            Self::Server(dump) => Some(dump.file()),
            Self::Archive(reading) => reading.file(),
        }
    }

    /// All that was handed out has arrived where it belongs.
    pub(super) async fn acknowledge(&mut self) {
        match self {
            Self::Server(dump) => dump.acknowledge().await,
            Self::Nothing | Self::Archive(_) => {}
        }
    }

    /// Where the next event begins.
    pub(super) fn position(&self) -> Option<(Arc<str>, u64)> {
        match self {
            Self::Nothing => None,
            Self::Server(dump) => Some(dump.position()),
            Self::Archive(reading) => reading.position(),
        }
    }

    /// Where the event that was handed out last begins.
    pub(super) fn place(&self) -> Option<(String, u64)> {
        match self {
            Self::Nothing => None,
            Self::Server(dump) => Some(dump.place()),
            Self::Archive(reading) => reading.place(),
        }
    }

    /// The dump, if one runs; nothing is left.
    pub(super) fn take_dump(&mut self) -> Option<Dump> {
        match std::mem::replace(self, Self::Nothing) {
            Self::Server(dump) => Some(*dump),
            Self::Nothing | Self::Archive(_) => None,
        }
    }
}
