//! Rows: what a statement does to them, and transactions that keep or lose it.

use towpath_testkit::Random;

use super::super::kind::Kind;
use super::client::Client;
use super::world::{Table, World};

/// A statement on the rows of one table, or several statements that end a transaction.
pub(crate) fn rows(client: &Client, table: &Table, random: &mut Random) -> String {
    let name = client.table(&table.name, random);
    if !table.keyed {
        let (count, times) = if random.one_in(12) { (1500, 1) } else { (1, 1 + random.below(3)) };
        let insert = |_| match random.below(3) {
            // The server itself cannot log several rows of no bytes in one event.
            0 | 1 => format!("INSERT INTO {name} () VALUES ();"),
            _ => {
                let names: Vec<String> =
                    table.columns.iter().map(|c| client.quoted(&c.name, random)).collect();
                let rows = full_rows(table, count, random);
                format!("INSERT INTO {name} ({}) VALUES {rows};", names.join(", "))
            }
        };
        return (0..times).map(insert).collect();
    }
    let from = client.first_id + random.below(60);
    let some = format!("id BETWEEN {from} AND {}", from + random.below(9));
    let all: Vec<_> = table.columns.iter().filter(|column| column.kind != Kind::Id).collect();
    let columns: Vec<_> = all.iter().copied().filter(|_| !random.one_in(3)).collect();
    let column = |name: &str, random: &mut Random| client.quoted(name, random);
    match random.below(9) {
        0..=3 => {
            let count = if random.one_in(14) { 1500 } else { random.below(12) + 1 };
            let names: Vec<String> =
                columns.iter().map(|c| format!(", {}", column(&c.name, random))).collect();
            let rows: Vec<String> = (0..count)
                .map(|index| {
                    let id = if count > 60 { 60 + index } else { random.below(60) };
                    let values: Vec<String> =
                        columns.iter().map(|c| format!(", {}", c.kind.literal(random))).collect();
                    format!("({}{})", client.first_id + id, values.concat())
                })
                .collect();
            // Of a row that MariaDB replaces it does not log the columns that are left out.
            let is_logged = !client.version.is_mariadb() || columns.len() == all.len();
            let words = ["INSERT IGNORE", if is_logged { "REPLACE" } else { "INSERT IGNORE" }];
            let word = random.pick(&words);
            format!("{word} INTO {name} (id{}) VALUES {};", names.concat(), rows.join(", "))
        }
        4..=6 if !columns.is_empty() => {
            let changed = random.pick(&columns);
            let value = if matches!(changed.kind, Kind::Text(_)) && random.one_in(6) {
                format!("REPEAT('x', {})", random.below(60_000))
            } else {
                changed.kind.literal(random)
            };
            format!(
                "UPDATE IGNORE {name} SET {} = {value} WHERE {some};",
                column(&changed.name, random)
            )
        }
        7 => format!("UPDATE IGNORE {name} SET id = id + 60 WHERE {some};"),
        _ => format!("DELETE FROM {name} WHERE {some};"),
    }
}

fn full_rows(table: &Table, count: usize, random: &mut Random) -> String {
    let rows: Vec<String> = (0..count)
        .map(|_| {
            let values: Vec<String> =
                table.columns.iter().map(|c| c.kind.literal(random)).collect();
            format!("({})", values.join(", "))
        })
        .collect();
    rows.join(", ")
}

const SAVEPOINTS: &[&str] = &["s", "`s t`", "S", "`rollback`", "`x``y`"];

/// A whole prepared transaction on tables that have transactions.
pub(crate) fn prepared(
    client: &Client,
    world: &World,
    number: u32,
    random: &mut Random,
) -> Option<String> {
    let table = world.any_table(random).filter(|t| t.transactional && !client.hides(&t.name))?;
    let id = random.pick(&[format!("'x{number}'"), format!("'x{number}', x'ff00', {number}")]);
    let rows = rows(client, &table, random);
    let end = random.pick(&[
        format!("XA PREPARE {id}; XA COMMIT {id};"),
        format!("XA COMMIT {id} ONE PHASE;"),
        format!("XA ROLLBACK {id};"),
    ]);
    Some(format!("XA START {id}; {rows} XA END {id}; {end}"))
}

/// What a session does with its transaction, without rows.
pub(crate) fn control(client: &mut Client, random: &mut Random) -> String {
    if !client.in_transaction {
        client.in_transaction = true;
        return random.pick(&["BEGIN;", "START TRANSACTION;", "BEGIN WORK;"]).to_owned();
    }
    match random.below(6) {
        0 | 1 => format!("SAVEPOINT {};", random.pick(SAVEPOINTS)),
        2 | 3 => format!(
            "ROLLBACK {} {};",
            random.pick(&["TO", "WORK TO SAVEPOINT"]),
            random.pick(SAVEPOINTS)
        ),
        _ => end(client, random),
    }
}

/// Ends a transaction.
pub(crate) fn end(client: &mut Client, random: &mut Random) -> String {
    client.in_transaction = false;
    random.pick(&["COMMIT;", "COMMIT;", "ROLLBACK;", "ROLLBACK WORK;"]).to_owned()
}
