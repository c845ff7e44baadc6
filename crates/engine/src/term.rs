//! What runs while a destination is served here.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towpath_coordination::{CursorWriter, RecordLog, StateError};

use crate::destination::Destination;
use crate::error::InstanceError;
use crate::instance::{self, Feed};

/// A destination at work: its instance, and the writer of its cursors. Dropping it ends both.
pub(crate) struct Term {
    destination: Arc<Destination>,
    stop: CancellationToken,
    instance: JoinSet<Result<(), Arc<InstanceError>>>,
    writer: JoinSet<Result<(), Arc<StateError>>>,
}

impl Term {
    pub(crate) fn start(
        destination: Arc<Destination>,
        feed: Feed,
        history: Option<RecordLog>,
        writer: CursorWriter,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut instance = JoinSet::new();
        instance.spawn(instance::run(Arc::clone(&destination), feed, history, stop.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        Self { destination, stop, instance, writer: tasks }
    }

    /// Waits until something of it fails. A source that has come to its end is still served.
    pub(crate) async fn failed(&mut self) -> Arc<InstanceError> {
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

    /// Waits for acknowledgements, stops reading, writes the cursors, in this order.
    ///
    /// # Errors
    /// When the last cursors are not written: their entries are delivered again.
    pub(crate) async fn hand_over(
        mut self,
        patience: Duration,
        deadline: Duration,
    ) -> Result<(), Arc<StateError>> {
        self.destination.drain(patience).await;
        self.stop.cancel();
        self.destination.close();
        let destination = self.destination.name();
        let mut written = Ok(());
        let ended = timeout(deadline, async {
            while let Some(ended) = self.writer.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(destination, %error, "last cursors not written");
                        written = Err(error);
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
        written
    }

    /// Stops at once: another may be active by now.
    pub(crate) async fn abort(mut self) {
        self.destination.close();
        self.instance.shutdown().await;
        self.writer.shutdown().await;
    }
}
