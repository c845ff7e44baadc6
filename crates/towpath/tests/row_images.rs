//! Rows that do not have all their columns: `binlog_row_image`.

use serde_json::json;
use towpath_testkit::{Server, Version};

use crate::shown::{decoded, tailed};

const MYSQL: [Version; 3] = [Version::Mysql57, Version::Mysql80, Version::Mysql97];
const MARIADB: [Version; 4] =
    [Version::Mariadb102, Version::Mariadb1011, Version::Mariadb114, Version::Mariadb118];

/// A row whose columns all have their defaults is written as no bytes.
#[test]
fn a_row_of_no_bytes_is_a_row() {
    for version in MYSQL {
        let server = Server::start(version, &["--binlog-row-image=MINIMAL"]);
        server.run(
            "CREATE DATABASE f; USE f; CREATE TABLE d (a INT DEFAULT 7, b VARCHAR(9) DEFAULT 'x');
             INSERT INTO d VALUES (); INSERT INTO d (a) VALUES (8); INSERT INTO d () VALUES ();
             CREATE TABLE e (id INT DEFAULT 3 PRIMARY KEY, b INT); INSERT INTO e VALUES ();",
        );
        // The server refuses a second such row in an event: that is why one event is one row.
        server.run_with_faults("INSERT INTO f.d VALUES (), ();");
        assert_eq!(server.query("SELECT COUNT(*) FROM f.d"), [["3"]], "{version:?}");
        let rows = decoded(&server, "--json");
        let after: Vec<_> = rows.iter().map(|row| row["after"].clone()).collect();
        assert_eq!(after, [json!({}), json!({"a": "8"}), json!({}), json!({})], "{version:?}");
        assert!(rows.iter().all(|row| row["before"].is_null()), "{version:?}");
        let flat = decoded(&server, "--flat");
        assert_eq!((flat.len(), &flat[0]["data"]), (4, &json!([{}])), "{version:?}");
    }
    for version in MARIADB {
        let server = Server::start(version, &["--binlog-row-image=MINIMAL"]);
        server.run(
            "CREATE DATABASE f; USE f; CREATE TABLE e (id INT DEFAULT 3 PRIMARY KEY, b INT);
             INSERT INTO e VALUES (); CREATE TABLE d (a INT DEFAULT 7, b INT);
             INSERT INTO d VALUES (), ();",
        );
        let rows = decoded(&server, "--json");
        let after: Vec<_> = rows.iter().map(|row| row["after"].clone()).collect();
        // Without a primary key MariaDB writes every column.
        let whole = json!({"a": "7", "b": null});
        assert_eq!(after, [json!({}), whole.clone(), whole], "{version:?}");
    }
}

/// The after image of an update has the changed columns only: the others are those of the before image.
#[test]
fn an_update_without_duplicates_is_whole() {
    for version in [Version::Mariadb114, Version::Mariadb118] {
        let sql = "DROP DATABASE IF EXISTS f; CREATE DATABASE f; USE f;
             CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT UNSIGNED, c TEXT, d TEXT UNIQUE);
             INSERT INTO t VALUES (1, 1, 4000000000, 'x', 'é'), (2, NULL, NULL, NULL, NULL);
             UPDATE t SET a = 100 WHERE id = 1; UPDATE t SET a = NULL, c = 'y';
             UPDATE t SET id = id + 10 ORDER BY id DESC; UPDATE t SET b = 5, d = NULL WHERE id = 12;
             INSERT INTO t (id) VALUES (11) ON DUPLICATE KEY UPDATE a = 9;
             REPLACE INTO t VALUES (11, 1, 2, 'z', 'zz'); CREATE TABLE k (a INT, b INT);
             INSERT INTO k VALUES (1, 2); UPDATE k SET a = 5; DELETE FROM k; DELETE FROM t;";
        let shown = |image: &str| {
            let server = Server::start(version, &[image]);
            server.run(sql);
            let mut all = Vec::new();
            for format in ["--json", "--flat"] {
                let mut rows = decoded(&server, format);
                for row in &mut rows {
                    for part in ["file", "offset", "time_ms", "es", "ts"] {
                        row.as_object_mut().unwrap().remove(part);
                    }
                }
                all.push(rows);
            }
            let (file, _) = server.binlog_end();
            let from = format!("{file}:4");
            (all.clone(), tailed(&server, &from, all[0].len(), "--json").len())
        };
        let (full, count) = shown("--binlog-row-image=FULL");
        assert!(full[0].len() > 10 && count == full[0].len(), "{version:?}");
        assert_eq!(shown("--binlog-row-image=FULL_NODUP").0, full, "{version:?}");
    }
}

/// With a minimal row image the key of an update is in its before image.
#[test]
fn the_key_of_a_minimal_update_is_shown() {
    let server = Server::start(Version::Mysql80, &["--binlog-row-image=MINIMAL"]);
    server.run(
        "CREATE DATABASE f; CREATE TABLE f.t (id INT PRIMARY KEY, a INT);
         INSERT INTO f.t VALUES (1, 1); UPDATE f.t SET a = 2; UPDATE f.t SET id = 5;",
    );
    let rows = decoded(&server, "--json");
    let keys: Vec<_> = rows.iter().map(|row| row["key"].clone()).collect();
    assert_eq!(keys, [json!({"id": "1"}), json!({"id": "1"}), json!({"id": "5"})]);
    assert_eq!(rows[1]["after"], json!({"a": "2"}));
}
