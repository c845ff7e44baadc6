//! Greeting, login packets and passwords (mysql-source 1.2, 1.3). No I/O.

use rsa::pkcs8::DecodePublicKey;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use thiserror::Error;
use towpath_binlog::{ParseError, Reader};

/// `utf8mb4_general_ci`: statements, results and error texts are UTF-8 from the first packet on.
const CHARSET: u8 = 45;

/// What the server says first.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) thread_id: u32,
    pub(super) capabilities: u32,
    scramble: Vec<u8>,
    plugin: String,
}

impl Greeting {
    pub(super) fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(packet);
        let protocol = r.u8("protocol version")?;
        if protocol != 10 {
            return Err(r.invalid("protocol version", u64::from(protocol), "10"));
        }
        let version = String::from_utf8_lossy(r.nul_terminated()).into_owned();
        let thread_id = r.u32("thread id")?;
        let mut scramble = r.bytes(8, "scramble")?.to_vec();
        r.u8("filler")?;
        let low = r.u16("capabilities")?;
        r.u8("charset")?;
        r.u16("status")?;
        let high = r.u16("capabilities")?;
        r.u8("scramble length")?;
        r.bytes(10, "filler")?;
        scramble.extend_from_slice(r.bytes(12, "scramble")?);
        r.u8("end of scramble")?;
        let plugin = match r.nul_terminated() {
            [] => NATIVE.to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        let capabilities = u32::from(high) << 16 | u32::from(low);
        Ok(Self { version, thread_id, capabilities, scramble, plugin })
    }
}

/// The part that both packets begin with.
fn head(capabilities: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(capabilities.to_le_bytes());
    out.extend((1_u32 << 24).to_le_bytes());
    out.push(CHARSET);
    out.extend([0; 23]);
    out
}

/// The packet that asks for TLS.
pub(super) fn tls_request(capabilities: u32) -> Vec<u8> {
    head(capabilities)
}

/// The login packet.
pub(super) fn response(capabilities: u32, plugin: &str, user: &str, token: &[u8]) -> Vec<u8> {
    let mut out = head(capabilities);
    out.extend(user.as_bytes());
    out.push(0);
    // The length is length-encoded; below 251 that is one byte.
    match u8::try_from(token.len()) {
        Ok(len) if len < 251 => {
            out.push(len);
            out.extend(token);
        }
        // No proof is that long; in clear, such a password is asked for again with a switch.
        _ => out.push(0),
    }
    out.extend(plugin.as_bytes());
    out.push(0);
    out
}

const NATIVE: &str = "mysql_native_password";
const CACHING_SHA2: &str = "caching_sha2_password";
const SHA256: &str = "sha256_password";
const CLEAR: &str = "mysql_clear_password";

/// What asks for the server's public key.
const KEY_CACHING: u8 = 2;
const KEY_SHA256: u8 = 1;

/// Why a login cannot go on.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error(
        "the account uses the authentication plugin {0}, which is not supported: use \
         caching_sha2_password or mysql_native_password"
    )]
    Plugin(String),
    #[error(
        "the account uses {0}, which sends the password in clear: add ?tls=required to the URL of \
         the source"
    )]
    NeedsTls(String),
    #[error(
        "the account uses {plugin}, and the server has no public key to encrypt the password with \
         ({answer}): add ?tls=required to the URL of the source, or let the server have a key \
         ({plugin}_auto_generate_rsa_keys)"
    )]
    NoKey { plugin: String, answer: String },
    #[error("the server's answer to the login is not understood")]
    Answer,
    #[error("the server's public key cannot be used: {0}")]
    Key(String),
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Logged in.
    Done,
    /// Another packet of the server.
    Wait,
    /// A packet to send.
    Send(Vec<u8>),
}

/// What the server was sent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// A password, in whatever form.
    Proof,
    /// The question for its public key.
    KeyQuestion,
}

