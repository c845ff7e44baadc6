//! Ways to read: a server that goes on, is killed and comes again; one that begins anew; files.

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use towpath_client::{ClientError, Session, SessionOptions};
use towpath_testkit::{Random, Server, Towpath};

use super::replica::Replica;
use crate::binary;

/// Time for what was written to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);

/// `towpath serve` with a client.
#[derive(Debug)]
pub(crate) struct Reader {
    url: String,
    state: TempDir,
    towpath: Option<Towpath>,
    runtime: Runtime,
    client: Option<Session>,
}

impl Reader {
    pub(crate) fn start(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let state = TempDir::new().unwrap();
        let mut reader = Self { url: server.url(), state, towpath: None, runtime, client: None };
        reader.serve();
        reader
    }

    fn serve(&mut self) {
        let state = self.state.path().to_str().unwrap().to_owned();
        let arguments = ["--source", &self.url, "--state", &state, "--from", "earliest"];
        self.towpath = Some(Towpath::serve(binary(), &arguments));
    }

    /// Kills the server, or asks it to end, and starts it again.
    pub(crate) fn interrupt(&mut self, random: &mut Random, replica: &mut Replica) {
        self.client = None;
        let towpath = self.towpath.take().unwrap();
        if random.one_in(2) {
            let _said = towpath.kill();
        } else {
            let ended = towpath.terminate();
            assert!(ended.status.success(), "{}: {}", replica.context, ended.stderr);
        }
        replica.reconnected();
        self.serve();
    }

    /// Reads until `is_there`, or for a while; what the server says when it does not come.
    pub(crate) fn read(
        &mut self,
        replica: &mut Replica,
        is_there: impl Fn(&Replica) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + ARRIVAL;
        let towpath = self.towpath.as_mut().unwrap();
        let address = towpath.address();
        let client = &mut self.client;
        let came: Result<(), ClientError> = self.runtime.block_on(async {
            if client.is_none() {
                let mut opened = Session::connect(&address, SessionOptions::default()).await?;
                opened.subscribe("").await?;
                *client = Some(opened);
            }
            let Some(client) = client else { return Ok(()) };
            while !is_there(replica) && Instant::now() < end {
                let batch = client.get(1000, Duration::from_secs(1)).await?;
                for entry in &batch.entries {
                    replica.take(entry);
                }
                if !batch.is_nothing() {
                    client.ack(batch.id).await?;
                }
            }
            Ok(())
        });
        match came {
            Ok(()) if is_there(replica) => Ok(()),
            Ok(()) => Err(format!("it does not come: {}", towpath.program().stderr())),
            Err(error) => Err(format!("{error}: {}", towpath.program().stderr())),
        }
    }
}

/// What `towpath decode` makes of all files.
pub(crate) fn decode(server: &Server, replica: &mut Replica) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("entries");
    let files = server.query("SHOW BINARY LOGS");
    let files = files.iter().map(|row| server.binlog_folder().join(&row[0]));
    let mut command = Command::new(binary());
    let output = command.args(["decode", "--entries"]).arg(&out).args(files).output().unwrap();
    let bytes = std::fs::read(&out).unwrap();
    let mut rest = bytes.as_slice();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
        replica.take(entry);
        rest = tail;
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}
