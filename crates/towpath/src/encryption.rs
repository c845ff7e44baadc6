//! TLS to servers whose port for clients speaks it.

use std::path::PathBuf;

use clap::Args;
use towpath_client::{Builder, ClientError, Tls};

/// See the module.
#[derive(Debug, Args)]
pub(crate) struct TlsArguments {
    /// Speak TLS with servers (`towpath serve --tls-cert`), and trust those whose certificate is signed by one in
    /// this file (PEM). For canal:// and zk://.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The name that the certificate has to be for; that of the server's address if absent.
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_name: Option<String>,
}

impl TlsArguments {
    /// Whether TLS is asked for.
    pub(crate) const fn is_given(&self) -> bool {
        self.tls_ca.is_some()
    }

    /// Settings of a client that come from here.
    pub(crate) fn apply(&self, builder: Builder) -> Result<Builder, ClientError> {
        let Some(authority) = &self.tls_ca else { return Ok(builder) };
        let tls = Tls::trusting(authority)?;
        Ok(builder.tls(match &self.tls_name {
            Some(name) => tls.server_name(name)?,
            None => tls,
        }))
    }
}
