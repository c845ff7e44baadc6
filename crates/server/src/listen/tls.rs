//! The certificate of the port for clients. Its files are looked at again, so that a renewed one is used
//! without a restart.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig as TlsConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::config::TlsFiles;
use crate::error::TlsError;

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    /// Of the last change, seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { inode: metadata.ino(), len: metadata.len(), changed }
    }
}

/// Of both files; nothing for one that is not there.
type Stamps = [Option<Stamp>; 2];

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.certificates, &files.key]
        .map(|path| std::fs::metadata(path).ok().as_ref().map(Stamp::of))
}

/// The certificate in use. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Certificate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<TlsConfig>,
    /// Of the files as they were read last, also if they were of no use.
    stamps: Stamps,
    look_at: Instant,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let config = Arc::new(read(&files)?);
        let state = State { config, stamps, look_at: Instant::now() + LOOK_INTERVAL };
        Ok(Self(Arc::new(Inner { files, state: Mutex::new(state) })))
    }

    /// What a handshake is made with. Looks at the files if it is time for that.
    pub(crate) async fn config(&self) -> Arc<TlsConfig> {
        if self.is_due() {
            let own = self.clone();
            if let Err(error) = spawn_blocking(move || own.renew()).await {
                tracing::error!(%error, "the files of the TLS certificate could not be looked at");
            }
        }
        Arc::clone(&self.state().config)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is the one to look: the others use what is there.
    fn is_due(&self) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        let is_due = now >= state.look_at;
        if is_due {
            state.look_at = now + LOOK_INTERVAL;
        }
        is_due
    }

    fn renew(&self) {
        // Taken before the files are read: what changes meanwhile is seen at the next look.
        let stamps = stamps(&self.0.files);
        if stamps == self.state().stamps {
            return;
        }
        let renewed = read(&self.0.files);
        let mut state = self.state();
        state.stamps = stamps;
        match renewed {
            Ok(config) => {
                state.config = Arc::new(config);
                let file = self.0.files.certificates.display();
                tracing::info!(%file, "the TLS certificate was read again, new connections use it");
            }
            // Also while only one of the two files is new: they are looked at again when they change.
            Err(error) => {
                tracing::error!(%error, "the new TLS certificate cannot be used, the old one stays in use");
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<TlsConfig, TlsError> {
    let certificates = certificates(&files.certificates)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| pem_error(&files.key, &error, "an unencrypted private key"))?;
    let unfit = |error: rustls::Error| TlsError::Unfit {
        certificates: files.certificates.clone(),
        key: files.key.clone(),
        source: error,
    };
    let mut config = TlsConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(unfit)?;
    // Connections are long and few: none is resumed, and nothing kept for that.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "certificates, that of the server first";
    let fail = |error: pem::Error| pem_error(path, &error, wanted);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(fail)?.collect();
    let found = found.map_err(fail)?;
    if found.is_empty() { Err(fail(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn pem_error(path: &Path, error: &pem::Error, wanted: &'static str) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: error.to_string(), wanted }
}
