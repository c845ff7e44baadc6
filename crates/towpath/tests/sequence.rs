//! Numbers in a table, and what a client gets of them.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_client::{Session, SessionOptions};
use towpath_entry::read::Entry;
use towpath_testkit::{Server, Towpath};

use crate::binary;

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes the table.
pub(crate) const TABLE: &str =
    "CREATE DATABASE d; CREATE TABLE d.n (id INT PRIMARY KEY) ENGINE=InnoDB;\n";

/// Writes numbers, each as a transaction.
pub(crate) fn write(server: &Server, numbers: std::ops::RangeInclusive<i64>) {
    let sql: String = numbers.map(|n| format!("INSERT INTO d.n VALUES ({n});\n")).collect();
    server.run(&sql);
}

/// `towpath serve`, and its state.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) towpath: Towpath,
    state: TempDir,
}

impl Serving {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::with_state(TempDir::new().unwrap(), arguments)
    }

    fn with_state(state: TempDir, arguments: &[&str]) -> Self {
        let mut all = vec!["--state", state.path().to_str().unwrap()];
        all.extend(arguments);
        Self { towpath: Towpath::serve(binary(), &all), state }
    }

    /// Ends it and starts it again with its state.
    pub(crate) fn restart(self, arguments: &[&str]) -> Self {
        let ended = self.towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        Self::with_state(self.state, arguments)
    }

    /// The same when the destination before may have failed.
    pub(crate) fn restart_failing(mut self, arguments: &[&str]) -> Self {
        if !self.towpath.program().has_ended() {
            let _ended = self.towpath.terminate();
        }
        Self::with_state(self.state, arguments)
    }

    /// Waits until it says that it reads.
    pub(crate) fn wait_until_running(&mut self) {
        self.says("to=\"running\"");
    }

    pub(crate) fn says(&mut self, needle: &str) -> String {
        self.towpath.program().wait_for_line(needle, DEADLINE)
    }

    /// The numbers that a client gets up to `last`, each batch acknowledged.
    pub(crate) fn numbers_until(&mut self, last: i64) -> Vec<i64> {
        self.numbers_in_batches(last, 1000)
    }

    /// The same by batches of about `fetch_size` KiB: what comes behind the last one is not
    /// acknowledged.
    pub(crate) fn numbers_in_batches(&mut self, last: i64, fetch_size: i32) -> Vec<i64> {
        self.take(&last, fetch_size, inserted)
    }

    /// The rows inserted up to `last`, with the names of their columns.
    pub(crate) fn rows_until(&mut self, last: &str) -> Vec<String> {
        self.take(&last.to_owned(), 1000, named)
    }

    fn take<T: PartialEq + std::fmt::Debug>(
        &mut self,
        last: &T,
        fetch_size: i32,
        read: fn(&[u8]) -> Vec<T>,
    ) -> Vec<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, end) = (self.towpath.address(), Instant::now() + DEADLINE);
        let mut taken = Vec::new();
        let result = runtime.block_on(async {
            let mut client = Session::connect(&address, SessionOptions::default()).await?;
            client.subscribe("d\\.n").await?;
            while !taken.contains(last) && Instant::now() < end {
                let batch = client.get(fetch_size, Duration::from_secs(1)).await?;
                if batch.is_nothing() {
                    continue;
                }
                for entry in &batch.entries {
                    taken.extend(read(entry));
                }
                client.ack(batch.id).await?;
            }
            client.close(Duration::from_secs(1)).await;
            Ok::<(), towpath_client::ClientError>(())
        });
        let mut said = || self.towpath.program().stderr();
        assert!(result.is_ok(), "{result:?}: {}", said());
        assert!(taken.contains(last), "{last:?} is not in {taken:?}: {}", said());
        taken
    }
}

fn named(entry: &[u8]) -> Vec<String> {
    let entry = Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    let rows = change.rows.iter().map(|row| {
        let columns = row.after.iter();
        let columns = columns.map(|column| format!("{}={}", column.name, column.value.unwrap()));
        columns.collect::<Vec<_>>().join(",")
    });
    rows.collect()
}

fn inserted(entry: &[u8]) -> Vec<i64> {
    let entry = Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    change.rows.iter().map(|row| row.after[0].value.unwrap().parse().unwrap()).collect()
}

/// All numbers of a range, once and in order.
pub(crate) fn exactly(numbers: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    numbers.collect()
}
