//! Entries that no client could ever be sent.

use towpath_entry::Block;
use towpath_protocol::entry::Entry;

use crate::error::InstanceError;

/// Bytes of the longest entry: a frame has up to 2,147,483,647, and fewer than 1,024 beside one entry.
pub(crate) const MAX: usize = 0x7fff_ffff - 1024;

/// Names the first entry of more than `limit` bytes.
///
/// # Errors
/// [`InstanceError::EntryTooLong`]
pub(crate) fn check(block: &Block, limit: usize) -> Result<(), InstanceError> {
    let Some(index) = block.entries.iter().position(|entry| entry.entry_len > limit) else {
        return Ok(());
    };
    let (entry, message) = (block.entries.get(index), block.messages().nth(index));
    let header = message.and_then(|message| Entry::parse(message).ok()).map(|entry| {
        let name = |name: Option<&str>| name.unwrap_or("-").to_owned();
        format!("{}.{}", name(entry.header.schema_name), name(entry.header.table_name))
    });
    let context = entry.and_then(|entry| block.context(entry));
    Err(InstanceError::EntryTooLong {
        file: context.map_or_else(String::new, |context| context.file.to_string()),
        offset: entry.map_or(0, |entry| entry.start_offset),
        table: header.unwrap_or_default(),
        len: entry.map_or(0, |entry| entry.entry_len),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use towpath_binlog::{Checksum, EventHeader, EventStream};
    use towpath_entry::{Decoder, DecoderOptions};

    use super::*;

    /// A real binlog, decoded.
    fn blocks() -> Vec<Block> {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden/mysql80-types");
        let bytes = std::fs::read(folder.join("mysql-bin.000001")).unwrap();
        let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
        let mut decoder = Decoder::new(DecoderOptions::default());
        let mut rest = &bytes[4..];
        while !rest.is_empty() {
            let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
            decoder.event(&stream.accept(&rest[..len]).unwrap()).unwrap();
            rest = &rest[len..];
        }
        std::iter::from_fn(|| decoder.take()).collect()
    }

    /// F7: its place and its table are named. The limit is a lower one: nobody makes 2 GiB here.
    #[test]
    fn an_entry_that_is_too_long_is_named() {
        let longest = |block: &Block| block.entries.iter().map(|entry| entry.entry_len).max();
        let blocks = blocks();
        let block = blocks.iter().max_by_key(|block| longest(block)).unwrap();
        let len = longest(block).unwrap();
        check(block, len).unwrap();
        let error = check(block, len - 1).unwrap_err();
        let index = block.entries.iter().position(|entry| entry.entry_len == len).unwrap();
        let header = Entry::parse(block.messages().nth(index).unwrap()).unwrap().header;
        let expected = format!(
            "the entry of {}:{}, table {}.{}, has {len} bytes, and Canal's protocol has no frame of \
             more than 2147483647",
            header.logfile_name,
            header.logfile_offset,
            header.schema_name.unwrap(),
            header.table_name.unwrap()
        );
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("--black-filter"));
    }
}
