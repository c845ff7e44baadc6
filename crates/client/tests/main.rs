//! The client against scripted servers, a real ZooKeeper, and real servers that follow a database.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod session;
