//! Tables without a primary key on RDS and PolarDB-X: their rows have a last column that no structure
//! shows, the key (`docs/source.md`).

use std::time::Duration;

use towpath_protocol::entry::{Column, Entry};
use towpath_testkit::{Front, Server, Towpath, Version};

use crate::binary;
use crate::sequence::Serving;

const RDS: &str = "__#alibaba_rds_row_id#__";
const POLARDB_X: &str = "_drds_implicit_id_";

/// What a server shows of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Nothing,
    /// As with `show_ipk_info`.
    Column,
}

/// A server like that of a cloud, in front of a real one: it has a variable whose name begins with
/// `prefix`, and the structure of `d.t` is that of `shown.t`.
fn cloud(server: &Server, prefix: &'static str, shows: Shows) -> Front {
    Front::start(server.port(), move |asked| {
        let variables = format!("SHOW GLOBAL VARIABLES LIKE '{prefix}%'");
        if asked == variables {
            return format!("SELECT '{prefix}version', '1'");
        }
        if shows == Shows::Column {
            return asked.to_owned();
        }
        asked
            .replace("SHOW CREATE TABLE `d`.`t`", "SHOW CREATE TABLE `shown`.`t`")
            .replace("table_schema = 'd'", "table_schema = 'shown'")
    })
}

/// Makes `d.t` with the hidden column, of which no statement in the binlog tells.
fn table(server: &Server, hidden: &str, if_not_exists: &str) {
    server.run(&format!(
        "SET sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS d; CREATE DATABASE IF NOT EXISTS shown;
         CREATE TABLE d.t (a INT, v VARCHAR(9), `{hidden}` BIGINT NOT NULL AUTO_INCREMENT, KEY (`{hidden}`));
         CREATE TABLE shown.t (a INT, v VARCHAR(9)); SET sql_log_bin = 1; {if_not_exists}"
    ));
}

const LOGGED: &str = "CREATE TABLE IF NOT EXISTS d.t (a INT, v VARCHAR(9));";

fn column(column: &Column<'_>) -> String {
    let Column { index, name, mysql_type, sql_type, .. } = column;
    let marks = [(column.is_key, " key"), (column.updated, " updated")];
    let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
    format!("{index} {name} {mysql_type} {sql_type} {}{marks}", column.value.unwrap_or("NULL"))
}

/// Each row, with all that is told of its last column.
fn shown(entry: &[u8]) -> Vec<String> {
    let entry = Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    let kind = change.event_type.name();
    let image = |columns: &[Column<'_>]| {
        let (last, rest) = columns.split_last()?;
        let rest: Vec<&str> = rest.iter().map(|column| column.name).collect();
        Some(format!("{} | {}", rest.join(" "), column(last)))
    };
    let rows = change.rows.iter();
    rows.map(|row| {
        let images: Vec<String> =
            [image(&row.before), image(&row.after)].into_iter().flatten().collect();
        format!("{kind} {}", images.join(" -> "))
    })
    .collect()
}

fn rows(serving: &mut Serving, last: &str) -> Vec<String> {
    let is_last = |row: &String| row.contains(last);
    serving.until(("d\\.t", 1000), shown, is_last, &last)
}

/// The rows of such a table, from a structure that is read and from one that a statement tells, through
/// a change of structure, and behind a restart.
fn check(version: Version, arguments: &[&str], (prefix, hidden): (&'static str, &'static str)) {
    for shows in [Shows::Nothing, Shows::Column] {
        let server = Server::start(version, arguments);
        let cloud = cloud(&server, prefix, shows);
        table(&server, hidden, "");
        let url = cloud.url();
        let source = ["--source", url.as_str()];
        let mut serving = Serving::start(&["--source", &url, "--from", "now"]);
        serving.wait_until_running();
        server.run(&format!(
            "INSERT INTO d.t VALUES (1, 'x', 7); UPDATE d.t SET a = 2, `{hidden}` = 8;
             ALTER TABLE d.t ADD b BIGINT AFTER v; INSERT INTO d.t VALUES (3, 'y', 4, 9);
             SET sql_log_bin = 0; ALTER TABLE shown.t ADD b BIGINT; SET sql_log_bin = 1;
             DELETE FROM d.t WHERE a = 3"
        ));
        let key = |value: &str| format!("{hidden} bigint -5 {value} key");
        let expected = [
            format!("INSERT a v | 2 {}", key("7")),
            format!("UPDATE a v | 2 {} -> a v | 2 {}", key("7"), key("8")),
            format!("INSERT a v b | 3 {}", key("9")),
            format!("DELETE a v b | 3 {}", key("9")),
        ];
        assert_eq!(rows(&mut serving, "DELETE"), expected, "{version:?} {shows:?}");
        assert!(!serving.state("example/schema.history").contains(hidden));

        // A table of the name that is not there any more: only the statement tells of it.
        table_again(&server, hidden);
        let mut serving = serving.restart(&source);
        let expected =
            [format!("INSERT a v | 2 {}", key("5")), "INSERT  | 0 last INT 4 1 updated".to_owned()];
        assert_eq!(rows(&mut serving, "last"), expected, "{version:?} {shows:?}");
    }
}

