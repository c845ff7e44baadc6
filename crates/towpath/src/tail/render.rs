//! Entries as lines for people and programs.

use std::io::{self, Write};

use owo_colors::{OwoColorize, Style};
use serde_json::{Map, Value, json};
use towpath_entry::Zone;
use towpath_protocol::entry::{Column, Entry, EventType, Header, ReadError, RowData};
use towpath_protocol::flat::FlatWriter;

/// How changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One object a change.
    Json,
    /// Canal's flat messages.
    Flat,
}

/// The switches that choose the format.
#[derive(Debug, Clone, Copy, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "two switches that exclude each other")]
pub(crate) struct FormatArguments {
    /// One JSON object a line: kind, table, key, before, after.
    #[arg(long)]
    json: bool,
    /// Canal's flat messages, one a line.
    #[arg(long, conflicts_with = "json")]
    flat: bool,
}

impl FormatArguments {
    pub(crate) const fn format(self) -> Format {
        if self.flat {
            Format::Flat
        } else if self.json {
            Format::Json
        } else {
            Format::Text
        }
    }
}

/// Longest value shown to people, in characters.
const VALUE_MAX: usize = 60;

/// Writes entries as lines.
#[derive(Debug)]
pub(crate) struct Renderer<W> {
    out: W,
    format: Format,
    styles: Styles,
    flat: FlatWriter,
    /// In which times of day are shown.
    zone: Zone,
    /// Changes shown.
    pub(crate) shown: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Styles {
    dim: Style,
    insert: Style,
    update: Style,
    delete: Style,
    ddl: Style,
    table: Style,
}

impl Styles {
    fn colored() -> Self {
        Self {
            dim: Style::new().dimmed(),
            insert: Style::new().green(),
            update: Style::new().yellow(),
            delete: Style::new().red(),
            ddl: Style::new().magenta(),
            table: Style::new().bold(),
        }
    }
}

fn has_change(bytes: &[u8]) -> Result<bool, ReadError> {
    Ok(Entry::parse(bytes)?.row_change()?.is_some())
}

impl<W: Write> Renderer<W> {
    pub(crate) fn new(out: W, format: Format, colored: bool, zone: Zone) -> Self {
        let styles = if colored { Styles::colored() } else { Styles::default() };
        Self { out, format, styles, shown: 0, flat: FlatWriter::default(), zone }
    }

    /// Writes what is in an entry, until so many changes are shown in all; transaction bounds say nothing. Whether
    /// it was written whole.
    pub(crate) fn entry(&mut self, bytes: &[u8], now_ms: i64, limit: u64) -> io::Result<bool> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if self.shown >= limit {
            return Ok(!has_change(bytes).map_err(bad)?);
        }
        if self.format == Format::Flat {
            let mut line = Vec::new();
            if self.flat.write(&mut line, bytes, 0, now_ms).map_err(bad)? {
                line.push(b'\n');
                self.shown += 1;
                self.out.write_all(&line)?;
            }
            return Ok(true);
        }
        let entry = Entry::parse(bytes).map_err(bad)?;
        let Some(change) = entry.row_change().map_err(bad)? else { return Ok(true) };
        let kind = change.event_type.name();
        if change.rows.is_empty() {
            self.shown += 1;
            return self.statement(&entry.header, kind, change.sql).map(|()| true);
        }
        for row in &change.rows {
            if self.shown >= limit {
                return Ok(false);
            }
            self.shown += 1;
            match self.format {
                Format::Text => self.row(&entry.header, change.event_type, row)?,
                Format::Json | Format::Flat => self.row_json(&entry.header, kind, row)?,
            }
        }
        Ok(true)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn statement(&mut self, header: &Header<'_>, kind: &str, sql: &str) -> io::Result<()> {
        if self.format == Format::Json {
            let mut object = place(header, kind);
            object.insert("sql".to_owned(), json!(sql));
            return writeln!(self.out, "{}", Value::Object(object));
        }
        let s = self.styles;
        let sql: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let time = clock(header.execute_time, &self.zone);
        writeln!(
            self.out,
            "{} {} {}  {}",
            time.style(s.dim),
            format_args!("{:<6}", kind.to_lowercase()).style(s.ddl),
            table_name(header).style(s.table),
            shorten(&sql, 4 * VALUE_MAX)
        )
    }

