//! The client ids of a destination: filter, cursor, lock.

use serde_json::Value;
use towpath_coordination::{Cursor, Running, ZkError};
use towpath_entry::{TableFilter, filter_remarks, shown_filter};

use super::super::findings::{Finding, Size, Verdict};
use super::super::mysql::{Positions, Standing};
use super::super::now_ms;
use super::{Cluster, FUTURE_MAX_MS, NODES_MAX, Node, age};

/// A cursor that is older than this is worth a look.
const OLD_MS: i64 = 24 * 3600 * 1000;

/// A cursor this far behind the end of the binlog is no quiet source's.
const BEHIND_BYTES: u64 = 64 << 10;

impl Cluster<'_> {
    pub(super) async fn clients(&mut self, name: &str) -> Result<(), ZkError> {
        let path = self.session.tree().destination(name);
        let children = self.session.children(&path).await?.unwrap_or_default();
        let mut ids: Vec<i16> = children.iter().filter_map(|child| child.parse().ok()).collect();
        ids.sort_unstable();
        ids.truncate(NODES_MAX);
        let listed: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let finding = match ids.len() {
            0 => Finding::note("clients", name, "no client has subscribed"),
            1 => Finding::ok("clients", name, format!("client id {}", listed.join(", "))),
            _ => Finding::warning("clients", name, format!("client ids {}", listed.join(", "))).fix(
                "a Canal server has one read pointer for a destination: several ids split the stream \
                 there; Towpath gives each all of it. Unsubscribe those that nobody uses",
            ),
        };
        self.findings.add(&finding);
        for id in ids {
            let about = format!("{name}/{id}");
            self.filter(name, id, &about).await?;
            self.cursor(name, id, &about).await?;
            self.lock(name, id, &about).await?;
        }
        Ok(())
    }

    async fn filter(&mut self, name: &str, id: i16, about: &str) -> Result<(), ZkError> {
        const STEP: &str = "filter";
        let path = self.session.tree().filter(name, id);
        let data = self.read(&path).await?.map(|node| node.data).unwrap_or_default();
        let filter = String::from_utf8_lossy(&data);
        let finding = match TableFilter::new(&filter, "") {
            Ok(_) if filter.trim().is_empty() => {
                Finding::ok(STEP, about, "none of its own: the server's counts")
            }
            Ok(_) => match filter_remarks(&filter).into_iter().next() {
                None => Finding::ok(STEP, about, format!("`{}`", shown_filter(&filter))),
                Some(remark) => Finding::warning(STEP, about, remark)
                    .fix("subscribe again with the filter that is meant, if this one is not"),
            },
            Err(error) => Finding::failure(STEP, about, format!("{path}: {error}"))
                .fix("no change passes: subscribe again with a filter that compiles"),
        };
        self.findings.add(&finding);
        Ok(())
    }

    async fn cursor(&mut self, name: &str, id: i16, about: &str) -> Result<(), ZkError> {
        const STEP: &str = "cursor";
        let path = self.session.tree().cursor(name, id);
        let node = self.read(&path).await?;
        let (node, cursor) = match node.map(|node| (Cursor::parse_node(&path, &node.data), node)) {
            Some((Ok(Some(cursor)), node)) => (node, cursor),
            Some((Err(error), _)) => {
                let fix = format!(
                    "no server goes on from it: restore it, or remove it (zkCli.sh: delete {path}) and \
                     start the server with --from"
                );
                self.findings.add(&Finding::failure(STEP, about, error.to_string()).fix(fix));
                return Ok(());
            }
            Some((Ok(None), _)) | None => {
                let text = "there is none: the client has never acknowledged anything";
                let fix = "until it does, a restarted server begins where its configuration says";
                self.findings.add(&Finding::warning(STEP, about, text).fix(fix));
                return Ok(());
            }
        };
        let finding = aged(about, &cursor, &node, self.positions.is_some());
        self.findings.add(&finding);
        if self.options.source.is_some() && self.positions.is_none() {
            let text = "not checked, because the source does not show its binlog files";
            self.findings.add(&Finding::new(Verdict::Skipped, "position", about, text));
        }
        if let Some(positions) = &self.positions {
            let finding = standing(about, positions, &cursor);
            self.findings.add(&finding);
            if let Some(other) = other_source(&node, positions) {
                self.findings.add(&Finding::warning("position", about, other).fix(
                    "positions count at that server only: check the source that is named here, unless \
                     both names mean one server",
                ));
            }
        }
        Ok(())
    }

    /// Who of several cluster clients may read.
    async fn lock(&mut self, name: &str, id: i16, about: &str) -> Result<(), ZkError> {
        const STEP: &str = "lock";
        let path = self.session.tree().client_running(name, id);
        let Some(node) = self.read(&path).await? else {
            let text = "no cluster client holds it (a client that knows no ZooKeeper never does)";
            self.findings.add(&Finding::ok(STEP, about, text));
            return Ok(());
        };
        let remove = format!("remove it (zkCli.sh: delete {path}), and a client takes it");
        if !node.is_ephemeral {
            let text =
                format!("{path} is persistent: nobody holds it, and every client waits for it");
            self.findings.add(&Finding::failure(STEP, about, text).fix(remove));
            return Ok(());
        }
        let since = age(node.written_ms);
        let finding = match Running::parse(&path, &node.data) {
            Err(error) => Finding::warning(STEP, about, error.to_string()).fix(remove),
            Ok(held) if !held.address.contains(':') => {
                let text = format!(
                    "{} holds it since {since}, and is not connected to a server",
                    held.address
                );
                let fix = "it waits for a server, or cannot reach one: see cluster and running above, \
                           and that client's log";
                Finding::warning(STEP, about, text).fix(fix)
            }
            Ok(held) if !held.active => {
                let text = format!("{} is told to give it up (\"active\":false)", held.address);
                Finding::warning(STEP, about, text).fix(remove)
            }
            Ok(held) => {
                let text = format!(
                    "{} holds it since {since}, and its session has not expired",
                    held.address
                );
                Finding::ok(STEP, about, text)
            }
        };
        self.findings.add(&finding);
        Ok(())
    }
}

