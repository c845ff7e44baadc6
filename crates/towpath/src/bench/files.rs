//! Binlog files, decoded into entries that nobody reads.

use std::time::Instant;

use towpath_entry::DecoderOptions;
use towpath_source::{Source, SourceConfig, Start};

use super::Tally;
use crate::follow::Follow;
use crate::report::Failure;

pub(super) async fn run(place: &str, options: DecoderOptions) -> Result<Tally, Failure> {
    let source = Source::open(place, SourceConfig::default(), &Start::Earliest)
        .await
        .map_err(Failure::source)?;
    // Rates are of binlog bytes: what is read, not what is made of it.
    let bytes = match &source {
        Source::Files(files) => files.remaining_bytes(),
        Source::Mysql(_) => 0,
    };
    let mut tally = Tally { bytes, ..Tally::default() };
    let begin = Instant::now();
    let mut follow = Follow::new(source, options)?;
    while let Some(block) = follow.next().await? {
        tally.rows += block.entries.iter().map(|entry| u64::from(entry.row_count)).sum::<u64>();
        tally.entries += u64::try_from(block.entries.len()).unwrap_or_default();
    }
    tally.elapsed = begin.elapsed();
    Ok(tally)
}
