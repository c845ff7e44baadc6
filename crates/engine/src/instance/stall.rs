//! A source that goes on while nothing of it is read (T-WEDGE-2).
//!
//! A lost or silent connection is noticed by the source itself. What is left is one that looks alive:
//! heartbeats, or a timeout that is far away, or a wait of our own that does not end.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use towpath_source::EndProbe;

use crate::destination::{Destination, Progress, Stage};

/// Shortest pause between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Looks at one instance while it reads from one server.
pub(crate) struct StallWatch<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) probe: EndProbe,
    /// How long the source may be ahead without anything being read.
    pub(crate) limit: Duration,
}

impl StallWatch<'_> {
    /// Returns when reading has to begin anew. `told` is the end of the source at which it did so last:
    /// once is enough. Dropping it loses nothing.
    pub(crate) async fn stalled(mut self, told: &mut Option<(String, u64)>) {
        let pause = (self.limit / 3).max(PAUSE_MIN);
        let mut ahead: Option<(u64, Instant)> = None;
        loop {
            sleep(pause).await;
            let before = self.destination.health().progress();
            if before.moved_at.elapsed() < pause || waits_for_others(before.stage) {
                ahead = None;
                continue;
            }
            let end = match self.probe.ask().await {
                Ok(end) => end,
                Err(error) => {
                    let destination = self.destination.name();
                    tracing::debug!(destination, %error, "the source does not tell its end");
                    continue;
                }
            };
            let now = self.destination.health().progress();
            if now.count != before.count || !is_ahead(&end, &now) {
                ahead = None;
                continue;
            }
            let since = match ahead {
                Some((count, since)) if count == now.count => since,
                _ => {
                    ahead = Some((now.count, Instant::now()));
                    continue;
                }
            };
            if since.elapsed() < self.limit || told.as_ref() == Some(&end) {
                continue;
            }
            self.tell(&end, &now);
            *told = Some(end);
            match now.stage {
                Stage::Source | Stage::Structure => return,
                // To leave these half done would lose more than it could gain: a transaction of many GB is read
                // ahead for longer, and each wait for the source has a deadline of its own.
                Stage::Opening
                | Stage::Fate
                | Stage::Archive
                | Stage::Decoding
                | Stage::History
                | Stage::Room => {}
            }
        }
    }

    fn tell(&self, (file, offset): &(String, u64), now: &Progress) {
        self.destination.health().stall();
        let read = now.read.as_ref();
        tracing::warn!(
            destination = self.destination.name(),
            stage = now.stage.name(),
            source_file = file,
            source_offset = offset,
            read_file = read.map(|(file, _)| file.as_ref()),
            read_offset = read.map(|(_, offset)| offset),
            limit_s = self.limit.as_secs(),
            "stalled: the source goes on and nothing of it is read"
        );
    }
}

/// Whether it is the clients, or the archive with its own deadlines, that are waited for.
fn waits_for_others(stage: Stage) -> bool {
    matches!(stage, Stage::Room | Stage::Archive)
}

/// Whether the source has more, and it is not the clients who are waited for.
fn is_ahead((file, offset): &(String, u64), now: &Progress) -> bool {
    let is_behind =
        |(read, at): &(std::sync::Arc<str>, u64)| EndProbe::is_behind((file, *offset), (read, *at));
    !waits_for_others(now.stage) && now.read.as_ref().is_none_or(is_behind)
}
