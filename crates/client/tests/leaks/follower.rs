//! A client in a process of its own, with a batch in hand when it is told to end.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::bed::Bed;

/// Time for its session with ZooKeeper to be closed.
const DEADLINE: Duration = Duration::from_secs(10);

/// Follows the cluster until SIGTERM, and acknowledges nothing.
pub(crate) async fn follow(zookeeper: &str) {
    let mut told = signal(SignalKind::terminate()).unwrap();
    let client = Bed::builder_at(zookeeper).build().unwrap();
    let mut connection = client.start();
    let held = tokio::select! {
        batch = connection.next() => batch,
        _ = told.recv() => None,
    };
    if held.is_some() {
        told.recv().await;
    }
    connection.close().await;
    client.close(DEADLINE).await;
    drop(held);
}
