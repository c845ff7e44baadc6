//! T-DDL-1 to T-DDL-7: every row goes out under the names that its columns had when it was written.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use towpath_testkit::{
    CanalClient, Delivery, Mode, Server, Towpath, Version, ZooKeeper, wait_until,
};

use crate::binary;
use crate::sequence::Over;

const DEADLINE: Duration = Duration::from_secs(90);

/// `towpath serve` of one database, with a state folder that outlives it.
struct Follower<'a> {
    server: &'a Server,
    database: &'static str,
    state: tempfile::TempDir,
    done: Cell<u32>,
}

impl<'a> Follower<'a> {
    /// Makes the database, with these tables.
    fn new(server: &'a Server, database: &'static str, sql: &str) -> Self {
        server.run(&format!("CREATE DATABASE {database}"));
        let follower =
            Self { server, database, state: tempfile::tempdir().unwrap(), done: Cell::new(0) };
        follower.run("CREATE TABLE done (id INT PRIMARY KEY)");
        follower.run(sql);
        follower
    }

    fn run(&self, sql: &str) {
        self.server.run(&format!("USE {};\n{sql}", self.database));
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let mut all = vec!["--source".to_owned(), self.server.url(), "--state".to_owned()];
        all.push(self.state.path().to_str().unwrap().to_owned());
        if !more.contains(&"--filter") {
            all.extend(["--filter".to_owned(), format!("{}\\..*", self.database)]);
        }
        all.extend(more.iter().map(|&argument| argument.to_owned()));
        all
    }

    fn serve(&self, more: &[&str]) -> Towpath {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut towpath = Towpath::serve(binary(), &arguments);
        // What is written before it knows where `now` is would be missed.
        towpath.program().wait_for_line("structures at the start are known", DEADLINE);
        towpath
    }

    /// Writes a last row and follows until it is acknowledged: all rows since the last call, without
    /// the name of the database.
    fn rows(&self, towpath: &mut Towpath) -> Vec<String> {
        self.done.set(self.done.get() + 1);
        self.run(&format!("INSERT INTO done VALUES ({})", self.done.get()));
        let client = CanalClient::Python.follow(towpath.port(), "example", Mode::Plain);
        let ended = client.wait(DEADLINE);
        let towpath_said = towpath.program().stderr();
        assert!(ended.status.success(), "{}\n{}\n{towpath_said}", ended.stdout, ended.stderr);
        let rows = Delivery::read(&ended.stdout).acknowledged;
        rows.into_iter().map(|row| row.replace(&format!(" {}.", self.database), " ")).collect()
    }

    fn history(&self) -> PathBuf {
        self.state.path().join("example/schema.history")
    }
}

/// What of the state is lost before the restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Nothing,
    History,
}

/// Runs statements while towpath is down, and compares the rows that it then delivers.
fn offline(
    server: &Server,
    (database, lost): (&'static str, Lost),
    tables: &str,
    statements: &str,
    expected: &[&str],
) {
    let follower = Follower::new(server, database, tables);
    let mut towpath = follower.serve(&[]);
    follower.rows(&mut towpath);
    let ended = towpath.terminate();
    assert!(ended.status.success(), "{database}: {}", ended.stderr);
    follower.run(statements);
    if lost == Lost::History {
        std::fs::remove_file(follower.history()).unwrap();
    }
    let mut towpath = follower.serve(&[]);
    assert_eq!(follower.rows(&mut towpath), expected, "{database} {lost:?}");
    let ended = towpath.terminate();
    assert!(ended.status.success(), "{database}: {}", ended.stderr);
}

/// A table that had rows before the first start, and none while towpath ran.
const TABLE: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(9)); INSERT INTO t VALUES (1,1,'x');";

const OFFLINE: &str = "INSERT INTO t VALUES (2,20,'two');
     ALTER TABLE t CHANGE a c INT, ADD COLUMN first_one INT FIRST;
     INSERT INTO t VALUES (30,3,31,'three');
     RENAME TABLE t TO old; CREATE TABLE t (id INT PRIMARY KEY, z INT, y INT);
     INSERT INTO t VALUES (4,40,41); INSERT INTO old VALUES (50,5,51,'five');
     ALTER TABLE t CHANGE z y2 INT, CHANGE y z INT, CHANGE id id2 INT;
     INSERT INTO t VALUES (6,60,61);";

