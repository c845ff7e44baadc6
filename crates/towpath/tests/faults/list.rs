//! What must come of each fault.

use towpath_testkit::{Feature, Version};

/// Statements, and what must be delivered of them.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its file in `tests/fixtures/faults`.
    pub(super) name: &'static str,
    sql: &'static str,
    /// Servers that it applies to.
    pub(super) on: fn(Version) -> bool,
    /// Some of its statements fail, as they must.
    pub(super) fails: bool,
    /// Rows and changed structures, by table.
    expected: &'static [&'static str],
}

impl Fault {
    pub(super) fn expected(&self) -> Vec<String> {
        self.expected.iter().map(|&line| line.to_owned()).collect()
    }

    /// The same without the table that the first part made.
    pub(super) fn expected_amid(&self, made: &str) -> Vec<String> {
        let mut expected = self.expected();
        if let Some((_, table)) = made.rsplit_once("CREATE TABLE ") {
            let table = table.trim_start_matches("IF NOT EXISTS ");
            let table = table.split([' ', '(']).next().unwrap_or_default();
            let ends = format!(
                ".{}",
                table.rsplit('.').next().unwrap_or_default().trim_matches(['"', '`'])
            );
            let made = expected
                .iter()
                .position(|line| line.starts_with("CREATE") && line.ends_with(&ends));
            expected.remove(made.unwrap_or_else(|| panic!("{} makes no table {ends}", self.name)));
        }
        expected
    }

    /// Up to a line `-- amid` or the first table, and what follows.
    pub(super) fn parts(&self) -> (String, String) {
        if let Some((made, then)) = self.sql.split_once("-- amid\n") {
            return (made.to_owned(), then.to_owned());
        }
        let comments: usize =
            self.sql.split_inclusive('\n').take_while(|l| l.starts_with("--")).map(str::len).sum();
        let sql = &self.sql[comments..];
        let table = sql.find("CREATE TABLE").unwrap_or(0);
        let end = sql[table..].find(';').map_or(0, |end| table + end + 1);
        (sql[..end].to_owned(), sql[end..].to_owned())
    }

    /// Statements by the session that runs them: from a line `-- session NAME` on another than the first.
    pub(super) fn by_session<'a>(&self, sql: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut parts = Vec::new();
        for (index, part) in sql.split("-- session ").enumerate() {
            parts.push(if index == 0 {
                ("first", part)
            } else {
                part.split_once('\n').unwrap_or_default()
            });
        }
        parts
    }
}

macro_rules! fault {
    ($name:literal, $on:expr, $expected:expr) => {
        Fault {
            name: $name,
            sql: include_str!(concat!("../../../../tests/fixtures/faults/", $name, ".sql")),
            on: $on,
            fails: matches!($name.as_bytes(), b"two-phase-failed"),
            expected: &$expected,
        }
    };
}

const fn every(_: Version) -> bool {
    true
}

fn mariadb(version: Version) -> bool {
    version.is_mariadb()
}

/// All but the oldest MariaDB.
fn mariadb_since_1011(version: Version) -> bool {
    version.is_mariadb() && version != Version::Mariadb102
}

pub(super) fn full_nodup(version: Version) -> bool {
    matches!(version, Version::Mariadb114 | Version::Mariadb118)
}

/// Has tables of both kinds in one transaction: 9.7 runs with GTIDs here, which exclude that.
fn mixed_engines(version: Version) -> bool {
    version != Version::Mysql97
}

/// Takes a name with a dot in front.
fn leading_dot(version: Version) -> bool {
    version.is_mariadb() || version == Version::Mysql57
}

/// Takes DEFAULT for the name of a collation.
fn collate_default(version: Version) -> bool {
    version.is_mariadb() || matches!(version, Version::Mysql57 | Version::Mysql55)
}

/// Has functional indexes.
fn functional_index(version: Version) -> bool {
    matches!(version, Version::Mysql80 | Version::Mysql97)
}

/// Knows the mode MAXDB.
fn maxdb(version: Version) -> bool {
    version.is_mariadb() || matches!(version, Version::Mysql55 | Version::Mysql57)
}

fn mysql_row_image(version: Version) -> bool {
    !version.is_mariadb() && version.has(Feature::RowImage)
}

