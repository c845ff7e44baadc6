//! A Canal or Towpath server: does it answer, let us in, serve the destination?
//!
//! Whether a destination is served is asked with a get of a client id that nobody uses: a server that
//! serves it answers "should subscribe first", one that does not "should start first". Neither creates
//! anything, touches a batch or starts an instance, as a subscription would (client-protocol 4.2).

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use towpath_protocol::{
    BatchRef, ClientAuth, FrameError, Get, HEADER_LEN, Packet, PacketError, Reply, body_len,
    request, token,
};

use super::findings::{Finding, Findings};
use super::reach::{self, Unreached};
use crate::place::{CanalPlace, Login};

/// Canal lists only ids made of digits: no client of a cluster can have this one.
const CLIENT_ID: &str = "-32768";
/// Longest answer in bytes: all that are expected are short.
const ANSWER_LEN_MAX: usize = 16 << 20;

const STEPS: [&str; 5] = ["resolve", "connect", "handshake", "login", "destination"];

/// What went wrong on an open connection.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("it accepts connections and says nothing ({doing}: nothing came within {} s)", after.as_secs())]
    Silent { doing: &'static str, after: Duration },
    #[error("it closed the connection ({doing}): {source}")]
    Closed { doing: &'static str, source: io::Error },
    #[error("it does not speak Canal's protocol: {0}")]
    Stranger(String),
    #[error("it refuses the login: {0}")]
    Login(String),
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Stranger(error.to_string())
    }
}

impl From<PacketError> for Fault {
    fn from(error: PacketError) -> Self {
        let admin = match error {
            // In the packets of the admin port field 4 is the body.
            PacketError::WireType { field: 4 } => "; this looks like Canal's admin port",
            PacketError::Truncated { .. }
            | PacketError::Key { .. }
            | PacketError::WireType { .. }
            | PacketError::NotUtf8 { .. }
            | PacketError::Type { .. }
            | PacketError::Compressed { .. } => "",
        };
        Self::Stranger(format!("{error}{admin}"))
    }
}

impl Fault {
    pub(super) const fn fix(&self) -> &'static str {
        match self {
            Self::Silent { .. } => {
                "the process may be stopped or overloaded (look at it with top), something in \
                 between may swallow the bytes, or it is another kind of server"
            }
            Self::Closed { .. } => {
                "look at the server's log; a proxy whose server is gone does that, too"
            }
            Self::Stranger(_) => {
                "correct host and port: the port for clients is canal.port (11111 by default)"
            }
            Self::Login(_) => {
                "give user and password: canal://user:password@host:port/destination, or --user and \
                 --password; the server has them as canal.user and canal.passwd (serve: --user, \
                 --password)"
            }
        }
    }
}

/// Whether a server serves a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Serves,
    /// It does not, in its own words.
    Standby(String),
    /// Something else.
    Odd(String),
}

/// An open connection to a server.
struct Talk {
    stream: TcpStream,
    deadline: Duration,
}

/// What a server greets with.
struct Greeting {
    version: Option<i32>,
    seed: Vec<u8>,
}

impl Talk {
    async fn receive(&mut self, doing: &'static str) -> Result<Vec<u8>, Fault> {
        let mut header = [0; HEADER_LEN];
        self.read(&mut header, doing).await?;
        match body_len(header, ANSWER_LEN_MAX) {
            Ok(len) => self.body(len, doing).await,
            Err(error) => Err(self.stranger(header, error, doing).await),
        }
    }

    /// Memory grows with what arrives, not with what the length promises.
    async fn body(&mut self, len: usize, doing: &'static str) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        let limit = u64::try_from(len).unwrap_or(u64::MAX);
        let mut limited = (&mut self.stream).take(limit);
        match timeout(self.deadline, limited.read_to_end(&mut body)).await {
            Ok(Ok(_)) if body.len() == len => Ok(body),
            Ok(Ok(_)) => Err(Fault::Closed { doing, source: io::ErrorKind::UnexpectedEof.into() }),
            Ok(Err(source)) => Err(Fault::Closed { doing, source }),
            Err(_) => Err(Fault::Silent { doing, after: self.deadline }),
        }
    }

    /// What else it may be, by its first bytes.
    async fn stranger(
        &mut self,
        header: [u8; HEADER_LEN],
        error: FrameError,
        doing: &'static str,
    ) -> Fault {
        let guess = match &header {
            b"HTTP" => "; it is an HTTP server",
            b"SSH-" => "; it is an SSH server",
            [_, _, 0, 0] => {
                let mut next = [0];
                match self.read(&mut next, doing).await {
                    Ok(()) if matches!(next, [0x0a | 0xff]) => {
                        "; it greets as MySQL and MariaDB do: check it with mysql://"
                    }
                    Ok(()) | Err(_) => "",
                }
            }
            _ => "",
        };
        Fault::Stranger(format!("{error}{guess}"))
    }

