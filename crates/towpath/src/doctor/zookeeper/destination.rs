//! One destination: who can serve it, who does.

use towpath_coordination::{Running, ZkError};

use super::super::canal::{self, Answer, Fault, Outcome};
use super::super::findings::{Finding, Span};
use super::{Cluster, NODES_MAX, age};

/// What became of a server that the tree names.
struct Candidate {
    address: String,
    outcome: Outcome,
}

impl Candidate {
    /// It is a server, whether it lets us in or not.
    const fn answers(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(..) | Outcome::Fault(Fault::Login(_)))
    }

    const fn serves(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(Answer::Serves, _))
    }
}

impl Cluster<'_> {
    pub(super) async fn destination(&mut self, name: &str) -> Result<(), ZkError> {
        let candidates = self.cluster(name).await?;
        let active = self.running(name, &candidates).await?;
        let others = candidates.iter().filter(|other| other.serves());
        for other in others.filter(|other| Some(&other.address) != active.as_ref()) {
            let text = format!(
                "{} serves it too, though it is not the active server: two servers deliver the same \
                 changes, and move the same cursors",
                other.address
            );
            let fix = "stop that server, and look at its log: has it lost ZooKeeper?";
            self.findings.add(&Finding::failure("running", name, text).fix(fix));
        }
        self.clients(name).await
    }

    async fn probe(&self, address: &str, destination: &str) -> Outcome {
        let (login, deadline) = (self.options.login.as_ref(), self.options.deadline);
        canal::probe(address, destination, login, deadline).await
    }

    /// The servers that can serve it.
    async fn cluster(&mut self, name: &str) -> Result<Vec<Candidate>, ZkError> {
        const STEP: &str = "cluster";
        let path = self.session.tree().cluster(name);
        let mut found = self.session.children(&path).await?.unwrap_or_default();
        found.sort_unstable();
        found.truncate(NODES_MAX);
        if found.is_empty() {
            let text = format!("no server is registered: {path} is empty or not there");
            let fix = "clients have nobody to connect to: start a server that serves it, with the same \
                       ZooKeeper and root, and look at its log";
            self.findings.add(&Finding::failure(STEP, name, text).fix(fix));
        }
        let mut candidates = Vec::new();
        for address in found {
            let node = format!("{path}/{address}");
            if !is_address(&address) {
                let text = format!("{node} is no host:port: clients step over it");
                let fix = format!("remove it (zkCli.sh: delete {node}), or correct what wrote it");
                self.findings.add(&Finding::warning(STEP, name, text).fix(fix));
                continue;
            }
            let Some(read) = self.read(&node).await? else { continue };
            if !read.is_ephemeral {
                let text = format!("{node} stays when its server is gone: it is persistent");
                let fix = format!("no server makes it so: remove it (zkCli.sh: delete {node})");
                self.findings.add(&Finding::warning(STEP, name, text).fix(fix));
            }
            let outcome = self.probe(&address, name).await;
            self.findings.add(&candidate(name, &address, &outcome));
            candidates.push(Candidate { address, outcome });
        }
        if !candidates.is_empty() && !candidates.iter().any(Candidate::answers) {
            let text = "no registered server answers: clients have nobody to connect to";
            let fix = "start a server; or check from where the clients are, if this machine does not \
                       reach the servers";
            self.findings.add(&Finding::failure(STEP, name, text).fix(fix));
        }
        Ok(candidates)
    }

    /// The server that serves it, if the tree names one.
    async fn running(
        &mut self,
        name: &str,
        candidates: &[Candidate],
    ) -> Result<Option<String>, ZkError> {
        const STEP: &str = "running";
        let path = self.session.tree().running(name);
        let remove = format!("remove it (zkCli.sh: delete {path}), and a server takes over");
        let Some(node) = self.read(&path).await? else {
            let text = format!("no server is active: {path} is not there");
            let fix = if candidates.is_empty() {
                "start a server that serves it"
            } else {
                "the registered servers stand by and none takes over: look at their logs, most likely \
                 they cannot follow the source (towpath doctor mysql://...)"
            };
            self.findings.add(&Finding::failure(STEP, name, text).fix(fix));
            return Ok(None);
        };
        let persistent = !node.is_ephemeral;
        if persistent {
            let text =
                format!("{path} is persistent: it stays for ever, and no server can take over");
            self.findings.add(&Finding::failure(STEP, name, text).fix(remove.clone()));
        }
        let running = match Running::parse(&path, &node.data) {
            Ok(running) => running,
            Err(error) => {
                let text = error.to_string();
                self.findings.add(&Finding::failure(STEP, name, text).fix(remove));
                return Ok(None);
            }
        };
        let address = running.address;
        if !is_address(&address) {
            let text = format!("{path} names `{address}`, which is no host:port");
            self.findings.add(&Finding::failure(STEP, name, text).fix(remove));
            return Ok(None);
        }
        if !running.active {
            let text = format!("{address} is told to give it up (\"active\":false)");
            let fix = "somebody releases it; if that lasts, the server does not see it: restart it";
            self.findings.add(&Finding::warning(STEP, name, text).fix(fix));
        }
        let known = candidates.iter().find(|candidate| candidate.address == address);
        if known.is_none() {
            let text = format!("{address} is active, and not registered among its servers");
            let fix = "clients that lose it do not find it again: restart that server";
            self.findings.add(&Finding::warning(STEP, name, text).fix(fix));
        }
        let since = age(node.written_ms);
        let finding = match known {
            Some(candidate) => active(name, &address, &candidate.outcome, &since),
            None => active(name, &address, &self.probe(&address, name).await, &since),
        };
        self.findings.add(&finding);
        Ok(Some(address))
    }
}

