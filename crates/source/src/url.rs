//! `mysql://user:password@host:port/database?tls=MODE&ca=FILE&stream=NAME`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::SourceError;

/// How a connection is protected, by the names of MySQL's own `--ssl-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// In clear.
    #[default]
    Disabled,
    /// Encrypted where the server can, else in clear.
    Preferred,
    /// Encrypted; whose certificate it is, is not looked at.
    Required,
    /// Encrypted, with a certificate of the given authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate is that of the host in the URL.
    VerifyIdentity,
}

impl TlsMode {
    /// `VERIFY_CA` is the same as `verify-ca`.
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" => Some(Self::Disabled),
            "preferred" => Some(Self::Preferred),
            "required" => Some(Self::Required),
            "verify-ca" => Some(Self::VerifyCa),
            "verify-identity" => Some(Self::VerifyIdentity),
            _ => None,
        }
    }
}

/// Where a server is and who asks. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    /// User name.
    pub user: String,
    password: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database that is meant, if one is named.
    pub database: Option<String>,
    /// Protection of the connection.
    pub tls: TlsMode,
    /// PEM file with the certificates of the authorities that are trusted.
    pub ca: Option<PathBuf>,
    /// The stream of a PolarDB-X whose binlog has several.
    pub stream: Option<String>,
}

