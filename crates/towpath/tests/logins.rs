//! Every way to log in, against servers that have it (F9, T-SEC-3).

use std::io::Read;
use std::net::TcpStream;
use std::process::{Command, Output};

use towpath_testkit::{Server, Version};

use crate::binary;

const NATIVE: &str = "mysql_native_password";
const CACHING_SHA2: &str = "caching_sha2_password";
const SHA256: &str = "sha256_password";

/// What the accounts of a test are called and what is done with them.
struct Logins {
    server: Server,
    /// Where the row lies that a login has to bring.
    start: String,
}

fn short(plugin: &str) -> &str {
    plugin.split('_').find(|word| *word != "mysql").unwrap_or(plugin)
}

impl Logins {
    /// A server with a row to read, and for each of `plugins` an account with a password (`pw_...`) and one
    /// without (`no_...`).
    fn start(version: Version, arguments: &[&str], plugins: &[&str]) -> Self {
        let server = Server::start(version, arguments);
        for plugin in plugins {
            // It is the only one that MariaDB makes a hash for.
            let how = if version.is_mariadb() { String::new() } else { format!("WITH {plugin}") };
            for (user, password) in [("pw", "Pässword"), ("no", "")] {
                let account = format!("{user}_{}@'%'", short(plugin));
                server.run(&format!(
                    "CREATE USER {account} IDENTIFIED {how} BY '{password}'; \
                     GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account};"
                ));
            }
        }
        server
            .run(&format!("CREATE DATABASE d; CREATE TABLE d.t (a INT); {}", version.rotate_sql()));
        let start = format!("{}:4", server.binlog_end().0);
        server.run("INSERT INTO d.t VALUES (7)");
        Self { server, start }
    }

    fn tail(&self, login: &str, options: &str) -> Output {
        let url = format!("mysql://{login}@127.0.0.1:{}{options}", self.server.port());
        let from = ["tail", "--flat", "--from", &self.start, "--limit", "1"];
        Command::new(binary()).args(from).arg(url).output().unwrap()
    }

    fn streams(&self, login: &str, options: &str, what: &str) {
        let output = self.tail(login, options);
        let shown = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(shown.contains(r#""data":[{"a":"7"}]"#), "{login} {options}, {what}: {said}");
    }

    fn refused(&self, login: &str, options: &str, needles: &[&str]) {
        let output = self.tail(login, options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{login} {options}");
        for needle in needles {
            assert!(said.contains(needle), "{login} {options}: no `{needle}` in {said}");
        }
    }

    /// Right, wrong and no passwords, with what the server keeps of a login and without.
    fn check(&self, plugin: &str, options: &str) {
        let name = short(plugin);
        let right = format!("pw_{name}:P%C3%A4ssword");
        self.server.run("FLUSH PRIVILEGES");
        self.streams(&right, options, "not cached");
        self.streams(&right, options, "cached");
        self.refused(&format!("pw_{name}:wrong"), options, &["errno = 1045", "Access denied"]);
        self.refused(&format!("pw_{name}"), options, &["errno = 1045", "Access denied"]);
        self.server.run("FLUSH PRIVILEGES");
        self.refused(&format!("pw_{name}:wrong"), options, &["errno = 1045", "Access denied"]);
        self.streams(&right, options, "after a flush");
        self.streams(&format!("no_{name}"), options, "without a password");
        self.refused(&format!("no_{name}:wrong"), options, &["errno = 1045", "Access denied"]);
    }

    /// The plugin that the greeting names: an account of this one is logged in without a switch.
    fn greeted_with(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port())).unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let mut packet = vec![0; usize::from(u16::from_le_bytes([head[0], head[1]]))];
        stream.read_exact(&mut packet).unwrap();
        let name = packet.strip_suffix(&[0]).unwrap().rsplit(|byte| *byte == 0).next().unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    }
}

/// Whether the build of a server encrypts in a way that is spoken (TLS 1.2 with ECDHE at least).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    Spoken,
    TooOld,
}