const OFFLINE_ROWS: &[&str] = &[
    "INSERT t () (id=2,a=20,b=two)",
    "INSERT t () (first_one=30,id=3,c=31,b=three)",
    "INSERT t () (id=4,z=40,y=41)",
    "INSERT old () (first_one=50,id=5,c=51,b=five)",
    "INSERT t () (id2=6,y2=60,z=61)",
];

fn offline_alters(version: Version) {
    let server = Server::start(version, &[]);
    offline(&server, ("kept", Lost::Nothing), TABLE, OFFLINE, OFFLINE_ROWS);
    offline(&server, ("lost", Lost::History), TABLE, OFFLINE, OFFLINE_ROWS);
}

/// T-DDL-7. Without its history, too: the present structure with the statements since then undone.
#[test]
fn rows_between_offline_alters_have_their_own_names_on_mysql_97() {
    offline_alters(Version::Mysql97);
}

/// T-DDL-7.
#[test]
fn rows_between_offline_alters_have_their_own_names_on_mysql_57() {
    offline_alters(Version::Mysql57);
}

/// T-DDL-7.
#[test]
fn rows_between_offline_alters_have_their_own_names_on_mariadb() {
    offline_alters(Version::Mariadb1011);
}

/// MySQL logs `CREATE TABLE IF NOT EXISTS` also for a table that is there, whose columns are others.
#[test]
fn a_table_that_was_there_keeps_its_names() {
    let server = Server::start(Version::Mysql80, &[]);
    let statements = "CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, x INT, y VARCHAR(9));
         CREATE TABLE IF NOT EXISTS u (id INT PRIMARY KEY, x INT);
         INSERT INTO t VALUES (2,20,'two'); INSERT INTO u VALUES (3,30);
         ALTER TABLE t ADD c INT; ALTER TABLE u ADD c INT;
         INSERT INTO t VALUES (4,40,'four',41); INSERT INTO u VALUES (5,50,51);";
    let rows = [
        "INSERT t () (id=2,a=20,b=two)",
        "INSERT u () (id=3,x=30)",
        "INSERT t () (id=4,a=40,b=four,c=41)",
        "INSERT u () (id=5,x=50,c=51)",
    ];
    offline(&server, ("there", Lost::Nothing), TABLE, statements, &rows);
    offline(&server, ("there_2", Lost::History), TABLE, statements, &rows);
}

/// T-DDL-1: with full metadata neither a statement nor the source has to be asked. The table is gone
/// from both.
#[test]
fn full_metadata_names_the_columns_of_a_table_that_is_gone() {
    let server = Server::start(Version::Mysql97, &["--binlog-row-metadata=FULL"]);
    let table = "CREATE TABLE t (id INT UNSIGNED, e ENUM('x','y'), v VARCHAR(7), PRIMARY KEY (id))";
    let gone = "INSERT INTO t VALUES (4000000000,'y','seven'); DROP TABLE t";
    let rows = ["INSERT t () (id=4000000000,e=2,v=seven)"];
    offline(&server, ("gone", Lost::History), table, gone, &rows);
}

