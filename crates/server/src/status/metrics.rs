//! Canal's metrics in Prometheus' text format, with Canal's names, labels and texts (server-runtime 8).

use std::fmt::{Display, Write as _};

use std::sync::Arc;

use towpath_engine::{
    BatchMode, DestinationLook, Fitness, Look, ProblemKind, RoleLook, UNIT_BYTES,
};

use crate::figures::{ClientFigures, now_ms};
use crate::session::Shared;

/// Writes families of samples.
struct Page<'a> {
    text: String,
    /// Only these, if there are any.
    names: &'a [&'a str],
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Page<'_> {
    /// One family. A sample is the rest of its name, its labels, and its value. One without samples is
    /// left out.
    fn family<'s, V: Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        samples: impl IntoIterator<Item = (&'static str, Vec<(&'static str, &'s str)>, V)>,
    ) {
        if !self.names.is_empty() && !self.names.contains(&name) {
            return;
        }
        let before = self.text.len();
        // Writing to a text cannot fail.
        let _written: bool =
            write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").is_ok();
        let head = self.text.len();
        for (suffix, labels, value) in samples {
            self.text.push_str(name);
            self.text.push_str(suffix);
            self.text.push('{');
            for (label, value) in labels {
                let _written: bool = write!(self.text, "{label}=\"{}\",", escaped(value)).is_ok();
            }
            let _written: bool = writeln!(self.text, "}} {value}").is_ok();
        }
        if self.text.len() == head {
            self.text.truncate(before);
        }
    }
}

/// A number as Java prints one, as long as it is a whole one below ten million.
fn java(number: impl Into<i128>) -> String {
    format!("{}.0", number.into())
}

/// A destination that is served here.
struct Served<'a> {
    name: &'a str,
    look: &'a Look,
}

pub(super) fn of(shared: &Shared, names: &[&str]) -> String {
    let looks = shared.engine.look();
    let served: Vec<Served<'_>> = looks.iter().filter_map(served).collect();
    let mut page = Page { text: String::new(), names };
    instances(&mut page, &served);
    stores(&mut page, &served);
    delays(&mut page, &served);
    sources(&mut page, &served);
    shared.requests.keep(|name| looks.iter().any(|look| look.name == name));
    let named = looks.iter().map(|look| (&*look.name, shared.requests.of(Some(&look.name))));
    let clients: Vec<Client<'_>> = named.chain([("", shared.requests.of(None))]).collect();
    requests(&mut page, &clients);
    latencies(&mut page, &clients);
    events(&mut page, &served);
    roles(&mut page, &looks);
    page.text
}

fn served(look: &DestinationLook) -> Option<Served<'_>> {
    let RoleLook::Active(active) = &look.role else { return None };
    Some(Served { name: &look.name, look: &active.look })
}

/// A destination, and the requests for it.
type Client<'a> = (&'a str, Arc<ClientFigures>);

type Sample<'a> = (&'static str, Vec<(&'static str, &'a str)>, String);

/// One sample for each destination.
fn each<'a>(served: &'a [Served<'_>], value: impl Fn(&Look) -> i128) -> Vec<Sample<'a>> {
    let sample = |one: &'a Served<'_>| ("", vec![("destination", one.name)], java(value(one.look)));
    served.iter().map(sample).collect()
}

fn instances(page: &mut Page<'_>, served: &[Served<'_>]) {
    let spring =
        served.iter().map(|one| ("", vec![("destination", one.name), ("mode", "spring")], "1.0"));
    page.family(("canal_instance", "gauge", "Canal instance"), spring);
    let serial = served
        .iter()
        .map(|one| ("", vec![("destination", one.name), ("parallel", "false")], "1.0"));
    let name = "canal_instance_parser_mode";
    page.family((name, "gauge", "Parser mode(parallel/serial) of instance"), serial);
    page.family(
        ("canal_instance_subscriptions", "gauge", "Canal instance subscriptions"),
        each(served, |look| i128::try_from(look.clients.len()).unwrap_or(0)),
    );
    page.family(
        ("canal_instance_transactions", "counter", "Transactions counter of canal instance"),
        each(served, |look| look.figures.put.transaction_count.into()),
    );
}

