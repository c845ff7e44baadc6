//! A password is shown nowhere, however a URL is mistyped, and need not stand on the command line.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;
use towpath_testkit::{Server, Version};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, write};

/// Places with a password that nobody may see.
const MISTYPED: &[&str] = &[
    "mysql:/root:secret@h",
    "mysql//root:secret@h:3306",
    "mysql:root:secret@h",
    "MYSQL://root:secret@h",
    "root:secret@h:3306",
    "mysql://root:secret",
    "mysql://root:secret@h:99999",
    "mysql://root:sec/secret@h",
    "mysql://root:secret@h?tls=maybe",
    "//root:secret@h:3306",
    "root:secret",
    "mysql:secret",
    "canal://u:secret",
    "canal//u:secret@h",
    "canal:u:secret@h/x",
    "canal:/u:secret@h/x",
    "canal://u:secret@h:99999/x",
    "canal://u:secret@/x",
    "zk:/u:secret@h",
    "zk://u:secret@h:x/otter",
];

const COMMANDS: &[&[&str]] = &[
    &["tail"],
    &["tail", "/nowhere", "--standby"],
    &["doctor"],
    &["doctor", "zk://127.0.0.1:1/otter", "--deadline", "1", "--source"],
    &["client", "--give-up", "1"],
    &["serve", "--fail-fast", "--listen", "127.0.0.1:0", "--source"],
    &["bench"],
    &["serve", "--listen", "127.0.0.1:0", "--source", "mysql://root@127.0.0.1:1", "--zk"],
    &["serve", "--listen", "127.0.0.1:0", "--source", "/", "--zk"],
];

/// The options of a command that take a value, as its help names them.
fn options(command: &str) -> Vec<String> {
    let output = Command::new(binary()).args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let with_value = lines.filter(|line| line.contains('<'));
    let name =
        |line: &str| line.split([' ', ',']).find(|word| word.starts_with("--")).map(str::to_owned);
    with_value.filter_map(name).collect()
}

/// What is typed in the wrong place, in every place that there is.
#[test]
fn a_url_in_any_option_is_told_without_its_password() {
    let folder = TempDir::new().unwrap();
    let mut count = 0;
    for command in ["serve", "tail", "client", "decode", "dump-event", "doctor", "bench"] {
        let all = options(command);
        assert!(all.len() > 2, "{command}: {all:?}");
        let arguments = all.iter().flat_map(|option| {
            ["mysql://u:secret@h:3306", "u:secret@h"].into_iter().flat_map(move |place| {
                [vec![option.clone(), place.to_owned()], vec![format!("{option}={place}")]]
            })
        });
        let others = [
            vec!["mysql://u:secret@h".to_owned(), "canal://u:secret@h".to_owned()],
            vec!["--sourc=mysql://u:secret@h".to_owned()],
            vec!["-xmysql://u:secret@h".to_owned()],
        ];
        for arguments in arguments.chain(others) {
            // Without what it needs a command does not begin.
            let begins = matches!(&*arguments, [option, _] if option == "--source")
                || arguments.iter().any(|argument| argument.starts_with("--source="));
            let output = Command::new(binary())
                .current_dir(folder.path())
                .env("XDG_STATE_HOME", folder.path())
                .arg(command)
                .args(&arguments)
                .args((begins && command == "serve").then_some("--fail-fast"))
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!output.status.success(), "{command} {arguments:?}");
            assert!(!said.contains("secret"), "{command} {arguments:?}: {said}");
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn a_mistyped_url_is_told_without_its_password() {
    let folder = TempDir::new().unwrap();
    for command in COMMANDS {
        for place in MISTYPED {
            let output = Command::new(binary())
                .current_dir(folder.path())
                .env("XDG_STATE_HOME", folder.path())
                .args(*command)
                .arg(place)
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!output.status.success(), "{command:?} {place}");
            assert!(said.contains("error") || said.contains("FAIL"), "{command:?} {place}: {said}");
            assert!(!said.contains("secret"), "{command:?} {place}: {said}");
            let examples = [
                "expected mysql://user:password@host:3306",
                "expected canal://user:password@host:11111",
                "expected canal://[user:password@]host:11111",
                "expected zk://host:2181",
                "only of zk://, canal://, mysql:// and http://",
            ];
            let has_example = examples.iter().any(|example| said.contains(example));
            assert!(has_example, "{command:?} {place}: {said}");
        }
    }
}

#[test]
fn a_url_comes_from_the_environment_a_file_or_a_credential() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("url"), format!("{}\n", server.url())).unwrap();
    let by_file = format!("file:{}/url", folder.path().display());
    let mut serving = Serving::start(&["--source", &by_file, "--from", "earliest"]);
    serving.wait_until_running();
    write(&server, 1..=5);
    assert_eq!(serving.numbers_until(5), exactly(1..=5));
    for file in ["example/meta.dat", "example/schema.history"] {
        let mode = serving.state_path(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    let state = folder.path().join("state");
    for (name, value) in [
        ("TOWPATH_SOURCE", server.url()),
        ("TOWPATH_SOURCE", "credential:url".to_owned()),
        ("TOWPATH_SOURCE", by_file),
    ] {
        let output = Command::new(binary())
            .args(["serve", "--fail-fast", "--listen", "127.0.0.1:0"])
            .args(["--from", "mysql-bin.000999:4", "--state"])
            .arg(&state)
            .env("CREDENTIALS_DIRECTORY", folder.path())
            .env(name, &value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("mysql-bin.000999"), "{value}: {said}");
    }
}