    async fn read(&mut self, bytes: &mut [u8], doing: &'static str) -> Result<(), Fault> {
        match timeout(self.deadline, self.stream.read_exact(bytes)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(Fault::Closed { doing, source }),
            Err(_) => Err(Fault::Silent { doing, after: self.deadline }),
        }
    }

    async fn send(&mut self, frame: &[u8], doing: &'static str) -> Result<(), Fault> {
        match timeout(self.deadline, self.stream.write_all(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(Fault::Closed { doing, source }),
            Err(_) => Err(Fault::Silent { doing, after: self.deadline }),
        }
    }

    async fn greeting(&mut self) -> Result<Greeting, Fault> {
        let body = self.receive("handshake").await?;
        let packet = Packet::parse(&body)?;
        match Reply::parse(&packet)? {
            Reply::Handshake(handshake) => Ok(Greeting {
                version: packet.version,
                seed: handshake.seeds.unwrap_or_default().to_vec(),
            }),
            Reply::Ack(_) | Reply::Messages(_) => {
                Err(Fault::Stranger("it does not greet".to_owned()))
            }
        }
    }

    async fn login(&mut self, login: Option<&Login>, seed: &[u8]) -> Result<(), Fault> {
        let password = login.map(|login| match seed {
            // Servers up to 1.1.3 take it as it is.
            [] => login.password.clone(),
            seed => token(&login.password, seed),
        });
        let auth = ClientAuth {
            username: login.map(|login| login.user.as_str()),
            password: password.as_deref().map(str::as_bytes),
            ..ClientAuth::default()
        };
        self.send(&request::login(&auth)?, "login").await?;
        let body = self.receive("login").await?;
        match Reply::parse(&Packet::parse(&body)?)? {
            Reply::Ack(ack) if ack.error_code.unwrap_or(0) <= 0 => Ok(()),
            Reply::Ack(ack) => Err(Fault::Login(first_line(ack.error_message.unwrap_or_default()))),
            Reply::Handshake(_) | Reply::Messages(_) => {
                Err(Fault::Stranger("its answer to a login is none".to_owned()))
            }
        }
    }

    async fn ask(&mut self, destination: &str) -> Result<Answer, Fault> {
        let get = Get {
            destination: Some(destination),
            client_id: Some(CLIENT_ID),
            fetch_size: Some(1),
            timeout: Some(-1),
            unit: Some(2),
            auto_ack: Some(false),
        };
        self.send(&request::get(&get)?, "get").await?;
        let body = self.receive("get").await?;
        match Reply::parse(&Packet::parse(&body)?)? {
            Reply::Ack(ack) => Ok(answer(ack.error_message.unwrap_or_default())),
            Reply::Messages(messages) => {
                // Somebody has subscribed by that id after all: it keeps what is its.
                if let Some(id) = messages.batch_id.filter(|id| *id > 0) {
                    let batch = BatchRef {
                        destination: Some(destination),
                        client_id: Some(CLIENT_ID),
                        batch_id: Some(id),
                    };
                    self.send(&request::rollback(&batch)?, "roll back").await?;
                }
                Ok(Answer::Serves)
            }
            Reply::Handshake(_) => Err(Fault::Stranger("it greets twice".to_owned())),
        }
    }
}

fn answer(text: &str) -> Answer {
    if text.contains("should subscribe first") {
        Answer::Serves
    } else if text.contains("should start first") {
        Answer::Standby(said(text))
    } else {
        Answer::Odd(first_line(text))
    }
}

/// What stands behind the exception's class in Canal's text.
fn said(text: &str) -> String {
    let line = first_line(text);
    line.split_once("Exception: ").map_or(line.clone(), |(_, said)| said.to_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(400).collect()
}

/// Everything at once, for a server that the tree names.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Answer, Duration),
    Unreached(Unreached),
    Fault(Fault),
}

pub(super) async fn probe(
    address: &str,
    destination: &str,
    login: Option<&Login>,
    deadline: Duration,
) -> Outcome {
    let stream = match reach::reach(address, deadline).await {
        Ok(stream) => stream,
        Err(error) => return Outcome::Unreached(error),
    };
    let mut talk = Talk { stream, deadline };
    let asked = async {
        let greeting = talk.greeting().await?;
        talk.login(login, &greeting.seed).await?;
        let begun = Instant::now();
        let answer = talk.ask(destination).await?;
        Ok((answer, begun.elapsed()))
    };
    match asked.await {
        Ok((answer, took)) => Outcome::Answered(answer, took),
        Err(fault) => Outcome::Fault(fault),
    }
}

pub(super) async fn run(findings: &mut Findings, place: &CanalPlace, deadline: Duration) {
    let address = place.address.as_str();
    if let Err(failed) = steps(findings, place, deadline).await {
        findings.skip_after(&STEPS, failed, address);
    }
}

async fn steps(
    findings: &mut Findings,
    place: &CanalPlace,
    deadline: Duration,
) -> Result<(), &'static str> {
    let address = place.address.as_str();
    let stream = reach::steps(findings, address, deadline).await?;
    let mut talk = Talk { stream, deadline };
    let begun = Instant::now();
    let greeting = talk.greeting().await;
    let greeting = or_failure(findings, "handshake", address, greeting)?;
    findings.add(&greeted_with(address, &greeting).took(begun.elapsed()));
    let begun = Instant::now();
    let entered = talk.login(place.login.as_ref(), &greeting.seed).await;
    let took = begun.elapsed();
    or_failure(findings, "login", address, entered)?;
    let open = match &place.login {
        Some(_) => takes_anybody(address, deadline).await,
        None => Some(true),
    };
    findings.add(&entered_with(place, open).took(took));
    destination(findings, &mut talk, place).await
}

