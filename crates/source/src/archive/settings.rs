//! Which archive, and who asks.

use std::fmt;
use std::path::PathBuf;

/// Where RDS answers unless configured otherwise.
pub(super) const ENDPOINT: &str = "https://rds.aliyuncs.com";

/// The settings that Canal has for it, in each of the ways in which its files, its documents and its
/// code write them; what belongs to an instance comes first.
const INSTANCE: &[&str] = &["canal.instance.rds.instanceId", "canal.instance.rds.instanceid"];
const ACCESS_KEY: &[&str] = &[
    "canal.instance.rds.accesskey",
    "canal.instance.rds.accessKey",
    "canal.aliyun.accessKey",
    "canal.aliyun.accesskey",
];
const SECRET_KEY: &[&str] = &[
    "canal.instance.rds.secretkey",
    "canal.instance.rds.secretKey",
    "canal.aliyun.secretKey",
    "canal.aliyun.secretkey",
];

/// An account of the cloud. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id, which is sent.
    pub id: String,
    secret: String,
}

impl AccessKey {
    /// An id and the secret that belongs to it.
    #[must_use]
    pub const fn new(id: String, secret: String) -> Self {
        Self { id, secret }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({}, ***)", self.id)
    }
}

/// Settings of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// `https://` or `http://` URL of the service that lists the files.
    pub endpoint: String,
    /// The RDS instance (`DBInstanceId`).
    pub instance: String,
    /// Who asks.
    pub key: AccessKey,
    /// For files on their way; made if missing. Nothing is removed from it but such files.
    pub folder: PathBuf,
    /// Files in the folder beside the one that is being read.
    pub ahead_count: usize,
    /// PEM file with the authorities that are trusted; the system's if absent.
    pub ca: Option<PathBuf>,
}

impl ArchiveConfig {
    /// Canal's rule: there is an archive when instance, access key and secret key are all set. A
    /// blank value is none. `setting` looks one up by its name.
    ///
    /// # Errors
    /// The name of a setting that is missing while others are there.
    pub fn from_settings(
        folder: PathBuf,
        setting: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, &'static str> {
        let find = |names: &[&str]| {
            let values = names.iter().filter_map(|name| setting(name));
            values.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
        };
        let (instance, id, secret) = (find(INSTANCE), find(ACCESS_KEY), find(SECRET_KEY));
        match (instance, id, secret) {
            // Keys alone may be there for a queue of the same cloud.
            (None, ..) => Ok(None),
            (Some(_), None, _) => Err("canal.instance.rds.accesskey"),
            (Some(_), _, None) => Err("canal.instance.rds.secretkey"),
            (Some(instance), Some(id), Some(secret)) => {
                Ok(Some(Self::new(instance, AccessKey::new(id, secret), folder)))
            }
        }
    }

    /// The archive of an instance, where RDS keeps it.
    #[must_use]
    pub fn new(instance: String, key: AccessKey, folder: PathBuf) -> Self {
        // Canal's number of files ahead.
        Self { endpoint: ENDPOINT.to_owned(), instance, key, folder, ahead_count: 4, ca: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Option<ArchiveConfig>, &'static str> {
        let setting = |name: &str| {
            settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        ArchiveConfig::from_settings(PathBuf::from("x"), setting)
    }

    /// server-runtime F16: whichever way the keys are written, they are found.
    #[test]
    fn each_spelling_of_the_keys_is_read() {
        for id in ACCESS_KEY {
            for secret in SECRET_KEY {
                let found = read(&[(INSTANCE[0], "rm-1"), (id, "me"), (secret, " hidden ")]);
                let config = found.unwrap().unwrap();
                assert_eq!((config.instance.as_str(), config.key.id.as_str()), ("rm-1", "me"));
                assert_eq!(config.key.secret(), "hidden");
                assert!(!format!("{config:?}").contains("hidden"));
            }
        }
        let both = [
            (INSTANCE[0], "rm-1"),
            ("canal.aliyun.accessKey", "server"),
            ("canal.instance.rds.accesskey", "instance"),
            ("canal.instance.rds.secretkey", ""),
            ("canal.aliyun.secretKey", "s"),
        ];
        let config = read(&both).unwrap().unwrap();
        assert_eq!((config.key.id.as_str(), config.key.secret()), ("instance", "s"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(ACCESS_KEY[0], "me"), (SECRET_KEY[0], "s")]), Ok(None));
        assert_eq!(read(&[(INSTANCE[0], "rm-1")]), Err(ACCESS_KEY[0]));
        assert_eq!(read(&[(INSTANCE[1], "rm-1"), (ACCESS_KEY[2], "me")]), Err(SECRET_KEY[0]));
    }
}
