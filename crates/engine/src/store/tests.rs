//! The store against Canal's rules (test vectors of its ring) and our own bounds.

use super::*;

/// Entries of the given kinds and lengths. Their bytes are the index of the entry.
fn block(entries: &[(EntryKind, usize)]) -> Block {
    let (mut bytes, mut infos) = (Vec::new(), Vec::new());
    for (index, (kind, entry_len)) in entries.iter().enumerate() {
        bytes.extend(std::iter::repeat_n(u8::try_from(index).unwrap(), entry_len + 2));
        infos.push(EntryInfo {
            end: bytes.len(),
            entry_len: *entry_len,
            kind: *kind,
            start_offset: 100 * index as u64,
            end_offset: 100 * index as u64 + 99,
            execute_time_ms: 0,
            server_id: 1,
            row_count: 1,
            context: 0,
        });
    }
    let contexts = vec![Context { file: Arc::from("mysql-bin.000001"), gtid: None }];
    Block { bytes: bytes.into(), entries: infos, contexts, spare_bytes: 0 }
}

fn rows(count: usize, entry_len: usize) -> Block {
    block(&vec![(EntryKind::Rows, entry_len); count])
}

fn store(options: StoreOptions, blocks: &[Block]) -> Store {
    let mut store = Store::new(options);
    for block in blocks {
        store.push(block.clone()).unwrap();
    }
    store
}

fn span(taken: Option<Taken>) -> Option<(u64, u64)> {
    taken.map(|taken| (taken.first, taken.end))
}

const ITEMS: StoreOptions = StoreOptions {
    capacity_bytes: DEFAULT_CAPACITY_BYTES,
    mode: BatchMode::ItemSize,
    ddl: DdlIsolation::Together,
};

#[test]
fn items_are_taken_rolled_back_and_acked_as_in_canals_ring() {
    let mut store = store(ITEMS, &[rows(3, 10)]);
    assert_eq!(span(store.take(2)), Some((0, 2)));
    assert_eq!(span(store.take(2)), Some((2, 3)));
    assert_eq!(span(store.take(2)), None);
    store.rewind(0);
    assert_eq!(span(store.take(2)), Some((0, 2)));
    store.ack(2);
    store.rewind(0);
    assert_eq!(span(store.take(9)), Some((2, 3)), "what is acked does not come again");
}

#[test]
fn bytes_overshoot_by_one_entry() {
    for (entry_len, want) in [(600, 2), (512, 3), (5000, 1), (1024, 2), (1025, 1)] {
        let options = StoreOptions::default();
        let mut one = store(options, &[rows(9, entry_len)]);
        assert_eq!(span(one.take(1)), Some((0, want)), "entries of {entry_len}");
        let mut many = store(options, &vec![rows(1, entry_len); 9]);
        let taken = many.take(1).unwrap();
        assert_eq!((taken.first, taken.end), (0, want), "blocks of one entry of {entry_len}");
        assert_eq!(taken.slices.len() as u64, want);
    }
}

#[test]
fn odd_fetch_sizes_mean_the_default_or_the_capacity() {
    let blocks = vec![rows(100, 1000); 30];
    for (fetch_size, want) in
        [(0, 1025), (-1, 1025), (i32::MIN, 1025), (1000, 1025), (i32::MAX, 3000)]
    {
        let mut store = store(StoreOptions::default(), &blocks);
        assert_eq!(span(store.take(fetch_size)), Some((0, want)), "fetch size {fetch_size}");
    }
    let small = StoreOptions { capacity_bytes: 10_000, ..StoreOptions::default() };
    let mut store = store(small, &[rows(50, 1000)]);
    assert_eq!(span(store.take(i32::MAX)), Some((0, 11)), "clamped to the capacity");
}

