//! What can go wrong between here and the source, and what to do about it.

use std::io::ErrorKind;
use std::path::PathBuf;

use thiserror::Error;
use towpath_binlog::StreamError;
use towpath_binlog::transaction::FateError;
use towpath_schema::StructureAnswer;

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
    #[error(
        "{address}: {doing}: Received error packet: errno = {errno}, sqlstate = {sqlstate} \
         errmsg = {message}"
    )]
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
    /// TLS could not be agreed on, or the certificate is not accepted.
    #[error("{address}: TLS: {reason}")]
    Tls {
        /// Host and port of the source.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The user may not do what is needed.
    #[error("{address}: {doing}: the user lacks the privilege {privilege}: {message}")]
    Privilege {
        /// Host and port of the source.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// What has to be granted.
        privilege: &'static str,
        /// The server's text.
        message: String,
    },
    /// The source ended the dump because another reader with the same id came.
    #[error(
        "{address}: another reader came with the same server id ({server_id}), so the source ended \
         this dump: {message}; give each reader its own with --server-id"
    )]
    Duplicate {
        /// Host and port of the source.
        address: String,
        /// The server id of this reader.
        server_id: u32,
        /// The server's text.
        message: String,
    },
    /// The source ended the dump.
    #[error(
        "{address}: the source ended the dump without a word: it shuts down; or there is a second reader with \
         the same server id ({server_id}), then give each its own with --server-id"
    )]
    Ended {
        /// Host and port of the source.
        address: String,
        /// The server id of this reader.
        server_id: u32,
    },
    /// Reading ahead through a transaction failed.
    #[error("{file}:{offset}: what the source rolled back of a transaction cannot be told")]
    Fate {
        /// Binlog file.
        file: String,
        /// Offset of the event.
        offset: u64,
        /// The cause.
        #[source]
        source: FateError,
    },
    /// The source is not set up for replication by row.
    #[error("{address}: {reason}")]
    Setup {
        /// Host and port of the source.
        address: String,
        /// What is missing, and how to get it.
        reason: String,
    },
    /// An event is longer than is allowed.
    #[error(
        "{address}: the event at {file}:{offset}{} has {len} bytes, the limit is {limit} \
         (--event-len-max)",
        of_table(table.as_deref())
    )]
    EventTooLong {
        /// Host and port of the source.
        address: String,
        /// Binlog file.
        file: String,
        /// Offset at which the event starts.
        offset: u64,
        /// The table that it changes, where it is known.
        table: Option<String>,
        /// Its length in bytes.
        len: usize,
        /// The longest that is allowed.
        limit: usize,
    },
    /// The position is no longer there.
    #[error(
        "{address}: position {wanted} is not there; the source keeps {kept}. Start with --from \
         earliest to go on with a gap, or --from now to skip what was missed; a destination that was read \
         before wants --when-purged oldest or newest"
    )]
    Purged {
        /// Host and port of the source.
        address: String,
        /// The position asked for.
        wanted: String,
        /// What is left.
        kept: String,
        /// Why it is not there.
        lost: Lost,
    },
    /// The position is not the start of an event.
    #[error(
        "{address}: {file}:{offset} is not the start of an event ({reason}); take a position that \
         SHOW BINLOG EVENTS IN '{file}' lists"
    )]
    InsideEvent {
        /// Host and port of the source.
        address: String,
        /// Binlog file.
        file: String,
        /// The offset asked for.
        offset: u64,
        /// How it was noticed.
        reason: String,
    },
    /// Another server answers at the same address.
    #[error(
        "{address}: another server answers than before ({before}, now {now}): its file positions \
         mean something else"
    )]
    OtherServer {
        /// Host and port of the source.
        address: String,
        /// Identity before.
        before: String,
        /// Identity now.
        now: String,
    },
    /// The detecting statement failed too often.
    #[error("{address}: the detecting statement failed too often: the server is taken as gone")]
    Lost {
        /// Host and port of the source.
        address: String,
    },
    /// The source has less than was read from it, or from the server before it.
    #[error(
        "{address}: the source has less than was read before: it lacks {missing}; it has {has}. \
         Transactions that were delivered are not there: it was reset or restored, or is another one"
    )]
    Behind {
        /// Host and port of the source.
        address: String,
        /// What was read and is not there.
        missing: String,
        /// What is there.
        has: String,
    },
    /// The archive of purged binlogs, or the way to it.
    #[error("{place}: {doing}: {reason}")]
    Archive {
        /// The URL, without what is secret in it.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        reason: String,
        /// Whether trying again can help.
        recovery: Recovery,
    },
    /// A binlog file is lost: the server has purged it, and the archive does not have it.
    #[error(
        "{file} is neither on {address}, which keeps {kept}, nor in the archive, which has \
         {archived}: what it held is lost"
    )]
    Gap {
        /// Host and port of the source.
        address: String,
        /// The file that is needed.
        file: String,
        /// What the server has.
        kept: String,
        /// What the archive has.
        archived: String,
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

/// Why a position is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The source has purged it: what is left begins later.
    Purged,
    /// It lies beyond what the source has, or in a file of another name.
    Elsewhere,
}

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Connect again after a pause.
    Retry,
    /// Somebody has to act first.
    Stop,
}

