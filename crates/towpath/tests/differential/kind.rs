//! Column types: how they are declared, literals of them, and a form of their values that a
//! server's `SELECT` and an entry can both be brought to.

use towpath_testkit::{Feature, Random, Version};

use super::without;

/// How values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The same text.
    Plain,
    /// Without zeros at the end.
    Decimal,
    Double,
    Text,
    Binary,
    /// An index, mask or number of bits.
    Index,
    Json,
}

fn trimmed(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02X}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn json(text: &str) -> String {
    let value: serde_json::Value =
        serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON: {text}: {e}"));
    value.to_string()
}

impl Class {
    /// What is selected of a column.
    pub(crate) fn select(self, name: &str) -> String {
        match self {
            Self::Plain | Self::Decimal => format!("`{name}`"),
            // A FLOAT by itself is shown with six digits.
            Self::Double => format!("`{name}`+0e0"),
            Self::Text | Self::Json => format!("HEX(CONVERT(`{name}` USING utf8mb4))"),
            Self::Binary => format!("HEX(`{name}`)"),
            Self::Index => format!("`{name}`+0"),
        }
    }

    pub(crate) fn of_server(self, text: &str) -> String {
        match self {
            _ if text == "NULL" => text.to_owned(),
            Self::Plain | Self::Text | Self::Index => text.to_owned(),
            Self::Decimal => trimmed(text),
            Self::Double => text.parse::<f64>().unwrap().to_string(),
            Self::Binary => hex(strip_zeros(unhex(text))),
            Self::Json => json(&String::from_utf8(unhex(text)).unwrap()),
        }
    }

    pub(crate) fn of_entry(self, text: &str) -> String {
        match self {
            Self::Plain | Self::Index => text.to_owned(),
            Self::Decimal => trimmed(text),
            Self::Double => text.parse::<f64>().unwrap().to_string(),
            Self::Text => hex(text.bytes()),
            Self::Binary => {
                let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
                hex(strip_zeros(bytes))
            }
            Self::Json => json(text),
        }
    }
}

