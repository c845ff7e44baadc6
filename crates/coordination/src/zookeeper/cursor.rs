//! Clients and cursors of a destination in Canal's tree, written by the owner of its lease only.
//!
//! Two guards: the [`Fence`] is asked before every write, and a cursor is written by compare-and-set on
//! its version, which the owner raises once at take-over. A write that an earlier owner had under way
//! then fails, whenever it arrives. A Canal server knows no guards: what it writes after its session is
//! over, the owner writes over.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fence, ZkError, ZkSession};
use crate::StateError;
use crate::cursor::json::{CursorJson, ResumeJson};
use crate::cursor::{Client, Cursor, SourceAddress, State};
use crate::store::{self, BATCH_IDS_STEP, CursorStore, CursorWriter};

/// The class that Canal reads a cursor as; it must be named first.
const TYPE: &str = "com.alibaba.otter.canal.protocol.position.LogPosition";

/// Writes without an answer that one later read may still explain.
const UNANSWERED_MAX: usize = 8;

/// The cursors of one destination, in one session, under one lease.
#[derive(Debug)]
pub struct ZkCursors {
    session: ZkSession,
    destination: String,
    fence: Fence,
    known: HashMap<i16, Known>,
}

/// What is known of a client's nodes.
#[derive(Debug, Default)]
struct Known {
    filter: Option<String>,
    cursor: Option<Cursor>,
    batch_ids: i64,
    /// Version of the cursor node.
    version: Option<i32>,
    /// What was sent, and maybe arrived.
    unanswered: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct CursorNode {
    #[serde(rename = "@type", default)]
    class: String,
    #[serde(flatten)]
    cursor: CursorJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    towpath: Option<ResumeJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnNode {
    #[serde(default)]
    batch_ids: i64,
}

impl ZkCursors {
    /// Takes over: reads what is there, and shuts out whoever wrote it before. The session is that of
    /// the lease whose fence this is.
    ///
    /// # Errors
    /// [`ZkError::Payload`] when a cursor cannot be understood: going on would skip changes.
    pub async fn open(
        session: &ZkSession,
        destination: &str,
        address: SourceAddress,
        fence: Fence,
    ) -> Result<(CursorStore, CursorWriter), StateError> {
        let mut cursors = Self {
            session: session.clone(),
            destination: destination.to_owned(),
            fence,
            known: HashMap::new(),
        };
        let path = session.tree().destination(destination);
        let children = session.children(&path).await?.unwrap_or_default();
        let mut ids: Vec<i16> = children.iter().filter_map(|child| child.parse().ok()).collect();
        ids.sort_unstable();
        let mut clients = Vec::with_capacity(ids.len());
        for id in ids {
            // A client's lock alone is no subscription.
            if let Some(client) = cursors.take_over(id).await? {
                clients.push(client);
            }
        }
        Ok(store::open_zookeeper(cursors, destination, address, clients))
    }

    async fn take_over(&mut self, id: i16) -> Result<Option<Client>, ZkError> {
        let tree = self.session.tree();
        let filter_path = tree.filter(&self.destination, id);
        let cursor_path = tree.cursor(&self.destination, id);
        let own_path = tree.own(&self.destination, id);
        let filter = self.session.get(&filter_path).await?.map(|(data, _)| data);
        let filter = filter
            .map(|data| String::from_utf8_lossy(&data).into_owned())
            .filter(|filter| !filter.trim().is_empty());
        let mut known = Known { filter: filter.clone(), ..Known::default() };
        let mut is_known = filter.is_some();
        while let Some((data, stat)) = self.session.get(&cursor_path).await? {
            is_known = true;
            known.cursor = parse(&cursor_path, &data)?;
            self.check()?;
            if let Some(stat) = self.session.set(&cursor_path, &data, Some(stat.version)).await? {
                known.version = Some(stat.version);
                break;
            }
        }
        if let Some((data, _)) = self.session.get(&own_path).await? {
            is_known = true;
            let own: OwnNode =
                serde_json::from_slice(&data).map_err(|e| garbage(&own_path, &data, &e))?;
            known.batch_ids = own.batch_ids.max(0);
        }
        if !is_known {
            return Ok(None);
        }
        let client = Client {
            id,
            filter,
            cursor: known.cursor.clone(),
            // A step that was reserved in memory may not have arrived.
            batch_ids: match known.batch_ids {
                0 => 0,
                reserved => reserved.saturating_add(BATCH_IDS_STEP),
            },
        };
        self.known.insert(id, known);
        Ok(Some(client))
    }

    /// Writes what differs from the last time.
    pub(crate) async fn store(&mut self, state: &State) -> Result<(), ZkError> {
        let gone: Vec<i16> = self
            .known
            .keys()
            .copied()
            .filter(|id| state.clients.iter().all(|client| client.id != *id))
            .collect();
        for id in gone {
            self.remove(id).await?;
        }
        for client in &state.clients {
            self.write(client, &state.address).await?;
        }
        Ok(())
    }

    async fn write(&mut self, client: &Client, address: &SourceAddress) -> Result<(), ZkError> {
        if !self.known.contains_key(&client.id) {
            self.check()?;
            let path = self.session.tree().client(&self.destination, client.id);
            self.session.create_persistent(&path).await?;
            self.known.insert(client.id, Known::default());
        }
        let filter = client.filter.as_deref().filter(|filter| !filter.trim().is_empty());
        if self.known(client.id).filter.as_deref() != filter {
            self.check()?;
            let path = self.session.tree().filter(&self.destination, client.id);
            match filter {
                Some(filter) => drop(self.session.put(&path, filter.as_bytes()).await?),
                None => drop(self.session.delete(&path, None).await?),
            }
            self.known(client.id).filter = filter.map(str::to_owned);
        }
        if client.batch_ids > self.known(client.id).batch_ids {
            self.check()?;
            let path = self.session.tree().own(&self.destination, client.id);
            let node = print(&path, &OwnNode { batch_ids: client.batch_ids })?;
            self.session.put(&path, &node).await?;
            self.known(client.id).batch_ids = client.batch_ids;
        }
        if let Some(cursor) = &client.cursor
            && self.known(client.id).cursor.as_ref() != Some(cursor)
        {
            self.write_cursor(client.id, cursor, address).await?;
        }
        Ok(())
    }

    async fn write_cursor(
        &mut self,
        id: i16,
        cursor: &Cursor,
        address: &SourceAddress,
    ) -> Result<(), ZkError> {
        let path = self.session.tree().cursor(&self.destination, id);
        let node = CursorNode {
            class: TYPE.to_owned(),
            cursor: CursorJson::new(cursor, address),
            towpath: cursor.resume.as_ref().map(ResumeJson::new),
        };
        let data = print(&path, &node)?;
        self.check()?;
        let known = self.known(id);
        if known.unanswered.len() == UNANSWERED_MAX {
            known.unanswered.remove(0);
        }
        known.unanswered.push(data.clone());
        let mut expected = known.version;
        let version = loop {
            self.check()?;
            let written = match expected {
                Some(version) => self.session.set(&path, &data, Some(version)).await?,
                None => self.session.create(&path, &data).await?,
            };
            if let Some(stat) = written {
                break stat.version;
            }
            expected = match self.session.get(&path).await? {
                // The tree was wiped: it is made again.
                None => None,
                // An earlier write arrived, though its answer did not.
                Some((found, stat)) if self.known(id).unanswered.contains(&found) => {
                    Some(stat.version)
                }
                // Read after the cursor: the next owner raises its version once it has the node.
                Some((_, stat)) if self.is_owner().await? => {
                    tracing::warn!(
                        path,
                        "a server that is not active wrote the cursor, written over: a Canal server \
                         that lost its session goes on as if it had not"
                    );
                    Some(stat.version)
                }
                Some(_) => return Err(ZkError::Fenced { path }),
            };
        };
        let known = self.known(id);
        known.version = Some(version);
        known.cursor = Some(cursor.clone());
        known.unanswered.clear();
        Ok(())
    }

    /// Whether the tree says, too, that the lease is ours.
    async fn is_owner(&self) -> Result<bool, ZkError> {
        let path = self.session.tree().running(&self.destination);
        let node = self.session.get(&path).await?;
        Ok(node.is_some_and(|(_, stat)| {
            stat.ephemeral_owner == self.session.id() && stat.czxid == self.fence.epoch()
        }))
    }

    /// Removes what a subscription left; a lock that a client holds stays.
    async fn remove(&mut self, id: i16) -> Result<(), ZkError> {
        self.check()?;
        let tree = self.session.tree();
        let client = tree.client(&self.destination, id);
        let marks = format!("{client}/mark");
        for mark in self.session.children(&marks).await?.unwrap_or_default() {
            self.session.delete(&format!("{marks}/{mark}"), None).await?;
        }
        for path in [
            marks,
            tree.filter(&self.destination, id),
            tree.cursor(&self.destination, id),
            tree.own(&self.destination, id),
        ] {
            self.session.delete(&path, None).await?;
        }
        if self.session.children(&client).await?.is_some_and(|children| children.is_empty()) {
            self.session.delete(&client, None).await?;
        }
        self.known.remove(&id);
        Ok(())
    }

    fn known(&mut self, id: i16) -> &mut Known {
        self.known.entry(id).or_default()
    }

    fn check(&self) -> Result<(), ZkError> {
        if self.fence.holds() {
            return Ok(());
        }
        Err(ZkError::Fenced { path: self.session.tree().running(&self.destination) })
    }
}

impl Cursor {
    /// Reads a cursor node, of Canal or Towpath; one without content, or with `null`, is no cursor.
    ///
    /// # Errors
    /// [`ZkError::Payload`] when it is anything else.
    pub fn parse_node(path: &str, data: &[u8]) -> Result<Option<Self>, ZkError> {
        parse(path, data)
    }
}

/// Reads a cursor node; one without content, or with `null`, is no cursor.
fn parse(path: &str, data: &[u8]) -> Result<Option<Cursor>, ZkError> {
    if data.trim_ascii().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(data).map_err(|e| garbage(path, data, &e))?;
    if value.is_null() {
        return Ok(None);
    }
    let node: CursorNode = serde_json::from_value(value).map_err(|e| garbage(path, data, &e))?;
    Ok(Some(node.cursor.into_cursor(node.towpath)))
}

fn print<T: Serialize>(path: &str, node: &T) -> Result<Vec<u8>, ZkError> {
    serde_json::to_vec(node).map_err(|e| garbage(path, &[], &e))
}

fn garbage(path: &str, data: &[u8], error: &serde_json::Error) -> ZkError {
    ZkError::Payload {
        path: path.to_owned(),
        data: String::from_utf8_lossy(data).chars().take(120).collect(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_canal_wrote_is_read_and_written_with_its_type_first() {
        let canals = br#"{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition","identity":{"slaveId":-1,"sourceAddress":{"address":"db1.internal","port":3306}},"postion":{"gtid":"","included":false,"journalName":"mysql-bin.000007","position":1204,"serverId":1,"timestamp":1700000000000}}"#;
        let cursor = parse("/c", canals).unwrap().unwrap();
        assert_eq!((cursor.file.as_ref(), cursor.offset), ("mysql-bin.000007", 1204));
        let address = SourceAddress { host: "db1.internal".to_owned(), port: 3306 };
        let node = CursorNode {
            class: TYPE.to_owned(),
            cursor: CursorJson::new(&cursor, &address),
            towpath: None,
        };
        assert_eq!(print("/c", &node).unwrap(), canals);
    }

    #[test]
    fn empty_cursor_nodes_are_none_and_garbage_is_an_error() {
        for data in ["", "  ", "null"] {
            assert_eq!(parse("/c", data.as_bytes()).unwrap(), None);
        }
        for data in ["{}", "[]", "x", r#"{"postion":{"journalName":"a"}}"#] {
            let error = parse("/c", data.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("node /c holds"), "{error}");
        }
    }
}
