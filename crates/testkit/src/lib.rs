//! Real servers for tests, as values: private folder, free port on loopback, gone when dropped.
//!
//! `scripts/servers/fetch` brings the databases, `scripts/servers/clients` what is published of Canal;
//! a missing one fails the test and says so.
#![expect(clippy::panic, reason = "a test kit says what is missing by failing the test")]

mod canal;
mod chart;
mod client;
mod encrypting;
mod front;
mod java;
mod leak;
mod program;
mod proxy;
mod random;
mod rds;
pub mod runtime;
mod server;
mod sql;
mod streams;
mod towpath;
mod version;
mod zookeeper;

pub use canal::CanalServer;
pub use chart::{Axis, Canvas, Chart, Curve, Panel};
pub use client::{CanalClient, Delivery, Mode};
pub use encrypting::Encrypting;
pub use front::Front;
pub use leak::{CountingAllocator, Footprint};
pub use program::{Ended, Program, wait_until};
pub use proxy::{Fault, Proxy};
pub use random::{Random, setting};
pub use rds::{Packing, Rds, RdsFault};
pub use server::{Server, cache, free_port};
pub use sql::SqlSession;
pub use streams::Streams;
pub use tokio::pin;
pub use towpath::{PATIENT, Towpath};
pub use version::{Feature, Version};
pub use zookeeper::ZooKeeper;
