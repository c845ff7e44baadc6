//! The other side of a signature, made on its own way: HMAC-SHA1 by its definition.

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};

const BLOCK_LEN: usize = 64;

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; BLOCK_LEN];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let masked = |mask: u8| block.map(|byte| byte ^ mask);
    let inner = Sha1::new().chain_update(masked(0x36)).chain_update(text).finalize();
    Sha1::new().chain_update(masked(0x5c)).chain_update(inner).finalize().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or_default();
            let digit = ALPHABET.get(index).copied().unwrap_or_default();
            out.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits: String = bytes.by_ref().take(2).map(char::from).collect();
        out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The parameters of a query that is signed with the secret.
pub(super) fn check(query: &str, secret: &str) -> Result<BTreeMap<String, String>, String> {
    let mut parameters: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect();
    let signature = parameters.remove("Signature").ok_or("there is no signature")?;
    let sorted = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    let text = format!("GET&%2F&{}", escaped(&sorted.collect::<Vec<_>>().join("&")));
    let expected = base64(&hmac(format!("{secret}&").as_bytes(), text.as_bytes()));
    if expected != signature {
        return Err(format!("the signature is {signature}, {expected} is expected of {text}"));
    }
    Ok(parameters)
}

/// Days from 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, shifted) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds since 1970 of `2001-09-09T01:46:40Z`.
pub(super) fn unix_s(text: &str) -> Option<u64> {
    let rest = text.strip_suffix('Z')?;
    let numbers: Vec<i64> =
        rest.split(['-', 'T', ':']).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [year, month, day, hour, minute, second] = numbers.try_into().ok()?;
    u64::try_from(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second).ok()
}

/// The other way round.
pub(super) fn moment(unix_s: u64) -> String {
    let whole = i64::try_from(unix_s / 86_400).unwrap_or_default();
    let year = (1970..3000).find(|year| days(year + 1, 1, 1) > whole).unwrap_or(1970);
    let month = (1..12).find(|month| days(year, month + 1, 1) > whole).unwrap_or(12);
    let day = whole - days(year, month, 1) + 1;
    let second = unix_s % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_there_and_back() {
        for unix_s in [0, 86_399, 86_400, 951_782_400, 1_000_000_000, 1_735_689_599, 4_102_444_800]
        {
            assert_eq!(super::unix_s(&moment(unix_s)), Some(unix_s), "{}", moment(unix_s));
        }
        assert_eq!(moment(1_000_000_000), "2001-09-09T01:46:40Z");
        assert_eq!(base64(b"ab"), "YWI=");
    }
}
