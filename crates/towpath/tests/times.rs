//! Where transactions begin and end, whatever sessions do: starts by time, starts at any event, and the
//! GTID set that stands for a place.

use towpath_binlog::event_type;
use towpath_source::{Filled, FollowBy, MysqlSource, Source, SourceConfig, SourceUrl, Start};
use towpath_testkit::{Feature, Random, Server, Version};

/// Makes sessions.
struct Sessions {
    random: Random,
    version: Version,
    now_s: u64,
    next: u64,
}

impl Sessions {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn change(&mut self) -> String {
        let table = self.random.pick(&["t", "t", "m"]);
        let number = self.next();
        match self.random.below(4) {
            0 => format!("UPDATE d.{table} SET b = {number} LIMIT 2;"),
            1 => format!("DELETE FROM d.{table} ORDER BY a LIMIT 1;"),
            _ => format!("INSERT INTO d.{table} (b) VALUES ({number});"),
        }
    }

    fn in_transaction(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        let mut names = Vec::new();
        for _ in 0..=self.random.below(5) {
            match self.random.below(4) {
                0 => {
                    let name = self.random.pick(&["a", "`commit`", "`xa start`", "begin_"]);
                    all.push(format!("SAVEPOINT {name};"));
                    names.push(name);
                }
                1 if !names.is_empty() => {
                    all.push(format!("ROLLBACK TO {};", self.random.pick(&names)));
                }
                _ => all.push(self.change()),
            }
        }
        all
    }

    /// One transaction, statement by statement.
    fn transaction(&mut self) -> Vec<String> {
        let writes_prepared = !matches!(self.version, Version::Mysql55 | Version::Mariadb102);
        let number = self.next();
        let of = |sql: &str| vec![sql.to_owned()];
        match self.random.below(10) {
            0 => of(&format!("CREATE TABLE d.c{number} (a INT); ")),
            1 => of("ALTER TABLE d.t COMMENT 'begin'; "),
            2 => of("TRUNCATE TABLE d.e;"),
            3 if writes_prepared => {
                let mut all = vec![format!("XA START 'x{number}';")];
                all.push(format!("INSERT INTO d.t (b) VALUES ({number});"));
                all.push(format!("XA END 'x{number}'; XA PREPARE 'x{number}';"));
                all
            }
            4 => vec![
                "SET binlog_format = STATEMENT;".to_owned(),
                "BEGIN; SET @v = 7;".to_owned(),
                format!("INSERT INTO d.t (b) VALUES (@v + {number}), (RAND() * 100);"),
                self.random
                    .pick(&["COMMIT;", "SAVEPOINT s; INSERT INTO d.t (b) VALUES (1); COMMIT;"])
                    .to_owned(),
                "SET binlog_format = ROW;".to_owned(),
            ],
            5 => vec![self.change()],
            _ => {
                let mut all = of("BEGIN;");
                all.extend(self.in_transaction());
                all.push(self.random.pick(&["COMMIT;", "COMMIT;", "ROLLBACK;"]).to_owned());
                all
            }
        }
    }

    /// The same with a time before each statement.
    fn timed(&mut self) -> String {
        let mut sql = String::new();
        for statement in self.transaction() {
            self.now_s += self.random.below(3);
            sql += &format!("SET TIMESTAMP = {}; {statement}\n", self.now_s);
        }
        sql
    }
}

/// A place between two transactions.
struct Place {
    offset: u64,
    set: String,
}

fn open(server: &Server, by: FollowBy, start: &Start) -> Source {
    let config = SourceConfig { by, ..SourceConfig::default() };
    let runtime = tokio::runtime::Handle::current();
    let opened = tokio::task::block_in_place(|| {
        runtime.block_on(MysqlSource::open(SourceUrl::parse(&server.url()).unwrap(), config, start))
    });
    Source::Mysql(Box::new(opened.unwrap_or_else(|error| panic!("{start}: {error}"))))
}

/// Where reading goes on after a start at an event, when its transaction is to come whole.
async fn begin_of(server: &Server, file: &str, offset: u64) -> u64 {
    let start = Start::At { file: file.to_owned(), offset };
    let mut source = open(server, FollowBy::Position, &start);
    loop {
        if let Some(event) = source.next_event().unwrap() {
            if event.header.is_artificial() || event.start < offset {
                continue;
            }
            break;
        }
        source.fill().await.unwrap();
    }
    assert!(source.rewind().await.unwrap());
    while source.fill().await.unwrap() != Filled::Reconnected {}
    let begin = source.position().unwrap().1;
    source.close().await;
    begin
}

/// What a server said of its binlog's end, again and again.
fn read_places(said: &str, file: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut end = None;
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix(file) {
            end = rest.trim().split('\t').next().map(|offset| offset.parse().unwrap());
        } else if let Some(set) = line.strip_prefix("SET ")
            && let Some(offset) = end.take()
            && places.last().is_none_or(|place| place.offset != offset)
        {
            places.push(Place { offset, set: set.to_owned() });
        }
    }
    places
}

/// A server on which sessions have run.
struct Ran {
    server: Server,
    has_gtid: bool,
    file: String,
    events: Vec<Vec<String>>,
    places: Vec<Place>,
    moments: std::ops::RangeInclusive<u64>,
    random: Random,
}

