//! Settings of an engine and of its destinations.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use towpath_coordination::{SourceAddress, ZkUrl};
use towpath_entry::{Block, TableFilter};

use crate::instance::{Feed, SourceFeed};
use crate::store::StoreOptions;

/// A server's place in a cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The ensemble, and the root of Canal's tree in it.
    pub zookeeper: ZkUrl,
    /// `host:port` at which clients reach this server.
    pub address: String,
    /// How long the ensemble waits for a silent server until it gives its place to another. The
    /// ensemble may grant less or more.
    pub session_timeout: Duration,
}

/// Where the state of destinations lies.
#[derive(Debug, Clone)]
pub enum EngineConfig {
    /// In a folder of this machine: the engine is alone.
    Alone(PathBuf),
    /// In ZooKeeper: a destination is served by the one engine that holds its lease.
    Cluster(ClusterConfig),
}

/// Settings of one destination.
#[derive(Debug)]
pub struct DestinationConfig {
    /// Its name, as clients subscribe to it.
    pub destination: String,
    /// Its source as configured, for Canal's cursor file.
    pub address: SourceAddress,
    /// Its store.
    pub store: StoreOptions,
    /// The table filter until a client sets another one. A client replaces the white list; the black
    /// list stays.
    pub filter: TableFilter,
    /// Where its entries come from.
    pub feed: Feed,
}

/// Settings of a destination as its terms take them, one after the other.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: SourceAddress,
    pub(crate) store: StoreOptions,
    pub(crate) filter: TableFilter,
    pub(crate) feed: FeedPlan,
}

/// Where the entries of each term come from.
#[derive(Debug)]
pub(crate) enum FeedPlan {
    Source(Box<SourceFeed>),
    /// Made elsewhere: there is one term only.
    ByHand(Mutex<Option<mpsc::Receiver<Block>>>),
}

impl Plan {
    pub(crate) fn of(config: DestinationConfig) -> Self {
        let DestinationConfig { address, store, filter, feed, .. } = config;
        let feed = match feed {
            Feed::Source(feed) => FeedPlan::Source(feed),
            Feed::Blocks(blocks) => FeedPlan::ByHand(Mutex::new(Some(blocks))),
        };
        Self { address, store, filter, feed }
    }

    /// What a term reads; nothing when entries made elsewhere have been taken by an earlier one.
    pub(crate) fn feed(&self) -> Option<Feed> {
        match &self.feed {
            FeedPlan::Source(feed) => Some(Feed::Source(feed.clone())),
            FeedPlan::ByHand(blocks) => {
                let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.take().map(Feed::Blocks)
            }
        }
    }

    /// Its source as configured, for people.
    pub(crate) fn source(&self) -> String {
        let SourceAddress { host, port } = &self.address;
        if *port == 0 { host.clone() } else { format!("{host}:{port}") }
    }
}