/// Ours: what has happened to instances.
fn events(page: &mut Page<'_>, served: &[Served<'_>]) {
    page.family(
        ("towpath_stalled", "gauge", "1 while the source goes on and nothing of it is read"),
        each(served, |look| i128::from(look.health.stalled_since.is_some())),
    );
    page.family(
        ("towpath_stalls", "counter", "How often a source went on and nothing of it was read"),
        each(served, |look| look.health.stall_count.into()),
    );
    page.family(
        (
            "towpath_gaps",
            "counter",
            "How often something that the source had purged was jumped over",
        ),
        each(served, |look| look.health.gap_count.into()),
    );
    let help = "Rows events left out, for the structure of their table is not known";
    page.family(
        ("towpath_unknown_table_events", "counter", help),
        each(served, |look| look.health.unknown_event_count.into()),
    );
}

fn stores(page: &mut Page<'_>, served: &[Served<'_>]) {
    let sizes: Vec<String> = served
        .iter()
        .map(|one| (one.look.store.options.capacity_bytes / UNIT_BYTES).to_string())
        .collect();
    let info = served.iter().zip(&sizes).map(|(one, size)| {
        let mode = match one.look.store.options.mode {
            BatchMode::MemSize => "MEMSIZE",
            BatchMode::ItemSize => "ITEMSIZE",
        };
        let labels = vec![("destination", one.name), ("batchMode", mode), ("size", size.as_str())];
        ("", labels, "1.0")
    });
    page.family(("canal_instance_store", "gauge", "Canal instance info"), info);
    let sequence = |next: u64| i128::from(next) - 1;
    page.family(
        (
            "canal_instance_store_produce_seq",
            "counter",
            "Produced events counter of canal instance",
        ),
        each(served, |look| sequence(look.store.put)),
    );
    page.family(
        (
            "canal_instance_store_consume_seq",
            "counter",
            "Consumed events counter of canal instance",
        ),
        each(served, |look| sequence(look.store.ack)),
    );
    page.family(
        ("canal_instance_store_produce_mem", "counter", "Produced mem bytes of canal instance"),
        each(served, |look| look.figures.put.bytes.into()),
    );
    page.family(
        ("canal_instance_store_consume_mem", "counter", "Consumed mem bytes of canal instance"),
        each(served, |look| look.figures.acked.bytes.into()),
    );
    page.family(
        ("canal_instance_put_rows", "counter", "Put table rows of canal instance"),
        each(served, |look| look.figures.put.row_count.into()),
    );
    page.family(
        ("canal_instance_get_rows", "counter", "Got table rows of canal instance"),
        each(served, |look| look.figures.got.row_count.into()),
    );
    page.family(
        ("canal_instance_ack_rows", "counter", "Acked table rows of canal instance"),
        each(served, |look| look.figures.acked.row_count.into()),
    );
}

/// Times since the first event of what was put, taken and acknowledged last. As in Canal put is never
/// behind get, and get never behind ack, as it would be after a rollback.
fn delays(page: &mut Page<'_>, served: &[Served<'_>]) {
    let since = |ms: Option<i64>| ms.map_or(0, |ms| i128::from((now_ms() - ms).max(0)));
    page.family(
        ("canal_instance_traffic_delay", "gauge", "Traffic delay of canal instance"),
        each(served, |look| since(Some(look.reading.event_ms).filter(|ms| *ms > 0))),
    );
    let ack = |look: &Look| look.figures.acked.first_ms;
    let get = |look: &Look| look.figures.got.first_ms.max(ack(look));
    let put = |look: &Look| look.figures.put.first_ms.max(get(look));
    page.family(
        ("canal_instance_put_delay", "gauge", "Traffic delay of canal instance put"),
        each(served, |look| since(put(look))),
    );
    page.family(
        ("canal_instance_get_delay", "gauge", "Traffic delay of canal instance get"),
        each(served, |look| since(get(look))),
    );
    page.family(
        ("canal_instance_ack_delay", "gauge", "Traffic delay of canal instance ack"),
        each(served, |look| since(ack(look))),
    );
}

fn sources(page: &mut Page<'_>, served: &[Served<'_>]) {
    page.family(
        (
            "canal_instance_sink_blocking_time",
            "counter",
            "Total sink blocking time in milliseconds",
        ),
        each(served, |look| {
            let waiting = look.reading.full_since_ms.map_or(0, |since| now_ms() - since);
            i128::from(look.reading.full_ms) + i128::from(waiting.max(0))
        }),
    );
    let bytes = served.iter().map(|one| {
        let labels = vec![("destination", one.name), ("parser", "0")];
        ("", labels, java(one.look.reading.bytes))
    });
    let name = "canal_instance_received_binlog_bytes";
    page.family((name, "counter", "Received binlog bytes"), bytes);
}

