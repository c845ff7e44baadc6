//! A source: can it be reached, read as a replica would, and does it write what is needed?

mod account;
mod binlog;
mod positions;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::time::{Instant, timeout};
use towpath_source::{Inspector, SourceError, SourceUrl};

use super::findings::{Finding, Findings, Span, Verdict};
use super::{Options, reach};

pub(super) use positions::{Positions, Standing};

/// In the order in which they are done.
const STEPS: [&str; 20] = [
    "resolve",
    "connect",
    "login",
    "version",
    "clock",
    "select",
    "binlog_status",
    "replicas",
    "log_bin",
    "binlog_format",
    "row_image",
    "row_metadata",
    "binlog_filter",
    "server_id",
    "gtid",
    "upstream",
    "expire",
    "binlog_files",
    "dump",
    "tables",
];

/// A clock further away than this makes ages and lags wrong.
const CLOCK_DIFFERENCE_MAX_S: f64 = 2.0;

type Row = Vec<Option<String>>;

/// Why the rest cannot be looked at.
#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It was told already.
    #[error("told already")]
    Told,
}

/// What the server says to a statement.
enum Answer {
    Rows(Vec<Row>),
    Refused { errno: u16, message: String },
}

struct Checkup<'a> {
    findings: &'a mut Findings,
    url: &'a SourceUrl,
    options: &'a Options,
    /// Host and port.
    about: String,
    inspector: Inspector,
    /// The step that is under way.
    step: &'static str,
    /// The account as statements write it.
    account: String,
    /// The row of SHOW BINARY LOG STATUS.
    status: Option<Row>,
    positions: Option<Positions>,
}

/// Checks a source; what it still has, if that can be known.
pub(super) async fn run(
    findings: &mut Findings,
    url: &SourceUrl,
    options: &Options,
) -> Option<Positions> {
    let about = url.address();
    let inspector = match open(findings, url, options.deadline).await {
        Ok(inspector) => inspector,
        Err(failed) => {
            findings.skip_after(&STEPS, failed, &about);
            return None;
        }
    };
    let mut checkup = Checkup {
        findings,
        url,
        options,
        about,
        inspector,
        step: "version",
        account: String::new(),
        status: None,
        positions: None,
    };
    if let Err(fault) = checkup.all().await {
        checkup.give_up(&fault);
    }
    checkup.positions
}

async fn open(
    findings: &mut Findings,
    url: &SourceUrl,
    deadline: Duration,
) -> Result<Inspector, &'static str> {
    const STEP: &str = "login";
    let about = url.address();
    drop(reach::steps(findings, &about, deadline).await?);
    let begun = Instant::now();
    let (text, hint) = match timeout(deadline, Inspector::open(url)).await {
        Ok(Ok(inspector)) => {
            let tls = if inspector.is_encrypted() { "under TLS" } else { "in clear" };
            let text = format!("as `{}` by {}, {tls}", url.user, inspector.plugin());
            findings.add(&Finding::ok(STEP, &about, text).took(begun.elapsed()));
            return Ok(inspector);
        }
        Ok(Err(error)) => (error.to_string(), error.hint().unwrap_or_default()),
        Err(_) => (
            format!(
                "it accepts connections and says nothing: no login within {} s",
                deadline.as_secs()
            ),
            "the server may hang or be overloaded, something in between may swallow the bytes, or it \
             is no MySQL server: check host and port, and the server's error log",
        ),
    };
    findings.add(&Finding::failure(STEP, &about, text).fix(hint));
    Err(STEP)
}

