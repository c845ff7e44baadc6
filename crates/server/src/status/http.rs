//! The port where the status is asked for. It answers a handful at a time, each within a deadline; peers
//! that do not ask make room for those that come. It tells nothing that is secret; but whoever reaches it
//! can read it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use towpath_engine::{DestinationLook, Fitness};

use super::Observer;
use super::state::problem;
use crate::crowd::{Crowd, Limits, Place, WithoutStrangers};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 32;
/// Connections that are being ended beside them; further ones wait in the system's queue.
const ENDING_MAX: usize = 8;
/// From the connection to the whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// From the connection to the end of the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest head of a request, in bytes.
const HEAD_LEN_MAX: usize = 16 << 10;
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, observer: Observer) {
    let crowd = Crowd::new(Limits {
        total: CONNECTIONS_MAX,
        per_address: CONNECTIONS_MAX,
        strangers: CONNECTIONS_MAX,
        // Who has asked and does not read is asked to come again.
        without_strangers: WithoutStrangers::EndOldest,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX + ENDING_MAX => {
                match accepted {
                    Ok((stream, peer)) => {
                        let end = CancellationToken::new();
                        if let Ok(place) = crowd.enter(peer.ip(), end.clone()) {
                            connections.spawn(answer(stream, observer.clone(), place, end));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection for the status could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request and its answer.
async fn answer(stream: TcpStream, observer: Observer, place: Place, end: CancellationToken) {
    let service = service_fn(|request: Request<Incoming>| {
        place.known();
        let response = respond(&request, &observer);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(HEAD_LEN_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let served = timeout(CONNECTION_TIMEOUT, end.run_until_cancelled(connection)).await;
    match served {
        Ok(Some(Ok(()))) => {}
        Ok(Some(Err(error))) => tracing::debug!(%error, "a request for the status failed"),
        Ok(None) => tracing::debug!("a connection for the status made room for another"),
        Err(_) => tracing::debug!("a request for the status took too long"),
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn respond(request: &Request<Incoming>, observer: &Observer) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let text = "only GET\n".to_owned();
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let query: Vec<(String, String)> = pairs(request.uri().query().unwrap_or_default());
    match request.uri().path() {
        // Canal answers with its metrics at both, and probes ask for the first.
        "/" | "/metrics" => {
            let names = query.iter().filter(|(name, _)| name == "name[]");
            let names: Vec<&str> = names.map(|(_, value)| value.as_str()).collect();
            page(StatusCode::OK, PROMETHEUS, observer.metrics(&names))
        }
        "/state" => page(StatusCode::OK, JSON, observer.state() + "\n"),
        "/health" => {
            let of = query.iter().find(|(name, _)| name == "destination");
            health(observer, of.map(|(_, value)| value.as_str()))
        }
        path => {
            let text = format!("no page {path}: there are /state, /metrics and /health\n");
            page(StatusCode::NOT_FOUND, TEXT, text)
        }
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescaped(name), unescaped(value))).collect()
}

fn unescaped(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        if byte != b'%' {
            out.push(if byte == b'+' { b' ' } else { byte });
        } else if let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) {
            out.extend(u8::try_from(high * 16 + low));
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// 200 where clients find what they came for: every destination that is to be served here is, and
/// there is at least one. 503 on a server that only stands by.
fn health(observer: &Observer, of: Option<&str>) -> Response<Full<Bytes>> {
    let shared = observer.shared();
    let looks: Vec<DestinationLook> =
        shared.iter().flat_map(|shared| shared.engine.look()).collect();
    let problems: serde_json::Map<String, serde_json::Value> = looks
        .iter()
        .filter(|look| of.is_none_or(|name| name == look.name) && !look.problems.is_empty())
        .map(|look| (look.name.clone(), look.problems.iter().map(problem).collect()))
        .collect();
    let states: Vec<(&str, Fitness)> = looks
        .iter()
        .filter(|look| of.is_none_or(|name| name == look.name))
        .map(|look| (look.name.as_str(), look.fitness()))
        .collect();
    let serves = states.iter().any(|(_, state)| *state == Fitness::Serves);
    let fails = states.iter().any(|(_, state)| *state == Fitness::Fails);
    let (status, word) = if serves && !fails && problems.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no")
    };
    let destinations: serde_json::Map<String, serde_json::Value> =
        states.into_iter().map(|(name, state)| (name.to_owned(), json!(state.name()))).collect();
    let text = json!({ "health": word, "destinations": destinations, "problems": problems });
    page(status, JSON, format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        assert_eq!(
            pairs("a=b&c&name%5B%5D=x%20y+z%4"),
            [("a".to_owned(), "b".to_owned()), ("name[]".to_owned(), "x y z".to_owned())]
        );
    }
}
