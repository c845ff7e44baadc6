//! What differs between the versions and flavours of the servers: where each lies, how its data
//! folder is made, how it starts, and which words it knows. Nothing else asks for a version.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::cache;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MySQL 9.7, from Debian sid, run in its own root folder.
    Mysql97,
    /// MySQL 8.0.15.
    Mysql80,
    /// MySQL 5.7.22.
    Mysql57,
    /// MySQL 5.5.9: no checksums, no GTIDs, no fractions of seconds.
    Mysql55,
    /// MariaDB 11.8, from Debian sid, run in its own root folder.
    Mariadb118,
    /// MariaDB 11.4.5: the first whose events inside a transaction do not say where they end.
    Mariadb114,
    /// MariaDB 10.11, from the system's packages.
    Mariadb1011,
    /// MariaDB 10.2.11: no row metadata.
    Mariadb102,
}

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `binlog_row_image`.
    RowImage,
    /// `binlog_row_metadata`.
    RowMetadata,
    /// `binlog_row_value_options = PARTIAL_JSON`.
    PartialJson,
    /// `binlog_transaction_compression`.
    TransactionCompression,
    /// `log_bin_compress`.
    EventCompression,
    /// `binlog_checksum`.
    Checksum,
    /// GTIDs of MySQL.
    MysqlGtid,
    /// GTIDs with tags.
    TaggedGtid,
    /// GTIDs of MariaDB.
    MariadbGtid,
    /// A JSON type of its own.
    Json,
    /// Fractions of seconds, written in the new formats.
    Fractions,
    /// `ALTER TABLE ... RENAME COLUMN`.
    RenameColumn,
}

/// How a version's programs are called.
pub(crate) struct Layout {
    /// Folder in which the data folder is made.
    pub(crate) home: PathBuf,
    /// Folder that the server sees as `/`.
    root: Option<PathBuf>,
    program: PathBuf,
    base: Option<PathBuf>,
    /// Where data folders to copy are kept.
    pub(crate) templates: PathBuf,
}

impl Version {
    /// Every version, newest first.
    pub const ALL: [Self; 8] = [
        Self::Mysql97,
        Self::Mysql80,
        Self::Mysql57,
        Self::Mysql55,
        Self::Mariadb118,
        Self::Mariadb114,
        Self::Mariadb1011,
        Self::Mariadb102,
    ];

    /// MariaDB's side of the family.
    #[must_use]
    pub const fn is_mariadb(self) -> bool {
        match self {
            Self::Mysql97 | Self::Mysql80 | Self::Mysql57 | Self::Mysql55 => false,
            Self::Mariadb118 | Self::Mariadb114 | Self::Mariadb1011 | Self::Mariadb102 => true,
        }
    }

