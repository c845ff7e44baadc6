//! Takes connections in clear and makes TLS of them: for clients that do not speak it.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// A running front. Dropping it closes its connections.
#[derive(Debug)]
pub struct Encrypting {
    port: u16,
    /// Ends its tasks when it is dropped.
    _runtime: Runtime,
}

impl Encrypting {
    /// Forwards from a free port on loopback to a port there, which has to show a certificate for `name`
    /// that one in the file `trusted` has signed.
    ///
    /// # Panics
    /// When there is no certificate in the file, or no free port.
    #[must_use]
    pub fn start(target: u16, trusted: &Path, name: &str) -> Self {
        let connector = connector(trusted);
        let Ok(name) = ServerName::try_from(name.to_owned()) else { panic!("{name} is no name") };
        let Ok(runtime) = Builder::new_multi_thread().worker_threads(1).enable_all().build() else {
            panic!("no threads for a front");
        };
        let Ok(listener) = runtime.block_on(TcpListener::bind("127.0.0.1:0")) else {
            panic!("no free port for a front");
        };
        let port = listener.local_addr().map(|address| address.port()).unwrap_or_default();
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(forward(near, target, connector.clone(), name.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, _runtime: runtime }
    }

    /// The port to connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn connector(trusted: &Path) -> TlsConnector {
    let Ok(certificate) = CertificateDer::from_pem_file(trusted) else {
        panic!("no certificate in {}", trusted.display());
    };
    let mut roots = RootCertStore::empty();
    let added = roots.add(certificate);
    assert!(added.is_ok(), "{added:?}");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let Ok(config) = config else { panic!("{config:?}") };
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn forward(
    mut near: TcpStream,
    target: u16,
    connector: TlsConnector,
    name: ServerName<'static>,
) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let Ok(mut far) = connector.connect(name, far).await else { return };
    // Either may go away.
    let _ended: bool = copy_bidirectional(&mut near, &mut far).await.is_ok();
}
