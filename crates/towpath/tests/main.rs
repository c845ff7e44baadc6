//! The command line against real servers and the published Canal clients.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "test code"
)]

mod archive;
mod attack;
mod canal_cluster;
mod canal_server;
mod chaos;
mod charsets;
mod clients;
mod cluster;
mod convert_charset;
mod damage;
mod database_charset;
mod ddl;
mod differential;
mod doctor;
mod dump_event;
mod encrypted;
mod failover;
mod faults;
mod files;
mod filters;
mod follower;
mod gaps;
mod health;
mod heartbeats;
mod hidden_hashes;
mod hidden_key;
mod kills;
mod large;
mod last;
mod limits;
mod live;
mod logins;
mod mariadb_values;
mod memory;
mod numbers;
mod output;
mod positions;
mod refusals;
mod rolled_back;
mod row_images;
mod secrets;
mod semi_sync;
mod sequence;
mod several;
mod shown;
mod stalls;
mod status;
mod streams;
mod structures;
mod texts;
mod times;
mod type_words;
mod vectors;
mod ways_out;
mod workload;
mod zones;

use std::path::Path;

/// The program under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_towpath"))
}
