//! Rows events that are made up, of columns and values by chance: every value arrives as what it is.

use std::sync::Arc;

use towpath_binlog::event::RowsEvent;
use towpath_binlog::{EventHeader, EventPlace, FormatDescription, RawEvent, event_type as t};
use towpath_entry::{Decoder, DecoderOptions, Step};
use towpath_protocol::entry::{Column, Entry};
use towpath_schema::StructureAnswer;
use towpath_testkit::Random;

/// Tables that are made.
const TABLES: u64 = 400;

/// What a column holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Int { len: usize, is_unsigned: bool },
    Varchar { max_len: u16 },
    Text { len_bytes: u8 },
    Datetime,
    Decimal,
}

impl Kind {
    fn any(random: &mut Random) -> Self {
        let is_unsigned = random.index(2) == 0;
        match random.index(6) {
            0 => Self::Int { len: [1, 2, 3, 4, 8][random.index(5)], is_unsigned },
            1 => Self::Int { len: 4, is_unsigned: false },
            2 => Self::Varchar { max_len: [200, 60_000][random.index(2)] },
            3 => Self::Text { len_bytes: u8::try_from(2 + random.index(3)).unwrap() },
            4 => Self::Datetime,
            _ => Self::Decimal,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Int { len, .. } => [1, 2, 9, 3, 0, 0, 0, 8][len - 1],
            Self::Varchar { .. } => 15,
            Self::Text { .. } => 252,
            Self::Datetime => 18,
            Self::Decimal => 246,
        }
    }

    fn metadata(self) -> Vec<u8> {
        match self {
            Self::Int { .. } => vec![],
            Self::Varchar { max_len } => max_len.to_le_bytes().to_vec(),
            Self::Text { len_bytes } => vec![len_bytes],
            Self::Datetime => vec![3],
            Self::Decimal => vec![12, 3],
        }
    }

    /// A value as it lies in a row, and its text.
    fn value(self, random: &mut Random) -> (Vec<u8>, String) {
        match self {
            Self::Int { len, is_unsigned } => {
                // Numbers of every length.
                let bits = random.index(8 * len + 1);
                let n = random.next().checked_shr(64 - u32::try_from(bits).unwrap()).unwrap_or(0);
                let raw = n.to_le_bytes()[..len].to_vec();
                let shift = 64 - 8 * len;
                let signed = (n << shift).cast_signed() >> shift;
                (raw, if is_unsigned { n.to_string() } else { signed.to_string() })
            }
            Self::Varchar { max_len } => {
                let (bytes, text) = any_text(random, usize::from(max_len));
                let len = u16::try_from(bytes.len()).unwrap().to_le_bytes();
                let len_bytes = if max_len < 256 { 1 } else { 2 };
                ([&len[..len_bytes], &bytes].concat(), text)
            }
            Self::Text { len_bytes } => {
                let (bytes, text) = any_text(random, 40_000);
                let len = u32::try_from(bytes.len()).unwrap().to_le_bytes();
                ([&len[..usize::from(len_bytes)], &bytes].concat(), text)
            }
            Self::Datetime => {
                let parts = [10_000, 13, 32, 24, 60, 60, 1000].map(|end| random.index(end));
                let [year, month, day, hour, minute, second, millis] = parts;
                let date = (year * 13 + month) << 5 | day;
                let packed = 0x80_0000_0000 | date << 17 | hour << 12 | minute << 6 | second;
                let fraction = u16::try_from(millis * 10).unwrap().to_be_bytes();
                let raw = [&packed.to_be_bytes()[3..], &fraction].concat();
                let date = format!("{year:04}-{month:02}-{day:02}");
                (raw, format!("{date} {hour:02}:{minute:02}:{second:02}.{millis:03}"))
            }
            Self::Decimal => {
                let (whole, fraction) = (random.index(999_999_999), random.index(1000));
                let is_negative = random.index(2) == 0;
                let whole_bytes = u32::try_from(whole).unwrap().to_be_bytes();
                let fraction_bytes = u16::try_from(fraction).unwrap().to_be_bytes();
                let mut raw = [&whole_bytes[..], &fraction_bytes].concat();
                raw[0] |= 0x80;
                if is_negative {
                    raw.iter_mut().for_each(|byte| *byte = !*byte);
                }
                let sign = if is_negative { "-" } else { "" };
                let digits = if fraction == 0 { "0".to_owned() } else { format!("{fraction:03}") };
                (raw, format!("{sign}{whole}.{digits}"))
            }
        }
    }
}

