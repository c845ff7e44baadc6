//! Structure of tables at a position of the binlog: from DDL, from row metadata, from the source.
//!
//! Knows nothing of how rows are encoded. [`parse`] reads a statement, [`Catalog`] applies it,
//! [`classify`] says what Canal calls it.

mod catalog;
mod column;
mod cursor;
mod lexer;
mod statement;
mod table;

pub use catalog::{Catalog, Lookup};
pub use lexer::ParseOptions;
pub use statement::{
    CanalKind, Classified, Parsed, classify, first_table, parse, table_from_create,
};
pub use table::{Column, Table};