impl Logins {
    /// Every plugin, in clear and under TLS.
    fn check_all(&self, plugins: &[&str], tls: Tls) {
        for plugin in plugins {
            self.check(plugin, "");
            match tls {
                Tls::Spoken => self.check(plugin, "?tls=required"),
                Tls::TooOld => {
                    let login = format!("pw_{}:P%C3%A4ssword", short(plugin));
                    let cure = ["TLS: ", "hint: TLS 1.2 with ECDHE is the oldest that is spoken"];
                    self.refused(&login, "?tls=required", &cure);
                    self.streams(&login, "?tls=preferred", "in clear after all");
                }
            }
        }
    }
}

/// F9: each plugin as that of the greeting, and as another that the server switches to.
#[test]
fn every_login_of_mysql_80() {
    let plugins = [NATIVE, CACHING_SHA2, SHA256];
    for first in plugins {
        let default = format!("--default-authentication-plugin={first}");
        let logins = Logins::start(Version::Mysql80, &[&default], &plugins);
        assert_eq!(logins.greeted_with(), first);
        logins.check_all(&plugins, Tls::TooOld);
    }
}

/// F9: the oldest plugin is gone, and every greeting names the same one.
#[test]
fn every_login_of_mysql_97() {
    let plugins = [CACHING_SHA2, SHA256];
    let logins = Logins::start(Version::Mysql97, &[], &plugins);
    assert_eq!(logins.greeted_with(), CACHING_SHA2);
    logins.check_all(&plugins, Tls::Spoken);
}

/// F9: the oldest plugin, where it is all there is, and where TLS is there for it.
#[test]
fn every_login_by_the_oldest_plugin() {
    for (version, tls) in [
        (Version::Mysql57, None),
        (Version::Mariadb102, None),
        (Version::Mariadb1011, None),
        (Version::Mariadb114, Some(Tls::Spoken)),
        (Version::Mariadb118, Some(Tls::Spoken)),
    ] {
        let arguments: &[&str] = if tls.is_some() { &["--ssl"] } else { &[] };
        let logins = Logins::start(version, arguments, &[NATIVE]);
        assert_eq!(logins.greeted_with(), NATIVE, "{version:?}");
        match tls {
            Some(tls) => logins.check_all(&[NATIVE], tls),
            None => {
                logins.check(NATIVE, "");
                let login = "pw_native:P%C3%A4ssword";
                logins.refused(login, "?tls=required", &["offers no TLS, which the URL asks for"]);
            }
        }
    }
}

/// F9: a server without a key to encrypt a password with is told from a wrong password.
#[test]
fn a_server_without_a_public_key_is_named() {
    let plugins = [CACHING_SHA2, SHA256];
    for version in [Version::Mysql80, Version::Mysql97] {
        let keys: Vec<String> = plugins
            .iter()
            .map(|plugin| plugin.replace('_', "-"))
            .flat_map(|name| {
                [
                    format!("--{name}-auto-generate-rsa-keys=OFF"),
                    format!("--{name}-private-key-path=none.pem"),
                    format!("--{name}-public-key-path=none.pem"),
                ]
            })
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let logins = Logins::start(version, &keys, &plugins);
        for plugin in plugins {
            let login = format!("pw_{}:P%C3%A4ssword", short(plugin));
            let cure = [plugin, "no public key", "add ?tls=required"];
            logins.refused(&login, "", &cure);
        }
        if version == Version::Mysql97 {
            // A login under TLS is remembered, and then the password is not asked for.
            let login = "pw_caching:P%C3%A4ssword";
            logins.streams(login, "?tls=required", "no key is needed");
            logins.streams(login, "", "cached");
        }
    }
}

/// F9: what is not spoken is named, with what can be done.
#[test]
fn plugins_that_are_not_supported_are_named() {
    let logins = Logins::start(Version::Mariadb118, &["--secure-auth=0"], &[]);
    logins.server.run(
        "CREATE USER old@'%' IDENTIFIED VIA mysql_old_password USING '5d2e19393cc5ef67'; \
         CREATE USER peer@'%' IDENTIFIED VIA unix_socket;",
    );
    let cure = ["use caching_sha2_password or mysql_native_password"];
    logins.refused("old:x", "", &["mysql_old_password", cure[0]]);
    logins.refused("peer:x", "", &["Access denied", "check user and password"]);
}
