//! A server whose binlog is one of several streams, as a PolarDB-X has them: in front of a real one it
//! understands `WITH` a stream's name, and shows another binlog to whoever leaves it out.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Scope, scope};
use std::time::Duration;

use crate::server::listener;

/// How often a thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);
/// `COM_QUERY`.
const QUERY: u8 = 3;

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    asked_count: AtomicUsize,
    others: Mutex<Vec<String>>,
}

/// A running front. Dropping it closes all connections.
#[derive(Debug)]
pub struct Streams {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Streams {
    /// Stands in front of a server on loopback, whose binlog is that of this stream.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "its owner is the value, which joins it")]
    pub fn start(server: u16, stream: &str) -> Self {
        let (port, listener) = listener();
        let shared = Arc::new(Shared::default());
        let (own, with) = (Arc::clone(&shared), format!(" WITH '{stream}'"));
        let acceptor = Some(std::thread::spawn(move || accept(&listener, server, &with, &own)));
        Self { port, shared, acceptor }
    }

    /// The URL of the replicating user, without a stream.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://canal:canal@127.0.0.1:{}", self.port)
    }

    /// Questions for the stream.
    #[must_use]
    pub fn asked_count(&self) -> usize {
        self.shared.asked_count.load(Ordering::Acquire)
    }

    /// Questions for the binlog without its name.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        self.shared.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(acceptor) = self.acceptor.take() {
            let _joined: bool = acceptor.join().is_ok();
        }
    }
}

fn accept(listener: &TcpListener, server: u16, with: &str, shared: &Shared) {
    scope(|pumps| {
        while !shared.ended.load(Ordering::Acquire) {
            let connected = listener.accept().and_then(|(near, _)| {
                near.set_nonblocking(false)?;
                Ok((near, TcpStream::connect(("127.0.0.1", server))?))
            });
            match connected {
                Ok((near, far)) => {
                    // A peer that goes away meanwhile is one of the things that happen.
                    let _begun: bool = connect(pumps, near, far, (with, shared)).is_ok();
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    });
}

fn connect<'s>(
    pumps: &'s Scope<'s, '_>,
    near: TcpStream,
    far: TcpStream,
    (with, shared): (&'s str, &'s Shared),
) -> std::io::Result<()> {
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_nodelay(true)?;
    }
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    pumps.spawn(move || pump(near, far, shared, |packets| rewrite(packets, with, shared)));
    pumps.spawn(move || pump(far_too, near_too, shared, std::mem::take));
    Ok(())
}

/// Carries bytes; `pass` takes out of them what can go on.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    shared: &Shared,
    mut pass: impl FnMut(&mut Vec<u8>) -> Vec<u8>,
) {
    let (mut block, mut waiting) = (vec![0; 64 << 10], Vec::new());
    while !shared.ended.load(Ordering::Acquire) {
        let len = match from.read(&mut block) {
            Ok(0) => break,
            Ok(len) => len,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        waiting.extend(block.get(..len).unwrap_or_default());
        if to.write_all(&pass(&mut waiting)).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _closed: bool = to.shutdown(Shutdown::Both).is_ok();
    let _closed: bool = from.shutdown(Shutdown::Both).is_ok();
}

/// Takes whole packets, with the questions for the binlog as the server understands them.
fn rewrite(packets: &mut Vec<u8>, with: &str, shared: &Shared) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(&[a, b, c, sequence]) = packets.first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
        if packets.len() < 4 + len {
            break;
        }
        let mut payload: Vec<u8> = packets.drain(..4 + len).skip(4).collect();
        if let (0, Some((&QUERY, text))) = (sequence, payload.split_first()) {
            let asked = String::from_utf8_lossy(text).into_owned();
            payload = [QUERY].into_iter().chain(question(&asked, with, shared).bytes()).collect();
        }
        let head = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes();
        out.extend(head.get(..3).unwrap_or_default());
        out.push(sequence);
        out.extend(payload);
    }
    out
}

fn question(asked: &str, with: &str, shared: &Shared) -> String {
    const ABOUT: [&str; 4] =
        ["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS", "SHOW BINARY LOGS", "SHOW BINLOG EVENTS"];
    if !ABOUT.iter().any(|about| asked.starts_with(about)) {
        return asked.to_owned();
    }
    if asked.contains(with) {
        shared.asked_count.fetch_add(1, Ordering::AcqRel);
        return asked.replace(with, "");
    }
    shared.others.lock().unwrap_or_else(PoisonError::into_inner).push(asked.to_owned());
    "SELECT 'binlog.000001', 4, '', '', ''".to_owned()
}
