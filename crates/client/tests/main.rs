//! The client against scripted servers, a real ZooKeeper, and a real server that is fed by hand.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

#[path = "../../server/tests/fixture.rs"]
#[expect(dead_code, reason = "the server's own tests use more of it")]
mod fixture;

mod alone;
mod cluster;
mod encrypted;
mod leaks;
mod session;

use leaks::follower;

#[global_allocator]
static ALLOCATED: towpath_testkit::CountingAllocator = towpath_testkit::CountingAllocator::new();
