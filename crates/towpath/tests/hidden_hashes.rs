//! MariaDB's hidden columns, one for each UNIQUE key that is too long for an index: no consumer sees them.

use serde_json::{Value, json};
use towpath_testkit::{Server, Version};

use crate::shown::{decoded, next_file, tailed};

/// Tables with such keys made in every way, and what becomes of them.
const SQL: &str = "CREATE DATABASE f; USE f;
    CREATE TABLE t1 (id INT PRIMARY KEY, a TEXT UNIQUE, c INT);
    INSERT INTO t1 VALUES (1, 'x', 5); UPDATE t1 SET c = 6; DELETE FROM t1;
    CREATE TABLE t2 (a TEXT UNIQUE, b BLOB UNIQUE, c VARCHAR(4000) CHARACTER SET utf8mb4,
        v INT AS (c) VIRTUAL, w BIGINT UNSIGNED, UNIQUE (c), CONSTRAINT both_of UNIQUE KEY (a, b));
    INSERT INTO t2 (a, b, c, w) VALUES ('x', 'y', '5', 9); UPDATE t2 SET c = 6; DELETE FROM t2;
    CREATE TABLE t3 (id INT, b VARCHAR(10), UNIQUE KEY k (b) USING HASH, DB_ROW_HASH_1 INT,
        UNIQUE u2 (id) USING HASH);
    INSERT INTO t3 VALUES (1, 'x', 2); ALTER TABLE t3 ADD z INT; INSERT INTO t3 VALUES (2, 'y', 2, 3);
    CREATE TABLE t4 (id INT, b TEXT, UNIQUE KEY k (b(10)), UNIQUE (b)); INSERT INTO t4 VALUES (1, 'x');
    CREATE TABLE t5 (id INT PRIMARY KEY, b TEXT UNIQUE, c INT) WITH SYSTEM VERSIONING;
    INSERT INTO t5 VALUES (1, 'x', 2); UPDATE t5 SET c = 3;
    CREATE TABLE t6 (id INT PRIMARY KEY, b TEXT, c INT); INSERT INTO t6 VALUES (0, '', 2);
    ALTER TABLE t6 ADD UNIQUE k (b); INSERT INTO t6 VALUES (1, 'x', 2);
    ALTER TABLE t6 RENAME COLUMN b TO bb, ADD UNIQUE (bb), ADD d BIGINT UNSIGNED AFTER c;
    INSERT INTO t6 VALUES (2, 'y', 2, 7);
    ALTER TABLE t6 DROP KEY k, RENAME KEY bb TO bbb; INSERT INTO t6 VALUES (3, 'z', 2, 7);
    ALTER TABLE t6 MODIFY bb VARCHAR(20); INSERT INTO t6 VALUES (4, 'zz', 2, 7);
    DROP INDEX bbb ON t6; INSERT INTO t6 VALUES (5, 'zz', 2, 7); DELETE FROM t6 WHERE id > 1;
    ALTER TABLE t6 MODIFY bb LONGTEXT UNIQUE; INSERT INTO t6 VALUES (7, 'zzz', 2, 7);
    CREATE UNIQUE INDEX k2 ON t6 (bb, c); INSERT INTO t6 VALUES (8, 'yyy', 2, 7);
    ALTER TABLE t6 DROP COLUMN d; INSERT INTO t6 VALUES (9, 'yyyy', 2);
    CREATE TABLE t7 LIKE t6; INSERT INTO t7 VALUES (8, 'yyy', 2); RENAME TABLE t7 TO t8;
    INSERT INTO t8 VALUES (9, NULL, 2);
    CREATE TABLE t9 (id INT PRIMARY KEY, b TEXT UNIQUE, `DB_ROW_HASH_1` BIGINT UNSIGNED);
    INSERT INTO t9 VALUES (1, 'x', 77); UPDATE t9 SET b = 'y';";

const VERSIONS: [Version; 3] = [Version::Mariadb1011, Version::Mariadb114, Version::Mariadb118];

/// Names of the columns that rows of a table may have, as the server lists them at the end.
fn check(rows: &[Value], version: Version, what: &str) {
    let hidden = |name: &String| name.starts_with("DB_ROW_HASH_");
    for row in rows {
        let table = row["table"].as_str().unwrap();
        for image in ["before", "after"] {
            let Some(columns) = row[image].as_object() else { continue };
            let own = usize::from(matches!(table, "t3" | "t9"));
            let count = columns.keys().filter(|name| hidden(name)).count();
            assert!(count <= own, "{version:?} {what}: {row}");
        }
    }
    let of = |table: &str| -> Vec<Value> {
        let images = rows.iter().filter(|row| row["table"] == table);
        images.map(|row| row["after"].clone()).collect()
    };
    assert_eq!(of("t1")[0], json!({"id": "1", "a": "x", "c": "5"}), "{version:?} {what}");
    assert_eq!(of("t3")[1], json!({"id": "2", "b": "y", "DB_ROW_HASH_1": "2", "z": "3"}));
    assert_eq!(of("t4"), [json!({"id": "1", "b": "x"})], "{version:?} {what}");
    let six = of("t6");
    assert_eq!(six[2], json!({"id": "2", "bb": "y", "c": "2", "d": "7"}), "{version:?} {what}");
    assert_eq!(six.last(), Some(&json!({"id": "9", "bb": "yyyy", "c": "2"})), "{version:?} {what}");
    assert_eq!(of("t8"), [json!({"id": "9", "bb": null, "c": "2"})], "{version:?} {what}");
    assert_eq!(
        of("t9")[0],
        json!({"id": "1", "b": "x", "DB_ROW_HASH_1": "77"}),
        "{version:?} {what}"
    );
}

