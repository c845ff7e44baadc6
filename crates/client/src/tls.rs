//! TLS, for servers that speak it, or stand behind something that does: Canal itself does not.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ClientError;

/// How a connection is encrypted, and whom it trusts. The server's name is that of its address, unless
/// another is given.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Trusts servers whose certificate is signed by one of those in a PEM file, and fits their name.
    ///
    /// # Errors
    /// [`ClientError::Tls`] when the file cannot be read, or there is no certificate in it.
    pub fn trusting(authority: &Path) -> Result<Self, ClientError> {
        let fail =
            |reason: String| ClientError::Tls { place: authority.display().to_string(), reason };
        let certificates =
            CertificateDer::pem_file_iter(authority).map_err(|e| fail(e.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let certificate = certificate.map_err(|e| fail(e.to_string()))?;
            roots.add(certificate).map_err(|e| fail(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fail("there is no certificate in it".to_owned()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| fail(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name: None })
    }

    /// The certificate must be for this name, whatever the server's address.
    ///
    /// # Errors
    /// [`ClientError::Tls`] when it is no host name.
    pub fn server_name(mut self, name: &str) -> Result<Self, ClientError> {
        self.name = Some(parse_name(name)?);
        Ok(self)
    }

    pub(crate) async fn wrap(
        &self,
        address: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = match &self.name {
            Some(name) => name.clone(),
            None => parse_name(host.trim_matches(['[', ']']))?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await.map_err(|error| {
            // What rustls itself objects to.
            if error.kind() == std::io::ErrorKind::InvalidData {
                ClientError::Tls { place: address.to_owned(), reason: error.to_string() }
            } else {
                ClientError::io(address, "TLS handshake", error)
            }
        })
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, ClientError> {
    ServerName::try_from(name.to_owned()).map_err(|_| ClientError::Tls {
        place: name.to_owned(),
        reason: "this is no host name".to_owned(),
    })
}
