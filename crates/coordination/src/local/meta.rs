//! The shape of `meta.dat`: Canal's, plus two members of ours a client, which Canal ignores.

use serde::{Deserialize, Serialize};

use crate::cursor::json::{CursorJson, ResumeJson};
use crate::cursor::{Client, State};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaJson {
    #[serde(default)]
    client_datas: Vec<ClientJson>,
    #[serde(default)]
    destination: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientJson {
    client_identity: IdentityJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<CursorJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    towpath: Option<ResumeJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    towpath_batch_ids: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityJson {
    client_id: i16,
    #[serde(default)]
    destination: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
}

/// Reads the clients from the bytes of a `meta.dat`.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Client>, String> {
    let meta: MetaJson = serde_json::from_slice(bytes).map_err(|e| {
        if bytes.iter().all(|byte| *byte == 0) {
            format!("{} bytes without content", bytes.len())
        } else {
            e.to_string()
        }
    })?;
    let mut clients: Vec<Client> = Vec::new();
    for data in meta.client_datas {
        let client = data.into_client();
        clients.retain(|known| known.id != client.id);
        clients.push(client);
    }
    Ok(clients)
}

impl ClientJson {
    fn into_client(self) -> Client {
        let towpath = self.towpath;
        let cursor = self.cursor.map(|cursor| cursor.into_cursor(towpath));
        Client {
            id: self.client_identity.client_id,
            filter: self.client_identity.filter,
            cursor,
            batch_ids: self.towpath_batch_ids.unwrap_or(0).max(0),
        }
    }
}

/// The bytes of the `meta.dat` of a state.
pub(super) fn print(state: &State) -> Result<Vec<u8>, serde_json::Error> {
    let client_datas = state.clients.iter().map(|client| client_json(state, client)).collect();
    serde_json::to_vec(&MetaJson { client_datas, destination: Some(state.destination.clone()) })
}

fn client_json(state: &State, client: &Client) -> ClientJson {
    let resume = client.cursor.as_ref().and_then(|cursor| cursor.resume.as_ref());
    ClientJson {
        client_identity: IdentityJson {
            client_id: client.id,
            destination: Some(state.destination.clone()),
            filter: client.filter.clone(),
        },
        cursor: client.cursor.as_ref().map(|cursor| CursorJson::new(cursor, &state.address)),
        towpath: resume.map(ResumeJson::new),
        towpath_batch_ids: Some(client.batch_ids).filter(|ids| *ids > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::cursor::{BinlogFile, Resume, SourceAddress};

    const CANALS: &str = include_str!("../../tests/fixtures/meta.dat");

    fn state(clients: Vec<Client>) -> State {
        let address = SourceAddress { host: "localhost".to_owned(), port: 3398 };
        State::new("example", address, clients)
    }

    #[test]
    fn canals_own_file_is_read_and_written_again_byte_for_byte() {
        let clients = parse(CANALS.trim_end().as_bytes()).unwrap();
        assert_eq!(clients[0].id, 1002);
        assert_eq!(clients[0].cursor.as_ref().unwrap().offset, 6916);
        let printed = print(&state(clients)).unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), CANALS.trim_end());
    }

    #[test]
    fn our_members_survive_and_stand_behind_canals() {
        let mut clients = parse(CANALS.as_bytes()).unwrap();
        clients[0].batch_ids = 4096;
        clients[0].cursor.as_mut().unwrap().resume = Some(Resume {
            file: "mysql-bin.000001".into(),
            offset: 6947,
            gtid: Some("0-1-5".into()),
            of: Some(Arc::new(BinlogFile {
                server: "server_id 1".to_owned(),
                file: "mysql-bin.000001".into(),
                begun_s: 1_700_000_000,
            })),
            xid: Some(77),
        });
        let printed = print(&state(clients.clone())).unwrap();
        let text = String::from_utf8(printed.clone()).unwrap();
        let ours = r#","towpath":{"resumeFile":"mysql-bin.000001","resumeOffset":6947,"gtid":"0-1-5","server":"server_id 1","fileBegun":1700000000,"xid":77},"towpathBatchIds":4096}],"destination":"example"}"#;
        assert!(text.ends_with(ours), "{text}");
        assert_eq!(parse(&printed).unwrap(), clients);
    }

    #[test]
    fn incomplete_files_are_read_and_broken_ones_are_not() {
        let text = br#"{"clientDatas":[{"clientIdentity":{"clientId":7},"new":1}],"more":{}}"#;
        let clients = parse(text).unwrap();
        assert_eq!(clients, [Client { id: 7, filter: None, cursor: None, batch_ids: 0 }]);
        assert_eq!(parse(b"").unwrap_err(), "0 bytes without content");
        assert_eq!(parse(&[0; 9]).unwrap_err(), "9 bytes without content");
        for cut in 1..CANALS.trim_end().len() {
            assert!(parse(&CANALS.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }
}
