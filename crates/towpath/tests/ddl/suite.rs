//! The vendors' own test suites as a corpus: every statement in them that changes a table is run on a
//! live server, and what we make of it is compared with `information_schema` after it.
//!
//! A part of the files by default. `TOWPATH_DDL_FILES` is how many, `TOWPATH_SEED` which;
//! `TOWPATH_DDL_SUITE` is a folder with another suite (MySQL's is in Debian's `mysql-testsuite`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use towpath_schema::NameCase;
use towpath_testkit::{Random, Server, Version, cache, setting};

use super::structure::{Fault, Reader, compare, presents, probe};

/// Files of the suite for each server, without `TOWPATH_DDL_FILES`.
const FILES: u64 = 12;
/// Files after which a long run says how it goes.
const TOLD_EVERY: usize = 100;
/// Longer statements are left out, and files with more of them are cut.
const STATEMENT_LEN_MAX: usize = 64 << 10;
const STATEMENTS_MAX: usize = 600;

/// What a statement that is run begins with.
const BEGINNINGS: &[&str] = &[
    "create table",
    "create or replace table",
    "create or replace view",
    "create view",
    "create index",
    "create unique index",
    "create fulltext index",
    "create spatial index",
    "create database",
    "create schema",
    "create sequence",
    "create or replace sequence",
    "alter table",
    "alter online table",
    "alter ignore table",
    "alter database",
    "alter schema",
    "alter sequence",
    "alter view",
    "rename table",
    "rename tables",
    "drop table",
    "drop tables",
    "drop database",
    "drop schema",
    "drop index",
    "drop sequence",
    "drop view",
    "truncate",
    "use ",
];

/// What a statement that is not run has in it: it reaches outside of its databases, or takes long.
const LEFT_OUT: &[&str] = &[
    "mysql",
    "information_schema",
    "performance_schema",
    "sys.",
    "directory",
    "tablespace",
    "sleep",
    "benchmark",
    "seq_1_to",
    "connection",
    "'\\'",
    // Modes in which types have other names, and names other quotes.
    "oracle",
    "maxdb",
    "mssql",
    // NULL in one server, NOT NULL in the other.
    "auto_increment null",
];

/// Reads a file of the suite: statements and commands, ended by a delimiter.
struct Script<'a> {
    rest: &'a str,
    delimiter: String,
    /// What `let` sets.
    variables: BTreeMap<String, String>,
}

impl<'a> Script<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, delimiter: ";".to_owned(), variables: BTreeMap::new() }
    }

    /// The next statement, as it is sent to a server.
    fn next(&mut self) -> Option<String> {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == '}');
            if self.rest.is_empty() {
                return None;
            }
            let line = self.rest.lines().next().unwrap_or_default();
            if let Some(command) = line.strip_prefix("--") {
                self.rest = &self.rest[line.len()..];
                self.command(command.trim());
            } else if line.starts_with('#') {
                self.rest = &self.rest[line.len()..];
            } else if ["if", "while"].iter().any(|w| line.starts_with(w)) && line.contains('(') {
                self.rest = self.rest.split_once('{').map_or("", |(_, rest)| rest);
            } else {
                let text = self.until_delimiter().trim();
                let statement = text.strip_prefix("eval ").unwrap_or(text).trim_start();
                let statement = statement.strip_prefix("send ").unwrap_or(statement);
                if !self.command(statement) && !statement.contains(';') {
                    return Some(self.filled_in(statement));
                }
            }
        }
    }

    /// Takes what lies before the delimiter; one in quotes is none.
    fn until_delimiter(&mut self) -> &'a str {
        let (mut quote, mut escaped) = (None, false);
        for (at, c) in self.rest.char_indices() {
            match quote {
                Some(_) if escaped => escaped = false,
                Some(open) if c == '\\' && open != '`' => escaped = true,
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
                None if self.rest[at..].starts_with(&self.delimiter) => {
                    let taken = &self.rest[..at];
                    self.rest = &self.rest[at + self.delimiter.len()..];
                    return taken;
                }
                None => {}
            }
        }
        std::mem::take(&mut self.rest)
    }

    /// True for what the test program does itself.
    fn command(&mut self, text: &str) -> bool {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word.to_ascii_lowercase().as_str() {
            // `delimiter ;;` reads as one without an end, up to the first `;`.
            "delimiter" if rest.trim().is_empty() => self.rest = "",
            "delimiter" => self.delimiter = rest.trim().to_owned(),
            "let" => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                let value = self.filled_in(value.trim());
                self.variables.insert(name.trim().trim_start_matches('$').to_owned(), value);
            }
            _ => return false,
        }
        true
    }

    /// With the variables' values; an engine that nobody set is the usual one.
    fn filled_in(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let (name, rest) = part.split_at(end.unwrap_or(part.len()));
            match self.variables.get(name) {
                Some(value) => out.push_str(value),
                None if name.to_lowercase().contains("engine") => out.push_str("InnoDB"),
                None => out.push_str(&format!("${name}")),
            }
            out.push_str(rest);
        }
        out
    }
}

