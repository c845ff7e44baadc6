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
