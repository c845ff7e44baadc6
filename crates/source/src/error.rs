//! What can go wrong between here and the source, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;
use towpath_binlog::StreamError;

/// A fault of the source or of the way to it.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The URL of the source cannot be used.
    #[error("source `{url}`: {reason}")]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The start position cannot be used.
    #[error("start `{start}`: {reason}")]
    Start {
        /// The text given.
        start: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Connecting, reading or writing failed.
    #[error("{address}: {doing}: {source}")]
    Io {
        /// Host and port of the source.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Nothing came for too long.
    #[error("{address}: {doing}: nothing came for {seconds} s")]
    Silence {
        /// Host and port of the source.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// The deadline in seconds.
        seconds: u64,
    },
    /// The server said no.
    #[error("{address}: {doing}: errno = {errno}, sqlstate = {sqlstate} errmsg = {message}")]
    Server {
        /// Host and port of the source.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// MySQL's error number.
        errno: u16,
        /// SQL state.
        sqlstate: String,
        /// The server's text.
        message: String,
    },
    /// The server speaks in a way that is not understood.
    #[error("{address}: {doing}: {reason}")]
    Protocol {
        /// Host and port of the source.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// What was not understood.
        reason: String,
    },
    /// The source ended the dump.
    #[error(
        "{address}: the source ended the dump without a word: a second reader with the same server \
         id ({server_id}) does that; give each reader its own with --server-id"
    )]
    Ended {
        /// Host and port of the source.
        address: String,
        /// The server id of this reader.
        server_id: u32,
    },
    /// The source is not set up for replication by row.
    #[error("{address}: {reason}")]
    Setup {
        /// Host and port of the source.
        address: String,
        /// What is missing, and how to get it.
        reason: String,
    },
    /// The position is no longer there.
    #[error(
        "{address}: position {wanted} is not there; the source keeps {kept}. Start with --from \
         earliest to go on with a gap, or --from now to skip what was missed"
    )]
    Purged {
        /// Host and port of the source.
        address: String,
        /// The position asked for.
        wanted: String,
        /// What is left.
        kept: String,
    },
    /// Another server answers at the same address.
    #[error(
        "{address}: another server answers than before ({before}, now {now}): its file positions \
         mean something else; start anew with --from, or follow it by GTID"
    )]
    OtherServer {
        /// Host and port of the source.
        address: String,
        /// Identity before.
        before: String,
        /// Identity now.
        now: String,
    },
    /// An event is malformed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A binlog file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A binlog file is not one, or ends in the middle of an event.
    #[error("{}:{offset}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Offset at which the fault lies.
        offset: u64,
        /// What was expected.
        reason: String,
    },
}

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Connect again after a pause.
    Retry,
    /// Somebody has to act first.
    Stop,
}

impl SourceError {
    /// Whether connecting again can help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Io { .. } | Self::Silence { .. } | Self::Ended { .. } | Self::Protocol { .. } => {
                Recovery::Retry
            }
            Self::Server { errno, message, .. } => server_recovery(*errno, message),
            Self::Url { .. }
            | Self::Start { .. }
            | Self::Setup { .. }
            | Self::Purged { .. }
            | Self::OtherServer { .. }
            | Self::Stream(_)
            | Self::File { .. }
            | Self::BadFile { .. } => Recovery::Stop,
        }
    }

    /// What the operator can do, where the message does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Server { errno, message, .. } = self else { return None };
        match errno {
            1045 | 1698 => Some("check user and password in --source"),
            1227 => Some(
                "the user needs: GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO user",
            ),
            1142 => Some("the user needs SELECT on the table, to read its structure"),
            1236 => boundary_hint(message),
            _ => None,
        }
    }
}

/// Causes of error 1236 (mysql-source 3.4), old and new vocabulary.
fn server_recovery(errno: u16, message: &str) -> Recovery {
    let text = message.to_ascii_lowercase();
    let duplicate = text.contains("same server_uuid/server_id") || text.contains("same server_id");
    match errno {
        4052 => Recovery::Retry,
        1236 if duplicate => Recovery::Retry,
        1236 | 1045 | 1698 | 1227 | 1142 | 1047 | 1773 | 1941 | 1049 | 1044 => Recovery::Stop,
        _ => Recovery::Retry,
    }
}

fn boundary_hint(message: &str) -> Option<&'static str> {
    let text = message.to_ascii_lowercase();
    if text.contains("max_allowed_packet")
        || text.contains("bogus data")
        || text.contains("truncated")
    {
        return Some("the position lies inside an event: take one that SHOW BINLOG EVENTS lists");
    }
    if text.contains("could not find first log file")
        || text.contains("purged")
        || text.contains("impossible position")
        || text.contains("position > file size")
    {
        return Some(
            "the position is gone: --from earliest goes on with a gap, --from now skips it",
        );
    }
    None
}