/// T-DDL-2: a structure that does not fit the table map is established anew, or the instance stops
/// and says what differs and what to do.
#[test]
fn a_structure_that_is_not_known_stops_by_name() {
    let server = Server::start(Version::Mysql57, &[]);
    let follower = Follower::new(&server, "gone", TABLE);
    let mut towpath = follower.serve(&[]);
    follower.rows(&mut towpath);
    assert!(towpath.terminate().status.success());
    std::fs::remove_file(follower.history()).unwrap();
    // Where column `a` lay among the two of its type is not written anywhere.
    follower.run("ALTER TABLE t ADD c INT AFTER a; INSERT INTO t VALUES (2,20,21,'two')");
    let file = server.query("SHOW MASTER STATUS")[0][0].clone();
    follower.run("ALTER TABLE t DROP PRIMARY KEY");
    let arguments = follower.arguments(&[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = Towpath::try_serve(binary(), &arguments).wait(DEADLINE);
    assert!(!ended.status.success());
    for needle in [
        file.as_str(),
        "table gone.t",
        "gone.t has 4 columns in the binlog",
        "0 columns (it has changed since, and the statement at mysql-bin.0",
        "cannot be undone",
        "exclude the table with a filter, or start behind the change",
    ] {
        assert!(ended.stderr.contains(needle), "{needle}: {}", ended.stderr);
    }
    // The first way out.
    let mut towpath = follower.serve(&["--black-filter", r"gone\.t"]);
    assert_eq!(follower.rows(&mut towpath), Vec::<String>::new());
}

/// A structure that another session changed unseen is read again.
#[test]
fn a_change_that_is_not_in_the_binlog_is_noticed_by_the_table_map() {
    let server = Server::start(Version::Mysql57, &[]);
    let follower = Follower::new(&server, "unseen", TABLE);
    let mut towpath = follower.serve(&[]);
    follower.run("SET sql_log_bin = 0; ALTER TABLE t ADD c DATE; SET sql_log_bin = 1;");
    follower.run("INSERT INTO t VALUES (2,20,'two','2020-02-02')");
    assert_eq!(follower.rows(&mut towpath), ["INSERT t () (id=2,a=20,b=two,c=2020-02-02)"]);
}

/// T-DDL-3: a statement that is not understood is delivered and reported; its table is read again
/// before its next row, others go on.
#[test]
fn a_statement_that_is_not_understood_loses_only_its_table() {
    let server = Server::start(Version::Mysql57, &[]);
    let follower = Follower::new(&server, "odd", TABLE);
    follower.run("CREATE TABLE other (id INT PRIMARY KEY)");
    let mut towpath = follower.serve(&[]);
    follower.run("ALTER TABLE t INSERT_METHOD LAST, CHANGE a z INT");
    follower.run("INSERT INTO t VALUES (2,20,'two'); INSERT INTO other VALUES (7)");
    follower.run("ALTER TABLE t CHANGE z y INT; INSERT INTO t VALUES (3,30,'three')");
    let expected = [
        "INSERT t () (id=2,z=20,b=two)",
        "INSERT other () (id=7)",
        "INSERT t () (id=3,y=30,b=three)",
    ];
    assert_eq!(follower.rows(&mut towpath), expected);
    let said = towpath.program().stderr();
    let report = said.lines().find(|line| line.contains("a statement is not understood")).unwrap();
    for needle in ["mysql-bin.0", "INSERT_METHOD LAST", "count=1"] {
        assert!(report.contains(needle), "{report}");
    }
}

/// T-DDL-5: killed while it has read far ahead of its client, it goes on from the client's position
/// with the structures of that position; and so again, with a history cut off in its last record.
#[test]
fn the_history_is_that_of_the_position() {
    let server = Server::start(Version::Mysql57, &[]);
    let follower = Follower::new(&server, "ahead", TABLE);
    let mut towpath = follower.serve(&[]);
    follower.rows(&mut towpath);
    let before = std::fs::metadata(follower.history()).unwrap().len();
    let mut expected = Vec::new();
    for number in 2..40 {
        follower.run(&format!(
            "ALTER TABLE t CHANGE b c{number} VARCHAR(9), CHANGE a b INT, CHANGE id id INT AFTER b;
             INSERT INTO t (b, id, c{number}) VALUES ({number}, {number}, 'x');
             ALTER TABLE t CHANGE b a INT AFTER id, CHANGE c{number} b VARCHAR(9);
             RENAME TABLE t TO u; INSERT INTO u VALUES (1000 + {number}, 0, 'y'); RENAME TABLE u TO t;
             DELETE FROM t;"
        ));
        expected.push(format!("INSERT t () (b={number},id={number},c{number}=x)"));
        expected.push(format!("INSERT u () (id={},a=0,b=y)", 1000 + number));
        expected.push("deleted".to_owned());
    }
    // All of it is decoded, and its structures are kept.
    wait_until("the history has grown", DEADLINE, || {
        let len = std::fs::metadata(follower.history()).unwrap().len();
        (len > before + 38 * 4 * 60).then_some(())
    });
    drop(towpath.kill());
    let mut bytes = std::fs::read(follower.history()).unwrap();
    bytes.truncate(bytes.len() - 3);
    std::fs::write(follower.history(), bytes).unwrap();
    let mut towpath = follower.serve(&[]);
    let rows = follower.rows(&mut towpath);
    let kinds = |rows: Vec<String>| -> Vec<String> {
        let mut rows: Vec<String> = rows
            .into_iter()
            .map(|row| if row.starts_with("DELETE") { "deleted".to_owned() } else { row })
            .collect();
        rows.dedup();
        rows
    };
    assert_eq!(kinds(rows), expected);
}

/// T-DDL-5: a server that takes over has no history. It has the structures of the position all the
/// same.
#[test]
fn a_server_that_takes_over_has_the_structures_of_the_position() {
    let zookeeper = ZooKeeper::start();
    let server = Server::start(Version::Mysql57, &[]);
    let follower = Follower::new(&server, "standby", TABLE);
    let (place, url) = (format!("zk://{}/otter/canal", zookeeper.address()), server.url());
    let arguments = ["--source", url.as_str(), "--from", "earliest", "--session-timeout", "4"];
    let mut one = Towpath::serve_in_cluster(binary(), &place, &arguments);
    one.program().wait_for_line(" active ", DEADLINE);
    follower.rows(&mut one);
    assert!(one.terminate().status.success());
    follower.run(OFFLINE);
    let mut two = Towpath::serve_in_cluster(binary(), &place, &arguments);
    two.program().wait_for_line(" active ", DEADLINE);
    assert_eq!(follower.rows(&mut two), OFFLINE_ROWS);
}

/// T-DDL-6: what is not delivered is known all the same: it can take the name of what is.
#[test]
fn filters_do_not_filter_the_history() {
    let server = Server::start(Version::Mysql57, &[]);
    let follower = Follower::new(&server, "filtered", TABLE);
    let filter = ["--black-filter", r"filtered\.(hidden|t_old|t_new)"];
    let mut towpath = follower.serve(&filter);
    follower.rows(&mut towpath);
    assert!(towpath.terminate().status.success());
    follower.run(
        "CREATE TABLE hidden (x INT PRIMARY KEY, y INT); INSERT INTO hidden VALUES (1,2);
         ALTER TABLE hidden ADD z INT FIRST;
         RENAME TABLE t TO t_old, hidden TO t; INSERT INTO t VALUES (3,4,5);
         ALTER TABLE t_old CHANGE a q INT; INSERT INTO t_old VALUES (9,9,9);
         RENAME TABLE t TO t_new, t_old TO t; INSERT INTO t VALUES (8,8,8)",
    );
    let mut towpath = follower.serve(&filter);
    let expected = ["INSERT t () (z=3,x=4,y=5)", "INSERT t () (id=8,q=8,b=8)"];
    assert_eq!(follower.rows(&mut towpath), expected);
}

/// A history that is damaged is set aside, and structures are established from the source.
#[test]
fn a_damaged_history_is_set_aside_and_made_anew() {
    let server = Server::start(Version::Mysql97, &[]);
    let follower = Follower::new(&server, "broken", TABLE);
    let mut towpath = follower.serve(&[]);
    follower.rows(&mut towpath);
    assert!(towpath.terminate().status.success());
    let mut bytes = std::fs::read(follower.history()).unwrap();
    bytes[40] ^= 1;
    std::fs::write(follower.history(), &bytes).unwrap();
    follower.run("INSERT INTO t VALUES (2,20,'two'); ALTER TABLE t RENAME COLUMN a TO c;");
    let mut towpath = follower.serve(&[]);
    assert_eq!(follower.rows(&mut towpath), ["INSERT t () (id=2,a=20,b=two)"]);
    assert!(towpath.program().stderr().contains("history set aside"));
    assert_eq!(std::fs::read(follower.history().with_extension("damaged")).unwrap(), bytes);
}

/// A statement, then a row; how the row must arrive.
type Change = (&'static str, &'static str, &'static str);

/// T-DDL-4.
fn changes_with_rows(server: &Server, database: &'static str, first: &str, changes: &[Change]) {
    let follower = Follower::new(server, database, first);
    let mut towpath = follower.serve(&[]);
    follower.rows(&mut towpath);
    for (ddl, row, _) in changes {
        follower.run(&format!("{ddl}; {row}"));
    }
    let expected: Vec<&str> = changes.iter().map(|(_, _, row)| *row).collect();
    assert_eq!(follower.rows(&mut towpath), expected, "{database}");
    let said = towpath.program().stderr();
    assert!(!said.contains("WARN") && !said.contains("reading ahead"), "{said}");
}

const CHANGES: &[Change] = &[
    ("DO 0", "INSERT INTO t VALUES (1,1)", "INSERT t () (id=1,a=1)"),
    (
        "CREATE TABLE IF NOT EXISTS t (x INT, y INT, z INT)",
        "INSERT INTO t VALUES (2,2)",
        "INSERT t () (id=2,a=2)",
    ),
    ("CREATE TABLE l LIKE t", "INSERT INTO l VALUES (3,3)", "INSERT l () (id=3,a=3)"),
    (
        "ALTER TABLE l ADD b INT FIRST, CHANGE a aa INT; RENAME TABLE t TO x, l TO t, x TO l",
        "INSERT INTO t VALUES (4,4,4)",
        "INSERT t () (b=4,id=4,aa=4)",
    ),
    ("DO 0", "INSERT INTO l VALUES (5,5)", "INSERT l () (id=5,a=5)"),
    (
        "CREATE TABLE `_g_gho` LIKE l; ALTER TABLE `_g_gho` ADD c INT AFTER id; INSERT INTO l VALUES (6,6);
         RENAME TABLE l TO `_l_del`, `_g_gho` TO l",
        "INSERT INTO l VALUES (7,7,7)",
        "INSERT l () (id=6,a=6)",
    ),
    ("DO 0", "DO 0", "INSERT l () (id=7,c=7,a=7)"),
    (
        "CREATE TABLE `_l_new` LIKE l; ALTER TABLE `_l_new` DROP c, ADD d INT;
         RENAME TABLE l TO `_l_old`, `_l_new` TO l; DROP TABLE `_l_old`, `_l_del`",
        "INSERT INTO l VALUES (8,8,8)",
        "INSERT l () (id=8,a=8,d=8)",
    ),
    (
        "ALTER TABLE l PARTITION BY HASH (id) PARTITIONS 3; ALTER TABLE l COALESCE PARTITION 1",
        "INSERT INTO l VALUES (9,9,9)",
        "INSERT l () (id=9,a=9,d=9)",
    ),
    (
        "ALTER TABLE l CONVERT TO CHARACTER SET utf8mb4, ADD v VARCHAR(9) AFTER id",
        "INSERT INTO l VALUES (10,'é',10,10)",
        "INSERT l () (id=10,v=é,a=10,d=10)",
    ),
    (
        "ALTER TABLE l ADD g INT AS (a + 1) STORED AFTER v, ADD h INT AS (a + 2) VIRTUAL FIRST",
        "INSERT INTO l (id, v, a, d) VALUES (11,'x',11,11)",
        "INSERT l () (h=13,id=11,v=x,g=12,a=11,d=11)",
    ),
    (
        "CREATE TABLE s AS SELECT id AS renamed, aa AS a FROM t LIMIT 0",
        "INSERT INTO s VALUES (12,12)",
        "INSERT s () (renamed=12,a=12)",
    ),
    (
        "CREATE /*!50001 TABLE */ c (a INT, /*!99999 x INT, */ /*!40000 b INT, */ d INT)",
        "INSERT INTO c VALUES (13,13,13)",
        "INSERT c () (a=13,b=13,d=13)",
    ),
];

fn changes() -> Vec<Change> {
    let with_t = |change: &Change| (change.0, change.1, change.2);
    CHANGES.iter().map(with_t).collect()
}

/// F6, F21, F22, F23, T-DDL-4.
#[test]
fn rows_follow_every_change_of_structure_on_mysql() {
    for version in [Version::Mysql97, Version::Mysql80] {
        let server = Server::start(version, &[]);
        let mut all = changes();
        all.push((
            "CREATE TABLE f (id INT PRIMARY KEY, a INT, KEY ((a + 1)))",
            "INSERT INTO f VALUES (14,14)",
            "INSERT f () (id=14,a=14)",
        ));
        if version == Version::Mysql97 {
            all.push((
                "ALTER TABLE f ADD b INT AFTER id, ALGORITHM=INSTANT; ALTER TABLE f DROP INDEX functional_index",
                "INSERT INTO f VALUES (15,15,15)",
                "INSERT f () (id=15,b=15,a=15)",
            ));
            all.push((
                "ALTER TABLE f DROP a, ADD c INT /*!80023 INVISIBLE */ FIRST, ALGORITHM=INSTANT",
                "INSERT INTO f (c, id, b) VALUES (16,16,16)",
                "INSERT f () (c=16,id=16,b=16)",
            ));
        }
        changes_with_rows(&server, "changes", "CREATE TABLE t (id INT PRIMARY KEY, a INT)", &all);
    }
}

/// T-DDL-4.
#[test]
fn rows_follow_every_change_of_structure_on_mariadb() {
    let server = Server::start(Version::Mariadb1011, &[]);
    let mut all = changes();
    all.extend([
        (
            "SET STATEMENT max_statement_time=9 FOR ALTER TABLE t ADD m INT FIRST",
            "INSERT INTO t VALUES (14,14,14,14)",
            "INSERT t () (m=14,b=14,id=14,aa=14)",
        ),
        (
            "CREATE OR REPLACE TABLE t (n INT PRIMARY KEY, o INT INVISIBLE)",
            "INSERT INTO t (n, o) VALUES (15,15)",
            "INSERT t () (n=15,o=15)",
        ),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS o INT, ADD COLUMN IF NOT EXISTS p INT FIRST",
            "INSERT INTO t (p, n, o) VALUES (16,16,16)",
            "INSERT t () (p=16,n=16,o=16)",
        ),
    ]);
    changes_with_rows(&server, "changes", "CREATE TABLE t (id INT PRIMARY KEY, a INT)", &all);
}

const ANY_CASE: &[Change] = &[
    (
        "CREATE TABLE Mixed (Id INT PRIMARY KEY, a INT); ALTER TABLE MIXED ADD b INT FIRST",
        "INSERT INTO mixed VALUES (1,1,1)",
        "INSERT mixed () (b=1,Id=1,a=1)",
    ),
    (
        "RENAME TABLE MiXed TO Other, T TO Mixed, otheR TO t; ALTER TABLE T CHANGE ID id2 INT",
        "INSERT INTO T VALUES (2,2,2)",
        "INSERT t () (b=2,id2=2,a=2)",
    ),
    (
        "DROP TABLE MIXED; CREATE TABLE mixED LIKE t; ALTER TABLE Mixed DROP A",
        "INSERT INTO MIXED VALUES (3,3)",
        "INSERT mixed () (b=3,id2=3)",
    ),
];

/// T-DDL-4: a server that does not tell names apart by their case. With 2 it needs a file system that does
/// not either, and takes 0 where it has none; `Catalog` compares names for 2 as for 1.
#[test]
fn names_in_any_case_are_those_of_one_table() {
    let table = "CREATE TABLE t (id INT PRIMARY KEY, a INT)";
    for version in [Version::Mysql57, Version::Mariadb1011] {
        let server = Server::start(version, &["--lower-case-table-names=1"]);
        changes_with_rows(&server, "cases", table, ANY_CASE);
        let server = Server::start(version, &["--lower-case-table-names=2"]);
        let case = &server.query("SELECT @@global.lower_case_table_names")[0][0];
        assert_eq!(case, "0", "{version:?}: test this case, too");
    }
}

/// Tables and views that cannot be read, in whatever way the version knows.
const FAILING: &str =
    "CREATE TABLE base (a INT); CREATE VIEW gone AS SELECT a FROM base; DROP TABLE base;
     CREATE VIEW fine AS SELECT id FROM t;
     CREATE DEFINER='nobody'@'nowhere' VIEW unowned AS SELECT id FROM t;
     CREATE TABLE part (a INT) ENGINE=MyISAM; CREATE TABLE merged (a INT) ENGINE=MERGE UNION=(part);
     DROP TABLE part; CREATE TABLE broken (a INT) ENGINE=MyISAM; FLUSH TABLES;";

/// What comes and goes.
fn churn(number: u64) -> String {
    let sql: String = (number * 10..number * 10 + 10)
        .map(|n| {
            format!(
                "CREATE TABLE c{n} (a INT PRIMARY KEY, b VARCHAR(9)); CREATE VIEW v{n} AS SELECT a FROM c{n};
                 ALTER TABLE c{n} ADD COLUMN c INT FIRST; RENAME TABLE c{n} TO r{n}; DROP TABLE r{n};
                 DROP VIEW v{n};\n"
            )
        })
        .collect();
    format!("USE mixed;\n{sql}")
}

/// F31: structures are read while some of the tables cannot be, and others come and go.
#[test]
fn tables_that_fail_or_go_do_not_keep_the_others_from_being_known() {
    for version in [
        Version::Mysql55,
        Version::Mysql57,
        Version::Mysql97,
        Version::Mariadb102,
        Version::Mariadb118,
    ] {
        let server = Server::start(version, &[]);
        let follower = Follower::new(&server, "mixed", TABLE);
        follower.run(FAILING);
        let folder = server.binlog_folder().join("mixed");
        for file in ["broken.frm", "broken.MYI", "broken.MAI"] {
            let path = folder.join(file);
            if path.exists() {
                std::fs::write(path, "no table").unwrap();
            }
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut number = 0;
                while !is_over.load(Ordering::Acquire) {
                    server.run(&churn(number));
                    number += 1;
                }
            });
            let _over = Over(&is_over);
            for id in 2..7 {
                let mut towpath = follower.serve(&[]);
                follower.run(&format!("INSERT INTO t VALUES ({id},{id},'x')"));
                let row = format!("INSERT t () (id={id},a={id},b=x)");
                assert_eq!(follower.rows(&mut towpath), [row], "{version:?}");
                let ended = towpath.terminate();
                assert!(ended.status.success(), "{version:?}: {}", ended.stderr);
                std::fs::remove_file(follower.history()).unwrap();
            }
        });
    }
}