#[test]
fn hashes_of_long_unique_keys_are_not_delivered() {
    for version in VERSIONS {
        for metadata in ["MINIMAL", "FULL"] {
            let server = Server::start(version, &[&format!("--binlog-row-metadata={metadata}")]);
            server.run(SQL);
            let rows = decoded(&server, "--json");
            check(&rows, version, metadata);
            // Structures that the server tells, later statements undone.
            let tailed = tailed(&server, "earliest", rows.len(), "--json");
            assert_eq!(tailed, rows, "{version:?} {metadata}");
        }
    }
}

/// From the middle of the binlog on: what the server tells of its tables, with what changed since undone.
#[test]
fn hashes_are_known_from_the_server() {
    for version in VERSIONS {
        let server = Server::start(version, &[]);
        server.run(
            "CREATE DATABASE f; USE f; CREATE TABLE t (id INT PRIMARY KEY, a TEXT UNIQUE, b BLOB);
             CREATE TABLE u (id INT PRIMARY KEY, a TEXT UNIQUE, b BIGINT UNSIGNED);
",
        );
        let from = next_file(&server);
        server.run(
            "USE f; INSERT INTO t VALUES (1, 'x', 'y'); INSERT INTO u VALUES (1, 'x', 2);
             ALTER TABLE t ADD c INT, ADD UNIQUE (b); INSERT INTO t VALUES (2, 'xx', 'yy', 3);
             ALTER TABLE u DROP KEY a; INSERT INTO u VALUES (2, 'xx', 2);
             ALTER TABLE t DROP KEY a; INSERT INTO t VALUES (3, 'xx', 'yyy', 3);",
        );
        let rows = tailed(&server, &from, 5, "--json");
        let after: Vec<_> = rows.iter().map(|row| row["after"].clone()).collect();
        let expected = [
            json!({"id": "1", "a": "x", "b": "y"}),
            json!({"id": "1", "a": "x", "b": "2"}),
            json!({"id": "2", "a": "xx", "b": "yy", "c": "3"}),
            json!({"id": "2", "a": "xx", "b": "2"}),
            json!({"id": "3", "a": "xx", "b": "yyy", "c": "3"}),
        ];
        assert_eq!(after, expected, "{version:?}");
    }
}

/// A column more than is known is a hash only where there may be one: all else is looked up, or stops.
#[test]
fn a_surplus_column_that_is_no_hash_is_noticed() {
    for (known, real) in [
        ("id INT, b VARCHAR(20) UNIQUE", "id INT, b VARCHAR(20) UNIQUE, c BIGINT UNSIGNED"),
        ("id INT, b TEXT UNIQUE", "id INT, b TEXT UNIQUE, c BIGINT UNSIGNED"),
        ("id INT, b TEXT UNIQUE, c BIGINT UNSIGNED", "id INT, b TEXT UNIQUE"),
        ("id INT, b VARCHAR(900) UNIQUE", "id INT, b VARCHAR(900), c BIGINT"),
        ("id INT, b VARCHAR(900) UNIQUE", "id INT, b VARCHAR(900), c BIGINT UNSIGNED NOT NULL"),
        ("id INT, b TEXT UNIQUE", "id INT, b TEXT, c INT"),
    ] {
        let server = Server::start(Version::Mariadb1011, &["--binlog-row-metadata=MINIMAL"]);
        server.run(
            &format!(
            "CREATE DATABASE f; USE f; CREATE TABLE t ({known}); SET sql_log_bin = 0; DROP TABLE t;
             CREATE TABLE t ({real}); SET sql_log_bin = 1; INSERT INTO t (id) VALUES (1)"
        )
            .replace("c BIGINT UNSIGNED NOT NULL", "c BIGINT UNSIGNED NOT NULL DEFAULT 1"),
        );
        let path = server.binlog_folder().join(server.binlog_end().0);
        let output = std::process::Command::new(crate::binary())
            .args(["decode", path.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{known} | {real}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("f.t"), "{said}");
    }
}
