//! A server that understands other statements than the real one that it stands in front of.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Scope, scope};
use std::time::Duration;

use crate::server::listener;

/// How often a thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);
/// `COM_QUERY`.
const QUERY: u8 = 3;

/// A running front. Dropping it closes all connections.
pub struct Front {
    port: u16,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Front {
    /// Stands in front of a server on loopback. `translate` makes of each statement the one that the
    /// server gets.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "its owner is the value, which joins it")]
    pub fn start(server: u16, translate: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let (port, listener) = listener();
        let ended = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&ended);
        let acceptor =
            Some(std::thread::spawn(move || accept(&listener, server, &translate, &own)));
        Self { port, ended, acceptor }
    }

    /// The URL of the replicating user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://canal:canal@127.0.0.1:{}", self.port)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(acceptor) = self.acceptor.take() {
            let _joined: bool = acceptor.join().is_ok();
        }
    }
}

type Translate<'a> = &'a (dyn Fn(&str) -> String + Sync);

fn accept(listener: &TcpListener, server: u16, translate: Translate<'_>, ended: &AtomicBool) {
    scope(|pumps| {
        while !ended.load(Ordering::Acquire) {
            let connected = listener.accept().and_then(|(near, _)| {
                near.set_nonblocking(false)?;
                Ok((near, TcpStream::connect(("127.0.0.1", server))?))
            });
            match connected {
                Ok((near, far)) => {
                    // A peer that goes away meanwhile is one of the things that happen.
                    let _begun: bool = connect(pumps, near, far, (translate, ended)).is_ok();
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
    (translate, ended): (Translate<'s>, &'s AtomicBool),
) -> std::io::Result<()> {
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_nodelay(true)?;
    }
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    pumps.spawn(move || pump(near, far, ended, |packets| rewrite(packets, translate)));
    pumps.spawn(move || pump(far_too, near_too, ended, std::mem::take));
    Ok(())
}

/// Carries bytes; `pass` takes out of them what can go on.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    ended: &AtomicBool,
    mut pass: impl FnMut(&mut Vec<u8>) -> Vec<u8>,
) {
    let (mut block, mut waiting) = (vec![0; 64 << 10], Vec::new());
    while !ended.load(Ordering::Acquire) {
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

/// Takes whole packets, with statements as the server understands them.
fn rewrite(packets: &mut Vec<u8>, translate: Translate<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(&[a, b, c, sequence]) = packets.first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
        if packets.len() < 4 + len {
            break;
        }
        let mut payload: Vec<u8> = packets.drain(..4 + len).skip(4).collect();
        if let (0, Some((&QUERY, text))) = (sequence, payload.split_first()) {
            let sql = translate(&String::from_utf8_lossy(text));
            payload = [QUERY].into_iter().chain(sql.bytes()).collect();
        }
        let head = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes();
        out.extend(head.get(..3).unwrap_or_default());
        out.push(sequence);
        out.extend(payload);
    }
    out
}
