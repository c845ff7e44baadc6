//! Every recorded binlog decodes to the recorded entries, byte for byte.

use std::path::{Path, PathBuf};

use towpath_binlog::{Checksum, EventHeader, EventStream, MysqlGtidSet, RawEvent, event_type};
use towpath_entry::{Decoder, DecoderOptions, GtidSet, Step, Suppress};
use towpath_protocol::flat::FlatWriter;
use towpath_schema::{Lookup, StructureAnswer};

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden").join(name)
}

/// The entries of a file in the golden format: 4-byte big-endian length, then the bytes.
fn recorded(name: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder(name).join("entries.bin")).unwrap();
    let mut rest = bytes.as_slice();
    let mut out = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap();
        out.push(tail[..len].to_vec());
        rest = &tail[len..];
    }
    out
}

/// Whether statements told a structure of this table, be it the right one or not.
pub(crate) fn is_told(decoder: &Decoder, schema: &str, table: &str) -> bool {
    matches!(decoder.catalog().get(schema, table), Lookup::Known(_))
}

/// Decodes an event. Tables are known from their statements, but for a character set that these do not
/// state: it is asked for, and nobody answers.
pub(crate) fn feed(decoder: &mut Decoder, event: &RawEvent<'_>, name: &str) {
    let mut step = decoder.event(event).unwrap_or_else(|e| panic!("{name}: {e}"));
    if let Step::NeedTable { schema, table } = step {
        assert!(is_told(decoder, &schema, &table), "{name}: asks for {schema}.{table}");
        decoder.learn_table(&schema, &table, StructureAnswer::default());
        step = decoder.event(event).unwrap();
    }
    assert_eq!(step, Step::Done, "{name}");
}

fn decode(name: &str, options: DecoderOptions, from: u32) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder(name).join("mysql-bin.000001")).unwrap();
    let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
    let mut decoder = Decoder::new(options);
    let mut out = Vec::new();
    let (mut rest, mut transactions) = (&bytes[4..], 0);
    while !rest.is_empty() {
        let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
        let (raw, tail) = rest.split_at(len);
        rest = tail;
        let event = stream.accept(raw).unwrap();
        transactions += u32::from(event.header.event_type == event_type::GTID);
        if transactions < from {
            continue;
        }
        feed(&mut decoder, &event, name);
    }
    while let Some(block) = decoder.take() {
        out.extend(block.messages().map(<[u8]>::to_vec));
    }
    out
}

/// Differences that `docs/differences.md` names, beside statements on temporary tables: what Canal wrote, and what is right.
fn excepted(name: &str, ours: &[u8], theirs: &[u8]) -> bool {
    let holds = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    // FLOAT 2^-126: Java before 19 prints a digit too many.
    let float = holds(ours, "1.1754944E-38") && holds(theirs, "1.17549435E-38");
    // MariaDB JSON, UUID and INET columns: Canal garbles them.
    let mariadb = name == "mariadb-types" && (holds(ours, "t_json") || holds(ours, "t_maria"));
    // Canal takes the text of every character set for UTF-8.
    let charset = name.ends_with("types") || name.starts_with("types");
    float || mariadb || charset && holds(ours, "\tt_charset")
}

fn check(name: &str, options: DecoderOptions, from: u32) {
    let ours = decode(name, options, from);
    let mut theirs = recorded(name);
    theirs.retain(|entry| !String::from_utf8_lossy(entry).contains("DROP TEMPORARY TABLE"));
    let dump = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(1500).collect::<String>();
    let mut exceptions = 0;
    for (index, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        if a == b {
            continue;
        }
        if excepted(name, a, b) {
            exceptions += 1;
            continue;
        }
        panic!("{name}: entry {index} differs\nours:   {:?}\ntheirs: {:?}", dump(a), dump(b));
    }
    assert_eq!(ours.len(), theirs.len(), "{name}: count of entries");
    assert!(exceptions < 20, "{name}: {exceptions} exceptions");
}

#[test]
fn types_equal_canals_bytes() {
    check("types", DecoderOptions::default(), 0);
}

#[test]
fn types_with_full_metadata_equal_canals_bytes() {
    check("types-fullmeta", DecoderOptions::default(), 0);
}

#[test]
fn compressed_transactions_equal_canals_bytes() {
    check("types-compressed", DecoderOptions::default(), 0);
}

#[test]
fn mysql_80_types_equal_canals_bytes() {
    check("mysql80-types", DecoderOptions::default(), 0);
}

