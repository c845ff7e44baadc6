//! Paths and payloads of Canal's tree (server-runtime 3.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ZkError;

/// The paths under one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    root: String,
}

impl Tree {
    /// The tree under `root`, which has no slash at its end.
    #[must_use]
    pub fn new(root: &str) -> Self {
        Self { root: root.to_owned() }
    }

    /// `/otter/canal`.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The node of a server that runs: ephemeral.
    #[must_use]
    pub fn server(&self, address: &str) -> String {
        format!("{}/cluster/{address}", self.root)
    }

    /// The node of a destination.
    #[must_use]
    pub fn destination(&self, destination: &str) -> String {
        format!("{}/destinations/{destination}", self.root)
    }

    /// The parent of the servers that can serve a destination.
    #[must_use]
    pub fn cluster(&self, destination: &str) -> String {
        format!("{}/cluster", self.destination(destination))
    }

    /// The node of the server that serves a destination: ephemeral.
    #[must_use]
    pub fn running(&self, destination: &str) -> String {
        format!("{}/running", self.destination(destination))
    }

    /// The node of a client id.
    #[must_use]
    pub fn client(&self, destination: &str, client_id: i16) -> String {
        format!("{}/{client_id}", self.destination(destination))
    }

    /// The lock of the clients of one client id: ephemeral.
    #[must_use]
    pub fn client_running(&self, destination: &str, client_id: i16) -> String {
        format!("{}/running", self.client(destination, client_id))
    }

    /// A client's acknowledged position.
    #[must_use]
    pub fn cursor(&self, destination: &str, client_id: i16) -> String {
        format!("{}/cursor", self.client(destination, client_id))
    }

    /// A client's filter: plain text.
    #[must_use]
    pub fn filter(&self, destination: &str, client_id: i16) -> String {
        format!("{}/filter", self.client(destination, client_id))
    }

    /// What Towpath keeps beside Canal's nodes of a client.
    #[must_use]
    pub fn own(&self, destination: &str, client_id: i16) -> String {
        format!("{}/towpath", self.client(destination, client_id))
    }
}

/// The payload of both kinds of `running` nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// False: an operator asks the owner to give it up.
    pub active: bool,
    /// `ip:port`; a client that has not connected yet gives its ip only.
    pub address: String,
    /// Of a client's lock.
    #[serde(rename = "clientId", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<i16>,
}

/// What others may write: old servers add `cid`, some clients a number as text.
#[derive(Deserialize)]
struct Loose {
    active: Option<bool>,
    address: Option<String>,
    #[serde(rename = "clientId")]
    client_id: Option<Value>,
}

impl Running {
    /// Reads a payload; unknown members are ignored.
    ///
    /// # Errors
    /// [`ZkError::Payload`] when it is no JSON object with an address.
    pub fn parse(path: &str, data: &[u8]) -> Result<Self, ZkError> {
        let fail = |reason: String| ZkError::Payload {
            path: path.to_owned(),
            data: String::from_utf8_lossy(data).chars().take(120).collect(),
            reason,
        };
        let loose: Loose = serde_json::from_slice(data).map_err(|e| fail(e.to_string()))?;
        let address = loose
            .address
            .filter(|address| !address.trim().is_empty())
            .ok_or_else(|| fail("there is no address in it".to_owned()))?;
        let client_id = match loose.client_id {
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_i64().and_then(|id| i16::try_from(id).ok()),
            None => None,
        };
        Ok(Self { active: loose.active.unwrap_or(true), address, client_id })
    }

    /// The payload, its members in Canal's order.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        // Two plain members and a number: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_canals_and_those_of_other_clients_are_understood() {
        let lock =
            Running { active: true, address: "10.0.0.9:50544".into(), client_id: Some(1001) };
        let text = r#"{"active":true,"address":"10.0.0.9:50544","clientId":1001}"#;
        assert_eq!(String::from_utf8(lock.print()).unwrap(), text);
        assert_eq!(Running::parse("/x", text.as_bytes()).unwrap(), lock);
        let other = br#"{"cid":1,"clientId":"1001","address":"10.0.0.9:50544","more":[1]}"#;
        assert_eq!(Running::parse("/x", other).unwrap(), lock);
    }

    #[test]
    fn garbage_is_named() {
        for data in ["{}", "", "not json", "[]", r#"{"address":7}"#, r#"{"address":" "}"#] {
            let error = Running::parse("/d/running", data.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("/d/running holds"), "{error}");
        }
    }
}
