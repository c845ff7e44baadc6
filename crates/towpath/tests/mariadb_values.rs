//! Values of MariaDB's own types and formats are those that its SELECT shows.

use std::fmt::Write;

use serde_json::Value;
use towpath_testkit::{Server, Version};

use crate::shown::{decoded, next_file, tailed, values};

const ALL: [Version; 4] =
    [Version::Mariadb102, Version::Mariadb1011, Version::Mariadb114, Version::Mariadb118];

fn after(rows: &[Value], names: &[&str]) -> Vec<Vec<String>> {
    rows.iter().map(|row| values(&row["after"], names)).collect()
}

/// Times with fractions in the format before MySQL 5.6, of all numbers of digits.
#[test]
fn old_times_have_their_fractions() {
    let column = |n: usize| {
        format!("t{n} TIME({n}) NULL, d{n} DATETIME({n}) NULL, s{n} TIMESTAMP({n}) NULL")
    };
    let columns: Vec<String> = (0..=6).map(column).collect();
    let names: Vec<String> =
        (0..=6).flat_map(|n| ["t", "d", "s"].map(|c| format!("{c}{n}"))).collect();
    let names: Vec<&str> = ["id"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut sql = String::new();
    for (id, row) in [
        "'-838:59:59.123456', '2016-12-21 17:57:16.000001', '2016-12-21 17:57:16.000001'",
        "'838:59:59.999999', '0000-00-00 00:00:00', '1970-01-01 00:00:01.999999'",
        "'-00:00:00.000001', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999'",
        "'00:00:00', '2016-00-00 00:00:00.5', 0",
        "'-10:11:12.5', '2016-01-01 01:02:03.123456', '2001-01-01 01:02:03.123456'",
        "NULL, NULL, NULL",
    ]
    .iter()
    .enumerate()
    {
        writeln!(sql, "INSERT INTO f.t VALUES ({id}, {});", [*row; 7].join(", ")).unwrap();
    }
    for version in ALL {
        let server = Server::start(version, &["--default-time-zone=+00:00", "--sql-mode="]);
        server.run(&format!(
            "SET GLOBAL mysql56_temporal_format = OFF; CREATE DATABASE f;
             CREATE TABLE f.t (id INT PRIMARY KEY, {}); SET GLOBAL mysql56_temporal_format = ON; {sql}",
            columns.join(", ")
        ));
        let expected = server.query("SELECT * FROM f.t").into_iter();
        let expected: Vec<Vec<String>> = expected
            .map(|row| {
                row.into_iter().map(|v| if v == "NULL" { "null".to_owned() } else { v }).collect()
            })
            .collect();
        let rows = decoded(&server, "--json");
        assert_eq!(after(&rows, &names), expected, "{version:?}");
        // By what the server shows of the table.
        let from = next_file(&server);
        server.run("UPDATE f.t SET id = id + 10 ORDER BY id DESC");
        let rows = tailed(&server, &from, 6, "--json");
        let mut shown = after(&rows, &names[1..]);
        shown.reverse();
        let values: Vec<Vec<String>> = expected.iter().map(|row| row[1..].to_vec()).collect();
        assert_eq!(shown, values, "{version:?}");
    }
}

/// The digits stand in the structure only. Where that is not known the table is named.
#[test]
fn an_old_time_whose_digits_nobody_knows_stops() {
    for metadata in ["MINIMAL", "FULL"] {
        let metadata = format!("--binlog-row-metadata={metadata}");
        let server = Server::start(Version::Mariadb1011, &[&metadata]);
        server.run(
            "SET GLOBAL mysql56_temporal_format = OFF; CREATE DATABASE f;
             CREATE TABLE f.t (id INT PRIMARY KEY, d DATETIME(3))",
        );
        next_file(&server);
        server.run(
            "INSERT INTO f.t VALUES (1, '2016-12-21 17:57:16.123');
             ALTER TABLE f.t MODIFY d DATETIME(6); DROP TABLE f.t;",
        );
        let path = server.binlog_folder().join(server.binlog_end().0);
        let output = std::process::Command::new(crate::binary())
            .args(["decode", path.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("f.t"), "{said}");
        if metadata.ends_with("FULL") {
            assert!(said.contains("column `d` is in the format before MySQL 5.6"), "{said}");
        }
    }
}

/// Addresses with zeros at all places, and those that have the form of IPv4.
#[test]
fn inet6_is_written_as_the_server_writes_it() {
    let mut addresses: Vec<String> = (0..256_u32)
        .map(|mask| {
            let word = |i: u32| {
                if mask >> i & 1 == 0 { "0" } else { ["1", "ffff", "abcd"][i as usize % 3] }
            };
            (0..8).map(word).collect::<Vec<_>>().join(":")
        })
        .collect();
    let others = [
        "::",
        "::1",
        "::192.0.2.1",
        "::ffff:192.0.2.1",
        "::0.0.1.0",
        "::0.1.0.0",
        "64:ff9b::192.0.2.33",
        "::fffe:1.2.3.4",
        "::ffff:0:1.2.3.4",
        "2001:db8::1",
        "2001:db8:0:1:1:1:1:1",
        "::255.255.255.255",
        "1:0:0:2:0:0:0:3",
        "0:0:1::",
        "fe80::1",
        "100::",
        "::100",
        "::ffff:0:0",
    ];
    addresses.extend(others.map(ToOwned::to_owned));
    let list: Vec<String> = addresses.iter().map(|a| format!("('{a}')")).collect();
    for version in &ALL[1..] {
        let server = Server::start(*version, &[]);
        server.run(&format!(
            "CREATE DATABASE f; CREATE TABLE f.t (id INT PRIMARY KEY AUTO_INCREMENT, a INET6);
             INSERT INTO f.t (a) VALUES {}",
            list.join(", ")
        ));
        let rows = decoded(&server, "--json");
        assert_eq!(
            after(&rows, &["a"]),
            server.query("SELECT a FROM f.t ORDER BY id"),
            "{version:?}"
        );
    }
}

/// UUIDs of all versions and variants that the server takes, and INET4.
#[test]
fn uuid_and_inet4_are_written_as_the_server_writes_them() {
    let mut sql = String::new();
    for kind in 0..256 {
        let (version, variant) = (kind / 16, kind % 16);
        let node = if kind % 5 == 0 { 0 } else { 0x0123_4567_89ab_u64 + kind };
        writeln!(
            sql,
            "INSERT INTO f.t (a, b) VALUES ('{:08x}-12ab-{version:x}0f1-{variant:x}c01-{node:012x}', '{}.0.7.{kind}');",
            kind * 0x0101_0103,
            255 - kind
        )
        .unwrap();
    }
    for version in [Version::Mariadb1011, Version::Mariadb114, Version::Mariadb118] {
        let server = Server::start(version, &[]);
        server.run(
            "CREATE DATABASE f; CREATE TABLE f.t (id INT PRIMARY KEY AUTO_INCREMENT, a UUID, b INET4);",
        );
        // Some it refuses.
        server.run_with_faults(&sql);
        let rows = decoded(&server, "--json");
        assert!(rows.len() > 100);
        let expected = server.query("SELECT a, b FROM f.t ORDER BY id");
        assert_eq!(after(&rows, &["a", "b"]), expected, "{version:?}");
    }
}
