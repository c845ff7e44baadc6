//! `towpath doctor`: checks a cluster, a server, a source step by step, and says what to do.
//!
//! It changes nothing: it reads, connects, logs in, and asks.

mod canal;
mod findings;
mod mysql;
mod reach;
mod status;
mod zookeeper;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use towpath_coordination::ZkUrl;
use towpath_source::SourceUrl;

use crate::outlet::Color;
use crate::place::{CanalPlace, Login};
use crate::report::say;
use crate::secret::Secret;
use findings::{Findings, Format};
use status::StatusPlace;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towpath doctor zk://zk1,zk2,zk3/otter/canal
  towpath doctor 'zk://zk1/otter/canal?destination=shop' --source mysql://canal:canal@db1
  towpath doctor canal://127.0.0.1:11111/shop
  towpath doctor mysql://canal:canal@db1:3306
  towpath doctor http://127.0.0.1:11112

It changes nothing where it looks. Exit code 0: no failure (warnings are none), 1: a failure was found,
2: the arguments are wrong.")]
pub(crate) struct Arguments {
    /// `zk://host,host/otter/canal[?destination=NAME]`, `canal://[user:password@]host:port/destination`,
    /// `mysql://user:password@host:port`, or `http://host:port` of serve --status. file:PATH of a file that
    /// holds the URL keeps a password out of sight.
    #[arg(value_name = "URL")]
    place: Secret,
    /// With zk://: the source of the destinations. Checks it too, and whether it still has what the
    /// clients' cursors want.
    #[arg(long, value_name = "URL")]
    source: Option<Secret>,
    /// With zk://: user name for the servers; needs --password.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// With zk://: password for the servers; file:PATH is what lies there.
    #[arg(long)]
    password: Option<Secret>,
    /// With mysql://: a server id that is to be used; looks whether a replica of the source has it already.
    #[arg(long, value_name = "N")]
    server_id: Option<u32>,
    /// Seconds that a step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=120))]
    deadline: u32,
    /// One JSON object a line for each check.
    #[arg(long)]
    json: bool,
}

/// `zk://host,host/otter/canal[?destination=NAME]`.
#[derive(Debug)]
struct ClusterPlace {
    url: ZkUrl,
    destination: Option<String>,
}

impl ClusterPlace {
    fn parse(text: &str) -> Result<Self, String> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let url = place.parse::<ZkUrl>().map_err(|error| error.to_string())?;
        let mut destination = None;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("destination", name)) if !name.is_empty() && !name.contains('/') => {
                    destination = Some(name.to_owned());
                }
                _ => {
                    return Err(format!(
                        "{place}: there is no option `{option}`, only destination=NAME"
                    ));
                }
            }
        }
        Ok(Self { url, destination })
    }
}

/// What is checked.
#[derive(Debug)]
enum Place {
    Cluster(Box<ClusterPlace>),
    Canal(CanalPlace),
    Mysql(SourceUrl),
    Status(StatusPlace),
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("zk" | "zookeeper", _)) => {
                ClusterPlace::parse(text).map(|place| Self::Cluster(Box::new(place)))
            }
            Some(("canal", _)) => CanalPlace::parse(text).map(Self::Canal),
            Some(("mysql" | "mariadb", _)) => {
                SourceUrl::parse(text).map(Self::Mysql).map_err(|error| error.to_string())
            }
            Some(("http", rest)) => StatusPlace::parse(rest).map(Self::Status),
            // It may hold a password: not shown.
            Some((scheme, _)) => Err(format!(
                "nothing is known of {scheme}://, only of zk://, canal://, mysql:// and http://"
            )),
            None => Err("it is no URL: expected zk://host:2181/otter/canal, \
                         canal://host:11111/destination or mysql://user:password@host:3306"
                .to_owned()),
        }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// What all checks share.
#[derive(Debug)]
struct Options {
    deadline: Duration,
    login: Option<Login>,
    source: Option<SourceUrl>,
    server_id: Option<u32>,
}

fn configure(arguments: &Arguments) -> Result<(Place, Options), String> {
    let place = Place::parse(&arguments.place)?;
    let is_cluster = matches!(place, Place::Cluster(_));
    if !is_cluster && (arguments.source.is_some() || arguments.password.is_some()) {
        return Err("--source, --user and --password go with zk:// only".to_owned());
    }
    let source = match &arguments.source {
        Some(text) => Some(SourceUrl::parse(text).map_err(|error| error.to_string())?),
        None => None,
    };
    let login = arguments.password.as_ref().map(|password| Login {
        user: arguments.user.clone().unwrap_or_default(),
        password: (**password).to_owned(),
    });
    let deadline = Duration::from_secs(arguments.deadline.into());
    Ok((place, Options { deadline, login, source, server_id: arguments.server_id }))
}

pub(crate) async fn run(arguments: Arguments, color: Color) -> ExitCode {
    let (place, options) = match configure(&arguments) {
        Ok(configured) => configured,
        Err(reason) => {
            say(&format!("error: {reason}"));
            return ExitCode::from(2);
        }
    };
    let colored = color.is_on(&std::io::stdout());
    let format = if arguments.json { Format::Json } else { Format::Lines { colored } };
    let mut findings = Findings::new(format);
    match &place {
        Place::Cluster(place) => zookeeper::run(&mut findings, place, &options).await,
        Place::Status(place) => status::run(&mut findings, place, options.deadline).await,
        Place::Canal(place) => canal::run(&mut findings, place, options.deadline).await,
        Place::Mysql(url) => drop(mysql::run(&mut findings, url, &options).await),
    }
    if findings.finish() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let Ok(Place::Canal(place)) = Place::parse("canal://me:x@[::1]:5/shop") else { panic!() };
        assert_eq!((place.address.as_str(), place.destination.as_str()), ("[::1]:5", "shop"));
        assert!(!format!("{place:?}").contains(":x"), "{place:?}");
        let Ok(Place::Canal(place)) = Place::parse("canal://db1") else { panic!() };
        assert_eq!((place.address.as_str(), place.destination.as_str()), ("db1:11111", "example"));
        let Ok(Place::Cluster(place)) = Place::parse("zk://a,b/x?destination=shop") else {
            panic!()
        };
        assert_eq!(place.url.to_string(), "zk://a:2181,b:2181/x");
        assert_eq!(place.destination.as_deref(), Some("shop"));
    }

    #[test]
    fn what_is_wrong_with_a_place_is_said_without_passwords() {
        for (text, says) in [
            ("me:secret@db", "it is no URL: expected zk://"),
            ("http://me:secret@db", "knows no login"),
            ("https://me:secret@db", "nothing is known of https://"),
            ("http://:5", "no host"),
            ("canal://me:secret@", "no host"),
            ("canal://me:secret@db:x", "port"),
            ("canal://db:0/a", "port"),
            ("canal://::1:5/a", "[::1]"),
            ("canal://db/a/b", "plain name"),
            ("zk://", "no server"),
            ("zk://a/x?y=1", "destination=NAME"),
            ("mysql://db:secret", "no user"),
        ] {
            let error = Place::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
