//! Prints the rows of one server's destination.
//!
//! cargo run -p towpath-client --example follow -- canal://127.0.0.1:11111/example

use std::error::Error;

use towpath_client::{Client, RowKind};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "what the example is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("canal://127.0.0.1:11111/example".to_owned());
    let client = Client::builder().url(&url)?.build()?;
    let mut connection = client.connect().await?;
    while let Some(batch) = connection.next().await {
        let batch = batch?;
        for row in batch.rows()? {
            print!("{} {}.{}", row.kind.name(), row.schema, row.table);
            let columns = if row.kind == RowKind::Delete { &row.before } else { &row.after };
            for column in columns {
                print!("  {}={}", column.name, column.value.unwrap_or("NULL"));
            }
            println!();
        }
        // Without this it would be given back at the end of the loop, and come again.
        batch.ack().await?;
    }
    Ok(())
}