    fn row(&mut self, header: &Header<'_>, change: EventType, row: &RowData<'_>) -> io::Result<()> {
        let s = self.styles;
        let is_update = change == EventType::Update;
        let (word, style) = if is_update {
            ("update", s.update)
        } else if change == EventType::Insert {
            ("insert", s.insert)
        } else {
            ("delete", s.delete)
        };
        let columns = if change == EventType::Delete { &row.before } else { &row.after };
        // Under a minimal row image the key stands only in the before image.
        let key: Vec<String> =
            columns.iter().chain(&row.before).filter(|column| column.is_key).map(assign).fold(
                Vec::new(),
                |mut seen, text| {
                    if !seen.contains(&text) {
                        seen.push(text);
                    }
                    seen
                },
            );
        let time = clock(header.execute_time, &self.zone);
        write!(
            self.out,
            "{} {} {}  {}",
            time.style(s.dim),
            word.style(style),
            table_name(header).style(s.table),
            key.join(" ").style(style)
        )?;
        for column in columns.iter().filter(|c| if is_update { c.updated } else { !c.is_key }) {
            let before = row.before.iter().find(|old| is_update && old.index == column.index);
            match before {
                Some(old) => write!(
                    self.out,
                    "  {}: {} {} {}",
                    column.name,
                    value(old.value).style(s.delete),
                    "→".style(s.dim),
                    value(column.value).style(s.insert)
                )?,
                None => write!(self.out, "  {}", assign(column))?,
            }
        }
        writeln!(self.out)
    }

    fn row_json(&mut self, header: &Header<'_>, kind: &str, row: &RowData<'_>) -> io::Result<()> {
        let mut object = place(header, kind);
        let image = |columns: &[Column<'_>]| -> Value {
            columns
                .iter()
                .map(|c| (c.name.to_owned(), json!(c.value)))
                .collect::<Map<_, _>>()
                .into()
        };
        // The key of an update may stand in the before image only: with a minimal row image.
        let mut key = Map::new();
        for column in row.after.iter().chain(&row.before).filter(|column| column.is_key) {
            key.entry(column.name).or_insert_with(|| json!(column.value));
        }
        object.insert("key".to_owned(), key.into());
        // An image may have no columns at all: that of a row of defaults, with a minimal row image.
        let shown = |columns: &[Column<'_>], is_there: bool| match is_there {
            true => image(columns),
            false => Value::Null,
        };
        object.insert("before".to_owned(), shown(&row.before, kind != "INSERT"));
        object.insert("after".to_owned(), shown(&row.after, kind != "DELETE"));
        writeln!(self.out, "{}", Value::Object(object))
    }
}

fn place(header: &Header<'_>, kind: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("kind".to_owned(), json!(kind.to_lowercase()));
    object.insert("schema".to_owned(), json!(header.schema_name));
    object.insert("table".to_owned(), json!(header.table_name));
    object.insert("time_ms".to_owned(), json!(header.execute_time));
    object.insert("file".to_owned(), json!(header.logfile_name));
    object.insert("offset".to_owned(), json!(header.logfile_offset));
    if let Some(gtid) = header.gtid {
        object.insert("gtid".to_owned(), json!(gtid));
    }
    object
}

fn table_name(header: &Header<'_>) -> String {
    match (header.schema_name.unwrap_or(""), header.table_name.unwrap_or("")) {
        ("", "") => "-".to_owned(),
        (schema, "") => schema.to_owned(),
        ("", table) => table.to_owned(),
        (schema, table) => format!("{schema}.{table}"),
    }
}

/// Time of day.
fn clock(time_ms: i64, zone: &Zone) -> String {
    let unix_s = time_ms.div_euclid(1000);
    let second = unix_s.saturating_add(zone.offset_s(unix_s)).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn assign(column: &Column<'_>) -> String {
    format!("{}={}", column.name, value(column.value))
}

fn value(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '\'');
    if plain && text.len() <= VALUE_MAX {
        return text.to_owned();
    }
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    format!("'{}'", shorten(&clean, VALUE_MAX))
}

pub(crate) fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: Format) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/golden/mysql57-statements/entries.bin");
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut renderer = Renderer::new(Vec::new(), format, false, Zone::Utc);
        for _ in 0..8 {
            let (len, tail) = rest.split_first_chunk::<4>().unwrap();
            let len = usize::try_from(u32::from_be_bytes(*len)).unwrap();
            assert!(renderer.entry(&tail[..len], 0, u64::MAX).unwrap());
            rest = &tail[len..];
        }
        String::from_utf8(renderer.out).unwrap()
    }

    #[test]
    fn changes_are_lines_that_say_table_kind_key_and_values() {
        let lines = shown(Format::Text);
        assert!(lines.contains("create s.a  create table a(id int primary key"), "{lines}");
        assert!(lines.contains("insert s.a  id=1  v=1\n"), "{lines}");
        assert!(lines.contains("update s.a  id=1  v: 1 → 3\n"), "{lines}");
    }

    #[test]
    fn json_lines_hold_both_images() {
        let lines = shown(Format::Json);
        let update = lines.lines().find(|line| line.contains("\"update\"")).unwrap();
        let object: Value = serde_json::from_str(update).unwrap();
        assert_eq!(object["before"]["v"], "1");
        assert_eq!(object["after"]["v"], "3");
        assert_eq!(object["key"]["id"], "1");
    }
}
