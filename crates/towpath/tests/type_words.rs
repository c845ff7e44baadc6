//! Every word for a type that the two vendors' manuals have: sqlType and bytes are those of the type that the
//! server makes of it, whether a statement tells it or the server.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;
use towpath_testkit::{Server, Version};

use crate::shown::{decoded, next_file, tailed};

const WORDS: &[&str] = &[
    "LONG",
    "LONG VARCHAR",
    "LONG VARBINARY",
    "LONG CHAR VARYING",
    "LONG CHARACTER VARYING",
    "LONG VARCHARACTER",
    "LONG CHARACTER SET latin1",
    "LONG VARCHAR CHARACTER SET latin1",
    "LONG VARCHAR CHARACTER SET binary",
    "LONG BYTE",
    "LONG BINARY",
    "LONG VARCHAR BINARY",
    "LONG ASCII",
    "CHAR BYTE",
    "CHAR(5) BYTE",
    "CHAR",
    "CHAR(5) BINARY",
    "CHARACTER(5)",
    "CHARACTER VARYING(5)",
    "CHARACTER VARYING(5) BINARY",
    "CHAR VARYING(5)",
    "CHAR VARYING(5) BYTE",
    "VARCHARACTER(5)",
    "VARCHARACTER(5) BYTE",
    "VARCHAR(5) BYTE",
    "VARCHAR(5) BINARY",
    "VARCHAR(5) CHARACTER SET binary",
    "VARCHAR(5) CHARSET binary",
    "VARCHAR(5) CHAR SET latin1",
    "VARCHAR(5) ASCII",
    "VARCHAR(5) ASCII BINARY",
    "VARCHAR(5) BINARY ASCII",
    "VARCHAR(5) UNICODE",
    "VARCHAR(5) BINARY UNICODE",
    "VARCHAR(5) CHARACTER SET latin1 BINARY",
    "VARCHAR(5) BINARY CHARACTER SET latin1",
    "VARCHAR(5) COLLATE latin1_bin",
    "VARCHAR(5) COLLATE binary",
    "NATIONAL CHAR(5)",
    "NATIONAL CHARACTER(5)",
    "NATIONAL VARCHAR(5)",
    "NATIONAL CHAR VARYING(5)",
    "NATIONAL CHARACTER VARYING(5)",
    "NATIONAL VARCHARACTER(5)",
    "NCHAR(5)",
    "NCHAR",
    "NCHAR VARCHAR(5)",
    "NCHAR VARYING(5)",
    "NCHAR VARCHARACTER(5)",
    "NVARCHAR(5)",
    "NVARCHAR(5) BINARY",
    "TEXT",
    "TEXT BYTE",
    "TINYTEXT BYTE",
    "MEDIUMTEXT BYTE",
    "LONGTEXT BYTE",
    "TEXT BINARY",
    "TEXT(100)",
    "TEXT(255) CHARACTER SET binary",
    "TEXT(20) CHARACTER SET latin1",
    "TEXT(70000)",
    "TEXT(20000000)",
    "TEXT CHARACTER SET binary",
    "TINYTEXT CHARACTER SET binary",
    "MEDIUMTEXT CHARSET binary",
    "LONGTEXT COLLATE binary",
    "TEXT ASCII",
    "TEXT UNICODE",
    "BLOB",
    "BLOB(10)",
    "BLOB(256)",
    "BLOB(70000)",
    "BLOB(20000000)",
    "TINYBLOB",
    "MEDIUMBLOB",
    "LONGBLOB",
    "VARCHAR(70000)",
    "VARCHAR(20000) CHARACTER SET utf8",
    "VARCHAR(30000) CHARACTER SET utf8",
    "VARCHAR(70000) CHARACTER SET latin1",
    "VARCHAR(70000) CHARACTER SET binary",
    "CHARACTER VARYING(70000)",
    "VARBINARY(70000)",
    "VARBINARY(5)",
    "BINARY(5)",
    "BINARY",
    "CHAR(5) CHARACTER SET binary",
    "ENUM('a','b') CHARACTER SET binary",
    "SET('a','b') CHARACTER SET binary",
    "ENUM('a','b') BINARY",
    "SET('a','b') ASCII",
    "JSON",
    "VARCHAR(5) COMPRESSED",
    "VARBINARY(5) COMPRESSED",
    "TEXT COMPRESSED",
    "BLOB COMPRESSED",
    "TEXT COMPRESSED CHARACTER SET latin1",
    "TEXT COMPRESSED BYTE",
    "INT1",
    "INT2",
    "INT3",
    "INT4",
    "INT8",
    "MIDDLEINT",
    "INT1 UNSIGNED",
    "INT8 UNSIGNED",
    "INT SIGNED",
    "FLOAT4",
    "FLOAT8",
    "FLOAT(24)",
    "FLOAT(25)",
    "FLOAT(7,3)",
    "DOUBLE PRECISION",
    "DOUBLE PRECISION(7,3)",
    "REAL",
    "DEC(5,2)",
    "DEC",
    "FIXED(5,2)",
    "NUMERIC",
    "BOOL",
    "BOOLEAN",
    "BIT",
    "BIT(9)",
    "SERIAL",
    "YEAR",
    "YEAR(4)",
    "YEAR(2)",
    "SQL_TSI_YEAR",
    "TIMESTAMP(3) NULL",
    "DATETIME(3)",
    "TIME(3)",
    "GEOMETRY",
    "POINT",
    "GEOMETRYCOLLECTION",
    "GEOMCOLLECTION",
    "INTEGER ZEROFILL",
    "DECIMAL(5,2) ZEROFILL",
    "VECTOR(3)",
    "INET4",
    "INET6",
    "UUID",
];

