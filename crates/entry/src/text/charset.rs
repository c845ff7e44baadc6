//! Text in the character sets of MySQL and MariaDB.

mod exceptions;
mod single;

use encoding_rs::{BIG5, DecoderResult, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS};

use exceptions::Exceptions;
use single::Upper;

const REPLACEMENT: char = '\u{fffd}';

/// How the bytes of a text become characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// utf8mb4, utf8mb3 and ASCII.
    Utf8,
    /// No text.
    Binary,
    /// ASCII, and 128 characters of its own.
    Single(&'static Upper),
    /// ASCII with letters in the places of brackets and braces.
    Swe7,
    /// ucs2 is utf16 without surrogates.
    Utf16,
    Utf16le,
    Utf32,
    /// ASCII, and characters of several bytes.
    Multi(&'static Multi),
}

/// A character set with characters of several bytes.
#[derive(Debug)]
pub(crate) struct Multi {
    encoding: &'static Encoding,
    form: Form,
    exceptions: Exceptions,
}

impl PartialEq for Multi {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Multi {}

/// How long a character is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Two bytes from 0x80 on.
    Double,
    /// The same, with katakana of one byte.
    Sjis,
    /// Two or three bytes; the last rows are for private use.
    Euc,
    /// Two or four bytes.
    Gb18030,
}

static GBK_SET: Multi = Multi { encoding: GBK, form: Form::Double, exceptions: &[] };
static GB2312_SET: Multi =
    Multi { encoding: GBK, form: Form::Double, exceptions: exceptions::GB2312 };
static GB18030_SET: Multi =
    Multi { encoding: GB18030, form: Form::Gb18030, exceptions: exceptions::GB18030 };
static BIG5_SET: Multi = Multi { encoding: BIG5, form: Form::Double, exceptions: exceptions::BIG5 };
static EUCKR_SET: Multi = Multi { encoding: EUC_KR, form: Form::Double, exceptions: &[] };
static CP932_SET: Multi = Multi { encoding: SHIFT_JIS, form: Form::Sjis, exceptions: &[] };
static SJIS_SET: Multi =
    Multi { encoding: SHIFT_JIS, form: Form::Sjis, exceptions: exceptions::SJIS };
static UJIS_SET: Multi = Multi { encoding: EUC_JP, form: Form::Euc, exceptions: exceptions::UJIS };
static EUCJPMS_SET: Multi =
    Multi { encoding: EUC_JP, form: Form::Euc, exceptions: exceptions::EUCJPMS };

impl Charset {
    /// By the name in a definition; `None` for one that is not known.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "binary" => Self::Binary,
            "swe7" => Self::Swe7,
            "utf16" | "ucs2" => Self::Utf16,
            "utf16le" => Self::Utf16le,
            "utf32" => Self::Utf32,
            "gbk" => Self::Multi(&GBK_SET),
            "gb2312" => Self::Multi(&GB2312_SET),
            "gb18030" => Self::Multi(&GB18030_SET),
            "big5" => Self::Multi(&BIG5_SET),
            "euckr" => Self::Multi(&EUCKR_SET),
            "cp932" => Self::Multi(&CP932_SET),
            "sjis" => Self::Multi(&SJIS_SET),
            "ujis" => Self::Multi(&UJIS_SET),
            "eucjpms" => Self::Multi(&EUCJPMS_SET),
            other => return Self::single(other),
        })
    }

    fn single(name: &str) -> Option<Self> {
        Some(Self::Single(match name {
            "latin1" => &single::LATIN1,
            "latin2" => &single::LATIN2,
            "latin5" => &single::LATIN5,
            "latin7" => &single::LATIN7,
            "cp1250" => &single::CP1250,
            "cp1251" => &single::CP1251,
            "cp1256" => &single::CP1256,
            "cp1257" => &single::CP1257,
            "cp850" => &single::CP850,
            "cp852" => &single::CP852,
            "cp866" => &single::CP866,
            "koi8r" => &single::KOI8R,
            "koi8u" => &single::KOI8U,
            "greek" => &single::GREEK,
            "hebrew" => &single::HEBREW,
            "tis620" => &single::TIS620,
            "dec8" => &single::DEC8,
            "hp8" => &single::HP8,
            "macroman" => &single::MACROMAN,
            "macce" => &single::MACCE,
            "keybcs2" => &single::KEYBCS2,
            "armscii8" => &single::ARMSCII8,
            "geostd8" => &single::GEOSTD8,
            _ => return None,
        }))
    }

    /// By the number of a collation; `None` for one that is not known.
    pub(crate) fn by_collation(collation: u64) -> Option<Self> {
        Self::by_name(name_of_collation(collation)?)
    }

    /// Bytes of its longest character.
    pub(crate) const fn char_len(self, collation: u64) -> u16 {
        match self {
            Self::Utf8 => match collation {
                11 | 65 | 1035 | 1089 => 1,
                33 | 76 | 83 | 192..=223 | 576..=579 | 1057 | 1107 | 1216..=1247 | 2048..=2303 => 3,
                _ => 4,
            },
            Self::Utf16 => match collation {
                35 | 90 | 128..=159 | 640..=642 | 1059 | 1114 | 1152..=1183 | 2560..=2815 => 2,
                _ => 4,
            },
            Self::Utf16le | Self::Utf32 => 4,
            Self::Binary | Self::Single(_) | Self::Swe7 => 1,
            Self::Multi(set) => match set.form {
                Form::Double | Form::Sjis => 2,
                Form::Euc => 3,
                Form::Gb18030 => 4,
            },
        }
    }

    /// True when bytes below 0x80 are ASCII.
    pub(crate) const fn has_ascii(self) -> bool {
        match self {
            Self::Utf8 | Self::Binary | Self::Single(_) | Self::Multi(_) => true,
            Self::Swe7 | Self::Utf16 | Self::Utf16le | Self::Utf32 => false,
        }
    }

    /// Appends a text in UTF-8; U+FFFD for what is no character.
    pub(crate) fn write(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Utf8 => super::write_utf8(out, bytes),
            Self::Binary => super::write_latin1(out, bytes),
            Self::Single(upper) => {
                for &byte in bytes {
                    match byte.checked_sub(0x80) {
                        None => out.push(byte),
                        Some(index) => {
                            let code = upper.get(usize::from(index)).copied().unwrap_or_default();
                            push(out, char::from_u32(u32::from(code)));
                        }
                    }
                }
            }
            Self::Swe7 => bytes.iter().for_each(|&byte| push(out, Some(swe7(byte)))),
            Self::Utf16 => utf16(out, bytes, u16::from_be_bytes),
            Self::Utf16le => utf16(out, bytes, u16::from_le_bytes),
            Self::Utf32 => {
                let (codes, rest) = bytes.as_chunks::<4>();
                for code in codes {
                    push(out, char::from_u32(u32::from_be_bytes(*code)));
                }
                if !rest.is_empty() {
                    push(out, None);
                }
            }
            Self::Multi(set) => set.write(out, bytes),
        }
    }
}

