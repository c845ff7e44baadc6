//! Questions to a server by somebody who does not follow it.

use crate::connection::{Connection, Row};
use crate::error::SourceError;
use crate::mysql::dialect::Flavour;
use crate::url::SourceUrl;

/// A connection that is logged in. Dropping it closes it.
#[derive(Debug)]
#[must_use]
pub struct Inspector {
    connection: Connection,
}

impl Inspector {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`SourceError`]
    pub async fn open(url: &SourceUrl) -> Result<Self, SourceError> {
        Ok(Self { connection: Connection::open(url).await? })
    }

    /// The server's version, as it greets with it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.connection.version
    }

    /// Whether it is MariaDB.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.connection.flavour() == Flavour::Mariadb
    }

    /// Whether the connection is under TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.connection.stream.is_tls()
    }

    /// The authentication plugin that the login went by.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.connection.plugin
    }

    /// Runs a statement; its rows, `None` for NULL. Not to be used any more after an error other than
    /// [`SourceError::Server`], nor when the future was dropped.
    ///
    /// # Errors
    /// [`SourceError`]
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, SourceError> {
        self.connection.query(sql).await
    }
}
