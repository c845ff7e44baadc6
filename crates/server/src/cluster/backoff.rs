//! Growing pauses.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Pauses that double up to a bound, and begin again when nothing failed for longer than that.
#[derive(Debug)]
pub(crate) struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
    last: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, next: least, last: None }
    }

    /// Waits after a failure.
    pub(crate) async fn pause(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() > self.most * 2) {
            self.next = self.least;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        sleep(pause).await;
        self.last = Some(Instant::now());
    }
}
