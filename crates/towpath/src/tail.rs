//! `towpath tail`: changes in the terminal as they happen.

pub(crate) mod canal;
pub(crate) mod render;
mod value;

use std::io;
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use towpath_source::{FollowBy, Source, SourceConfig, SourceUrl, Start};

use crate::encryption::TlsArguments;
use crate::filters::FilterArguments;
use crate::follow::Follow;
use crate::outlet::{Color, reader_is_gone};
use crate::place::has_scheme;
use crate::report::{Failure, say};
use crate::secret::{Secret, without_login};
use render::{FormatArguments, Renderer};
use value::shorten;

/// Longest GTID set that is shown, in characters.
const BEGIN_MAX: usize = 200;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(after_help = "Examples:
  towpath tail mysql://user:password@127.0.0.1:3306
  towpath tail --json --filter 'shop\\..*' mysql://user:password@db1
  towpath tail --take canal://127.0.0.1:11111/example
  towpath tail --from earliest /var/lib/mysql")]
pub(crate) struct Arguments {
    /// mysql://user:password@host:port (with /NAME only that database), canal://host:port/destination,
    /// zk://host:port/otter/canal?destination=NAME, or a binlog file or folder.
    /// From canal:// and zk:// it reads in the place of the client that the destination has, see --take; values
    /// of TIMESTAMP columns are then in the zone of the server.
    /// file:PATH of a file that holds the URL keeps a password out of sight.
    #[arg(value_name = "URL-OR-FILE")]
    place: Secret,
    #[command(flatten)]
    filters: FilterArguments,
    /// With canal:// and zk://: read as client 1001 of the destination and acknowledge what is shown. Whoever else
    /// reads there as 1001 does not get it.
    #[arg(long)]
    take: bool,
    /// Where to begin: now, earliest, FILE:OFFSET, gtid:SET, time:SECONDS. Files begin at the earliest.
    #[arg(long)]
    from: Option<Start>,
    /// Follow by GTID, as with towpath serve.
    #[arg(long)]
    gtid: bool,
    /// A second server that is followed when the first does not answer.
    #[arg(long, value_name = "URL")]
    standby: Option<Secret>,
    #[command(flatten)]
    tls: TlsArguments,
    #[command(flatten)]
    format: FormatArguments,
    /// End after this many changes. From canal:// and zk:// a batch that has more of them is given back, so that
    /// nobody misses the rest: it comes again.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// What ended the output: the reader went away, which is no failure.
pub(crate) fn written(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new("cannot write", error)),
    }
}

/// What is followed, and from where: with `now` or a standby nobody could know it.
fn following(source: &Source, place: &str, filters: &FilterArguments) -> String {
    let what = match source.product().zip(source.address()) {
        Some((product, address)) => format!("following {product} at {address}"),
        None => format!("reading {}", without_login(place)),
    };
    format!("{what} from {}, {}", shorten(&source.begin(), BEGIN_MAX), filters.describe())
}

pub(crate) async fn run(mut arguments: Arguments, color: Color) -> Result<(), Failure> {
    let out = io::stdout();
    let colored = color.is_on(&out);
    let format = arguments.format.format();
    let zone = arguments.filters.zone()?;
    let mut renderer = Renderer::new(io::BufWriter::new(out), format, colored, zone);
    if has_scheme(&arguments.place, &["canal", "zk", "zookeeper"]) {
        let mut renderer = renderer.of_a_server(arguments.format);
        return canal::run(&arguments, &mut renderer).await;
    }
    if arguments.tls.is_given() {
        return Err(Failure::of(
            "--tls-ca is for canal:// and zk://; a source has ?tls= in its URL",
        ));
    }
    let is_server = SourceUrl::is_meant(&arguments.place);
    let start = arguments.from.unwrap_or(if is_server { Start::Now } else { Start::Earliest });
    arguments.filters.keep_to(&arguments.place, arguments.standby.as_deref())?;
    let mut options = arguments.filters.options()?;
    options.suppress = options.suppress.and(arguments.format.suppressed());
    let standby = arguments.standby.as_deref().map(SourceUrl::parse);
    let config = SourceConfig {
        destination: "tail".to_owned(),
        by: if arguments.gtid { FollowBy::Gtid } else { FollowBy::Position },
        standby: standby.transpose().map_err(Failure::source)?,
        ..SourceConfig::default()
    };
    let source = Source::open(&arguments.place, config, &start).await.map_err(Failure::source)?;
    say(&following(&source, &arguments.place, &arguments.filters));
    let mut follow = Follow::new(source, options)?;
    let mut gone = pin!(reader_is_gone());
    loop {
        let block = tokio::select! {
            block = follow.next() => block?,
            () = &mut gone => break,
        };
        let Some(block) = block else { break };
        if show(block.messages(), arguments.limit, &mut renderer)? != Shown::All {
            break;
        }
    }
    follow.source.close().await;
    Ok(())
}

/// How many entries were shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// All of them, and more are wanted.
    All,
    /// All of them, and that is enough.
    Last,
    /// Enough, or nobody reads any more: the rest was not shown.
    Some,
}

/// Shows entries, up to `limit` changes in all.
pub(crate) fn show<'a, W: io::Write>(
    entries: impl Iterator<Item = &'a [u8]>,
    limit: Option<u64>,
    renderer: &mut Renderer<W>,
) -> Result<Shown, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now_ms = i64::try_from(now).unwrap_or(i64::MAX);
    let limit = limit.unwrap_or(u64::MAX);
    let mut is_whole = true;
    for bytes in entries {
        let result = renderer.entry(bytes, now_ms, limit);
        is_whole = *result.as_ref().unwrap_or(&false);
        if !written(result.map(drop))? {
            return Ok(Shown::Some);
        }
        if !is_whole {
            break;
        }
    }
    Ok(match written(renderer.flush())? && is_whole {
        true if renderer.shown < limit => Shown::All,
        true => Shown::Last,
        false => Shown::Some,
    })
}
