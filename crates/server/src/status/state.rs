//! The state as JSON. Its members are described in `docs/status.md`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use towpath_coordination::Cursor;

use super::Observer;
use crate::destination::{InstanceHealth, InstanceState, Look, Stage};
use crate::figures::{Reading, now_ms};
use crate::session::Shared;
use crate::slot::{Role, Slot};

/// Whether clients should be sent here for a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// It is served here.
    Serves,
    /// Another server serves it, or will.
    StandsBy,
    /// It should be served here and is not.
    Fails,
}

impl Fitness {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::StandsBy => "stands by",
            Self::Fails => "fails",
        }
    }

    pub(super) fn of(slot: &Slot) -> Self {
        match slot.role() {
            Role::Standby => Self::StandsBy,
            Role::Failed(_) => Self::Fails,
            Role::Active(destination) if destination.is_fenced() => Self::StandsBy,
            Role::Active(destination) => match destination.status().borrow().state {
                InstanceState::Starting | InstanceState::Running | InstanceState::Ended => {
                    Self::Serves
                }
                InstanceState::Failing(_) | InstanceState::Failed(_) | InstanceState::Stopped => {
                    Self::Fails
                }
            },
        }
    }
}

pub(super) fn of(observer: &Observer, shared: &Shared) -> Value {
    let destinations: Vec<Value> =
        destinations(shared).map(|(_, destination)| destination).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now_ms": now_ms(),
        "started_ms": observer.started_ms,
        "listen": observer.listen.to_string(),
        "connections": shared.connection_count(),
        "destinations": destinations,
    })
}

pub(super) fn destinations(shared: &Shared) -> impl Iterator<Item = (&str, Value)> {
    shared.slots.iter().map(|slot| (slot.name(), destination(slot)))
}

fn destination(slot: &Slot) -> Value {
    let mut value = json!({
        "name": slot.name(),
        "role": "standby",
        "role_since_ms": slot.since_ms(),
        "source": slot.source(),
        "error": null,
    });
    let Some(members) = value.as_object_mut() else { return value };
    match slot.role() {
        Role::Standby => {}
        Role::Failed(error) => {
            members.insert("role".to_owned(), json!("failed"));
            members.insert("error".to_owned(), json!(chain(&*error)));
        }
        Role::Active(destination) => {
            members.insert("role".to_owned(), json!("active"));
            let status = destination.status().borrow().clone();
            if let Some(error) = status.state.error() {
                members.insert("error".to_owned(), json!(chain(&**error)));
            }
            members.insert("state".to_owned(), json!(status.state.name()));
            let since_ms = time_ms(status.since);
            members.insert("since_ms".to_owned(), json!(since_ms));
            let look = destination.look();
            let (waits_for, waits_since_ms) = waits(&status.state, &look, since_ms);
            members.insert("waits_for".to_owned(), json!(waits_for));
            members.insert("waits_since_ms".to_owned(), json!(waits_since_ms));
            detail(members, &look);
        }
    }
    value
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

fn time_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
    members.insert("reads_from".to_owned(), json!(reading.from));
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
    members.insert("lag_ms".to_owned(), json!(lag_ms(reading)));
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
                "reader": client.reader.map(|reader| {
                    json!({ "address": reader.peer.to_string(), "since_ms": reader.since_ms })
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

/// How far behind the source reading is.
fn lag_ms(reading: &Reading) -> Option<i64> {
    if reading.heard_ms == 0 {
        return None;
    }
    let end = if reading.full_since_ms.is_some() { now_ms() } else { reading.heard_ms };
    Some((end - reading.event_ms).max(0))
}
