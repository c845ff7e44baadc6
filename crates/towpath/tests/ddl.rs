//! T-DDL-4: what we make of a corpus of statements is what the servers make of it, statement by
//! statement.

mod structure;
mod suite;

use std::fmt::Write;
use std::path::Path;

use towpath_schema::NameCase;
use towpath_testkit::{Server, Version};

use structure::{Fault, Reader, compare, presents, probe};

/// A statement of the corpus; `reread`: it may lose the table's structure, or leave a table that is
/// not there.
struct Statement {
    sql: String,
    reread: bool,
}

/// The databases of the corpus.
const SCHEMAS: &[&str] = &["c1", "c2", "c2b", "c3 spaced", "c4", "c5"];

fn corpus(name: &str) -> Vec<Statement> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ddl");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let statements = text.split_inclusive(";\n").map(|sql| Statement {
        reread: sql.trim_start().starts_with("-- reread\n"),
        sql: sql.trim_start().trim_start_matches("-- reread\n").to_owned(),
    });
    statements.filter(|statement| !statement.sql.is_empty()).collect()
}

fn check(version: Version, arguments: &[&str], case: NameCase, at_least: usize) {
    let server = Server::start(version, arguments);
    server.run(version.rotate_sql());
    let names = ["create.sql", "alter.sql", "names.sql", "mariadb.sql", "mysql8.sql"];
    let statements: Vec<Statement> = names.into_iter().flat_map(corpus).collect();
    let schemas: Vec<String> = SCHEMAS.iter().map(|&name| name.to_owned()).collect();
    let probe = probe(version, &schemas);
    let mut script = String::new();
    for Statement { sql, .. } in &statements {
        write!(script, "{sql}{probe}").unwrap();
    }
    let presents = presents(&server.answers(&script));
    assert_eq!(presents.len(), statements.len());
    let mut reader = Reader::new(&server, &presents[0].file, case);
    let (mut faults, mut run) = (Vec::new(), 0);
    let mut before = 0;
    for (statement, present) in statements.iter().zip(&presents) {
        run += usize::from(present.offset > before);
        before = present.offset;
        reader.read_until(present.offset);
        for fault in compare(&mut reader, present, &schemas) {
            match fault {
                Fault::Unknown(_) | Fault::Gone(_) if statement.reread => {}
                Fault::Unknown(fault) | Fault::Wrong(fault) => {
                    faults.push(format!("{}  {fault}", statement.sql));
                }
                Fault::Gone(table) => {
                    faults.push(format!("{}  {table} is not there any more", statement.sql));
                }
            }
        }
    }
    let count = faults.len();
    assert!(faults.is_empty(), "{version:?}: {count} differences\n{}", faults.join("\n"));
    assert!(run >= at_least, "{version:?}: only {run} statements ran");
}

#[test]
fn the_corpus_means_the_same_to_mysql_97() {
    check(Version::Mysql97, &[], NameCase::Sensitive, 300);
}

#[test]
fn the_corpus_means_the_same_to_mysql_80() {
    check(Version::Mysql80, &[], NameCase::Sensitive, 250);
}

#[test]
fn the_corpus_means_the_same_to_mysql_57() {
    let names = ["--lower-case-table-names=1"];
    check(Version::Mysql57, &names, NameCase::Insensitive, 230);
}

#[test]
fn the_corpus_means_the_same_to_mariadb_1011() {
    check(Version::Mariadb1011, &[], NameCase::Sensitive, 300);
}

#[test]
fn the_corpus_means_the_same_to_mysql_55() {
    check(Version::Mysql55, &[], NameCase::Sensitive, 150);
}

#[test]
fn the_corpus_means_the_same_to_mariadb_118() {
    check(Version::Mariadb118, &[], NameCase::Sensitive, 300);
}

#[test]
fn the_corpus_means_the_same_to_mariadb_114() {
    check(Version::Mariadb114, &[], NameCase::Sensitive, 300);
}

#[test]
fn the_corpus_means_the_same_to_mariadb_102() {
    check(Version::Mariadb102, &[], NameCase::Sensitive, 250);
}
