//! What a connection does in a cluster, for clients without: nothing. No value of these types exists.

use std::time::Duration;

use super::open::Open;
use super::tries::Tries;
use super::{Life, Outcome};
use crate::ClientError;

/// A session with ZooKeeper.
#[derive(Debug)]
pub(super) enum ZkSession {}

/// A connection's place in a cluster.
#[derive(Debug)]
pub(super) enum InCluster {}

/// What tells whether the lock is still held.
#[derive(Debug)]
pub(super) enum Fence {}

impl Fence {
    pub(super) const fn check(&self) -> Result<(), ClientError> {
        match *self {}
    }
}

impl InCluster {
    pub(super) const fn fence(&self) -> Fence {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "in a cluster it waits")]
    pub(super) async fn lost(&self) -> ClientError {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "in a cluster it waits")]
    pub(super) async fn release(self, _deadline: Duration) {
        match self {}
    }
}

impl Life {
    pub(super) async fn attempt(&self, tries: &mut Tries) -> Outcome {
        self.through(None, tries).await
    }

    #[expect(clippy::unused_async, reason = "in a cluster it waits")]
    pub(super) async fn open_in(
        &self,
        zookeeper: &ZkSession,
        _tries: &mut Tries,
    ) -> Result<Open, ClientError> {
        match *zookeeper {}
    }

    pub(super) async fn news(&self, _tries: &Tries) {
        std::future::pending::<()>().await;
    }

    pub(super) async fn moved(&self, _place: Option<&InCluster>, _address: &str) -> ClientError {
        std::future::pending().await
    }
}
