//! A session on the server, and what is known of its settings.

use std::collections::BTreeSet;

use towpath_testkit::{Feature, Random, Server, SqlSession, Version};

use super::super::without;
use super::world::Name;

/// See the module.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "settings that do not depend on each other")]
pub(crate) struct Client {
    session: SqlSession,
    pub(crate) version: Version,
    /// Its default database.
    pub(crate) database: Option<String>,
    /// Tables that it made temporary.
    pub(crate) temporary: BTreeSet<Name>,
    pub(crate) in_transaction: bool,
    pub(crate) has_ansi_quotes: bool,
    pub(crate) mode: String,
    /// Its rows: ids from here on.
    pub(crate) first_id: u64,
    /// What it ran, for whoever looks into a failure.
    pub(crate) ran: Vec<String>,
}

/// What holds for every session: it waits for nobody for long.
const BASE: &str = "SET SESSION lock_wait_timeout = 1; SET SESSION innodb_lock_wait_timeout = 1;
     SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET time_zone = '+00:00';";

impl Client {
    pub(crate) fn open(server: &Server, first_id: u64, random: &mut Random) -> Self {
        let mut client = Self {
            session: SqlSession::open(server),
            version: server.version(),
            database: None,
            temporary: BTreeSet::new(),
            in_transaction: false,
            has_ansi_quotes: false,
            mode: String::new(),
            first_id,
            ran: Vec::new(),
        };
        client.session.run(BASE);
        client.settings(random);
        client
    }

    /// Whether it succeeds.
    pub(crate) fn run(&mut self, sql: &str) -> bool {
        let said = self.session.try_run(sql);
        let mut line: String = sql.chars().take(300).collect();
        if !said.is_empty() {
            let error = said.lines().find(|line| line.starts_with("ERROR")).unwrap_or(&said);
            line.push_str(&format!(" -- {error}"));
        }
        self.ran.push(line);
        said.is_empty()
    }

    /// Settings of a session, chosen anew.
    pub(crate) fn settings(&mut self, random: &mut Random) {
        if self.in_transaction {
            return;
        }
        if !without("modes") {
            self.choose_mode(random);
        }
        let mut sql = String::new();
        let version = self.version;
        if version.has(Feature::RowImage) {
            let has_nodup = matches!(version, Version::Mariadb114 | Version::Mariadb118);
            let fourth = if has_nodup { "FULL_NODUP" } else { "FULL" };
            let image = random.pick(&["FULL", "MINIMAL", "NOBLOB", fourth]);
            let image = if without("minimal") { "FULL" } else { image };
            sql.push_str(&format!("SET SESSION binlog_row_image = {image};"));
        }
        if version.is_mariadb() && version != Version::Mariadb102 {
            let two_phase = random.pick(&["ON", "OFF"]);
            sql.push_str(&format!("SET SESSION binlog_alter_two_phase = {two_phase};"));
        }
        if version.has(Feature::TransactionCompression) {
            let on = random.pick(&["ON", "OFF"]);
            sql.push_str(&format!("SET SESSION binlog_transaction_compression = {on};"));
        }
        self.run(&sql);
    }

    /// Every mode of both vendors that changes what text means.
    fn choose_mode(&mut self, random: &mut Random) {
        let mut modes = vec![
            "ANSI_QUOTES",
            "NO_BACKSLASH_ESCAPES",
            "REAL_AS_FLOAT",
            "PIPES_AS_CONCAT",
            "IGNORE_SPACE",
            "HIGH_NOT_PRECEDENCE",
            "PAD_CHAR_TO_FULL_LENGTH",
            "ANSI",
            "",
            "",
        ];
        let has_others = matches!(self.version, Version::Mysql57 | Version::Mysql55);
        if has_others || self.version.is_mariadb() {
            modes.extend(["ORACLE", "MSSQL", "MAXDB", "DB2", "POSTGRESQL", "MYSQL40"]);
        }
        let mode = format!("{},{}", random.pick(&modes), random.pick(&modes));
        let mode = mode.trim_matches(',').to_owned();
        if self.run(&format!("SET SESSION sql_mode = '{mode}';")) {
            const QUOTES: &[&str] = &["ANSI", "ORACLE", "MSSQL", "MAXDB", "DB2", "POSTGRESQL"];
            self.has_ansi_quotes = QUOTES.iter().any(|quotes| mode.contains(quotes));
            self.mode = mode;
        }
    }

    /// The format in which its statements are logged now; it is `wanted` where the server lets it.
    pub(crate) fn log_as(&mut self, wanted: &str) -> String {
        self.run(&format!("SET SESSION binlog_format = {wanted};"));
        self.session.ask("SELECT @@SESSION.binlog_format;").concat()
    }

    /// Whether its statements on a table mean one that it made temporary.
    pub(crate) fn hides(&self, name: &Name) -> bool {
        self.temporary.contains(name)
    }
}
