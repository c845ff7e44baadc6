//! Binlog files of many versions against what the servers' own program makes of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test code"
)]

mod binlogs;
mod files;
