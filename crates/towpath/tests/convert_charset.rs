//! `CONVERT TO CHARACTER SET`: names and order stay known, and what a type becomes the table map tells.

use serde_json::json;
use towpath_testkit::{Server, Version};

use crate::shown::decoded;

#[test]
fn a_converted_table_stays_known() {
    for version in Version::ALL {
        let server = Server::start(version, &[]);
        server.run(
            "CREATE DATABASE f; USE f;
             CREATE TABLE t (a INT, b INT, x TEXT, y TINYTEXT, z LONG VARCHAR, v VARCHAR(9)) CHARSET latin1;
             ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4;
             INSERT INTO t VALUES (1, 2, 'é', 'é', 'é', 'é'); ALTER TABLE t DROP COLUMN a;
             INSERT INTO t VALUES (3, '😀', '😀', '😀', '😀');
             CREATE TABLE u (a INT, x TEXT, y TINYTEXT, z MEDIUMTEXT, v VARCHAR(9), c CHAR(3)) CHARSET latin1;
             ALTER TABLE u CONVERT TO CHARACTER SET binary;
             INSERT INTO u VALUES (1, x'ff', x'ff', x'ff', x'ff', x'ff'); ALTER TABLE u DROP COLUMN a;
             CREATE TABLE w (a INT, v VARCHAR(9), c CHAR(3)) CHARSET utf8;
             ALTER TABLE w CONVERT TO CHARACTER SET latin1; INSERT INTO w VALUES (1, 'é', 'é');
             ALTER TABLE w CONVERT TO CHARACTER SET binary; INSERT INTO w VALUES (2, x'ff', x'ffff');
             ALTER TABLE w CONVERT TO CHARSET utf8mb4; INSERT INTO w VALUES (3, x'ff', x'ffff');
             DROP TABLE w;",
        );
        let rows = decoded(&server, "--flat");
        let data: Vec<_> = rows.iter().map(|row| row["data"][0].clone()).collect();
        let smile = "😀";
        assert_eq!(
            data,
            [
                json!({"a": "1", "b": "2", "x": "é", "y": "é", "z": "é", "v": "é"}),
                json!({"b": "3", "x": smile, "y": smile, "z": smile, "v": smile}),
                json!({"a": "1", "x": "ÿ", "y": "ÿ", "z": "ÿ", "v": "ÿ", "c": "ÿ"}),
                json!({"a": "1", "v": "é", "c": "é"}),
                json!({"a": "2", "v": "ÿ", "c": "ÿÿ"}),
                json!({"a": "3", "v": "ÿ", "c": "ÿÿ"}),
            ],
            "{version:?}"
        );
        for (row, table) in [(1, "t"), (2, "u")] {
            let told = rows[row]["mysqlType"].as_object().unwrap();
            let listed = server.query(&format!(
                "SELECT column_name, column_type FROM information_schema.columns
                 WHERE table_schema = 'f' AND table_name = '{table}' AND column_name NOT IN ('b', 'z')"
            ));
            for column in listed {
                let told = told[&column[0]].as_str().unwrap().to_lowercase();
                assert_eq!(told, column[1], "{version:?} {table}.{}", column[0]);
            }
        }
        for name in ["x", "y", "z", "v", "c"] {
            assert_eq!(rows[2]["sqlType"][name], 2004, "{version:?} {name}");
        }
    }
}
