//! Text in every character set of a server is what `CONVERT(... USING utf8mb4)` makes of it there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use serde_json::Value;
use towpath_testkit::{Server, Version};

use crate::binary;

/// Which part of the binlog is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of it: character sets are known from the statements.
    Whole,
    /// The rows only: character sets are known by the numbers of collations.
    Rows,
}

/// Numbers from 0 to 65535.
const NUMBERS: &str = "CREATE DATABASE d; \
     CREATE TABLE d.h (n INT PRIMARY KEY); INSERT INTO d.h VALUES \
     (0),(1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12),(13),(14),(15); \
     CREATE TABLE d.n (n INT PRIMARY KEY); INSERT INTO d.n \
     SELECT a.n * 4096 + b.n * 256 + c.n * 16 + d.n FROM d.h a, d.h b, d.h c, d.h d;";

/// Sets without a text of their own.
const NO_TEXT: &[&str] = &["binary", "filename"];

/// Rows with all characters of a set, 256 codes a row: `code` is an SQL expression of bytes that are
/// taken as they are.
fn fill(sql: &mut String, set: &str, code: &str, (from, base): (u32, u32)) {
    // What is no character is not there, or `?`.
    writeln!(
        sql,
        "INSERT INTO d.`{set}` SELECT {base} + n DIV 256, GROUP_CONCAT(c ORDER BY n SEPARATOR '') \
         FROM (SELECT n, {code} AS c FROM d.n WHERE n >= {from}) x \
         WHERE c IS NOT NULL AND CHAR_LENGTH(c) = 1 AND HEX(CONVERT(c USING utf32)) <> '0000003F' \
         GROUP BY n DIV 256;"
    )
    .unwrap();
}

fn rows_sql(set: &str, max_len: u32) -> String {
    let mut sql =
        "SET SESSION sql_mode = ''; SET SESSION group_concat_max_len = 10000;\n".to_owned();
    let planes = if max_len == 4 { 0..3 } else { 0..1 };
    for plane in planes {
        // Half surrogates are none.
        let utf32 = format!(
            "IF(n BETWEEN 55296 AND 57343, NULL, \
             CONVERT(CONVERT(UNHEX(LPAD(HEX(n + {plane} * 65536), 8, '0')) USING utf32) USING {set}))"
        );
        fill(&mut sql, set, &utf32, (0, plane * 1000));
    }
    if !(set.starts_with("utf") || set == "ucs2") && max_len > 1 {
        fill(&mut sql, set, &format!("CONVERT(UNHEX(HEX(n)) USING {set})"), (0x8000, 10_000));
    }
    if max_len == 3 && !set.starts_with("utf") {
        let code = format!("CONVERT(UNHEX(CONCAT('8F', HEX(n))) USING {set})");
        fill(&mut sql, set, &code, (0x8000, 20_000));
    }
    sql
}

/// The rows of a binlog file by table and id, as flat messages have them.
fn decoded(server: &Server, file: &str) -> BTreeMap<(String, String), Value> {
    let mut command = Command::new(binary());
    let output =
        command.args(["decode", "--flat"]).arg(server.binlog_folder().join(file)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rows = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let table = message["table"].as_str().unwrap_or_default().to_owned();
        let types = message["mysqlType"].clone();
        for row in message["data"].as_array().into_iter().flatten() {
            let mut row = row.clone();
            row["#types"] = types.clone();
            rows.insert((table.clone(), row["id"].as_str().unwrap_or_default().to_owned()), row);
        }
    }
    rows
}

fn text_of_hex(hex: &str) -> String {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    String::from_utf8((0..hex.len()).step_by(2).map(digits).collect()).unwrap()
}

/// Compares the text of all rows, and says how many characters they have.
fn compare(
    server: &Server,
    sets: &[String],
    rows: &BTreeMap<(String, String), Value>,
) -> (usize, Vec<String>) {
    let (mut count, mut faults) = (0, Vec::new());
    for set in sets {
        let sql = format!("SELECT id, HEX(CONVERT(v USING utf8mb4)) FROM d.`{set}`");
        for row in server.query(&sql) {
            let expected = text_of_hex(&row[1]);
            let found = rows.get(&(set.clone(), row[0].clone()));
            let found = found.and_then(|row| row["v"].as_str()).unwrap_or("nothing");
            count += expected.chars().count();
            if found != expected {
                let pairs = found.chars().zip(expected.chars()).filter(|(a, b)| a != b).take(5);
                let pairs: Vec<(char, char)> = pairs.collect();
                faults.push(format!("{set} {}: {pairs:?}", row[0]));
            }
        }
    }
    (count, faults)
}

