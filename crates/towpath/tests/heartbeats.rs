//! An idle connection is healthy as long as the source says so, whatever other readers do.

use std::time::{Duration, Instant};

use towpath_testkit::{Server, Version, wait_until};

use crate::sequence::{Serving, TABLE, exactly, write};

const DEADLINE: Duration = Duration::from_secs(30);

/// Threads of the server that send its binlog to a user.
fn dumps(server: &Server, user: &str) -> Vec<String> {
    let rows = server.query("SHOW PROCESSLIST").into_iter();
    rows.filter(|row| row[1] == user && row[4].starts_with("Binlog Dump"))
        .map(|row| row[0].clone())
        .collect()
}

/// The end of a dump wakes all others, which then count the time to their next heartbeat anew.
fn killed_beside(version: Version, every: Duration) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    server.run(
        "CREATE USER victim@'%' IDENTIFIED BY 'x'; GRANT SELECT, REPLICATION SLAVE, REPLICATION \
         CLIENT ON *.* TO victim@'%'",
    );
    let (url, other) = (server.url(), format!("mysql://victim:x@127.0.0.1:{}", server.port()));
    let arguments = ["--source", &url, "--from", "now", "--source-timeout", "5"];
    let mut healthy = [(); 2].map(|()| Serving::start(&arguments));
    for serving in &mut healthy {
        serving.wait_until_running();
    }
    let mut victim = Serving::start(&["--source", &other, "--from", "now"]);
    victim.wait_until_running();
    let end = Instant::now() + Duration::from_secs(20);
    let mut kills = 0;
    while Instant::now() < end {
        std::thread::sleep(every);
        for id in dumps(&server, "victim") {
            server.run_with_faults(&format!("KILL {id};"));
            kills += 1;
        }
    }
    write(&server, 1..=3);
    for serving in &mut healthy {
        assert_eq!(serving.numbers_until(3), exactly(1..=3));
        let said = serving.towpath.program().stderr();
        assert!(!said.contains("connection lost"), "{version:?}, {kills} kills: {said}");
    }
    assert!(kills > 1, "{version:?}");
}

/// All versions at once: they only wait.
fn killed_beside_on(versions: [Version; 4]) {
    std::thread::scope(|all| {
        for version in versions {
            all.spawn(move || {
                killed_beside(version, Duration::from_millis(500));
                killed_beside(version, Duration::from_millis(2500));
            });
        }
    });
}

#[test]
fn a_dump_that_ends_drops_no_other_on_mariadb() {
    killed_beside_on([
        Version::Mariadb118,
        Version::Mariadb114,
        Version::Mariadb1011,
        Version::Mariadb102,
    ]);
}

#[test]
fn a_dump_that_ends_drops_no_other_on_mysql() {
    killed_beside_on([Version::Mysql97, Version::Mysql80, Version::Mysql57, Version::Mysql55]);
}

/// One that lost its connection without knowing is replaced, though the server still believes in it.
#[test]
fn a_connection_that_only_the_server_believes_in_is_replaced() {
    for version in [Version::Mysql80, Version::Mariadb114] {
        let server = Server::start(version, &[]);
        server.run(TABLE);
        let (proxy, mut serving) = Serving::behind_proxy(&server, &["--source-timeout", "2"]);
        write(&server, 1..=5);
        assert_eq!(serving.numbers_until(5), exactly(1..=5));
        // Idle: it is found out all the same, if later.
        let before = proxy.accepted();
        proxy.freeze();
        serving.says("connection lost, trying again");
        wait_until("another connection", DEADLINE, || (proxy.accepted() > before).then_some(()));
        // With something to send it is found out at once.
        proxy.freeze();
        write(&server, 6..=9);
        assert_eq!(serving.numbers_until(9), exactly(6..=9));
    }
}
