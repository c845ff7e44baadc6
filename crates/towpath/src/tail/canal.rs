//! `towpath tail canal://` and `zk://`: as a client of a Canal or Towpath server, or of a cluster.

use std::io::Write;
use std::time::Duration;

use towpath_client::Client;

use super::render::Renderer;
use super::{Arguments, show};
use crate::report::Failure;

/// Time to be told that the session with ZooKeeper is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    renderer: &mut Renderer<W>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new("cannot follow the server", error);
    let builder = Client::builder().url(&arguments.place).map_err(failed)?;
    let filter = arguments.filters.of_a_client()?;
    let client = builder.filter(filter).build().map_err(failed)?;
    let mut connection = client.connect().await.map_err(failed)?;
    let mut go_on = true;
    while go_on && let Some(batch) = connection.next().await {
        let batch = batch.map_err(failed)?;
        go_on = show(batch.raw().iter().map(AsRef::as_ref), arguments.limit, renderer)?;
        // Too late is no loss here: it comes again.
        let _acknowledged: bool = batch.ack().await.is_ok();
    }
    connection.close().await;
    client.close(CLOSE_DEADLINE).await;
    Ok(())
}