pub(super) const LIST: &[Fault] = &[
    fault!(
        "convert-charset",
        every,
        ["CREATE f.t", "ALTER f.t", "INSERT f.t a=1 b=2 x=z", "ALTER f.t",]
    ),
    fault!("database-charset", every, ["CREATE f.t", "INSERT f.t a=é",]),
    fault!(
        "full-nodup",
        full_nodup,
        ["CREATE f.t", "INSERT f.t id=1 a=1 b=2", "UPDATE f.t id=1 a=1 b=2 -> id=1 a=100 b=2",]
    ),
    fault!(
        "inet6",
        mariadb_since_1011,
        ["CREATE f.t", "INSERT f.t id=1 a=::192.0.2.1", "INSERT f.t id=2 a=2001:db8::1",]
    ),
    fault!("leading-dot", leading_dot, ["CREATE f.t", "ALTER f.t", "INSERT f.t c=1 a=2",]),
    fault!("long-unique", mariadb_since_1011, ["CREATE f.t", "INSERT f.t id=1 a=x c=5",]),
    fault!("long-varbinary", every, ["CREATE f.t", "INSERT f.t a=Aÿ d=Aÿ",]),
    fault!("minimal-defaults", mysql_row_image, ["CREATE f.d", "INSERT f.d",]),
    fault!(
        "mode-oracle",
        mariadb_since_1011,
        ["CREATE f.t", "INSERT f.t a=1 e=2020-01-02 03:04:05", "ERASE f.t",]
    ),
    fault!(
        "old-fractions",
        mariadb,
        ["CREATE f.t", "INSERT f.t id=1 d=2016-12-21 17:57:16.000001",]
    ),
    fault!(
        "rename-unqualified",
        every,
        ["CREATE f.t", "CREATE f.t", "INSERT f.t x=1 y=2", "RENAME g.t"]
    ),
    fault!("rolled-back", every, ["CREATE f.t", "INSERT f.t id=3 v=3",]),
    fault!(
        "savepoint-mixed-engines",
        mixed_engines,
        ["CREATE f.m", "INSERT f.m id=1", "CREATE f.t", "INSERT f.t id=1 v=kept",]
    ),
    fault!("temporary-hides", every, ["CREATE f.t", "INSERT f.t id=1 a=10 b=20",]),
    fault!(
        "two-phase-alter",
        mariadb_since_1011,
        ["CREATE f.t", "ALTER f.t", "INSERT f.t id=1 b=20 a=10"]
    ),
    // Found beside those.
    fault!(
        "case-only",
        every,
        ["CREATE f.T", "ALTER f.T", "INSERT f.T z=3 y=4", "CREATE f.t", "INSERT f.t a=1 b=2",]
    ),
    fault!(
        "database-charset-changes",
        every,
        [
            "CREATE f.t",
            "INSERT f.t a=é",
            "ALTER f.t",
            "INSERT f.t a=é b=ü",
            "CREATE f.u",
            "INSERT f.u a=é",
            "CREATE f.v",
            "INSERT f.v a=é",
            "CREATE f.w",
            "INSERT f.w a=é",
        ]
    ),
    fault!(
        "functional-index",
        functional_index,
        [
            "CREATE f.t",
            "INSERT f.t id=1 a=2 c=3",
            "UPDATE f.t id=1 a=2 c=3 -> id=1 a=5 c=3",
            "ALTER f.t",
            "INSERT f.t id=2 a=3 d=4 c=5",
        ]
    ),
    fault!(
        "in-procedures",
        every,
        [
            "CREATE f.log",
            "INSERT f.log x=1 y=2",
            "INSERT f.log x=6 y=5",
            "CREATE f.t",
            "INSERT f.t a=1 b=2",
            "ALTER f.t",
            "INSERT f.t b=5 a=6",
        ]
    ),
    fault!(
        "inet-forms",
        mariadb_since_1011,
        [
            "CREATE f.t",
            "INSERT f.t id=1 a=:: b=0.0.0.0 c=00000000-0000-0000-0000-000000000000",
            "INSERT f.t id=2 a=::ffff:192.0.2.1 b=255.255.255.255 c=123e4567-e89b-12d3-a456-426655440000",
            "INSERT f.t id=3 a=1:0:0:2::3 b=1.2.3.4 c=ffffffff-ffff-ffff-ffff-ffffffffffff",
            "INSERT f.t id=4 a=1::2:3:4:5:6:7 b=1.0.0.1 c=123e4567-e89b-72d3-8456-426655440000",
            "INSERT f.t id=5 a=::1 b=0.0.0.1 c=NULL",
            "INSERT f.t id=6 a=::0.1.0.2 b=NULL c=NULL"
        ]
    ),
    fault!(
        "long-relatives",
        every,
        ["CREATE f.t", "INSERT f.t a=é b=é c=ÿ d=ÿA e=ÿA g=ÿ h=é i=ÿ j=é k=é l=é m=é",]
    ),
    fault!(
        "long-unique-comes",
        mariadb_since_1011,
        [
            "CREATE f.t",
            "INSERT f.t id=1 a=x",
            "CINDEX f.t",
            "INSERT f.t id=2 a=y",
            "DINDEX f.t",
            "INSERT f.t id=4 a=w",
            "CINDEX f.t",
            "INSERT f.t id=5 a=v",
            "CREATE f.u",
            "INSERT f.u id=3 a=z"
        ]
    ),
    fault!(
        "long-unique-two",
        mariadb_since_1011,
        [
            "CREATE f.t",
            "INSERT f.t id=1 a=x b=y c=z",
            "UPDATE f.t id=1 a=x b=y c=z -> id=1 a=x b=y c=w",
            "ALTER f.t",
            "INSERT f.t id=2 a=p b=q c=r d=4",
            "DELETE f.t id=1 a=x b=y c=w d=NULL",
        ]
    ),
    fault!(
        "minimal-nothing",
        mysql_row_image,
        ["CREATE f.t", "INSERT f.t", "INSERT f.t a=1", "INSERT f.t a=NULL", "INSERT f.t"]
    ),
    fault!(
        "mode-ansi-quotes",
        every,
        [
            "CREATE f.t",
            "INSERT f.t a=1 b \"c=x d=2 e=2",
            "ALTER f.t",
            "INSERT f.t a=2 a b=y d=1 f=3",
            "ERASE f.t",
        ]
    ),
    fault!(
        "mode-maxdb",
        maxdb,
        ["CREATE f.t", "INSERT f.t a=1 e=2020-01-02 03:04:05", "ERASE f.t",]
    ),
    fault!(
        "mode-oracle-types",
        mariadb_since_1011,
        [
            "CREATE f.t",
            "INSERT f.t a=1 b=2.5 c=c d=ÿA e=clob g=2020-01-02 03:04:05 h=ÿ i=3.25",
            "ALTER f.t",
            "INSERT f.t a=2 b=NULL c=NULL d=NULL e=NULL g=NULL h=NULL i=NULL j=2021-01-02 03:04:05",
            "ERASE f.t",
        ]
    ),
    fault!("mode-real-as-float", every, ["CREATE f.t", "INSERT f.t a=1 r=1.5 d=2.5", "ERASE f.t",]),
    fault!(
        "names-odd",
        every,
        [
            "CREATE f.1t",
            "INSERT f.1t a=1 b=2",
            "ALTER f.1t",
            "INSERT f.1t c=3 a=4",
            "CREATE f.a.b`c d",
            "ALTER f.a.b`c d",
            "INSERT f.a.b`c d from=5 select=6",
            "CREATE f.été",
            "ALTER f.été",
            "INSERT f.été b=7 né=8",
        ]
    ),
    fault!(
        "noblob-nothing",
        mysql_row_image,
        ["CREATE f.t", "INSERT f.t", "INSERT f.t a=x b=NULL"]
    ),
    fault!(
        "odd-forms",
        every,
        [
            "CREATE f.t",
            "INSERT f.t a=1 b=2",
            "ALTER f.t",
            "INSERT f.t c=3 a=4",
            "INSERT f.u c=5 a=6",
            "ERASE f.u"
        ]
    ),
    fault!(
        "old-formats",
        mariadb,
        [
            "CREATE f.t",
            "INSERT f.t id=1 d0=2016-12-21 17:57:16 d1=2016-12-21 17:57:16.5 d4=9999-12-31 23:59:59.1234 t0=-12:34:56 t2=100:00:01.25 t5=-838:59:58.12345 t6=00:00:00.000001 s0=2016-12-21 17:57:16 s3=2016-12-21 17:57:16.125 s6=2016-12-21 17:57:16.000001",
        ]
    ),
    fault!(
        "rename-forms",
        every,
        [
            "CREATE f.t",
            "ALTER f.t",
            "RENAME f.t",
            "INSERT f.t a=4 b=5",
            "CREATE f.t",
            "INSERT f.t a=8 b=9",
            "INSERT g.u a=1 b=2 c=3",
            "RENAME g.u",
            "INSERT g.u a=6 b=7"
        ]
    ),
    fault!(
        "rolled-back-changes",
        every,
        [
            "CREATE f.t",
            "INSERT f.t id=1 v=1",
            "INSERT f.t id=2 v=2",
            "UPDATE f.t id=1 v=1 -> id=1 v=3",
        ]
    ),
    fault!(
        "rolled-back-nontransactional",
        mixed_engines,
        [
            "CREATE f.m",
            "INSERT f.m id=1",
            "INSERT f.m id=1",
            "INSERT f.m id=2",
            "CREATE f.t",
            "INSERT f.t id=2",
        ]
    ),
    fault!(
        "rolled-back-to-nested",
        mixed_engines,
        [
            "CREATE f.m",
            "INSERT f.m id=1",
            "INSERT f.m id=2",
            "INSERT f.m id=3",
            "CREATE f.t",
            "INSERT f.t id=1",
            "INSERT f.t id=5",
            "INSERT f.t id=6",
        ]
    ),
    fault!("temporary-before", every, ["CREATE f.t", "INSERT f.t id=1 a=10 b=20",]),
    fault!(
        "temporary-changes",
        every,
        ["CREATE f.t", "INSERT f.t id=1 a=10 b=20", "ALTER f.t", "INSERT f.t id=2 c=10 b=20",]
    ),
    fault!(
        "temporary-like",
        every,
        [
            "CREATE f.b",
            "CREATE f.t",
            "INSERT f.t id=1 a=10",
            "ERASE f.t",
            "CREATE f.t",
            "INSERT f.t z=7"
        ]
    ),
    fault!(
        "temporary-like-temporary",
        every,
        ["CREATE f.t", "CREATE f.u", "INSERT f.u x=1 y=2", "CREATE f.v", "INSERT f.v id=3 a=4",]
    ),
    fault!(
        "temporary-other-session",
        every,
        [
            "CREATE f.t",
            "ALTER f.t",
            "INSERT f.t id=1 b=10 a=20",
            "TRUNCATE f.t",
            "INSERT f.t id=2 b=30 a=40",
        ]
    ),
    fault!(
        "two-phase-failed",
        mariadb_since_1011,
        [
            "CREATE f.t",
            "INSERT f.t id=1 a=1 b=2",
            "INSERT f.t id=2 a=1 b=3",
            "INSERT f.t id=3 a=10 b=20",
            "ALTER f.t",
            "INSERT f.u c=0 id=4 a=5 b=6",
        ]
    ),
    fault!(
        "xa-commits",
        every,
        ["CREATE f.t", "INSERT f.t id=1", "INSERT f.t id=2", "INSERT f.t id=4",]
    ),
    fault!(
        "database-charset-moved",
        every,
        [
            "CREATE f.t",
            "RENAME g.t",
            "ALTER g.t",
            "INSERT g.t id=1 a=é",
            "CREATE g.u",
            "ALTER g.u",
            "INSERT g.u id=2 a=é b=é"
        ]
    ),
    fault!(
        "serial",
        every,
        [
            "CREATE f.t",
            "INSERT f.t id=18446744073709551614 a=1",
            "CREATE f.u",
            "INSERT f.u id=-2 a=1",
            "ALTER f.u",
            "INSERT f.u i=18446744073709551613 a=2"
        ]
    ),
    fault!(
        "column-after-new-name",
        every,
        ["CREATE f.t", "ALTER f.t", "ALTER f.t", "INSERT f.t w=0 a=1 taskable_id=2 c=x y=3"]
    ),
    fault!(
        "collate-default",
        collate_default,
        ["CREATE f.t", "ALTER f.t", "ALTER f.t", "INSERT f.t a=1 b=é c=é"]
    ),
    fault!(
        "set-statement",
        mariadb,
        [
            "CREATE f.t",
            "ALTER f.t",
            "INSERT f.t b=1 c=2",
            "ALTER f.t",
            "INSERT f.t d=3 b=4 c=5",
            "INSERT f.t d=6 b=7 c=8"
        ]
    ),
    fault!(
        "dropped-among-equals",
        every,
        [
            "CREATE f.t",
            "ALTER f.t",
            "ALTER f.t",
            "ALTER f.t",
            "INSERT f.t id=1 c=p b=q a=r",
            "ALTER f.t",
            "INSERT f.t id=2 a=p b=q c=r",
            "ALTER f.t",
            "ALTER f.t",
            "ALTER f.t"
        ]
    ),
];
