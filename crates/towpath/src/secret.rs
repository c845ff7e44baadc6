//! What may hold a password: it comes from the command line, where other users of the machine see it, from the
//! environment, from a file, or from the credentials that systemd passes (systemd.exec(5), "CREDENTIALS").

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A text that is never shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A place as it can be shown: without the login of a URL. What is not certainly no password is left out.
pub(crate) fn without_login(place: &str) -> String {
    let Some((scheme, rest)) = place.split_once("://") else {
        return if place.contains('@') { "***".to_owned() } else { place.to_owned() };
    };
    if let Some((_, shown)) = rest.rsplit_once('@') {
        return format!("{scheme}://{shown}");
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let is_port = |port: &str| port.parse::<u16>().is_ok() || port.ends_with(']');
    let all_ports = authority
        .split(',')
        .all(|host| host.rsplit_once(':').is_none_or(|(_, port)| is_port(port)));
    if all_ports { place.to_owned() } else { format!("{scheme}://***") }
}

/// A text about arguments as it can be shown: without the logins that stand in them.
pub(crate) fn masked(text: &str, arguments: impl Iterator<Item = String>) -> String {
    let mut shown = text.to_owned();
    for argument in arguments {
        let Some((before, _)) = argument.rsplit_once('@') else { continue };
        // What stands before that is the scheme; without one perhaps the name of an option.
        let login = before.rsplit_once("//").map_or(before, |(_, login)| login);
        let Some((_, password)) =
            login.split_once(':').filter(|(_, password)| !password.is_empty())
        else {
            continue;
        };
        shown =
            shown.replace(&format!("{login}@"), "***@").replace(&format!("{password}@"), "***@");
        if password.len() >= SHOWN_LEN_MIN {
            shown = shown.replace(password, "***");
        }
    }
    shown
}

/// A shorter text is part of words, and no password.
const SHOWN_LEN_MIN: usize = 4;

/// `file:PATH` is what lies in a file, `credential:NAME` a credential of the service, without the end of the
/// last line; anything else is the text itself.
impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = match (text.strip_prefix("file:"), text.strip_prefix("credential:")) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(name)) => credential(name)?,
            (None, None) => return Ok(Self(text.to_owned())),
        };
        let read = std::fs::read_to_string(&path);
        let read = read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let secret = read.strip_suffix('\n').unwrap_or(&read);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() || secret.contains('\n') {
            return Err(format!("{} has to hold one line, the secret", path.display()));
        }
        Ok(Self(secret.to_owned()))
    }
}

fn credential(name: &str) -> Result<PathBuf, String> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(
        "there is no CREDENTIALS_DIRECTORY in the environment: the service needs LoadCredential=",
    )?;
    let is_plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    is_plain
        .then(|| Path::new(&folder).join(name))
        .ok_or_else(|| format!("`{name}` is no name of a credential"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_its_login() {
        for (place, shown) in [
            ("canal://h:11111/x", "canal://h:11111/x"),
            ("canal://u:secret@h/x", "canal://h/x"),
            ("canal://u:sec/r@et@h/x", "canal://h/x"),
            ("canal://u:secret", "canal://***"),
            ("zk://a:2181,b:2181/otter", "zk://a:2181,b:2181/otter"),
            ("mysql://[::1]/x", "mysql://[::1]/x"),
            ("root:secret@h", "***"),
            ("/var/lib/mysql", "/var/lib/mysql"),
        ] {
            assert_eq!(without_login(place), shown);
        }
    }

    #[test]
    fn what_is_told_of_arguments_has_no_login_in_it() {
        for (argument, shown) in [
            ("mysql://u:secret@h:1", "invalid value 'mysql://***@h:1' for secrets"),
            ("--zk=u:secret@h", "invalid value 'u:***@h' for secrets"),
            ("/a@b/mysql-bin.000001", "invalid value '/a@b/mysql-bin.000001' for secrets"),
            ("h:1", "invalid value 'h:1' for secrets"),
        ] {
            let value = argument.trim_start_matches("--zk=");
            let text = format!("invalid value '{value}' for secrets");
            let masked = masked(&text, [argument.to_owned()].into_iter());
            assert_eq!(masked.replace("***s", "secrets"), shown, "{argument}");
        }
    }

    #[test]
    fn secrets_come_from_files_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let given = format!("file:{}", path.display());
        for (content, expected) in [
            ("s3cret", Ok("s3cret")),
            ("s3 cret \n", Ok("s3 cret ")),
            ("s3cret\r\n", Ok("s3cret")),
            ("", Err("one line")),
            ("\n", Err("one line")),
            ("a\nb\n", Err("one line")),
        ] {
            std::fs::write(&path, content).unwrap();
            match (given.parse::<Secret>(), expected) {
                (Ok(secret), Ok(expected)) => {
                    assert_eq!(&*secret, expected);
                    assert_eq!(format!("{secret:?}"), "***");
                }
                (Err(said), Err(needle)) => assert!(said.contains(needle), "{said}"),
                (read, expected) => panic!("{content:?}: {read:?}, {expected:?}"),
            }
        }
        let missing = format!("file:{}", folder.path().join("no").display());
        assert!(missing.parse::<Secret>().unwrap_err().contains("cannot read"));
        for name in ["", "..", "a/b"] {
            assert!(format!("credential:{name}").parse::<Secret>().is_err(), "{name}");
        }
        assert_eq!(&*"mysql://me:file:x@h".parse::<Secret>().unwrap(), "mysql://me:file:x@h");
    }
}
