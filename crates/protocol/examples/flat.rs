//! Entries into flat JSON, over and over: our side of `bench/flat`.
//!
//! Arguments: a file of entries (`towpath decode --entries`), bytes of it to use, seconds to measure.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for measuring")]

use std::time::{Duration, Instant};

use towpath_protocol::flat::FlatWriter;

/// As many as Canal's side takes at once.
const BATCH: usize = 50;

/// A time like the one that Canal writes: as many digits.
const NOW_MS: i64 = 1_700_000_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap();
    let (path, limit, seconds) = (next(), next().parse().unwrap(), next().parse().unwrap());
    let file = std::fs::read(path).unwrap();
    let entries = entries(&file, limit);
    let mut writer = FlatWriter::default();
    let mut out = Vec::new();
    let json = round(&mut writer, &mut out, &entries);
    let (begin, end) = (cpu_us(), Instant::now() + Duration::from_secs(seconds));
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        round(&mut writer, &mut out, &entries);
        rounds += 1;
    }
    let bytes: usize = entries.iter().map(|entry| entry.len()).sum();
    let cpu_us = (cpu_us() - begin) / rounds;
    println!("entries {} bytes {bytes} json {json} cpu_us {cpu_us}", entries.len());
}

fn entries(mut rest: &[u8], limit: usize) -> Vec<&[u8]> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while bytes < limit
        && let Some((len, tail)) = rest.split_first_chunk::<4>()
    {
        let (entry, tail) = tail.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
        entries.push(entry);
        bytes += entry.len();
        rest = tail;
    }
    entries
}

fn round(writer: &mut FlatWriter, out: &mut Vec<u8>, entries: &[&[u8]]) -> usize {
    let mut written = 0;
    for batch in entries.chunks(BATCH) {
        out.clear();
        for entry in batch {
            writer.write(out, entry, 1, NOW_MS).unwrap();
        }
        written += out.len();
    }
    written
}

/// CPU time of this thread.
fn cpu_us() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<u64>().unwrap() / 1000
}
