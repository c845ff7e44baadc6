//! What a person, or a supervisor, asks for by signals: the end, and the state.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use towpath_server::Observer;

use crate::report::Failure;

/// SIGTERM and SIGINT as a token.
#[derive(Debug)]
pub(crate) struct Shutdown {
    token: CancellationToken,
    _signals: JoinSet<()>,
}

impl Shutdown {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let token = CancellationToken::new();
        let mut signals = JoinSet::new();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut stream =
                signal(kind).map_err(|error| Failure::new("cannot wait for signals", error))?;
            let token = token.clone();
            signals.spawn(async move {
                stream.recv().await;
                token.cancel();
            });
        }
        Ok(Self { token, _signals: signals })
    }

    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// SIGUSR1 writes the state of a server into the log, until the value is dropped.
pub(crate) fn tell_state(observer: Observer) -> Result<JoinSet<()>, Failure> {
    let mut stream = signal(SignalKind::user_defined1())
        .map_err(|error| Failure::new("cannot wait for signals", error))?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        while stream.recv().await.is_some() {
            observer.log_state();
        }
    });
    Ok(task)
}
