//! Several servers, one ZooKeeper: who serves, who takes over, and what clients see of it.

use std::time::{Duration, Instant};

use towpath_testkit::{
    CanalClient, Fault, Program, Proxy, Server, Towpath, Version, ZooKeeper, wait_until,
};

use crate::binary;
use crate::numbers::{Writer, rewinds_of, serve, wait_for_number};

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Which server is active, as it says itself.
fn active(servers: &mut [&mut Towpath]) -> usize {
    wait_until("a server to be active", DEADLINE, || {
        servers.iter_mut().position(|server| {
            let said = server.program().stderr();
            let last =
                said.lines().rfind(|line| line.contains("active") || line.contains("standing by"));
            last.is_some_and(|line| line.contains(" active destination"))
        })
    })
}

#[test]
fn a_java_client_goes_from_server_to_server_and_loses_nothing() {
    let zookeeper = ZooKeeper::start();
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let mut one = serve(&source, &zookeeper.address());
    one.program().wait_for_line(" active ", DEADLINE);
    let mut two = serve(&source, &zookeeper.address());
    two.program().wait_for_line("standing by", DEADLINE);
    let mut client = CanalClient::follow_cluster(&zookeeper.address(), "example");
    wait_for_number(&mut client, writer.write(200));

    // A clean stop: the other serves within two seconds, and what was acknowledged does not come again.
    let stopped = Instant::now();
    let ended = one.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    two.program().wait_for_line(" active ", DEADLINE);
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
    wait_for_number(&mut client, writer.write(200));

    // A kill: the other serves when the session of the dead one has expired.
    let mut three = serve(&source, &zookeeper.address());
    three.program().wait_for_line("standing by", DEADLINE);
    two.kill();
    three.program().wait_for_line(" active ", DEADLINE);
    wait_for_number(&mut client, writer.write(200));

    writer.done();
    let ended = client.wait(DEADLINE);
    let rewinds = rewinds_of(&ended.stdout, writer.last()).len();
    assert!(rewinds <= 2, "{rewinds} rewinds\n{}", ended.stderr);
    let ended = three.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    wait_until("every session to end", DEADLINE, || {
        (zookeeper.sessions() == 0 && zookeeper.figure("zk_watch_count") == 0).then_some(())
    });
    assert_eq!(zookeeper.figure("zk_ephemerals_count"), 0);
}

/// T-HA: a server that was stopped for longer than its session lets no stale batch out, and is a
/// standby when it goes on.
#[test]
fn a_server_that_slept_through_its_lease_stands_by() {
    let zookeeper = ZooKeeper::start();
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let mut one = serve(&source, &zookeeper.address());
    one.program().wait_for_line(" active ", DEADLINE);
    let mut two = serve(&source, &zookeeper.address());
    two.program().wait_for_line("standing by", DEADLINE);
    let mut client = CanalClient::follow_cluster(&zookeeper.address(), "example");
    wait_for_number(&mut client, writer.write(100));

    one.program().pause();
    two.program().wait_for_line(" active ", DEADLINE);
    wait_for_number(&mut client, writer.write(100));
    one.program().resume();
    one.program().wait_for_line("standing by", DEADLINE);
    wait_for_number(&mut client, writer.write(100));
    // A lease that is over is no failure, after which a server would wait.
    let said = one.program().stderr();
    assert!(!said.contains("cannot be served here"), "{said}");

    writer.done();
    let ended = client.wait(DEADLINE);
    let rewinds = rewinds_of(&ended.stdout, writer.last()).len();
    assert!(rewinds <= 1, "{rewinds} rewinds\n{}", ended.stderr);
}

