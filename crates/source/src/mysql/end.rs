//! Where a server's binlog ends, asked by somebody who looks at its dump from outside (T-WEDGE-2).

use std::time::Duration;

use tokio::time::timeout;
use towpath_binlog::Position;

use super::dialect;
use crate::connection::Connection;
use crate::error::SourceError;
use crate::url::SourceUrl;

/// For an answer, connecting included.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks on a connection of its own. Dropping it closes that.
#[derive(Debug)]
pub struct EndProbe {
    url: SourceUrl,
    connection: Option<Connection>,
}

impl EndProbe {
    pub(super) const fn new(url: SourceUrl) -> Self {
        Self { url, connection: None }
    }

    /// File and offset of the end. Cancelling it closes the connection; the next question opens
    /// another one.
    ///
    /// # Errors
    /// [`SourceError`], also when there is no answer within ten seconds.
    pub async fn ask(&mut self) -> Result<(String, u64), SourceError> {
        let asked = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => Connection::open(&self.url).await?,
            };
            let end = dialect::end(&mut connection).await?;
            self.connection = Some(connection);
            Ok(end)
        };
        timeout(ASK_TIMEOUT, asked).await.unwrap_or_else(|_| {
            Err(SourceError::Silence {
                address: self.url.address(),
                doing: "ask for the end of the binlog",
                seconds: ASK_TIMEOUT.as_secs(),
            })
        })
    }

    /// Whether an end lies behind a place of the same row of files.
    #[must_use]
    pub fn is_behind(end: (&str, u64), place: (&str, u64)) -> bool {
        Position::is_before(place, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_compared_by_number_and_offset() {
        for (end, place, expected) in [
            (("b.000009", 4), ("b.000009", 4), false),
            (("b.000009", 5), ("b.000009", 4), true),
            (("b.000010", 4), ("b.000009", 400), true),
            (("b.1000000", 4), ("b.999999", 400), true),
            (("b.000009", 5), ("b.000010", 4), false),
            // Of another server.
            (("other.000010", 4), ("b.000009", 4), false),
        ] {
            assert_eq!(EndProbe::is_behind(end, place), expected, "{end:?} {place:?}");
        }
    }
}