fn table_again(server: &Server, hidden: &str) {
    server.run("DROP TABLE d.t; SET sql_log_bin = 0; DROP TABLE shown.t");
    table(server, hidden, LOGGED);
    server.run(
        "INSERT INTO d.t VALUES (1, 'z', 5); DROP TABLE d.t;
         SET sql_log_bin = 0; DROP TABLE shown.t; CREATE TABLE shown.t (last INT); SET sql_log_bin = 1;
         CREATE TABLE d.t (last INT); INSERT INTO d.t VALUES (1)",
    );
}

#[test]
fn the_key_that_rds_hides_is_the_last_column_on_mysql_57() {
    check(Version::Mysql57, &[], ("rds_", RDS));
}

#[test]
fn the_key_that_polardb_x_hides_is_the_last_column_on_mysql_80() {
    check(Version::Mysql80, &[], ("polarx_", POLARDB_X));
}

/// With row metadata, in which the column has its name.
#[test]
fn the_key_that_rds_hides_is_named_by_full_metadata() {
    check(Version::Mysql97, &["--binlog-row-metadata=FULL"], ("rds_", RDS));
}

/// Without the variable, with a key, with another type, or with more columns it is no hidden key.
#[test]
fn a_surplus_column_stops_where_it_is_no_hidden_key() {
    let hidden = format!("`{RDS}` BIGINT NOT NULL AUTO_INCREMENT, KEY (`{RDS}`)");
    for (prefix, real, structure) in [
        ("other_", format!("a INT, {hidden}"), "a INT"),
        ("rds_", format!("a INT DEFAULT 1 PRIMARY KEY, {hidden}"), "a INT PRIMARY KEY"),
        ("rds_", "a INT, b INT".to_owned(), "a INT"),
        ("rds_", format!("a INT, b INT, {hidden}"), "a INT"),
    ] {
        let server = Server::start(Version::Mysql57, &[]);
        let cloud = cloud(&server, prefix, Shows::Nothing);
        server.run(&format!(
            "CREATE DATABASE d; CREATE DATABASE shown; CREATE TABLE shown.t ({structure});
             CREATE TABLE d.t ({real}); FLUSH BINARY LOGS; INSERT INTO d.t VALUES ()",
        ));
        let state = tempfile::tempdir().unwrap();
        let (url, state) = (cloud.url(), state.path().to_str().unwrap());
        let from = server.binlog_end().0 + ":4";
        let arguments = ["--source", &url, "--from", &from, "--state", state];
        let ended = Towpath::try_serve(binary(), &arguments).wait(Duration::from_secs(90));
        assert!(!ended.status.success(), "{real}");
        assert!(ended.stderr.contains("the counts differ"), "{real}: {}", ended.stderr);
    }
}

/// With row metadata a last column of another name is not the hidden key.
#[test]
fn a_surplus_column_that_is_named_keeps_its_name() {
    let server = Server::start(Version::Mysql97, &["--binlog-row-metadata=FULL"]);
    let cloud = cloud(&server, "rds_", Shows::Nothing);
    server.run("CREATE DATABASE d; CREATE DATABASE shown; CREATE TABLE shown.t (a INT);");
    server.run(
        "CREATE TABLE d.t (a INT, b BIGINT); FLUSH BINARY LOGS; INSERT INTO d.t VALUES (1, 2)",
    );
    let (url, from) = (cloud.url(), server.binlog_end().0 + ":4");
    let mut serving = Serving::start(&["--source", &url, "--from", &from]);
    assert_eq!(rows(&mut serving, "INSERT"), ["INSERT a | 1 b bigint -5 2 updated"]);
}
