//! Rows that carry a number, and what must hold wherever they arrive.

use std::time::Duration;

use towpath_testkit::{Delivery, Program, Server, Towpath};

use crate::binary;

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Of the servers' sessions, in seconds.
const SESSION: &str = "6";

/// Numbers in a table: the row's id is its number.
pub(crate) struct Writer<'a> {
    source: &'a Server,
    last: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(source: &'a Server) -> Self {
        source.run(
            "CREATE DATABASE shop; CREATE TABLE shop.numbers (id INT PRIMARY KEY); \
             CREATE TABLE shop.done (id INT PRIMARY KEY)",
        );
        Self { source, last: 0 }
    }

    /// Writes the next numbers, each as a transaction. Returns the last of them.
    pub(crate) fn write(&mut self, count: u64) -> u64 {
        let sql: String = (1..=count)
            .map(|n| format!("INSERT INTO shop.numbers VALUES ({});\n", self.last + n))
            .collect();
        self.source.run(&sql);
        self.last += count;
        self.last
    }

    /// The last number written.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Writes the row that ends a published client.
    pub(crate) fn done(&self) {
        self.source.run("INSERT INTO shop.done VALUES (1)");
    }
}

/// A server of a cluster that begins with the first number.
pub(crate) fn serve(source: &Server, zookeeper: &str) -> Towpath {
    serve_with(source, zookeeper, &[])
}

/// The same, with more options.
pub(crate) fn serve_with(source: &Server, zookeeper: &str, more: &[&str]) -> Towpath {
    let url = source.url();
    let mut arguments = vec!["--source", &url, "--from", "earliest", "--session-timeout", SESSION];
    arguments.extend(more);
    Towpath::serve_in_cluster(binary(), zookeeper, &arguments)
}

/// A number as clients print it.
pub(crate) fn row_of(number: u64) -> String {
    format!("shop.numbers () (id={number})")
}

pub(crate) fn wait_for_number(client: &mut Program, number: u64) {
    client.wait_for_line(&row_of(number), DEADLINE);
}

/// All numbers up to `last` arrived at a published client, in order. Returns where it began to repeat.
pub(crate) fn rewinds_of(output: &str, last: u64) -> Vec<u64> {
    let delivery = Delivery::read(output);
    assert!(delivery.done, "{output}");
    let rows = delivery.acknowledged.iter().filter(|row| row.contains("shop.numbers"));
    rewinds(rows.map(|row| number_of(row)), last)
}

/// The number in a row, as clients print it.
pub(crate) fn number_of(row: &str) -> u64 {
    let number = row.rsplit_once("id=").and_then(|(_, id)| id.trim_end_matches(')').parse().ok());
    number.unwrap()
}

/// All numbers up to `last` are there, in order; repeats go on without a gap. Returns the numbers with
/// which they began.
pub(crate) fn rewinds(numbers: impl Iterator<Item = u64>, last: u64) -> Vec<u64> {
    let (mut highest, mut previous, mut rewinds) = (0, 0, Vec::new());
    for number in numbers {
        if number != previous + 1 {
            assert!(number <= highest, "{number} after {previous}: rows are lost");
            rewinds.push(number);
        }
        previous = number;
        highest = highest.max(number);
    }
    assert_eq!(highest, last, "rows are lost");
    rewinds
}
