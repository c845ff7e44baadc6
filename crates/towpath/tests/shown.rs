//! What `towpath decode` and `towpath tail` show of the rows that a server wrote.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use towpath_testkit::Server;

use crate::binary;

/// Runs `towpath`; the objects of rows that it shows, one a line.
fn rows(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(binary()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    let objects = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["key"].is_object() || object["data"].is_array()).collect()
}

/// All rows of the server's binlog, by what its statements say alone. A server that was started twice has a
/// file more.
pub(crate) fn decoded(server: &Server, format: &str) -> Vec<Value> {
    let folder = std::fs::read_dir(server.binlog_folder()).unwrap();
    let names = folder.map(|entry| entry.unwrap().path());
    let is_binlog = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_prefix("mysql-bin.").is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    let mut files: Vec<PathBuf> = names.filter(is_binlog).collect();
    files.sort();
    let files = files.iter().map(|path| path.to_str().unwrap());
    rows(&["decode", format].into_iter().chain(files).collect::<Vec<_>>())
}

/// Closes the binlog file; where the next one begins.
pub(crate) fn next_file(server: &Server) -> String {
    server.run(server.version().rotate_sql());
    server.binlog_end().0 + ":4"
}

/// The first `limit` changes behind a place, by what the server says of its tables.
pub(crate) fn tailed(server: &Server, from: &str, limit: usize, format: &str) -> Vec<Value> {
    let limit = limit.to_string();
    let only_rows = ["--no-ddl", "--no-query-dml", "--limit", &limit];
    let url = server.url();
    rows(&[&["tail", format, "--from", from, &url], only_rows.as_slice()].concat())
}

/// Values of a row's columns, by name.
pub(crate) fn values(row: &Value, names: &[&str]) -> Vec<String> {
    let value = |name: &&str| {
        let value = &row[*name];
        value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    names.iter().map(value).collect()
}
