//! The default character set of a database, where only the stream can tell it: the database is gone.

use serde_json::json;
use towpath_testkit::{Server, Version};

use crate::sequence::Serving;
use crate::shown::decoded;

/// Servers whose table maps do not name character sets.
const UNTOLD: [Version; 4] =
    [Version::Mysql57, Version::Mysql55, Version::Mariadb102, Version::Mariadb1011];

fn check(server: &Server, sql: &str, expected: &[&str]) {
    let version = server.version();
    server.run(&format!("{};", version.reset_sql()));
    server.run(sql);
    let rows = decoded(server, "--json");
    let texts: Vec<_> = rows.iter().map(|row| row["after"]["a"].clone()).collect();
    assert_eq!(
        texts,
        expected.iter().map(|text| json!(text)).collect::<Vec<_>>(),
        "{version:?} {sql}"
    );
}

#[test]
fn a_database_that_the_stream_names_has_its_character_set() {
    for version in UNTOLD {
        let server = Server::start(version, &["--character-set-server=latin2"]);
        let table = "CREATE TABLE f.t (a VARCHAR(10)); INSERT INTO f.t VALUES ('é');";
        for (made, text) in [
            ("CREATE DATABASE f CHARACTER SET latin1", "é"),
            ("CREATE DATABASE f DEFAULT CHARSET = 'latin1' COLLATE latin1_bin", "é"),
            ("CREATE SCHEMA f COLLATE cp1250_general_ci", "é"),
            ("CREATE DATABASE f", "é"),
            ("CREATE DATABASE f CHARACTER SET DEFAULT", "é"),
            ("SET character_set_server = cp850; CREATE DATABASE f", "é"),
            ("CREATE DATABASE IF NOT EXISTS f CHARACTER SET latin1", "é"),
            ("CREATE DATABASE IF NOT EXISTS f", "é"),
            ("CREATE DATABASE f; CREATE DATABASE IF NOT EXISTS f CHARACTER SET utf8", "é"),
            ("CREATE DATABASE f; ALTER DATABASE f CHARACTER SET cp852", "é"),
            ("CREATE DATABASE f; USE f; ALTER DATABASE COLLATE latin1_bin", "é"),
            ("CREATE DATABASE f CHARACTER SET utf8; ALTER DATABASE f CHARACTER SET DEFAULT", "é"),
            ("CREATE DATABASE f CHARACTER SET utf8; DROP DATABASE f; CREATE DATABASE f", "é"),
        ] {
            check(&server, &format!("{made}; {table} DROP DATABASE f;"), &[text]);
        }
        check(
            &server,
            "CREATE DATABASE f CHARACTER SET latin1; CREATE TABLE f.t (a VARCHAR(10));
             ALTER DATABASE f CHARACTER SET utf8; INSERT INTO f.t VALUES ('é');
             CREATE TABLE f.u (a VARCHAR(10)); INSERT INTO f.u VALUES ('é');
             CREATE TABLE f.w LIKE f.t; INSERT INTO f.w VALUES ('é');
             ALTER TABLE f.u ADD b TEXT; INSERT INTO f.u (a) VALUES ('é');
             ALTER DATABASE f CHARACTER SET cp852; USE f;
             ALTER TABLE t CONVERT TO CHARACTER SET DEFAULT; INSERT INTO t VALUES ('é');
             DROP DATABASE f;",
            &["é"; 5],
        );
    }
}

/// Databases whose names differ in case only; MySQL 5.5 takes the one for the other.
#[test]
fn names_that_differ_in_case_have_character_sets_of_their_own() {
    for version in UNTOLD {
        let server = Server::start(version, &[]);
        check(
            &server,
            "CREATE DATABASE f CHARACTER SET latin1; CREATE DATABASE F CHARACTER SET utf8;
             CREATE TABLE f.t (a VARCHAR(10)); INSERT INTO f.t VALUES ('é');
             ALTER DATABASE f CHARACTER SET latin2; CREATE TABLE F.t (a VARCHAR(10));
             INSERT INTO F.t VALUES ('é'); CREATE TABLE f.u (a VARCHAR(10)); INSERT INTO f.u VALUES ('é');
             DROP DATABASE f; CREATE TABLE F.u (a VARCHAR(10)); INSERT INTO F.u VALUES ('é');
             DROP DATABASE F;",
            &["é"; 4],
        );
    }
}