/// A statement in the character set of the client that sent it, and whether every character of it is
/// known.
#[must_use]
pub fn statement_text(sql: &[u8], collation: Option<u16>) -> (String, bool) {
    let charset = collation.and_then(|id| Charset::by_collation(u64::from(id)));
    let mut out = Vec::with_capacity(sql.len());
    match charset {
        // Servers write parts of a statement anew, in UTF-8.
        _ if std::str::from_utf8(sql).is_ok() => out.extend_from_slice(sql),
        // The client's text is that of its session.
        Some(Charset::Binary) | None => super::write_utf8(&mut out, sql),
        Some(charset) => charset.write(&mut out, sql),
    }
    let text = String::from_utf8(out).unwrap_or_default();
    let is_exact = !text.contains(REPLACEMENT) || std::str::from_utf8(sql).is_ok();
    (text, is_exact)
}

/// The character set of a collation.
pub(crate) fn name_of_collation(collation: u64) -> Option<&'static str> {
    // MariaDB: 1024 more for a collation that does not pad.
    let id = if (1024..2048).contains(&collation) { collation - 1024 } else { collation };
    Some(match id {
        33 | 76 | 83 | 192..=223 | 576..=579 | 2048..=2303 => "utf8mb3",
        45 | 46 | 224..=247 | 255..=511 | 608..=611 | 2304..=2559 => "utf8mb4",
        35 | 90 | 128..=159 | 640..=642 | 2560..=2815 => "ucs2",
        54 | 55 | 101..=127 | 672..=674 | 2816..=3071 => "utf16",
        60 | 61 | 160..=191 | 736..=738 | 3072..=3327 => "utf32",
        56 | 62 => "utf16le",
        63 => "binary",
        11 | 65 => "ascii",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        3 | 69 => "dec8",
        4 | 80 => "cp850",
        6 | 72 => "hp8",
        7 | 74 => "koi8r",
        10 | 82 => "swe7",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        32 | 64 => "armscii8",
        36 | 68 => "cp866",
        37 | 73 => "keybcs2",
        38 | 43 => "macce",
        39 | 53 => "macroman",
        40 | 81 => "cp852",
        57 | 67 => "cp1256",
        92 | 93 => "geostd8",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        _ => return None,
    })
}

fn push(out: &mut Vec<u8>, c: Option<char>) {
    out.extend_from_slice(c.unwrap_or(REPLACEMENT).encode_utf8(&mut [0; 4]).as_bytes());
}

