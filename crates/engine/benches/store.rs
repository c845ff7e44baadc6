//! The store by itself: blocks put in, taken in batches, acknowledged. `cargo bench -p towpath-engine`;
//! `bench/instructions` counts instructions of the same.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail at what it does not expect")]

#[path = "../src/figures.rs"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is measured; the library has it pub")]
mod figures;
#[path = "../src/store.rs"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is measured; the library has it pub")]
mod store;

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use store::{Store, StoreOptions};
use towpath_entry::{Block, Context, EntryInfo, EntryKind};

/// Blocks that are put in, each as large as the decoder makes them.
const BLOCKS: usize = 16;
const BLOCK_LEN: usize = 512 << 10;

/// KiB that a client asks for.
const FETCH_SIZE: i32 = 100;

fn main() {
    divan::main();
}

#[inline(never)]
fn measured<R>(run: impl FnOnce() -> R) -> R {
    run()
}

/// A block of transactions: a begin, a row and an end of `entry_len` bytes each.
fn block(len: usize, entry_len: usize) -> Block {
    let kinds = [EntryKind::Begin, EntryKind::Rows, EntryKind::End];
    let count = len / (entry_len + 3);
    let infos = kinds.iter().cycle().zip(0..u64::try_from(count).unwrap()).zip(1..);
    let entries = infos.map(|((kind, number), nth)| EntryInfo {
        end: nth * (entry_len + 3),
        entry_len,
        start_offset: number * 100,
        end_offset: number * 100 + 100,
        execute_time_ms: 1_700_000_000_000,
        server_id: 1,
        row_count: 1,
        context: 0,
        kind: *kind,
    });
    let entries: Vec<EntryInfo> = entries.collect();
    let contexts = vec![Context { file: Arc::from("mysql-bin.000001"), gtid: None }];
    Block { bytes: vec![0; len].into(), entries, contexts, spare_bytes: 0 }
}

/// Entries of single rows, and entries of many.
#[divan::bench(args = [150, 12_000])]
fn put_take_ack(bencher: Bencher, entry_len: usize) {
    let blocks = vec![block(BLOCK_LEN, entry_len); BLOCKS];
    let entries: usize = blocks.iter().map(|block| block.entries.len()).sum();
    let input = bencher.counter(ItemsCount::new(entries)).with_inputs(|| blocks.clone());
    input.bench_local_values(|blocks| {
        measured(|| {
            let mut store = Store::new(StoreOptions::default());
            for block in blocks {
                store.push(block).unwrap();
            }
            let mut batches = 0;
            while let Some(taken) = store.take(FETCH_SIZE) {
                store.ack(taken.end);
                batches += 1;
            }
            batches
        })
    });
}

/// Entries that each destination gets in [`in_turn`]; `bench/scale` divides by this.
const ENTRIES: usize = 400;

/// So many destinations served in turn: each gets a small block, each client takes and acknowledges.
#[divan::bench(args = [1, 4, 16, 64, 256, 1024])]
fn in_turn(bencher: Bencher, destinations: usize) {
    let block = block(ENTRIES / 4 * 153, 150);
    assert_eq!(block.entries.len(), ENTRIES / 4);
    let stores = || (0..destinations).map(|_| Store::new(StoreOptions::default())).collect();
    bencher.with_inputs(stores).bench_local_values(|mut stores: Vec<Store>| {
        for _ in 0..4 {
            let blocks = vec![block.clone(); destinations];
            measured(|| {
                for (store, block) in stores.iter_mut().zip(blocks) {
                    store.push(block).unwrap();
                }
                for store in &mut stores {
                    while let Some(taken) = store.take(FETCH_SIZE) {
                        store.ack(taken.end);
                    }
                }
            });
        }
    });
}
