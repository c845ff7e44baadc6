//! `mysql://user:password@host:port`.

use std::fmt;

use crate::error::SourceError;

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
}

impl SourceUrl {
    /// Reads `mysql://user:password@host:port`; the port may be left out (3306), `mariadb://` is the
    /// same, `%XX` stands for a byte.
    ///
    /// # Errors
    /// [`SourceError::Url`] says what is missing.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let fail = |reason: &str| SourceError::Url {
            url: without_password(text),
            reason: format!("{reason}; expected mysql://user:password@host:3306"),
        };
        let rest = text
            .strip_prefix("mysql://")
            .or_else(|| text.strip_prefix("mariadb://"))
            .ok_or_else(|| fail("it does not begin with mysql://"))?;
        let rest = rest.split(['/', '?']).next().unwrap_or_default();
        let (login, place) = rest.rsplit_once('@').ok_or_else(|| fail("there is no user in it"))?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => {
                let (host, tail) = v6.split_once(']').ok_or_else(|| fail("`[` without `]`"))?;
                (host, tail.strip_prefix(':'))
            }
            None => match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map_or(Ok(3306), str::parse).map_err(|_| fail("the port is no number"))?;
        if host.is_empty() || user.is_empty() {
            return Err(fail("host or user is empty"));
        }
        Ok(Self { user: unescape(user), password: unescape(password), host: host.to_owned(), port })
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

fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, rest)), Some((_, place))) => {
            let user = rest.split([':', '@']).next().unwrap_or_default();
            format!("{scheme}://{user}:***@{place}")
        }
        _ => text.to_owned(),
    }
}

fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let ahead: Vec<u8> = bytes.clone().take(2).collect();
        let hex = std::str::from_utf8(&ahead).ok().filter(|h| h.len() == 2);
        match (b, hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                bytes.next();
                bytes.next();
            }
            _ => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
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
        assert_eq!(format!("{url} {url:?}").matches("p@ss").count(), 0);
        assert_eq!(SourceUrl::parse("mysql://me@[::1]").unwrap().address(), "[::1]:3306");
        let error = SourceUrl::parse("mysql://me:secret@:x").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(SourceUrl::parse("http://a").is_err());
    }
}