fn ran(version: Version, seed: u64) -> Ran {
    let mut arguments = Vec::new();
    if matches!(version, Version::Mysql57 | Version::Mysql80) {
        arguments.extend(["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]);
    }
    if version == Version::Mariadb118 || version == Version::Mariadb114 {
        arguments.extend(["--log-bin-compress=ON", "--binlog-alter-two-phase=ON"]);
    }
    let server = Server::start(version, &arguments);
    server.run(
        "CREATE DATABASE d; CREATE TABLE d.t (a INT AUTO_INCREMENT PRIMARY KEY, b INT) \
         ENGINE=InnoDB; CREATE TABLE d.e (a INT); CREATE TABLE d.m (a INT AUTO_INCREMENT PRIMARY \
         KEY, b INT) ENGINE=MyISAM; INSERT INTO d.t (b) VALUES (1); INSERT INTO d.m (b) VALUES (1)",
    );
    let has_gtid = version.has(Feature::MysqlGtid) || version.has(Feature::MariadbGtid);
    let now_s = server.query("SELECT UNIX_TIMESTAMP()")[0][0].parse::<u64>().unwrap() + 100;
    let mut sessions = Sessions { random: Random::new(seed), version, now_s, next: 0 };
    let variable = match has_gtid {
        true if version.is_mariadb() => "@@global.gtid_binlog_pos",
        true => "@@global.gtid_executed",
        false => "''",
    };
    // Behind a statement the binlog ends between two transactions.
    let look = format!("{}; SELECT CONCAT('SET ', {variable});\n", version.status_sql());
    let file = server.binlog_end().0;
    let mut said = server.answers(&look);
    for _ in 0..40 {
        let sql = sessions.timed().replace('\n', &format!("\n{look}"));
        said += &server.answers(&sql);
        if let Some((_, xid)) = sql.split_once("XA PREPARE ") {
            sessions.now_s += 1;
            let (time_s, xid) = (sessions.now_s, xid.split_once(';').unwrap().0);
            let end = sessions.random.pick(&["COMMIT", "ROLLBACK"]);
            said += &server.answers(&format!("SET TIMESTAMP = {time_s}; XA {end} {xid}; {look}"));
        }
    }
    let events = server.query(&format!("SHOW BINLOG EVENTS IN '{file}'"));
    let mut places = read_places(&said, &file);
    assert!(places.len() > 20, "{said}");
    places.extend(between_phases(&events));
    places.sort_by_key(|place| place.offset);
    let (moments, random) = (now_s..=sessions.now_s, sessions.random);
    Ran { server, has_gtid, file, events, places, moments, random }
}

/// An ALTER in two phases is two transactions.
fn between_phases(events: &[Vec<String>]) -> impl Iterator<Item = Place> {
    events.windows(3).filter_map(|events| {
        let gtid = events[0][5].strip_suffix(" START ALTER")?;
        let set = gtid.trim_start_matches("GTID ").to_owned();
        let is_next = events[2][5].contains(" COMMIT ALTER");
        is_next.then(|| Place { offset: events[2][1].parse().unwrap(), set })
    })
}

async fn bounds(version: Version, seed: u64) {
    let Ran { server, has_gtid, file, events, places, moments, mut random } = ran(version, seed);
    let times = times(&server, &file, &places).await;
    let before = |offset| places.iter().rev().find(|place| place.offset <= offset).unwrap();
    for moment in moments {
        let at = open(&server, FollowBy::Position, &Start::Time { unix_s: moment });
        let found = at.position().unwrap().1;
        at.close().await;
        let first = times.iter().find(|(_, time_s)| *time_s >= moment);
        let expected = first.map_or(places[places.len() - 1].offset, |(at, _)| before(*at).offset);
        assert_eq!(found, expected, "{version:?} seed {seed}: {moment} in {events:#?}");
    }
    let offsets = events.iter().map(|row| row[1].parse::<u64>().unwrap());
    for offset in offsets.filter(|offset| *offset >= places[0].offset) {
        let (boundary, about) = (before(offset), format!("{version:?} seed {seed}: {offset}"));
        if has_gtid {
            let start = Start::At { file: file.clone(), offset };
            let source = open(&server, FollowBy::Gtid, &start);
            assert_eq!(source.gtid_set(), Some(&*boundary.set), "{about} in {events:#?}");
            source.close().await;
        }
        if random.below(4) == 0 {
            let begin = begin_of(&server, &file, offset).await;
            assert_eq!(begin, boundary.offset, "{about} in {events:#?}");
        }
    }
}

/// Offset and time of each event.
async fn times(server: &Server, file: &str, places: &[Place]) -> Vec<(u64, u64)> {
    let start = Start::At { file: file.to_owned(), offset: places[0].offset };
    let mut source = open(server, FollowBy::Position, &start);
    let mut times = Vec::new();
    loop {
        while let Some(event) = source.next_event().unwrap() {
            let header = event.header;
            if !header.is_artificial() && header.event_type != event_type::FORMAT_DESCRIPTION {
                times.push((event.start, u64::from(header.timestamp_s)));
            }
            if event.end >= places[places.len() - 1].offset {
                source.close().await;
                return times;
            }
        }
        source.fill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn starts_lie_between_transactions_on_mysql() {
    for version in [Version::Mysql97, Version::Mysql80, Version::Mysql57, Version::Mysql55] {
        bounds(version, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn starts_lie_between_transactions_on_mariadb() {
    for version in
        [Version::Mariadb118, Version::Mariadb114, Version::Mariadb1011, Version::Mariadb102]
    {
        bounds(version, 2).await;
    }
}
