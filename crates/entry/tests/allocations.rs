//! The way of a row from event to entry allocates nothing.

use allocation_counter::measure;

use crate::recorded::cases;

/// The facts of an entry are kept in a list, which may grow; beyond that nothing is allocated, however
/// many rows and columns an event has.
#[test]
fn no_row_and_no_column_allocates() {
    let cases = cases();
    assert!(cases.len() > 20, "{} cases", cases.len());
    // The diffs of a partial update become nested calls, put together from the inside out.
    for case in cases.iter().filter(|case| !case.name.ends_with("partialupdate")) {
        let mut decoder = case.decoder();
        let (few, many) = (case.repeated(1), case.repeated(64));
        // Buffers reach their size.
        for _ in 0..2 {
            case.feed_map(&mut decoder);
            case.feed_rows(&mut decoder, &many);
            decoder.take();
        }
        let mut count = |body: &[u8]| {
            case.feed_map(&mut decoder);
            let counted = measure(|| case.feed_rows(&mut decoder, body));
            decoder.take();
            counted.count_total
        };
        let (one, all) = (count(&few), count(&many));
        assert!(one <= 1 && all <= 1, "{}: {one} allocations for a row, {all} for 64", case.name);
    }
}

/// Chunks come back to be used again, so that nothing is allocated for entries but the lists of their
/// facts, however long they are below the length of a chunk.
#[test]
fn no_block_grows_beyond_its_chunk() {
    let cases = cases();
    let case = cases.iter().find(|case| case.name.ends_with("insert")).unwrap();
    let mut decoder = case.decoder();
    let mut rows = 0;
    while !decoder.has_entries() {
        case.feed_map(&mut decoder);
        case.feed_rows(&mut decoder, &case.repeated(100));
        rows += 100;
    }
    let row_len = decoder.take().unwrap().bytes.len() / rows;
    for len in [1_000, 20_000, 60_000, 150_000, 250_000, 300_000, 500_000] {
        let body = case.repeated(len / row_len);
        let mut feed = || {
            for _ in 0..5_000_000 / len {
                case.feed_map(&mut decoder);
                case.feed_rows(&mut decoder, &body);
                if decoder.is_full() {
                    decoder.take();
                }
            }
        };
        feed();
        let counted = measure(feed);
        assert!(counted.bytes_total < 1 << 20, "{len}: {} bytes", counted.bytes_total);
    }
}
