//! Entries as lines for people and programs.

use std::io::{self, Write};

use owo_colors::{OwoColorize, Style};
use towpath_entry::{Suppress, Zone};
use towpath_protocol::entry::{Column, Entry, EventType, Header, ReadError, RowData};
use towpath_protocol::flat::{FlatWriter, LineWriter};

use super::value::{self, shorten};

/// How changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text(Room),
    /// One object a change.
    Json,
    /// Canal's flat messages.
    Flat,
}

/// What is shown of a long text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Characters of a value.
    value: usize,
}

impl Room {
    /// Characters of a statement.
    const fn statement(self) -> usize {
        self.value.saturating_mul(4)
    }
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
    /// Show the statement of rows, too, where the source writes it beside them (ROWS_QUERY of MySQL, annotations of
    /// MariaDB).
    #[arg(long)]
    annotations: bool,
    /// Show values and statements of any length whole. Without it those longer than 60 characters (statements: 240)
    /// are shortened, around what an update changed. --json and --flat always have all of them.
    #[arg(long)]
    full: bool,
}

impl FormatArguments {
    /// What a decoder has to leave out.
    pub(crate) const fn suppressed(self) -> Suppress {
        if self.annotations { Suppress::NONE } else { Suppress::ANNOTATIONS }
    }

    pub(crate) const fn format(self) -> Format {
        match (self.flat, self.json) {
            (true, _) => Format::Flat,
            (false, true) => Format::Json,
            (false, false) => {
                Format::Text(Room { value: if self.full { usize::MAX } else { VALUE_MAX } })
            }
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
    json: LineWriter,
    line: Vec<u8>,
    /// In which times of day are shown.
    zone: Zone,
    /// Of a server's entries: its decoder was not asked to leave annotations out.
    hides_annotations: bool,
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

/// The statement of rows beside them. What sets the variables of a logged
/// statement looks alike, and always begins with SET.
fn is_annotation(bytes: &[u8]) -> Result<bool, ReadError> {
    let entry = Entry::parse(bytes)?;
    if entry.header.event_type != Some(EventType::Query) {
        return Ok(false);
    }
    let change = entry.row_change()?.unwrap_or_default();
    Ok(change.is_ddl.is_none() && change.rows.is_empty() && !change.sql.starts_with("SET "))
}

impl<W: Write> Renderer<W> {
    pub(crate) fn new(out: W, format: Format, colored: bool, zone: Zone) -> Self {
        let styles = if colored { Styles::colored() } else { Styles::default() };
        let (flat, json) = (FlatWriter::default(), LineWriter::default());
        let hides_annotations = false;
        Self {
            out,
            format,
            styles,
            shown: 0,
            flat,
            json,
            line: Vec::new(),
            zone,
            hides_annotations,
        }
    }

    /// For entries of a server, which have all that it delivers.
    pub(crate) fn of_a_server(self, arguments: FormatArguments) -> Self {
        Self { hides_annotations: !arguments.annotations, ..self }
    }

    /// Writes what is in an entry, until so many changes are shown in all; transaction bounds say nothing. Whether
    /// it was written whole.
    pub(crate) fn entry(&mut self, bytes: &[u8], now_ms: i64, limit: u64) -> io::Result<bool> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if self.hides_annotations && is_annotation(bytes).map_err(bad)? {
            return Ok(true);
        }
        if self.shown >= limit {
            return Ok(!has_change(bytes).map_err(bad)?);
        }
        match self.format {
            Format::Flat => self.flat(bytes, now_ms),
            Format::Json => self.json(bytes, limit),
            Format::Text(room) => self.text(bytes, limit, room),
        }
    }

    fn text(&mut self, bytes: &[u8], limit: u64, room: Room) -> io::Result<bool> {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let entry = Entry::parse(bytes).map_err(bad)?;
        let Some(change) = entry.row_change().map_err(bad)? else { return Ok(true) };
        let kind = change.event_type.name();
        if change.rows.is_empty() {
            self.shown += 1;
            return self.statement(&entry.header, kind, change.sql, room).map(|()| true);
        }
        for row in &change.rows {
            if self.shown >= limit {
                return Ok(false);
            }
            self.shown += 1;
            self.row(&entry.header, (change.event_type, row), room)?;
        }
        Ok(true)
    }

    /// A line for each change.
    fn json(&mut self, bytes: &[u8], limit: u64) -> io::Result<bool> {
        self.line.clear();
        let written = self.json.write(&mut self.line, bytes, limit - self.shown);
        let written = written.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.shown += written.count;
        self.out.write_all(&self.line)?;
        Ok(written.is_whole)
    }

    /// The flat message of an entry; it counts as one change.
    fn flat(&mut self, bytes: &[u8], now_ms: i64) -> io::Result<bool> {
        self.line.clear();
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if self.flat.write(&mut self.line, bytes, 0, now_ms).map_err(bad)? {
            self.line.push(b'\n');
            self.shown += 1;
            self.out.write_all(&self.line)?;
        }
        Ok(true)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn statement(
        &mut self,
        header: &Header<'_>,
        kind: &str,
        sql: &str,
        room: Room,
    ) -> io::Result<()> {
        let s = self.styles;
        let sql: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let time = clock(header.execute_time, &self.zone);
        writeln!(
            self.out,
            "{} {} {}  {}",
            time.style(s.dim),
            format_args!("{:<6}", kind.to_lowercase()).style(s.ddl),
            table_name(header).style(s.table),
            shorten(&sql, room.statement())
        )
    }

    fn row(
        &mut self,
        header: &Header<'_>,
        (change, row): (EventType, &RowData<'_>),
        room: Room,
    ) -> io::Result<()> {
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
        let key: Vec<String> = columns
            .iter()
            .chain(&row.before)
            .filter(|column| column.is_key)
            .map(|column| assign(column, room))
            .fold(Vec::new(), |mut seen, text| {
                if !seen.contains(&text) {
                    seen.push(text);
                }
                seen
            });
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
                Some(old) => {
                    let (old, new) = value::changed(old.value, column.value, room.value);
                    let name = shorten(column.name, usize::MAX);
                    let (old, new) = (old.style(s.delete), new.style(s.insert));
                    write!(self.out, "  {name}: {old} {} {new}", "→".style(s.dim))?;
                }
                None => write!(self.out, "  {}", assign(column, room))?,
            }
        }
        writeln!(self.out)
    }
}

fn table_name(header: &Header<'_>) -> String {
    let text = match (header.schema_name.unwrap_or(""), header.table_name.unwrap_or("")) {
        ("", "") => return "-".to_owned(),
        (schema, "") => schema.to_owned(),
        ("", table) => table.to_owned(),
        (schema, table) => format!("{schema}.{table}"),
    };
    shorten(&text, usize::MAX)
}

/// Time of day.
fn clock(time_ms: i64, zone: &Zone) -> String {
    let unix_s = time_ms.div_euclid(1000);
    let second = unix_s.saturating_add(zone.offset_s(unix_s)).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn assign(column: &Column<'_>, room: Room) -> String {
    format!("{}={}", shorten(column.name, usize::MAX), value::shown(column.value, room.value))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
        let lines = shown(Format::Text(Room { value: VALUE_MAX }));
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
