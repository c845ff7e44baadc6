//! A Towpath server by what it says of itself: what is wrong with its destinations?

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::findings::{Finding, Findings};
use super::reach;

/// Longest state in bytes: 56,000 client ids have 14 MiB.
const STATE_LEN_MAX: usize = 64 << 20;

const STEPS: [&str; 4] = ["resolve", "connect", "state", "destination"];

/// `http://host:port[/...][?destination=NAME]`.
#[derive(Debug)]
pub(super) struct StatusPlace {
    /// `host:port`.
    address: String,
    /// Only this one.
    destination: Option<String>,
}

impl StatusPlace {
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        let expected = "expected http://host:port of `towpath serve --status`";
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = place.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err(format!("http://: the status port knows no login; {expected}"));
        }
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "11112"));
        if host.is_empty() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(format!(
                "http://: there is no host, or no port from 1 to 65535; {expected}"
            ));
        }
        let destination = query.strip_prefix("destination=").map(ToOwned::to_owned);
        Ok(Self { address: format!("{host}:{port}"), destination })
    }
}

pub(super) async fn run(findings: &mut Findings, place: &StatusPlace, deadline: Duration) {
    if let Err(failed) = steps(findings, place, deadline).await {
        findings.skip_after(&STEPS, failed, &place.address);
    }
}

async fn steps(
    findings: &mut Findings,
    place: &StatusPlace,
    deadline: Duration,
) -> Result<(), &'static str> {
    let address = place.address.as_str();
    let stream = reach::steps(findings, address, deadline).await?;
    let begun = Instant::now();
    let asked = timeout(deadline, state(stream, address)).await;
    let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {} s", deadline.as_secs())));
    let state = match asked {
        Ok(state) => state,
        Err(error) => {
            let fix =
                "the status port is that of `towpath serve --status`; other servers have no /state";
            findings.add(&Finding::failure("state", address, error).fix(fix));
            return Err("state");
        }
    };
    let version = text(&state, "version");
    let connections = state.get("connections").and_then(Value::as_u64).unwrap_or_default();
    let greeting = format!("Towpath {version}, {connections} connections of clients");
    findings.add(&Finding::ok("state", address, greeting).took(begun.elapsed()));
    let destinations = list(&state, "destinations");
    let wanted = |destination: &&Value| {
        place.destination.as_ref().is_none_or(|wanted| wanted == text(destination, "name"))
    };
    let mut found = 0;
    for destination in destinations.iter().filter(wanted) {
        found += 1;
        about(findings, text(destination, "name"), destination);
    }
    if found == 0 {
        let wanted = place.destination.as_deref().unwrap_or(address);
        let names: Vec<&str> = destinations.iter().map(|one| text(one, "name")).collect();
        let has = format!("there is no such destination; the server has: {}", names.join(", "));
        findings.add(&Finding::failure("destination", wanted, has));
    }
    Ok(())
}

/// What is wrong with a destination, or that nothing is.
fn about(findings: &mut Findings, name: &str, destination: &Value) {
    let text = |member| text(destination, member);
    let problems = list(destination, "problems");
    for problem in problems {
        let now_ms = super::now_ms();
        let since_ms = problem.get("since_ms").and_then(Value::as_i64).unwrap_or(now_ms);
        let for_s = (now_ms - since_ms).max(0) / 1000;
        let (kind, why) = (self::text(problem, "kind"), self::text(problem, "why"));
        let finding = Finding::failure("destination", name, format!("{kind} for {for_s} s: {why}"));
        findings.add(&finding.fix(text("hint")));
    }
    if !problems.is_empty() {
        return;
    }
    let finding = match text("role") {
        "standby" => Finding::note("destination", name, "it stands by: another server serves it"),
        "active" => {
            let lag = destination.get("lag_ms").and_then(Value::as_i64);
            let lag = lag.map_or_else(String::new, |lag| format!(", {lag} ms behind its source"));
            let (state, from) = (text("state"), text("source"));
            Finding::ok("destination", name, format!("{state}, reads from {from}{lag}"))
        }
        role => Finding::failure("destination", name, format!("it is {role}: {}", text("error"))),
    };
    findings.add(&finding);
    for client in list(destination, "clients") {
        pins(findings, name, client);
    }
}

/// A client id that nobody uses keeps the cursor of all where it stopped.
fn pins(findings: &mut Findings, name: &str, client: &Value) {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let number = |place| client.pointer(place).and_then(Value::as_i64).unwrap_or_default();
    let time_ms = number("/acknowledged/time_ms");
    let age_ms = super::now_ms() - time_ms;
    if time_ms == 0 || age_ms < DAY_MS || number("/batches") == 0 {
        return;
    }
    let (id, days) = (number("/id"), age_ms / DAY_MS);
    let text = format!("client id {id} has batches that it has not acknowledged for {days} days");
    let fix =
        "let it go on, or unsubscribe it: what it has not acknowledged comes again at a restart";
    findings.add(&Finding::warning("destination", name, text).fix(fix));
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

async fn state(stream: TcpStream, address: &str) -> Result<Value, String> {
    let said = |error: hyper::Error| format!("it does not speak HTTP: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let request = Request::get("/state").header(HOST, address).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| format!("{address}: {error}"))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(said)?;
        if response.status() != StatusCode::OK {
            return Err(format!("GET /state is answered with {}", response.status()));
        }
        let body = Limited::new(response.into_body(), STATE_LEN_MAX).collect().await;
        let body = body.map_err(|error| format!("the state does not come whole: {error}"))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("no state: {error}"))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        biased;
        state = &mut exchange => state,
        ended = &mut connection => match ended {
            // What has come is read all the same.
            Ok(()) => exchange.await,
            Err(error) => Err(said(error)),
        },
    }
}
