//! Our own client, at work beside a test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towpath_client::{Client, Row, State, Status, Waiting};
use towpath_testkit::wait_until;

use crate::numbers::row_of;

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connection on a thread of its own, which acknowledges whatever comes. Dropping it ends it.
pub(crate) struct Follower {
    rows: Arc<Mutex<Vec<String>>>,
    changes: watch::Receiver<Status>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    runtime: Runtime,
}

/// A row as the published clients print it.
pub(crate) fn print(row: &Row<'_>) -> String {
    let columns = |columns: &[towpath_client::Column<'_>]| {
        let columns = columns
            .iter()
            .map(|column| format!("{}={}", column.name, column.value.unwrap_or("NULL")))
            .collect::<Vec<_>>();
        format!("({})", columns.join(","))
    };
    let kind = row.kind.name().to_uppercase();
    let (before, after) = (columns(&row.before), columns(&row.after));
    format!("{kind} {}.{} {before} {after}", row.schema, row.table)
}

async fn follow(
    mut connection: towpath_client::Connection,
    rows: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
) {
    while let Some(Some(batch)) = stop.run_until_cancelled(connection.next()).await {
        let batch = batch.unwrap();
        let got: Vec<String> = batch.rows().unwrap().iter().map(print).collect();
        // One that could not be acknowledged comes again.
        if batch.ack().await.is_ok() {
            rows.lock().unwrap().extend(got);
        }
    }
    connection.close().await;
}

impl Follower {
    pub(crate) fn start(client: &Client) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connection = runtime.block_on(async { client.start() });
        let (rows, stop) = (Arc::default(), CancellationToken::new());
        let changes = connection.changes();
        let task = runtime.spawn(follow(connection, Arc::clone(&rows), stop.clone()));
        Self { rows, changes, stop, task, runtime }
    }

    /// The rows that were acknowledged up to now.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.rows.lock().unwrap().clone()
    }

    /// Waits until a row is acknowledged.
    pub(crate) fn wait_for_row(&self, row: &str) {
        wait_until(&format!("{row}, now {}", self.status()), DEADLINE, || {
            self.rows.lock().unwrap().iter().any(|got| got == row).then_some(())
        });
    }

    pub(crate) fn wait_for_number(&self, number: u64) {
        self.wait_for_row(&format!("INSERT {}", row_of(number)));
    }

    fn status(&self) -> Status {
        self.changes.borrow().clone()
    }

    /// Waits until it stands by; the owner of the lock, as it says itself.
    pub(crate) fn wait_until_standby(&self) -> String {
        wait_until("the client to stand by", DEADLINE, || {
            let State::Waiting(Waiting::Standby { owner }) = self.status().state else {
                return None;
            };
            owner
        })
    }

    /// Waits until it is active; its own address.
    pub(crate) fn wait_until_active(&self) -> String {
        wait_until("the client to be active", DEADLINE, || {
            let State::Active { local, .. } = self.status().state else { return None };
            Some(local.to_string())
        })
    }

    /// Closes the connection; the rows that were acknowledged.
    pub(crate) fn close(self) -> Vec<String> {
        self.stop.cancel();
        self.runtime.block_on(self.task).unwrap();
        self.rows.lock().unwrap().clone()
    }
}
