//! Structure of tables at a position of the binlog: from DDL, from row metadata, from the source.
//!
//! Knows nothing of how rows are encoded. [`parse`] reads a statement, [`Catalog`] applies it,
//! [`classify`] says what Canal calls it.

mod catalog;
mod column;
mod cursor;
mod history;
mod later;
mod lexer;
mod session;
mod statement;
mod table;

pub use catalog::{Catalog, Lookup, NameCase, StructureChange};
pub use column::charset_of;
pub use history::{HistoryError, HistoryPosition, HistoryRecord, PackedTable};
pub use later::{BinlogPlace, Fate, LaterStatements, StructureAnswer};
pub use lexer::{ParseOptions, ServerKind};
pub use session::{Renaming, SessionId, Speaker};
pub use statement::{
    CanalKind, Classified, Parsed, classify, column_type, first_table, parse, table_from_create,
};
pub use table::{Column, HiddenKey, KeyPart, Table, UniqueKey};
