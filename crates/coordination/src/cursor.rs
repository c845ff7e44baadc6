//! What is known of a destination's clients.

pub(crate) mod json;

use std::sync::Arc;

/// The source of a destination as configured: host name or address, and port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceAddress {
    /// Host name or literal address.
    pub host: String,
    /// Port; 0 when there is none.
    pub port: u16,
}

/// A binlog file of a server: others may have its name, on another server or after a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFile {
    /// The server, as its source names it.
    pub server: String,
    /// Name of the file.
    pub file: Arc<str>,
    /// When the file was begun, seconds since 1970.
    pub begun_s: u32,
}

/// Where reading goes on after an acknowledged batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Binlog file.
    pub file: Arc<str>,
    /// Offset behind the last acknowledged entry.
    pub offset: u64,
    /// The executed GTID set up to there, where the source has one.
    pub gtid: Option<Arc<str>>,
    /// The file itself, as far as it is known.
    pub of: Option<Arc<BinlogFile>>,
    /// The number of the transaction, by which a server tells it from others.
    pub xid: Option<i64>,
}

/// The acknowledged position of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Binlog file of the last acknowledged entry.
    pub file: Arc<str>,
    /// Offset at which that entry's event starts: Canal's `position`.
    pub offset: u64,
    /// The executed GTID set, empty without GTIDs.
    pub gtid: Arc<str>,
    /// Server id of the event.
    pub server_id: u32,
    /// Time of the event, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Where to go on. Absent when a Canal server wrote the file last.
    pub resume: Option<Resume>,
}

impl Cursor {
    /// The name of the cursor in messages and options: where reading goes on, and the time of the event
    /// if one was acknowledged.
    #[must_use]
    pub fn name(&self) -> String {
        let (file, offset) = match &self.resume {
            Some(resume) => (&resume.file, resume.offset),
            None => (&self.file, self.offset),
        };
        match self.timestamp_ms / 1000 {
            0 => format!("{file}:{offset}"),
            time_s => format!("{file}:{offset}@{time_s}"),
        }
    }
}

/// What is kept of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: i16,
    /// The filter it subscribed with.
    pub filter: Option<String>,
    /// Its acknowledged position, once there is one.
    pub cursor: Option<Cursor>,
    /// No batch id above this was ever issued to it.
    pub batch_ids: i64,
}

/// The state of one destination.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) destination: String,
    pub(crate) address: SourceAddress,
    pub(crate) clients: Vec<Client>,
    /// Takes the place of the cursors of all clients.
    pub(crate) common: Option<Cursor>,
    pub(crate) generation: u64,
    /// Nothing is changed any more.
    pub(crate) is_closed: bool,
}

impl State {
    pub(crate) fn new(destination: &str, address: SourceAddress, clients: Vec<Client>) -> Self {
        let destination = destination.to_owned();
        Self { destination, address, clients, common: None, generation: 0, is_closed: false }
    }

    /// The cursor of one of its clients.
    pub(crate) fn cursor_of<'a>(&'a self, client: &'a Client) -> Option<&'a Cursor> {
        self.common.as_ref().or(client.cursor.as_ref())
    }

    /// Gives each client the cursor that is common to all.
    pub(crate) fn share_out(&mut self) {
        let Some(common) = self.common.take() else { return };
        for client in &mut self.clients {
            client.cursor = Some(common.clone());
        }
    }
}