/// Bytes of a text, which may be no UTF-8, and what Java makes of them. Lengths are mostly those where
/// something changes.
fn any_text(random: &mut Random, max_len: usize) -> (Vec<u8>, String) {
    let about = [0, 8, 32, 64, 96, 127, 128, 250, 16_300, 16_384, 36_000][random.index(11)];
    let len = (about + random.index(9)).min(max_len);
    let mut bytes: Vec<u8> =
        (0..len).map(|_| b'a' + u8::try_from(random.index(26)).unwrap()).collect();
    match random.index(4) {
        0 if len > 4 => {
            let at = random.index(len - 1);
            bytes[at..at + 2].copy_from_slice("\u{e9}".as_bytes());
        }
        1 if len > 4 => bytes[random.index(len)] = 0xff,
        _ => {}
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (bytes, text)
}

/// One value of an image: its bytes and text; `None` for NULL.
type Value = Option<(Vec<u8>, String)>;

fn any_row(kinds: &[Kind], random: &mut Random, null_per_cent: usize) -> Vec<Value> {
    let mut value = |kind: &Kind| {
        let is_null = random.index(100) < null_per_cent;
        (!is_null).then(|| kind.value(random))
    };
    kinds.iter().map(&mut value).collect()
}

fn image(row: &[Value], present: &[bool]) -> Vec<u8> {
    let here: Vec<&Value> =
        row.iter().zip(present).filter(|(_, here)| **here).map(|(value, _)| value).collect();
    let mut out = bitmap(here.iter().map(|value| value.is_none()));
    for (raw, _) in here.into_iter().flatten() {
        out.extend_from_slice(raw);
    }
    out
}

fn bitmap(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}

fn lenenc(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(0xfc);
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) fn table_map(kinds: &[Kind], names: &[String]) -> Vec<u8> {
    let mut map = vec![1, 0, 0, 0, 0, 0, 1, 0, 1, b's', 0, 1, b't', 0];
    map.push(u8::try_from(kinds.len()).unwrap());
    map.extend(kinds.iter().map(|kind| kind.code()));
    lenenc(&mut map, &kinds.iter().flat_map(|kind| kind.metadata()).collect::<Vec<_>>());
    map.extend(bitmap(kinds.iter().map(|_| true)));
    // Signs, of the most significant bit first; the character set of all; names.
    let numbers = kinds.iter().filter_map(|kind| match kind {
        Kind::Int { is_unsigned, .. } => Some(*is_unsigned),
        Kind::Decimal => Some(false),
        Kind::Varchar { .. } | Kind::Text { .. } | Kind::Datetime => None,
    });
    let signs: Vec<u8> = bitmap(numbers).into_iter().map(u8::reverse_bits).collect();
    map.push(1);
    lenenc(&mut map, &signs);
    map.extend_from_slice(&[2, 3, 0xfc, 255, 0]);
    let mut all_names = Vec::new();
    for name in names {
        all_names.push(u8::try_from(name.len()).unwrap());
        all_names.extend_from_slice(name.as_bytes());
    }
    map.push(4);
    lenenc(&mut map, &all_names);
    map
}

fn feed(decoder: &mut Decoder, event_type: u8, body: &[u8]) {
    let event_len = u32::try_from(EventHeader::LEN + body.len()).unwrap();
    let place = EventPlace {
        header: EventHeader { event_type, server_id: 1, event_len, ..EventHeader::default() },
        file: Arc::from("mysql-bin.000001"),
        start: 4,
        end: 4,
        format: FormatDescription::default(),
    };
    let event = RawEvent { place: &place, body };
    if let Step::NeedTable { schema, table } = decoder.event(&event).unwrap() {
        decoder.learn_table(&schema, &table, StructureAnswer::default());
        assert_eq!(decoder.event(&event).unwrap(), Step::Done);
    }
}

fn check_image(
    columns: &[Column<'_>],
    row: &[Value],
    present: &[bool],
    updated: &[bool],
    names: &[String],
) {
    let here = (0..row.len()).filter(|index| present[*index]);
    let got = columns.iter().map(|c| (c.index, c.name, c.value, c.updated));
    let want = here.map(|index| {
        let text = row[index].as_ref().map(|(_, text)| text.as_str());
        (index as u64, names[index].as_str(), text, updated[index])
    });
    assert_eq!(got.collect::<Vec<_>>(), want.collect::<Vec<_>>());
}

#[test]
fn every_value_arrives_as_what_it_is() {
    for seed in 0..TABLES {
        let result = std::panic::catch_unwind(|| check_table(&mut Random::new(seed)));
        result.unwrap_or_else(|_| panic!("the table of seed {seed}"));
    }
}

fn check_table(random: &mut Random) {
    let kinds: Vec<Kind> = (0..=random.index(20)).map(|_| Kind::any(random)).collect();
    let long = [2, 20, 62][random.index(3)];
    let name = |index: usize| format!("c{index:0long$}");
    let names: Vec<String> = (0..kinds.len()).map(name).collect();
    let null_per_cent = [0, 0, 10, 60][random.index(4)];
    let all = vec![true; kinds.len()];
    let some: Vec<bool> = kinds.iter().map(|_| random.index(3) > 0).collect();
    // An image has one column at least.
    let lacks = random.index(4) == 0 && some.contains(&true);
    let present = if lacks { some } else { all };

    let mut decoder = Decoder::new(DecoderOptions::default());
    for event_type in [t::WRITE_ROWS, t::UPDATE_ROWS, t::DELETE_ROWS] {
        feed(&mut decoder, t::TABLE_MAP, &table_map(&kinds, &names));
        let rows: Vec<(Vec<Value>, Vec<Value>)> = (0..=random.index(6))
            .map(|_| {
                let before = any_row(&kinds, random, null_per_cent);
                let mut after = before.clone();
                for change in any_row(&kinds, random, null_per_cent).into_iter().enumerate() {
                    if random.index(4) == 0 {
                        after[change.0] = change.1;
                    }
                }
                (before, after)
            })
            .collect();
        let bits = bitmap(present.iter().copied());
        let flags = RowsEvent::STMT_END.to_le_bytes();
        let mut body = [&[1, 0, 0, 0, 0, 0], &flags[..], &[2, 0]].concat();
        body.push(u8::try_from(kinds.len()).unwrap());
        body.extend_from_slice(&bits);
        if event_type == t::UPDATE_ROWS {
            body.extend_from_slice(&bits);
        }
        for (before, after) in &rows {
            body.extend_from_slice(&image(before, &present));
            if event_type == t::UPDATE_ROWS {
                body.extend_from_slice(&image(after, &present));
            }
        }
        feed(&mut decoder, event_type, &body);
        feed(&mut decoder, t::XID, &[0; 8]);

        let block = decoder.take().unwrap();
        let entries: Vec<Entry<'_>> =
            block.messages().map(|message| Entry::parse(message).unwrap()).collect();
        let change = entries.iter().find_map(|entry| entry.row_change().unwrap()).unwrap();
        assert_eq!(change.rows.len(), rows.len());
        for (got, (before, after)) in change.rows.iter().zip(&rows) {
            let none = vec![false; kinds.len()];
            match event_type {
                t::WRITE_ROWS => {
                    assert!(got.before.is_empty());
                    check_image(&got.after, before, &present, &vec![true; kinds.len()], &names);
                }
                t::DELETE_ROWS => {
                    assert!(got.after.is_empty());
                    check_image(&got.before, before, &present, &none, &names);
                }
                _ => {
                    check_image(&got.before, before, &present, &none, &names);
                    let text = |value: &Value| value.as_ref().map(|(_, text)| text.clone());
                    let updated: Vec<bool> = before
                        .iter()
                        .zip(after)
                        .map(|(before, after)| text(before) != text(after))
                        .collect();
                    check_image(&got.after, after, &present, &updated, &names);
                }
            }
        }
    }
}
