//! Positions as Canal writes them, in `meta.dat` and in ZooKeeper (server-runtime 5.2, 5.4).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BinlogFile, Cursor, Resume, SourceAddress};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CursorJson {
    #[serde(default)]
    pub(crate) identity: Option<LogIdentityJson>,
    pub(crate) postion: PositionJson,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogIdentityJson {
    #[serde(default)]
    slave_id: i64,
    #[serde(default)]
    source_address: Option<AddressJson>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AddressJson {
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    port: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PositionJson {
    #[serde(default)]
    gtid: Option<String>,
    #[serde(default)]
    included: bool,
    journal_name: String,
    position: u64,
    #[serde(default)]
    server_id: Option<u32>,
    #[serde(default)]
    timestamp: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResumeJson {
    resume_file: String,
    resume_offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gtid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_begun: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xid: Option<i64>,
}

impl CursorJson {
    pub(crate) fn new(cursor: &Cursor, address: &SourceAddress) -> Self {
        Self {
            identity: Some(LogIdentityJson {
                slave_id: -1,
                source_address: Some(AddressJson {
                    address: Some(address.host.clone()),
                    port: Some(i64::from(address.port)),
                }),
            }),
            postion: PositionJson {
                gtid: Some(cursor.gtid.as_ref().to_owned()),
                included: false,
                journal_name: cursor.file.as_ref().to_owned(),
                position: cursor.offset,
                server_id: Some(cursor.server_id),
                timestamp: Some(cursor.timestamp_ms),
            },
        }
    }

    pub(crate) fn into_cursor(self, resume: Option<ResumeJson>) -> Cursor {
        Cursor {
            file: self.postion.journal_name.into(),
            offset: self.postion.position,
            gtid: self.postion.gtid.unwrap_or_default().into(),
            server_id: self.postion.server_id.unwrap_or(0),
            timestamp_ms: self.postion.timestamp.unwrap_or(0),
            resume: resume.map(ResumeJson::into_resume),
        }
    }
}

impl ResumeJson {
    pub(crate) fn new(resume: &Resume) -> Self {
        Self {
            resume_file: resume.file.as_ref().to_owned(),
            resume_offset: resume.offset,
            gtid: resume.gtid.as_deref().map(str::to_owned),
            server: resume.of.as_ref().map(|of| of.server.clone()),
            file_begun: resume.of.as_ref().map(|of| of.begun_s),
            xid: resume.xid,
        }
    }

    fn into_resume(self) -> Resume {
        let file: Arc<str> = self.resume_file.into();
        let of = self.server.map(|server| BinlogFile {
            server,
            file: Arc::clone(&file),
            begun_s: self.file_begun.unwrap_or(0),
        });
        Resume {
            file,
            offset: self.resume_offset,
            gtid: self.gtid.map(Into::into),
            of: of.map(Arc::new),
            xid: self.xid,
        }
    }
}
