//! Values without what they say; their lengths stay.

use towpath_binlog::event::RowsEvent;
use towpath_binlog::{ColumnKind, Reader, Value};

/// Letters and digits become others; what is behind ASCII keeps its length in UTF-8.
fn mask_byte(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'0',
        b'A'..=b'Z' | b'a'..=b'z' => b'x',
        0x80..=0xbf => 0xa0,
        other => other,
    }
}

fn mask(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = mask_byte(*byte));
}

/// The images of a rows event. Where they cannot be read any further, the rest is masked as a text.
pub(super) fn rows(event: &RowsEvent<'_>, kinds: &[ColumnKind]) -> Vec<u8> {
    let mut out = event.rows.to_vec();
    if event.compressed {
        mask(&mut out);
        return out;
    }
    let mut at = 0;
    'rows: while at < out.len() {
        let start = at;
        let images = if event.kind.is_update() { 2 } else { 1 };
        for present in [event.present, event.present_after].into_iter().take(images) {
            match image(&mut out, at, present, kinds) {
                Some(end) => at = end,
                None => break 'rows,
            }
        }
        if at == start {
            break;
        }
    }
    mask(out.get_mut(at..).unwrap_or_default());
    out
}

/// Masks one image; where the next one begins.
fn image(out: &mut [u8], at: usize, present: &[u8], kinds: &[ColumnKind]) -> Option<usize> {
    let is_set = |bits: &[u8], n: usize| bits.get(n / 8).is_some_and(|b| b >> (n % 8) & 1 == 1);
    let columns: Vec<ColumnKind> =
        kinds.iter().enumerate().filter(|(n, _)| is_set(present, *n)).map(|(_, k)| *k).collect();
    let nulls_len = columns.len().div_ceil(8);
    let nulls = out.get(at..at + nulls_len)?.to_vec();
    let mut at = at + nulls_len;
    for (n, kind) in columns.into_iter().enumerate() {
        if is_set(&nulls, n) {
            continue;
        }
        let rest = out.get(at..)?.to_vec();
        let mut r = Reader::new(&rest);
        let read = Value::read(kind, &mut r).ok()?;
        let content = if let Value::Bytes(bytes) | Value::Compressed(bytes) = read {
            bytes.len()
        } else {
            r.offset()
        };
        let end = at + r.offset();
        value(kind, out.get_mut(end - content..end)?);
        at = end;
    }
    Some(at)
}

/// One value, without its length.
fn value(kind: ColumnKind, bytes: &mut [u8]) {
    match kind {
        ColumnKind::Char { .. }
        | ColumnKind::VarChar { .. }
        | ColumnKind::Blob { .. }
        | ColumnKind::CompressedVarChar { .. }
        | ColumnKind::CompressedBlob { .. }
        | ColumnKind::Other { .. } => mask(bytes),
        // The sign is a bit that is set for what is not negative.
        ColumnKind::Decimal { .. } | ColumnKind::Time { .. } | ColumnKind::DateTime { .. } => {
            bytes.fill(0);
            if let Some(first) = bytes.first_mut() {
                *first = 0x80;
            }
        }
        ColumnKind::Json { len_bytes } => {
            let document = bytes.get_mut(usize::from(len_bytes)..).unwrap_or_default();
            document.fill(0);
            // An empty object or the literal null, and what nobody reads behind it.
            if let Some(first) = document.first_mut() {
                *first = 4;
            }
        }
        ColumnKind::Tiny
        | ColumnKind::Short
        | ColumnKind::Int24
        | ColumnKind::Long
        | ColumnKind::LongLong
        | ColumnKind::Float
        | ColumnKind::Double
        | ColumnKind::Bit { .. }
        | ColumnKind::Year
        | ColumnKind::Date
        | ColumnKind::Timestamp { .. }
        | ColumnKind::OldTime { .. }
        | ColumnKind::OldDateTime { .. }
        | ColumnKind::OldTimestamp { .. }
        | ColumnKind::Geometry { .. }
        | ColumnKind::Vector { .. }
        | ColumnKind::Enum { .. }
        | ColumnKind::Set { .. } => bytes.fill(0),
    }
}

/// A statement: what stands in quotes, and numbers.
pub(super) fn statement(sql: &[u8]) -> Vec<u8> {
    let (mut quote, mut in_word) = (None, false);
    let masked = |&byte: &u8| {
        let shown = match quote {
            Some(open) if byte == open => {
                quote = None;
                byte
            }
            Some(_) => mask_byte(byte),
            None if matches!(byte, b'\'' | b'"') => {
                quote = Some(byte);
                byte
            }
            None if !in_word && byte.is_ascii_digit() => b'0',
            None => byte,
        };
        in_word = byte.is_ascii_alphabetic() || byte == b'_' || in_word && byte.is_ascii_digit();
        shown
    };
    sql.iter().map(masked).collect()
}
