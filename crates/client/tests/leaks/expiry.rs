//! A way to ZooKeeper that can end the session that goes through it, as a timeout would.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where a session's id and password stand in the first answer, after its length: both of them are
/// what it takes to continue the session, with the length of the password before it.
const CREDENTIALS: std::ops::Range<usize> = 8..8 + 8 + 4 + 16;

/// Closes a session.
const CLOSE: i32 = -11;

/// A forwarder on loopback, in tasks of this runtime.
pub(crate) struct Expiry {
    address: String,
    zookeeper: String,
    /// Of the session that was made last.
    credentials: Arc<Mutex<Vec<u8>>>,
    _task: JoinSet<()>,
}

impl Expiry {
    pub(crate) async fn start(zookeeper: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let credentials = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(accept(listener, zookeeper.clone(), Arc::clone(&credentials)));
        Self { address, zookeeper, credentials, _task: task }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Continues the session elsewhere, and closes it there. The client may take it back in between:
    /// then once more.
    pub(crate) async fn expire(&self) {
        let credentials = lock(&self.credentials).clone();
        // Protocol version, last transaction seen, timeout; who it is; not read-only.
        let continued = [&[0; 12], &10_000_i32.to_be_bytes()[..], &credentials, &[0]].concat();
        let close = [1_i32.to_be_bytes(), CLOSE.to_be_bytes()].concat();
        let requests = [framed(&continued), framed(&close)].concat();
        loop {
            let mut stream = TcpStream::connect(&self.zookeeper).await.unwrap();
            stream.write_all(&requests).await.unwrap();
            let Ok(answer) = receive(&mut stream).await else { continue };
            if answer.get(CREDENTIALS) != Some(&credentials[..])
                || receive(&mut stream).await.is_ok()
            {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, zookeeper: String, credentials: Arc<Mutex<Vec<u8>>>) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let near = accepted.unwrap().0;
                let (zookeeper, credentials) = (zookeeper.clone(), Arc::clone(&credentials));
                links.spawn(async move {
                    // Whatever ends a link ends it on both sides.
                    let _ended: std::io::Result<()> = link(near, &zookeeper, &credentials).await;
                });
            }
            Some(_) = links.join_next() => {}
        }
    }
}

async fn link(
    mut near: TcpStream,
    zookeeper: &str,
    credentials: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(zookeeper).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    far.write_all(&framed(&receive(&mut near).await?)).await?;
    let answer = receive(&mut far).await?;
    // An expired one is answered with zeros.
    if let Some(found) = answer.get(CREDENTIALS)
        && found.iter().take(8).any(|byte| *byte != 0)
    {
        *lock(credentials) = found.to_vec();
    }
    near.write_all(&framed(&answer)).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

async fn receive(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(header)).unwrap()];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
