//! What a fork adds to the events of the servers it comes from is stepped over (F27, T-N-18).

use towpath_binlog::{Checksum, EventHeader, EventStream, RawEvent, event_type as t};
use towpath_entry::{Decoder, DecoderOptions};

use crate::golden::{feed, folder};

/// What is added, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addition {
    Nothing,
    /// A status variable that is not known, behind all others.
    VariableLast,
    /// The same before all others, so that none of them is read.
    VariableFirst,
    /// Status variables of other forks, before all others.
    KnownFirst,
    /// A field of the table map that is not known, behind all others.
    Field,
    /// Bytes behind the table map's fields that are none.
    NoField,
}

impl Addition {
    fn add(self, event_type: u8, is_mariadb: bool, body: &mut Vec<u8>) {
        match (self, event_type) {
            (Self::VariableLast, t::QUERY) => put(body, &[99, 7, 0, 1, 2, 3], false),
            (Self::VariableFirst, t::QUERY) => put(body, &[99, 7, 0, 1, 2, 3], true),
            (Self::KnownFirst, t::QUERY) => {
                let microseconds: &[u8] = if is_mariadb { &[128, 9, 9, 9] } else { &[128, 9] };
                let flags = [130, 4, 1, 2, 3, 4, 5, 6, 7, 8, 130, 0];
                let collations = [131, 2, 1, 1, 1, 1, 2, 2, 2, 2];
                put(body, &[microseconds, &flags, &collations].concat(), true);
            }
            (Self::Field, t::TABLE_MAP) => body.extend([200, 3, 1, 2, 3]),
            (Self::NoField, t::TABLE_MAP) => body.extend([200, 100, 1, 2, 3]),
            _ => {}
        }
    }
}

/// Adds to the status variables.
fn put(body: &mut Vec<u8>, variables: &[u8], is_first: bool) {
    const BLOCK: usize = 13;
    let len = u16::from_le_bytes([body[11], body[12]]);
    let at = if is_first { BLOCK } else { BLOCK + usize::from(len) };
    body.splice(at..at, variables.iter().copied());
    let len = len + u16::try_from(variables.len()).unwrap();
    body[11..BLOCK].copy_from_slice(&len.to_le_bytes());
}

fn decode(name: &str, addition: Addition) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder(name).join("mysql-bin.000001")).unwrap();
    let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
    let mut decoder = Decoder::new(DecoderOptions::default());
    let mut rest = &bytes[4..];
    while !rest.is_empty() {
        let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
        let (raw, tail) = rest.split_at(len);
        rest = tail;
        let event = stream.accept(raw).unwrap();
        let mut body = event.body.to_vec();
        addition.add(event.header.event_type, event.format.is_mariadb(), &mut body);
        let event = RawEvent { body: &body, place: event.place };
        feed(&mut decoder, &event, &format!("{name} {addition:?}"));
    }
    let mut entries = Vec::new();
    while let Some(block) = decoder.take() {
        entries.extend(block.messages().map(<[u8]>::to_vec));
    }
    entries
}

/// F27, T-N-18: every statement and every row is what it is without the addition.
#[test]
fn additions_of_forks_change_nothing() {
    for name in [
        "statements",
        "statements-gtid",
        "mariadb-statements",
        "types",
        "types-fullmeta",
        "mysql57-types",
        "mariadb-types",
    ] {
        let plain = decode(name, Addition::Nothing);
        for addition in
            [Addition::VariableLast, Addition::KnownFirst, Addition::Field, Addition::NoField]
        {
            assert!(decode(name, addition) == plain, "{name} {addition:?}");
        }
    }
}

/// F27: without the client's character set and SQL mode, which come behind the unknown variable, the
/// statement is still there.
#[test]
fn a_statement_is_read_when_no_variable_is() {
    for name in ["statements", "mariadb-statements"] {
        let plain = decode(name, Addition::Nothing);
        let other = decode(name, Addition::VariableFirst);
        assert_eq!(other.len(), plain.len(), "{name}");
        let same = plain.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same * 10 > plain.len() * 9, "{name}: {same} of {}", plain.len());
    }
}
