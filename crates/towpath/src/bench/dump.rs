//! The binlog of a source, received and thrown away.

use std::time::Instant;

use towpath_source::{SourceConfig, Start, throw_away};

use super::Tally;
use crate::report::Failure;

pub(super) async fn run(
    place: &str,
    start: &Start,
    limit_bytes: Option<u64>,
) -> Result<Tally, Failure> {
    let config = SourceConfig { destination: "bench".to_owned(), ..SourceConfig::default() };
    let begin = Instant::now();
    let bytes = throw_away(place, config, start, limit_bytes.unwrap_or(u64::MAX))
        .await
        .map_err(Failure::source)?;
    Ok(Tally { bytes, elapsed: begin.elapsed(), ..Tally::default() })
}
