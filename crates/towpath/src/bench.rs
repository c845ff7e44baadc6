//! `towpath bench`: how fast something can be read, by a reader that does nothing else.

mod drain;
mod dump;
mod files;

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use towpath_entry::{DecoderOptions, TableFilter};
use towpath_source::{SourceUrl, Start};

use crate::filters::remark;
use crate::place::{CanalPlace, has_scheme};
use crate::report::Failure;
use crate::zone::ZoneArguments;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towpath bench canal://127.0.0.1:11111/example       a server, Canal or Towpath, by the fastest client
  towpath bench mysql://canal:canal@127.0.0.1:3306    a source: its binlog up to the end, thrown away
  towpath bench mysql-bin.000001                      binlog files, decoded into entries

Each prints one line: what came, how long it took from the first to the last, and rates.")]
pub(crate) struct Arguments {
    /// canal://host:port/destination (acknowledges what it gets),
    /// mysql://user:password@host:port, or a binlog file or folder.
    #[arg(value_name = "URL-OR-FILE")]
    place: String,
    /// Where to begin with the binlog of a source: earliest, now, FILE:OFFSET, gtid:SET, time:SECONDS.
    #[arg(long, default_value = "earliest")]
    from: Start,
    /// Only tables whose schema.table matches one of these regular expressions (comma-separated).
    #[arg(long, default_value = "")]
    filter: String,
    /// What a client asks for in one request, in KiB of entries.
    #[arg(long, value_name = "KIB", default_value_t = 1000)]
    batch: i32,
    /// The client that is read as. Several of them share what a destination has.
    #[arg(long, value_name = "N", default_value = "1001")]
    client_id: i16,
    /// A client ends after this many row changes.
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// A source's binlog ends after this many bytes.
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// A client, or a source whose latency is told, ends after this many seconds without anything.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    idle: u32,
    /// Print the time from the moment that a value @@MICROSECONDS@@ in a row names, since 1970, to the
    /// arrival of the row: for each of these percentiles.
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',')]
    latency: Vec<f64>,
    #[command(flatten)]
    zone: ZoneArguments,
}

/// What was read.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    entries: u64,
    bytes: u64,
    /// From the first to the last.
    elapsed: Duration,
    /// Microseconds from the moment in a row to its arrival.
    ages_us: Vec<u64>,
}

impl Tally {
    /// `rows 10 entries 12 bytes 345 seconds 0.100 rows/s 100 MB/s 0.0`.
    #[expect(clippy::cast_precision_loss, reason = "rates are printed with few digits")]
    fn line(&self) -> String {
        let seconds = self.elapsed.as_secs_f64().max(1e-6);
        format!(
            "rows {} entries {} bytes {} seconds {seconds:.3} rows/s {:.0} MB/s {:.1}",
            self.rows,
            self.entries,
            self.bytes,
            self.rows as f64 / seconds,
            self.bytes as f64 / 1e6 / seconds,
        )
    }

    /// `latency samples 10 p50 0.50 p99 1.20`, in milliseconds.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentile is an index below the count"
    )]
    fn latencies(&mut self, percentiles: &[f64]) -> String {
        self.ages_us.sort_unstable();
        let mut line = format!("latency_ms samples {}", self.ages_us.len());
        for percentile in percentiles {
            let index = (self.ages_us.len() as f64 * percentile / 100.0) as usize;
            let age = self.ages_us.get(index).or(self.ages_us.last()).copied().unwrap_or_default();
            line += &format!(" p{percentile} {:.2}", age as f64 / 1e3);
        }
        line
    }
}

/// What stands around a moment in a value.
const MARK: &[u8] = b"@@";

/// Microseconds from the moment that the bytes name to now.
fn age_us(bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let text = bytes.get(at..)?.split(|byte| *byte == b'@').next()?;
    let moment = std::str::from_utf8(text).ok()?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_micros();
    Some(u64::try_from(now).ok()?.saturating_sub(moment))
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let zone = arguments.zone.zone()?;
    remark("--filter", &arguments.filter);
    let mut tally = if has_scheme(&arguments.place, &["canal"]) {
        let place = CanalPlace::parse(&arguments.place).map_err(|reason| Failure::of(&reason))?;
        drain::run(&place, &arguments)?
    } else if SourceUrl::is_meant(&arguments.place) {
        dump::run(&arguments).await?
    } else {
        let filter = TableFilter::new(&arguments.filter, "")
            .map_err(|error| Failure::new("cannot use --filter", error))?;
        let options = DecoderOptions { filter, zone, ..DecoderOptions::default() };
        files::run(&arguments.place, options).await?
    };
    let mut text = tally.line();
    if !arguments.latency.is_empty() {
        text = format!("{text}\n{}", tally.latencies(&arguments.latency));
    }
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::new("cannot write", error))
}
