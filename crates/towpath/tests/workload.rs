//! Numbered changes, and how the published clients print them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Changes of `shop.ledger`, in the order in which they are made. Each change has a number of its
/// own, so a lost, repeated or misplaced one shows.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    step: u32,
    next_id: u32,
    rows: BTreeMap<u32, String>,
    /// Every change as a client prints it.
    pub(crate) expected: Vec<String>,
}

/// The structure that the changes need.
pub(crate) const SCHEMA: &str = "CREATE DATABASE shop; \
     CREATE TABLE shop.ledger (id INT PRIMARY KEY, step INT UNSIGNED NOT NULL, note VARCHAR(99)) \
     CHARACTER SET utf8mb4; \
     CREATE TABLE shop.done (id INT PRIMARY KEY);";

/// The row that ends a client.
pub(crate) fn done(number: u32) -> String {
    format!("INSERT INTO shop.done VALUES ({number});\n")
}

impl Workload {
    /// Statements of so many more transactions.
    pub(crate) fn transactions(&mut self, count: u32) -> String {
        let mut sql = String::new();
        for number in 0..count {
            sql.push_str("BEGIN;\n");
            self.insert(&mut sql, 1 + number % 3);
            let ids: Vec<u32> = self.rows.keys().copied().collect();
            let pick = |salt: u32| ids[(salt as usize * 7919) % ids.len()];
            self.update(&mut sql, pick(number));
            if number % 4 == 3 {
                self.delete(&mut sql, pick(number + 1));
            }
            if number % 50 == 49 {
                // One event with many rows, and a transaction larger than a batch of the clients.
                self.insert(&mut sql, 300);
            }
            sql.push_str("COMMIT;\n");
        }
        sql
    }

    fn number(&mut self) -> u32 {
        self.step += 1;
        self.step
    }

    fn insert(&mut self, sql: &mut String, count: u32) {
        sql.push_str("INSERT INTO shop.ledger VALUES ");
        for index in 0..count {
            self.next_id += 1;
            let (id, step) = (self.next_id, self.number());
            let note = format!("new £ 中 😀 {step}");
            let comma = if index == 0 { "" } else { "," };
            write!(sql, "{comma}({id},{step},'{note}')").unwrap();
            let row = format!("(id={id},step={step},note={note})");
            self.expected.push(format!("INSERT shop.ledger () {row}"));
            self.rows.insert(id, row);
        }
        sql.push_str(";\n");
    }

    fn update(&mut self, sql: &mut String, id: u32) {
        let step = self.number();
        writeln!(sql, "UPDATE shop.ledger SET step={step}, note=NULL WHERE id={id};").unwrap();
        let row = format!("(id={id},step={step},note=NULL)");
        let before = self.rows.insert(id, row.clone()).unwrap();
        self.expected.push(format!("UPDATE shop.ledger {before} {row}"));
    }

    fn delete(&mut self, sql: &mut String, id: u32) {
        writeln!(sql, "DELETE FROM shop.ledger WHERE id={id};").unwrap();
        let before = self.rows.remove(&id).unwrap();
        self.expected.push(format!("DELETE shop.ledger {before} ()"));
    }
}

/// Fails at the first row that is not the expected one.
pub(crate) fn assert_rows(who: &str, expected: &[String], got: &[String]) {
    for (index, (wanted, row)) in expected.iter().zip(got).enumerate() {
        assert_eq!(wanted, row, "{who}: row {index}");
    }
    assert_eq!(expected.len(), got.len(), "{who}: count of rows");
}