fn check(version: Version, arguments: &[&str], part: Part, at_least: usize) {
    let server = Server::start(version, arguments);
    server.run(NUMBERS);
    let sets: Vec<Vec<String>> = server
        .query("SELECT character_set_name, maxlen FROM information_schema.character_sets")
        .into_iter()
        .filter(|row| !NO_TEXT.contains(&row[0].as_str()))
        .collect();
    // MariaDB has names of collations that are those of several character sets.
    let collations = server.query(if version == Version::Mariadb118 {
        "SELECT full_collation_name, character_set_name \
         FROM information_schema.collation_character_set_applicability \
         WHERE character_set_name NOT IN ('binary', 'filename')"
    } else {
        "SELECT collation_name, character_set_name FROM information_schema.collations \
         WHERE character_set_name <> 'binary'"
    });
    server.run(version.rotate_sql());
    let mut file = server.binlog_end().0;
    for row in &sets {
        server.run(&format!(
            "CREATE TABLE d.`{0}` (id INT PRIMARY KEY, v VARCHAR(400)) DEFAULT CHARSET {0}",
            row[0]
        ));
    }
    let columns: String = collations
        .iter()
        .enumerate()
        .map(|(index, row)| {
            format!(", c{index} VARCHAR(4) CHARACTER SET {} COLLATE {}", row[1], row[0])
        })
        .collect();
    server.run(&format!("CREATE TABLE d.collations (id INT PRIMARY KEY{columns}) ENGINE=MyISAM"));
    if part == Part::Rows {
        server.run(version.rotate_sql());
        file = server.binlog_end().0;
    }
    for row in &sets {
        server.run(&rows_sql(&row[0], row[1].parse().unwrap()));
    }
    let values = ", 'aé中'".repeat(collations.len());
    server.run(&format!("SET sql_mode = ''; INSERT INTO d.collations VALUES (1{values})"));
    server.run(version.rotate_sql());
    let rows = decoded(&server, &file);

    let names: Vec<String> = sets.into_iter().map(|row| row[0].clone()).collect();
    let (count, mut faults) = compare(&server, &names, &rows);
    let ours = &rows[&("collations".to_owned(), "1".to_owned())];
    let texts: String =
        (0..collations.len()).map(|index| format!(", CONVERT(c{index} USING utf8mb4)")).collect();
    let theirs = &server.query(&format!("SELECT id{texts} FROM d.collations"))[0];
    for (index, row) in collations.iter().enumerate() {
        let column = format!("c{index}");
        let type_text = ours["#types"][&column].as_str().unwrap_or_default().to_lowercase();
        let (text, expected) = (ours[&column].as_str(), &theirs[index + 1]);
        if text != Some(expected) || type_text != "varchar(4)" {
            faults.push(format!("{}: {text:?} for {expected}, {type_text}", row[0]));
        }
    }
    assert!(faults.is_empty(), "{version:?}: {} faults\n{}", faults.len(), faults.join("\n"));
    assert!(count > at_least, "{version:?}: only {count} characters");
}

#[test]
fn every_character_of_mysql_97_arrives() {
    check(Version::Mysql97, &["--binlog-row-metadata=FULL"], Part::Rows, 1_000_000);
}

#[test]
fn every_character_of_mariadb_118_arrives() {
    check(Version::Mariadb118, &["--binlog-row-metadata=FULL"], Part::Rows, 700_000);
}

/// Without row metadata: the statements say which character set a column has.
#[test]
fn every_character_of_mysql_57_arrives() {
    check(Version::Mysql57, &[], Part::Whole, 700_000);
}

#[test]
fn every_character_of_mariadb_1011_arrives() {
    check(Version::Mariadb1011, &[], Part::Whole, 700_000);
}
