//! Positions as GTID sets: what a source has executed and still keeps, and which set a file position
//! stands for (mysql-source 1.6, 3.3).

use towpath_binlog::event::GtidEvent;
use towpath_binlog::{
    MariadbGtidSet, MysqlGtidSet, ParseError, RawEvent, StreamError, event_type as t,
};

use super::boundary::Boundaries;
use super::dialect::{self, Flavour};
use super::{FILL_TIMEOUT, From, find};
use crate::connection::Connection;
use crate::error::{Lost, SourceError};
use crate::url::SourceUrl;

/// Longest part of a set that a message shows.
const SHOWN_LEN: usize = 300;

pub(super) fn shown(set: &str) -> String {
    if set.is_empty() {
        return "an empty set".to_owned();
    }
    if set.chars().count() <= SHOWN_LEN {
        return set.to_owned();
    }
    let head: String = set.chars().take(SHOWN_LEN).collect();
    format!("{head}... ({} characters)", set.len())
}

fn bad_set(flavour: Flavour, set: &str, reason: &dyn std::fmt::Display) -> SourceError {
    let looks = match flavour {
        Flavour::Mysql => {
            "the source is MySQL, whose sets look like \
            3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77"
        }
        Flavour::Mariadb => "the source is MariaDB, whose sets look like 0-1-100,1-2-7",
    };
    SourceError::Start { start: format!("gtid:{set}"), reason: format!("{reason}; {looks}") }
}

pub(super) fn parse_mysql(set: &str) -> Result<MysqlGtidSet, SourceError> {
    MysqlGtidSet::parse(set).map_err(|e| bad_set(Flavour::Mysql, set, &e))
}

pub(super) fn parse_mariadb(set: &str) -> Result<MariadbGtidSet, SourceError> {
    MariadbGtidSet::parse(set).map_err(|e| bad_set(Flavour::Mariadb, set, &e))
}

/// What the server has executed. By a select: `SHOW VARIABLES` cuts long sets off (T-POS-7).
async fn executed(connection: &mut Connection) -> Result<String, SourceError> {
    let sql = match connection.flavour() {
        Flavour::Mysql => "SELECT @@global.gtid_executed",
        Flavour::Mariadb => "SELECT @@global.gtid_binlog_pos",
    };
    Ok(connection.scalar(sql).await?.unwrap_or_default())
}

/// What was executed before the first event that is left.
async fn purged(connection: &mut Connection) -> Result<String, SourceError> {
    match connection.flavour() {
        Flavour::Mysql => {
            Ok(connection.scalar("SELECT @@global.gtid_purged").await?.unwrap_or_default())
        }
        Flavour::Mariadb => {
            let files = dialect::files(connection).await?;
            let first = files.into_iter().next().map(|file| file.name).unwrap_or_default();
            mariadb_state(connection, &first, 4).await
        }
    }
}

async fn mariadb_state(
    connection: &mut Connection,
    file: &str,
    offset: u64,
) -> Result<String, SourceError> {
    let name = file.replace('\\', "\\\\").replace('\'', "''");
    let sql = format!("SELECT BINLOG_GTID_POS('{name}', {offset})");
    connection.scalar(&sql).await?.ok_or_else(|| SourceError::InsideEvent {
        address: connection.address.clone(),
        file: file.to_owned(),
        offset,
        reason: "BINLOG_GTID_POS knows no GTID state there".to_owned(),
    })
}

/// Refuses a source on which a GTID set is no position.
pub(super) async fn check_mode(connection: &mut Connection) -> Result<(), SourceError> {
    if connection.flavour() == Flavour::Mariadb {
        return Ok(());
    }
    let mode = match connection.scalar("SELECT @@global.gtid_mode").await {
        Ok(mode) => mode.unwrap_or_default(),
        // MySQL 5.5 does not know it.
        Err(SourceError::Server { .. }) => "OFF".to_owned(),
        Err(error) => return Err(error),
    };
    if mode == "ON" {
        return Ok(());
    }
    // With the permissive modes some transactions have no GTID: a set would leave them out.
    Err(connection.setup(format!(
        "gtid_mode is {mode} on the source, so a GTID set is no position there: follow it by file \
         and offset, or set gtid_mode = ON"
    )))
}