/// Canal leaves out the padding of BINARY.
fn strip_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// A column type, as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Id,
    Int(&'static str, u32, bool),
    Decimal(u64, u64),
    Double(&'static str),
    VarChar(u64, &'static str),
    Char(u64),
    Text(&'static str),
    VarBinary(u64),
    Binary(u64),
    Blob(&'static str),
    Date,
    Year,
    DateTime(Option<u64>),
    Timestamp(Option<u64>),
    Time(Option<u64>),
    Enum,
    Set,
    Bit(u64),
    Json,
    /// Text in the character set of its database at the time, one of the names of such a type.
    Inherited(&'static str, &'static str),
    /// A type whose text is that of the server's `SELECT`, with values of it.
    Shown(&'static str, &'static [&'static str]),
}

impl Kind {
    /// Those that the other types leave out.
    pub(crate) fn odd(version: Version, charset: &'static str, random: &mut Random) -> Self {
        const INET6: Kind =
            Kind::Shown("INET6", &["'::192.0.2.1'", "'::'", "'2001:db8::1'", "'::ffff:1.2.3.4'"]);
        const UUID: Kind = Kind::Shown("UUID", &["'123e4567-e89b-12d3-a456-426655440000'"]);
        const INET4: Kind = Kind::Shown("INET4", &["'192.0.2.1'", "'0.0.0.0'"]);
        let has_inet = version.is_mariadb() && version != Version::Mariadb102;
        match random.below(6) {
            0 if !without("long") => {
                Self::Blob(random.pick(&["LONG VARBINARY", "BLOB(70000)", "LONG BYTE"]))
            }
            1 if has_inet => random.pick(&[INET6, UUID, INET4]),
            2 => Self::Shown("REAL", &["1.5", "-2.25"]),
            _ if without("inherited") => Self::Date,
            _ => {
                let words =
                    ["VARCHAR(30)", "CHAR(20)", "TEXT", "LONG VARCHAR", "LONG", "TEXT(500)"];
                Self::Inherited(random.pick(&words), charset)
            }
        }
    }

    pub(crate) fn any(version: Version, random: &mut Random) -> Self {
        let fraction = |random: &mut Random| {
            version.has(Feature::Fractions).then(|| random.below(7)).filter(|digits| *digits > 0)
        };
        match random.below(19) {
            0..=2 => {
                let (name, bits) = random.pick(&[
                    ("TINYINT", 8),
                    ("SMALLINT", 16),
                    ("MEDIUMINT", 24),
                    ("INT", 32),
                    ("BIGINT", 64),
                ]);
                Self::Int(name, bits, random.one_in(2))
            }
            3 => {
                let precision = 1 + random.below(30);
                Self::Decimal(precision, random.below(precision.min(20) + 1))
            }
            4 => Self::Double(random.pick(&["DOUBLE", "FLOAT"])),
            5 | 6 => {
                // Others are delivered as Canal does it, which garbles them (docs/differences.md).
                let charset = random.pick(&["utf8mb4", "utf8", "ascii"]);
                Self::VarChar(random.pick(&[20, 63, 200, 300]), charset)
            }
            7 => Self::Char(random.pick(&[1, 10, 40])),
            8 => Self::Text(random.pick(&["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"])),
            9 => Self::VarBinary(random.pick(&[20, 255, 256, 300])),
            10 => Self::Binary(random.pick(&[1, 8, 200])),
            11 => Self::Blob(random.pick(&["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"])),
            12 => random.pick(&[Self::Date, Self::Year]),
            13 => Self::DateTime(fraction(random)),
            14 => Self::Timestamp(fraction(random)),
            15 => Self::Time(fraction(random)),
            16 => random.pick(&[Self::Enum, Self::Set]),
            17 => Self::Bit(1 + random.below(64)),
            _ if version.has(Feature::Json) => Self::Json,
            _ => Self::Int("INT", 32, false),
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Id | Self::Int(..) | Self::Date | Self::Year => Class::Plain,
            Self::DateTime(_) | Self::Timestamp(_) | Self::Time(_) => Class::Plain,
            Self::Decimal(..) => Class::Decimal,
            Self::Double(_) => Class::Double,
            Self::VarChar(..) | Self::Char(_) | Self::Text(_) => Class::Text,
            Self::VarBinary(_) | Self::Binary(_) | Self::Blob(_) => Class::Binary,
            Self::Enum | Self::Set | Self::Bit(_) => Class::Index,
            Self::Json => Class::Json,
            Self::Inherited(..) => Class::Text,
            Self::Shown("REAL", _) => Class::Double,
            Self::Shown(..) => Class::Plain,
        }
    }

    /// The type as it stands in a definition.
    pub(crate) fn declared(&self) -> String {
        let fraction =
            |digits: &Option<u64>| digits.map_or_else(String::new, |digits| format!("({digits})"));
        match self {
            Self::Id => "INT".to_owned(),
            Self::Int(name, _, true) => format!("{name} UNSIGNED"),
            Self::Int(name, _, false) => (*name).to_owned(),
            Self::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
            Self::Double(name) | Self::Text(name) | Self::Blob(name) => (*name).to_owned(),
            Self::VarChar(len, charset) => format!("VARCHAR({len}) CHARACTER SET {charset}"),
            Self::Char(len) => format!("CHAR({len})"),
            Self::VarBinary(len) => format!("VARBINARY({len})"),
            Self::Binary(len) => format!("BINARY({len})"),
            Self::Date => "DATE".to_owned(),
            Self::Year => "YEAR".to_owned(),
            Self::DateTime(digits) => format!("DATETIME{}", fraction(digits)),
            Self::Timestamp(digits) => format!("TIMESTAMP{} NULL", fraction(digits)),
            Self::Time(digits) => format!("TIME{}", fraction(digits)),
            Self::Enum => "ENUM('a','b','it''s')".to_owned(),
            Self::Set => "SET('x','y','z')".to_owned(),
            Self::Bit(bits) => format!("BIT({bits})"),
            Self::Json => "JSON".to_owned(),
            Self::Inherited(name, _) | Self::Shown(name, _) => (*name).to_owned(),
        }
    }

    /// A literal that the column takes as it is.
    pub(crate) fn literal(&self, random: &mut Random) -> String {
        if random.one_in(8) && *self != Self::Id {
            return "NULL".to_owned();
        }
        match self {
            Self::Inherited(_, charset) => text(12, charset, random),
            Self::Shown(_, values) => random.pick(values).to_owned(),
            Self::Id => random.below(60).to_string(),
            Self::Int(_, bits, unsigned) => int(*bits, *unsigned, random),
            Self::Decimal(precision, scale) => decimal(*precision, *scale, random),
            Self::Double(_) => format!("{}.125", random.below(2000)),
            Self::VarChar(len, charset) => text(*len, charset, random),
            Self::Char(len) => text(*len, "utf8mb4", random),
            Self::Text(name) => {
                let long = if *name == "TINYTEXT" { 60 } else { random.pick(&[60, 2000]) };
                text(long, "utf8mb4", random)
            }
            Self::VarBinary(len) | Self::Binary(len) => bytes(*len, random),
            Self::Blob(name) => bytes(if *name == "TINYBLOB" { 200 } else { 900 }, random),
            Self::Date => format!("'{}'", date(random)),
            Self::Year => (1901 + random.below(255)).to_string(),
            Self::DateTime(digits) => format!("'{} {}'", date(random), time(*digits, random)),
            Self::Timestamp(digits) => {
                let (year, month) = (1971 + random.below(66), 1 + random.below(12));
                let day = 1 + random.below(28);
                format!("'{year}-{month:02}-{day:02} {}'", time(*digits, random))
            }
            Self::Time(digits) => {
                let sign = random.pick(&["", "-"]);
                format!("'{sign}{}'", time(*digits, random))
            }
            Self::Enum => format!("'{}'", random.pick(&["a", "b", "it''s"])),
            Self::Set => format!("'{}'", random.pick(&["", "x", "x,z", "y,z", "x,y,z"])),
            Self::Bit(bits) => {
                let n = random.next() >> (64 - bits);
                format!("b'{n:b}'")
            }
            Self::Json => format!(
                "'{{\"a\": {}, \"b\": [1, {}, \"x\"], \"c\": \"{}\"}}'",
                random.below(1000),
                random.below(10),
                "z".repeat(usize::try_from(random.below(300)).unwrap())
            ),
        }
    }
}

fn int(bits: u32, unsigned: bool, random: &mut Random) -> String {
    let all = random.next() >> (64 - bits);
    let n = random.pick(&[all, all, 0, 1, u64::MAX >> (64 - bits)]);
    if unsigned {
        n.to_string()
    } else {
        // The sign is the first of the bits.
        ((n << (64 - bits)).cast_signed() >> (64 - bits)).to_string()
    }
}

fn decimal(precision: u64, scale: u64, random: &mut Random) -> String {
    let digits = |count: u64, random: &mut Random| -> String {
        (0..count).map(|_| char::from(b'0' + u8::try_from(random.below(10)).unwrap())).collect()
    };
    let sign = random.pick(&["", "-"]);
    let whole = digits(precision - scale, random);
    format!("{sign}0{whole}.{}", digits(scale, random))
}

fn text(len: u64, charset: &str, random: &mut Random) -> String {
    let words: &[&str] = match charset {
        "utf8mb4" => &["a", "Z", "é", "中", "😀", "''", "\\\\", "\\n", "\"", " "],
        "utf8" | "gbk" => &["a", "Z", "é", "中", "''", " "],
        "latin1" | "latin2" => &["a", "é", "ü", "ö", "''"],
        _ => &["a", "b", "~", "''", "\\0"],
    };
    let count = random.below(len + 1);
    let mut text: String = (0..count).map(|_| random.pick(words)).collect();
    // Spaces at the end are another column's business: CHAR drops them.
    text.push_str(if count == len { "" } else { "." });
    format!("'{text}'")
}

fn bytes(len: u64, random: &mut Random) -> String {
    let count = random.below(len + 1);
    let bytes: String = (0..count).map(|_| format!("{:02x}", random.below(256))).collect();
    format!("x'{bytes}'")
}

fn date(random: &mut Random) -> String {
    let (year, month) = (1000 + random.below(9000), 1 + random.below(12));
    format!("{year}-{month:02}-{:02}", 1 + random.below(28))
}

fn time(digits: Option<u64>, random: &mut Random) -> String {
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    if let Some(digits) = digits {
        let fraction = format!("{:06}", random.below(1_000_000));
        text.push('.');
        text.push_str(&fraction[..usize::try_from(digits).unwrap()]);
    }
    text
}