/// What a server means by an error number and its text. Only the text tells the causes of 1236
/// apart (mysql-source 3.4); it exists in an old vocabulary (master, slave) and a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The account, its password, or where it may log in from.
    Login,
    /// A missing grant.
    Privilege,
    /// The position or set is older than what the source keeps, or beyond its end.
    Purged,
    /// The set names transactions that the source does not have.
    Diverged,
    /// Somebody has to change a setting, here or there.
    Configuration,
    /// The position is not the start of an event.
    Boundary,
    /// Another reader with the same id.
    Duplicate,
    /// The dump failed in a way that the same dump will again.
    Dump,
    /// May go away by itself: the server goes down or is busy.
    Passing,
}

pub(crate) fn cause(errno: u16, message: &str) -> Cause {
    match errno {
        1045 | 1129 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => Cause::Login,
        1044 | 1142 | 1143 | 1227 => Cause::Privilege,
        1047 | 1064 | 1193 | 1381 | 1773 | 1941 | 3159 => Cause::Configuration,
        4052 => Cause::Duplicate,
        1236 => dump_cause(&message.to_ascii_lowercase()),
        _ => Cause::Passing,
    }
}

fn dump_cause(text: &str) -> Cause {
    const FRAGMENTS: [(&str, Cause); 18] = [
        ("same server_uuid/server_id", Cause::Duplicate),
        ("same server_id", Cause::Duplicate),
        ("could not find first log file name", Cause::Purged),
        ("has purged binary logs", Cause::Purged),
        ("purged required binary logs", Cause::Purged),
        ("could not find gtid state requested", Cause::Purged),
        ("impossible position", Cause::Purged),
        ("position > file size", Cause::Purged),
        ("position < 4", Cause::Purged),
        ("which is not in the master's binlog", Cause::Diverged),
        ("more gtids than the", Cause::Diverged),
        ("cannot start in auto_position mode", Cause::Configuration),
        ("anonymous transaction", Cause::Configuration),
        ("binary log is not open", Cause::Configuration),
        ("replication events with the checksum", Cause::Configuration),
        ("max_allowed_packet", Cause::Boundary),
        ("bogus data", Cause::Boundary),
        ("truncated in the middle of event", Cause::Boundary),
    ];
    let known = FRAGMENTS.iter().find(|(fragment, _)| text.contains(fragment));
    known.map_or(Cause::Dump, |(_, cause)| *cause)
}

fn of_table(table: Option<&str>) -> String {
    table.map_or_else(String::new, |table| format!(", table {table},"))
}

impl SourceError {
    /// Whether connecting again can help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Io { .. }
            | Self::Silence { .. }
            | Self::Ended { .. }
            | Self::Duplicate { .. }
            | Self::Lost { .. }
            | Self::Protocol { .. } => Recovery::Retry,
            Self::Server { errno, message, .. } => match cause(*errno, message) {
                Cause::Passing | Cause::Duplicate => Recovery::Retry,
                Cause::Login
                | Cause::Privilege
                | Cause::Purged
                | Cause::Diverged
                | Cause::Configuration
                | Cause::Boundary
                | Cause::Dump => Recovery::Stop,
            },
            Self::Archive { recovery, .. } => *recovery,
            Self::Gap { .. }
            | Self::Url { .. }
            | Self::Start { .. }
            | Self::Tls { .. }
            | Self::Privilege { .. }
            | Self::Setup { .. }
            | Self::EventTooLong { .. }
            | Self::Purged { .. }
            | Self::InsideEvent { .. }
            | Self::OtherServer { .. }
            | Self::Behind { .. }
            | Self::Stream(_)
            | Self::Fate { .. }
            | Self::File { .. }
            | Self::BadFile { .. } => Recovery::Stop,
        }
    }

    /// Whether the source no longer has what was asked for.
    pub(crate) fn is_purged(&self) -> bool {
        if let Self::Server { errno, message, .. } = self {
            return cause(*errno, message) == Cause::Purged;
        }
        matches!(self, Self::Purged { .. })
    }

    /// Whether one table is the cause: it is not there, or the user may not see it.
    #[must_use]
    pub const fn is_about_a_table(&self) -> bool {
        matches!(self, Self::Server { errno: 1044 | 1049 | 1142 | 1146, .. })
    }

    /// What is known of a table when this is all that the source says of it.
    #[must_use]
    pub fn as_answer(&self) -> StructureAnswer {
        let hint = self.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        StructureAnswer { obstacle: Some(format!("{self}{hint}")), ..StructureAnswer::default() }
    }

    /// What the operator can do, where the message does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Privilege { .. } => Some(GRANT),
            Self::Server { errno: 3159, .. } => {
                Some("the server wants TLS: add ?tls=required to the URL of the source")
            }
            Self::Server { errno: 1129 | 1130, .. } => {
                Some("the server refuses this host: see the account's host part, or FLUSH HOSTS")
            }
            Self::Server { errno, message, .. } => match cause(*errno, message) {
                Cause::Login => Some("check user and password in the URL of the source"),
                Cause::Privilege => Some(GRANT),
                Cause::Purged => Some(
                    "the position is gone: --from earliest goes on with a gap, --from now skips it",
                ),
                Cause::Diverged | Cause::Dump => {
                    Some("if the position is not worth keeping: --from earliest or --from now")
                }
                Cause::Boundary => Some(
                    "the position lies inside an event: take one that SHOW BINLOG EVENTS lists",
                ),
                Cause::Duplicate => Some("give each reader its own --server-id"),
                Cause::Configuration | Cause::Passing => None,
            },
            Self::Behind { .. } | Self::OtherServer { .. } | Self::Gap { .. } => Some(
                "start anew: --from earliest for all that the source has, --from now for what is \
                 written from then on",
            ),
            Self::EventTooLong { .. } => Some(
                "raise --event-len-max (a server sends up to 1024 MiB), or start behind the event",
            ),
            Self::Tls { .. } => Some(
                "TLS 1.2 with ECDHE is the oldest that is spoken (MySQL before 8.0.16 may be built \
                 without it); tls=required does not look at the certificate",
            ),
            Self::File { source, .. } => of_a_file(source.kind()),
            Self::Io { doing: "connect", .. } => Some(
                "check host and port in the URL, and that the server runs; `towpath doctor URL` looks step by step",
            ),
            Self::Io { .. }
            | Self::Silence { .. }
            | Self::Protocol { .. }
            | Self::Url { .. }
            | Self::Start { .. }
            | Self::Duplicate { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            | Self::Setup { .. }
            | Self::Purged { .. }
            | Self::InsideEvent { .. }
            | Self::Archive { .. }
            | Self::Stream(_)
            | Self::Fate { .. }
            | Self::BadFile { .. } => None,
        }
    }
}

