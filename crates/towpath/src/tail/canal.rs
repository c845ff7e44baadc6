//! `towpath tail canal://` and `zk://`: as a client of a Canal or Towpath server, or of a cluster.

use std::io::Write;
use std::time::Duration;

use towpath_client::{Batch, Client};

use super::render::Renderer;
use super::{Arguments, Shown, show};
use crate::report::Failure;

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

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    renderer: &mut Renderer<W>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new("cannot follow the server", error);
    let builder = Client::builder().url(&arguments.place).map_err(failed)?;
    let filter = arguments.filters.of_a_client()?;
    let builder = arguments.tls.apply(builder).map_err(failed)?;
    let client = builder.filter(filter).build().map_err(failed)?;
    let mut connection = client.connect().await.map_err(failed)?;
    while let Some(batch) = connection.next().await {
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
