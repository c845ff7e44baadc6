//! Tables with vectors (F28): each comes as its bytes, and no other column moves for it.

use std::process::Command;

use serde_json::Value;
use towpath_testkit::{Server, Version};

use crate::binary;

const NAMES: [&str; 7] = ["id", "a", "n", "b", "s", "c", "u"];

/// Runs `towpath` and reads the flat messages that are rows of the table.
fn messages(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(binary()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    let messages = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    messages.filter(|message| message["isDdl"] == false).collect()
}

/// A value of a flat message, as `HEX()` of a vector and as the text of any other column.
fn shown(row: &Value, name: &str) -> String {
    let Some(text) = row[name].as_str() else { return "NULL".to_owned() };
    match name {
        "a" | "b" | "c" => text.chars().map(|c| format!("{:02X}", u32::from(c))).collect(),
        _ => text.to_owned(),
    }
}

fn rows(messages: &[Value], kind: &str) -> Vec<Vec<String>> {
    let of_kind = messages.iter().filter(|message| message["type"] == kind);
    let rows = of_kind.flat_map(|message| message["data"].as_array().unwrap());
    rows.map(|row| NAMES.map(|name| shown(row, name)).to_vec()).collect()
}

fn check(version: Version, metadata: &str) {
    let server = Server::start(version, &[metadata]);
    let of = |text: &str| match version.is_mariadb() {
        true => format!("VEC_FromText('{text}')"),
        false => format!("TO_VECTOR('{text}')"),
    };
    // Signs, character sets and NULLs are told by lists that count columns, or leave some out.
    server.run(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT UNSIGNED PRIMARY KEY, a VECTOR(3) NOT NULL, \
         n BIGINT UNSIGNED, b VECTOR(2), s VARCHAR(20) CHARACTER SET latin1, c VECTOR(1), u TINYINT);",
    );
    server.run(version.rotate_sql());
    let (file, _) = server.binlog_end();
    server.run(&format!(
        "SET NAMES utf8mb4; INSERT INTO d.t VALUES \
         (4000000000, {}, 18446744073709551615, {}, 'Käthe', {}, -1), \
         (2, {}, NULL, NULL, 'b', NULL, NULL), (3, {}, 0, {}, '', NULL, 7);",
        of("[1.5, -2, 3e10]"),
        of("[0, 128]"),
        of("[0.1]"),
        of("[0, 0, 0]"),
        of("[255, 1, -1e-10]"),
        of("[-0.5, 2]"),
    ));
    let select = "SELECT id, HEX(a), n, HEX(b), s, HEX(c), u FROM d.t";
    let inserted = server.query(&format!("{select} ORDER BY id = 4000000000 DESC, id"));
    server.run(&format!("UPDATE d.t SET b = {}, u = 8 WHERE id = 3;", of("[7, 9]")));
    let updated = server.query(&format!("{select} WHERE id = 3"));
    server.run("DELETE FROM d.t WHERE id = 2;");
    server.run(version.rotate_sql());

    let url = server.url();
    let from = format!("{file}:4");
    let tailed = messages(&["tail", "--flat", "--from", &from, "--limit", "3", &url]);
    let what = format!("{version:?} {metadata}");
    assert_eq!(rows(&tailed, "INSERT"), inserted, "{what}");
    assert_eq!(rows(&tailed, "UPDATE"), updated, "{what}");
    assert_eq!(rows(&tailed, "DELETE"), inserted[1..2], "{what}");
    let first = tailed.iter().find(|message| message["type"] == "INSERT").unwrap();
    let types = &first["mysqlType"];
    for (name, declared) in [("a", "vector(3)"), ("b", "vector(2)"), ("c", "vector(1)")] {
        assert_eq!(types[name], declared, "{what}");
        assert_eq!(first["sqlType"][name], 2004, "{what}: {name} is no BLOB");
    }
    assert!(types["u"].as_str().unwrap().starts_with("tinyint"), "{what}");

    // Without the source only the file itself says what the columns are.
    if metadata.ends_with("FULL") {
        let path = server.binlog_folder().join(&file);
        let decoded = messages(&["decode", "--flat", path.to_str().unwrap()]);
        assert_eq!(rows(&decoded, "INSERT"), inserted, "{what}");
        assert_eq!(rows(&decoded, "UPDATE"), updated, "{what}");
    }
}

/// F28.
#[test]
fn vectors_of_mysql_are_delivered_as_their_bytes() {
    check(Version::Mysql97, "--binlog-row-metadata=MINIMAL");
    check(Version::Mysql97, "--binlog-row-metadata=FULL");
}

/// F28: here a vector is stored and logged as a VARCHAR.
#[test]
fn vectors_of_mariadb_are_delivered_as_their_bytes() {
    check(Version::Mariadb118, "--binlog-row-metadata=MINIMAL");
    check(Version::Mariadb118, "--binlog-row-metadata=FULL");
}