/// The sqlType of a NULL, or for strings of any value, by the server's own name of the type.
fn sql_type(data_type: &str) -> i64 {
    match data_type {
        "tinyint" => -6,
        "smallint" => 5,
        "mediumint" | "int" | "enum" => 4,
        "bigint" => -5,
        "float" => 7,
        "double" => 8,
        "decimal" => 3,
        "bit" => -7,
        "year" | "varchar" => 12,
        "time" => 92,
        "datetime" | "timestamp" => 93,
        "char" | "inet4" | "inet6" | "uuid" => 1,
        "json" => 1111,
        name if name.ends_with("text") => 2005,
        // With SET, GEOMETRY, VECTOR.
        _ => 2004,
    }
}

/// A column of the server's, and what it holds.
#[derive(Debug)]
struct Known {
    data_type: String,
    value: Value,
}

fn known(server: &Server, database: &str) -> HashMap<String, Known> {
    let listed = server.query(&format!(
        "SELECT table_name, data_type FROM information_schema.columns
         WHERE table_schema = '{database}' AND column_name = 'a'"
    ));
    let mut all = HashMap::new();
    for row in listed {
        let (table, data_type) = (row[0].clone(), row[1].clone());
        let is_bytes = data_type.ends_with("blob") || data_type.ends_with("binary");
        let is_text = data_type.ends_with("text") || data_type.ends_with("char");
        let is_json = WORDS[table[1..].parse::<usize>().unwrap()] == "JSON" && is_text;
        let (sql, value) = if is_json {
            // The server looks at it.
            ("'\"é\"'", Value::from("\"é\""))
        } else if is_bytes {
            ("x'ff'", Value::from("\u{ff}"))
        } else if is_text {
            ("'é'", Value::from("é"))
        } else {
            ("NULL", Value::Null)
        };
        let insert = format!("SET sql_mode = ''; INSERT INTO {database}.{table} VALUES ({sql}, 1)");
        server.run(&insert);
        all.insert(table, Known { data_type, value });
    }
    all
}

fn check(rows: &[Value], known: &HashMap<String, Known>, (version, how): (Version, &str)) {
    assert_eq!(rows.len(), known.len(), "{version:?} {how}");
    let mut wrong = Vec::new();
    for row in rows {
        let table = row["table"].as_str().unwrap();
        let Known { data_type, value } = &known[table];
        let word = WORDS[table[1..].parse::<usize>().unwrap()];
        if word == "SERIAL" {
            // It has a number.
            continue;
        }
        let (got, got_type) = (&row["data"][0]["a"], &row["sqlType"]["a"]);
        if got != value || *got_type != sql_type(data_type) {
            wrong.push(format!("{word} is {data_type}: {got} of sqlType {got_type}"));
        }
    }
    assert!(wrong.is_empty(), "{version:?} {how}: {wrong:#?}");
}

fn check_words(version: Version, charset: &str) {
    let server = Server::start(version, &["--character-set-server=utf8mb4"]);
    let mut sql =
        format!("SET SESSION sql_mode = ''; CREATE DATABASE f CHARACTER SET {charset}; USE f;");
    for (index, word) in WORDS.iter().enumerate() {
        writeln!(sql, "CREATE TABLE t{index} (a {word}, z INT);").unwrap();
    }
    // Each server has a few that others do not know.
    server.run_with_faults(&sql);
    let known = known(&server, "f");
    assert!(known.len() > 110, "{version:?}: {}", known.len());
    let how = |which: &'static str| (version, which);
    check(&decoded(&server, "--flat"), &known, how("statements"));
    let from = next_file(&server);
    let deletes: String = known.keys().map(|table| format!("DELETE FROM f.{table};")).collect();
    server.run(&deletes);
    let rows = tailed(&server, &from, known.len(), "--flat");
    check(&rows, &known, how("server"));
}

#[test]
fn words_for_types_of_mysql_are_what_the_server_makes_of_them() {
    for version in [Version::Mysql97, Version::Mysql80, Version::Mysql57, Version::Mysql55] {
        check_words(version, "utf8mb4");
    }
    check_words(Version::Mysql57, "latin1");
}

#[test]
fn words_for_types_of_mariadb_are_what_the_server_makes_of_them() {
    for version in
        [Version::Mariadb118, Version::Mariadb114, Version::Mariadb1011, Version::Mariadb102]
    {
        check_words(version, "utf8mb4");
    }
    check_words(Version::Mariadb102, "latin1");
}
