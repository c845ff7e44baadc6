//! What the source writes into its binlog, for how long, and whether it sends it.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use towpath_binlog::event_type as t;
use towpath_source::{MysqlSource, Source, SourceConfig, SourceError, Start};

use super::super::findings::{Finding, Size, Span};
use super::{Answer, Checkup, Fault, Positions, Verdict, text};

/// A replica that is away for longer than this loses changes.
const KEPT_MIN: Duration = Duration::from_secs(24 * 3600);
/// How often the source is asked to send a heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(300);

impl Checkup<'_> {
    pub(super) async fn log_bin(&mut self) -> Result<(), Fault> {
        self.step = "log_bin";
        if self.variable("log_bin").await?.as_deref() == Some("0") {
            let text = "the binlog is off (log_bin = 0): no change is recorded";
            let fix = "start the server with --log-bin and --server-id";
            self.say(Verdict::Failure, text, fix);
            return Err(Fault::Told);
        }
        self.say(Verdict::Ok, "the binlog is on", "");
        Ok(())
    }

    pub(super) async fn binlog_format(&mut self) -> Result<(), Fault> {
        self.step = "binlog_format";
        let fix = "SET GLOBAL binlog_format = 'ROW', write it into the server's configuration too, \
                   and reconnect the writers: sessions keep what they began with";
        match self.variable("binlog_format").await?.as_deref() {
            Some("STATEMENT") => {
                let text = "binlog_format is STATEMENT: there are no rows in the binlog";
                self.say(Verdict::Failure, text, fix);
            }
            Some("MIXED") => {
                let text = "binlog_format is MIXED: some changes come as statements, without rows";
                self.say(Verdict::Warning, text, fix);
            }
            Some(format) => self.say(Verdict::Ok, format, ""),
            None => self.say(Verdict::Ok, "the server knows nothing but ROW", ""),
        }
        Ok(())
    }

    pub(super) async fn row_image(&mut self) -> Result<(), Fault> {
        self.step = "row_image";
        match self.variable("binlog_row_image").await?.as_deref() {
            None | Some("FULL") => {
                self.say(Verdict::Ok, "binlog_row_image: rows come with all their columns", "");
            }
            Some("FULL_NODUP") => {
                let text = "binlog_row_image is FULL_NODUP: rows come with all their columns; those that \
                            an update leaves alone are taken from its before image";
                self.say(Verdict::Ok, text, "");
            }
            Some("MINIMAL") => {
                let text = "binlog_row_image is MINIMAL: an insert comes without the columns that it \
                            left to their defaults, an update without those that it left alone, its \
                            key in the before image only, a delete with nothing but the key";
                let fix = "SET GLOBAL binlog_row_image = 'FULL', if a client needs them";
                self.say(Verdict::Warning, text, fix);
            }
            Some("NOBLOB") => {
                let text = "binlog_row_image is NOBLOB: TEXT and BLOB columns come only where they were \
                            written";
                let fix = "SET GLOBAL binlog_row_image = 'FULL', if a client needs them";
                self.say(Verdict::Warning, text, fix);
            }
            Some(image) => {
                let text = format!(
                    "binlog_row_image is {image}, which is not known here: columns may be missing"
                );
                let fix = "SET GLOBAL binlog_row_image = 'FULL'";
                self.say(Verdict::Warning, text, fix);
            }
        }
        Ok(())
    }

    pub(super) async fn row_metadata(&mut self) -> Result<(), Fault> {
        self.step = "row_metadata";
        match self.variable("binlog_row_metadata").await?.as_deref() {
            Some("FULL") => {
                let text = "binlog_row_metadata is FULL: column names come with the changes";
                self.say(Verdict::Ok, text, "");
            }
            Some(metadata) => {
                let text = format!(
                    "binlog_row_metadata is {metadata}: column names are followed through DDL instead"
                );
                let fix = "SET GLOBAL binlog_row_metadata = 'FULL' makes old changes readable whatever \
                           became of their table";
                self.say(Verdict::Note, text, fix);
            }
            None => {
                let text = "the server is too old for binlog_row_metadata";
                self.say(Verdict::Note, text, "");
            }
        }
        Ok(())
    }

    /// `binlog_do_db` and `binlog_ignore_db`.
    pub(super) fn binlog_filter(&mut self) {
        self.step = "binlog_filter";
        let field = |column| self.status.as_ref().and_then(|row| text(row, column));
        let (only, never) = (field(2).unwrap_or_default(), field(3).unwrap_or_default());
        let filter = match (only.as_str(), never.as_str()) {
            ("", "") => {
                let text = "the binlog leaves no database out";
                return self.say(Verdict::Ok, text, "");
            }
            (only, "") => format!("only of {only} (binlog_do_db)"),
            ("", never) => format!("not of {never} (binlog_ignore_db)"),
            (only, never) => {
                format!("only of {only} (binlog_do_db), not of {never} (binlog_ignore_db)")
            }
        };
        let fix =
            "changes elsewhere never arrive: take the option out of the server's configuration";
        self.say(Verdict::Warning, format!("the binlog has changes {filter}"), fix);
    }

    pub(super) async fn server_id(&mut self) -> Result<(), Fault> {
        self.step = "server_id";
        match self.variable("server_id").await?.as_deref() {
            Some("0") => {
                let text = "server_id is 0: the server refuses every replica";
                let fix =
                    "SET GLOBAL server_id = 1 (unique among all servers), and in its configuration";
                self.say(Verdict::Failure, text, fix);
            }
            id => self.say(Verdict::Ok, id.unwrap_or("not known"), ""),
        }
        Ok(())
    }

    pub(super) async fn gtid(&mut self) -> Result<(), Fault> {
        self.step = "gtid";
        if self.inspector.is_mariadb() {
            let strict = self.variable("gtid_strict_mode").await?;
            let place = self.variable("gtid_binlog_pos").await?.unwrap_or_default();
            let (is_strict, text) = match strict.as_deref() {
                Some("1") => (true, format!("gtid_strict_mode is on, the binlog is at `{place}`")),
                _ => (false, format!("gtid_strict_mode is off, the binlog is at `{place}`")),
            };
            let fix = "SET GLOBAL gtid_strict_mode = ON keeps servers from diverging, before a \
                       failover by GTID";
            let verdict = if is_strict { Verdict::Ok } else { Verdict::Note };
            self.say(verdict, text, if is_strict { "" } else { fix });
            return Ok(());
        }
        match self.variable("gtid_mode").await?.as_deref() {
            Some("ON") => self.say(Verdict::Ok, "gtid_mode is ON", ""),
            Some("OFF") | None => {
                let text = "gtid_mode is OFF: positions are files and offsets of this very server";
                let fix = "gtid_mode = ON lets replicas follow a failover to another server";
                self.say(Verdict::Note, text, fix);
            }
            Some(mode) => {
                let text =
                    format!("gtid_mode is {mode}: transactions with and without GTID are mixed");
                let fix = "go on to gtid_mode = ON, or back to OFF";
                self.say(Verdict::Warning, text, fix);
            }
        }
        Ok(())
    }

    /// A replica that does not write down what it replicates.
    pub(super) async fn upstream(&mut self) -> Result<(), Fault> {
        self.step = "upstream";
        let answer = match self.ask("SHOW REPLICA STATUS").await? {
            Answer::Refused { errno: 1064, .. } => self.ask("SHOW SLAVE STATUS").await?,
            other @ (Answer::Rows(_) | Answer::Refused { .. }) => other,
        };
        let rows = match answer {
            Answer::Rows(rows) => rows,
            Answer::Refused { message, .. } => {
                let text = format!("whether it is a replica itself is not shown: {message}");
                self.say(Verdict::Note, text, "");
                return Ok(());
            }
        };
        let logs = match self.variable("log_slave_updates").await? {
            Some(value) => Some(value),
            None => self.variable("log_replica_updates").await?,
        };
        match (rows.is_empty(), logs.as_deref()) {
            (true, _) => self.say(Verdict::Ok, "it is no replica of another server", ""),
            (false, Some("0")) => {
                let text =
                    "it is a replica that does not log what it replicates (log_slave_updates = 0)";
                let fix =
                    "start it with --log-slave-updates, or follow the server that it replicates";
                self.say(Verdict::Failure, text, fix);
            }
            (false, _) => {
                self.say(Verdict::Ok, "it is a replica, and logs what it replicates", "");
            }
        }
        Ok(())
    }

    /// For how long binlog files are kept.
    pub(super) async fn expire(&mut self) -> Result<(), Fault> {
        self.step = "expire";
        let number = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
        let seconds = number(self.variable("binlog_expire_logs_seconds").await?).unwrap_or(0.0);
        let days = number(self.variable("expire_logs_days").await?).unwrap_or(0.0);
        let size = self.variable("max_binlog_total_size").await?;
        let size = size.and_then(|text| text.parse::<u64>().ok()).filter(|size| *size > 0);
        let kept = if seconds > 0.0 { seconds } else { days * 86_400.0 };
        let kept = Duration::try_from_secs_f64(kept).unwrap_or_default();
        let fix = "a replica that is away for longer loses changes: SET GLOBAL \
                   binlog_expire_logs_seconds = 604800 (expire_logs_days = 7 on older servers)";
        if let Some(size) = size {
            let text = format!("files are purged above {} (max_binlog_total_size)", Size(size));
            self.say(Verdict::Note, text, "");
        } else if kept.is_zero() {
            self.say(
                Verdict::Note,
                "binlog files are kept for ever: they fill the disk one day",
                "",
            );
        } else if kept < KEPT_MIN {
            self.say(
                Verdict::Warning,
                format!("binlog files are kept for {} only", Span(kept)),
                fix,
            );
        } else {
            self.say(Verdict::Ok, format!("binlog files are kept for {}", Span(kept)), "");
        }
        Ok(())
    }

    pub(super) async fn binlog_files(&mut self) -> Result<(), Fault> {
        self.step = "binlog_files";
        match self.ask("SHOW BINARY LOGS").await? {
            Answer::Rows(rows) => {
                let mut positions = Positions::read(&rows, &self.about);
                if !self.inspector.is_mariadb() {
                    positions.purged = self.variable("gtid_purged").await?;
                }
                self.say(Verdict::Ok, positions.to_string(), "");
                self.positions = Some(positions);
            }
            Answer::Refused { message, .. } => {
                let text = format!("they are not shown: {message}");
                self.say(Verdict::Failure, text, "see binlog_status");
            }
        }
        Ok(())
    }

    /// Reads as a replica would, until something comes.
    pub(super) async fn dump(&mut self) {
        self.step = "dump";
        let begun = Instant::now();
        let deadline = self.options.deadline;
        let finding = match timeout(deadline, self.first_event()).await {
            Ok(Ok(what)) => {
                let text = format!("REPLICATION SLAVE is granted, the dump runs: {what} arrived");
                Finding::ok(self.step, &self.about, text)
            }
            Ok(Err(error)) => Finding::failure(self.step, &self.about, error.to_string())
                .fix(error.hint().unwrap_or_default()),
            Err(_) => {
                let text = format!(
                    "neither an event nor a heartbeat arrived within {} s",
                    deadline.as_secs()
                );
                Finding::failure(self.step, &self.about, text)
                    .fix("look at the dump's state in SHOW PROCESSLIST of the source")
            }
        };
        self.findings.add(&finding.took(begun.elapsed()));
    }

    async fn first_event(&self) -> Result<&'static str, SourceError> {
        let config = SourceConfig {
            destination: "doctor".to_owned(),
            heartbeat: HEARTBEAT,
            read_timeout: self.options.deadline,
            ..SourceConfig::default()
        };
        let source = MysqlSource::open(self.url.clone(), config, &Start::Now).await?;
        let mut source = Source::Mysql(Box::new(source));
        let what = loop {
            match source.next_event()? {
                None => drop(source.fill().await?),
                Some(event)
                    if matches!(event.header.event_type, t::HEARTBEAT | t::HEARTBEAT_V2) =>
                {
                    break "a heartbeat";
                }
                Some(event)
                    if event.header.is_artificial()
                        || event.header.event_type == t::FORMAT_DESCRIPTION => {}
                Some(_) => break "an event",
            }
        };
        source.close().await;
        Ok(what)
    }
}
