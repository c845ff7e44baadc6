//! The history of structures as bytes: see `docs/schema-history.md`.
//!
//! Any bytes give a record or an error, at a cost of a small factor of their number.

mod bytes;
mod packed;

use thiserror::Error;

use crate::catalog::{NameCase, StructureChange};
use crate::session::SessionId;
use bytes::{Reader, count, string};
pub use packed::PackedTable;

/// A place in the binlog from which structures hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryPosition {
    /// Binlog file.
    pub file: String,
    /// Offset behind the statement.
    pub offset: u64,
    /// The executed GTID set with the statement; empty without GTIDs.
    pub gtid: String,
}

/// One record of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryRecord {
    /// Whose history it is: the first record.
    Source {
        /// The server's identity.
        identity: String,
        /// How it compares names.
        case: NameCase,
    },
    /// Part of all the structures at a place.
    Snapshot {
        /// The place.
        at: HistoryPosition,
        /// When the statement there was made, seconds since 1970.
        timestamp_s: u32,
        /// Structures.
        tables: Vec<PackedTable>,
        /// Nothing more belongs to the snapshot.
        is_last: bool,
    },
    /// What a statement changed.
    Changes {
        /// The place behind it.
        at: HistoryPosition,
        /// When it was made.
        timestamp_s: u32,
        /// The changes, in order.
        changes: Vec<StructureChange>,
    },
    /// The stream was read up to here.
    Mark {
        /// The place.
        at: HistoryPosition,
    },
    /// A file that was read: one of the same name that was begun at another time is another one.
    File {
        /// The identity of the server that has it.
        identity: String,
        /// Its name.
        file: String,
        /// When it was begun, seconds since 1970.
        begun_s: u32,
    },
}

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("byte {offset} of the record: {what}")]
pub struct HistoryError {
    /// Offset in the record.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

const SOURCE: u8 = 1;
const SNAPSHOT_PART: u8 = 2;
const SNAPSHOT_END: u8 = 3;
const CHANGES: u8 = 4;
const MARK: u8 = 5;
const FILE: u8 = 6;

const SET: u8 = 1;
const LEARNED: u8 = 2;
const LOST: u8 = 3;
const REMOVED: u8 = 4;
const DOUBTED: u8 = 5;
const TEMPORARY: u8 = 6;
const DATABASE: u8 = 7;

const SERVER_STARTED: u8 = 0;
const OF_SESSION: u8 = 1;
const SESSION_LOST: u8 = 2;

impl HistoryRecord {
    /// Where it holds from, if it is about a place.
    #[must_use]
    pub const fn position(&self) -> Option<&HistoryPosition> {
        match self {
            Self::Source { .. } | Self::File { .. } => None,
            Self::Snapshot { at, .. } | Self::Changes { at, .. } | Self::Mark { at } => Some(at),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Source { identity, case } => {
                out.push(SOURCE);
                string(&mut out, identity);
                out.push(match case {
                    NameCase::Unknown => 0,
                    NameCase::Sensitive => 1,
                    NameCase::Insensitive => 2,
                });
            }
            Self::Snapshot { at, timestamp_s, tables, is_last } => {
                out.push(if *is_last { SNAPSHOT_END } else { SNAPSHOT_PART });
                position(&mut out, at);
                out.extend_from_slice(&timestamp_s.to_le_bytes());
                count(&mut out, tables.len());
                for each in tables {
                    out.extend_from_slice(each.bytes());
                }
            }
            Self::Changes { at, timestamp_s, changes } => {
                out.push(CHANGES);
                position(&mut out, at);
                out.extend_from_slice(&timestamp_s.to_le_bytes());
                count(&mut out, changes.len());
                for each in changes {
                    change_bytes(&mut out, each);
                }
            }
            Self::Mark { at } => {
                out.push(MARK);
                position(&mut out, at);
            }
            Self::File { identity, file, begun_s } => {
                out.push(FILE);
                string(&mut out, identity);
                string(&mut out, file);
                out.extend_from_slice(&begun_s.to_le_bytes());
            }
        }
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the bytes are none, or more than one.
    pub fn decode(bytes: &[u8]) -> Result<Self, HistoryError> {
        let mut r = Reader::new(bytes);
        let record = match r.u8("kind")? {
            SOURCE => {
                let identity = r.string("identity")?;
                let case = match r.u8("case of names")? {
                    0 => NameCase::Unknown,
                    1 => NameCase::Sensitive,
                    2 => NameCase::Insensitive,
                    _ => return Err(r.error("case of names is not 0, 1 or 2")),
                };
                Self::Source { identity, case }
            }
            kind @ (SNAPSHOT_PART | SNAPSHOT_END) => Self::Snapshot {
                at: read_position(&mut r)?,
                timestamp_s: r.u32("time")?,
                tables: r.list(PackedTable::read)?,
                is_last: kind == SNAPSHOT_END,
            },
            CHANGES => Self::Changes {
                at: read_position(&mut r)?,
                timestamp_s: r.u32("time")?,
                changes: r.list(read_change)?,
            },
            MARK => Self::Mark { at: read_position(&mut r)? },
            FILE => Self::File {
                identity: r.string("identity")?,
                file: r.string("file")?,
                begun_s: r.u32("time")?,
            },
            _ => return Err(r.error("kind is not known")),
        };
        if r.bytes.is_empty() { Ok(record) } else { Err(r.error("bytes behind the record")) }
    }
}

fn position(out: &mut Vec<u8>, at: &HistoryPosition) {
    string(out, &at.file);
    out.extend_from_slice(&at.offset.to_le_bytes());
    string(out, &at.gtid);
}

fn change_bytes(out: &mut Vec<u8>, change: &StructureChange) {
    match change {
        StructureChange::Set(set) => {
            out.push(SET);
            out.extend_from_slice(set.bytes());
        }
        StructureChange::Learned(learned) => {
            out.push(LEARNED);
            out.extend_from_slice(learned.bytes());
        }
        StructureChange::Lost { schema, table } => {
            out.push(LOST);
            string(out, schema);
            string(out, table);
        }
        StructureChange::Removed { schema, table } => {
            out.push(REMOVED);
            string(out, schema);
            string(out, table);
        }
        StructureChange::Database { schema, charset } => {
            out.push(DATABASE);
            string(out, schema);
            string(out, charset);
        }
        StructureChange::Doubted { database, words, is_any } => {
            out.push(DOUBTED);
            string(out, database);
            out.push(u8::from(*is_any));
            count(out, words.len());
            words.iter().for_each(|word| string(out, word));
        }
        StructureChange::Temporary { session, change: of_table } => {
            out.extend_from_slice(&[TEMPORARY, OF_SESSION]);
            session_bytes(out, *session);
            change_bytes(out, of_table);
        }
        StructureChange::TemporaryLost { session } => {
            out.extend_from_slice(&[TEMPORARY, SESSION_LOST]);
            session_bytes(out, *session);
        }
        StructureChange::ServerStarted => out.extend_from_slice(&[TEMPORARY, SERVER_STARTED]),
    }
}

fn session_bytes(out: &mut Vec<u8>, session: SessionId) {
    out.extend_from_slice(&session.server_id.to_le_bytes());
    out.extend_from_slice(&session.thread_id.to_le_bytes());
}

fn read_session(r: &mut Reader<'_>) -> Result<SessionId, HistoryError> {
    Ok(SessionId { server_id: r.u32("server id")?, thread_id: r.u32("thread id")? })
}

fn read_position(r: &mut Reader<'_>) -> Result<HistoryPosition, HistoryError> {
    Ok(HistoryPosition {
        file: r.string("file")?,
        offset: u64::from_le_bytes(r.take("offset")?),
        gtid: r.string("GTID set")?,
    })
}

fn read_change(r: &mut Reader<'_>) -> Result<StructureChange, HistoryError> {
    Ok(match r.u8("kind of change")? {
        DOUBTED => StructureChange::Doubted {
            database: r.string("database")?,
            is_any: match r.u8("reach of a doubt")? {
                0 => false,
                1 => true,
                _ => return Err(r.error("reach of a doubt is not 0 or 1")),
            },
            words: r.list(|r| r.string("word"))?,
        },
        TEMPORARY => match r.u8("change of temporary tables")? {
            SERVER_STARTED => StructureChange::ServerStarted,
            OF_SESSION => {
                let session = read_session(r)?;
                let kind = r.u8("kind of change")?;
                let change = Box::new(read_table_change(kind, r)?);
                StructureChange::Temporary { session, change }
            }
            SESSION_LOST => StructureChange::TemporaryLost { session: read_session(r)? },
            _ => return Err(r.error("change of temporary tables is not 0, 1 or 2")),
        },
        DATABASE => StructureChange::Database {
            schema: r.string("database")?,
            charset: r.string("character set")?,
        },
        kind => return read_table_change(kind, r),
    })
}

fn read_table_change(kind: u8, r: &mut Reader<'_>) -> Result<StructureChange, HistoryError> {
    Ok(match kind {
        SET => StructureChange::Set(PackedTable::read(r)?),
        LEARNED => StructureChange::Learned(PackedTable::read(r)?),
        LOST => StructureChange::Lost { schema: r.string("database")?, table: r.string("table")? },
        REMOVED => {
            StructureChange::Removed { schema: r.string("database")?, table: r.string("table")? }
        }
        _ => return Err(r.error("kind of change is not known")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, HiddenKey, KeyPart, Table, UniqueKey};

    fn table() -> PackedTable {
        let mut column = Column::new("中`", "varchar(20)");
        column.charset = Some("utf8mb4".to_owned());
        let mut key = Column::new("id", "int unsigned");
        (key.is_key, key.nullable) = (true, false);
        PackedTable::new(&Table {
            schema: "a b".to_owned(),
            name: "t".to_owned(),
            columns: vec![key, column],
            charset: Some("latin1".to_owned()),
            has_implicit_versioning: true,
            has_functional_key: true,
            is_assumed: true,
            unique_keys: vec![UniqueKey {
                name: "k".to_owned(),
                parts: vec![
                    KeyPart { column: "中`".to_owned(), prefix: None },
                    KeyPart { column: "id".to_owned(), prefix: Some(7) },
                ],
                uses_hash: true,
            }],
            hidden_key: Some(HiddenKey::PolarDbX),
        })
    }

    fn records() -> Vec<HistoryRecord> {
        let at = HistoryPosition {
            file: "mysql-bin.000007".to_owned(),
            offset: 5 << 30,
            gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".to_owned(),
        };
        let table = table();
        let name = || ("s".to_owned(), "t".to_owned());
        let lost = StructureChange::Lost { schema: name().0, table: name().1 };
        let removed = StructureChange::Removed { schema: name().0, table: name().1 };
        vec![
            HistoryRecord::Source { identity: "x".to_owned(), case: NameCase::Insensitive },
            HistoryRecord::Snapshot {
                at: at.clone(),
                timestamp_s: 7,
                tables: vec![table.clone(), PackedTable::new(&Table::default())],
                is_last: true,
            },
            HistoryRecord::Changes {
                at: at.clone(),
                timestamp_s: u32::MAX,
                changes: vec![
                    StructureChange::Set(table.clone()),
                    StructureChange::Learned(table),
                    lost,
                    removed,
                    StructureChange::Database {
                        schema: "s".to_owned(),
                        charset: "?latin1".to_owned(),
                    },
                    StructureChange::Doubted {
                        database: String::new(),
                        words: vec!["t".to_owned(), "中".to_owned()],
                        is_any: true,
                    },
                    StructureChange::ServerStarted,
                    StructureChange::TemporaryLost {
                        session: SessionId { server_id: u32::MAX, thread_id: 1 },
                    },
                    StructureChange::Temporary {
                        session: SessionId { server_id: 1, thread_id: u32::MAX },
                        change: Box::new(StructureChange::Lost {
                            schema: "s".to_owned(),
                            table: "t".to_owned(),
                        }),
                    },
                ],
            },
            HistoryRecord::Mark { at },
            HistoryRecord::File {
                identity: "x".to_owned(),
                file: "mysql-bin.000007".to_owned(),
                begun_s: 1_700_000_000,
            },
        ]
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for record in records() {
            assert_eq!(HistoryRecord::decode(&record.encode()), Ok(record));
        }
    }

    /// Any bytes give a record or an error; one cut short, or with something behind it, an error.
    #[test]
    fn damaged_records_are_refused() {
        for record in records() {
            let bytes = record.encode();
            for len in 0..bytes.len() {
                assert!(HistoryRecord::decode(&bytes[..len]).is_err(), "{len} of {record:?}");
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert_eq!(HistoryRecord::decode(&longer).unwrap_err().what, "bytes behind the record");
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    // Only that it comes back matters.
                    let _read: bool = HistoryRecord::decode(&changed).is_ok();
                }
            }
        }
    }
}
