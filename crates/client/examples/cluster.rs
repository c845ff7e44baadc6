//! Follows a destination of a cluster, tells of its life, and closes in order at Ctrl-C.
//!
//! cargo run -p towpath-client --example cluster -- zk://127.0.0.1:2181/otter/canal

use std::error::Error;
use std::time::Duration;

use towpath_client::{Client, ClientError};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "what the example is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("zk://127.0.0.1:2181/otter/canal".to_owned());
    let client = Client::builder().url(&url)?.wait(Duration::from_secs(5)).build()?;
    let mut connection = match client.connect().await {
        Ok(connection) => connection,
        Err(ClientError::NoServer { destination, .. }) => {
            println!("no server for {destination} yet: waiting for one");
            client.start()
        }
        Err(error) => return Err(error.into()),
    };
    let mut changes = connection.changes();
    loop {
        tokio::select! {
            Ok(()) = changes.changed() => println!("{}", *changes.borrow_and_update()),
            batch = connection.next() => {
                let Some(batch) = batch else { break };
                let batch = batch?;
                println!("{} entries", batch.raw().len());
                match batch.ack().await {
                    Ok(()) => {}
                    // The connection went away meanwhile: what is in the batch comes again.
                    Err(ClientError::Stale { .. }) => println!("it comes again"),
                    Err(error) => return Err(error.into()),
                }
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    println!("{}", client.health());
    connection.close().await;
    client.close(Duration::from_secs(1)).await;
    Ok(())
}