const fn swe7(byte: u8) -> char {
    match byte {
        b'@' => 'É',
        b'[' => 'Ä',
        b'\\' => 'Ö',
        b']' => 'Å',
        b'^' => 'Ü',
        b'`' => 'é',
        b'{' => 'ä',
        b'|' => 'ö',
        b'}' => 'å',
        b'~' => 'ü',
        0..0x7f => byte as char,
        0x7f.. => REPLACEMENT,
    }
}

fn utf16(out: &mut Vec<u8>, bytes: &[u8], read: fn([u8; 2]) -> u16) {
    let (units, rest) = bytes.as_chunks::<2>();
    for unit in char::decode_utf16(units.iter().map(|unit| read(*unit))) {
        push(out, unit.ok());
    }
    if !rest.is_empty() {
        push(out, None);
    }
}

impl Multi {
    fn write(&self, out: &mut Vec<u8>, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first() {
            if first.is_ascii() {
                let len = bytes.iter().take_while(|byte| byte.is_ascii()).count();
                let (ascii, rest) = bytes.split_at(len);
                out.extend_from_slice(ascii);
                bytes = rest;
                continue;
            }
            let len = self.len_of(first, bytes.get(1).copied()).min(bytes.len());
            let (code, rest) = bytes.split_at(len);
            bytes = rest;
            push(out, self.character(code));
        }
    }

    const fn len_of(&self, first: u8, second: Option<u8>) -> usize {
        match (self.form, first, second) {
            (Form::Sjis, 0x80 | 0xa0..=0xdf | 0xfd.., _) => 1,
            (Form::Euc, 0x8f, _) => 3,
            (Form::Gb18030, _, Some(0x30..=0x39)) => 4,
            (Form::Double | Form::Sjis | Form::Euc | Form::Gb18030, _, _) => 2,
        }
    }

    /// The character of a code; `None` when there is none.
    fn character(&self, code: &[u8]) -> Option<char> {
        let number = code.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
        if let Ok(index) = self.exceptions.binary_search_by_key(&number, |(code, _)| *code) {
            let (_, character) = self.exceptions.get(index)?;
            return char::from_u32(u32::from(*character));
        }
        if self.form == Form::Euc
            && let Some(character) = private(number)
        {
            return Some(character);
        }
        let mut text = [0; 16];
        let mut decoder = self.encoding.new_decoder_without_bom_handling();
        let (result, _, len) = decoder.decode_to_utf8_without_replacement(code, &mut text, true);
        let text = std::str::from_utf8(text.get(..len)?).ok()?;
        let mut characters = text.chars();
        let is_one = |c: &char| text.len() == c.len_utf8() && result == DecoderResult::InputEmpty;
        characters.next().filter(is_one)
    }
}

/// The last ten rows of JIS X 0208 and JIS X 0212 in EUC are 940 characters each for private use.
fn private(code: u32) -> Option<char> {
    let (plane, base) = if code > 0xffff { (code & 0xffff, 0xe3ac) } else { (code, 0xe000) };
    let row = (plane >> 8).checked_sub(0xf5).filter(|row| *row < 10)?;
    let cell = (plane & 0xff).checked_sub(0xa1).filter(|cell| *cell < 94)?;
    char::from_u32(base + row * 94 + cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        Charset::by_name(name).unwrap().write(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_of_each_form() {
        assert_eq!(text("gbk", b"a\xd6\xd0\xce\xc4z"), "a中文z");
        assert_eq!(text("gb18030", b"\x81\x30\x81\x30\x94\x39\xfc\x36"), "\u{80}😀");
        assert_eq!(text("sjis", b"\xb1\x81\x5f"), "ｱ\\");
        assert_eq!(text("ujis", b"\xa4\xa2\x8e\xb1\x8f\xb0\xa1\xf5\xa1"), "あｱ丂\u{e000}");
        assert_eq!(text("utf16le", b"\x2d\x4e"), "中");
        assert_eq!(text("ucs2", b"\x4e\x2d"), "中");
        assert_eq!(text("utf32", b"\0\x01\xf6\0"), "😀");
        assert_eq!(text("koi8r", b"\xc1"), "а");
        assert_eq!(text("swe7", b"a[|"), "aÄö");
    }

    /// Bytes that are no character, or are cut off, cost one replacement and nothing more.
    #[test]
    fn any_bytes_are_read() {
        assert_eq!(text("gbk", b"\xd6"), "\u{fffd}");
        assert_eq!(text("gb18030", b"\x81\x30\x81"), "\u{fffd}");
        assert_eq!(text("utf16", b"\xd8\0\0a\x01"), "\u{fffd}a\u{fffd}");
        assert_eq!(text("utf32", b"\xff\xff\xff\xff\0"), "\u{fffd}\u{fffd}");
        assert_eq!(text("cp1250", b"\x81"), "\u{fffd}");
    }
}
