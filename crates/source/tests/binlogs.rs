//! Every file of `tests/fixtures/binlogs` gives the events, positions and row values that the
//! servers' own `mysqlbinlog` prints for it (`tests/fixtures/expected`).

mod render;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use towpath_binlog::event::{Payload, QueryEvent, RowsEvent, RowsKind, TableMap, parse_incident};
use towpath_binlog::{EventHeader, FormatDescription, event_type as t};
use towpath_source::{FileSource, Filled, Source, Start};

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(folder)
}

/// What `mysqlbinlog` shows of a file, or we do.
#[derive(Debug, Default)]
struct Listing {
    /// Offset of each event.
    at: Vec<u64>,
    /// Server id, end and type of each event.
    headers: Vec<String>,
    /// Rows, as pseudo-SQL.
    rows: Vec<String>,
}

/// Words of `mysqlbinlog` for a type; a few it shows without one.
fn type_name(event_type: u8) -> &'static str {
    match event_type {
        t::QUERY => "Query",
        t::STOP => "Stop",
        t::ROTATE => "Rotate",
        t::INTVAR => "Intvar",
        t::RAND => "Rand",
        t::USER_VAR => "User_var",
        t::FORMAT_DESCRIPTION | t::START_V3 => "Start:",
        t::XID => "Xid",
        t::EXECUTE_LOAD_QUERY => "Execute_load_query",
        t::TABLE_MAP => "Table_map:",
        t::WRITE_ROWS_V1 | t::WRITE_ROWS => "Write_rows:",
        t::UPDATE_ROWS_V1 | t::UPDATE_ROWS => "Update_rows:",
        t::DELETE_ROWS_V1 | t::DELETE_ROWS => "Delete_rows:",
        t::PARTIAL_UPDATE_ROWS => "Update_rows_partial:",
        t::GTID | t::GTID_TAGGED | t::MARIADB_GTID => "GTID",
        t::ANONYMOUS_GTID => "Anonymous_GTID",
        t::PREVIOUS_GTIDS => "Previous-GTIDs",
        t::TRANSACTION_PAYLOAD => "Transaction_Payload",
        t::MARIADB_ANNOTATE_ROWS => "Annotate_rows:",
        t::MARIADB_BINLOG_CHECKPOINT => "Binlog",
        t::MARIADB_GTID_LIST => "Gtid",
        _ => "",
    }
}

impl Listing {
    fn expected(name: &str) -> Self {
        let path = fixtures("expected").join(format!("{name}.txt"));
        let text = std::fs::read(path).unwrap();
        let mut listing = Self::default();
        for line in String::from_utf8_lossy(&text).lines() {
            if let Some(offset) = line.strip_prefix("# at ") {
                listing.at.push(offset.parse().unwrap());
            } else if let Some((server, rest)) =
                line.strip_prefix('#').and_then(|line| line.split_once(" server id "))
                && server.starts_with(|c: char| c.is_ascii_digit())
            {
                let (id, rest) = rest.split_once("  end_log_pos ").unwrap();
                let (end, rest) = rest.split_once(' ').unwrap();
                let word = rest.split_once('\t').map_or("", |(_, words)| words.trim_start());
                let word = word.split_whitespace().next().unwrap_or_default();
                listing.headers.push(format!("server {id} end {end} {word}"));
            } else if let Some(row) = line.strip_prefix("### ") {
                listing.rows.push(render::without_type(row));
            }
        }
        listing
    }

    fn header(&mut self, at: u64, header: &EventHeader, end: u64) {
        self.at.push(at);
        let word = type_name(header.event_type);
        self.headers.push(format!("server {} end {end} {word}", header.server_id));
    }
}

/// Our own listing, and how it ended.
#[derive(Debug, Default)]
struct Ours {
    listing: Listing,
    maps: HashMap<u64, Vec<u8>>,
    fault: Option<String>,
}

impl Ours {
    fn read(name: &str) -> Self {
        let path = fixtures("binlogs").join(name);
        let files = FileSource::open(&path, &Start::Earliest, 1 << 20).unwrap();
        let mut source = Source::Files(Box::new(files));
        let mut ours = Self::default();
        if let Err(fault) = ours.follow(&mut source) {
            ours.fault = Some(fault);
        }
        ours
    }