/// Text columns of a table that states no character set.
const TEXTS: &str = "(id INT PRIMARY KEY, v VARCHAR(9), c CHAR(9), x TEXT)";

/// Tables with text in a database with a default of its own.
struct Texts<'a> {
    follower: Follower<'a>,
    /// What is tested.
    what: String,
}

fn text_row(table: &str, id: u32, more: &str) -> String {
    format!("INSERT {table} () (id={id},v=é,c=ü,x=à{more})")
}

impl Texts<'_> {
    fn run(&self, sql: &str) {
        self.follower.run(&format!("SET NAMES utf8;\n{sql}"));
    }

    fn insert(&self, table: &str, id: u32) {
        self.run(&format!("INSERT INTO {table} (id, v, c, x) VALUES ({id}, 'é', 'ü', 'à')"));
    }

    fn come(&self, towpath: &mut Towpath, expected: &[String]) {
        assert_eq!(self.follower.rows(towpath), expected, "{}", self.what);
    }

    /// Statements are read as they come. `other`: the database's default from some place on.
    fn come_as_they_are_made(&self, towpath: &mut Towpath, charset: &str, other: &str) {
        self.run(&format!("CREATE TABLE t {TEXTS}"));
        self.insert("t", 1);
        self.run("CREATE TABLE alike LIKE t");
        self.insert("alike", 2);
        self.run(&format!("CREATE TABLE word {TEXTS} DEFAULT CHARACTER SET = DEFAULT"));
        self.insert("word", 3);
        let expected = [text_row("t", 1, ""), text_row("alike", 2, ""), text_row("word", 3, "")];
        self.come(towpath, &expected);

        // Another default is that of new tables.
        self.run(&format!("ALTER DATABASE CHARACTER SET {other}"));
        self.insert("t", 4);
        self.run(&format!("CREATE TABLE later {TEXTS}"));
        self.insert("later", 5);
        self.run("ALTER TABLE t ADD w VARCHAR(9) DEFAULT 'ó'");
        self.insert("t", 6);
        let expected = [text_row("t", 4, ""), text_row("later", 5, ""), text_row("t", 6, ",w=ó")];
        self.come(towpath, &expected);
        for (id, to) in [(7, "utf8"), (8, "DEFAULT"), (9, charset)] {
            self.run(&format!("ALTER TABLE t CONVERT TO CHARACTER SET {to}"));
            self.insert("t", id);
            self.come(towpath, &[text_row("t", id, ",w=ó")]);
        }
        self.run("ALTER TABLE t CHARACTER SET DEFAULT, ADD y VARCHAR(9) DEFAULT 'á'");
        self.insert("t", 10);
        self.come(towpath, &[text_row("t", 10, ",w=ó,y=á")]);
    }

    /// Statements are made while nobody reads: what is known of a table that is gone comes from the
    /// history; of others, that were neither there before nor are they now, only the database's default is.
    fn are_made_meanwhile(&self) -> Vec<String> {
        self.insert("alike", 11);
        self.insert("later", 12);
        self.run("DROP TABLE alike");
        for (table, id) in [("offline", 13), ("gone", 14), ("converted", 15)] {
            self.run(&format!("CREATE TABLE {table} {TEXTS}"));
            self.insert(table, id);
        }
        self.run("ALTER TABLE converted CONVERT TO CHARACTER SET utf8mb4; DROP TABLE gone");
        self.insert("converted", 16);
        let tables = ["alike", "later", "offline", "gone", "converted", "converted"];
        tables.into_iter().zip(11..).map(|(table, id)| text_row(table, id, "")).collect()
    }
}

