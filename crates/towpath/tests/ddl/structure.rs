//! What a server has, what its binlog says, and where the two differ.

use std::collections::BTreeMap;
use std::fmt::Write;

use towpath_binlog::event::QueryEvent;
use towpath_binlog::{Checksum, EventHeader, EventStream, event_type};
use towpath_schema::{
    Catalog, Column, Lookup, NameCase, PackedTable, ParseOptions, ServerKind, Table, column_type,
    parse,
};
use towpath_testkit::{Server, Version};

/// What ends the answers to a statement.
const MARK: &str = "SELECT '#statement';\n";

/// Questions for the structures of these databases, answered in rows that begin with `#`. Each is asked
/// for by name: a server then opens the tables of no other.
pub(super) fn probe(version: Version, schemas: &[String]) -> String {
    let mut sql = MARK.to_owned();
    for schema in schemas {
        write!(
            sql,
            "SELECT '#table', table_schema, table_name, table_type FROM information_schema.tables \
             WHERE table_schema = '{schema}' AND table_type NOT IN ('VIEW', 'TEMPORARY');\n\
             SELECT '#key', table_schema, table_name, column_name FROM information_schema.statistics \
             WHERE table_schema = '{schema}' AND index_name = 'PRIMARY';\n\
             SELECT '#column', table_schema, table_name, column_name, column_type, is_nullable \
             FROM information_schema.columns WHERE table_schema = '{schema}' \
             ORDER BY table_name, ordinal_position;\n"
        )
        .unwrap();
    }
    writeln!(sql, "{};", version.status_sql()).unwrap();
    sql
}

/// The server's structures after a statement.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) tables: BTreeMap<(String, String), Table>,
    versioned: Vec<(String, String)>,
    /// End of the binlog.
    pub(super) file: String,
    pub(super) offset: u64,
}

/// Splits the answers at the numbers of the statements.
pub(super) fn presents(answers: &str) -> Vec<Present> {
    let mut all = Vec::new();
    for part in answers.split("#statement\n").skip(1) {
        let mut present = Present::default();
        for line in part.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields.as_slice() {
                ["#table", schema, name, kind] => {
                    let key = ((*schema).to_owned(), (*name).to_owned());
                    if *kind == "SYSTEM VERSIONED" {
                        present.versioned.push(key.clone());
                    }
                    let (schema, name) = key.clone();
                    present.tables.insert(key, Table { schema, name, ..Table::default() });
                }
                ["#key", schema, name, column] => {
                    let key = ((*schema).to_owned(), (*name).to_owned());
                    let mut key_column = Column::new(column, "");
                    key_column.is_key = true;
                    present.tables.get_mut(&key).unwrap().columns.push(key_column);
                }
                ["#column", schema, name, column, type_text, nullable] => {
                    let key = ((*schema).to_owned(), (*name).to_owned());
                    // Views are not in it.
                    let Some(table) = present.tables.get_mut(&key) else { continue };
                    let mut found = Column::new(column, &column_type(type_text));
                    found.nullable = *nullable == "YES";
                    let is_key = |c: &Column| c.type_text.is_empty() && c.name == *column;
                    found.is_key = table.columns.iter().any(is_key);
                    table.columns.push(found);
                }
                [file, offset, ..] if file.starts_with("mysql-bin.") => {
                    present.file = (*file).to_owned();
                    present.offset = offset.parse().unwrap();
                }
                _ => {}
            }
        }
        for table in present.tables.values_mut() {
            table.columns.retain(|column| !column.type_text.is_empty());
        }
        all.push(present);
    }
    all
}