    fn follow(&mut self, source: &mut Source) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Offsets are those of the file read; in a relay log the stream counts those of the master.
        let mut at = 4;
        loop {
            while let Some(event) = source.next_event().map_err(|e| e.to_string())? {
                let end = at + u64::from(event.header.event_len);
                self.event(&event.header, event.body, &event.format, (at, end))
                    .map_err(|fault| format!("{at}: {fault}"))?;
                at = end;
            }
            if runtime.block_on(source.fill()).map_err(|e| e.to_string())? == Filled::End {
                return Ok(());
            }
        }
    }

    fn event(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        format: &FormatDescription,
        (at, end): (u64, u64),
    ) -> Result<(), String> {
        let fail = |e: towpath_binlog::ParseError| e.to_string();
        let shown_end = if at == end { end } else { u64::from(header.log_pos) };
        match header.event_type {
            t::TABLE_MAP => {
                let map = TableMap::parse(body, format).map_err(fail)?;
                self.maps.insert(map.table_id, body.to_vec());
            }
            t::TRANSACTION_PAYLOAD => {
                self.listing.header(at, header, shown_end);
                let mut inner = Vec::new();
                let payload = Payload::parse(body).map_err(fail)?;
                payload.decompress(&mut inner, 1 << 30).map_err(fail)?;
                let mut rest = inner.as_slice();
                while !rest.is_empty() {
                    let header = EventHeader::parse(rest).map_err(fail)?;
                    let (event, tail) = rest.split_at(usize::try_from(header.event_len).unwrap());
                    self.event(&header, &event[EventHeader::LEN..], format, (end, end))?;
                    rest = tail;
                }
                return Ok(());
            }
            t::QUERY => {
                QueryEvent::parse(body, format).map_err(fail)?;
            }
            t::INCIDENT => {
                let (number, _) = parse_incident(body).map_err(fail)?;
                return Err(format!("incident {number}"));
            }
            kind if RowsKind::of(kind).is_some() => {
                let rows = RowsEvent::parse(body, kind, format).map_err(fail)?;
                let map = self.maps.get(&rows.table_id).ok_or("no table map")?;
                let map = TableMap::parse(map, format).map_err(fail)?;
                render::rows(&map, &rows, &mut self.listing.rows).map_err(fail)?;
            }
            _ => {}
        }
        self.listing.header(at, header, shown_end);
        Ok(())
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(name: &str, what: &str, expected: &[T], ours: &[T]) {
    for (index, (theirs, ours)) in expected.iter().zip(ours).enumerate() {
        assert_eq!(theirs, ours, "{name}: {what} {index}");
    }
    assert_eq!(expected.len(), ours.len(), "{name}: count of {what}s");
}

/// Files that end in the middle of an event, hold an event that cannot be right, or are of versions
/// that were never released: what is said at the end.
const FAULTS: [(&str, &str); 6] = [
    (
        "binlog_truncated_event.000001",
        "binlog_truncated_event.000001:4: an event of 19 bytes is expected, 10 are left",
    ),
    (
        "binlog_truncated_prev_gtid_event.000001",
        "binlog_truncated_prev_gtid_event.000001:120: an event of 19 bytes is expected, 9 are left",
    ),
    ("bug40482-bin.000001", "106: incident 66"),
    ("corrupt-relay-bin.000624", "91204: "),
    (
        "ver_5_1-wl2325_s.001",
        "ver_5_1-wl2325_s.001:4: event type 15: byte 52 of the event body: server version is 52",
    ),
    (
        "ver_5_1-wl2325_r.001",
        "ver_5_1-wl2325_r.001:4: event type 15: byte 52 of the event body: server version is 52",
    ),
];

#[test]
fn every_file_gives_what_the_servers_own_program_shows() {
    let mut count = 0;
    let mut files: Vec<PathBuf> = std::fs::read_dir(fixtures("binlogs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        let ours = Ours::read(name);
        let said = FAULTS.iter().find(|(file, _)| *file == name).map(|(_, said)| *said);
        match (&ours.fault, said) {
            (None, None) => {}
            (Some(fault), Some(said)) => assert!(fault.contains(said), "{name}: {fault}"),
            (fault, said) => panic!("{name}: {fault:?}, expected {said:?}"),
        }
        if !fixtures("expected").join(format!("{name}.txt")).exists() {
            continue;
        }
        let expected = Listing::expected(name);
        let mut ours = ours;
        // mysqlbinlog keeps the first half of a statement whose second half it cannot read.
        if ours.fault.is_some() && ours.listing.headers.len() == expected.headers.len() + 1 {
            ours.listing.headers.pop();
        }
        compare(name, "offset", &expected.at, &ours.listing.at);
        compare(name, "header", &expected.headers, &ours.listing.headers);
        compare(name, "row line", &expected.rows, &ours.listing.rows);
        count += 1;
    }
    assert_eq!(count, std::fs::read_dir(fixtures("expected")).unwrap().count());
}
