//! TIMESTAMP columns in time zones: as the server itself, the C library and Canal's JVM print them.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use towpath_testkit::{Random, Server, Version};

use crate::binary;
use crate::sequence::Serving;

/// Zones with rules of every kind: none, other ones in earlier years, daylight saving in both
/// hemispheres, by half an hour, seconds in the offset, a day left out, ended, before winter only.
const ZONES: [&str; 14] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Monrovia",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
];

/// Instants: the ends of the range, by chance, and around full hours of days on which clocks change.
fn instants(limit: u64) -> Vec<u64> {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut all = vec![1, 2, 86_399, 86_400, limit - 2];
    for _ in 0..400 {
        all.push(1 + random.below(limit - 2));
    }
    // Sundays of March, April, September, October and November, and the hours around their midnight.
    for _ in 0..600 {
        let year = random.below((limit / 31_556_952).min(67));
        let month = [2, 3, 8, 9, 10][usize::try_from(random.below(5)).unwrap()];
        let day = year * 31_556_952 / 86_400 + month * 30 + random.below(35);
        let sunday = day - (day + 4) % 7;
        let hour = random.below(48);
        let around = sunday * 86_400 + hour * 3600 + random.below(3);
        all.push(around.saturating_sub(13 * 3600 + 1).clamp(1, limit - 2));
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn run(arguments: &[&str], path: &Path, variable: Option<&str>) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg(path);
    match variable {
        Some(text) => command.env("TZ", text),
        None => command.env_remove("TZ"),
    };
    command.output().unwrap()
}

/// The values of column `v` by the values of column `id`.
fn values(output: &Output) -> HashMap<String, String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows = rows.filter(|row| row["kind"] == "insert" && row["schema"] == "d");
    let text = |row: &Value, name: &str| {
        row["after"][name].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()
    };
    rows.map(|row| (text(&row, "id"), text(&row, "v"))).collect()
}

fn as_the_server(version: Version, column: &str, limit: u64) {
    let server = Server::start(version, &[]);
    server.load_time_zones(&ZONES);
    let rows: Vec<String> = instants(limit)
        .iter()
        .map(|unix_s| format!("({unix_s}, from_unixtime({unix_s}.987654))"))
        .collect();
    server.run(&format!(
        "SET time_zone = '+00:00'; CREATE DATABASE d; \
         CREATE TABLE d.t (id BIGINT PRIMARY KEY, v {column} NULL); \
         INSERT INTO d.t VALUES {};",
        rows.join(", ")
    ));
    let file = server.binlog_folder().join("mysql-bin.000001");
    for zone in ZONES.into_iter().chain(["+05:45", "-09:30", "+00:00"]) {
        let found = server.query(&format!("SET time_zone = '{zone}'; SELECT id, v FROM d.t"));
        let want: HashMap<String, String> =
            found.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        assert!(want.len() > 900, "{}", want.len());
        let named = run(&["decode", "--json", "--time-zone", zone], &file, Some("UTC"));
        let named = values(&named);
        for (id, value) in &want {
            assert_eq!(&named[id], value, "{version:?} {zone} {id}");
        }
        assert_eq!(named.len(), want.len());
        if !zone.contains(':') {
            let variable = values(&run(&["decode", "--json"], &file, Some(&format!(":{zone}"))));
            assert_eq!(variable, want, "{version:?} TZ={zone}");
        }
    }
}

#[test]
fn timestamps_are_what_a_select_gives_in_the_same_zone() {
    as_the_server(Version::Mysql97, "TIMESTAMP(6)", 1 << 31);
    as_the_server(Version::Mysql57, "TIMESTAMP(3)", 1 << 31);
    as_the_server(Version::Mysql55, "TIMESTAMP", 1 << 31);
    as_the_server(Version::Mariadb1011, "TIMESTAMP(1)", 1 << 31);
}

/// MariaDB's TIMESTAMP reaches to 2106. Its own zones have no rules after 2037: the C library has.
#[test]
fn years_after_2037_follow_the_rules_of_their_zone() {
    let server = Server::start(Version::Mariadb118, &[]);
    let instants: Vec<u64> = instants(0xffff_ffff).into_iter().filter(|at| *at > 1 << 31).collect();
    assert!(instants.len() > 150, "{}", instants.len());
    let rows: Vec<String> =
        instants.iter().map(|unix_s| format!("({unix_s}, from_unixtime({unix_s}))")).collect();
    server.run(&format!(
        "SET time_zone = '+00:00'; CREATE DATABASE d; \
         CREATE TABLE d.t (id BIGINT PRIMARY KEY, v TIMESTAMP NULL); INSERT INTO d.t VALUES {};",
        rows.join(", ")
    ));
    let file = server.binlog_folder().join("mysql-bin.000001");
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list");
    let lines: String = instants.iter().map(|unix_s| format!("@{unix_s}\n")).collect();
    std::fs::write(&list, lines).unwrap();
    for zone in ZONES {
        let mut date = Command::new("date");
        let output = date.env("TZ", zone).arg("-f").arg(&list).arg("+%F %T").output().unwrap();
        let want = String::from_utf8(output.stdout).unwrap();
        let got = values(&run(&["decode", "--json", "--time-zone", zone], &file, None));
        for (unix_s, want) in instants.iter().zip(want.lines()) {
            assert_eq!(got[&unix_s.to_string()], want, "{zone} {unix_s}");
        }
    }
}

