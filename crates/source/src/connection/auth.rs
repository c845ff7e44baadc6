//! Greeting, login packet and passwords (mysql-source 1.2, 1.3).

use rsa::pkcs8::DecodePublicKey;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use towpath_binlog::{ParseError, Reader};

/// What the server says first.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) thread_id: u32,
    pub(super) scramble: Vec<u8>,
    pub(super) plugin: String,
    pub(super) charset: u8,
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
        r.u16("capabilities")?;
        let charset = r.u8("charset")?;
        r.u16("status")?;
        r.u16("capabilities")?;
        r.u8("scramble length")?;
        r.bytes(10, "filler")?;
        scramble.extend_from_slice(r.bytes(12, "scramble")?);
        r.u8("end of scramble")?;
        let plugin = match r.nul_terminated() {
            [] => "mysql_native_password".to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        Ok(Self { version, thread_id, scramble, plugin, charset })
    }
}

/// The login packet.
pub(super) fn response(capabilities: u32, hello: &Greeting, user: &str, token: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(capabilities.to_le_bytes());
    out.extend((1_u32 << 24).to_le_bytes());
    out.push(if hello.charset == 0 { 33 } else { hello.charset });
    out.extend([0; 23]);
    out.extend(user.as_bytes());
    out.push(0);
    out.push(u8::try_from(token.len()).unwrap_or(0));
    out.extend(token);
    out.extend(hello.plugin.as_bytes());
    out.push(0);
    out
}

/// The proof of the password for a plugin; `None` for plugins that are not supported.
pub(super) fn token(plugin: &str, password: &str, scramble: &[u8]) -> Option<Vec<u8>> {
    match plugin {
        _ if password.is_empty() => Some(Vec::new()),
        "mysql_native_password" => {
            let once = Sha1::digest(password);
            let seeded =
                Sha1::new().chain_update(scramble).chain_update(Sha1::digest(once)).finalize();
            Some(once.iter().zip(seeded).map(|(a, b)| a ^ b).collect())
        }
        "caching_sha2_password" => {
            let once = Sha256::digest(password);
            let seeded =
                Sha256::new().chain_update(Sha256::digest(once)).chain_update(scramble).finalize();
            Some(once.iter().zip(seeded).map(|(a, b)| a ^ b).collect())
        }
        _ => None,
    }
}

/// The password under the server's public key (RSA-OAEP of the password xor the scramble).
pub(super) fn encrypt(key: &[u8], password: &str, scramble: &[u8]) -> Result<Vec<u8>, String> {
    let pem = std::str::from_utf8(key).map_err(|e| e.to_string())?;
    let key = rsa::RsaPublicKey::from_public_key_pem(pem).map_err(|e| e.to_string())?;
    let mixed: Vec<u8> = password
        .bytes()
        .chain([0])
        .zip(scramble.iter().cycle())
        .map(|(byte, seed)| byte ^ seed)
        .collect();
    key.encrypt(&mut rsa::rand_core::OsRng, rsa::Oaep::new::<Sha1>(), &mixed)
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_passwords_send_nothing_and_unknown_plugins_are_named() {
        assert_eq!(token("caching_sha2_password", "", b"x"), Some(Vec::new()));
        assert_eq!(token("client_ed25519", "p", b"x"), None);
        assert_eq!(token("mysql_native_password", "p", &[1; 20]).map(|t| t.len()), Some(20));
        assert_eq!(token("caching_sha2_password", "p", &[1; 20]).map(|t| t.len()), Some(32));
    }
}
