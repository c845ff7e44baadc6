//! Real servers for tests, as values: private folder, free port on loopback, gone when dropped.
//!
//! `scripts/servers/fetch` brings the servers; a missing one fails the test and says so.
#![expect(clippy::panic, reason = "a test kit says what is missing by failing the test")]

mod server;

pub use server::{Server, Version};
