//! The binlog of a source, received and thrown away.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use towpath_source::{Filled, Source, SourceConfig, throw_away};

use super::{Arguments, Tally, age_us};
use crate::report::Failure;

pub(super) async fn run(arguments: &Arguments) -> Result<Tally, Failure> {
    let config = SourceConfig { destination: "bench".to_owned(), ..SourceConfig::default() };
    if !arguments.latency.is_empty() {
        return ages(arguments, config).await;
    }
    let begin = Instant::now();
    let limit_bytes = arguments.bytes.unwrap_or(u64::MAX);
    let bytes = throw_away(&arguments.place, config, &arguments.from, limit_bytes)
        .await
        .map_err(Failure::source)?;
    Ok(Tally { bytes, elapsed: begin.elapsed(), ..Tally::default() })
}

/// Looks for moments in the events as they come, and at nothing else of them.
async fn ages(arguments: &Arguments, config: SourceConfig) -> Result<Tally, Failure> {
    let mut source =
        Source::open(&arguments.place, config, &arguments.from).await.map_err(Failure::source)?;
    let idle = Duration::from_secs(arguments.idle.into());
    let mut tally = Tally::default();
    let (mut first, mut last) = (None, Instant::now());
    while let Ok(filled) = timeout(idle.saturating_sub(last.elapsed()), source.fill()).await {
        if filled.map_err(Failure::source)? == Filled::End {
            break;
        }
        while let Some(event) = source.next_event().map_err(Failure::source)? {
            tally.bytes += u64::from(event.header.event_len);
            if let Some(age) = age_us(event.body) {
                tally.ages_us.push(age);
                first.get_or_insert_with(Instant::now);
                last = Instant::now();
            }
        }
    }
    tally.elapsed = first.map(|first| last - first).unwrap_or_default();
    Ok(tally)
}
