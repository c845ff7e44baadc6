//! A server whose binlog is one of several streams, as a PolarDB-X has them: in front of a real one it
//! understands `WITH` a stream's name, and shows another binlog to whoever leaves it out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::front::Front;

#[derive(Debug, Default)]
struct Shared {
    asked_count: AtomicUsize,
    others: Mutex<Vec<String>>,
}

/// A running front. Dropping it closes all connections.
#[derive(Debug)]
pub struct Streams {
    front: Front,
    shared: Arc<Shared>,
}

impl Streams {
    /// Stands in front of a server on loopback, whose binlog is that of this stream.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(server: u16, stream: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (own, with) = (Arc::clone(&shared), format!(" WITH '{stream}'"));
        let front = Front::start(server, move |asked| question(asked, &with, &own));
        Self { front, shared }
    }

    /// The URL of the replicating user, without a stream.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Questions for the stream.
    #[must_use]
    pub fn asked_count(&self) -> usize {
        self.shared.asked_count.load(Ordering::Acquire)
    }

    /// Questions for the binlog without its name.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        self.shared.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn question(asked: &str, with: &str, shared: &Shared) -> String {
    const ABOUT: [&str; 4] =
        ["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS", "SHOW BINARY LOGS", "SHOW BINLOG EVENTS"];
    if !ABOUT.iter().any(|about| asked.starts_with(about)) {
        return asked.to_owned();
    }
    if asked.contains(with) {
        shared.asked_count.fetch_add(1, Ordering::AcqRel);
        return asked.replace(with, "");
    }
    shared.others.lock().unwrap_or_else(PoisonError::into_inner).push(asked.to_owned());
    "SELECT 'binlog.000001', 4, '', '', ''".to_owned()
}