/// Text in tables that state no character set is that of their database's default when they were made,
/// whatever becomes of the table or of the default. No table map tells it.
fn tables_without_a_charset(version: Version, json: Option<&'static str>) {
    let server = Server::start(version, &[]);
    let databases =
        [("d_gbk", "gbk", "latin1"), ("d_latin1", "latin1", "gbk"), ("d_utf8", "utf8", "latin1")];
    for (database, charset, other) in databases {
        let sql = format!("ALTER DATABASE CHARACTER SET {charset}");
        let follower = Follower::new(&server, database, &sql);
        let texts = Texts { follower, what: format!("{version:?} {charset}") };
        let mut towpath = texts.follower.serve(&[]);
        texts.come_as_they_are_made(&mut towpath, charset, other);
        let ended = towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        let mut expected = texts.are_made_meanwhile();
        let mut towpath = texts.follower.serve(&[]);
        if let Some(json) = json {
            texts.run(&format!("CREATE TABLE j (id INT PRIMARY KEY, j {json})"));
            texts.run("INSERT INTO j VALUES (17, '\"é中\"')");
            expected.push("INSERT j () (id=17,j=\"é中\")".to_owned());
        }
        texts.come(&mut towpath, &expected);
        let ended = towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
    }
}

#[test]
fn text_of_tables_that_state_no_charset_is_right_on_mysql_55() {
    tables_without_a_charset(Version::Mysql55, None);
}

#[test]
fn text_of_tables_that_state_no_charset_is_right_on_mysql_57() {
    tables_without_a_charset(Version::Mysql57, Some("JSON"));
}

#[test]
fn text_of_tables_that_state_no_charset_is_right_on_mariadb_102() {
    tables_without_a_charset(Version::Mariadb102, Some("JSON"));
}
