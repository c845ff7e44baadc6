//! A downloaded body: the binlog file itself, or a tar that holds it. Read as it comes; names in a tar
//! are compared and never used as paths.

use crate::error::SourceError;

const BLOCK_LEN: usize = 512;
/// The first bytes of a binlog, and of an encrypted one.
const MAGIC: [&[u8]; 2] = [b"\xfebin", b"\xfdbin"];

/// What stops the unpacking.
#[derive(Debug)]
pub(super) enum Fault {
    /// The body is neither of the two.
    Form(String),
    /// The file cannot be written.
    Write(SourceError),
}

/// Takes a body piece by piece and gives out the bytes of one file.
#[derive(Debug)]
pub(super) struct Unpacker {
    wanted: String,
    state: State,
    found: Found,
    len: u64,
}

#[derive(Debug)]
enum State {
    /// Too few bytes yet to tell what it is.
    Begin(Vec<u8>),
    /// The file itself.
    Plain,
    /// A tar's header, as far as it has come.
    Header(Vec<u8>),
    /// Bytes left of a file in a tar, and those that fill up its last block.
    Body { left: u64, padding: u64, keep: Keep },
    /// Behind the last file of a tar.
    Tail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    File,
}

impl Unpacker {
    pub(super) fn new(wanted: &str) -> Self {
        let state = State::Begin(Vec::new());
        Self { wanted: wanted.to_owned(), state, found: Found::Nothing, len: 0 }
    }

    /// Takes the next piece.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        write: &mut impl FnMut(&[u8]) -> Result<(), SourceError>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            bytes = match std::mem::replace(&mut self.state, State::Tail) {
                State::Begin(head) => self.begin(head, bytes, write)?,
                State::Plain => {
                    self.state = State::Plain;
                    self.keep(bytes, write)?;
                    &[]
                }
                State::Header(head) => self.header(head, bytes)?,
                State::Body { left, padding, keep } => {
                    let (part, rest) = split(bytes, left);
                    if keep == Keep::Yes {
                        self.keep(part, write)?;
                    }
                    let left = left - len(part);
                    let (filling, rest) =
                        if left == 0 { split(rest, padding) } else { (&[][..], rest) };
                    let padding = padding - len(filling);
                    self.state = if left + padding == 0 {
                        State::Header(Vec::new())
                    } else {
                        State::Body { left, padding, keep }
                    };
                    rest
                }
                State::Tail => &[],
            };
        }
        Ok(())
    }

    fn begin<'a>(
        &mut self,
        mut head: Vec<u8>,
        bytes: &'a [u8],
        write: &mut impl FnMut(&[u8]) -> Result<(), SourceError>,
    ) -> Result<&'a [u8], Fault> {
        let need = 4_usize.saturating_sub(head.len());
        let (part, rest) = bytes.split_at(need.min(bytes.len()));
        head.extend(part);
        if head.len() < 4 {
            self.state = State::Begin(head);
        } else if MAGIC.contains(&head.as_slice()) {
            self.state = State::Plain;
            self.found = Found::File;
            self.keep(&head, write)?;
        } else {
            self.state = State::Header(head);
        }
        Ok(rest)
    }

    fn keep(
        &mut self,
        bytes: &[u8],
        write: &mut impl FnMut(&[u8]) -> Result<(), SourceError>,
    ) -> Result<(), Fault> {
        self.len += len(bytes);
        write(bytes).map_err(Fault::Write)
    }

    fn header<'a>(&mut self, mut head: Vec<u8>, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let need = BLOCK_LEN.saturating_sub(head.len());
        let (part, rest) = bytes.split_at(need.min(bytes.len()));
        head.extend(part);
        if head.len() < BLOCK_LEN {
            self.state = State::Header(head);
            return Ok(rest);
        }
        if head.iter().all(|byte| *byte == 0) {
            self.state = State::Tail;
            return Ok(rest);
        }
        if !is_header(&head) {
            let reason = "the download is neither a binlog nor a tar of one";
            return Err(Fault::Form(reason.to_owned()));
        }
        let size = field(&head, 124, 12).and_then(size);
        let left = size.ok_or_else(|| Fault::Form("a tar header without a size".to_owned()))?;
        let block = u64::try_from(BLOCK_LEN).unwrap_or(512);
        let padding = (block - left % block) % block;
        let is_file = matches!(head.get(156), Some(b'0' | 0));
        let name = field(&head, 0, 100).map(until_zero).unwrap_or_default();
        let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is_wanted = is_file && base == self.wanted.as_bytes() && self.found == Found::Nothing;
        let keep = if is_wanted { Keep::Yes } else { Keep::No };
        if is_wanted {
            self.found = Found::File;
        }
        self.state =
            if left == 0 { State::Header(Vec::new()) } else { State::Body { left, padding, keep } };
        Ok(rest)
    }

    /// The end of the body: bytes of the file, or what is missing.
    pub(super) fn end(&self) -> Result<u64, String> {
        if let State::Body { left, .. } = &self.state
            && *left > 0
        {
            return Err(format!("the tar is cut off: {left} bytes of a file in it are missing"));
        }
        if self.found == Found::Nothing {
            return Err("the download does not hold the file".to_owned());
        }
        Ok(self.len)
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn split(bytes: &[u8], at: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len()))
}

