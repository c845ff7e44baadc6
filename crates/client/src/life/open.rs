//! One attempt: from nothing to a subscribed session, with the lock in a cluster.

use super::tries::Tries;
use super::{InCluster, Life, ZkSession};
use crate::ClientError;
use crate::health::OpenSocket;
use crate::session::Session;
use crate::state::{State, Step};

/// What an attempt has opened. Dropped in this order: nothing is read without the lock.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) link: Link,
    pub(super) place: Option<InCluster>,
}

/// A subscribed session, and its socket as it is counted.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: Session,
    _socket: OpenSocket,
}

impl Life {
    /// In a cluster: looks for servers before anything else, waits for one, and for the lock.
    pub(super) async fn open(
        &self,
        zookeeper: Option<&ZkSession>,
        tries: &mut Tries,
    ) -> Result<Open, ClientError> {
        match zookeeper {
            Some(zookeeper) => self.open_in(zookeeper, tries).await,
            None => {
                let address = tries.next_listed();
                Ok(Open { link: self.subscribed(&address).await?, place: None })
            }
        }
    }

    /// Connects, logs in, subscribes, and asks for everything that was not acknowledged.
    pub(super) async fn subscribed(&self, address: &str) -> Result<Link, ClientError> {
        self.shared.enter(State::Connecting(Step::Server(address.to_owned())));
        let socket = self.inner.totals.open_socket();
        let config = &self.inner.config;
        let mut session = Session::connect(address, config.session.clone()).await?;
        session.subscribe(&config.filter).await?;
        session.rollback(None).await?;
        Ok(Link { session, _socket: socket })
    }
}