#[test]
fn ddl_stands_alone_when_asked_for() {
    let kinds = [EntryKind::Rows, EntryKind::Rows, EntryKind::Ddl, EntryKind::Rows, EntryKind::Ddl];
    let entries = kinds.map(|kind| (kind, 10));
    let one = vec![block(&entries)];
    let many: Vec<_> = entries.iter().map(|entry| block(&[*entry])).collect();
    for blocks in [one, many] {
        let options = StoreOptions { ddl: DdlIsolation::Alone, ..ITEMS };
        let mut store = store(options, &blocks);
        let spans: Vec<_> = std::iter::from_fn(|| span(store.take(10))).collect();
        assert_eq!(spans, [(0, 2), (2, 3), (3, 4), (4, 5)]);
    }
}

#[test]
fn the_ack_position_is_the_last_end_or_ddl() {
    use EntryKind::{Begin, Ddl, End, Query, Rows};
    for (kinds, want) in [
        (&[Begin, Rows, Rows][..], None),
        (&[Begin, Rows, End], Some(2)),
        (&[Begin, Rows, End, Begin, Rows], Some(2)),
        (&[Ddl, Rows], Some(0)),
        (&[Rows, Query], None),
        (&[Begin, End, Ddl, Begin], Some(2)),
    ] {
        let entries: Vec<_> = kinds.iter().map(|kind| (*kind, 10)).collect();
        let mut store = store(ITEMS, &[block(&entries)]);
        let cursor = store.take(99).unwrap().ack;
        assert_eq!(cursor.as_ref().map(|cursor| cursor.offset), want.map(|index| index * 100));
        let resume = cursor.and_then(|cursor| cursor.resume);
        assert_eq!(resume.map(|resume| resume.offset), want.map(|index| index * 100 + 99));
    }
}

#[test]
fn the_ack_position_is_found_behind_blocks_without_one() {
    let end = block(&[(EntryKind::Rows, 10), (EntryKind::End, 10)]);
    let mut store = store(ITEMS, &[end, rows(2, 10), rows(2, 10)]);
    assert_eq!(store.take(99).unwrap().ack.unwrap().offset, 100);
}

#[test]
fn slices_are_the_entries_bytes_in_order() {
    let mut store = store(ITEMS, &[rows(3, 1), rows(2, 1)]);
    let bytes = |taken: Taken| -> Vec<u8> { taken.slices.concat() };
    assert_eq!(bytes(store.take(2).unwrap()), [0, 0, 0, 1, 1, 1]);
    let rest = store.take(9).unwrap();
    assert_eq!((rest.slices.len(), rest.len), (2, 9));
    assert_eq!(bytes(rest), [2, 2, 2, 0, 0, 0, 1, 1, 1]);
}

#[test]
fn a_store_without_acks_holds_its_capacity_and_no_more() {
    let options = StoreOptions { capacity_bytes: 1 << 20, ..StoreOptions::default() };
    let mut store = Store::new(options);
    let mut pushed = 0;
    while store.push(rows(20, 500)).is_ok() {
        pushed += 1;
        while store.take(1).is_some() {}
    }
    assert!(store.held_bytes() <= 1 << 20);
    assert!(pushed > 50, "{pushed} blocks");
    assert!(store.push(rows(1, 500_000)).is_err());
    assert!(store.ack(u64::MAX), "acked blocks are freed");
    assert_eq!((store.held_bytes(), store.ack_sequence()), (0, store.get_sequence()));
    store.push(rows(1, 5 << 20)).unwrap();
    assert!(store.push(rows(1, 1)).is_err(), "a block above the capacity is taken alone");
    assert!(store.push(Block::default()).is_ok(), "nothing needs no room");
}

#[test]
fn a_block_is_freed_when_all_of_it_is_acked() {
    let mut store = store(ITEMS, &[rows(3, 10), rows(3, 10)]);
    assert!(store.take(5).is_some());
    let held = store.held_bytes();
    assert!(!store.ack(2));
    assert_eq!(store.held_bytes(), held);
    assert!(store.ack(3));
    assert_eq!(store.held_bytes(), held / 2);
    assert!(!store.ack(6), "what was not taken cannot be acked");
    assert_eq!(store.ack_sequence(), 5);
    assert!(store.has_more());
}