    /// Whether it has something.
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        match feature {
            Feature::RowImage | Feature::Checksum | Feature::Fractions => self != Self::Mysql55,
            Feature::RowMetadata => {
                !matches!(self, Self::Mysql57 | Self::Mysql55 | Self::Mariadb102)
            }
            Feature::PartialJson => matches!(self, Self::Mysql97 | Self::Mysql80),
            Feature::TransactionCompression | Feature::TaggedGtid => self == Self::Mysql97,
            Feature::EventCompression | Feature::MariadbGtid => self.is_mariadb(),
            Feature::MysqlGtid => !self.is_mariadb() && self != Self::Mysql55,
            Feature::Json => !self.is_mariadb() && self != Self::Mysql55,
            Feature::RenameColumn => {
                !matches!(self, Self::Mysql57 | Self::Mysql55 | Self::Mariadb102)
            }
        }
    }

    /// The statement that tells the end of the binlog.
    #[must_use]
    pub fn status_sql(self) -> &'static str {
        if self == Self::Mysql97 { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
    }

    /// The statement that begins the binlog anew at file 1.
    #[must_use]
    pub fn reset_sql(self) -> &'static str {
        if self == Self::Mysql97 { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" }
    }

    /// The statement that closes the binlog file and begins another.
    #[must_use]
    pub fn rotate_sql(self) -> &'static str {
        if self == Self::Mysql55 { "FLUSH LOGS" } else { "FLUSH BINARY LOGS" }
    }

    /// What a statement that this server does not survive begins with.
    #[must_use]
    pub const fn dies_of(self) -> Option<&'static str> {
        match self {
            // A recursive common table expression.
            Self::Mariadb102 => Some("set session group_concat_max_len="),
            Self::Mysql97
            | Self::Mysql80
            | Self::Mysql57
            | Self::Mysql55
            | Self::Mariadb118
            | Self::Mariadb114
            | Self::Mariadb1011 => None,
        }
    }

    /// Statements that make this server follow another from the beginning of its binlog.
    #[must_use]
    pub fn follow_sql(self, port: u16) -> String {
        let words = |word: &str| {
            format!(
                "{word}_HOST='127.0.0.1', {word}_PORT={port}, {word}_USER='canal', \
                 {word}_PASSWORD='canal'"
            )
        };
        match self {
            Self::Mysql97 => format!(
                "CHANGE REPLICATION SOURCE TO {}, SOURCE_AUTO_POSITION=1, \
                 GET_SOURCE_PUBLIC_KEY=1; START REPLICA;",
                words("SOURCE")
            ),
            Self::Mysql80 => format!(
                "CHANGE MASTER TO {}, MASTER_AUTO_POSITION=1, GET_MASTER_PUBLIC_KEY=1; START SLAVE;",
                words("MASTER")
            ),
            Self::Mysql57 => format!(
                "CHANGE MASTER TO {}, MASTER_AUTO_POSITION=1; START SLAVE;",
                words("MASTER")
            ),
            Self::Mysql55 => {
                let first = "MASTER_LOG_FILE='mysql-bin.000001', MASTER_LOG_POS=4";
                format!("CHANGE MASTER TO {}, {first}; START SLAVE;", words("MASTER"))
            }
            // In clear, which later ones have to be told.
            Self::Mariadb118 | Self::Mariadb114 | Self::Mariadb1011 | Self::Mariadb102 => format!(
                "CHANGE MASTER TO {}, MASTER_SSL=0, MASTER_USE_GTID=slave_pos; START SLAVE;",
                words("MASTER")
            ),
        }
    }

    pub(crate) fn promote_sql(self) -> &'static str {
        if self == Self::Mysql97 {
            "STOP REPLICA; RESET REPLICA ALL;"
        } else {
            "STOP SLAVE; RESET SLAVE ALL;"
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Mysql97 => "mysql-9.7",
            Self::Mysql80 => "mysql-8.0",
            Self::Mysql57 => "mysql-5.7",
            Self::Mysql55 => "mysql-5.5",
            Self::Mariadb118 => "mariadb-sid",
            Self::Mariadb114 => "mariadb-11.4",
            Self::Mariadb1011 => "mariadb-10.11",
            Self::Mariadb102 => "mariadb-10.2",
        }
    }

    pub(crate) fn layout(self) -> Layout {
        let folder = cache().join(self.name());
        let templates = cache().join("data");
        let unpacked = |program: &str| Layout {
            home: std::env::temp_dir(),
            root: None,
            program: folder.join(program),
            base: Some(folder.clone()),
            templates: templates.clone(),
        };
        let rooted = |program: &str| Layout {
            home: folder.join("tmp"),
            root: Some(folder.clone()),
            program: PathBuf::from(program),
            base: None,
            templates: templates.clone(),
        };
        match self {
            Self::Mysql97 => rooted("/usr/sbin/mysqld"),
            Self::Mariadb118 => rooted("/usr/sbin/mariadbd"),
            Self::Mysql80 | Self::Mysql57 | Self::Mysql55 => unpacked("bin/mysqld"),
            Self::Mariadb114 | Self::Mariadb102 => unpacked("bin/mariadbd"),
            Self::Mariadb1011 => Layout {
                home: std::env::temp_dir(),
                root: None,
                program: PathBuf::from("mariadbd"),
                base: None,
                templates,
            },
        }
    }

    /// Where a data folder to copy lies, once it was made.
    pub(crate) fn template(self, layout: &Layout) -> PathBuf {
        match self {
            // The package's own.
            Self::Mysql55 => cache().join(self.name()).join("data"),
            Self::Mysql97
            | Self::Mysql80
            | Self::Mysql57
            | Self::Mariadb118
            | Self::Mariadb114
            | Self::Mariadb1011
            | Self::Mariadb102 => layout.templates.join(self.name()),
        }
    }

    /// The command that makes a data folder.
    pub(crate) fn install(self, layout: &Layout, data: &Path) -> Command {
        let inside = layout.inside(data);
        let datadir = format!("--datadir={}", inside.display());
        if !self.is_mariadb() {
            let mut command = layout.command();
            command.arg(datadir).arg("--initialize-insecure");
            return command;
        }
        let mut command = match (&layout.root, &layout.base) {
            (Some(root), _) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg("mariadb-install-db");
                command
            }
            (None, Some(base)) => Command::new(base.join("scripts/mariadb-install-db")),
            (None, None) => Command::new("mariadb-install-db"),
        };
        command.args(["--no-defaults", "--user=root", "--force", "--skip-name-resolve"]);
        command.arg(datadir).arg("--auth-root-authentication-method=normal");
        // A MariaDB that starts removes the temporary tables of all others in its folder.
        let tmpdir = inside.parent().unwrap_or(&inside);
        command.arg(format!("--tmpdir={}", tmpdir.display()));
        if let Some(base) = &layout.base {
            command.arg(format!("--basedir={}", base.display()));
        }
        command
    }

    /// Arguments beyond those that all servers get.
    pub(crate) const fn arguments(self) -> &'static [&'static str] {
        match self {
            // The default of secure-file-priv is a folder that only the full package makes.
            Self::Mysql97 => &[
                "--mysqlx=OFF",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--secure-file-priv=",
            ],
            Self::Mysql80 => &["--mysqlx=OFF"],
            Self::Mysql55 => &["--innodb-file-per-table=1"],
            // Otherwise each start makes a key of 4096 bits: on a busy machine that takes half a minute at times.
            Self::Mariadb118 | Self::Mariadb114 => &["--skip-ssl"],
            Self::Mysql57 | Self::Mariadb1011 | Self::Mariadb102 => &[],
        }
    }

    /// Statements, some of which may fail, that remove the accounts which come before `user@'%'`.
    pub(crate) const fn cleaning_sql(self) -> &'static str {
        match self {
            Self::Mysql55
            | Self::Mariadb118
            | Self::Mariadb114
            | Self::Mariadb1011
            | Self::Mariadb102 => {
                "SET sql_log_bin = 0; DROP USER ''@'localhost'; DROP USER ''@'%'; \
                 DROP DATABASE test;"
            }
            Self::Mysql97 | Self::Mysql80 | Self::Mysql57 => "",
        }
    }
}

