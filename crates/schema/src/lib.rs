//! Structure of tables at a position of the binlog: from DDL, from row metadata, from the source.
//!
//! Knows nothing of how rows are encoded.

mod table;

pub use table::{Column, Table};
