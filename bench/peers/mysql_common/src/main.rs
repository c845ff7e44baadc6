//! Decodes the rows of a binlog file as `mysql_common` does: each row a vector of values. Prints how many.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufReader};

use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| io::Error::other("which file?"))?;
    let input = BufReader::with_capacity(256 << 10, File::open(path)?);
    let mut file = BinlogFile::new(BinlogVersion::Version4, input)?;
    let mut rows = 0_u64;
    while let Some(event) = file.next() {
        let event = event?;
        if let Some(EventData::RowsEvent(changes)) = event.read_data()? {
            let table = file.reader().get_tme(changes.table_id());
            let table = table.ok_or_else(|| io::Error::other("rows without a table map"))?;
            for row in changes.rows(table) {
                black_box(row?);
                rows += 1;
            }
        }
    }
    println!("rows {rows}");
    Ok(())
}
