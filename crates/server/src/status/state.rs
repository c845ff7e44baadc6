//! The state as JSON. Its members are described in `docs/status.md`.

use serde_json::{Value, json};
use towpath_coordination::Cursor;
use towpath_engine::{
    ActiveLook, DestinationLook, InstanceHealth, InstanceState, Look, Problem, RoleLook, Stage,
    Subscriber, Trouble,
};

use towpath_engine::Contact;

use super::Observer;
use crate::figures::{now_ms, time_ms};
use crate::session::Shared;

pub(super) fn of(observer: &Observer, shared: &Shared) -> Value {
    let destinations: Vec<Value> = shared.engine.look().iter().map(destination).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now_ms": now_ms(),
        "started_ms": observer.started_ms,
        "listen": observer.listen.to_string(),
        "connections": shared.connection_count(),
        "destinations": destinations,
    })
}

pub(super) fn destination(look: &DestinationLook) -> Value {
    let role = match &look.role {
        RoleLook::Standby => "standby",
        RoleLook::Active(_) => "active",
        // Kinds that come later are no reason to be silent.
        RoleLook::Failed(_) | _ => "failed",
    };
    let mut value = json!({
        "name": look.name,
        "role": role,
        "role_since_ms": time_ms(look.role_since),
        "source": look.source,
        "error": look.error().map(|error| chain(&**error)),
        "hint": look.error().and_then(|error| error.hint()),
        "problems": look.problems.iter().map(problem).collect::<Vec<_>>(),
        "failing": look.trouble.as_ref().map(failing),
    });
    if let (RoleLook::Active(active), Some(members)) = (&look.role, value.as_object_mut()) {
        serving(members, active);
    }
    value
}

pub(super) fn problem(problem: &Problem) -> Value {
    json!({
        "kind": problem.kind.name(),
        "since_ms": time_ms(problem.since),
        "why": problem.why,
    })
}

/// Since when it fails, and what comes next.
fn failing(trouble: &Trouble) -> Value {
    json!({
        "since_ms": time_ms(trouble.since),
        "failures": trouble.failure_count,
        "next_attempt_ms": trouble.next_attempt.map(time_ms),
    })
}

fn serving(members: &mut serde_json::Map<String, Value>, active: &ActiveLook) {
    let ActiveLook { status, look, .. } = active;
    members.insert("state".to_owned(), json!(status.state.name()));
    let since_ms = time_ms(status.since);
    members.insert("since_ms".to_owned(), json!(since_ms));
    let (waits_for, waits_since_ms) = waits(&status.state, look, since_ms);
    members.insert("waits_for".to_owned(), json!(waits_for));
    members.insert("waits_since_ms".to_owned(), json!(waits_since_ms));
    detail(members, look);
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What an instance waits for, and since when.
fn waits(state: &InstanceState, look: &Look, since_ms: i64) -> (&'static str, i64) {
    match state {
        InstanceState::Starting => ("the source to answer, and its structures", since_ms),
        InstanceState::Ended => ("nothing: the source has come to its end", since_ms),
        InstanceState::Failing(_) => {
            ("clients to acknowledge what was read before the error", since_ms)
        }
        InstanceState::Failed(_) => ("somebody to act on the error", since_ms),
        InstanceState::Stopped => ("nothing: it was stopped", since_ms),
        InstanceState::Running => waits_running(look, since_ms),
    }
}

fn waits_running(look: &Look, since_ms: i64) -> (&'static str, i64) {
    let since = time_ms(look.health.since);
    match look.health.stage {
        Stage::Room => (
            "clients to take or acknowledge what is in the full store",
            look.reading.full_since_ms.unwrap_or(since),
        ),
        Stage::Source => ("the source to send more", look.reading.heard_ms.max(since_ms)),
        Stage::Archive => ("a file of the source's archive", since),
        Stage::Opening => ("the source to tell structures", since),
        Stage::Fate => ("the source to tell the end of a long transaction", since),
        Stage::Structure => ("the source to tell the structure of a table", since),
        Stage::History => ("the disk to take the history of structures", since),
        Stage::Decoding => ("nothing: it decodes", since),
    }
}

/// What has happened to it.
fn events(members: &mut serde_json::Map<String, Value>, health: &InstanceHealth) {
    members.insert("stalled_since_ms".to_owned(), json!(health.stalled_since.map(time_ms)));
    members.insert("stalls".to_owned(), json!(health.stall_count));
    members.insert("gaps".to_owned(), json!(health.gap_count));
    let gap = health.last_gap.as_ref().map(|(when, gap)| {
        json!({
            "at_ms": time_ms(*when),
            "wanted": gap.wanted,
            "kept": gap.kept,
            "resumed": gap.resumed,
        })
    });
    members.insert("last_gap".to_owned(), json!(gap));
    members.insert("unknown_table_events".to_owned(), json!(health.unknown_event_count));
}

fn detail(members: &mut serde_json::Map<String, Value>, look: &Look) {
    events(members, &look.health);
    let reading = &look.reading;
    if !reading.source.is_empty() {
        members.insert("source".to_owned(), json!(reading.source));
    }
    members.insert("epoch".to_owned(), json!(look.epoch));
    let is_lost = matches!(look.contact, Contact::Lost(_));
    let from = if is_lost || reading.from.is_empty() { "none" } else { reading.from };
    members.insert("reads_from".to_owned(), json!(from));
    let file = reading.file.as_deref();
    members.insert(
        "read".to_owned(),
        json!({
            "file": file,
            "offset": file.map(|_| reading.offset),
            "gtid": reading.gtid.as_deref(),
            "event_bytes": reading.bytes,
            "heard_ms": reading.heard_ms,
        }),
    );
    members.insert("lag_ms".to_owned(), json!(reading.lag_ms()));
    let store = &look.store;
    members.insert(
        "store".to_owned(),
        json!({
            "held_bytes": store.held_bytes,
            "limit_bytes": store.options.capacity_bytes,
            "not_taken_entries": store.put - store.get,
            "not_acknowledged_entries": store.put - store.ack,
            "full_ms": reading.full_ms,
        }),
    );
    let clients: Vec<Value> = look
        .clients
        .iter()
        .map(|client| {
            json!({
                "id": client.id,
                "batches": client.batch_count,
                "oldest_batch": client.oldest_batch,
                "acknowledged": client.cursor.as_ref().map(cursor),
                "reader": client.reader.as_ref().map(|reader| {
                    let kind = match reader.subscriber {
                        Subscriber::Connection(_) => "address",
                        Subscriber::Worker(_) => "worker",
                    };
                    json!({ kind: reader.subscriber.to_string(), "since_ms": reader.since_ms })
                }),
            })
        })
        .collect();
    members.insert("clients".to_owned(), json!(clients));
}

fn cursor(cursor: &Cursor) -> Value {
    json!({
        "file": cursor.file.as_ref(),
        "offset": cursor.offset,
        "gtid": Some(cursor.gtid.as_ref()).filter(|gtid| !gtid.is_empty()),
        "time_ms": cursor.timestamp_ms,
    })
}