/// The conversation after the greeting.
pub(super) struct Exchange<'a> {
    plugin: String,
    scramble: Vec<u8>,
    password: &'a str,
    is_tls: bool,
    sent: Sent,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(hello: &Greeting, password: &'a str, is_tls: bool) -> Self {
        // The greeting names the server's default; the account's own plugin comes with a switch.
        let plugin = match hello.plugin.as_str() {
            CACHING_SHA2 => CACHING_SHA2,
            _ => NATIVE,
        };
        let scramble = hello.scramble.clone();
        Self { plugin: plugin.to_owned(), scramble, password, is_tls, sent: Sent::Proof }
    }

    /// What the server's text of an error means, where it says less than is known here.
    pub(super) fn refusal(&self, answer: &str) -> Option<Refusal> {
        let no_key = || Refusal::NoKey { plugin: self.plugin.clone(), answer: answer.to_owned() };
        (self.sent == Sent::KeyQuestion).then(no_key)
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// What goes into the login packet.
    pub(super) fn first(&self) -> Result<Vec<u8>, Refusal> {
        self.proof()
    }

    /// What to do about a packet that is no error packet.
    pub(super) fn answer(&mut self, packet: &[u8]) -> Result<Step, Refusal> {
        let step = self.step(packet)?;
        self.sent = match (&step, self.plugin.as_str()) {
            (Step::Send(bytes), CACHING_SHA2) if bytes == &[KEY_CACHING] => Sent::KeyQuestion,
            (Step::Send(bytes), SHA256) if bytes == &[KEY_SHA256] => Sent::KeyQuestion,
            _ => Sent::Proof,
        };
        Ok(step)
    }

    fn step(&mut self, packet: &[u8]) -> Result<Step, Refusal> {
        match packet.split_first() {
            Some((0, _)) => Ok(Step::Done),
            Some((0xfe, switch)) => {
                let mut r = Reader::new(switch);
                self.plugin = match r.nul_terminated() {
                    // The switch of servers before 4.1 names nothing.
                    [] => "mysql_old_password".to_owned(),
                    name => String::from_utf8_lossy(name).into_owned(),
                };
                let rest = r.take_rest();
                self.scramble = rest.strip_suffix(&[0]).unwrap_or(rest).to_vec();
                Ok(Step::Send(self.proof()?))
            }
            Some((1, more)) => self.more(more),
            // The key without its prefix.
            Some((b'-', _)) if self.plugin == SHA256 => self.encrypted(packet).map(Step::Send),
            _ => Err(Refusal::Answer),
        }
    }

    fn more(&self, more: &[u8]) -> Result<Step, Refusal> {
        match (self.plugin.as_str(), more) {
            // The server knew the password: OK follows.
            (CACHING_SHA2, [3]) => Ok(Step::Wait),
            // It wants the password itself: under TLS as it is (asking for the key is taken for the
            // password there), else under its public key.
            (CACHING_SHA2, [4]) if self.is_tls => Ok(Step::Send(self.clear())),
            (CACHING_SHA2, [4]) => Ok(Step::Send(vec![KEY_CACHING])),
            (CACHING_SHA2 | SHA256, key) if !self.is_tls => self.encrypted(key).map(Step::Send),
            _ => Err(Refusal::Answer),
        }
    }

    fn clear(&self) -> Vec<u8> {
        self.password.bytes().chain([0]).collect()
    }

    /// The proof of the password that the plugin asks for first.
    fn proof(&self) -> Result<Vec<u8>, Refusal> {
        match self.plugin.as_str() {
            NATIVE | CACHING_SHA2 if self.password.is_empty() => Ok(Vec::new()),
            NATIVE => {
                let once = Sha1::digest(self.password);
                let seeded = Sha1::new()
                    .chain_update(&self.scramble)
                    .chain_update(Sha1::digest(once))
                    .finalize();
                Ok(once.iter().zip(seeded).map(|(a, b)| a ^ b).collect())
            }
            CACHING_SHA2 => {
                let once = Sha256::digest(self.password);
                let seeded = Sha256::new()
                    .chain_update(Sha256::digest(once))
                    .chain_update(&self.scramble)
                    .finalize();
                Ok(once.iter().zip(seeded).map(|(a, b)| a ^ b).collect())
            }
            SHA256 if self.is_tls || self.password.is_empty() => Ok(self.clear()),
            // Asks for the server's public key.
            SHA256 => Ok(vec![KEY_SHA256]),
            CLEAR if self.is_tls => Ok(self.clear()),
            CLEAR => Err(Refusal::NeedsTls(self.plugin.clone())),
            _ => Err(Refusal::Plugin(self.plugin.clone())),
        }
    }

    /// The password under the server's public key (RSA-OAEP of the password xor the scramble).
    fn encrypted(&self, key: &[u8]) -> Result<Vec<u8>, Refusal> {
        let pem = std::str::from_utf8(key).map_err(|e| Refusal::Key(e.to_string()))?;
        let key =
            rsa::RsaPublicKey::from_public_key_pem(pem).map_err(|e| Refusal::Key(e.to_string()))?;
        // A cycle of nothing would leave the password as it is.
        if self.scramble.is_empty() {
            return Err(Refusal::Answer);
        }
        let mixed: Vec<u8> =
            self.clear().iter().zip(self.scramble.iter().cycle()).map(|(a, b)| a ^ b).collect();
        key.encrypt(&mut rsa::rand_core::OsRng, rsa::Oaep::new::<Sha1>(), &mixed)
            .map_err(|e| Refusal::Key(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(plugin: &str, password: &'static str, is_tls: bool) -> Exchange<'static> {
        let (plugin, scramble) = (plugin.to_owned(), vec![1; 20]);
        Exchange { plugin, scramble, password, is_tls, sent: Sent::Proof }
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut out, byte| {
            write!(out, "{byte:02x}").unwrap();
            out
        })
    }

    /// Computed with the hash functions of another language.
    #[test]
    fn proofs_are_those_of_the_plugins() {
        let proof = |plugin| hex(&exchange(plugin, "pass", false).proof().unwrap());
        assert_eq!(proof(NATIVE), "94c537d6f8811780f5534dfb097bdb8e307c879d");
        assert_eq!(
            proof(CACHING_SHA2),
            "0c2cb211e5e035661067342bb20c6b9133da875a54080ac272a9c16f58c8476e"
        );
    }

    #[test]
    fn passwords_go_in_clear_under_tls_only() {
        let proof = |plugin, is_tls| exchange(plugin, "pw", is_tls).proof();
        assert_eq!(proof(CLEAR, true), Ok(b"pw\0".to_vec()));
        assert_eq!(proof(CLEAR, false), Err(Refusal::NeedsTls(CLEAR.to_owned())));
        assert_eq!(proof(SHA256, true), Ok(b"pw\0".to_vec()));
        assert_eq!(proof(SHA256, false), Ok(vec![1]));
        let full = |is_tls| exchange(CACHING_SHA2, "pw", is_tls).answer(&[1, 4]);
        assert_eq!(full(true), Ok(Step::Send(b"pw\0".to_vec())));
        assert_eq!(full(false), Ok(Step::Send(vec![2])));
    }

    /// Only behind the question for the key does an error mean that there is none.
    #[test]
    fn a_server_without_a_key_is_told_from_a_wrong_password() {
        let mut first = exchange(CACHING_SHA2, "pw", false);
        assert_eq!(first.refusal("Access denied"), None);
        first.answer(&[1, 4]).unwrap();
        let text = first.refusal("Access denied").unwrap().to_string();
        for needle in [CACHING_SHA2, "(Access denied)", "?tls=required"] {
            assert!(text.contains(needle), "{text}");
        }
        first.answer(&[1, 3]).unwrap();
        assert_eq!(first.refusal("Access denied"), None);
        let mut switched = exchange(NATIVE, "pw", false);
        switched.answer(b"\xfesha256_password\0abc").unwrap();
        assert!(switched.refusal("Access denied").is_some());
    }

    #[test]
    fn empty_passwords_send_nothing_and_unknown_plugins_are_named() {
        assert_eq!(exchange(NATIVE, "", false).proof(), Ok(Vec::new()));
        assert_eq!(exchange(CACHING_SHA2, "", false).proof(), Ok(Vec::new()));
        assert_eq!(exchange(SHA256, "", false).proof(), Ok(vec![0]));
        let mut switched = exchange(NATIVE, "p", false);
        let refusal = switched.answer(b"\xfeparsec\0abc").unwrap_err();
        assert_eq!(refusal, Refusal::Plugin("parsec".to_owned()));
        assert_eq!(switched.answer(b"\xfe"), Err(Refusal::Plugin("mysql_old_password".to_owned())));
        assert_eq!(exchange(NATIVE, "p", false).answer(&[7]), Err(Refusal::Answer));
        assert_eq!(exchange(NATIVE, "p", false).answer(&[]), Err(Refusal::Answer));
        assert_eq!(exchange(NATIVE, "p", false).answer(&[1, 4]), Err(Refusal::Answer));
    }
}