fn is_wanted(statement: &str) -> bool {
    let lower = statement.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().take(4).collect();
    let start = words.join(" ") + " ";
    // For the session alone: the next file begins with the server's own.
    let sets_mode = start.starts_with("set ")
        && lower.contains("sql_mode")
        && !["global", "persist"].iter().any(|scope| lower.contains(scope));
    (sets_mode || BEGINNINGS.iter().any(|beginning| start.starts_with(beginning)))
        && statement.len() <= STATEMENT_LEN_MAX
        && !LEFT_OUT.iter().any(|word| lower.contains(word))
        && !statement.contains(['$', '\0'])
        // The client would read on behind it.
        && ["'", "\"", "`"].iter().all(|quote| statement.matches(quote).count() % 2 == 0)
        && lower.matches("/*").count() == lower.matches("*/").count()
}

fn statements(file: &Path) -> Vec<String> {
    // Texts in other character sets are not for this reader.
    let bytes = std::fs::read(file).unwrap();
    let Ok(text) = std::str::from_utf8(&bytes) else { return Vec::new() };
    let mut script = Script::new(text);
    let mut found = Vec::new();
    while let Some(statement) = script.next() {
        if is_wanted(&statement) && found.len() < STATEMENTS_MAX {
            found.push(statement);
        }
    }
    found
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => panic!("{}: {error}: run scripts/servers/fetch", folder.display()),
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "test") {
            into.push(path);
        }
    }
}

/// How it went.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    run: usize,
    wrong: Vec<String>,
    unknown: Vec<String>,
    /// Tables that are known but not there: a view or a temporary table has their name.
    gone: BTreeSet<String>,
    /// Files whose answers could not be told apart.
    garbled: Vec<String>,
}

/// Databases that the suite made.
fn made(server: &Server) -> Vec<String> {
    let own = ["information_schema", "performance_schema", "mysql", "sys"];
    let all = server.query("SHOW DATABASES").into_iter().filter_map(|row| row.into_iter().next());
    all.filter(|name| !own.contains(&name.as_str())).collect()
}

