//! Reads ahead, on a connection of its own or in the file of the archive, for what becomes of a transaction.

use towpath_binlog::transaction::{FateScan, TransactionFate};
use tracing::debug;

use super::dump::{AtEnd, Dump, Request};
use super::feed::Feed;
use super::{FILL_TIMEOUT, From, MysqlSource, prepare};
use crate::SourceConfig;
use crate::error::SourceError;
use crate::fate::{self, Behind};

impl MysqlSource {
    /// See [`crate::Source::fate`].
    pub(crate) async fn fate(
        &mut self,
        scan: FateScan,
    ) -> Result<Option<TransactionFate>, SourceError> {
        let fate = self.fate_ahead(scan).await;
        self.or_reopen(fate, "read ahead for the end of a long transaction")
    }

    async fn fate_ahead(&self, scan: FateScan) -> Result<TransactionFate, SourceError> {
        let Some((file, offset)) = self.feed.place() else {
            return Ok(TransactionFate::default());
        };
        debug!(source = %self.servers.current(), file, offset,
            "reading ahead for the end of a long transaction");
        let limit = self.config.event_len_max;
        if let Feed::Archive(reading) = &self.feed {
            let Some(ahead) = reading.file_ahead()? else {
                return Ok(TransactionFate::default());
            };
            return fate::in_file(scan, ahead, Behind::AnotherFile, limit).await;
        }
        // Another reader to the server, or it ends the dump that is running.
        let config = SourceConfig { event_len_max: limit, ..SourceConfig::default() };
        let server_id = prepare::generated_id(&config);
        let from = From::Position { file: file.clone(), offset };
        let connection = self.beside().await?;
        let request = Request { config: &config, server_id, from: &from, at_end: AtEnd::Stop };
        in_dump(scan, Dump::begin(connection, &request).await?).await
    }
}

async fn in_dump(mut scan: FateScan, mut dump: Dump) -> Result<TransactionFate, SourceError> {
    loop {
        while let Some(event) = dump.next_event()? {
            if let Some(fate) = fate::of_event(&mut scan, &event)? {
                return Ok(fate);
            }
        }
        // A server sends whole transactions: its binlog does not end here.
        dump.fill(FILL_TIMEOUT).await?;
    }
}
