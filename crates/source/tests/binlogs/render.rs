//! Rows as `mysqlbinlog -v` shows them.

use std::fmt::Write;

use towpath_binlog::column::{DateTime, Time};
use towpath_binlog::event::{RowsEvent, RowsKind, TableMap, decompress_mariadb};
use towpath_binlog::json::{JsonContainer, JsonDiff, JsonDiffOperation, JsonValue};
use towpath_binlog::{ColumnKind, ParseError, Reader, Value};

/// A row line without the type behind it.
pub(crate) fn without_type(line: &str) -> String {
    let (line, type_name) = line.rfind(" /* ").map_or((line, ""), |at| line.split_at(at));
    if type_name.starts_with(" /* BIT(")
        && let Some((column, digits)) = line.split_once("=b'")
    {
        // How wide it is does not show in the value.
        return format!("{column}=b'{}", digits.trim_start_matches('0'));
    }
    // The unsigned reading of a negative number.
    match line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")) {
        Some((number, unsigned)) if unsigned.parse::<u64>().is_ok() => number.to_owned(),
        _ => line.to_owned(),
    }
}

fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

pub(crate) fn rows(
    map: &TableMap<'_>,
    event: &RowsEvent<'_>,
    out: &mut Vec<String>,
) -> Result<(), ParseError> {
    let kinds = map.columns()?;
    let mut inflated = Vec::new();
    let mut r = if event.compressed {
        decompress_mariadb(event.rows, &mut inflated, 1 << 30)?;
        Reader::new(&inflated)
    } else {
        Reader::new(event.rows)
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let table = format!("`{}`.`{}`", text(map.schema), text(map.table));
    while !r.rest().is_empty() {
        match event.kind {
            RowsKind::Insert => {
                out.push(format!("INSERT INTO {table}"));
                out.push("SET".to_owned());
                image(&kinds, event.present, &mut r, out, false)?;
            }
            RowsKind::Delete => {
                out.push(format!("DELETE FROM {table}"));
                out.push("WHERE".to_owned());
                image(&kinds, event.present, &mut r, out, false)?;
            }
            RowsKind::Update | RowsKind::PartialUpdate => {
                out.push(format!("UPDATE {table}"));
                out.push("WHERE".to_owned());
                image(&kinds, event.present, &mut r, out, false)?;
                out.push("SET".to_owned());
                let partial = event.kind == RowsKind::PartialUpdate;
                image(&kinds, event.present_after, &mut r, out, partial)?;
            }
        }
    }
    Ok(())
}

fn image(
    kinds: &[ColumnKind],
    present: &[u8],
    r: &mut Reader<'_>,
    out: &mut Vec<String>,
    partial: bool,
) -> Result<(), ParseError> {
    let json_count = kinds.iter().filter(|kind| matches!(kind, ColumnKind::Json { .. })).count();
    let diffs = if partial && r.lenenc("value options")? & 1 == 1 {
        r.bytes(json_count.div_ceil(8), "partial bits")?
    } else {
        &[]
    };
    let count = (0..kinds.len()).filter(|&column| is_set(present, column)).count();
    let nulls = r.bytes(count.div_ceil(8), "null bits")?;
    let (mut index, mut json_index) = (0, 0);
    for (column, kind) in kinds.iter().enumerate() {
        let is_json = matches!(kind, ColumnKind::Json { .. });
        let is_diff = is_json && is_set(diffs, json_index);
        json_index += usize::from(is_json);
        if !is_set(present, column) {
            continue;
        }
        let null = is_set(nulls, index);
        index += 1;
        let mut text = format!("  @{}=", column + 1);
        if null {
            text.push_str("NULL");
        } else if is_diff {
            let Value::Json(bytes) = Value::read(*kind, r)? else { unreachable!() };
            diff(&mut text, column + 1, bytes)?;
        } else {
            value(&mut text, *kind, &Value::read(*kind, r)?)?;
        }
        out.push(text);
    }
    Ok(())
}

fn diff(out: &mut String, column: usize, bytes: &[u8]) -> Result<(), ParseError> {
    let mut r = Reader::new(bytes);
    let mut text = format!("@{column}");
    while !r.rest().is_empty() {
        let diff = JsonDiff::read(&mut r)?;
        let function = match diff.operation {
            JsonDiffOperation::Replace => "JSON_REPLACE",
            JsonDiffOperation::Insert if diff.path.ends_with(b"]") => "JSON_ARRAY_INSERT",
            JsonDiffOperation::Insert => "JSON_INSERT",
            JsonDiffOperation::Remove => "JSON_REMOVE",
        };
        let path = String::from_utf8_lossy(diff.path);
        text = format!("{function}({text}, '{path}'");
        if let Some(value) = &diff.value {
            text.push_str(", ");
            json(&mut text, value)?;
        }
        text.push(')');
    }
    out.push_str(&text);
    Ok(())
}

fn value(out: &mut String, kind: ColumnKind, value: &Value<'_>) -> Result<(), ParseError> {
    match value {
        Value::Int(n) => write!(out, "{n}").unwrap(),
        Value::Float(n) => write!(out, "{n}").unwrap(),
        Value::Double(n) => write!(out, "{n}").unwrap(),
        Value::Decimal(decimal) => decimal_text(out, decimal),
        Value::Bit(n) => bits(out, *n, kind),
        Value::Year(year) => write!(out, "{}", 1900 + u16::from(*year)).unwrap(),
        Value::Date(date) => {
            write!(out, "'{:04}:{:02}:{:02}'", date.year, date.month, date.day).unwrap();
        }
        Value::Time(time) => write!(out, "'{}'", time_text(time)).unwrap(),
        Value::DateTime(moment) => write!(out, "'{}'", datetime_text(moment)).unwrap(),
        Value::Timestamp(moment) => {
            write!(out, "{}", moment.seconds).unwrap();
            if moment.fraction > 0 {
                let fraction = format!("{:06}", moment.micros);
                write!(out, ".{}", &fraction[..usize::from(moment.fraction)]).unwrap();
            }
        }
        Value::Enum(index) => write!(out, "{index}").unwrap(),
        Value::Set(mask) => bits(out, *mask, kind),
        Value::Bytes(bytes) if matches!(kind, ColumnKind::Vector { .. }) => vector(out, bytes),
        Value::Bytes(bytes) => quoted(out, bytes),
        Value::Json(bytes) => {
            let mut text = String::new();
            json(&mut text, &JsonValue::parse(bytes)?)?;
            quoted(out, text.as_bytes());
        }
        Value::Compressed(_) => unreachable!("no file has a compressed column"),
    }
    Ok(())
}

fn decimal_text(out: &mut String, decimal: &towpath_binlog::column::Decimal<'_>) {
    if decimal.is_negative() {
        out.push('-');
    }
    let (whole, fraction) = decimal.groups();
    let group =
        |(value, digits): (u32, u8)| format!("{value:0width$}", width = usize::from(digits));
    let whole: String = whole.map(group).collect();
    let whole = whole.trim_start_matches('0');
    out.push_str(if whole.is_empty() { "0" } else { whole });
    let fraction: String = fraction.map(group).collect();
    if !fraction.is_empty() {
        write!(out, ".{fraction}").unwrap();
    }
}

fn bits(out: &mut String, n: u64, kind: ColumnKind) {
    // SET shows whole bytes.
    let bytes = if let ColumnKind::Set { bytes } = kind { usize::from(bytes) } else { 0 };
    let width = bytes * 8;
    write!(out, "b'{n:0width$b}'").unwrap();
}

fn time_text(time: &Time) -> String {
    let sign = if time.negative { "-" } else { "" };
    format!("{sign}{:02}:{:02}:{:02}", time.hour, time.minute, time.second)
}

fn datetime_text(moment: &DateTime) -> String {
    let date = moment.date;
    let mut text = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year, date.month, date.day, moment.hour, moment.minute, moment.second
    );
    if moment.fraction > 0 {
        let fraction = format!("{:06}", moment.micros);
        write!(text, ".{}", &fraction[..usize::from(moment.fraction)]).unwrap();
    }
    text
}

