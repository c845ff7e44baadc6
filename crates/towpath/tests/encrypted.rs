//! TLS on the port for clients. The certificates are for tests only.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use towpath_client::{ClientError, Session, SessionOptions, Tls};
use towpath_testkit::{
    CanalClient, Delivery, Encrypting, Mode, Server, Towpath, Version, wait_until,
};

use crate::binary;
use crate::sequence::{Serving, TABLE, exactly, inserted, write};
use crate::workload::{SCHEMA, Workload, assert_rows, done};

const DEADLINE: Duration = Duration::from_secs(60);

/// A certificate for `localhost` and `canal.test`, by the authority in `ca.pem`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/tests/tls").join(name)
}

/// Another one for the same names, by itself.
fn renewed(ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/renewed").with_extension(ending)
}

/// The files that a server reads.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: TempDir::new().unwrap() };
        files.put(&file("server.pem"), "pem");
        files.put(&file("server.key"), "key");
        files
    }

    fn path(&self, ending: &str) -> String {
        self.directory.path().join("tls").with_extension(ending).to_str().unwrap().to_owned()
    }

    fn put(&self, from: &Path, ending: &str) {
        std::fs::copy(from, self.path(ending)).unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(address: &str, trusted: &Path) -> Result<Session, ClientError> {
    let tls = Some(Tls::trusting(trusted)?.server_name("canal.test")?);
    Session::connect(address, SessionOptions { tls, ..SessionOptions::default() }).await
}

/// The numbers up to `last` that a session gets, each batch acknowledged.
async fn numbers(session: &mut Session, last: i64) -> Vec<i64> {
    let mut all = Vec::new();
    while all.last() != Some(&last) {
        let batch = session.get(1000, DEADLINE).await.unwrap();
        assert!(!batch.is_nothing(), "{all:?}");
        all.extend(batch.entries.iter().flat_map(|entry| inserted(entry)));
        session.ack(batch.id).await.unwrap();
    }
    all
}

#[test]
fn rows_come_over_tls_while_the_certificate_is_renewed() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (files, url) = (Files::new(), server.url());
    let tls = ["--tls-cert", &files.path("pem"), "--tls-key", &files.path("key")];
    let mut serving = Serving::start(&[&["--source", &url][..], &tls].concat());
    serving.wait_until_running();
    let address = serving.towpath.address();
    let runtime = runtime();
    let can_connect = |trusted: &Path| {
        let connected = runtime.block_on(connect(&address, trusted));
        connected.map(drop).map_err(|error| error.to_string())
    };

    let mut session = runtime.block_on(connect(&address, &file("ca.pem"))).unwrap();
    runtime.block_on(session.subscribe("d\\.n")).unwrap();
    write(&server, 1..=50);
    assert_eq!(runtime.block_on(numbers(&mut session, 50)), exactly(1..=50));
    let refused = can_connect(&file("other.pem")).unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    // Neither half a file nor one without its key takes the place of what is in use.
    let said = |serving: &mut Serving, needle: &str| {
        wait_until(needle, DEADLINE, || {
            can_connect(&file("ca.pem")).ok();
            serving.towpath.program().stderr().contains(needle).then_some(())
        });
    };
    std::fs::write(files.path("pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    said(&mut serving, "the new TLS certificate cannot be used, the old one stays in use");
    assert_eq!(can_connect(&file("ca.pem")), Ok(()));
    files.put(&renewed("pem"), "pem");
    said(&mut serving, "tls.pem cannot be used with the key in ");
    assert_eq!(can_connect(&file("ca.pem")), Ok(()));
    files.put(&renewed("key"), "key");
    said(&mut serving, "the TLS certificate was read again");
    assert_eq!(can_connect(&renewed("pem")), Ok(()));
    let refused = can_connect(&file("ca.pem")).unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    // The connection from before goes on.
    write(&server, 51..=60);
    assert_eq!(runtime.block_on(numbers(&mut session, 60)), exactly(51..=60));
    runtime.block_on(session.close(DEADLINE));
    drop(serving.end());
}

#[test]
fn a_batch_of_many_records_comes_whole_over_tls() {
    let server = Server::start(Version::Mariadb1011, &["--max-allowed-packet=64M"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.b (id INT PRIMARY KEY, b LONGBLOB)");
    let (files, url) = (Files::new(), server.url());
    let tls = ["--tls-cert", &files.path("pem"), "--tls-key", &files.path("key")];
    let mut serving = Serving::start(&[&["--source", &url][..], &tls].concat());
    serving.wait_until_running();
    let sql: String = (1..=8)
        .map(|id| format!("INSERT INTO d.b VALUES ({id}, REPEAT('0123456789', 300000));"))
        .collect();
    let address = serving.towpath.address();
    runtime().block_on(async {
        let mut session = connect(&address, &file("ca.pem")).await.unwrap();
        session.subscribe("d\\.b").await.unwrap();
        server.run(&sql);
        let (mut bytes, mut ids) = (0, Vec::new());
        while ids.len() < 8 {
            let batch = session.get(64 << 10, DEADLINE).await.unwrap();
            assert!(!batch.is_nothing(), "{ids:?}");
            for entry in &batch.entries {
                bytes += entry.len();
            }
            ids.extend(batch.entries.iter().flat_map(|entry| inserted(entry)));
            session.ack(batch.id).await.unwrap();
        }
        assert_eq!(ids, exactly(1..=8));
        assert!(bytes > 8 * 3_000_000, "{bytes}");
        session.close(DEADLINE).await;
    });
}

#[test]
fn the_command_line_follows_a_server_over_tls() {
    let server = Server::start(Version::Mysql57, &[]);
    server.run(TABLE);
    let (files, url) = (Files::new(), server.url());
    let tls = ["--tls-cert", &files.path("pem"), "--tls-key", &files.path("key")];
    let mut serving = Serving::start(&[&["--source", &url][..], &tls].concat());
    serving.wait_until_running();
    let place = format!("canal://{}/example", serving.towpath.address());
    for (number, command) in [(1, &["client"][..]), (2, &["tail", "--take"])] {
        write(&server, number..=number);
        let output = Command::new(binary())
            .args(command)
            .args(["--json", "--limit", "1", "--filter", "d\\.n"])
            .args([
                "--tls-ca",
                file("ca.pem").to_str().unwrap(),
                "--tls-name",
                "canal.test",
                &place,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains(&format!("\"{number}\"")), "{command:?}: {shown}");
    }
    let output =
        Command::new(binary()).args(["tail", "--tls-ca", "ca.pem", &url]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("?tls= in its URL"), "{output:?}");
}

/// Canal's own client, unchanged: something makes TLS of what it says.
#[test]
fn canals_java_client_gets_every_row_over_tls() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut workload = Workload::default();
    source.run(SCHEMA);
    source.run(&workload.transactions(400));
    source.run(&done(1));
    let (state, files, url) = (TempDir::new().unwrap(), Files::new(), source.url());
    let towpath = Towpath::serve(
        binary(),
        &[
            "--source",
            &url,
            "--from",
            "earliest",
            "--state",
            state.path().to_str().unwrap(),
            "--tls-cert",
            &files.path("pem"),
            "--tls-key",
            &files.path("key"),
        ],
    );
    let front = Encrypting::start(towpath.port(), &file("ca.pem"), "localhost");
    {
        let ended =
            CanalClient::Java118.follow(front.port(), "example", Mode::Plain).wait(DEADLINE);
        assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
        let delivery = Delivery::read(&ended.stdout);
        assert!(delivery.done, "{}", ended.stdout);
        assert_rows("Java over TLS", &workload.expected, &delivery.acknowledged);
    }
    drop(front);
    let ended = towpath.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// Whoever takes the wrong port is named, with what is wrong.
#[test]
fn clients_that_speak_the_other_way_are_told_apart_in_the_log() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    let (files, url) = (Files::new(), server.url());
    let tls = ["--tls-cert", &files.path("pem"), "--tls-key", &files.path("key")];
    let mut encrypted = Serving::start(&[&["--source", &url][..], &tls].concat());
    let silent = TcpStream::connect(encrypted.towpath.address()).unwrap();
    let mut talks = TcpStream::connect(encrypted.towpath.address()).unwrap();
    talks.write_all(b"\0\0\0\x02\x18\x0b and so on").unwrap();
    let _answer: bool = talks.read_to_end(&mut Vec::new()).is_ok();
    encrypted.says("the peer does not speak TLS, and this port does");
    encrypted.says("no TLS handshake came within 10 s");
    drop(silent);

    let mut clear = Serving::start(&["--source", &url]);
    let address = clear.towpath.address();
    assert!(runtime().block_on(connect(&address, &file("ca.pem"))).is_err());
    clear.says("the client speaks TLS, and this port does not");
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let server = Server::start(Version::Mariadb1011, &[]);
    let nothing = PathBuf::from("/nothing/there.pem");
    for (certificate, key, needles) in [
        (nothing.clone(), file("server.key"), ["/nothing/there.pem", "expected certificates"]),
        (file("server.pem"), nothing, ["/nothing/there.pem", "unencrypted private key"]),
        (file("server.pem"), file("ca.pem"), ["ca.pem", "unencrypted private key"]),
        (file("server.key"), file("server.key"), ["server.key", "expected certificates"]),
        (file("server.pem"), renewed("key"), ["cannot be used with the key in", "renewed.key"]),
    ] {
        let state = TempDir::new().unwrap();
        let mut program = Towpath::try_serve(
            binary(),
            &[
                "--source",
                &server.url(),
                "--state",
                state.path().to_str().unwrap(),
                "--tls-cert",
                certificate.to_str().unwrap(),
                "--tls-key",
                key.to_str().unwrap(),
            ],
        );
        wait_until("it to end", DEADLINE, || program.has_ended().then_some(()));
        let said = program.stderr();
        for needle in needles.iter().chain(&["TLS for clients: "]) {
            assert!(said.contains(needle), "no `{needle}` in {said}");
        }
    }
}
