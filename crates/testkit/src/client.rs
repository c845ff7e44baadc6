//! The published Canal clients, unchanged, under the small programs of `tests/clients`.

use std::collections::BTreeMap;
use std::process::Command;

use crate::java::{HINT, java, java_with, present, sources};
use crate::program::Program;
use crate::server::cache;

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanalClient {
    /// Canal's own, for Java, version 1.1.8.
    Java118,
    /// Canal's own, for Java, version 1.1.7.
    Java117,
    /// canal-go.
    Go,
    /// canal-python.
    Python,
}

/// What a client does on its way to the row that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Gets and acknowledges.
    Plain,
    /// Rolls back its first batch, and later all of two batches.
    Rollback,
    /// Connects anew while two batches are not acknowledged.
    Reconnect,
    /// Java only: keeps its first batch until it gets a line on standard input.
    Hold,
}

impl CanalClient {
    /// Follows a destination until a row of a table named `done` is acknowledged.
    ///
    /// # Panics
    /// When the client is not there.
    pub fn follow(self, port: u16, destination: &str, mode: Mode) -> Program {
        let mode = match mode {
            Mode::Plain => "plain",
            Mode::Rollback => "rollback",
            Mode::Reconnect => "reconnect",
            Mode::Hold => "hold",
        };
        let mut command = self.command();
        command.args(["127.0.0.1", &port.to_string(), destination, mode]);
        Program::start(&mut command, HINT)
    }

    /// Follows a destination of a cluster with Canal's Java client 1.1.8, whatever becomes of the
    /// servers, until a row of a table named `done` is acknowledged.
    ///
    /// # Panics
    /// When the client is not there.
    pub fn follow_cluster(zookeeper: &str, destination: &str) -> Program {
        let mut command = java("java-1.1.8", "CanalCluster");
        command.args([zookeeper, destination]);
        Program::start(&mut command, HINT)
    }

    /// Connects to a cluster without servers, by so many callers that leave each connector after it has
    /// failed, with Canal's Java client of `version` ("1.1.8"); see `tests/clients/java/CanalLeak.java`.
    ///
    /// # Panics
    /// When the client is not there.
    pub fn leak(version: &str, zookeeper: &str, destination: &str, callers: usize) -> Program {
        // So that what grows has an end: by default a quarter of the machine's memory, and a log with
        // every failure in it.
        let limits = ["-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-Dlog.level=off"];
        let mut command = java_with(&format!("java-{version}"), "CanalLeak", &limits);
        command.args([zookeeper, destination, &callers.to_string()]);
        Program::start(&mut command, HINT)
    }

    fn command(self) -> Command {
        let clients = cache().join("clients");
        match self {
            Self::Java118 => java("java-1.1.8", "CanalRows"),
            Self::Java117 => java("java-1.1.7", "CanalRows"),
            Self::Go => Command::new(clients.join("go-client")),
            Self::Python => {
                let mut command = Command::new(present(clients.join("python/bin/python")));
                command
                    .arg(sources().join("python/canal_rows.py"))
                    .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
                    .env("PYTHONUNBUFFERED", "1");
                command
            }
        }
    }
}

/// What a client's output tells of the rows it got.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Rows of acknowledged batches, in the order of the acks, without those of `done`.
    pub acknowledged: Vec<String>,
    /// Rows of the batches that were rolled back, or lost with a connection.
    pub given_back: Vec<String>,
    /// Rows of batches still out at the end.
    pub outstanding: Vec<String>,
    /// Whether the client came to its end.
    pub done: bool,
}

impl Delivery {
    /// Reads what a client printed.
    ///
    /// # Panics
    /// At a line that is none of its own.
    #[must_use]
    pub fn read(output: &str) -> Self {
        let mut delivery = Self::default();
        let mut batches: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in output.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "row" => {
                    let Some((batch, row)) = rest.split_once(' ') else { panic!("`{line}`") };
                    batches.entry(batch).or_default().push(row.to_owned());
                }
                "ack" => {
                    let rows = batches.remove(rest).unwrap_or_default();
                    let rows = rows.into_iter().filter(|row| !row.contains(".done "));
                    delivery.acknowledged.extend(rows);
                }
                "rollback" if rest != "all" => {
                    delivery.given_back.extend(batches.remove(rest).unwrap_or_default());
                }
                "rollback" | "reconnect" => {
                    let rows = std::mem::take(&mut batches);
                    delivery.given_back.extend(rows.into_values().flatten());
                }
                "done" => delivery.done = true,
                "holding" | "connected" | "Auth" | "Subscribe" => {}
                _ => panic!("a client says `{line}`"),
            }
        }
        delivery.outstanding = batches.into_values().flatten().collect();
        delivery
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_when_their_batch_is_acknowledged() {
        let output = "row 1 INSERT s.t () (id=1)\nrow 2 INSERT s.t () (id=2)\nrollback 1\n\
                      row 3 INSERT s.t () (id=1)\nack 3\nrow 4 INSERT s.t () (id=3)\nreconnect\n\
                      row 5 INSERT s.done () (id=1)\nack 5\nrow 6 INSERT s.t () (id=4)\n";
        let delivery = Delivery::read(output);
        assert_eq!(delivery.acknowledged, ["INSERT s.t () (id=1)"]);
        assert_eq!(
            delivery.given_back,
            ["INSERT s.t () (id=1)", "INSERT s.t () (id=2)", "INSERT s.t () (id=3)"]
        );
        assert_eq!(delivery.outstanding, ["INSERT s.t () (id=4)"]);
        assert!(!delivery.done);
    }
}
