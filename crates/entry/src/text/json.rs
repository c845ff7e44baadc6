//! JSON as text: Canal's spacing and escapes (entry-format 3.6, 3.8).

use towpath_binlog::column::{DateTime, Decimal, Time};
use towpath_binlog::json::{DEPTH_MAX, JsonContainer, JsonDiff, JsonDiffOperation, JsonValue};
use towpath_binlog::{ParseError, Reader};

use super::{put_datetime, put_decimal, put_f64, put_time, write_int, write_short};

/// Appends a document; a zero-length one is the empty text.
pub(crate) fn write_json(out: &mut Vec<u8>, document: &[u8]) -> Result<(), ParseError> {
    if document.is_empty() {
        return Ok(());
    }
    value(out, &JsonValue::parse(document)?, 0)
}

fn value(out: &mut Vec<u8>, v: &JsonValue<'_>, depth: usize) -> Result<(), ParseError> {
    match v {
        JsonValue::Null => out.extend_from_slice(b"null"),
        JsonValue::Bool(true) => out.extend_from_slice(b"true"),
        JsonValue::Bool(false) => out.extend_from_slice(b"false"),
        JsonValue::Int(n) => write_int(out, *n),
        JsonValue::Uint(n) => write_int(out, *n),
        JsonValue::Double(n) => write_short(out, |to| put_f64(to, *n)),
        JsonValue::String(text) => string(out, text),
        JsonValue::Opaque(code, bytes) => opaque(out, *code, bytes)?,
        JsonValue::Array(container) => elements(out, container, depth, false)?,
        JsonValue::Object(container) => elements(out, container, depth, true)?,
    }
    Ok(())
}

fn elements(
    out: &mut Vec<u8>,
    container: &JsonContainer<'_>,
    depth: usize,
    object: bool,
) -> Result<(), ParseError> {
    if depth >= DEPTH_MAX {
        return Err(ParseError::Invalid {
            field: "JSON depth",
            offset: 0,
            value: towpath_protocol::protobuf::len64(depth),
            expected: "at most 100 levels",
        });
    }
    out.push(if object { b'{' } else { b'[' });
    for index in 0..container.len() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        if object {
            string(out, container.key(index)?);
            out.extend_from_slice(b": ");
        }
        value(out, &container.value(index)?, depth + 1)?;
    }
    out.push(if object { b'}' } else { b']' });
    Ok(())
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escaped(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) =
        rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\x1f' | '\x7f'..='\u{a0}'))
    {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            escape(out, c);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn escape(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            super::write_formatted(out, format_args!("\\u{:04x}", u32::from(other)));
        }
    }
}

fn opaque(out: &mut Vec<u8>, code: u8, bytes: &[u8]) -> Result<(), ParseError> {
    match code {
        246 => {
            let mut r = Reader::new(bytes);
            let (precision, scale) = (r.u8("DECIMAL precision")?, r.u8("DECIMAL scale")?);
            let decimal = Decimal::read(&mut r, precision, scale)?;
            write_short(out, |to| put_decimal(to, &decimal));
        }
        11 | 10 | 12 | 7 => {
            let packed = Reader::new(bytes).u64("packed time")?.cast_signed();
            out.push(b'"');
            match (code, packed) {
                (11, 0) => out.extend_from_slice(b"00:00:00"),
                (11, _) => write_short(out, |to| put_time(to, Time::from_packed(packed))),
                (_, 0) => out.extend_from_slice(b"0000-00-00 00:00:00"),
                (_, _) => write_short(out, |to| put_datetime(to, DateTime::from_packed(packed))),
            }
            out.push(b'"');
        }
        _ => string(out, bytes),
    }
    Ok(())
}

/// Appends the function text of a partial update: consecutive diffs of one operation share a call,
/// later calls wrap earlier ones.
pub(crate) fn write_diffs(
    out: &mut Vec<u8>,
    column: &[u8],
    diffs: &[u8],
) -> Result<(), ParseError> {
    let mut r = Reader::new(diffs);
    let mut calls: Vec<(&'static [u8], Vec<u8>)> = Vec::new();
    while !r.is_empty() {
        let diff = JsonDiff::read(&mut r)?;
        let name: &'static [u8] = match diff.operation {
            JsonDiffOperation::Replace => b"JSON_REPLACE",
            JsonDiffOperation::Insert if diff.path.ends_with(b"]") => b"JSON_ARRAY_INSERT",
            JsonDiffOperation::Insert => b"JSON_INSERT",
            JsonDiffOperation::Remove => b"JSON_REMOVE",
        };
        if calls.last().is_none_or(|(last, _)| *last != name) {
            calls.push((name, Vec::new()));
        }
        let Some((_, arguments)) = calls.last_mut() else { continue };
        arguments.extend_from_slice(b", '");
        super::write_utf8(arguments, diff.path);
        arguments.push(b'\'');
        if let Some(new) = diff.value {
            arguments.extend_from_slice(b", ");
            value(arguments, &new, 0)?;
        }
    }
    for (name, _) in calls.iter().rev() {
        out.extend_from_slice(name);
        out.push(b'(');
    }
    out.extend_from_slice(column);
    for (_, arguments) in &calls {
        out.extend_from_slice(arguments);
        out.push(b')');
    }
    Ok(())
}
