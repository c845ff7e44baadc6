//! A look at the server from outside: its state, Canal's metrics, and whether to send clients here
//! (T-WEDGE-1). Nothing here waits for an instance or a session.

mod http;
mod metrics;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use crate::session::Shared;
pub(crate) use http::serve;

/// Looks at a server while it runs. Cheap to clone; it keeps nothing of it alive.
#[derive(Debug, Clone)]
pub struct Observer {
    shared: Weak<Shared>,
    listen: SocketAddr,
    started_ms: i64,
}

impl Observer {
    pub(crate) fn new(shared: &Arc<Shared>, listen: SocketAddr, started_ms: i64) -> Self {
        Self { shared: Arc::downgrade(shared), listen, started_ms }
    }

    /// None when the server has ended.
    fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }

    /// The state as JSON, as `GET /state` gives it.
    #[must_use]
    pub fn state(&self) -> String {
        let state = self.shared().map(|shared| state::of(self, &shared));
        format!("{:#}", state.unwrap_or_default())
    }

    /// Writes the state of each destination into the log.
    pub fn log_state(&self) {
        let Some(shared) = self.shared() else { return };
        for look in shared.engine.look() {
            tracing::info!(destination = look.name, state = %state::destination(&look), "state");
        }
    }

    /// Canal's metrics, as `GET /metrics` gives them; only the families of these names if there are
    /// any.
    #[must_use]
    pub fn metrics(&self, names: &[&str]) -> String {
        self.shared().map(|shared| metrics::of(&shared, names)).unwrap_or_default()
    }
}
