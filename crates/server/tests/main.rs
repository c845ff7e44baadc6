//! A server on real loopback sockets: the recorded sessions of Canal's clients, bad input, waiting,
//! restarts.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may panic"
)]

mod bad_input;
mod crowds;
mod filters;
mod fixture;
mod instances;
mod recorded;
mod restart;
mod waiting;