/// Tells a fault as the failure of a step.
fn or_failure<T>(
    findings: &mut Findings,
    step: &'static str,
    address: &str,
    result: Result<T, Fault>,
) -> Result<T, &'static str> {
    result.map_err(|fault| {
        findings.add(&Finding::failure(step, address, fault.to_string()).fix(fault.fix()));
        step
    })
}

fn greeted_with(address: &str, greeting: &Greeting) -> Finding {
    let Greeting { version, seed } = greeting;
    match (version, seed.len()) {
        (Some(1), 8) => Finding::ok("handshake", address, "protocol version 1, 8 bytes of seed"),
        (None, 0) => Finding::warning(
            "handshake",
            address,
            "no version and no seed: a Canal server of 1.1.3 or older, which takes passwords in clear",
        )
        .fix("update the server"),
        (version, len) => Finding::warning(
            "handshake",
            address,
            format!("protocol version {version:?}, {len} bytes of seed: 1 and 8 are expected"),
        )
        .fix("most clients refuse such a server: check what listens there"),
    }
}

/// Whether the server lets in who gives no password, if it says so.
async fn takes_anybody(address: &str, deadline: Duration) -> Option<bool> {
    let stream = reach::reach(address, deadline).await.ok()?;
    let mut talk = Talk { stream, deadline };
    let entered = async {
        let greeting = talk.greeting().await?;
        talk.login(None, &greeting.seed).await
    };
    match entered.await {
        Ok(()) => Some(true),
        Err(Fault::Login(_)) => Some(false),
        Err(Fault::Silent { .. } | Fault::Closed { .. } | Fault::Stranger(_)) => None,
    }
}

fn entered_with(place: &CanalPlace, open: Option<bool>) -> Finding {
    let address = place.address.as_str();
    match (&place.login, open) {
        (Some(login), Some(false)) => {
            Finding::ok("login", address, format!("as `{}`, and nobody without", login.user))
        }
        (Some(login), None) => Finding::ok("login", address, format!("as `{}`", login.user)),
        (Some(login), Some(true)) => Finding::warning(
            "login",
            address,
            format!(
                "as `{}`, but the server lets in anybody, with or without a password",
                login.user
            ),
        )
        .fix("set canal.user and canal.passwd (serve: --user and --password)"),
        (None, _) => Finding::note(
            "login",
            address,
            "without a password: whoever reaches the port can read every change",
        ),
    }
}

async fn destination(
    findings: &mut Findings,
    talk: &mut Talk,
    place: &CanalPlace,
) -> Result<(), &'static str> {
    const STEP: &str = "destination";
    let (address, name) = (&place.address, &place.destination);
    let begun = Instant::now();
    let finding = match talk.ask(name).await {
        Ok(Answer::Serves) => Finding::ok(STEP, address, format!("`{name}` is served here")),
        Ok(Answer::Standby(said)) => {
            Finding::failure(STEP, address, format!("`{name}` is not served here: {said}")).fix(
                "if the name is right: in a cluster another server serves it (towpath doctor zk://...), \
                 or none does; else the instance has stopped at an error, which the server's log \
                 names; a lazy Canal server starts it with the first subscription",
            )
        }
        Ok(Answer::Odd(said)) => {
            Finding::failure(STEP, address, format!("`{name}`: an answer that is not known: {said}"))
                .fix("look at the server's log")
        }
        Err(fault) => Finding::failure(STEP, address, fault.to_string()).fix(fault.fix()),
    };
    findings.add(&finding.took(begun.elapsed()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_canals_phrases() {
        let text = "something goes wrong with channel: [id: 0x1, /a => /b], exception: \
                    com.alibaba.otter.canal.server.exception.CanalServerException: ";
        let first = format!("{text}destination:shop should start first\nmore");
        let said = "destination:shop should start first".to_owned();
        assert_eq!(answer(&first), Answer::Standby(said));
        assert_eq!(answer(&format!("{text}x should subscribe first")), Answer::Serves);
        assert_eq!(answer("no\nmore"), Answer::Odd("no".to_owned()));
    }

    #[test]
    fn the_admin_port_is_named() {
        // Type 1, and a body in field 4.
        let packet = [0x18, 1, 0x22, 1, 0];
        let fault = Fault::from(Packet::parse(&packet).unwrap_err());
        assert!(fault.to_string().contains("Canal's admin port"), "{fault}");
    }
}
