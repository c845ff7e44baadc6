//! Entries made of recorded binlogs, whole and damaged.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test code"
)]

mod allocations;
mod damaged;
mod filters;
mod forks;
mod golden;
mod made;
mod patterns;
mod recorded;
mod restart;
mod rolled_back;
