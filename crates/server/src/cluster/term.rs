//! What runs while a lease holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towpath_coordination::{CursorWriter, StateError};

use crate::destination::Destination;
use crate::error::InstanceError;
use crate::instance::{self, Feed, SourceFeed};

/// Time for each step of a hand-over.
pub(super) const STEP_DEADLINE: Duration = Duration::from_secs(1);

/// A destination at work: its instance, and the writer of its cursors. Dropping it ends both.
pub(super) struct Term {
    destination: Arc<Destination>,
    stop: CancellationToken,
    instance: JoinSet<Result<(), Arc<InstanceError>>>,
    writer: JoinSet<Result<(), Arc<StateError>>>,
}

impl Term {
    pub(super) fn start(
        destination: Arc<Destination>,
        feed: &SourceFeed,
        writer: CursorWriter,
    ) -> Self {
        let stop = CancellationToken::new();
        let feed = Feed::Source(Box::new(feed.clone()));
        let mut instance = JoinSet::new();
        instance.spawn(instance::run(Arc::clone(&destination), feed, None, stop.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        Self { destination, stop, instance, writer: tasks }
    }

    /// Waits until something of it fails. A source that has come to its end is still served.
    pub(super) async fn failed(&mut self) -> Arc<InstanceError> {
        loop {
            let error = tokio::select! {
                Some(ended) = self.instance.join_next() => match ended {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => return error,
                    Err(error) => error,
                },
                Some(ended) = self.writer.join_next() => match ended {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => return Arc::new(InstanceError::State(error)),
                    Err(error) => error,
                },
                else => std::future::pending().await,
            };
            return Arc::new(InstanceError::Task(error.to_string()));
        }
    }

    /// Waits for acks, stops reading, writes the cursors, in this order.
    pub(super) async fn hand_over(mut self, patience: Duration) {
        self.destination.drain(patience).await;
        self.stop.cancel();
        self.destination.close();
        let destination = self.destination.name();
        let ended = timeout(STEP_DEADLINE, async {
            while let Some(ended) = self.writer.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(destination, %error, "last cursors not written");
                    }
                    Err(error) => tracing::error!(destination, %error, "cursor writer failed"),
                }
            }
            while self.instance.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::error!(destination, "did not end in time: entries may be delivered again");
        }
        self.instance.shutdown().await;
        self.writer.shutdown().await;
    }

    /// Stops at once: another may be active by now.
    pub(super) async fn abort(mut self) {
        self.destination.close();
        self.instance.shutdown().await;
        self.writer.shutdown().await;
    }
}