/// Compares a set with what the source has and keeps, before it is asked for.
pub(super) async fn check(connection: &mut Connection, set: &str) -> Result<(), SourceError> {
    let (executed, purged) = (executed(connection).await?, purged(connection).await?);
    let (ahead, missing) = match connection.flavour() {
        Flavour::Mysql => {
            let wanted = parse_mysql(set)?;
            let ahead = wanted.subtract(&parse_mysql(&executed)?);
            let missing = parse_mysql(&purged)?.subtract(&wanted);
            (ahead.to_string(), missing.to_string())
        }
        Flavour::Mariadb => {
            let wanted = parse_mariadb(set)?;
            let ahead = beyond(&wanted, &parse_mariadb(&executed)?);
            (ahead, beyond(&parse_mariadb(&purged)?, &wanted))
        }
    };
    let address = connection.address.clone();
    if !ahead.is_empty() {
        let has = shown(&executed);
        return Err(SourceError::Behind { address, missing: shown(&ahead), has });
    }
    if missing.is_empty() {
        return Ok(());
    }
    let first = dialect::files(connection).await?.into_iter().next();
    let kept = format!(
        "{}:4 and later; it has purged {}, which are not in the set",
        first.map(|file| file.name).unwrap_or_default(),
        shown(&missing)
    );
    let wanted = format!("gtid:{}", shown(set));
    Err(SourceError::Purged { address, wanted, kept, lost: Lost::Purged })
}

/// Whether nothing of a set is left in the source's binlog.
pub(super) async fn is_purged(connection: &mut Connection, set: &str) -> Result<bool, SourceError> {
    let purged = purged(connection).await?;
    Ok(match connection.flavour() {
        Flavour::Mysql => parse_mysql(&purged)?.contains(&parse_mysql(set)?),
        Flavour::Mariadb => beyond(&parse_mariadb(set)?, &parse_mariadb(&purged)?).is_empty(),
    })
}

/// The domains in which `a` is further than `b`.
fn beyond(a: &MariadbGtidSet, b: &MariadbGtidSet) -> String {
    let mut ahead = MariadbGtidSet::default();
    for (domain, server, sequence) in a.iter() {
        let reached = b.iter().find(|(other, ..)| *other == domain).map_or(0, |(.., n)| n);
        if sequence > reached {
            ahead.update(domain, server, sequence);
        }
    }
    ahead.to_string()
}

/// The set that stands for a file position.
pub(super) async fn of_position(
    url: &SourceUrl,
    connection: &mut Connection,
    (file, offset): (&str, u64),
    server_id: u32,
) -> Result<From, SourceError> {
    check_mode(connection).await?;
    if connection.flavour() == Flavour::Mariadb {
        // Refuses what is no event. Behind its GTID event a transaction counts as executed.
        mariadb_state(connection, file, offset).await?;
        let begin = find::transaction_begin(url, (file, offset), server_id).await?;
        return mariadb_state(connection, file, begin).await.map(From::Gtid);
    }
    let mut dump = find::open(url, file, server_id).await?;
    let set = MysqlGtidSet::default();
    let mut scan = Scan { file, offset, set, open: None, boundaries: Boundaries::new() };
    loop {
        while let Some(event) = dump.next_event()? {
            if !scan.event(&event)? {
                return Ok(From::Gtid(scan.set.to_string()));
            }
        }
        match dump.fill(FILL_TIMEOUT).await {
            Ok(()) => {}
            // The end of the last file.
            Err(SourceError::Ended { .. }) => return Ok(From::Gtid(scan.set.to_string())),
            Err(error) => return Err(error),
        }
    }
}

/// Reads a file up to an offset, adding up the transactions that end before it.
struct Scan<'a> {
    file: &'a str,
    offset: u64,
    set: MysqlGtidSet,
    /// Of the transaction whose end is still to come.
    open: Option<GtidEvent>,
    boundaries: Boundaries,
}