/// Of a table that is gone the source tells the default of its database: not if it was another one when the
/// table was made.
#[test]
fn the_default_of_today_is_not_that_of_before() {
    for version in UNTOLD {
        let server = Server::start(version, &[]);
        // Nobody was told of the databases.
        server.run(
            "SET sql_log_bin = 0; CREATE DATABASE f CHARACTER SET utf8;
             CREATE DATABASE g CHARACTER SET latin1;",
        );
        server.run(
            "CREATE TABLE g.own (a VARCHAR(10)); INSERT INTO g.own VALUES ('own é'); DROP TABLE g.own;
             CREATE TABLE f.t (a VARCHAR(10)); RENAME TABLE f.t TO g.t;
             INSERT INTO g.t VALUES ('renamed é'); CREATE TABLE f.t (a VARCHAR(10));
             CREATE TABLE g.l LIKE f.t; INSERT INTO g.l VALUES ('copied é'); DROP TABLE g.t, g.l;
             ALTER DATABASE f CHARACTER SET latin1; INSERT INTO f.t VALUES ('last é'); DROP TABLE f.t;",
        );
        let url = server.url();
        let mut serving = Serving::start(&["--source", &url, "--from", "earliest"]);
        serving.wait_until_running();
        let texts = serving.until((".*\\..*", 1000), texts, |text| text.contains("last"), &"last");
        assert_eq!(texts, ["own é", "renamed é", "copied é", "last é"], "{version:?}");
    }
}

fn texts(entry: &[u8]) -> Vec<String> {
    let entry = towpath_protocol::entry::Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    let values = change.rows.iter().flat_map(|row| row.after.iter());
    values.map(|column| column.value.unwrap_or("NULL").to_owned()).collect()
}

/// MariaDB: the tables of the database before are gone as well.
#[test]
fn a_replaced_database_loses_its_tables() {
    let server = Server::start(Version::Mariadb1011, &[]);
    check(
        &server,
        "CREATE DATABASE f; CREATE TABLE f.t (x INT, a VARCHAR(10));
         CREATE OR REPLACE DATABASE f CHARACTER SET latin1; CREATE TABLE IF NOT EXISTS f.t (a VARCHAR(10));
         INSERT INTO f.t VALUES ('é'); DROP DATABASE f;",
        &["é"],
    );
}

/// The history keeps it over a restart.
#[test]
fn the_history_keeps_the_character_set_of_a_database() {
    let server = Server::start(Version::Mysql57, &[]);
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--from", "earliest"]);
    serving.wait_until_running();
    let until = |serving: &mut Serving, last: &str| {
        let is_last = |text: &String| text.contains(last);
        serving.until((".*\\..*", 1000), texts, is_last, &last)
    };
    server.run(
        "CREATE DATABASE f CHARACTER SET latin1; CREATE TABLE f.m (a VARCHAR(10));
         INSERT INTO f.m VALUES ('first')",
    );
    assert_eq!(until(&mut serving, "first"), ["first"]);
    let ended = serving.end();
    server.run(
        "CREATE TABLE f.t (a VARCHAR(10)); INSERT INTO f.t VALUES ('é'); DROP DATABASE f;
         CREATE DATABASE f CHARACTER SET utf8; CREATE TABLE f.t (a VARCHAR(10));
         INSERT INTO f.t VALUES ('last é')",
    );
    let mut serving = ended.start(&["--source", &url]);
    assert_eq!(until(&mut serving, "last"), ["é", "last é"]);
}
