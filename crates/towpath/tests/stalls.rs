//! A source that goes on while nothing of it is read (T-WEDGE-2).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Duration;

use towpath_testkit::{Proxy, Server, Version, wait_until};

use crate::sequence::{Over, Serving, TABLE, exactly, write};
use crate::status::{metric, state};

const DEADLINE: Duration = Duration::from_secs(90);
const STALLED: &str = "stalled: the source goes on and nothing of it is read";

/// `serve` with a status page; its address.
fn serve(arguments: &[&str]) -> (Serving, String) {
    let mut all = vec!["--status", "127.0.0.1:0", "--stall-timeout", "1"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    let address = crate::status::status_of(serving.towpath.program());
    serving.wait_until_running();
    (serving, address)
}

/// T-WEDGE-2: the dump's connection is open, and long before it counts as silent the source goes on.
fn frozen(version: Version, arguments: &[&str]) {
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let proxy = Proxy::start(server.port());
    let source = format!("mysql://canal:canal@{}", proxy.address());
    let mut all = vec!["--source", &source, "--from", "now", "--source-timeout", "3600"];
    all.extend(arguments);
    let (mut serving, status) = serve(&all);
    for round in 0..2 {
        let first = round * 20 + 1;
        write(&server, first..=first + 9);
        assert_eq!(serving.numbers_until(first + 9), exactly(first..=first + 9));
        proxy.freeze();
        write(&server, first + 10..=first + 19);
        wait_until("the instance to count as stalled", DEADLINE, || {
            let stalls = metric(&status, "towpath_stalls{destination=\"example\",}");
            (stalls > f64::from(u32::try_from(round).unwrap())).then_some(())
        });
        assert_eq!(serving.numbers_until(first + 19), exactly(first + 10..=first + 19));
    }
    let line = serving.says(STALLED);
    assert!(line.contains("stage=\"waiting for the source\""), "{line}");
    assert!(line.contains("source_offset=") && line.contains("read_offset="), "{line}");
    serving.says("reading goes on after it had stalled");
    let destination = state(&status)["destinations"][0].clone();
    assert!(destination["stalled_since_ms"].is_null(), "{destination}");
    assert_eq!(destination["stalls"], 2, "{destination}");
}

#[test]
fn a_dump_that_hangs_is_opened_anew() {
    frozen(Version::Mysql97, &["--gtid"]);
    frozen(Version::Mariadb1011, &[]);
}

/// What lies between a source and who reads it, and can hold back events but no heartbeats.
struct Relay {
    listener: TcpListener,
    source: u16,
    is_over: AtomicBool,
    accepted: AtomicUsize,
    /// Connections accepted up to this number get no events but heartbeats.
    held: AtomicUsize,
    /// Heartbeats that passed while events were held back.
    heartbeats: AtomicUsize,
}

/// How often a thread looks whether it is over.
const LOOK: Duration = Duration::from_millis(10);

/// More bytes, if any come soon; nothing at the end.
fn more(stream: &mut TcpStream, to: &mut Vec<u8>) -> Option<()> {
    let mut block = [0; 16 << 10];
    match stream.read(&mut block) {
        Ok(0) => None,
        Ok(len) => {
            to.extend(&block[..len]);
            Some(())
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(()),
        Err(_) => None,
    }
}

impl Relay {
    fn new(source: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
            source,
            is_over: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            heartbeats: AtomicUsize::new(0),
        }
    }

    /// Connections that there are get no events any more; new ones do.
    fn hold(&self) {
        self.held.store(self.accepted.load(Ordering::Acquire), Ordering::Release);
    }

    fn run(&self) {
        scope(|threads| {
            while !self.is_over.load(Ordering::Acquire) {
                let Ok((near, _)) = self.listener.accept() else {
                    std::thread::sleep(LOOK);
                    continue;
                };
                let number = self.accepted.fetch_add(1, Ordering::AcqRel) + 1;
                near.set_nonblocking(false).unwrap();
                let far = TcpStream::connect(("127.0.0.1", self.source)).unwrap();
                for stream in [&near, &far] {
                    stream.set_read_timeout(Some(LOOK)).unwrap();
                    stream.set_nodelay(true).unwrap();
                }
                threads.spawn(move || self.carry(near, far, number));
            }
        });
    }

    /// One connection, both ways by turns.
    fn carry(&self, mut near: TcpStream, mut far: TcpStream, number: usize) {
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        let mut events = Events::default();
        while !self.is_over.load(Ordering::Acquire) {
            if more(&mut near, &mut asked).and_then(|()| more(&mut far, &mut answered)).is_none() {
                break;
            }
            // COM_BINLOG_DUMP
            events.is_dump |= asked.get(3..5) == Some(&[0, 0x12]);
            let is_held = number <= self.held.load(Ordering::Acquire);
            let (passed, heartbeats) = events.pass(&mut answered, is_held);
            self.heartbeats.fetch_add(heartbeats, Ordering::AcqRel);
            let written = far.write_all(&asked).and_then(|()| near.write_all(&passed));
            asked.clear();
            if written.is_err() {
                break;
            }
        }
        // Either may be closed already.
        let _closed: bool = near.shutdown(Shutdown::Both).is_ok();
        let _closed: bool = far.shutdown(Shutdown::Both).is_ok();
    }
}

/// The events of one dump.
#[derive(Default)]
struct Events {
    is_dump: bool,
    /// Packets that were left out.
    left_out: u8,
    /// Where the last event that passed ends.
    end: [u8; 4],
}

impl Events {
    /// Takes whole packets; of a source that is held only heartbeats, with the end of what passed before.
    /// How many those were.
    fn pass(&mut self, packets: &mut Vec<u8>, is_held: bool) -> (Vec<u8>, usize) {
        const HEARTBEAT: u8 = 27;
        let (mut passed, mut heartbeats) = (Vec::new(), 0);
        while let Some(&[a, b, c, sequence]) = packets.first_chunk() {
            let len = 4 + usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap();
            if packets.len() < len {
                break;
            }
            let mut packet: Vec<u8> = packets.drain(..len).collect();
            packet[3] = sequence.wrapping_sub(self.left_out);
            if self.is_dump && packet.len() > 23 && packet[4] == 0 {
                match (packet[9], is_held) {
                    (HEARTBEAT, true) => {
                        packet[18..22].copy_from_slice(&self.end);
                        heartbeats += 1;
                    }
                    (_, true) => {
                        self.left_out = self.left_out.wrapping_add(1);
                        continue;
                    }
                    (_, false) => self.end.copy_from_slice(&packet[18..22]),
                }
            }
            passed.extend(packet);
        }
        (passed, heartbeats)
    }
}

/// T-WEDGE-2: the dump hangs at the source, whose heartbeats still come: no connection is silent.
fn withheld(version: Version) {
    // A heartbeat that is changed on its way has no right checksum.
    let server = Server::start(version, &["--binlog-checksum=NONE"]);
    server.run(TABLE);
    let relay = Relay::new(server.port());
    let port = relay.listener.local_addr().unwrap().port();
    let source = format!("mysql://canal:canal@127.0.0.1:{port}");
    let times = ["--stall-timeout", "8", "--source-timeout", "4"];
    scope(|threads| {
        threads.spawn(|| relay.run());
        let _over = Over(&relay.is_over);
        let all = [&["--source", &source, "--from", "now", "--status", "127.0.0.1:0"], &times[..]];
        let mut serving = Serving::start(&all.concat());
        let status = crate::status::status_of(serving.towpath.program());
        serving.wait_until_running();
        write(&server, 1..=10);
        assert_eq!(serving.numbers_until(10), exactly(1..=10));
        relay.hold();
        write(&server, 11..=20);
        serving.says(STALLED);
        assert!(relay.heartbeats.load(Ordering::Acquire) > 1, "{version:?}: no heartbeats");
        let said = serving.towpath.program().stderr();
        assert!(!said.contains("connection lost"), "{version:?}: {said}");
        assert_eq!(serving.numbers_until(20), exactly(11..=20));
        assert_eq!(metric(&status, "towpath_stalls{destination=\"example\",}"), 1.0);
    });
}

#[test]
fn a_source_that_sends_nothing_but_heartbeats_is_opened_anew() {
    withheld(Version::Mysql57);
    withheld(Version::Mariadb1011);
}

/// T-WEDGE-2, F13: idle, or with clients that take nothing, it is no stall: the dump stays.
#[test]
fn waiting_for_clients_or_for_writers_is_no_stall() {
    let server = Server::start(Version::Mariadb1011, &[]);
    server.run(TABLE);
    server.run("CREATE TABLE d.long (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)");
    let url = server.url();
    let (mut serving, status) = serve(&["--source", &url, "--from", "now", "--store-size", "1"]);
    let asked = || {
        // What looks from outside asks on a connection of its own.
        let rows = server.query("SHOW PROCESSLIST");
        let own = rows.iter().filter(|row| row[1] == "canal" && row[4] != "Binlog Dump");
        let dump = rows.iter().find(|row| row[4] == "Binlog Dump").map(|row| row[0].clone());
        (own.count(), dump)
    };
    let dump = wait_until("the source to be asked for its end", DEADLINE, || {
        let (count, dump) = asked();
        dump.filter(|_| count > 0)
    });
    let fill = "INSERT INTO d.long (b) VALUES (REPEAT('x', 500000));";
    server.run(&fill.repeat(20));
    wait_until("the store to be full for a while", DEADLINE, || {
        let destination = state(&status)["destinations"][0].clone();
        let is_full = destination["waits_for"].as_str()?.contains("full store");
        let since = destination["waits_since_ms"].as_i64()?;
        let now = state(&status)["now_ms"].as_i64()?;
        (is_full && now - since > 4000).then_some(())
    });
    server.run("INSERT INTO d.n VALUES (1000)");
    // Among the ids of the other table.
    serving.numbers_until(1000);
    assert_eq!(metric(&status, "towpath_stalls{destination=\"example\",}"), 0.0);
    assert!(!serving.towpath.program().stderr().contains(STALLED));
    assert_eq!(asked().1, Some(dump), "the dump was opened anew");
}
