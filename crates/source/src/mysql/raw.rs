//! A dump that nobody looks into: what receiving a binlog costs at the least.

use tokio::io::AsyncReadExt;

use super::dump::{AtEnd, Dump, Request};
use super::{find, prepare};
use crate::connection::Connection;
use crate::error::SourceError;
use crate::start::Start;
use crate::url::SourceUrl;
use crate::{FollowBy, SourceConfig};

/// Bytes asked of the socket at a time.
const BLOCK_LEN: usize = 1 << 20;
const DOING: &str = "read the binlog";

/// Where in the stream of packets the bytes are that have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// So many bytes of a header are there.
    Header([u8; 4], usize),
    /// So many bytes of a payload are to come, and whether its first byte has.
    Payload(usize, bool),
}

/// Receives a server's binlog from `start` up to its end, or up to `limit_bytes`, and throws it away,
/// looking at the lengths of packets only. Returns the bytes that came.
///
/// # Errors
/// [`SourceError`]
pub async fn throw_away(
    place: &str,
    config: SourceConfig,
    start: &Start,
    limit_bytes: u64,
) -> Result<u64, SourceError> {
    let url = SourceUrl::parse(place)?;
    let mut connection = Connection::open(&url).await?;
    prepare::check(&mut connection).await?;
    let server_id = config.server_id.unwrap_or_else(|| prepare::generated_id(&config));
    let reader = (server_id, FollowBy::Position);
    let from = find::find(&url, &mut connection, start, reader).await?;
    let request = Request { config: &config, server_id, from: &from, at_end: AtEnd::Stop };
    let mut connection = Dump::begin(connection, &request).await?.into_connection();
    let mut block = vec![0; BLOCK_LEN];
    let mut bytes = 0;
    let mut at = At::Header([0; 4], 0);
    while bytes < limit_bytes {
        let count =
            connection.stream.read(&mut block).await.map_err(|e| connection.io(DOING, e))?;
        if count == 0 {
            let closed = std::io::ErrorKind::UnexpectedEof.into();
            return Err(connection.io(DOING, closed));
        }
        let mut rest = block.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            match step(&mut at, &mut rest) {
                Step::Header => {}
                Step::Payload(len) => bytes += u64::try_from(len).unwrap_or_default(),
                Step::End => return Ok(bytes),
                Step::Fault => {
                    return Err(connection.protocol(DOING, &"an error instead of an event"));
                }
            }
        }
    }
    Ok(bytes)
}

enum Step {
    Header,
    /// So many bytes of a payload.
    Payload(usize),
    End,
    Fault,
}

/// Steps over a piece of a header or a payload.
fn step(at: &mut At, rest: &mut &[u8]) -> Step {
    match *at {
        At::Header(mut header, mut filled) => {
            while let Some(slot) = header.get_mut(filled) {
                let Some((&byte, tail)) = rest.split_first() else { break };
                *slot = byte;
                *rest = tail;
                filled += 1;
            }
            let [a, b, c, _] = header;
            *at = if filled < header.len() {
                At::Header(header, filled)
            } else {
                let len = u32::from_le_bytes([a, b, c, 0]);
                At::Payload(usize::try_from(len).unwrap_or_default(), false)
            };
            Step::Header
        }
        At::Payload(len, begun) => {
            if !begun && len < 9 && rest.first() == Some(&0xfe) {
                return Step::End;
            }
            if !begun && rest.first() == Some(&0xff) {
                return Step::Fault;
            }
            let count = len.min(rest.len());
            *rest = rest.get(count..).unwrap_or_default();
            *at = if count == len { At::Header([0; 4], 0) } else { At::Payload(len - count, true) };
            Step::Payload(count)
        }
    }
}
