//! One destination's way from its source into its store: a task that owns the source.

mod cursor;
mod pump;
mod stall;
mod way_out;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use towpath_coordination::{Cursor, RecordLog};
use towpath_entry::{Block, Decoder, DecoderOptions, GtidSet};
use towpath_source::{Gap, Recovery, Source, SourceConfig, Start, lost};

use crate::destination::{Destination, InstanceState};
use crate::error::InstanceError;
use cursor::{file_of, last_event, origin, start_behind};
use pump::{Asked, Pump};

/// Pause between two attempts to reach a source that cannot be reached now.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Where the entries of a destination come from.
#[derive(Debug)]
pub enum Feed {
    /// A source of binlog events.
    Source(Box<SourceFeed>),
    /// Entries made elsewhere. They begin behind [`crate::Engine::cursor`], if there is one; the end
    /// of the channel is the end of the stream.
    Blocks(mpsc::Receiver<Block>),
}

/// A source of binlog events, and how they are decoded.
#[derive(Debug, Clone)]
pub struct SourceFeed {
    /// `mysql://` URL, or a binlog file or folder.
    pub place: String,
    /// Settings of the source.
    pub config: SourceConfig,
    /// Where to begin when no client has a cursor.
    pub start: Start,
    /// The name of a cursor that is not worth keeping: if it is the one to go on behind, all cursors are
    /// forgotten, and reading begins at `start`.
    pub instead_of: Option<String>,
    /// Settings of the decoder. The filter is the destination's; the GTID set comes with the start.
    pub decoder: DecoderOptions,
    /// How long the source may go on without anything of it being read, while there is room for it:
    /// then it is connected to anew.
    pub stall_timeout: Duration,
}

/// Feeds the destination until the stream ends, fails, or the server stops, and tells it so.
pub(crate) async fn run(
    destination: Arc<Destination>,
    feed: Feed,
    history: Option<RecordLog>,
    stop: CancellationToken,
) -> Result<(), Arc<InstanceError>> {
    let result = match feed {
        Feed::Blocks(blocks) => {
            destination.set_state(InstanceState::Running);
            stop.run_until_cancelled(forward(&destination, blocks)).await.map(Ok)
        }
        Feed::Source(feed) => {
            Box::pin(follow(&destination, *feed, history, &stop)).await.transpose()
        }
    };
    match result {
        None => destination.set_state(InstanceState::Stopped),
        Some(Ok(())) => destination.set_state(InstanceState::Ended),
        Some(Err(error)) => {
            if let Some(hint) = error.hint() {
                tracing::warn!(destination = destination.name(), hint, "how to go on");
            }
            destination.set_state(InstanceState::Failed(Arc::clone(&error)));
            return Err(error);
        }
    }
    Ok(())
}

async fn forward(destination: &Destination, mut blocks: mpsc::Receiver<Block>) {
    let mut begun = false;
    while let Some(block) = blocks.recv().await {
        if let Some(first) = block.entries.first().filter(|_| !begun)
            && let Some(context) = block.context(first)
        {
            let gtid = None;
            destination.set_origin(origin(&context.file, first.start_offset, gtid));
            begun = true;
        }
        destination.push(block).await;
    }
}

