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
    pub(crate) fn restart_failing(self, arguments: &[&str]) -> Self {
        let _ended = self.towpath.terminate();
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, end) = (self.towpath.address(), Instant::now() + DEADLINE);
        let mut numbers = Vec::new();
        let result = runtime.block_on(async {
            let mut client = Session::connect(&address, SessionOptions::default()).await?;
            client.subscribe("d\\.n").await?;
            while !numbers.contains(&last) && Instant::now() < end {
                let batch = client.get(1000, Duration::from_secs(1)).await?;
                if batch.is_nothing() {
                    continue;
                }
                for entry in &batch.entries {
                    numbers.extend(inserted(entry));
                }
                client.ack(batch.id).await?;
            }
            client.close(Duration::from_secs(1)).await;
            Ok::<(), towpath_client::ClientError>(())
        });
        let mut said = || self.towpath.program().stderr();
        assert!(result.is_ok(), "{result:?}: {}", said());
        assert!(numbers.contains(&last), "{last} is not in {numbers:?}: {}", said());
        numbers
    }
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