/// What can be done about a file that cannot be read.
const fn of_a_file(kind: ErrorKind) -> Option<&'static str> {
    if matches!(kind, ErrorKind::NotFound) {
        Some(
            "a binlog file or a folder of them is named by its path, a server as \
             mysql://user:password@host:3306",
        )
    } else if matches!(kind, ErrorKind::PermissionDenied) {
        Some("run it as a user who may read the files, as the server's own")
    } else if matches!(kind, ErrorKind::IsADirectory) {
        Some("name its files, as FOLDER/mysql-bin.*; `towpath tail FOLDER` reads all of them")
    } else {
        None
    }
}

const GRANT: &str =
    "the user needs: GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO user";

#[cfg(test)]
mod tests {
    use super::*;

    /// F1, F2, F14 and mysql-source 3.4: the texts that the servers send.
    #[test]
    fn causes_of_error_1236_are_told_apart_by_their_text() {
        for (text, expected) in [
            ("Could not find first log file name in binary log index file", Cause::Purged),
            (
                "the master has purged binary logs containing GTIDs that the slave requires",
                Cause::Purged,
            ),
            ("the source purged required binary logs. Replicate the missing", Cause::Purged),
            ("Could not find GTID state requested by slave in any binlog files", Cause::Purged),
            (
                "Client requested master to start replication from impossible position",
                Cause::Purged,
            ),
            (
                "Client requested source to start replication from position > file size",
                Cause::Purged,
            ),
            (
                "connecting slave requested to start from GTID 0-7-800, which is not in the master's binlog",
                Cause::Diverged,
            ),
            (
                "Replica has more GTIDs than the source has, using the source's SERVER_UUID",
                Cause::Diverged,
            ),
            (
                "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1; cannot start in AUTO_POSITION mode",
                Cause::Configuration,
            ),
            (
                "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
                Cause::Boundary,
            ),
            (
                "A replica with the same server_uuid/server_id as this replica has connected to the source",
                Cause::Duplicate,
            ),
            ("something else", Cause::Dump),
        ] {
            assert_eq!(cause(1236, text), expected, "{text}");
        }
    }

    fn server(errno: u16, message: &str) -> SourceError {
        SourceError::Server {
            address: "db1:3306".to_owned(),
            doing: "log in",
            errno,
            sqlstate: "HY000".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn what_goes_away_by_itself_is_tried_again_and_the_rest_is_not() {
        for (errno, expected) in [
            (1045, Recovery::Stop),
            (1227, Recovery::Stop),
            (3159, Recovery::Stop),
            (1236, Recovery::Stop),
            (1040, Recovery::Retry),
            (1053, Recovery::Retry),
            (4052, Recovery::Retry),
        ] {
            assert_eq!(server(errno, "").recovery(), expected, "{errno}");
        }
    }

    /// Operators search their logs for Canal's wording.
    #[test]
    fn error_packets_are_shown_as_canal_shows_them() {
        assert_eq!(
            server(1045, "Access denied for user").to_string(),
            "db1:3306: log in: Received error packet: errno = 1045, sqlstate = HY000 errmsg = \
             Access denied for user"
        );
    }
}
