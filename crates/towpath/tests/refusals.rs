//! What `towpath serve` says when it cannot do what it is asked.

use std::net::TcpListener;
use std::time::Duration;

use tempfile::TempDir;
use towpath_testkit::{Server, Towpath, Version};

use crate::binary;

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `towpath serve` until it ends by itself: it fails, and says all of `needles`.
fn refused(arguments: &[&str], needles: &[&str]) {
    let state = TempDir::new().unwrap();
    let mut arguments = arguments.to_vec();
    if !arguments.contains(&"--state") {
        arguments.extend(["--state", state.path().to_str().unwrap()]);
    }
    let ended = Towpath::try_serve(binary(), &arguments).wait(DEADLINE);
    assert!(!ended.status.success(), "{arguments:?}");
    for needle in needles {
        assert!(ended.stderr.contains(needle), "{arguments:?}: no `{needle}` in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("secret"), "{arguments:?}: {}", ended.stderr);
}

/// F1, F30, T-POS-2.
#[test]
fn a_source_that_cannot_be_followed_is_refused_with_a_way_out() {
    let source = Server::start(Version::Mariadb1011, &[]);
    source.run(
        "CREATE USER poor@'%' IDENTIFIED BY 'x'; CREATE DATABASE d; CREATE TABLE d.t(a INT); \
         FLUSH BINARY LOGS",
    );
    source.purge_to("mysql-bin.000002");
    let (url, port) = (source.url(), source.port());
    let wrong = format!("mysql://canal:secret@127.0.0.1:{port}");
    let poor = format!("mysql://poor:x@127.0.0.1:{port}");
    let tls = format!("{url}?tls=required");
    refused(&["--source", &wrong], &["errno = 1045", "hint: check user and password"]);
    refused(&["--source", &poor], &["REPLICATION", "hint: the user needs: GRANT"]);
    refused(&["--source", &tls], &["offers no TLS, which the URL asks for"]);
    let purged = "mysql-bin.000001:4";
    refused(&["--source", &url, "--from", purged], &[purged, "mysql-bin.000002:4 to", "earliest"]);
    let inside = "mysql-bin.000002:300";
    refused(&["--source", &url, "--from", inside], &["mysql-bin.000002:300 is not the start of"]);
    refused(&["--source", "nonsense://db"], &["it does not begin with mysql://"]);
    refused(&["--source", "/no/such/folder"], &["/no/such/folder: No such file or directory"]);
    for (argument, says) in
        [("--skip-log-bin", "the binlog is off"), ("--binlog-format=STATEMENT", "SET GLOBAL")]
    {
        let source = Server::start(Version::Mariadb1011, &[argument]);
        refused(&["--source", &source.url()], &[says]);
    }
}

/// An account that may follow but not look at tables.
#[test]
fn a_table_that_the_account_may_not_see_is_named_with_a_way_out() {
    let source = Server::start(Version::Mysql80, &[]);
    source.run(
        "CREATE USER blind@'%' IDENTIFIED WITH mysql_native_password BY 'x'; \
         GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO blind@'%'; \
         CREATE DATABASE d; CREATE TABLE d.t(a INT); FLUSH BINARY LOGS; INSERT INTO d.t VALUES (1)",
    );
    let (file, _) = source.binlog_end();
    let url = format!("mysql://blind:x@127.0.0.1:{}", source.port());
    refused(
        &["--source", &url, "--from", &format!("{file}:4")],
        &[
            "table d.t",
            &format!("{file}:"),
            "command denied to user",
            "the user needs: GRANT SELECT",
        ],
    );
}

#[test]
fn what_this_machine_cannot_give_is_said_before_the_source_is_asked() {
    let url = "mysql://canal:secret@127.0.0.1:1";
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        &["--source", url, "--listen", &address],
        &[&address, "Address already in use", "--listen"],
    );
    let state = "/dev/null";
    refused(&["--source", url, "--state", state], &["state directory /dev/null cannot be created"]);
    refused(&["--source", url, "--filter", "a("], &["`a(` is not a regular expression"]);
    refused(
        &["--source", url, "--fields", "d.t:a,d.u"],
        &[
            "cannot use --fields or --black-fields",
            "`d.u` is no part of a field filter: it has no `:`",
        ],
    );
    refused(&["--source", url, "--destination", "a/b"], &["`a/b` cannot be the name"]);
}

/// F14: both say what is wrong; when one is gone the other goes on.
#[test]
fn a_second_reader_with_the_same_server_id_is_named() {
    let source = Server::start(Version::Mariadb1011, &[]);
    let states = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let serve = |state: &TempDir| {
        let (url, state) = (source.url(), state.path().to_str().unwrap());
        let arguments = ["--source", &url, "--server-id", "77", "--state", state];
        Towpath::serve(binary(), &arguments)
    };
    let mut first = serve(&states[0]);
    first.program().wait_for_line("to=\"running\"", DEADLINE);
    let second = serve(&states[1]);
    let says = "another reader came with the same server id (77)";
    let line = first.program().wait_for_line(says, DEADLINE);
    assert!(line.contains("--server-id"), "{line}");
    let ended = second.kill();
    assert!(ended.stderr.lines().count() < 20, "it does not slow down: {}", ended.stderr);
    let replicas =
        || source.query("SHOW PROCESSLIST").iter().filter(|row| row[4] == "Binlog Dump").count();
    towpath_testkit::wait_until("the first reader to be back", DEADLINE, || {
        (replicas() == 1).then_some(())
    });
}

/// One place whatever the current folder; what an earlier version left there is used on.
#[test]
fn the_state_directory_is_named_and_does_not_follow_the_current_folder() {
    let source = Server::start(Version::Mysql57, &[]);
    let here = TempDir::new().unwrap();
    let says = |state: &std::path::Path| {
        let mut command = std::process::Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--source", &source.url()]);
        command.current_dir(here.path());
        let mut program = towpath_testkit::Program::start(&mut command, "build the towpath binary");
        let line = program.wait_for_line("state directory: ", DEADLINE);
        program.wait_for_line("listening on", DEADLINE);
        assert!(line.contains(&state.display().to_string()), "{line}");
        line
    };
    let line = says(std::path::Path::new("/towpath"));
    assert!(!line.contains("an earlier version"), "{line}");
    assert!(!here.path().join("towpath-state").exists());
    std::fs::create_dir(here.path().join("towpath-state")).unwrap();
    let line = says(&here.path().join("towpath-state"));
    assert!(line.contains("an earlier version"), "{line}");
    assert!(here.path().join("towpath-state/towpath.lock").exists());
}
