//! `towpath tail canal://` and `zk://`: as a client of a Canal or Towpath server, or of a cluster.

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use towpath_client::{Batch, Client};

use super::render::Renderer;
use super::{Arguments, Shown, show};
use crate::outlet::reader_is_gone;
use crate::report::{Failure, say};
use crate::secret::without_login;

/// Time to be told that the session with ZooKeeper is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Acknowledges a batch that was shown whole, and gives any other back: it comes again. Whether to go on.
pub(crate) async fn acknowledge(batch: Batch, shown: Shown) -> bool {
    match shown {
        Shown::All | Shown::Last => {
            // Too late is no loss here: it comes again.
            let _acknowledged: bool = batch.ack().await.is_ok();
        }
        Shown::Some => batch.give_back(),
    }
    shown == Shown::All
}

/// Nobody can ask a server who reads there, and all client ids share what a destination has. Even a batch that is
/// given back was away from its reader meanwhile: so there is no way to only look.
fn refuse_to_take(place: &str) -> Failure {
    let doing = format!(
        "tail {} would read as client 1001 of the destination and acknowledge what it shows: those rows go to this \
         command, and a program that reads there never gets them",
        without_login(place)
    );
    Failure::of(&doing).with_hint(
        "`towpath tail mysql://user:password@host:3306` reads the binlog itself and disturbs nobody; where no \
         program reads, or may lose its rows, give --take; `towpath client` is the reader of a destination of its own",
    )
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    renderer: &mut Renderer<W>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new("cannot follow the server", error);
    let builder = Client::builder().url(&arguments.place).map_err(failed)?;
    let filter = arguments.filters.of_a_client()?;
    let builder = arguments.tls.apply(builder).map_err(failed)?;
    let client = builder.filter(filter).build().map_err(failed)?;
    if !arguments.take {
        return Err(refuse_to_take(&arguments.place));
    }
    let mut connection = client.connect().await.map_err(failed)?;
    say(&format!(
        "taking and acknowledging as client 1001 of {}, {}",
        without_login(&arguments.place),
        arguments.filters.describe()
    ));
    let mut gone = pin!(reader_is_gone());
    loop {
        let batch = tokio::select! {
            batch = connection.next() => batch,
            () = &mut gone => break,
        };
        let Some(batch) = batch else { break };
        let batch = batch.map_err(failed)?;
        let shown = show(batch.raw().iter().map(AsRef::as_ref), arguments.limit, renderer)?;
        if !acknowledge(batch, shown).await {
            break;
        }
    }
    connection.close().await;
    client.close(CLOSE_DEADLINE).await;
    Ok(())
}