#[test]
fn mysql_57_types_equal_canals_bytes() {
    check("mysql57-types", DecoderOptions::default(), 0);
}

#[test]
fn mariadb_types_equal_canals_bytes() {
    check("mariadb-types", DecoderOptions::default(), 0);
}

/// `docs/differences.md`: MariaDB's JSON as it was stored, UUID and INET in their usual form.
#[test]
fn mariadb_json_uuid_and_inet_are_readable() {
    let entries = decode("mariadb-types", DecoderOptions::default(), 0);
    for text in [
        "{\"a\":1,\"b\":[1,2,{\"c\":null}],\"\":\"empty\",\"ключ\":true}",
        "123e4567-e89b-12d3-a456-426655440000",
        "2001:db8::ff00:42:8329",
        "192.0.2.33",
    ] {
        let found = entries.iter().any(|entry| String::from_utf8_lossy(entry).contains(text));
        assert!(found, "{text}");
    }
}

/// `docs/differences.md`: text in other character sets than UTF-8.
#[test]
fn text_in_every_character_set_is_readable() {
    for name in ["types", "types-fullmeta", "types-compressed", "mysql57-types", "mariadb-types"] {
        let entries = decode(name, DecoderOptions::default(), 0);
        let rows = entries.iter().map(|entry| String::from_utf8_lossy(entry));
        let rows: Vec<_> = rows.filter(|entry| entry.contains("\tt_charset")).collect();
        assert!(!rows.is_empty(), "{name}");
        for text in ["é€ü", "中文😀", "中😀", "日本", "한국", "中a"] {
            assert!(rows.iter().any(|entry| entry.contains(text)), "{name}: {text}");
        }
    }
}

#[test]
fn statements_equal_canals_bytes() {
    check("statements", DecoderOptions::default(), 0);
}

#[test]
fn mysql_80_statements_equal_canals_bytes() {
    check("mysql80-statements", DecoderOptions::default(), 0);
}

#[test]
fn mysql_57_statements_equal_canals_bytes() {
    check("mysql57-statements", DecoderOptions::default(), 0);
}

#[test]
fn mariadb_statements_equal_canals_bytes() {
    check("mariadb-statements", DecoderOptions::default(), 0);
}

#[test]
fn suppressed_statements_equal_canals_bytes() {
    let suppress = Suppress::TRANSACTION_ENTRIES.and(Suppress::QUERY_DCL).and(Suppress::QUERY_DML);
    check("statements-filtered", DecoderOptions { suppress, ..DecoderOptions::default() }, 0);
}

#[test]
fn gtid_mode_equals_canals_bytes() {
    // The recording began behind the first transaction; its UUID is that of the first header.
    let theirs = recorded("statements-gtid");
    let first = String::from_utf8_lossy(&theirs[0]).into_owned();
    let colon = first.find(":1-2").unwrap();
    let start = format!("{}:1", &first[colon - 36..colon]);
    let gtid = Some(GtidSet::Mysql(MysqlGtidSet::parse(&start).unwrap()));
    // The first transaction is a `create database` that the recording does not have.
    check("statements-gtid", DecoderOptions { gtid, ..DecoderOptions::default() }, 2);
}

#[test]
fn flat_messages_equal_canals_json() {
    for name in [
        "types",
        "types-fullmeta",
        "types-compressed",
        "mysql80-types",
        "mysql57-types",
        "mariadb-types",
        "statements",
        "mysql80-statements",
        "mysql57-statements",
        "mariadb-statements",
        "statements-filtered",
        "statements-gtid",
    ] {
        let text = std::fs::read_to_string(folder(name).join("flat.jsonl")).unwrap();
        let mut lines = text.lines();
        let mut writer = FlatWriter::default();
        for (index, bytes) in recorded(name).iter().enumerate() {
            let (mut out, mut again) = (Vec::new(), Vec::new());
            let id = i64::try_from(index).unwrap();
            if FlatWriter::default().write(&mut out, bytes, id, 0).unwrap() {
                // What is kept from entry to entry changes nothing.
                writer.write(&mut again, bytes, id, 0).unwrap();
                assert_eq!(out, again, "{name}: entry {index}");
                let ours = String::from_utf8(out).unwrap();
                assert_eq!(Some(ours.as_str()), lines.next(), "{name}: entry {index}");
            }
        }
        assert_eq!(lines.next(), None, "{name}: count of flat messages");
    }
}
