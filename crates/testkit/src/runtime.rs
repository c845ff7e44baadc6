//! The runtime of asynchronous tests: at its end it looks that no task outlived its owner (I-TASK).
//!
//! `#[tokio::test(crate = "towpath_testkit")]` takes it in place of tokio's own.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Time in which a task that was told to stop, or was aborted, must be gone.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// As tokio's.
#[derive(Debug)]
pub struct Builder(tokio::runtime::Builder);

impl Builder {
    /// As tokio's.
    #[must_use]
    pub fn new_current_thread() -> Self {
        Self(tokio::runtime::Builder::new_current_thread())
    }

    /// As tokio's.
    #[must_use]
    pub fn new_multi_thread() -> Self {
        Self(tokio::runtime::Builder::new_multi_thread())
    }

    /// As tokio's.
    pub fn worker_threads(&mut self, count: usize) -> &mut Self {
        self.0.worker_threads(count);
        self
    }

    /// As tokio's.
    pub fn enable_all(&mut self) -> &mut Self {
        self.0.enable_all();
        self
    }

    /// As tokio's.
    ///
    /// # Errors
    /// When the machine gives no threads or descriptors.
    pub fn build(&mut self) -> io::Result<Runtime> {
        self.0.build().map(Runtime)
    }
}

/// As tokio's, but for what the module says.
#[derive(Debug)]
pub struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    /// Runs a test to its end.
    ///
    /// # Panics
    /// When tasks are left after it.
    pub fn block_on<F: Future>(&self, test: F) -> F::Output {
        let output = self.0.block_on(test);
        let left = self.0.block_on(tasks_left(SETTLE_DEADLINE));
        assert_eq!(left, 0, "I-TASK: tasks that outlived the test");
        output
    }
}

/// Tasks that are there when the time is over: none, as soon as there is none.
async fn tasks_left(time: Duration) -> usize {
    let deadline = Instant::now() + time;
    loop {
        let left = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if left == 0 || Instant::now() >= deadline {
            return left;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tasks without an owner are what is looked for")]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_ends_is_none_and_one_that_is_left_is_found() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let short = async {
            drop(tokio::spawn(sleep(Duration::from_millis(50))));
            7
        };
        assert_eq!(runtime.block_on(short), 7);
        let long = async {
            drop(tokio::spawn(std::future::pending::<()>()));
            tasks_left(Duration::from_millis(50)).await
        };
        assert_eq!(runtime.0.block_on(long), 1);
    }
}
