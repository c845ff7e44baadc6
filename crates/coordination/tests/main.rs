//! The state directory, and Canal's tree in a real ZooKeeper.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod cluster;
mod local;
