//! Any bytes give entries or an error: no panic, and no memory that the bytes do not justify.

use towpath_binlog::transaction::TransactionFate;
use towpath_binlog::{Checksum, EventHeader, EventStream, RawEvent};
use towpath_entry::{Block, Decoder, DecoderOptions, Step};
use towpath_protocol::entry::Entry;
use towpath_schema::StructureAnswer;
use towpath_testkit::Random;

use crate::golden::folder;

/// Changes a few bytes, or cuts or lengthens the body.
fn damage(body: &mut Vec<u8>, random: &mut Random) {
    if body.is_empty() {
        return;
    }
    match random.index(8) {
        0 => body.truncate(random.index(body.len())),
        1 => body.extend((0..40).take(random.index(40))),
        _ => {
            for _ in 0..=random.index(3) {
                let at = random.index(body.len());
                let values = [
                    0,
                    1,
                    0x7f,
                    0x80,
                    0xfa,
                    0xfb,
                    0xfc,
                    0xfe,
                    0xff,
                    random.next().to_le_bytes()[0],
                ];
                body[at] = values[random.index(values.len())];
            }
        }
    }
}

/// Every entry that was made can be read again, or is refused as unreadable.
fn read_back(block: &Block) {
    for message in block.messages() {
        if let Ok(entry) = Entry::parse(message) {
            let _rows = entry.row_change();
        }
    }
}

fn feed(decoder: &mut Decoder, event: &RawEvent<'_>) -> Result<(), ()> {
    match decoder.event(event) {
        Ok(Step::Done) => Ok(()),
        Ok(Step::NeedTable { schema, table }) => {
            decoder.learn_table(&schema, &table, StructureAnswer::default());
            decoder.event(event).map(|_| ()).map_err(|_| ())
        }
        Ok(Step::NeedFate) => {
            decoder.learn_fate(TransactionFate::default());
            decoder.event(event).map(|_| ()).map_err(|_| ())
        }
        Err(_) => Err(()),
    }
}

fn check(name: &str, seeds: u64) {
    let bytes = std::fs::read(folder(name).join("mysql-bin.000001")).unwrap();
    let mut faults = 0;
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
        let mut decoder = Decoder::new(DecoderOptions::default());
        let mut rest = &bytes[4..];
        while !rest.is_empty() {
            let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
            let (raw, tail) = rest.split_at(len);
            rest = tail;
            let event = stream.accept(raw).unwrap();
            let mut body = event.body.to_vec();
            if random.index(4) == 0 {
                damage(&mut body, &mut random);
            }
            if feed(&mut decoder, &RawEvent { body: &body, place: event.place }).is_err() {
                faults += 1;
                decoder.restart();
            }
            while let Some(block) = decoder.take() {
                read_back(&block);
            }
        }
    }
    assert!(faults > 0, "{name}: no damage was noticed");
}

/// T-PARSE-2: an event type that is not known stops, unless it is marked as ignorable.
#[test]
fn unknown_event_types_are_no_silent_holes() {
    const IGNORABLE: u16 = 0x80;
    let mut raw = vec![0; EventHeader::LEN + 5];
    raw[4] = 99;
    raw[9] = u8::try_from(raw.len()).unwrap();
    for flags in [0, IGNORABLE] {
        raw[17..19].copy_from_slice(&flags.to_le_bytes());
        let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
        let event = stream.accept(&raw).unwrap();
        let result = Decoder::new(DecoderOptions::default()).event(&event);
        match (flags, result) {
            (IGNORABLE, result) => assert_eq!(result.unwrap(), Step::Done),
            (_, Ok(step)) => panic!("{step:?}"),
            (_, Err(error)) => {
                let text = error.to_string();
                assert!(text.contains("mysql-bin.000001:4") && text.contains("99"), "{text}");
            }
        }
    }
}

/// T-PARSE-1.
#[test]
fn damaged_events_are_refused_and_never_panic() {
    for name in ["types", "types-fullmeta", "types-compressed", "mariadb-types", "mysql57-types"] {
        check(name, 40);
    }
    for name in ["statements", "statements-gtid", "mariadb-statements", "mysql80-statements"] {
        check(name, 40);
    }
}
