//! Signatures of requests: HMAC-SHA1, version 1.0 of the service's rules.

use base64ct::{Base64, Encoding as _};
use jiff::Timestamp;
use ring::hmac;

use super::settings::AccessKey;

const API_VERSION: &str = "2014-08-15";

/// A moment as the service writes it.
pub(super) fn moment(unix_s: u64) -> String {
    let moment = i64::try_from(unix_s).ok().and_then(|s| Timestamp::from_second(s).ok());
    moment.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The query of a GET of `/`: the action's parameters, those that every request has, and the
/// signature.
pub(super) fn signed<const N: usize>(
    key: &AccessKey,
    action: [(&'static str, String); N],
    now_s: u64,
) -> String {
    let mut parameters = vec![
        ("AccessKeyId", key.id.clone()),
        ("Format", "JSON".to_owned()),
        ("SignatureMethod", "HMAC-SHA1".to_owned()),
        ("SignatureNonce", crate::random_uuid()),
        ("SignatureVersion", "1.0".to_owned()),
        ("Timestamp", moment(now_s)),
        ("Version", API_VERSION.to_owned()),
    ];
    parameters.extend(action);
    with_signature(key, parameters)
}

fn with_signature(key: &AccessKey, mut parameters: Vec<(&'static str, String)>) -> String {
    parameters.sort();
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    let query = pairs.collect::<Vec<_>>().join("&");
    let text = format!("GET&%2F&{}", escaped(&query));
    let secret = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        format!("{}&", key.secret()).as_bytes(),
    );
    let signature = Base64::encode_string(hmac::sign(&secret, text.as_bytes()).as_ref());
    format!("{query}&Signature={}", escaped(&signature))
}

/// Everything but letters, digits and `-_.~` as `%XX`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of the service's manual.
    #[test]
    fn the_signature_is_that_of_the_manual() {
        let key = AccessKey::new("testid".to_owned(), "testsecret".to_owned());
        let parameters = [
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Format", "XML"),
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("Version", "2014-05-26"),
            ("SignatureVersion", "1.0"),
        ];
        let parameters = parameters.map(|(name, value)| (name, value.to_owned())).to_vec();
        let query = with_signature(&key, parameters);
        assert!(query.ends_with("&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D"), "{query}");
        assert_eq!(escaped("a b*c~d/é"), "a%20b%2Ac~d%2F%C3%A9");
        assert_eq!(moment(1_000_000_000), "2001-09-09T01:46:40Z");
    }
}