fn run_file(server: &Server, file: &Path, tally: &mut Tally) {
    let found = statements(file);
    if found.is_empty() {
        return;
    }
    let quoted = |name: &String| format!("DROP DATABASE `{}`;\n", name.replace('`', "``"));
    let drops: String = made(server).iter().map(quoted).collect();
    let version = server.version();
    server.run_with_faults(&format!("SET foreign_key_checks = 0;\n{drops}"));
    server.run(&format!("{};\nCREATE DATABASE test;\n", version.reset_sql()));
    let schemas = ["test".to_owned()];
    let probe = probe(version, &schemas);
    let sql: String = found.iter().map(|statement| format!("{statement};\n{probe}")).collect();
    let answers = server.answers(&format!("USE test;\n{sql}"));
    let presents = presents(&answers);
    let shown = file.display();
    if presents.len() != found.len() {
        tally.garbled.push(format!("{shown}"));
        return;
    }
    tally.files += 1;
    let mut reader = Reader::new(server, &presents[0].file, NameCase::Sensitive);
    let mut before = 0;
    for (statement, present) in found.iter().zip(&presents) {
        tally.run += usize::from(present.offset > before);
        before = present.offset;
        reader.read_until(present.offset);
        for fault in compare(&mut reader, present, &schemas) {
            match fault {
                Fault::Unknown(fault) => {
                    tally.unknown.push(format!("{shown}: {statement}\n    {fault}"));
                }
                Fault::Gone(table) => {
                    tally.gone.insert(format!("{shown}: {table}"));
                }
                Fault::Wrong(fault) => {
                    tally.wrong.push(format!("{shown}: {statement}\n    {fault}"));
                }
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a run of all files is for")]
fn report(text: &str) {
    println!("{text}");
}

/// Runs a part of the suite. No structure is ever wrong, and hardly one is lost.
fn check(version: Version) {
    let folder = std::env::var_os("TOWPATH_DDL_SUITE");
    let folder = folder.map_or_else(|| cache().join("mariadb-test"), PathBuf::from);
    let mut all = Vec::new();
    files(&folder, &mut all);
    let seed = setting("TOWPATH_SEED").unwrap_or(1);
    // By their names: files that a later release adds hardly change which ones are taken.
    all.sort_by_cached_key(|file| {
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
        let hash = name.bytes().fold(seed, |hash, byte| Random::new(hash ^ u64::from(byte)).next());
        (hash, name.to_owned())
    });
    let count = setting("TOWPATH_DDL_FILES").unwrap_or(FILES);
    let server = Server::start(
        version,
        &["--lock-wait-timeout=2", "--innodb-flush-method=nosync", "--loose-skip-sync-frm"],
    );
    let mut tally = Tally::default();
    for file in &all {
        if u64::try_from(tally.files).unwrap() >= count {
            break;
        }
        let before = tally.files;
        run_file(&server, file, &mut tally);
        if tally.files > before && tally.files.is_multiple_of(TOLD_EVERY) {
            let Tally { files, run, wrong, unknown, .. } = &tally;
            let (wrong, unknown) = (wrong.len(), unknown.len());
            report(&format!("{files} files, {run} statements: {wrong} wrong, {unknown} lost"));
        }
    }
    let Tally { files, run, wrong, unknown, gone, garbled } = tally;
    let mut text = format!("{version:?}, seed {seed}: {run} statements of {files} files ran\n");
    let gone = gone.into_iter().collect();
    for (what, list) in [
        ("structures wrong", &wrong),
        ("structures lost", &unknown),
        ("tables that are not there", &gone),
        ("files not read", &garbled),
    ] {
        writeln!(text, "{} {what}\n{}", list.len(), list.join("\n")).unwrap();
    }
    report(&text);
    assert!(wrong.is_empty(), "{text}");
    assert!(unknown.len() * 1000 <= run, "{text}");
    assert!(run > files, "{text}");
}

#[test]
fn the_suite_means_the_same_to_mysql_55() {
    check(Version::Mysql55);
}

#[test]
fn the_suite_means_the_same_to_mysql_57() {
    check(Version::Mysql57);
}

#[test]
fn the_suite_means_the_same_to_mysql_80() {
    check(Version::Mysql80);
}

#[test]
fn the_suite_means_the_same_to_mysql_97() {
    check(Version::Mysql97);
}

#[test]
fn the_suite_means_the_same_to_mariadb_102() {
    check(Version::Mariadb102);
}

#[test]
fn the_suite_means_the_same_to_mariadb_1011() {
    check(Version::Mariadb1011);
}

#[test]
fn the_suite_means_the_same_to_mariadb_114() {
    check(Version::Mariadb114);
}

#[test]
fn the_suite_means_the_same_to_mariadb_118() {
    check(Version::Mariadb118);
}
