//! The addresses of a source, which of them is followed, and how it is told that it is gone
//! (mysql-source 3.7).

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use crate::Detect;
use crate::connection::Connection;
use crate::error::SourceError;
use crate::url::SourceUrl;

/// Attempts at one address before the other one is tried.
const ATTEMPTS: u32 = 3;
/// For the detecting statement: a server that takes longer is as good as gone.
const DETECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A master and, where there is one, its standby.
#[derive(Debug)]
pub(super) struct Servers {
    current: SourceUrl,
    other: Option<SourceUrl>,
    /// Attempts that failed in a row at the current address.
    failures: u32,
}

impl Servers {
    pub(super) const fn new(master: SourceUrl, standby: Option<SourceUrl>) -> Self {
        Self { current: master, other: standby, failures: 0 }
    }

    pub(super) const fn current(&self) -> &SourceUrl {
        &self.current
    }

    pub(super) const fn has_other(&self) -> bool {
        self.other.is_some()
    }

    /// The detecting statement has failed too often: the next attempt is at the other address.
    pub(super) fn lost(&mut self) -> SourceError {
        let address = self.current.address();
        self.switch();
        SourceError::Lost { address }
    }

    pub(super) const fn reached(&mut self) {
        self.failures = 0;
    }

    /// Counts a failed attempt; true when it was the last one at this address.
    pub(super) fn failed(&mut self) -> bool {
        self.failures += 1;
        self.failures >= ATTEMPTS && self.switch()
    }

    /// Goes over to the other address. There is no way back by itself, but for the failure of that
    /// one.
    pub(super) fn switch(&mut self) -> bool {
        let Some(other) = &mut self.other else { return false };
        std::mem::swap(&mut self.current, other);
        self.failures = 0;
        warn!(source = %self.current, before = %other, "going over to the other server");
        true
    }
}

/// Asks the server on a connection of its own, again and again. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Detector {
    lost: watch::Receiver<bool>,
    _task: JoinSet<()>,
}

impl Detector {
    pub(super) fn start(url: &SourceUrl, detect: &Detect) -> Self {
        let (tell, lost) = watch::channel(false);
        let (url, detect) = (url.clone(), detect.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut failures = 0;
            let mut connection = None;
            // As if each interval brought a question, whether the one before has its answer or not.
            let patience = detect.interval * (detect.retries + 1) + DETECT_TIMEOUT;
            let mut answered = Instant::now();
            // Canal's rule: the failure after the last retry counts.
            while failures <= detect.retries {
                sleep(detect.interval).await;
                let end = answered + patience;
                let until = end.min(Instant::now() + DETECT_TIMEOUT);
                match timeout_at(until, ask(&url, &detect.sql, &mut connection)).await {
                    Ok(Ok(())) => {
                        failures = 0;
                        answered = Instant::now();
                    }
                    Ok(Err(error)) => {
                        connection = None;
                        failures += 1;
                        warn!(source = %url, failures, error = %error, "detecting failed");
                    }
                    Err(_) => {
                        connection = None;
                        failures += 1;
                        warn!(source = %url, failures, "detecting: no answer");
                        if until == end {
                            break;
                        }
                    }
                }
            }
            // Nobody listens any more when the source was dropped.
            let _told: bool = tell.send(true).is_ok();
        });
        Self { lost, _task: task }
    }

    /// Returns when the server is gone. Cancelling it loses nothing.
    pub(super) async fn lost(&mut self) {
        if self.lost.wait_for(|lost| *lost).await.is_err() {
            // The task ended without a word, which only a panic of it can do.
            std::future::pending::<()>().await;
        }
    }
}

async fn ask(
    url: &SourceUrl,
    sql: &str,
    connection: &mut Option<Connection>,
) -> Result<(), SourceError> {
    let connection = match connection {
        Some(connection) => connection,
        empty => empty.insert(Connection::open(url).await?),
    };
    connection.query(sql).await.map(|_| ())
}