impl Layout {
    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.root {
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.arg("--no-defaults").arg("--user=root");
        if let Some(base) = &self.base {
            command.arg(format!("--basedir={}", base.display()));
        }
        command
    }

    /// A path as the server sees it.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        match self.root.as_ref().and_then(|root| path.strip_prefix(root).ok()) {
            Some(rest) => Path::new("/").join(rest),
            None => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const fn title(version: Version) -> &'static str {
        match version {
            Version::Mysql97 => "MySQL 9.7",
            Version::Mysql80 => "MySQL 8.0.15",
            Version::Mysql57 => "MySQL 5.7.22",
            Version::Mysql55 => "MySQL 5.5.9",
            Version::Mariadb118 => "MariaDB 11.8",
            Version::Mariadb114 => "MariaDB 11.4.5",
            Version::Mariadb1011 => "MariaDB 10.11",
            Version::Mariadb102 => "MariaDB 10.2.11",
        }
    }

    const COLUMNS: [(&str, &[Feature]); 7] = [
        ("GTIDs", &[Feature::MysqlGtid, Feature::MariadbGtid]),
        ("tagged", &[Feature::TaggedGtid]),
        ("checksums", &[Feature::Checksum]),
        ("row images", &[Feature::RowImage]),
        ("row metadata", &[Feature::RowMetadata]),
        ("partial JSON", &[Feature::PartialJson]),
        ("compressed", &[Feature::TransactionCompression, Feature::EventCompression]),
    ];

    /// T-VER-1: the table in the documentation is that of the versions which are tested.
    #[test]
    fn the_documentation_lists_the_versions() {
        let heads: Vec<&str> = COLUMNS.iter().map(|(head, _)| *head).collect();
        let mut table = format!("| Server | {} |\n|{}\n", heads.join(" | "), " --- |".repeat(8));
        for version in Version::ALL {
            let has = |(_, any): &(&str, &[Feature])| {
                let is_there = any.iter().any(|feature| version.has(*feature));
                if is_there { "yes" } else { "" }
            };
            let cells: Vec<&str> = COLUMNS.iter().map(has).collect();
            writeln!(table, "| {} | {} |", title(version), cells.join(" | ")).unwrap();
        }
        let text = include_str!("../../../docs/source.md").to_owned();
        assert!(text.contains(&table), "docs/source.md lacks:\n{table}");
    }
}
