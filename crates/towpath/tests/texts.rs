//! What a new user is told: of mistakes, by shells, and by manual pages.

use std::process::Command;

use tempfile::TempDir;
use towpath_testkit::{Server, Version};

use crate::binary;
use crate::sequence::{Serving, TABLE};

/// Arguments, the exit code, and what has to be said: what is wrong, where, and what to do.
type Mistake<'a> = (&'a [&'a str], i32, &'a [&'a str]);

/// Runs the program where no file of the user's is touched.
fn told(mistakes: &[Mistake<'_>]) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("letter"), "Dear Sir").unwrap();
    for (arguments, code, needles) in mistakes {
        let mut command = Command::new(binary());
        command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path()).args(*arguments);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{arguments:?}: one error: {said}");
        for needle in *needles {
            assert!(said.contains(needle), "{arguments:?}: no `{needle}` in {said}");
        }
        assert!(!said.contains("panic") && !said.contains("secret"), "{arguments:?}: {said}");
    }
}

#[test]
fn twenty_mistakes_are_told_with_what_to_do() {
    told(&[
        (&["tial", "x"], 2, &["tial", "'tail'"]),
        (&["tail", "--jsn", "letter"], 2, &["--jsn", "'--json'"]),
        (&["serve"], 2, &["--source <URL>", "--help"]),
        (
            &["tail", "postgres://me:secret@h"],
            1,
            &["postgres://me:***@h", "expected mysql://user:"],
        ),
        (&["tail", "h:3306"], 1, &["it does not begin with mysql://", "expected mysql://user:"]),
        (
            &["tail", "mysql://me:secret@127.0.0.1:1"],
            1,
            &["127.0.0.1:1", "refused", "check host and port"],
        ),
        (&["tail", "mysql://me:secret@h.invalid"], 1, &["h.invalid:3306", "check host and port"]),
        (&["tail", "mysql://me:secret@h:x"], 1, &["mysql://me:***@h:x", "1 to 65535"]),
        (&["client", "canal://h:99999/example"], 1, &["1 to 65535", "expected canal://"]),
        (&["client", "--give-up", "1", "canal://127.0.0.1:1/x"], 1, &["127.0.0.1:1", "refused"]),
        (&["bench", "canal://127.0.0.1:1/x"], 1, &["127.0.0.1:1", "refused", "towpath doctor"]),
        (&["tail", "canal://127.0.0.1:1/x"], 1, &["client 1001", "--take"]),
        (&["tail", "/nowhere"], 1, &["/nowhere", "by its path", "mysql://user:password@host:3306"]),
        (&["decode", "letter"], 1, &["letter", "not a binlog", "SHOW BINARY LOGS"]),
        (&["decode", "."], 1, &[".: Is a directory", "name its files"]),
        (&["tail", "--filter", "shop.(a", "letter"], 1, &["--filter", "`shop.(a`", "not closed"]),
        (
            &["tail", "--fields", "t", "letter"],
            1,
            &["--fields", "`t`", "expected schema.table:column"],
        ),
        (
            &["tail", "--time-zone", "Mars", "letter"],
            1,
            &["--time-zone", "`Mars`", "Asia/Shanghai"],
        ),
        (&["tail", "--from", "yesterday", "letter"], 2, &["`yesterday`", "expected now, earliest"]),
        (&["tail", "--from", "time:noon", "letter"], 2, &["`time:noon`", "2026-01-31T08:00:00Z"]),
        (&["tail", "--from", "gtid:0-1-2", "letter"], 1, &["gtid:0-1-2", "take earliest"]),
        (&["tail", "--limit", "few", "letter"], 2, &["few", "--limit"]),
        (&["serve", "--source", "/x", "--listen", "h"], 2, &["--listen", "expected HOST:PORT"]),
        (
            &["serve", "--source", "mysql://me@127.0.0.1:1", "--state", "/dev/null"],
            1,
            &["/dev/null", "choose another"],
        ),
        (
            &["serve", "--source", "mysql://me@127.0.0.1:1", "--destination", "a/b"],
            1,
            &["`a/b`", "plain file name"],
        ),
        (&["completions", "tcsh"], 2, &["tcsh", "bash, zsh, fish"]),
        (&["man", "tial"], 1, &["`tial`", "tail"]),
    ]);
}

/// Those that only a server finds.
#[test]
fn mistakes_that_a_server_finds_are_told_with_what_to_do() {
    let with_gtids = ["--gtid-mode=ON", "--enforce-gtid-consistency"];
    let source = Server::start(Version::Mysql80, &with_gtids);
    source.run(TABLE);
    let mut serving = Serving::start(&["--source", &source.url(), "--from", "now"]);
    serving.wait_until_running();
    let url = source.url();
    let wrong = format!("mysql://nobody:secret@127.0.0.1:{}", source.port());
    let canal = format!("canal://{}/nowhere", serving.towpath.address());
    told(&[
        (&["tail", &wrong], 1, &["nobody", "check user and password"]),
        (&["tail", "--from", "gtid:nonsense", &url], 1, &["nonsense"]),
        (&["tail", "--from", "mysql-bin.000999:4", &url], 1, &["mysql-bin.000999:4", "earliest"]),
        (&["client", "--give-up", "1", &canal], 1, &["nowhere"]),
    ]);
}

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(binary()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Both are made of the command line itself: each command and option is there, and the shell takes it.
#[test]
fn shells_and_manual_pages_know_every_command_and_option() {
    let options = ["--take", "--annotations", "--full", "--color", "--stall-timeout"];
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        let name = |option: &&str| option.trim_start_matches('-').to_owned();
        for word in options.iter().map(name).chain(["dump-event".to_owned(), "doctor".to_owned()]) {
            assert!(script.contains(&word), "{shell}: {word}");
        }
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("towpath.bash");
    std::fs::write(&path, printed(&["completions", "bash"])).unwrap();
    let asked = "source \"$0\"; COMP_WORDS=(towpath ta); COMP_CWORD=1; _towpath towpath ta towpath; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["--norc", "-c", asked]).arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "tail", "{output:?}");
    assert!(printed(&["man"]).contains("towpath\\-tail(1)"));
    let page = printed(&["man", "tail"]);
    assert!(page.contains(".TH towpath-tail 1") && page.contains("\\-\\-annotations"), "{page}");
}

/// The help has the words of docs/glossary.md, and not those that others use for the same.
#[test]
fn the_help_has_the_words_of_the_glossary() {
    let commands = [
        "serve",
        "tail",
        "client",
        "decode",
        "dump-event",
        "doctor",
        "bench",
        "completions",
        "man",
    ];
    let mut all = String::new();
    for command in commands {
        let help = printed(&[command, "--help"]);
        // What the server calls a privilege, and the name of a table.
        let help = help.replace("REPLICATION SLAVE", "").replace("schema.table", "");
        for word in [
            "master",
            "slave",
            "table meta",
            "tsdb",
            "event store",
            "ring buffer",
            "meta.dat",
            "schema",
        ] {
            assert!(!help.to_lowercase().contains(word), "{command} --help says {word}: {help}");
        }
        all.push_str(&help);
    }
    for word in [
        "source",
        "destination",
        "client",
        "cursor",
        "state directory",
        "standby",
        "filter",
        "GTID",
    ] {
        assert!(all.contains(word) || all.contains(&word.replacen('s', "S", 1)), "{word}");
    }
}
