//! Bytes of a MySQL or MariaDB binlog, decoded: events, table maps, row images, values.
//!
//! Pure: no I/O, no clock, no runtime. Knows nothing of Canal and nothing of sockets. Any bytes
//! give a value or a typed error, never a panic, and nothing is reserved that the input did not
//! bring.

pub mod column;
mod error;
pub mod event;
mod format;
mod gtid;
mod header;
pub mod json;
mod position;
mod reader;
mod stream;
pub mod transaction;

pub use column::{ColumnKind, Value};
pub use error::{ParseError, StreamError, StreamFault};
pub use event::{decompress_column, decompress_mariadb};
pub use format::{Checksum, FormatDescription};
pub use gtid::{GtidError, GtidSet, MariadbGtidSet, MysqlGtidSet, Uuid};
pub use header::{EventHeader, FLAG_ARTIFICIAL, FLAG_IGNORABLE, FLAG_THREAD_SPECIFIC, event_type};
pub use position::{FileName, Position};
pub use reader::Reader;
pub use stream::{EventPlace, EventStream, RawEvent, parse_rotate};
