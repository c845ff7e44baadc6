//! The command line against real servers and the published Canal clients.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod chaos;
mod clients;
mod cluster;
mod doctor;
mod live;
mod refusals;
mod workload;

use std::path::Path;

/// The program under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_towpath"))
}
