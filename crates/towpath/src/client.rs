//! `towpath client`: a client of a server or a cluster, with its life shown as it goes.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, MissedTickBehavior, interval};
use towpath_client::{Batch, Client, ClientError, Connection, Status};
use towpath_entry::Zone;

use crate::encryption::TlsArguments;
use crate::filters::remark;
use crate::outlet::{Color, reader_is_gone};
use crate::report::{Failure, say};
use crate::secret::Secret;
use crate::signals::Shutdown;
use crate::tail::canal::acknowledge;
use crate::tail::render::{FormatArguments, Renderer};
use crate::tail::{Shown, show, written};
use crate::zone::ZoneArguments;

/// Time to be told that the session with ZooKeeper is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(after_help = "Examples:
  towpath client zk://zk1,zk2,zk3/otter/canal?destination=shop
  towpath client --count canal://user:password@db1:11111/shop
  towpath client --json --filter 'shop\\..*' canal://server1,server2/shop

Changes go to standard output, what becomes of the connection to standard error. What was shown is
acknowledged. --time-zone counts for the times of day that are shown; values of TIMESTAMP columns come
in the zone of the server that made the entries. It ends at SIGINT or SIGTERM: the lock is released, what was not shown is given back.")]
pub(crate) struct Arguments {
    /// `canal://[user:password@]host:port[,host:port]/destination`, or
    /// `zk://host:port,host:port/otter/canal?destination=NAME`. file:PATH of a file that holds the URL keeps a
    /// password out of sight.
    #[arg(value_name = "URL")]
    place: Secret,
    /// The id under which the servers keep the cursor.
    #[arg(long, value_name = "ID", default_value_t = 1001)]
    client_id: i16,
    /// Tables to deliver; replaces the filter of the destination.
    #[arg(long, default_value = "")]
    filter: String,
    /// User name, for zk://.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Password, for zk://; file:PATH and credential:NAME are what lies there.
    #[arg(long)]
    password: Option<Secret>,
    /// Count instead of showing changes: a line each second.
    #[arg(long)]
    count: bool,
    /// Seconds without a server after which it gives up. It waits for ever if absent.
    #[arg(long, value_name = "SECONDS")]
    give_up: Option<u64>,
    /// Seconds after which another client takes over from this one if it is silent; with zk://.
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=600))]
    session_timeout: u32,
    /// Write metrics to standard output at the end, in Prometheus' format.
    #[arg(long)]
    metrics: bool,
    /// End after this many changes, shown or counted. A batch that has more of them is given back, so that
    /// nobody misses the rest: it comes again.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    tls: TlsArguments,
    #[command(flatten)]
    format: FormatArguments,
    #[command(flatten)]
    zone: ZoneArguments,
}

/// What was delivered since the last line.
#[derive(Debug)]
struct Counts {
    since: Instant,
    /// Rows of earlier lines.
    before: u64,
    rows: u64,
    entries: u64,
    bytes: u64,
}

impl Counts {
    fn new() -> Self {
        Self { since: Instant::now(), before: 0, rows: 0, entries: 0, bytes: 0 }
    }

    /// Counts a batch, up to `limit` rows in all.
    fn add(&mut self, batch: &Batch, limit: Option<u64>) -> Result<Shown, Failure> {
        let rows = batch.rows().map_err(|error| Failure::new("cannot read an entry", error))?;
        let of = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.before + self.rows));
        let count = of(rows.len());
        if count > room {
            self.rows += room;
            return Ok(Shown::Some);
        }
        self.rows += count;
        self.entries += of(batch.raw().len());
        self.bytes += batch.raw().iter().map(|entry| of(entry.len())).sum::<u64>();
        Ok(if count == room { Shown::Last } else { Shown::All })
    }

    fn line(&mut self, connection: &Connection) -> String {
        let before = self.before + self.rows;
        let next = Self { before, ..Self::new() };
        let Self { since, rows, entries, bytes, .. } = std::mem::replace(self, next);
        let ms = since.elapsed().as_millis().max(1);
        let rate = |count: u64| u128::from(count) * 1000 / ms;
        let health = connection.health();
        let lag = health.lag().filter(|_| rows > 0);
        let lag = lag.map(|lag| format!("  latest {} ms ago", lag.as_millis())).unwrap_or_default();
        format!(
            "{} rows/s  {} entries/s  {} KB/s  {} unacked{lag}",
            rate(rows),
            rate(entries),
            rate(bytes) / 1000,
            health.unacked_batches
        )
    }
}

fn build(arguments: &Arguments) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .url(&arguments.place)?
        .client_id(arguments.client_id)
        .zookeeper_session_timeout(Duration::from_secs(arguments.session_timeout.into()))
        .filter(&arguments.filter);
    if let Some(password) = &arguments.password {
        builder = builder.credentials(arguments.user.as_deref().unwrap_or_default(), password);
    }
    if let Some(seconds) = arguments.give_up {
        builder = builder.give_up_after(Duration::from_secs(seconds));
    }
    arguments.tls.apply(builder)?.build()
}

pub(crate) async fn run(arguments: Arguments, color: Color) -> Result<(), Failure> {
    let failed = |error| Failure::new("cannot follow the server", error);
    let zone = arguments.zone.zone()?;
    remark("--filter", &arguments.filter);
    let client = build(&arguments).map_err(failed)?;
    let shutdown = Shutdown::listen()?;
    let mut connection = client.start();
    let result = follow(&arguments, (zone, color), &mut connection, &shutdown).await;
    let health = client.health();
    connection.close().await;
    client.close(CLOSE_DEADLINE).await;
    if arguments.metrics {
        written(io::stdout().write_all(health.metrics().as_bytes()))?;
    }
    result
}

async fn follow(
    arguments: &Arguments,
    (zone, color): (Zone, Color),
    connection: &mut Connection,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let out = io::stdout();
    let colored = color.is_on(&out);
    let format = arguments.format.format();
    let renderer = Renderer::new(io::BufWriter::new(out), format, colored, zone);
    let mut renderer = renderer.of_a_server(arguments.format);
    let mut changes = connection.changes();
    let mut counts = Counts::new();
    let mut gone = pin!(reader_is_gone());
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now.
    seconds.tick().await;
    loop {
        tokio::select! {
            biased;
            () = shutdown.token().cancelled() => return Ok(()),
            () = &mut gone => return Ok(()),
            Ok(()) = changes.changed() => {
                let status: Status = changes.borrow_and_update().clone();
                say(&format!("{}/{}: {status}", connection.health().destination, arguments.client_id));
            }
            _ = seconds.tick(), if arguments.count => {
                let line = counts.line(connection);
                if !written(writeln!(io::stdout(), "{line}"))? {
                    return Ok(());
                }
            }
            batch = connection.next() => {
                let Some(batch) = batch else { return Ok(()) };
                let batch =
                    batch.map_err(|error| Failure::new("the connection ended", error))?;
                let shown = if arguments.count {
                    counts.add(&batch, arguments.limit)?
                } else {
                    let entries = batch.raw().iter().map(AsRef::as_ref);
                    show(entries, arguments.limit, &mut renderer)?
                };
                if !acknowledge(batch, shown).await {
                    if arguments.count {
                        written(writeln!(io::stdout(), "{}", counts.line(connection)))?;
                    }
                    return Ok(());
                }
            }
        }
    }
}
