//! Structures from the server, as of the place that is being read.
//!
//! The server only knows its present structures. They hold at an earlier place if no statement lies
//! between it and the present that changes them: so those statements are read ahead, on a connection
//! of their own, and undone.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use towpath_binlog::event::{QueryEvent, decompress_mariadb};
use towpath_binlog::{
    FLAG_THREAD_SPECIFIC, ParseError, Position, RawEvent, StreamError, event_type as t,
};
use towpath_schema::{
    Catalog, Column, Fate, HiddenKey, KeyPart, LaterStatements, NameCase, PackedTable,
    ParseOptions, Renaming, ServerKind, SessionId, Speaker, StructureAnswer, Table, UniqueKey,
    charset_of, column_type, parse, table_from_create,
};
use tracing::{info, warn};

use super::dialect::Flavour;
use super::dump::{AtEnd, Dump, Request};
use super::{From, MysqlSource, dialect, ignore_server_error, prepare};
use crate::SourceConfig;
use crate::connection::{Connection, Row};
use crate::error::{Recovery, SourceError};

/// Bytes that a compressed statement may inflate to.
const STATEMENT_LEN_MAX: u64 = 1 << 30;
/// Time in which the server sends the next event of those that it has.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a table is read again and again when it changes meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pauses before the structure of a table is asked for again, on another connection each time. One that
/// idled may be gone.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(1)];
/// Tables that are read at once; further ones are read when they come.
const TABLES_MAX: usize = 250_000;

/// What lies between the place that is being read and the present.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    statements: LaterStatements,
    /// Knows temporary tables only: what the structures of the others are has to be found out.
    sessions: Catalog,
    /// Up to here the statements are known.
    until: Option<(String, u64)>,
}

impl Ahead {
    /// Takes a statement, if an event is one.
    pub(super) fn take(&mut self, event: &RawEvent<'_>) -> Result<(), SourceError> {
        self.take_event(event).map_err(|error| {
            SourceError::Stream(StreamError {
                file: event.file.to_string(),
                offset: event.start,
                event_type: event.header.event_type,
                source: error.into(),
            })
        })
    }

    fn take_event(&mut self, event: &RawEvent<'_>) -> Result<(), ParseError> {
        let compressed = match event.header.event_type {
            t::QUERY => false,
            t::MARIADB_QUERY_COMPRESSED => true,
            t::FORMAT_DESCRIPTION if event.format.created_s > 0 => {
                self.sessions.server_starts();
                return Ok(());
            }
            _ => return Ok(()),
        };
        let mut query = QueryEvent::parse(event.body, &event.format)?;
        let mut inflated = Vec::new();
        if compressed {
            decompress_mariadb(query.sql, &mut inflated, STATEMENT_LEN_MAX)?;
            query.sql = &inflated;
        }
        if matches!(query.sql, b"BEGIN" | b"COMMIT")
            || query.alter_phase.is_some_and(|phase| !phase.is_done())
        {
            return Ok(());
        }
        let (major, minor, patch) = event.format.version_number();
        let part = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let server = ServerKind {
            is_mariadb: event.format.is_mariadb(),
            version: (part(major), part(minor), part(patch)),
        };
        let options = ParseOptions::from_sql_mode(query.sql_mode.unwrap_or(0)).read_by(server);
        let text = String::from_utf8_lossy(query.sql);
        let mut parsed = parse(&text, &options);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            // In another character set than UTF-8.
            parsed.distrust(&text, &options);
        }
        let database = String::from_utf8_lossy(query.schema);
        let (server_id, thread_id) = (event.header.server_id, query.thread_id);
        let speaker = Speaker {
            id: SessionId { server_id, thread_id },
            database: Some(database.as_ref()).filter(|name| !name.is_empty()),
            renaming: Renaming::of(Some(server)),
            is_bound: event.header.flags & FLAG_THREAD_SPECIFIC != 0,
        };
        let parsed = self.sessions.separate(parsed, &speaker);
        self.statements.push(&event.file, event.start, parsed, &database);
        Ok(())
    }
}

