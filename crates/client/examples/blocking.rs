//! The same without an async runtime.
//!
//! cargo run -p towpath-client --example blocking -- canal://127.0.0.1:11111/example

use std::error::Error;

use towpath_client::{Client, blocking};

#[expect(clippy::print_stdout, reason = "what the example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("canal://127.0.0.1:11111/example".to_owned());
    let client = Client::builder().url(&url)?.build()?;
    let mut connection = blocking::Connection::open(&client)?;
    while let Some(batch) = connection.next() {
        let batch = batch?;
        println!("{} rows", batch.rows()?.len());
        connection.ack(batch)?;
    }
    Ok(())
}