/// A type without what does not show in rows: synonyms and display widths.
fn usual(type_text: &str) -> String {
    let lower = type_text.to_ascii_lowercase();
    let unsigned = if lower.contains("unsigned") || lower == "serial" { " unsigned" } else { "" };
    let (head, args) = lower.split_once('(').map_or((lower.as_str(), ""), |(head, rest)| {
        (head, rest.rsplit_once(')').map_or("", |(args, _)| args))
    });
    let head = head.trim_end_matches(" zerofill").trim_end_matches(" unsigned");
    let or = |default: &str| if args.is_empty() { default.to_owned() } else { args.to_owned() };
    let name = match head {
        "bool" | "boolean" | "int1" | "tinyint" => "tinyint".to_owned(),
        "int2" | "smallint" => "smallint".to_owned(),
        "int3" | "middleint" | "mediumint" => "mediumint".to_owned(),
        "int4" | "integer" | "int" => "int".to_owned(),
        "int8" | "bigint" | "serial" => "bigint".to_owned(),
        "dec" | "numeric" | "fixed" | "decimal" => {
            // 10.2 is ten.
            let args = args.split('.').next().unwrap_or_default();
            let (digits, scale) = args.split_once(',').unwrap_or((args, "0"));
            let digits = if matches!(digits, "" | "0") { "10" } else { digits };
            format!("decimal({digits},{scale})")
        }
        "float" | "float4" | "double" | "double precision" | "float8" | "real" => {
            "float".to_owned()
        }
        "char" | "character" | "nchar" | "national char" => format!("char({})", or("1")),
        "varchar"
        | "character varying"
        | "char varying"
        | "nvarchar"
        | "national varchar"
        | "nchar varchar"
        | "nchar varying"
        | "national varying"
        | "national character varying" => format!("varchar({args})"),
        "long" | "long varchar" => "mediumtext".to_owned(),
        "long varbinary" => "mediumblob".to_owned(),
        "year" => return "year".to_owned(),
        "time" | "datetime" | "timestamp" if args == "0" => head.to_owned(),
        "bit" if args == "0" => "bit(1)".to_owned(),
        "bit" | "binary" => format!("{head}({})", or("1")),
        "vector" => format!("vector({})", or("2048")),
        "geometrycollection" => "geomcollection".to_owned(),
        _ if args.is_empty() => head.to_owned(),
        _ => format!("{head}({args})"),
    };
    name + unsigned
}

/// The server's type, where it may be another than the one that was written.
fn same_type(ours: &str, theirs: &str) -> bool {
    let (written, ours, theirs) = (ours.to_ascii_lowercase(), usual(ours), usual(theirs));
    let starts = |words: &[&str]| words.iter().any(|word| written.starts_with(word));
    ours == theirs
        // MariaDB's JSON is a text, TEXT(n) the smallest type that holds it, CHAR BYTE is BINARY.
        || written == "json" && theirs == "longtext"
        || ours.replace("char", "binary").replace("text", "blob") == theirs
        || starts(&["text(", "long"]) && (theirs.ends_with("text") || theirs.ends_with("blob"))
        || starts(&["blob(", "varbinary("]) && theirs.ends_with("blob")
        // Too long a VARCHAR becomes a text.
        || starts(&["varchar(", "character varying("]) && theirs.ends_with("text")
        || starts(&["char("]) && theirs.starts_with("varchar(")
        || starts(&["geometry(", "point("]) && written.starts_with(&theirs)
        // Labels are no part of a row, and may be written in many ways.
        || starts(&["enum", "set"]) && theirs.starts_with(written.get(..3).unwrap_or_default())
}

fn differences(ours: &Table, theirs: &Table) -> Option<String> {
    let mut columns = ours.columns.as_slice();
    if ours.has_implicit_versioning {
        // Hidden from `information_schema`, not from the binlog.
        columns = &columns[..columns.len() - 2];
    }
    let fits = columns.len() == theirs.columns.len()
        && columns.iter().zip(&theirs.columns).all(|(a, b)| {
            let unsure = ["timestamp", "serial"]
                .iter()
                .any(|t| a.type_text.to_ascii_lowercase().starts_with(t));
            a.name == b.name
                && same_type(&a.type_text, &b.type_text)
                && a.is_key == b.is_key
                && (unsure || a.nullable == b.nullable)
        });
    (!fits).then(|| {
        let show = |columns: &[Column]| -> String {
            columns.iter().fold(String::new(), |mut out, c| {
                let key = if c.is_key { " key" } else { "" };
                let null = if c.nullable { "" } else { " not null" };
                write!(out, "{} {}{key}{null}, ", c.name, c.type_text).unwrap();
                out
            })
        };
        let (ours, theirs) = (show(columns), show(&theirs.columns));
        format!("ours:   {ours}\n    theirs: {theirs}")
    })
}