impl SourceUrl {
    /// Reads `mysql://user:password@host:port/database?tls=MODE&ca=FILE&stream=NAME`; the port may be left out
    /// (3306), `mariadb://` is the same, `%XX` stands for a byte.
    ///
    /// # Errors
    /// [`SourceError::Url`] says what is wrong, without the password.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        read(text).map_err(|reason| SourceError::Url {
            url: without_password(text),
            reason: format!("{reason}; expected mysql://user:password@host:3306"),
        })
    }

    /// Whether a place is a URL, well written or not, rather than a file.
    #[must_use]
    pub fn is_meant(place: &str) -> bool {
        const SCHEMES: [&str; 5] = ["mysql", "mariadb", "canal", "zk", "zookeeper"];
        if place.contains("://") {
            return true;
        }
        let word = place.split([':', '/']).next().unwrap_or_default();
        let has_scheme = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        // `host:port` and `//host` are no files that anybody has, `/folder/a:b` may be one that is not there.
        let is_path = place.starts_with(['/', '.']) && !place.starts_with("//");
        let looks_so = has_scheme
            || place.contains('@')
            || place.starts_with("//")
            || (place.contains(':') && !is_path);
        looks_so && !Path::new(place).exists()
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn read(text: &str) -> Result<SourceUrl, String> {
    let rest = text
        .strip_prefix("mysql://")
        .or_else(|| text.strip_prefix("mariadb://"))
        .ok_or("it does not begin with mysql://, and is no file")?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((login, place)) = authority.rsplit_once('@') else {
        return Err(if tail.contains('@') {
            "a `/`, `?` or `#` in user or password has to be written as %2F, %3F or %23".to_owned()
        } else {
            "there is no user in it".to_owned()
        });
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = host_and_port(place)?;
    let (user, password) = (unescape(user, "the user")?, unescape(password, "the password")?);
    if host.is_empty() || user.is_empty() {
        return Err("host or user is empty".to_owned());
    }
    let mut url = SourceUrl {
        user,
        password,
        host: host.to_owned(),
        port,
        database: database(tail)?,
        tls: TlsMode::default(),
        ca: None,
        stream: None,
    };
    if let Some((_, query)) = tail.split_once('?') {
        read_options(&mut url, query.split('#').next().unwrap_or_default())?;
    }
    Ok(url)
}

/// The name in the path.
fn database(tail: &str) -> Result<Option<String>, String> {
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    let name = path.strip_prefix('/').unwrap_or_default();
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.contains('/') {
        return Err("the path has to be the name of one database".to_owned());
    }
    let name = unescape(name, "the name of the database")?;
    Ok(Some(name).filter(|name| !name.is_empty()))
}

fn host_and_port(place: &str) -> Result<(&str, u16), String> {
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => {
            let (host, tail) = v6.split_once(']').ok_or("`[` without `]`")?;
            match tail.strip_prefix(':') {
                None if !tail.is_empty() => return Err("`:port` is expected behind `]`".to_owned()),
                port => (host, port),
            }
        }
        None => match place.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("an IPv6 address has to be written as [::1]".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    match port.map_or(Ok(3306), str::parse) {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err("the port is no number from 1 to 65535".to_owned()),
    }
}

fn read_options(url: &mut SourceUrl, query: &str) -> Result<(), String> {
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = unescape(value, name)?;
        match name {
            "tls" => {
                url.tls = TlsMode::parse(&value).ok_or_else(|| {
                    format!(
                        "tls={value} is none of disabled, preferred, required, verify-ca, \
                         verify-identity"
                    )
                })?;
            }
            "ca" => url.ca = Some(PathBuf::from(value)),
            "stream" => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if value.is_empty() || !value.chars().all(is_plain) {
                    return Err(format!("stream={value} is no name of a stream"));
                }
                url.stream = Some(value);
            }
            _ => return Err(format!("there is no option {name}, only tls, ca and stream")),
        }
    }
    match (url.tls, &url.ca) {
        (TlsMode::VerifyCa | TlsMode::VerifyIdentity, None) => {
            Err("tls=verify-ca and tls=verify-identity need ca=FILE (PEM)".to_owned())
        }
        (TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required, Some(_)) => {
            Err("ca=FILE is only looked at with tls=verify-ca or tls=verify-identity".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whatever stands where a password could be is left out.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text
            .rsplit_once('@')
            .map_or_else(|| "***".to_owned(), |(_, at)| format!("***@{at}"));
    };
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split([':', '/']).next().unwrap_or_default();
            format!("{scheme}://{user}:***@{place}")
        }
        // Without `@` it is open what is meant as the password.
        None => match rest.split_once(':') {
            Some((first, _)) => format!("{scheme}://{first}:***"),
            None => text.to_owned(),
        },
    }
}

fn unescape(text: &str, what: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let value = digit().zip(digit()).and_then(|(a, b)| u8::try_from(a * 16 + b).ok());
        out.push(value.ok_or_else(|| format!("in {what}, a `%` has to be written as %25"))?);
    }
    String::from_utf8(out).map_err(|_| format!("{what} is not UTF-8"))
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mysql://{}:***@{}", self.user, self.address())
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_passwords_never_shown() {
        let url = SourceUrl::parse("mysql://me:p%40ss@db1:3307/x").unwrap();
        assert_eq!((url.user.as_str(), url.password(), url.port), ("me", "p@ss", 3307));
        assert_eq!(url.database.as_deref(), Some("x"));
        assert_eq!(
            SourceUrl::parse("mysql://me@h/a%2Fb/?tls=required").unwrap().database.unwrap(),
            "a/b"
        );
        assert_eq!(SourceUrl::parse("mysql://me@h/").unwrap().database, None);
        assert_eq!(format!("{url} {url:?}").matches("p@ss").count(), 0);
        assert_eq!(SourceUrl::parse("mysql://me@[::1]").unwrap().address(), "[::1]:3306");
        let url = SourceUrl::parse("mysql://me:a@b:c@[fe80::1]:5/?tls=VERIFY_CA&ca=/x%20y.pem");
        let url = url.unwrap();
        assert_eq!((url.password(), url.port, url.tls), ("a@b:c", 5, TlsMode::VerifyCa));
        assert_eq!(url.ca, Some(PathBuf::from("/x y.pem")));
        let url = SourceUrl::parse("mysql://me@h?stream=group1_stream_0").unwrap();
        assert_eq!(url.stream.as_deref(), Some("group1_stream_0"));
    }

    #[test]
    fn what_is_no_file_and_looks_like_a_url_is_meant_as_one() {
        for place in [
            "mysql://me@h",
            "http://h",
            "mysql:/me:secret@h",
            "mysql//me@h",
            "MYSQL:me",
            "me:secret@h",
            "me:secret",
            "//me@h",
            "//h:3306",
            "h:3306",
            "/me@h",
        ] {
            assert!(SourceUrl::is_meant(place), "{place}");
        }
        for place in ["/var/lib/mysql", "mysql-bin.000001", "./a:b", "/x/a:b", "db1"] {
            assert!(!SourceUrl::is_meant(place), "{place}");
        }
    }

    #[test]
    fn faults_are_named_without_the_password() {
        for (text, fault) in [
            ("http://a", "begin with mysql://"),
            ("mysql://h:secret", "no user"),
            ("me:secret@h", "begin with mysql://"),
            ("mysql://me:secret@:x", "port"),
            ("mysql://me:secret@h:0", "port"),
            ("mysql://me:secret@h:99999", "port"),
            ("mysql://:secret@h", "host or user is empty"),
            ("mysql://me:secret@", "host or user is empty"),
            ("mysql://me:sec/ret@h", "%2F"),
            ("mysql://me:100%secret@h", "%25"),
            ("mysql://me:%ffsecret@h", "UTF-8"),
            ("mysql://me:secret@::1", "[::1]"),
            ("mysql://me:secret@[::1", "`]`"),
            ("mysql://me:secret@[::1]3306", ":port"),
            ("mysql://me:secret@h?tls=yes", "tls=yes is none of"),
            ("mysql://me:secret@h?tls=verify-ca", "ca=FILE"),
            ("mysql://me:secret@h?ca=x", "only looked at"),
            ("mysql://me:secret@h?ssl=1", "no option ssl"),
            ("mysql://me:secret@h/a/b", "one database"),
            ("mysql://me:secret@h?stream=", "no name of a stream"),
            ("mysql://me:secret@h?stream=a'b", "no name of a stream"),
        ] {
            let error = SourceUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(fault), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains("ret@"), "{error}");
        }
    }
}