fn vector(out: &mut String, bytes: &[u8]) {
    let numbers: Vec<String> = bytes
        .chunks_exact(4)
        .map(|b| {
            let text = format!("{:.5e}", f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let (digits, exponent) = text.split_once('e').unwrap();
            let exponent: i32 = exponent.parse().unwrap();
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        })
        .collect();
    write!(out, "[{}]", numbers.join(",")).unwrap();
}

fn quoted(out: &mut String, bytes: &[u8]) {
    out.push('\'');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => write!(out, "\\x{:02x}", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out.push('\'');
}

fn json(out: &mut String, value: &JsonValue<'_>) -> Result<(), ParseError> {
    match value {
        JsonValue::Null => out.push_str("null"),
        JsonValue::Bool(value) => write!(out, "{value}").unwrap(),
        JsonValue::Int(n) => write!(out, "{n}").unwrap(),
        JsonValue::Uint(n) => write!(out, "{n}").unwrap(),
        JsonValue::Double(n) => write!(out, "{n:?}").unwrap(),
        JsonValue::String(text) => write!(out, "\"{}\"", String::from_utf8_lossy(text)).unwrap(),
        JsonValue::Opaque(code, bytes) => opaque(out, *code, bytes)?,
        JsonValue::Array(container) => elements(out, container, false)?,
        JsonValue::Object(container) => elements(out, container, true)?,
    }
    Ok(())
}

fn elements(
    out: &mut String,
    container: &JsonContainer<'_>,
    object: bool,
) -> Result<(), ParseError> {
    out.push(if object { '{' } else { '[' });
    for index in 0..container.len() {
        if index > 0 {
            out.push_str(", ");
        }
        if object {
            write!(out, "\"{}\": ", String::from_utf8_lossy(container.key(index)?)).unwrap();
        }
        json(out, &container.value(index)?)?;
    }
    out.push(if object { '}' } else { ']' });
    Ok(())
}

fn opaque(out: &mut String, code: u8, bytes: &[u8]) -> Result<(), ParseError> {
    let packed = || i64::from_le_bytes(bytes.try_into().unwrap_or_default());
    match code {
        10 => {
            let date = DateTime::from_packed(packed()).date;
            write!(out, "\"{:04}-{:02}-{:02}\"", date.year, date.month, date.day).unwrap();
        }
        7 | 12 => {
            let moment = DateTime::from_packed(packed());
            let text = datetime_text(&DateTime { fraction: 6, ..moment });
            write!(out, "\"{text}\"").unwrap();
        }
        11 => {
            let time = Time::from_packed(packed());
            write!(out, "\"{}.{:06}\"", time_text(&time), time.micros).unwrap();
        }
        246 => {
            let mut r = Reader::new(bytes);
            let (precision, scale) = (r.u8("precision")?, r.u8("scale")?);
            let decimal = towpath_binlog::column::Decimal::read(&mut r, precision, scale)?;
            decimal_text(out, &decimal);
        }
        _ => write!(out, "\"base64:type{code}:{}\"", base64(bytes)).unwrap(),
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for digit in 0..4 {
            let index = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap();
            out.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[index]) });
        }
    }
    out
}