impl MysqlSource {
    /// See [`crate::Source::table`].
    pub(crate) async fn table(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<Option<StructureAnswer>, SourceError> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.table_at(schema, table).await {
                // What was read of the transaction would come a second time with another dump.
                Err(error)
                    if error.recovery() == Recovery::Retry
                        && let Some(pause) = pauses.next() =>
                {
                    warn!(source = %self.servers.current(), schema, table, error = %error,
                        "the structure of a table cannot be read, trying again");
                    self.metadata = None;
                    sleep(*pause).await;
                }
                answer => return self.or_reopen(answer, "read the structure of a table"),
            }
        }
    }

    async fn table_at(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<StructureAnswer, SourceError> {
        self.metadata().await?;
        let answer = self.candidates(schema, table).await?;
        let is_stated = |table: &Table| table.charset.is_some();
        let default_charset = match &answer {
            answer if answer.candidates.iter().any(is_stated) => None,
            _ => self.default_charset(schema).await?,
        };
        Ok(StructureAnswer { hidden_key: self.hidden_key, default_charset, ..answer })
    }

    /// The default character set that a database has now, if no statement since the place that is being
    /// read gave it another one.
    async fn default_charset(&mut self, schema: &str) -> Result<Option<String>, SourceError> {
        if self.foreign_archive().await?.is_some() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT default_character_set_name FROM information_schema.schemata \
             WHERE schema_name = {}",
            quoted(schema)
        );
        let found = self.metadata().await?.scalar(&sql).await?;
        self.read_ahead().await?;
        let has_changed = self.ahead.statements.touches_database(self.case, schema);
        Ok(found.filter(|_| !has_changed))
    }

    async fn candidates(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<StructureAnswer, SourceError> {
        if let Some(obstacle) = self.foreign_archive().await? {
            return Ok(stopped_by(obstacle));
        }
        self.read_ahead().await?;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let fate = self.ahead.statements.fate(self.case, schema, table);
            let (now_schema, now_table) = match &fate {
                Fate::Now { schema, table, .. } => (schema.clone(), table.clone()),
                Fate::Ends(place) => {
                    let obstacle = format!(
                        "the statement at {}:{} removes the table, or changes it in an unknown way",
                        place.file, place.offset
                    );
                    return Ok(stopped_by(obstacle));
                }
            };
            let found = self.table_now(&now_schema, &now_table).await?;
            self.read_ahead().await?;
            if self.ahead.statements.fate(self.case, schema, table) != fate {
                continue;
            }
            let Some(found) = found else { return Ok(StructureAnswer::default()) };
            return Ok(match self.ahead.statements.undo(self.case, schema, table, found) {
                Ok(candidates) => {
                    let obstacle = candidates
                        .is_empty()
                        .then(|| "it has changed since in a way that cannot be undone".to_owned());
                    StructureAnswer { candidates, obstacle, ..StructureAnswer::default() }
                }
                Err(place) => stopped_by(format!(
                    "it has changed since, and the statement at {}:{} cannot be undone",
                    place.file, place.offset
                )),
            });
        }
        Ok(stopped_by("it changes faster than it can be read".to_owned()))
    }

    /// See [`crate::Source::tables`].
    pub(crate) async fn tables(&mut self) -> Result<Option<Vec<PackedTable>>, SourceError> {
        let tables = self.tables_at().await;
        // Mostly nothing is asked any more.
        self.metadata = None;
        self.or_reopen(tables, "read the structures of all tables")
    }

    async fn tables_at(&mut self) -> Result<Vec<PackedTable>, SourceError> {
        if self.foreign_archive().await?.is_some() {
            return Ok(Vec::new());
        }
        self.metadata().await?;
        let hidden_key = self.hidden_key;
        let mut tables = all_tables(self.metadata().await?, hidden_key).await?;
        self.read_ahead().await?;
        let (statements, case) = (&self.ahead.statements, self.case);
        tables.retain(|table| {
            let (schema, name) = table.names();
            !statements.touches(case, schema, name)
        });
        Ok(tables)
    }

    /// A connection for questions about structures.
    pub(super) async fn metadata(&mut self) -> Result<&mut Connection, SourceError> {
        let connection = match self.metadata.take() {
            Some(connection) => connection,
            None => self.open_metadata().await?,
        };
        Ok(self.metadata.insert(connection))
    }

    async fn open_metadata(&mut self) -> Result<Connection, SourceError> {
        let mut connection = self.beside().await?;
        // What is shown, and how texts are quoted, depends on the mode.
        connection.query("SET NAMES utf8mb4, SESSION sql_mode = ''").await?;
        let show_hidden_key = "SET SESSION show_gipk_in_create_table_and_information_schema = ON";
        ignore_server_error(connection.query(show_hidden_key).await)?;
        self.hidden_key = hidden_key(&mut connection).await?;
        Ok(connection)
    }

    async fn table_now(&mut self, schema: &str, table: &str) -> Result<Option<Table>, SourceError> {
        let found = self.shown_table(schema, table).await?;
        Ok(found.map(|table| table.served_with(self.hidden_key)))
    }

    async fn shown_table(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Table>, SourceError> {
        let connection = self.metadata().await?;
        let quote = |name: &str| name.replace('`', "``");
        let sql = format!("SHOW CREATE TABLE `{}`.`{}`", quote(schema), quote(table));
        let text = match connection.query(&sql).await {
            Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten()),
            Err(SourceError::Server { errno: 1146 | 1049, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(table) = text.and_then(|text| table_from_create(&text, schema)) {
            return Ok(Some(table));
        }
        columns(connection, schema, table).await
    }

    /// Reads the statements between the event that came last and the present.
    async fn read_ahead(&mut self) -> Result<(), SourceError> {
        let Some((file, offset)) = self.feed.place() else { return Ok(()) };
        let at = (file.as_str(), offset);
        let statements = &mut self.ahead.statements;
        statements.forget_while(|file, offset| Position::is_before((file, offset), at));
        let end = dialect::end(self.metadata().await?).await?;
        let until = self.ahead.until.take();
        let until = until.filter(|(file, offset)| Position::is_before(at, (file, *offset)));
        let (mut file, mut offset) = until.unwrap_or((file, offset));
        if let Some(next) = Box::pin(self.scan_archive(&file)).await? {
            (file, offset) = (next, 4);
        }
        let to_end = Position::order((&file, offset), (&end.0, end.1));
        if to_end.is_none_or(Ordering::is_lt) {
            self.scan((file, offset), (&end.0, end.1)).await?;
        }
        self.ahead.until = Some(end);
        Ok(())
    }

    async fn scan(
        &mut self,
        (file, offset): (String, u64),
        end: (&str, u64),
    ) -> Result<(), SourceError> {
        // Another reader to the server, or it ends the dump that is running.
        let config = SourceConfig::default();
        let server_id = prepare::generated_id(&config);
        info!(source = %self.servers.current(), file, offset, "reading ahead for changes of structure");
        let from = From::Position { file, offset };
        let connection = self.beside().await?;
        let request = Request { config: &config, server_id, from: &from, at_end: AtEnd::Stop };
        let mut dump = Dump::begin(connection, &request).await?;
        loop {
            while let Some(event) = dump.next_event()? {
                let to_end = Position::order((&event.file, event.start), end);
                if to_end.is_some_and(Ordering::is_ge) {
                    return Ok(());
                }
                self.ahead.take(&event)?;
            }
            match dump.fill(SILENCE).await {
                Ok(()) => {}
                Err(SourceError::Ended { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn stopped_by(obstacle: String) -> StructureAnswer {
    StructureAnswer { obstacle: Some(obstacle), ..StructureAnswer::default() }
}

/// How the server compares the names of tables.
pub(super) async fn name_case(connection: &mut Connection) -> Result<NameCase, SourceError> {
    let value = connection.scalar("SELECT @@global.lower_case_table_names").await?;
    Ok(match value.as_deref() {
        Some("0") => NameCase::Sensitive,
        Some("1" | "2") => NameCase::Insensitive,
        _ => NameCase::Unknown,
    })
}

/// Whether the server is one that adds a key to tables without one: it has variables that no other has
/// (entry-format 4.3). With both kinds Canal takes it for a PolarDB-X.
async fn hidden_key(connection: &mut Connection) -> Result<Option<HiddenKey>, SourceError> {
    for (prefix, key) in [("polarx_", HiddenKey::PolarDbX), ("rds_", HiddenKey::Rds)] {
        // `\_` is no escape in every SQL mode.
        let sql = format!("SHOW GLOBAL VARIABLES LIKE '{prefix}%'");
        let rows = match connection.query(&sql).await {
            Err(SourceError::Server { .. }) => continue,
            rows => rows?,
        };
        let mut names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        if names.any(|name| name.to_ascii_lowercase().starts_with(prefix)) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The schemas that hold the server's own tables: few of them are ever in a binlog.
const OWN_SCHEMAS: &str = "('mysql', 'information_schema', 'performance_schema', 'sys')";

async fn all_tables(
    connection: &mut Connection,
    hidden_key: Option<HiddenKey>,
) -> Result<Vec<PackedTable>, SourceError> {
    let schemas = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {OWN_SCHEMAS}"
    );
    let mut tables = Vec::new();
    for row in connection.query(&schemas).await? {
        let Some(schema) = row.into_iter().next().flatten() else { continue };
        if tables.len() < TABLES_MAX {
            tables_of(connection, (&schema, hidden_key), &mut tables).await?;
        }
    }
    tables.truncate(TABLES_MAX);
    Ok(tables)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// What is known of a table before its columns come.
#[derive(Default)]
struct Facts {
    has_functional_key: bool,
    charset: Option<String>,
    key: Vec<String>,
    unique_keys: Vec<UniqueKey>,
}

/// The tables of a schema, as their columns come.
struct Reading<'a> {
    schema: &'a str,
    hidden_key: Option<HiddenKey>,
    facts: HashMap<String, Facts>,
    /// The table whose columns come; it is left out if it has no facts.
    current: (Table, Option<Facts>),
    into: &'a mut Vec<PackedTable>,
}

impl Reading<'_> {
    /// Name of the table, and of the column, type, `YES` if it may be NULL, and character set.
    fn take(&mut self, row: Row) {
        let mut fields = row.into_iter();
        let mut next = || fields.next().flatten();
        let name = next().unwrap_or_default();
        if name != self.current.0.name {
            self.begin(name);
        }
        let (table, Some(facts)) = &mut self.current else { return };
        let (column_name, type_text) = (next().unwrap_or_default(), next().unwrap_or_default());
        let mut column = Column::new(&column_name, &column_type(&type_text));
        column.nullable = next().as_deref() == Some("YES");
        column.charset = next().filter(|charset| Some(charset) != table.charset.as_ref());
        column.is_key = facts.key.contains(&column_name);
        table.columns.push(column);
    }

    /// Ends the table before, and begins the one of this name.
    fn begin(&mut self, name: String) {
        let facts = self.facts.remove(&name);
        let table = Table {
            schema: self.schema.to_owned(),
            name,
            charset: facts.as_ref().and_then(|facts| facts.charset.clone()),
            has_functional_key: facts.as_ref().is_some_and(|facts| facts.has_functional_key),
            ..Table::default()
        };
        if let (table, Some(facts)) = std::mem::replace(&mut self.current, (table, facts)) {
            let table = table.with_unique_keys(facts.unique_keys).served_with(self.hidden_key);
            self.into.push(PackedTable::new(&table));
        }
    }
}

async fn tables_of(
    connection: &mut Connection,
    (schema, hidden_key): (&str, Option<HiddenKey>),
    into: &mut Vec<PackedTable>,
) -> Result<(), SourceError> {
    let facts = facts_of(connection, schema).await?;
    let current = (Table::default(), None);
    let mut reading = Reading { schema, hidden_key, facts, current, into };
    // Names that differ in case only are equal to the usual order.
    let columns = format!(
        "SELECT table_name, column_name, column_type, is_nullable, character_set_name \
         FROM information_schema.columns WHERE table_schema = {} \
         ORDER BY CAST(table_name AS BINARY), ordinal_position",
        quoted(schema)
    );
    connection.query_each(&columns, |row| reading.take(row)).await?;
    reading.begin(String::new());
    Ok(())
}

/// Of views there are none, nor of tables with implicit versioning: these have columns that are not
/// listed, and are read one by one.
async fn facts_of(
    connection: &mut Connection,
    schema: &str,
) -> Result<HashMap<String, Facts>, SourceError> {
    let of = quoted(schema);
    let kinds = format!(
        "SELECT table_name, table_collation FROM information_schema.tables \
         WHERE table_schema = {of} AND table_type IN ('BASE TABLE', 'SEQUENCE')"
    );
    let mut all: HashMap<String, Facts> = HashMap::new();
    let take = |row: Row| {
        let mut fields = row.into_iter().map(Option::unwrap_or_default);
        let name = fields.next().unwrap_or_default();
        let charset = fields.next().and_then(|collation| charset_of(&collation));
        let charset = charset.filter(|charset| !charset.is_empty());
        all.insert(name, Facts { charset, ..Facts::default() });
    };
    connection.query_each(&kinds, take).await?;
    let keys = format!(
        "SELECT table_name, column_name FROM information_schema.statistics \
         WHERE table_schema = {of} AND index_name = 'PRIMARY'"
    );
    let take = |row: Row| {
        let mut fields = row.into_iter().map(Option::unwrap_or_default);
        let facts = fields.next().and_then(|name| all.get_mut(&name));
        if let (Some(facts), Some(column)) = (facts, fields.next()) {
            facts.key.push(column);
        }
    };
    connection.query_each(&keys, take).await?;
    unique_keys(connection, &format!("table_schema = {of}"), |table, key| {
        if let Some(facts) = all.get_mut(table) {
            facts.unique_keys.push(key);
        }
    })
    .await?;
    let expressions = format!(
        "SELECT DISTINCT table_name FROM information_schema.statistics \
         WHERE table_schema = {of} AND expression IS NOT NULL"
    );
    let take = |row: Row| {
        let name = row.into_iter().next().flatten();
        if let Some(facts) = name.and_then(|name| all.get_mut(&name)) {
            facts.has_functional_key = true;
        }
    };
    // Servers without such keys do not know the column.
    match connection.query_each(&expressions, take).await {
        Ok(()) | Err(SourceError::Server { .. }) => Ok(all),
        Err(error) => Err(error),
    }
}

/// The UNIQUE keys of tables, each with the name of its table. Only MariaDB's say something of the rows.
async fn unique_keys(
    connection: &mut Connection,
    of: &str,
    mut take: impl FnMut(&str, UniqueKey) + Send,
) -> Result<(), SourceError> {
    if connection.flavour() != Flavour::Mariadb {
        return Ok(());
    }
    let sql = format!(
        "SELECT table_name, index_name, column_name, sub_part, index_type \
         FROM information_schema.statistics \
         WHERE {of} AND non_unique = 0 AND index_name <> 'PRIMARY' \
         ORDER BY CAST(table_name AS BINARY), index_name, seq_in_index"
    );
    let mut last: Option<(String, UniqueKey)> = None;
    let each = |row: Row| {
        let mut fields = row.into_iter();
        let mut next = || fields.next().flatten();
        let (table, name) = (next().unwrap_or_default(), next().unwrap_or_default());
        let column = next().unwrap_or_default();
        let part = KeyPart { column, prefix: next().and_then(|len| len.parse().ok()) };
        let uses_hash = next().is_some_and(|kind| kind.eq_ignore_ascii_case("HASH"));
        match &mut last {
            Some((of, key)) if *of == table && key.name == name => key.parts.push(part),
            _ => {
                let key = UniqueKey { name, parts: vec![part], uses_hash };
                if let Some((table, key)) = last.replace((table, key)) {
                    take(&table, key);
                }
            }
        }
    };
    connection.query_each(&sql, each).await?;
    if let Some((table, key)) = last {
        take(&table, key);
    }
    Ok(())
}

/// The structure from `information_schema`, where `SHOW CREATE TABLE` cannot be read.
async fn columns(
    connection: &mut Connection,
    schema: &str,
    table: &str,
) -> Result<Option<Table>, SourceError> {
    let sql = format!(
        "SELECT column_name, column_type, column_key, is_nullable, character_set_name \
         FROM information_schema.columns WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        quoted(schema),
        quoted(table)
    );
    let mut found = Table { schema: schema.to_owned(), name: table.to_owned(), ..Table::default() };
    for row in connection.query(&sql).await? {
        let mut fields = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || fields.next().unwrap_or_default();
        let mut column = Column::new(&next(), &next());
        column.is_key = next() == "PRI";
        column.nullable = next() == "YES";
        column.charset = Some(next()).filter(|charset| !charset.is_empty());
        found.columns.push(column);
    }
    let of = format!("table_schema = {} AND table_name = {}", quoted(schema), quoted(table));
    let mut keys = Vec::new();
    unique_keys(connection, &of, |_, key| keys.push(key)).await?;
    let found = found.with_unique_keys(keys);
    Ok((!found.columns.is_empty()).then_some(found))
}