impl Checkup<'_> {
    async fn all(&mut self) -> Result<(), Fault> {
        self.version().await?;
        self.clock().await?;
        self.account().await?;
        self.select().await?;
        self.binlog_status().await?;
        self.replicas().await?;
        self.log_bin().await?;
        self.binlog_format().await?;
        self.row_image().await?;
        self.row_metadata().await?;
        self.binlog_filter();
        self.server_id().await?;
        self.gtid().await?;
        self.upstream().await?;
        self.expire().await?;
        self.binlog_files().await?;
        self.dump().await;
        self.tables().await
    }

    fn give_up(&mut self, fault: &Fault) {
        let hint = match fault {
            Fault::Source(error) => error.hint().unwrap_or_default(),
            Fault::Late(_) => "the server is overloaded, or the link is: try again, or --deadline",
            Fault::Told => "",
        };
        if !matches!(fault, Fault::Told) {
            self.say(Verdict::Failure, fault.to_string(), hint);
        }
        self.findings.skip_after(&STEPS, self.step, &self.about);
    }

    /// A finding of the step that is under way.
    fn say(&mut self, verdict: Verdict, text: impl Into<String>, fix: impl Into<String>) {
        self.findings.add(&Finding::new(verdict, self.step, &self.about, text).fix(fix));
    }

    async fn ask(&mut self, sql: &str) -> Result<Answer, Fault> {
        let deadline = self.options.deadline;
        match timeout(deadline, self.inspector.query(sql)).await {
            Ok(Ok(rows)) => Ok(Answer::Rows(rows)),
            Ok(Err(SourceError::Server { errno, message, .. })) => {
                Ok(Answer::Refused { errno, message })
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Fault::Late(deadline)),
        }
    }

    /// The first value of a statement; none when the server refuses it.
    async fn value(&mut self, sql: &str) -> Result<Option<String>, Fault> {
        match self.ask(sql).await? {
            Answer::Rows(rows) => Ok(rows.into_iter().next().and_then(|row| text(&row, 0))),
            Answer::Refused { .. } => Ok(None),
        }
    }

    /// A global variable; none where the server does not have it.
    async fn variable(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.value(&format!("SELECT @@global.{name}")).await
    }

    async fn version(&mut self) -> Result<(), Fault> {
        self.step = "version";
        let full = self.inspector.version().to_owned();
        let comment = self.variable("version_comment").await?.unwrap_or_default();
        let mariadb = self.inspector.is_mariadb();
        let (name, oldest) = if mariadb { ("MariaDB", (10, 2)) } else { ("MySQL", (5, 7)) };
        let text = format!("{name} {} ({comment})", without_prefix(&full));
        match numbers(&full) {
            Some(version) if version < oldest => self.say(
                Verdict::Warning,
                format!("{text}: older than what is tested ({}.{})", oldest.0, oldest.1),
                "it may work; try it with towpath tail",
            ),
            Some(_) => self.say(Verdict::Ok, text, ""),
            None => self.say(Verdict::Note, format!("{text}: a version that is not known"), ""),
        }
        Ok(())
    }

    async fn clock(&mut self) -> Result<(), Fault> {
        self.step = "clock";
        let before = unix_s();
        let theirs = self.value("SELECT UNIX_TIMESTAMP(NOW(6))").await?;
        let (after, theirs) = (unix_s(), theirs.and_then(|text| text.parse::<f64>().ok()));
        let Some(theirs) = theirs else {
            self.say(Verdict::Note, "the server does not tell its time", "");
            return Ok(());
        };
        let difference = theirs - f64::midpoint(before, after);
        let word = if difference < 0.0 { "behind" } else { "ahead of" };
        let shown = Span(Duration::try_from_secs_f64(difference.abs()).unwrap_or(Duration::MAX));
        let text = format!("its clock is {shown} {word} this machine's");
        if difference.abs() > CLOCK_DIFFERENCE_MAX_S {
            let fix = "set both by NTP: lags, and starts by time, are off by as much";
            self.say(Verdict::Warning, text, fix);
        } else {
            self.say(Verdict::Ok, text, "");
        }
        Ok(())
    }
}

fn text(row: &Row, column: usize) -> Option<String> {
    row.get(column).cloned().flatten()
}

fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// MariaDB's version may have one of MySQL before it.
fn without_prefix(version: &str) -> &str {
    version.strip_prefix("5.5.5-").unwrap_or(version)
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = without_prefix(version).split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(numbers("5.5.5-10.11.19-MariaDB-0+deb12u1-log"), Some((10, 11)));
        assert_eq!(numbers("9.7.4"), Some((9, 7)));
        assert_eq!(numbers("8.4-suffix"), Some((8, 4)));
        assert_eq!(numbers("x"), None);
    }
}