fn candidate(name: &str, address: &str, outcome: &Outcome) -> Finding {
    const STEP: &str = "cluster";
    match outcome {
        Outcome::Answered(Answer::Serves, took) => {
            Finding::ok(STEP, name, format!("{address} serves it")).took(*took)
        }
        Outcome::Answered(Answer::Standby(_), took) => {
            Finding::ok(STEP, name, format!("{address} answers, and stands by")).took(*took)
        }
        Outcome::Answered(Answer::Odd(said), took) => {
            let text = format!("{address} answers something that is not known: {said}");
            Finding::warning(STEP, name, text).fix("look at that server's log").took(*took)
        }
        Outcome::Unreached(error) => {
            let text = format!("{address} is registered, and stale: {error}");
            Finding::warning(STEP, name, text).fix(format!(
                "its server died (the node goes with its session), or it registers an address that \
                 cannot be reached from here (canal.register.ip; serve: --advertise); {}",
                error.fix()
            ))
        }
        Outcome::Fault(fault) => {
            Finding::warning(STEP, name, format!("{address}: {fault}")).fix(fault.fix())
        }
    }
}

fn active(name: &str, address: &str, outcome: &Outcome, since: &Span) -> Finding {
    const STEP: &str = "running";
    match outcome {
        Outcome::Answered(Answer::Serves, took) => {
            let text = format!("{address} is active since {since}, and serves it");
            Finding::ok(STEP, name, text).took(*took)
        }
        Outcome::Answered(Answer::Standby(said), _) => {
            let text = format!(
                "{address} has the running node since {since}, and does not serve it: {said}"
            );
            Finding::failure(STEP, name, text).fix(
                "its instance has not started yet, or has stopped at an error: look at its log and \
                 at the source (towpath doctor mysql://...)",
            )
        }
        Outcome::Answered(Answer::Odd(said), _) => {
            let text = format!("{address} is active, and answers something not known: {said}");
            Finding::failure(STEP, name, text).fix("look at that server's log")
        }
        Outcome::Unreached(error) => {
            let text = format!("stale: {address} is named as the active server, and {error}");
            Finding::failure(STEP, name, text).fix(format!(
                "its server died: the node goes when its session expires, and another takes over; if \
                 it stays, the server lives and cannot be reached: {}",
                error.fix()
            ))
        }
        Outcome::Fault(fault @ Fault::Login(_)) => {
            let text = format!(
                "{address} is active since {since}; whether it serves is not seen: {fault}"
            );
            Finding::warning(STEP, name, text).fix(fault.fix())
        }
        Outcome::Fault(fault) => {
            let text = format!("{address} is named as the active server, but {fault}");
            Finding::failure(STEP, name, text).fix(fault.fix())
        }
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}
