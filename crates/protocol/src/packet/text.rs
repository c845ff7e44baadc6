//! Protobuf's text format of a request, as Canal's errors show it: a line a field, nothing for a
//! field with its default value.

use std::fmt::{self, Display, Write as _};

use super::{BatchRef, Get, Subscription};

/// Shows a request in protobuf's text format.
#[derive(Debug, Clone, Copy)]
pub enum Text<'a> {
    /// `Sub` or `Unsub`.
    Subscription(Subscription<'a>),
    /// `Get`.
    Get(Get<'a>),
    /// `ClientAck` or `ClientRollback`.
    BatchRef(BatchRef<'a>),
}

fn text(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(()) };
    write!(f, "{name}: \"")?;
    for byte in value.bytes() {
        match byte {
            0x07 => f.write_str("\\a")?,
            0x08 => f.write_str("\\b")?,
            0x0c => f.write_str("\\f")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            0x0b => f.write_str("\\v")?,
            b'\\' | b'\'' | b'"' => write!(f, "\\{}", char::from(byte))?,
            0x20..=0x7e => f.write_char(char::from(byte))?,
            other => write!(f, "\\{other:03o}")?,
        }
    }
    f.write_str("\"\n")
}

fn number<T: Display>(f: &mut fmt::Formatter<'_>, name: &str, value: Option<T>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(f, "{name}: {value}"))
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(sub) => {
                text(f, "destination", sub.destination)?;
                text(f, "client_id", sub.client_id)?;
                text(f, "filter", sub.filter)
            }
            Self::Get(get) => {
                text(f, "destination", get.destination)?;
                text(f, "client_id", get.client_id)?;
                number(f, "fetch_size", get.fetch_size.filter(|size| *size != 0))?;
                number(f, "timeout", get.timeout)?;
                number(f, "unit", get.unit)?;
                number(f, "auto_ack", get.auto_ack)
            }
            Self::BatchRef(batch) => {
                text(f, "destination", batch.destination)?;
                text(f, "client_id", batch.client_id)?;
                number(f, "batch_id", batch.batch_id.filter(|id| *id != 0))
            }
        }
    }
}