/// A link to ZooKeeper that is cut for good: the server gives the destination up before another has it.
#[test]
fn a_server_cut_off_from_zookeeper_stops_serving_and_comes_back() {
    let zookeeper = ZooKeeper::start();
    let link = Proxy::start(zookeeper.port());
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let mut one = serve(&source, &link.address());
    one.program().wait_for_line(" active ", DEADLINE);
    let mut two = serve(&source, &zookeeper.address());
    two.program().wait_for_line("standing by", DEADLINE);
    let mut client = CanalClient::follow_cluster(&zookeeper.address(), "example");
    wait_for_number(&mut client, writer.write(100));

    link.set(Fault::Silence);
    one.program().wait_for_line("not active any more", DEADLINE);
    two.program().wait_for_line(" active ", DEADLINE);
    wait_for_number(&mut client, writer.write(100));
    link.set(Fault::None);
    one.program().wait_for_line("standing by", DEADLINE);
    assert_eq!(active(&mut [&mut one, &mut two]), 1);

    // And the way back, by an orderly stop.
    let ended = two.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    wait_for_number(&mut client, writer.write(100));
    writer.done();
    let ended = client.wait(DEADLINE);
    rewinds_of(&ended.stdout, writer.last());
}

/// A cluster that is away at the start is waited for.
#[test]
fn a_server_waits_for_zookeeper() {
    let mut zookeeper = ZooKeeper::start();
    zookeeper.halt();
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut server = serve(&source, &zookeeper.address());
    server.program().wait_for_line("no session with ZooKeeper, trying again", DEADLINE);
    zookeeper.go_on();
    server.program().wait_for_line(" active ", DEADLINE);
    zookeeper.halt();
    server.program().wait_for_line("not active any more", DEADLINE);
    let ended = server.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// The client command: it shows what it waits for, delivers, and at SIGTERM with a batch in flight
/// releases its lock at once and gives the batch back.
#[test]
fn the_client_command_shows_its_life_and_leaves_in_order() {
    let zookeeper = ZooKeeper::start();
    let source = Server::start(Version::Mariadb1011, &[]);
    let mut writer = Writer::new(&source);
    let url = format!("zk://{}/otter/canal?destination=example", zookeeper.address());
    let start = || {
        let mut command = std::process::Command::new(binary());
        Program::start(command.args(["client", "--metrics", &url]), "build the towpath binary")
    };
    let mut client = start();
    client.wait_for_line("waiting (no server in the cluster)", DEADLINE);
    let mut server = serve(&source, &zookeeper.address());
    server.program().wait_for_line(" active ", DEADLINE);
    client.wait_for_line("active at 127.0.0.1:", DEADLINE);
    let last = writer.write(50);
    client.wait_for_line(&format!("id={last}"), DEADLINE);
    let mut standby = start();
    standby.wait_for_line("waiting (standby of 127.0.0.1:", DEADLINE);

    // Changes come all the time: it is in the middle of something.
    let last = writer.write(200);
    let stopped = Instant::now();
    client.terminate();
    let ended = client.wait(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("towpath_client_connections{state=\"active\"} 1"),
        "{}",
        ended.stdout
    );
    standby.wait_for_line("active at 127.0.0.1:", DEADLINE);
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
    let last_of_all = writer.write(1);
    standby.wait_for_line(&format!("id={last_of_all}"), DEADLINE);
    standby.terminate();
    let other = standby.wait(DEADLINE);
    let both = format!("{}{}", ended.stdout, other.stdout);
    for number in 1..=last {
        assert!(both.contains(&format!("id={number}\n")), "{number} is lost");
    }
    let ended = server.terminate();
    assert!(ended.status.success(), "{}", ended.stderr);
    wait_until("every session to end", DEADLINE, || {
        (zookeeper.sessions() == 0 && zookeeper.figure("zk_watch_count") == 0).then_some(())
    });
    assert_eq!(zookeeper.figure("zk_ephemerals_count"), 0);
}

/// What cannot be used is said, with what is expected.
#[test]
fn the_client_command_refuses_what_it_cannot_use() {
    for (arguments, expected) in [
        (vec!["client", "mysql://db"], "expected canal://"),
        (vec!["client", "canal://"], "there is no host"),
        (vec!["client", "zk://zk1/otter/canal?what=1"], "there is no option `what`"),
        (vec!["client", "--give-up", "1", "canal://127.0.0.1:1/example"], "127.0.0.1:1: connect"),
        (vec!["client", "--give-up", "1", "zk://127.0.0.1:1"], "ZooKeeper 127.0.0.1:1"),
    ] {
        let mut command = std::process::Command::new(binary());
        let ended = Program::start(command.args(&arguments), "build it").wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
}