/// How old a cursor is. That alone says little where the source is known.
fn aged(about: &str, cursor: &Cursor, node: &Node, known: bool) -> Finding {
    const STEP: &str = "cursor";
    let place = format!("{}:{}", cursor.file, cursor.offset);
    let (event_ms, written) = (cursor.timestamp_ms, age(node.written_ms));
    if event_ms <= 0 {
        return Finding::note(
            STEP,
            about,
            format!("{place}, written {written} ago, without a time"),
        );
    }
    if event_ms > now_ms().saturating_add(FUTURE_MAX_MS) {
        let text = format!("{place} is from the future by this machine's clock");
        return Finding::warning(STEP, about, text)
            .fix("set the clocks of source and this machine by NTP");
    }
    let text = format!("{place}, a change of {} ago, written {written} ago", age(event_ms));
    if !known && is_old(event_ms) {
        let fix =
            "the source is quiet, or the client stands still: --source mysql://... tells which";
        return Finding::warning(STEP, about, text).fix(fix);
    }
    Finding::ok(STEP, about, text)
}

fn is_old(event_ms: i64) -> bool {
    now_ms().saturating_sub(event_ms) > OLD_MS
}

/// Where a cursor stands in the source's binlog.
fn standing(about: &str, positions: &Positions, cursor: &Cursor) -> Finding {
    const STEP: &str = "position";
    let (file, offset) = match &cursor.resume {
        Some(resume) => (&resume.file, resume.offset),
        None => (&cursor.file, cursor.offset),
    };
    let (source, kept) = (&positions.address, positions.kept());
    let wants = format!("the client goes on at {file}:{offset}, and {source} keeps {kept}");
    let lost = match positions.has_all_behind(&cursor.gtid) {
        Some(true) => {
            "but no transaction is lost by its GTID set: go on with canal.instance.gtidon, or \
             --from gtid:"
        }
        Some(false) | None => {
            "what lies between is lost for this client: copy its tables anew, remove the cursor, and \
             start the server with --from earliest or now; keep binlogs for longer"
        }
    };
    match positions.standing(file, offset) {
        Standing::Behind(0) => Finding::ok(STEP, about, format!("at the end of {source}'s binlog")),
        Standing::Behind(bytes) if bytes > BEHIND_BYTES && is_old(cursor.timestamp_ms) => {
            let (size, age) = (Size(bytes), age(cursor.timestamp_ms));
            let text = format!("{size} and {age} behind the end of {source}'s binlog");
            Finding::warning(STEP, about, text).fix(
                "the client stands still or is too slow: see lock, and its log; when the source \
                 purges what it has not read, that is lost",
            )
        }
        Standing::Behind(bytes) => {
            let text = format!("{} behind the end of {source}'s binlog", Size(bytes));
            Finding::ok(STEP, about, text)
        }
        Standing::Purged => Finding::failure(STEP, about, format!("purged: {wants}")).fix(lost),
        Standing::Beyond(size) => {
            let text = format!("beyond the end: {wants}, {file} having {size} bytes");
            Finding::failure(STEP, about, text).fix(
                "the log was reset or restored, or this is another server: positions mean something \
                 else now; remove the cursor and start the server with --from",
            )
        }
        Standing::Foreign => Finding::failure(STEP, about, format!("not of this binlog: {wants}"))
            .fix(format!("the log was reset, or this is another server than before; {lost}")),
    }
}

/// The source that the cursor was written for, if it is named otherwise.
fn other_source(node: &Node, positions: &Positions) -> Option<String> {
    let value: Value = serde_json::from_slice(&node.data).ok()?;
    let address = value.get("identity")?.get("sourceAddress")?;
    let (host, port) = (address.get("address")?.as_str()?, address.get("port")?.as_i64()?);
    let named = format!("{host}:{port}");
    (named != positions.address)
        .then(|| format!("the cursor was written for {named}, not for {}", positions.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_cursor_decides() {
        let node = Node { data: Vec::new(), written_ms: now_ms(), is_ephemeral: false };
        let cursor = |timestamp_ms| Cursor {
            file: "b.1".into(),
            offset: 4,
            gtid: "".into(),
            server_id: 1,
            timestamp_ms,
            resume: None,
        };
        for (timestamp_ms, says) in [
            (0, "without a time"),
            (now_ms() + 60_000, "from the future"),
            (now_ms() - 2 * OLD_MS, "b.1:4, a change of 2 days ago"),
            (now_ms(), " ms ago"),
        ] {
            let finding = format!("{:?}", aged("x", &cursor(timestamp_ms), &node, false));
            assert!(finding.contains(says), "{finding}");
        }
        let quiet = format!("{:?}", aged("x", &cursor(now_ms() - 2 * OLD_MS), &node, true));
        assert!(quiet.contains("Ok"), "{quiet}");
    }
}
