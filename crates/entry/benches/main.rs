//! Micro benchmarks of the way from an event to an entry, and from an entry to a packet or a flat
//! message. `cargo bench -p towpath-entry`; `bench/instructions` counts instructions of the same.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark may fail at what it does not expect"
)]

#[path = "../tests/recorded.rs"]
mod recorded;

mod made;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use made::{Kind, Made};
use recorded::{Case, cases};
use towpath_protocol::flat::FlatWriter;
use towpath_protocol::{FrameDecoder, LIMIT_CLIENT, Messages, Packet, PacketType, Reply, frame};

/// Times that the rows of a recorded event are repeated.
const TIMES: usize = 100;

fn main() {
    divan::main();
}

/// What is measured runs inside of this, so that `bench/instructions` can tell it from the rest.
#[inline(never)]
fn measured<R>(run: impl FnOnce() -> R) -> R {
    run()
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

fn names() -> Vec<String> {
    cases().into_iter().map(|case| case.name).collect()
}

/// A rows event into its entry, for each table of the recording: one for each family of types.
#[divan::bench(args = names())]
fn rows(bencher: Bencher, name: &str) {
    let case = case(name);
    let body = case.repeated(TIMES);
    let mut decoder = case.decoder();
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        case.feed_map(&mut decoder);
        measured(|| case.feed_rows(&mut decoder, &body));
        decoder.take()
    });
}

/// The table map of a table that is known.
#[divan::bench]
fn table_map(bencher: Bencher) {
    let case = case("t_int insert");
    let mut decoder = case.decoder();
    bencher.bench_local(|| measured(|| case.feed_map(&mut decoder)));
}

/// A hundred rows of eight columns of one kind.
fn one_kind(bencher: Bencher, kind: &Kind) {
    let made = Made::new(1, kind, 8, TIMES);
    let mut decoder = Made::decoder();
    made.feed(&mut decoder);
    bencher.counter(ItemsCount::new(8 * TIMES)).bench_local(|| {
        measured(|| made.feed(&mut decoder));
        decoder.take()
    });
}

/// DECIMAL(20,4) into text: 123454444.6789.
#[divan::bench]
fn decimal(bencher: Bencher) {
    let value = vec![0x80, 0, 0x30, 0x39, 0, 0, 0x11, 0x5c, 0x1a, 0x85];
    one_kind(bencher, &Kind { code: 246, metadata: vec![20, 4], value, is_text: false });
}

/// DATETIME(6) into text: 2024-02-29 23:59:58.123456.
#[divan::bench]
fn datetime(bencher: Bencher) {
    let day = (2024_u64 * 13 + 2) << 5 | 29;
    let packed = 0x80_0000_0000 + (day << 17 | 23 << 12 | 59 << 6 | 58);
    let mut value = packed.to_be_bytes()[3..].to_vec();
    value.extend_from_slice(&123_456_u32.to_be_bytes()[1..]);
    one_kind(bencher, &Kind { code: 18, metadata: vec![6], value, is_text: false });
}

/// A batch of entries into the frame that a client gets.
#[divan::bench]
fn frame_batch(bencher: Bencher) {
    let entry = entry();
    let entries = vec![entry.as_slice(); 20];
    bencher.counter(ItemsCount::new(20_u32)).bench_local(|| {
        measured(|| {
            let mut body = Vec::new();
            Messages { batch_id: Some(1), entries: entries.clone() }.write(&mut body);
            let mut packet = Vec::new();
            Packet { body: Some(&body), ..Packet::of(PacketType::Messages) }.write(&mut packet);
            frame(&packet).unwrap()
        })
    });
}

/// The entry of an event with many rows.
fn entry() -> Vec<u8> {
    let case = case("t_int insert");
    let mut decoder = case.decoder();
    // An unfinished group is handed on when it is large.
    while !decoder.has_entries() {
        case.feed_map(&mut decoder);
        case.feed_rows(&mut decoder, &case.repeated(TIMES));
    }
    decoder.take().unwrap().messages().next().unwrap().to_vec()
}

/// An entry into Canal's flat JSON.
#[divan::bench]
fn flat_json(bencher: Bencher) {
    let bytes = entry();
    let (mut writer, mut out) = (FlatWriter::default(), Vec::new());
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        out.clear();
        measured(|| writer.write(&mut out, &bytes, 1, 1).unwrap())
    });
}

/// A packet of a batch, taken out of a stream of bytes and read.
#[divan::bench]
fn packet(bencher: Bencher) {
    let entry = entry();
    let entries = vec![entry.as_slice(); 20];
    let mut body = Vec::new();
    Messages { batch_id: Some(1), entries }.write(&mut body);
    let mut packet = Vec::new();
    Packet { body: Some(&body), ..Packet::of(PacketType::Messages) }.write(&mut packet);
    let framed = frame(&packet).unwrap();
    bencher.counter(ItemsCount::new(20_u32)).bench_local(|| {
        measured(|| {
            let mut decoder = FrameDecoder::new(LIMIT_CLIENT);
            decoder.space().extend_from_slice(&framed);
            let packet = decoder.next_frame().unwrap().unwrap();
            match Reply::parse(&Packet::parse(&packet).unwrap()).unwrap() {
                Reply::Messages(messages) => messages.entries.len(),
                Reply::Ack(_) | Reply::Handshake(_) => 0,
            }
        })
    });
}
