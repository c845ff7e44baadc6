//! `towpath dump-event`.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use towpath_testkit::{Server, Version};

use crate::binary;

fn dump(place: &str, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["dump-event", place, "--out"]).arg(out).args(more).output().unwrap()
}

fn decoded(file: &Path) -> String {
    let output = Command::new(binary()).args(["decode", "--flat"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// T-PARSE-6: the file has one event, which is read as it was, and none of its values.
#[test]
fn one_event_is_shown_without_its_values() {
    let server = Server::start(Version::Mysql97, &["--binlog-row-metadata=FULL"]);
    server.run(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(40), n DECIMAL(9,2), \
         t DATETIME(3), j JSON, b BLOB, z TEXT)",
    );
    let (file, offset) = server.binlog_end();
    server.run(
        "INSERT INTO d.t VALUES (77, 'Secret 42', 12.34, '2020-02-03 04:05:06.789', '{\"secret\": 1}', \
         'Secret', NULL), (78, '秘密', NULL, NULL, NULL, '', 'Secret')",
    );
    server.run("UPDATE d.t SET v = 'Other secret' WHERE id = 77");
    let path = server.binlog_folder().join(&file);
    let events = server.query(&format!("SHOW BINLOG EVENTS IN '{file}' FROM {offset}"));
    let of = |kind: &str| {
        let event = events.iter().find(|event| event[2] == kind).unwrap();
        format!("{}:{}", path.display(), event[1])
    };
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("event.bin");
    for (kind, expected) in [
        ("Write_rows", r#""id":"0","v":"xxxxxx 00","n":"0.0","t":"0000-00-00 00:00:00.000""#),
        ("Update_rows", r#""v":"xxxxx xxxxxx""#),
    ] {
        let output = dump(&of(kind), &out, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (bytes, shown) = (std::fs::read(&out).unwrap(), decoded(&out));
        assert!(shown.contains(expected), "{shown}");
        for secret in ["Secret", "secret", "秘", "12.34", "2020-"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret}");
        }
    }
    let output = dump(&of("Write_rows"), &out, &["--keep-values"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(decoded(&out).contains("Secret 42"));
    // A place inside an event, and none at all.
    let (place, offset) =
        of("Write_rows").rsplit_once(':').map(|(p, o)| (p.to_owned(), o.to_owned())).unwrap();
    let inside = format!("{place}:{}", offset.parse::<u64>().unwrap() + 1);
    for (place, says) in [(inside.as_str(), "inside an event"), ("nowhere", "is not FILE:OFFSET")] {
        let output = dump(place, &out, &[]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{said}");
    }
}