impl Scan<'_> {
    /// False when the offset is reached.
    fn event(&mut self, event: &RawEvent<'_>) -> Result<bool, SourceError> {
        if event.header.is_artificial() {
            return Ok(true);
        }
        let kind = event.header.event_type;
        // What the file takes for granted counts at its very begin, too.
        let leads = matches!(kind, t::FORMAT_DESCRIPTION | t::PREVIOUS_GTIDS);
        if *event.file != *self.file || (event.end > self.offset && !leads) {
            return Ok(false);
        }
        let bad = |fault: ParseError| StreamError {
            file: event.file.to_string(),
            offset: event.start,
            event_type: kind,
            source: fault.into(),
        };
        match kind {
            t::PREVIOUS_GTIDS => self.set = MysqlGtidSet::decode(event.body).map_err(bad)?,
            t::GTID => self.open = Some(GtidEvent::parse(event.body).map_err(bad)?),
            t::GTID_TAGGED => self.open = Some(GtidEvent::parse_tagged(event.body).map_err(bad)?),
            _ => {}
        }
        if self.boundaries.event(event)?
            && let Some(gtid) = self.open.take()
        {
            self.set.add(gtid.uuid, &gtid.tag, gtid.number);
        }
        Ok(true)
    }
}

/// A start by GTID at one end of what the source has, by name (T-POS-3).
pub(super) async fn at_end(
    url: &SourceUrl,
    connection: &mut Connection,
    end: End,
    server_id: u32,
) -> Result<From, SourceError> {
    check_mode(connection).await?;
    let set = match end {
        End::Oldest => {
            if connection.flavour() == Flavour::Mysql {
                check_oldest(url, connection, server_id).await?;
            }
            purged(connection).await?
        }
        End::Newest => executed(connection).await?,
    };
    Ok(From::Gtid(set.replace('\n', "")))
}

/// A set, and all that lies before one end of what the source has.
pub(super) async fn joined(
    connection: &mut Connection,
    set: &str,
    end: End,
) -> Result<From, SourceError> {
    let other = match end {
        End::Oldest => purged(connection).await?,
        End::Newest => executed(connection).await?,
    };
    let joined = match connection.flavour() {
        Flavour::Mysql => {
            let mut joined = parse_mysql(set)?;
            joined.union(&parse_mysql(&other)?);
            joined.to_string()
        }
        Flavour::Mariadb => {
            let (mut joined, other) = (parse_mariadb(set)?, parse_mariadb(&other)?);
            for (domain, server, sequence) in parse_mariadb(&beyond(&other, &joined))?.iter() {
                joined.update(domain, server, sequence);
            }
            joined.to_string()
        }
    };
    Ok(From::Gtid(joined))
}

/// Refuses a binlog that begins with transactions without GTIDs: the server would leave them out
/// without a word.
async fn check_oldest(
    url: &SourceUrl,
    connection: &mut Connection,
    server_id: u32,
) -> Result<(), SourceError> {
    let files = dialect::files(connection).await?;
    let first = files.into_iter().next().map(|file| file.name).unwrap_or_default();
    let anonymous = || {
        connection.setup(format!(
            "the oldest transactions have no GTID ({first}), so a set would leave them out: begin \
             behind them, or set gtid_mode = ON_PERMISSIVE and read them without --gtid"
        ))
    };
    let mut dump = find::open(url, &first, server_id).await?;
    loop {
        while let Some(event) = dump.next_event()? {
            match event.header.event_type {
                t::GTID | t::GTID_TAGGED => return Ok(()),
                t::ANONYMOUS_GTID => return Err(anonymous()),
                _ => {}
            }
        }
        match dump.fill(FILL_TIMEOUT).await {
            Ok(()) => {}
            // Nothing was written yet.
            Err(SourceError::Ended { .. }) => return Ok(()),
            // With gtid_mode = ON the server itself stops there.
            Err(SourceError::Server { message, .. })
                if message.contains("anonymous transaction") =>
            {
                return Err(anonymous());
            }
            Err(error) => return Err(error),
        }
    }
}

/// One end of the binlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    Newest,
}