fn field(head: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    head.get(at..at + len)
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or a binary number behind a first byte of 0x80.
fn size(bytes: &[u8]) -> Option<u64> {
    if let Some((0x80, binary)) = bytes.split_first() {
        let (high, low) = binary.split_at(binary.len().checked_sub(8)?);
        let low: [u8; 8] = low.try_into().ok()?;
        return high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(low));
    }
    let text = std::str::from_utf8(until_zero(bytes)).ok()?;
    u64::from_str_radix(text.trim(), 8).ok()
}

/// Whether the sum of a header's bytes is the one it says.
fn is_header(head: &[u8]) -> bool {
    let said = field(head, 148, 8).and_then(size);
    let sum: u64 = head
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    said == Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
        let mut head = vec![0; BLOCK_LEN];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        head[148..156].fill(b' ');
        head[156] = kind;
        head[257..263].copy_from_slice(b"ustar\0");
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        head
    }

    fn tar(files: &[(&str, u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, kind, content) in files {
            out.extend(header(name, *kind, content.len()));
            out.extend(*content);
            out.resize(out.len().next_multiple_of(BLOCK_LEN), 0);
        }
        out.resize(out.len() + 2 * BLOCK_LEN, 0);
        out
    }

    fn unpack(body: &[u8], piece: usize) -> Result<Vec<u8>, String> {
        let (mut unpacker, mut out) = (Unpacker::new("mysql-bin.000007"), Vec::new());
        for piece in body.chunks(piece) {
            let mut write = |bytes: &[u8]| {
                out.extend(bytes);
                Ok(())
            };
            unpacker.feed(piece, &mut write).map_err(|fault| format!("{fault:?}"))?;
        }
        let len = unpacker.end()?;
        assert_eq!(len, super::len(&out));
        Ok(out)
    }

    /// Names of a tar never become paths (admin S22).
    #[test]
    fn the_file_is_found_whatever_is_around_it() {
        let content: Vec<u8> =
            b"\xfebin".iter().copied().chain((0..=255).cycle().take(1500)).collect();
        let body = tar(&[
            ("../../etc/passwd", b'0', b"root"),
            ("dir/", b'5', b""),
            ("mysql-bin.000007", b'2', b""),
            ("empty", b'0', b""),
            ("x/../mysql-bin.000007", b'0', &content),
            ("mysql-bin.000008", b'0', b"other"),
        ]);
        for piece in [1, 3, 511, 512, 513, 100_000] {
            assert_eq!(unpack(&body, piece).unwrap(), content);
            assert_eq!(unpack(&content, piece).unwrap(), content);
        }
        let cut = unpack(&body[..body.len() - 4 * 512 - 600], 700).unwrap_err();
        assert!(cut.contains("cut off"), "{cut}");
        assert!(
            unpack(&tar(&[("other.1", b'0', b"x")]), 99).unwrap_err().contains("does not hold")
        );
        assert!(unpack(&[7; 2000], 99).unwrap_err().contains("neither a binlog nor a tar"));
        assert!(unpack(b"", 1).unwrap_err().contains("does not hold"));
    }
}