/// `None` when the server stops first.
async fn follow(
    destination: &Destination,
    feed: SourceFeed,
    history: Option<RecordLog>,
    stop: &CancellationToken,
) -> Result<Option<()>, Arc<InstanceError>> {
    let (cursor, gap) = cursor_of(destination, feed.instead_of.as_deref());
    // A cursor that Canal wrote tells nothing of what our history has seen.
    let was_read = cursor.as_ref().is_some_and(|cursor| cursor.resume.is_some());
    let start = cursor.as_ref().map_or_else(|| feed.start.clone(), start_behind);
    let filters = destination.filter_changes();
    let filter = destination.stored_filter()?;
    let mut opening = Opening { place: feed.place, config: feed.config, start };
    opening.config.destination = destination.name().to_owned();
    opening.config.last = cursor.as_ref().and_then(last_event);
    opening.config.file = cursor.as_ref().and_then(file_of);
    let told = |error, next: Option<(Arc<str>, u64)>| {
        way_out::told(error, destination.oldest_cursor().as_ref(), next)
    };
    let has_run = cursor.is_some() || gap.is_some();
    let opened = match has_run {
        true => stop.run_until_cancelled(opening.open_patiently(destination)).await,
        false => stop.run_until_cancelled(opening.open()).await,
    };
    let opened = opened.transpose().map_err(|error| told(Arc::new(error), None));
    let Some(mut source) = opened? else { return Ok(None) };
    source.tell(destination.contact().clone());
    let heartbeat_ms = match source.address() {
        Some(_) => i64::try_from(opening.config.heartbeat.as_millis()).unwrap_or(0),
        None => 0,
    };
    destination.note(|reading| reading.heartbeat_ms = heartbeat_ms);
    // Whatever the start was: by GTID the source knows the set that it stands for.
    let gtid = source.gtid_set().map(|set| gtid_set(set, source.is_mariadb()));
    let gtid = gtid.transpose()?.or(feed.decoder.gtid);
    let executed = gtid.as_ref().map(|set| set.to_string().into());
    let decoder = Decoder::new(DecoderOptions { filter, gtid, ..feed.decoder });
    let asked = Asked { start: opening.start, executed, history, was_read, gap };
    let mut pump = Pump::new(destination, source, decoder, filters, asked);
    destination.set_state(InstanceState::Running);
    let reading = Box::pin(stop.run_until_cancelled(pump.supervised(feed.stall_timeout)));
    let result = match reading.await {
        Some(Err(error)) => match stop.run_until_cancelled(pump.hand_on_rest(&error)).await {
            Some(()) => Err(Arc::new(error)),
            None => Ok(None),
        },
        ended => Ok(ended.and_then(Result::ok)),
    };
    let next = pump.next_place();
    pump.close().await;
    let Err(error) = result else { return result };
    match stop.run_until_cancelled(fail(destination, Arc::clone(&error))).await {
        // How to go on depends on what clients have acknowledged by now.
        Some(()) => Err(told(error, next)),
        None => Ok(None),
    }
}

/// Nothing is read any more: what was read before goes to clients first.
async fn fail(destination: &Destination, error: Arc<InstanceError>) {
    if destination.is_delivered() {
        return;
    }
    tracing::error!(
        destination = destination.name(),
        %error,
        "reading has failed: what was read before is served while clients come for it, then it is told how \
         to go on"
    );
    destination.set_state(InstanceState::Failing(error));
    if !destination.delivered().await {
        tracing::warn!(
            destination = destination.name(),
            "no client comes for what was read before the error: it is read again at the next start"
        );
    }
}

/// The cursor to go on behind; none, but a gap that clients are told of, if the operator gives it up.
fn cursor_of(destination: &Destination, given_up: Option<&str>) -> (Option<Cursor>, Option<Gap>) {
    let cursor = destination.oldest_cursor();
    let (Some(cursor), Some(given_up)) = (&cursor, given_up) else { return (cursor, None) };
    let name = cursor.name();
    if name != given_up {
        tracing::info!(
            destination = destination.name(),
            cursor = name,
            given_up,
            "the cursor is not the one that is given up: reading goes on behind it"
        );
        return (Some(cursor.clone()), None);
    }
    tracing::warn!(destination = destination.name(), cursor = name, "the cursor is given up");
    let gap = Gap { wanted: name, kept: String::new(), resumed: String::new() };
    (None, Some(gap))
}

fn gtid_set(text: &str, is_mariadb: bool) -> Result<GtidSet, InstanceError> {
    let failed = |reason: String| InstanceError::GtidSet { set: text.to_owned(), reason };
    GtidSet::parse(text, is_mariadb).map_err(|error| failed(error.to_string()))
}

/// What it takes to open the source.
struct Opening {
    place: String,
    config: SourceConfig,
    start: Start,
}

impl Opening {
    async fn open(&self) -> Result<Source, InstanceError> {
        Ok(Source::open(&self.place, self.config.clone(), &self.start).await?)
    }

    /// A destination that has run before waits for its source: both may have been started together.
    async fn open_patiently(&self, destination: &Destination) -> Result<Source, InstanceError> {
        loop {
            match Source::open(&self.place, self.config.clone(), &self.start).await {
                Err(error) if error.recovery() == Recovery::Retry => {
                    lost(destination.contact(), &error);
                    let destination = destination.name();
                    tracing::warn!(destination, %error, "source cannot be reached, trying again");
                    sleep(RETRY_PAUSE).await;
                }
                result => return Ok(result?),
            }
        }
    }
}
