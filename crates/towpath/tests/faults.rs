//! Sessions for which readers of the binlog deliver wrong rows, lose rows or stop: each one on every
//! server that it applies to, read live, cold from the start, after a restart in the middle with and
//! without what was known, and from the file. `TOWPATH_FAULT` chooses by name. `tests/fixtures/faults` has the statements, [`list`] what must come.

mod list;
mod reading;

use std::collections::BTreeMap;

use towpath_testkit::{Server, SqlSession, Version};

use list::{Fault, LIST};
use reading::{Kept, Reading};

/// The table whose rows say that all before has come.
const MARKS: &str = "CREATE DATABASE done; CREATE TABLE done.mark (id INT PRIMARY KEY);";

/// What a reader says that stops since it does not know a structure.
const WAY_OUT: &str = "exclude the table with a filter, or start behind the change";

/// Readings that gave what they should not have, by what they gave.
#[derive(Default)]
struct Wrong(BTreeMap<String, Vec<&'static str>>);

impl Wrong {
    fn compare(
        &mut self,
        reading: &'static str,
        expected: &[String],
        came: Result<Vec<String>, String>,
    ) {
        let what = match came {
            Ok(came) if came == expected => return,
            Ok(came) => {
                let missing = expected.iter().filter(|line| !came.contains(line));
                let beyond = came.iter().filter(|line| !expected.contains(line));
                let lines: Vec<String> = missing
                    .map(|line| format!("  - {line}"))
                    .chain(beyond.map(|line| format!("  + {line}")))
                    .collect();
                if lines.is_empty() { format!("  other order: {came:?}") } else { lines.join("\n") }
            }
            Err(error) => error,
        };
        self.0.entry(what).or_default().push(reading);
    }

    fn told(&self, fault: &Fault) -> Vec<String> {
        let told = |(what, readings): (&String, &Vec<&str>)| {
            format!("{} {}\n{what}", fault.name, readings.join(", "))
        };
        self.0.iter().map(told).collect()
    }
}

/// Runs one fault and reads it in every way; what was wrong.
fn try_one(server: &Server, fault: &Fault) -> Vec<String> {
    let (made, then) = fault.parts();
    let mut session = SqlSession::open(server);
    session.run(&format!(
        "DROP DATABASE IF EXISTS f; DROP DATABASE IF EXISTS g; DROP DATABASE IF EXISTS done;
         {};\n{MARKS}",
        server.version().reset_sql()
    ));
    let mut live = Reading::start(server, &Kept::none());
    session.run(&made);
    let late = live.kept_after(server, 1);
    let mut said = String::new();
    let mut others: BTreeMap<&str, SqlSession> = BTreeMap::new();
    for (name, sql) in fault.by_session(&then) {
        let other = || SqlSession::open(server);
        let session =
            if name == "first" { &mut session } else { others.entry(name).or_insert_with(other) };
        said.push_str(&session.try_run(sql));
    }
    drop(others);
    drop(session);
    server.run("INSERT INTO done.mark VALUES (2)");
    let mut wrong = Wrong::default();
    if !said.is_empty() && !fault.fails {
        wrong.compare("statements", &[], Err(said));
    }
    let (whole, rest) = (fault.expected(), fault.expected_amid(&made));
    wrong.compare("live", &whole, live.rows());
    wrong.compare("cold", &whole, Reading::start(server, &Kept::none()).rows());
    wrong.compare("file", &whole, reading::decoded(server));
    wrong.compare("amid", &rest, Reading::start(server, &late).rows());
    // Nobody may know what the table was: then it is said, and no row is guessed. Statements may be of
    // temporary tables that were there before.
    let rows = |lines: Vec<String>| -> Vec<String> {
        let is_row =
            |line: &String| ["INSERT", "UPDATE", "DELETE"].iter().any(|k| line.starts_with(k));
        lines.into_iter().filter(is_row).collect()
    };
    let rest = rows(rest);
    let came = Reading::start(server, &late.without_history()).rows().map(rows);
    let came = came.or_else(|why| if why.contains(WAY_OUT) { Ok(rest.clone()) } else { Err(why) });
    wrong.compare("amid, no history", &rest, came);
    wrong.told(fault)
}

/// An acknowledged statement at the end of the binlog does not come again after a restart.
fn nothing_comes_again(server: &Server) -> Vec<String> {
    server
        .run("DROP DATABASE IF EXISTS f; DROP DATABASE IF EXISTS g; DROP DATABASE IF EXISTS done;");
    server.run(&format!("{};", server.version().reset_sql()));
    let mut reading = Reading::start(server, &Kept::none());
    server.run(include_str!("../../../tests/fixtures/faults/ddl-at-the-end.sql"));
    let again = reading.again_after("CREATE f.t");
    again.into_iter().map(|line| format!("ddl-at-the-end: {line} again")).collect()
}

/// Flat messages and JSON lines of an update have the key, and every column with its value.
fn full_nodup_is_whole(server: &Server) -> Vec<String> {
    let sql = include_str!("../../../tests/fixtures/faults/full-nodup.sql");
    server.run(&format!("DROP DATABASE IF EXISTS f; {};\n{sql}", server.version().reset_sql()));
    let flat = reading::printed(server, "--flat");
    let json = reading::printed(server, "--json");
    let has = |text: &str, needles: &[&str]| {
        text.lines().any(|line| needles.iter().all(|needle| line.contains(needle)))
    };
    let update =
        ["\"UPDATE\"", "\"pkNames\":[\"id\"]", "\"id\":\"1\"", "\"a\":\"100\"", "\"b\":\"2\""];
    let line = ["\"update\"", "\"key\":{\"id\":\"1\"}", "\"a\":\"100\"", "\"b\":\"2\""];
    let mut wrong = Vec::new();
    if !has(&flat, &update) {
        wrong.push(format!("full-nodup --flat: {flat}"));
    }
    if !has(&json, &line) {
        wrong.push(format!("full-nodup --json: {json}"));
    }
    wrong
}

fn check(version: Version) {
    let server = Server::start(version, &[]);
    let only = std::env::var_os("TOWPATH_FAULT").unwrap_or_default();
    let only = only.to_str().unwrap();
    let mut wrong: Vec<String> = LIST
        .iter()
        .filter(|fault| (fault.on)(version) && fault.name.contains(only))
        .flat_map(|fault| try_one(&server, fault))
        .collect();
    if "ddl-at-the-end".contains(only) {
        wrong.extend(nothing_comes_again(&server));
    }
    if list::full_nodup(version) && "full-nodup".contains(only) {
        wrong.extend(full_nodup_is_whole(&server));
    }
    assert!(wrong.is_empty(), "{version:?}: {} wrong\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn mysql_97_delivers_what_happened() {
    check(Version::Mysql97);
}

#[test]
fn mysql_80_delivers_what_happened() {
    check(Version::Mysql80);
}

#[test]
fn mysql_57_delivers_what_happened() {
    check(Version::Mysql57);
}

#[test]
fn mysql_55_delivers_what_happened() {
    check(Version::Mysql55);
}

#[test]
fn mariadb_118_delivers_what_happened() {
    check(Version::Mariadb118);
}

#[test]
fn mariadb_114_delivers_what_happened() {
    check(Version::Mariadb114);
}

#[test]
fn mariadb_1011_delivers_what_happened() {
    check(Version::Mariadb1011);
}

#[test]
fn mariadb_102_delivers_what_happened() {
    check(Version::Mariadb102);
}
