//! Semi-synchronous replication (mysql-source 1.6): a commit on the source waits until a reader says
//! that it has the transaction. Each packet of such a dump has two bytes more.

/// First of the two bytes, and of an answer.
const MAGIC: u8 = 0xef;

/// Whether the source waits for this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SemiSync {
    /// It was not asked to.
    Off,
    /// It was asked to. The first packet tells if it does: a source without it sends plain ones.
    Asked,
    /// It does, and has what it waited for.
    Quiet,
    /// It waits.
    Due,
}

/// A packet without the two bytes, in a dump that has them.
#[derive(Debug)]
pub(super) struct Missing;

impl SemiSync {
    pub(super) const fn asked(is_asked: bool) -> Self {
        if is_asked { Self::Asked } else { Self::Off }
    }

    /// Takes note of a payload behind its status byte; returns how many bytes come before its event.
    pub(super) fn take(&mut self, payload: &[u8]) -> Result<usize, Missing> {
        match (*self, payload) {
            (Self::Off, _) => return Ok(0),
            (Self::Asked | Self::Quiet | Self::Due, [MAGIC, flag, ..]) if *flag < 2 => {
                if *flag == 1 {
                    *self = Self::Due;
                } else if *self == Self::Asked {
                    *self = Self::Quiet;
                }
            }
            // The first event is one that the server makes up: its time is 0, and so is its first byte.
            (Self::Asked, _) => {
                *self = Self::Off;
                return Ok(0);
            }
            (Self::Quiet | Self::Due, _) => return Err(Missing),
        }
        Ok(2)
    }

    /// How many bytes come before the event of a payload that is not whole yet.
    pub(super) fn prefix_len(self, payload: &[u8]) -> usize {
        match self {
            Self::Off => 0,
            Self::Asked if payload.first() != Some(&MAGIC) => 0,
            Self::Asked | Self::Quiet | Self::Due => 2,
        }
    }
}

/// What tells the source that all up to a place has arrived.
pub(super) fn acknowledgement(file: &str, offset: u64) -> Vec<u8> {
    let mut packet = vec![MAGIC];
    packet.extend(offset.to_le_bytes());
    packet.extend(file.as_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of mysql-source 1.6.
    #[test]
    fn places_are_acknowledged_in_the_bytes_that_servers_know() {
        let mut expected = vec![0xef, 0x1d, 2, 0, 0, 0, 0, 0, 0];
        expected.extend(b"mysql-bin.000003");
        assert_eq!(acknowledgement("mysql-bin.000003", 541), expected);
    }

    #[test]
    fn the_first_packet_tells_whether_the_source_waits() {
        let (plain, quiet, due) = ([0, 0, 0, 0], [0xef, 0, 0, 0], [0xef, 1, 0, 0]);
        let mut with = SemiSync::asked(true);
        assert_eq!((with.prefix_len(&quiet), with.prefix_len(&plain)), (2, 0));
        assert_eq!((with.take(&quiet).unwrap(), with), (2, SemiSync::Quiet));
        assert_eq!((with.take(&due).unwrap(), with), (2, SemiSync::Due));
        assert_eq!((with.take(&quiet).unwrap(), with), (2, SemiSync::Due));
        assert!(with.take(&plain).is_err());
        let mut without = SemiSync::asked(true);
        assert_eq!((without.take(&plain).unwrap(), without), (0, SemiSync::Off));
        assert_eq!(without.take(&due).unwrap(), 0);
        assert_eq!(SemiSync::asked(false).take(&due).unwrap(), 0);
    }
}
