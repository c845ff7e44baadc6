//! Event bodies, one file a family. Each parser takes the body between header and checksum.

mod gtid;
mod payload;
mod query;
mod rows;
mod statement;
mod table_map;
mod xa;

pub use gtid::{GtidEvent, MariadbGtidEvent, parse_gtid_list};
pub use payload::{Payload, PayloadCompression, decompress_column, decompress_mariadb};
pub use query::{AlterPhase, QueryEvent};
pub use rows::{RowsEvent, RowsKind};
pub use statement::{IntVar, Rand, UserVar, UserVarValue, parse_annotate, parse_rows_query};
pub use table_map::{Metadata, PrimaryKey, TableMap};
pub use xa::XaPrepare;

use crate::error::ParseError;
use crate::reader::Reader;

/// The transaction number of an `XID` (16).
///
/// # Errors
/// [`ParseError::Truncated`]
pub fn parse_xid(body: &[u8]) -> Result<u64, ParseError> {
    Reader::new(body).u64("xid")
}

/// The message of an `INCIDENT` (26): the source says that it lost events.
///
/// # Errors
/// [`ParseError::Truncated`]
pub fn parse_incident(body: &[u8]) -> Result<(u16, String), ParseError> {
    let mut r = Reader::new(body);
    let number = r.u16("incident number")?;
    let len = usize::from(r.u8("incident message length")?);
    Ok((number, String::from_utf8_lossy(r.bytes(len, "incident message")?).into_owned()))
}
