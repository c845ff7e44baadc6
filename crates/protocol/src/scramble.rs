//! The password scramble: MySQL's native one, with SHA-1.

use sha1::{Digest as _, Sha1};
use thiserror::Error;

/// Bytes of a seed.
pub const SEED_LEN: usize = 8;

const HASH_LEN: usize = 20;

fn sha1(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn xor(mut left: [u8; HASH_LEN], right: &[u8; HASH_LEN]) -> [u8; HASH_LEN] {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

/// What a client sends for a password: 40 hexadecimal digits.
#[must_use]
pub fn token(password: &str, seed: &[u8]) -> String {
    let once = sha1(&[password.as_bytes()]);
    let twice = sha1(&[&once]);
    hex(&xor(sha1(&[seed, &twice]), &once))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// 39 or 40 digits of either case: an odd count has a 0 before it.
fn unhex(digits: &[u8]) -> Option<[u8; HASH_LEN]> {
    if !matches!(digits.len(), 39 | 40) {
        return None;
    }
    let mut bytes = [0; HASH_LEN];
    for (byte, pair) in bytes.iter_mut().rev().zip(digits.rchunks(2)) {
        for digit in pair {
            let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// A configured password that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a password hash has 40 hexadecimal digits, the SHA-1 of the SHA-1 of the password (MySQL's \
     password() without the leading *)"
)]
pub struct HashError;

/// A password as a server keeps it: the SHA-1 of its SHA-1.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash([u8; HASH_LEN]);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

impl std::str::FromStr for PasswordHash {
    type Err = HashError;

    /// Reads 40 hexadecimal digits, as `canal.passwd` has them.
    fn from_str(digits: &str) -> Result<Self, HashError> {
        if digits.len() != 2 * HASH_LEN {
            return Err(HashError);
        }
        unhex(digits.as_bytes()).map(Self).ok_or(HashError)
    }
}

impl PasswordHash {
    /// The hash of a password.
    #[must_use]
    pub fn of(password: &str) -> Self {
        Self(sha1(&[&sha1(&[password.as_bytes()])]))
    }

    /// Whether `token` (hexadecimal digits) was made from the same password and `seed`.
    #[must_use]
    pub fn accepts(&self, seed: &[u8; SEED_LEN], token: &[u8]) -> bool {
        let Some(token) = unhex(token) else { return false };
        let once = xor(token, &sha1(&[seed, &self.0]));
        // No early way out: the time must not tell how much of it was right.
        xor(sha1(&[&once]), &self.0).iter().fold(0, |all, byte| all | byte) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; SEED_LEN] = [1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn the_worked_example_holds() {
        assert_eq!(token("canal", &SEED), "7de44690d8e53782cb61804a2455c284a3bbfb06");
        let hash: PasswordHash = "E3619321c1a937c46a0d8bd1dac39f93b27d4458".parse().unwrap();
        assert_eq!(hash, PasswordHash::of("canal"));
        assert!(hash.accepts(&SEED, b"7de44690D8e53782cb61804a2455c284a3bbfb06"));
        assert_eq!(format!("{hash:?}"), "PasswordHash(***)");
    }

    #[test]
    fn the_empty_password_is_hashed_like_any_other() {
        let seed = [0x23, 0x16, 0xc1, 0xf9, 0x9b, 0x11, 0x40, 0xf6];
        assert_eq!(token("", &seed), "d75b0152f7e2d9e4c88b8e639dc97280007a81ed");
    }

    #[test]
    fn anything_but_the_right_token_is_refused() {
        let hash = PasswordHash::of("canal");
        for wrong in [
            &b""[..],
            b"canal",
            b"7de44690d8e53782cb61804a2455c284a3bbfb07",
            b"7de44690d8e53782cb61804a2455c284a3bbfb06ff",
            b"7de44690d8e53782cb61804a2455c284a3bbfb",
            b"zde44690d8e53782cb61804a2455c284a3bbfb06",
            b"e3619321c1a937c46a0d8bd1dac39f93b27d4458",
        ] {
            assert!(!hash.accepts(&SEED, wrong), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(!hash.accepts(&[0; SEED_LEN], b"7de44690d8e53782cb61804a2455c284a3bbfb06"));
    }

    #[test]
    fn an_odd_count_of_digits_has_a_zero_before_it() {
        let hash = PasswordHash::of("canal");
        let seed = (0..=u8::MAX).find_map(|first| {
            let seed = [first, 0, 0, 0, 0, 0, 0, 0];
            token("canal", &seed).strip_prefix('0').map(|short| (seed, short.to_owned()))
        });
        let (seed, short) = seed.unwrap();
        assert!(hash.accepts(&seed, short.as_bytes()));
    }

    #[test]
    fn a_configured_hash_is_checked_at_once() {
        for wrong in ["", "canal", "*3619321c1a937c46a0d8bd1dac39f93b27d4458"] {
            assert_eq!(wrong.parse::<PasswordHash>(), Err(HashError), "{wrong}");
        }
    }
}
