//! Constant bytes that are written often: short ones as whole words, without a call to copy them.

/// Bytes that are copied at once.
const SHORT: usize = 32;
const LONG: usize = 64;

/// Bytes that [`Piece::write`] may touch behind those that it writes.
pub const SLACK: usize = LONG;

/// See the module.
#[derive(Debug)]
pub struct Piece {
    /// Beginning of the bytes, and anything behind them.
    front: [u8; LONG],
    len: usize,
    /// All bytes, when there are more than fit into `front`.
    long: Box<[u8]>,
}

impl Piece {
    /// A copy of some bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut front = [0; LONG];
        for (to, from) in front.iter_mut().zip(bytes) {
            *to = *from;
        }
        let long = if bytes.len() > LONG { bytes.into() } else { Box::default() };
        Self { front, len: bytes.len(), long }
    }

    /// How many bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.front.get(..self.len).unwrap_or(&self.long)
    }

    /// Puts the bytes at the front of `to`, and anything into up to [`SLACK`] bytes behind them. `None`
    /// when they have no room there.
    #[inline(always)]
    pub fn write(&self, to: &mut [u8]) -> Option<()> {
        if self.len <= SHORT {
            *to.first_chunk_mut::<SHORT>()? = *self.front.first_chunk::<SHORT>()?;
        } else if self.len <= LONG {
            *to.first_chunk_mut::<LONG>()? = self.front;
        } else {
            to.get_mut(..self.len)?.copy_from_slice(&self.long);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_written_whole() {
        for len in [0, 1, 31, 32, 33, 63, 64, 65, 300] {
            let bytes: Vec<u8> = (0..len).map(|n: u16| n.to_le_bytes()[0]).collect();
            let mut to = vec![0xff; bytes.len() + SLACK];
            Piece::new(&bytes).write(&mut to).unwrap();
            assert_eq!(to[..bytes.len()], bytes);
        }
    }
}