const JAVA: &str = r#"
import java.time.*;
public class Zone {
    public static void main(String[] a) {
        for (String s : a) {
            System.out.println(new java.sql.Timestamp(Long.parseLong(s) * 1000L).toString().substring(0, 19));
        }
    }
}
"#;

/// What Canal prints is what `java.sql.Timestamp` prints in its process.
#[test]
fn the_variable_means_what_it_means_to_canals_jvm() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("Zone.java"), JAVA).unwrap();
    let built = Command::new("javac").arg("Zone.java").current_dir(folder.path()).status();
    assert!(built.unwrap().success());
    let server = Server::start(Version::Mysql80, &[]);
    let instants = [1_u64, 600_000_000, 1_719_792_000, 1_733_000_000, 2_147_483_647];
    let rows: Vec<String> =
        instants.iter().map(|unix_s| format!("({unix_s}, from_unixtime({unix_s}))")).collect();
    server.run(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t (id BIGINT PRIMARY KEY, v TIMESTAMP NULL); \
         INSERT INTO d.t VALUES {};",
        rows.join(", ")
    ));
    let file = server.binlog_folder().join("mysql-bin.000001");
    for variable in [
        "",
        "UTC",
        "GMT",
        "Asia/Shanghai",
        ":Asia/Shanghai",
        "posix/Asia/Shanghai",
        "PRC",
        "Europe/Berlin",
        "CST-8",
        "<+08>-8",
        "UTC-8",
        "UTC+3",
        "GMT+8",
        "GMT-8",
        "GMT+05:30",
        "Etc/GMT-8",
        "EST5EDT",
        "EST",
    ] {
        let mut java = Command::new("java");
        java.args(["-cp", ".", "Zone"]).args(instants.map(|unix_s| unix_s.to_string()));
        let output = java.current_dir(folder.path()).env("TZ", variable).output().unwrap();
        let want = String::from_utf8(output.stdout).unwrap();
        let got = values(&run(&["decode", "--json"], &file, Some(variable)));
        for (unix_s, want) in instants.iter().zip(want.lines()) {
            assert_eq!(got[&unix_s.to_string()], want, "TZ={variable} {unix_s}");
        }
    }
}

/// Each command refuses a zone that it does not know, wherever it was named.
#[test]
fn an_unknown_zone_is_refused_by_every_command() {
    for (command, place) in [
        (&["serve", "--source"][..], "mysql://a:b@127.0.0.1:1"),
        (&["tail"], "mysql://a:b@127.0.0.1:1"),
        (&["tail"], "canal://127.0.0.1:1/example"),
        (&["decode"], "/nothing"),
        (&["bench"], "/nothing"),
        (&["client"], "canal://127.0.0.1:1/example"),
    ] {
        let output = run(command, Path::new(place), Some("Asia/Shangai"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains("`TZ=Asia/Shangai` is not a known time zone"), "{said}");
        assert!(said.contains("did you mean Asia/Shanghai"), "{said}");
        assert!(said.contains("hint: name the zone with --time-zone"), "{said}");
        let all = [command, &[place, "--time-zone"]].concat();
        let output = run(&all, Path::new("Mars"), None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains("cannot use --time-zone"), "{said}");
    }
}

/// Served, shown from the server, shown from the file: one rule.
#[test]
fn all_commands_print_the_same_zone() {
    let server = Server::start(Version::Mysql80, &[]);
    server.run(
        "SET time_zone = '+00:00'; CREATE DATABASE d; \
         CREATE TABLE d.t (id INT PRIMARY KEY, v TIMESTAMP NULL); \
         INSERT INTO d.t VALUES (1, '2024-07-01 00:00:00');",
    );
    let url = server.url();
    let file = server.binlog_folder().join("mysql-bin.000001");
    let shanghai = "2024-07-01 08:00:00";
    for (zone, variable) in [(Some("Asia/Shanghai"), "UTC"), (None, "Asia/Shanghai")] {
        let zone: Vec<&str> = zone.into_iter().flat_map(|name| ["--time-zone", name]).collect();
        let limited = ["tail", "--json", "--from", "earliest", "--filter", "d\\.t", "--limit", "3"];
        let arguments = [&limited[..], &zone].concat();
        let tailed = run(&arguments, Path::new(&url), Some(variable));
        assert_eq!(values(&tailed).get("1").map(String::as_str), Some(shanghai), "{tailed:?}");
        let decoded = run(&[&["decode", "--json"][..], &zone].concat(), &file, Some(variable));
        assert_eq!(values(&decoded)["1"], shanghai);
    }
    let arguments = ["--source", &url, "--from", "earliest", "--time-zone", "+08:00"];
    let mut serving = Serving::start(&arguments);
    assert_eq!(serving.rows_until("d\\.t", "id=1"), [format!("INSERT d.t id=1 v={shanghai}")]);
    let said = serving.says("served in the time zone");
    assert!(said.contains("time zone +08"), "{said}");
}
