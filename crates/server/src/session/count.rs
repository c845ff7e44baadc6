//! Counts requests, by the destination that they are for.

use tokio::time::Instant;
use towpath_protocol::{PacketType, Request};

use super::Session;
use crate::figures::Told;

/// The state of things when a request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    at: Instant,
    sent_bytes: u64,
}

/// The destination that a request names.
pub(super) const fn named<'a>(request: &Request<'a>) -> Option<&'a str> {
    match request {
        Request::Subscribe(sub) | Request::Unsubscribe(sub) => sub.destination,
        Request::Get(get) => get.destination,
        Request::Ack(batch) | Request::Rollback(batch) => batch.destination,
        Request::Login(_) | Request::Unsupported(_) => None,
    }
}

impl Session {
    pub(super) fn begin_count(&mut self) -> Begun {
        self.told = Told::Done;
        Begun { at: Instant::now(), sent_bytes: self.sent_bytes }
    }

    /// A request is over.
    pub(super) fn count(&self, destination: Option<&str>, kind: PacketType, begun: Begun) {
        // Names that are not destinations here would be labels without bound.
        let known = destination.filter(|name| self.shared.engine.has(name));
        let bytes = self.sent_bytes - begun.sent_bytes;
        let figures = self.shared.requests.of(known);
        figures.count(kind, self.told, bytes, begun.at.elapsed());
    }
}
