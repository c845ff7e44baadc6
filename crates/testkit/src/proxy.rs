//! A link that can fail: a TCP forwarder on a free port.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Scope, scope};
use std::time::Duration;

use crate::server::listener;

/// How often a thread looks whether something changed.
const LOOK: Duration = Duration::from_millis(10);

/// What is wrong with the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Connections stay open, and nothing comes through: what is sent waits.
    Silence,
    /// What goes through is late by this much.
    Delay(Duration),
    /// Connections are accepted and closed at once.
    Refuse,
    /// A connection is closed after this many bytes from the server.
    Truncate(usize),
}

#[derive(Debug, Default)]
struct Shared {
    fault: Mutex<Fault>,
    ended: AtomicBool,
    open: AtomicUsize,
    accepted: AtomicUsize,
    /// Counts the cuts: a connection of an earlier number closes.
    cut: AtomicUsize,
    /// Connections accepted up to this number are silent.
    frozen: AtomicUsize,
}

/// A running proxy. Dropping it closes its connections and joins its threads.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    target: Arc<Mutex<SocketAddr>>,
    acceptor: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Forwards from a free port on loopback to a port there.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "dropping the proxy joins the thread")]
    pub fn start(target: u16) -> Self {
        let (port, listener) = listener();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let shared = Arc::new(Shared::default());
        let target = Arc::new(Mutex::new(SocketAddr::from(([127, 0, 0, 1], target))));
        let acceptor = std::thread::spawn({
            let (shared, target) = (Arc::clone(&shared), Arc::clone(&target));
            move || accept(&listener, &shared, &target)
        });
        Self { address, shared, target, acceptor: Some(acceptor) }
    }

    /// The port to connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// New connections go to this port on loopback.
    pub fn retarget(&self, port: u16) {
        *lock(&self.target) = SocketAddr::from(([127, 0, 0, 1], port));
    }

    /// From now on the link, open connections included, is like this.
    pub fn set(&self, fault: Fault) {
        *lock(&self.shared.fault) = fault;
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.shared.cut.fetch_add(1, Ordering::AcqRel);
    }

    /// The connections that are open stay so, and nothing comes through them any more. New ones work.
    pub fn freeze(&self) {
        self.shared.frozen.store(self.accepted(), Ordering::Release);
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Connections that there ever were.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic of it was shown when it happened.
            let _joined: bool = acceptor.join().is_ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, target: &Mutex<SocketAddr>) {
    scope(|pumps| {
        while !shared.ended.load(Ordering::Acquire) {
            let Ok((near, _)) = listener.accept() else {
                std::thread::sleep(LOOK);
                continue;
            };
            let number = shared.accepted.fetch_add(1, Ordering::AcqRel) + 1;
            if *lock(&shared.fault) == Fault::Refuse {
                continue;
            }
            if let Ok(far) = TcpStream::connect(*lock(target)) {
                connect(pumps, (shared, number), near, far);
            }
        }
    });
}

/// Starts the two threads of a connection.
fn connect<'s>(
    pumps: &'s Scope<'s, '_>,
    (shared, number): (&Arc<Shared>, usize),
    near: TcpStream,
    far: TcpStream,
) {
    let prepared = near.set_nonblocking(false).is_ok()
        && near.set_read_timeout(Some(LOOK)).is_ok()
        && far.set_read_timeout(Some(LOOK)).is_ok()
        && near.set_nodelay(true).is_ok()
        && far.set_nodelay(true).is_ok();
    let (Ok(near_too), Ok(far_too), true) = (near.try_clone(), far.try_clone(), prepared) else {
        return;
    };
    let counted = Arc::new(Counted::new(shared));
    let cut = shared.cut.load(Ordering::Acquire);
    let there =
        Pump { from: near, to: far, counted: Arc::clone(&counted), cut, number, is_answer: false };
    let back = Pump { from: far_too, to: near_too, counted, cut, number, is_answer: true };
    pumps.spawn(move || there.run());
    pumps.spawn(move || back.run());
}

/// One open connection, as both its threads count it.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Pump {
    from: TcpStream,
    to: TcpStream,
    counted: Arc<Counted>,
    cut: usize,
    /// The how manyth connection it is.
    number: usize,
    is_answer: bool,
}

impl Pump {
    fn run(mut self) {
        let mut buffer = vec![0; 64 << 10];
        let mut passed = 0;
        while self.is_alive() {
            let fault = *lock(&self.counted.0.fault);
            let is_frozen = self.number <= self.counted.0.frozen.load(Ordering::Acquire);
            if fault == Fault::Silence || is_frozen {
                std::thread::sleep(LOOK);
                continue;
            }
            let mut len = match self.from.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => break,
            };
            if let Fault::Delay(time) = fault {
                std::thread::sleep(time);
            }
            let mut is_last = fault == Fault::Refuse;
            if let (Fault::Truncate(limit), true) = (fault, self.is_answer) {
                is_last = passed + len >= limit;
                len = len.min(limit.saturating_sub(passed));
            }
            passed += len;
            let Some(bytes) = buffer.get(..len) else { break };
            if self.to.write_all(bytes).is_err() || is_last {
                break;
            }
        }
        // Either may be closed already.
        let _closed: bool = self.to.shutdown(Shutdown::Both).is_ok();
        let _closed: bool = self.from.shutdown(Shutdown::Both).is_ok();
    }

    fn is_alive(&self) -> bool {
        let shared = &self.counted.0;
        !shared.ended.load(Ordering::Acquire) && shared.cut.load(Ordering::Acquire) == self.cut
    }
}