fn requests(page: &mut Page<'_>, clients: &[Client<'_>]) {
    let packets = clients.iter().flat_map(|(name, figures)| {
        let kinds = figures.packets();
        kinds.map(|(kind, count)| {
            ("", vec![("destination", *name), ("packetType", kind)], java(count))
        })
    });
    let name = "canal_instance_client_packets";
    page.family((name, "counter", "Total packets sent to client."), packets);
    page.family(
        ("canal_instance_client_bytes", "counter", "Total bytes sent to client."),
        totals(clients, ClientFigures::bytes),
    );
    page.family(
        ("canal_instance_client_empty_batches", "counter", "Total empty batches sent to client."),
        totals(clients, ClientFigures::empty_batches),
    );
    let errors: Vec<(&str, String, String)> = clients
        .iter()
        .flat_map(|(name, figures)| {
            figures.errors().map(|(code, count)| (*name, code.to_string(), java(count)))
        })
        .collect();
    let errors = errors.iter().map(|(name, code, count)| {
        ("", vec![("destination", *name), ("errorCode", code.as_str())], count)
    });
    let name = "canal_instance_client_request_error";
    page.family((name, "counter", "Total client request errors."), errors);
}

/// One sample for each destination that has any.
fn totals<'a>(clients: &[Client<'a>], value: fn(&ClientFigures) -> u64) -> Vec<Sample<'a>> {
    let values = clients.iter().map(|(name, figures)| (*name, value(figures)));
    let present = values.filter(|(_, value)| *value > 0);
    present.map(|(name, value)| ("", vec![("destination", name)], java(value))).collect()
}

fn latencies(page: &mut Page<'_>, clients: &[Client<'_>]) {
    let samples = clients.iter().flat_map(|(name, figures)| {
        let buckets: Vec<(&'static str, u64)> = figures.latency().collect();
        let count = buckets.last().map_or(0, |(_, count)| *count);
        let us = figures.latency_us();
        let sum = format!("{}.{:03}", us / 1000, us % 1000);
        let of = vec![("destination", *name)];
        let totals = [("_count", of.clone(), java(count)), ("_sum", of, sum)];
        buckets
            .into_iter()
            .map(|(le, count)| ("_bucket", vec![("destination", *name), ("le", le)], java(count)))
            .chain(totals)
            .filter(move |_| count > 0)
            .collect::<Vec<_>>()
    });
    let name = "canal_instance_client_request_latency";
    page.family((name, "histogram", "Client request latency."), samples);
}

/// Ours: what is wrong.
fn wrongs(page: &mut Page<'_>, looks: &[DestinationLook]) {
    let samples = looks.iter().flat_map(|look| {
        ProblemKind::ALL.map(|kind| {
            let is_now = look.problems.iter().any(|problem| problem.kind == kind);
            let labels = vec![("destination", look.name.as_str()), ("problem", kind.name())];
            ("", labels, if is_now { "1.0" } else { "0.0" })
        })
    });
    let help = "What is wrong with a destination: 1 while it is";
    page.family(("towpath_problem", "gauge", help), samples);
    let samples = looks.iter().flat_map(|look| {
        look.problems.iter().map(|problem| {
            let seconds = problem.since.elapsed().unwrap_or_default().as_secs();
            let labels =
                vec![("destination", look.name.as_str()), ("problem", problem.kind.name())];
            ("", labels, java(seconds))
        })
    });
    let help = "For how long that has been so";
    page.family(("towpath_problem_seconds", "gauge", help), samples);
    let samples = looks.iter().filter_map(|look| {
        let RoleLook::Active(active) = &look.role else { return None };
        let lag_ms = active.look.reading.lag_ms()?;
        Some(("", vec![("destination", look.name.as_str())], java(lag_ms)))
    });
    let help = "How far behind its source a destination is, in milliseconds; it grows while nothing is heard";
    page.family(("towpath_lag_ms", "gauge", help), samples);
}

/// Ours: what this server is to each destination, and whether that is as it should be.
fn roles(page: &mut Page<'_>, looks: &[DestinationLook]) {
    let all = [Fitness::Serves, Fitness::StandsBy, Fitness::Fails];
    let samples = looks.iter().flat_map(|look| {
        let now = look.fitness();
        all.map(|role| {
            let labels = vec![("destination", look.name.as_str()), ("role", role.name())];
            ("", labels, if role == now { "1.0" } else { "0.0" })
        })
    });
    wrongs(page, looks);
    let help = "What this server is to a destination: 1 for the role that it has";
    page.family(("towpath_destination_role", "gauge", help), samples);
}