/// The catalog after the statements of a binlog, as far as they were read.
pub(super) struct Reader {
    bytes: Vec<u8>,
    at: usize,
    stream: EventStream,
    catalog: Catalog,
    case: NameCase,
    /// What databases get that are made without one.
    server_charset: String,
}

impl Reader {
    pub(super) fn new(server: &Server, file: &str, case: NameCase) -> Self {
        let bytes = std::fs::read(server.binlog_folder().join(file)).unwrap();
        let stream = EventStream::new(file, 4, Checksum::None);
        let server_charset = server.query("SELECT @@character_set_server")[0][0].clone();
        Self { bytes, at: 4, stream, catalog: Catalog::new(case), case, server_charset }
    }

    pub(super) fn read_until(&mut self, offset: u64) {
        while (self.at as u64) < offset {
            let rest = &self.bytes[self.at..];
            let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
            let event = self.stream.accept(&rest[..len]).unwrap();
            self.at += len;
            if event.header.event_type != event_type::QUERY {
                continue;
            }
            let query = QueryEvent::parse(event.body, &event.format).unwrap();
            let (major, minor, patch) = event.format.version_number();
            let part = |number: u32| u16::try_from(number).unwrap();
            let server = ServerKind {
                is_mariadb: event.format.is_mariadb(),
                version: (part(major), part(minor), part(patch)),
            };
            let options = ParseOptions::from_sql_mode(query.sql_mode.unwrap()).read_by(server);
            let mut parsed = parse(std::str::from_utf8(query.sql).unwrap(), &options);
            parsed.tell_server_charset(&self.server_charset);
            let database = std::str::from_utf8(query.schema).unwrap();
            self.catalog.apply(&parsed, Some(database).filter(|name| !name.is_empty()));
        }
    }
}

/// Where what is known of a table is not what the server has.
#[derive(Debug)]
pub(super) enum Fault {
    /// It would be asked for before its next row.
    Unknown(String),
    /// It is another one.
    Wrong(String),
    /// The server has no such table.
    Gone(String),
}

/// Compares the tables of these databases. Goes on with the server's own where they differ.
pub(super) fn compare(reader: &mut Reader, present: &Present, schemas: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, theirs) in &present.tables {
        let name = format!("{}.{}", key.0, key.1);
        let fault = match reader.catalog.get(&key.0, &key.1) {
            Lookup::Known(ours) => differences(&ours, theirs)
                .map(|difference| Fault::Wrong(format!("{name}: {difference}"))),
            Lookup::Unknown => Some(Fault::Unknown(format!("{name}: it is not known"))),
        };
        if let Some(fault) = fault {
            let mut table = theirs.clone();
            let has_own = table.columns.iter().any(|c| c.type_text == "timestamp(6)");
            if present.versioned.contains(key) && !has_own {
                table.columns.push(Column::new("row_start", "timestamp(6)"));
                table.columns.push(Column::new("row_end", "timestamp(6)"));
                table.has_implicit_versioning = true;
            }
            reader.catalog.learn(PackedTable::new(&table));
            faults.push(fault);
        }
    }
    let is_there = |(schema, table): &(&str, &str)| {
        let key = ((*schema).to_owned(), (*table).to_owned());
        let folded = (key.0.to_lowercase(), key.1.to_lowercase());
        present.tables.contains_key(&key)
            || reader.case == NameCase::Insensitive && present.tables.contains_key(&folded)
    };
    let known = reader.catalog.tables().map(PackedTable::names);
    let ours = known.filter(|(schema, _)| schemas.iter().any(|name| name == schema));
    let gone = ours.filter(|names| !is_there(names));
    faults.extend(gone.map(|(schema, table)| Fault::Gone(format!("{schema}.{table}"))));
    faults
}
