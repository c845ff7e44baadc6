//! `--limit`: so many changes are shown, and nobody misses the rest.

use std::process::Command;

use towpath_testkit::{Server, Version};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, write};

#[test]
fn what_is_beyond_a_limit_is_left_to_others() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let url = server.url();
    let mut serving = Serving::start(&["--source", &url, "--from", "now"]);
    serving.wait_until_running();
    let place = format!("canal://{}/example", serving.towpath.address());
    for (command, first) in [
        (&["client", "--json"][..], 1),
        (&["client", "--count"], 101),
        (&["tail", "--take", "--json"], 201),
    ] {
        // Five transactions, and one of two rows in an entry: the limit lies between them.
        write(&server, first..=first + 4);
        server.run(&format!("INSERT INTO d.n VALUES ({}),({})", first + 5, first + 6));
        let limit = ["--filter", "d\\.n", "--limit", "6", &place];
        let output = Command::new(binary()).args(command).args(limit).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        let shown = String::from_utf8(output.stdout).unwrap();
        if command.contains(&"--json") {
            assert_eq!(shown.lines().count(), 6, "{command:?}: {shown}");
            assert!(shown.lines().last().unwrap().contains(&(first + 5).to_string()), "{shown}");
        } else {
            assert!(shown.contains(" rows/s"), "{shown}");
        }
        let rest = serving.numbers_until(first + 6);
        let (all, given_back) = (exactly(first..=first + 6), exactly(first + 5..=first + 6));
        assert!(all.ends_with(&rest) && rest.ends_with(&given_back), "{command:?}: {rest:?}");
    }
}

/// A second reader would take rows that a program never gets: nothing is taken, and nothing is asked of the server.
#[test]
fn a_tail_takes_nothing_from_a_reader_unless_it_is_told_to() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let mut serving = Serving::start(&["--source", &server.url(), "--from", "now"]);
    serving.wait_until_running();
    write(&server, 1..=5);
    let address = serving.towpath.address();
    for login in ["", "me:secret@"] {
        let place = format!("canal://{login}{address}/example");
        let arguments = ["tail", "--limit", "1", &place];
        let output = Command::new(binary()).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty());
        for needle in [
            &format!("canal://{address}/example"),
            "client 1001",
            "--take",
            "towpath tail mysql://",
            "towpath client",
        ] {
            assert!(said.contains(needle), "no {needle}: {said}");
        }
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(serving.numbers_until(5), exactly(1..=5));
}
