//! The structure of one table.

/// One column of a table, in the order in which row images carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "two independent facts of a column's definition")]
pub struct Column {
    /// Column name, without quotes.
    pub name: String,
    /// Type text as Canal's `mysqlType` prints it (entry-format 3.1): the type name as written,
    /// `(args)` joined by `,`, then ` unsigned`, ` zerofill`.
    pub type_text: String,
    /// Member of the primary key.
    pub is_key: bool,
    /// The column may hold NULL.
    pub nullable: bool,
    /// Character set, where the definition names one; empty where it is that of the database at some
    /// time, `None` where it is the table's default, and behind question marks as [`Table::charset`].
    pub charset: Option<String>,
}

/// A cloud's server whose tables have a key of the server's own, the last column, if they have no primary
/// key: nothing but their rows shows it (entry-format 3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenKey {
    /// RDS for MySQL.
    Rds,
    /// PolarDB-X.
    PolarDbX,
}

impl HiddenKey {
    /// The column's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rds => "__#alibaba_rds_row_id#__",
            Self::PolarDbX => "_drds_implicit_id_",
        }
    }

    /// The column as Canal tells it.
    #[must_use]
    pub fn column(self) -> Column {
        Column { is_key: true, nullable: false, ..Column::new(self.name(), "bigint") }
    }
}

/// The structure of a table: columns in the order in which row images carry them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts of two families of servers")]
pub struct Table {
    /// Database name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// Columns in ordinal order.
    pub columns: Vec<Column>,
    /// Default character set of the table, if the definition names one, or the stream that of the
    /// database; behind a question mark where that is not sure, and behind two where it is not what the
    /// database has now.
    pub charset: Option<String>,
    /// MariaDB: the last two columns are those of implicit system versioning. They stay the last.
    pub has_implicit_versioning: bool,
    /// MySQL: a key on an expression was defined. Table maps may then have hidden columns behind
    /// these, whose values no row carries.
    pub has_functional_key: bool,
    /// UNIQUE keys that are, or may become, too long for an index: MariaDB adds a hidden column for each.
    pub unique_keys: Vec<UniqueKey>,
    /// The server adds this to tables without a primary key: table maps may then have one column more than
    /// these.
    pub hidden_key: Option<HiddenKey>,
    /// Only a `CREATE TABLE IF NOT EXISTS` says so: a table of this name may have been there already.
    pub is_assumed: bool,
}

/// A UNIQUE key, not the primary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// Its name.
    pub name: String,
    /// Its columns; none where they are not known.
    pub parts: Vec<KeyPart>,
    /// `USING HASH` was written.
    pub uses_hash: bool,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Its name.
    pub column: String,
    /// Characters or bytes of it that count, where not all do.
    pub prefix: Option<u32>,
}

/// Length of an index, in bytes, that every engine of MariaDB allows, whatever its page size and row
/// format.
const INDEX_LEN_SAFE: u64 = 767;
/// Bytes of a column that is no string, at most.
const SHORT_LEN: u64 = 64;
/// Bytes of a character, at most.
const CHAR_LEN_MAX: u64 = 4;

impl Table {
    /// How many hidden columns MariaDB adds behind all others: one with the hash of each UNIQUE key that is
    /// too long for an index. At least so many, and at most: the limit depends on the engine.
    #[must_use]
    pub fn hidden_hashes(&self) -> (usize, usize) {
        let lengths = self.unique_keys.iter().map(|key| self.key_len(key));
        lengths.fold((0, 0), |(least, most), len| match len {
            KeyLen::Short => (least, most),
            KeyLen::Unsure => (least, most + 1),
            KeyLen::Long => (least + 1, most + 1),
        })
    }

    /// Takes the UNIQUE keys that the source tells of.
    #[must_use]
    pub fn with_unique_keys(mut self, keys: Vec<UniqueKey>) -> Self {
        self.unique_keys = keys;
        self.forget_short_keys();
        self
    }

    /// Forgets UNIQUE keys without a string among their columns: they never get too long.
    pub(crate) fn forget_short_keys(&mut self) {
        let mut keys = std::mem::take(&mut self.unique_keys);
        keys.retain(|key| {
            let is_string = |part: &KeyPart| {
                self.column(&part.column).is_none_or(|column| column.string_len().is_some())
            };
            key.parts.is_empty() || key.uses_hash || key.parts.iter().any(is_string)
        });
        self.unique_keys = keys;
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| is_same_name(&column.name, name))
    }

    fn key_len(&self, key: &UniqueKey) -> KeyLen {
        let mut len = 0_u64;
        for part in &key.parts {
            let Some(column) = self.column(&part.column) else { return KeyLen::Unsure };
            let string = column.string_len();
            len = len.saturating_add(match (part.prefix, string) {
                (Some(prefix), _) => CHAR_LEN_MAX * u64::from(prefix),
                (None, None) => SHORT_LEN,
                (None, Some(StringLen::Chars(chars))) => CHAR_LEN_MAX.saturating_mul(chars),
                (None, Some(StringLen::Unlimited)) => return KeyLen::Long,
            });
        }
        match key.parts.is_empty() || key.uses_hash || len > INDEX_LEN_SAFE {
            true => KeyLen::Unsure,
            false => KeyLen::Short,
        }
    }

    /// Notes what the server adds to tables, which is not one of its columns where the server shows it.
    #[must_use]
    pub fn served_with(mut self, hidden_key: Option<HiddenKey>) -> Self {
        let is_shown = |key: HiddenKey| {
            self.columns.split_last().is_some_and(|(last, rest)| {
                last.name.eq_ignore_ascii_case(key.name()) && !rest.iter().any(|c| c.is_key)
            })
        };
        if hidden_key.is_some_and(is_shown) {
            self.columns.pop();
        }
        self.hidden_key = hidden_key;
        self
    }
}

/// Whether two names of columns or keys are one to a server.
pub(crate) fn is_same_name(left: &str, right: &str) -> bool {
    match left.is_ascii() && right.is_ascii() {
        true => left.eq_ignore_ascii_case(right),
        false => left.to_lowercase() == right.to_lowercase(),
    }
}

/// Whether a key fits into an index.
enum KeyLen {
    Short,
    /// It depends on what statements do not tell.
    Unsure,
    Long,
}

/// How long a string may be.
enum StringLen {
    Chars(u64),
    /// TEXT and BLOB in all sizes: an index wants a prefix.
    Unlimited,
}

fn is_guess(charset: &str) -> bool {
    charset.starts_with(Column::UNSURE)
}

/// Marks the default of a database that has got another one since, or that is another table's.
const FORMER: &str = "??";

fn is_former(charset: &str) -> bool {
    charset.starts_with(FORMER)
}

/// Whether it is that of the database as it is now.
fn is_default(charset: Option<&str>) -> bool {
    charset.is_none_or(|name| name.is_empty() || is_guess(name) && !is_former(name))
}

impl Table {
    /// Whether its columns have the default of its database as it is now, unless a definition says
    /// otherwise.
    #[must_use]
    pub fn has_default(&self) -> bool {
        is_default(self.charset.as_deref())
    }

    /// The default of its database changes, or it comes into another one: what of its text is not known has
    /// the default that was in force before. Whether anything of the table is different.
    pub(crate) fn keep_former_default(&mut self) -> bool {
        let age = |charset: &str| match charset {
            "" => Some(FORMER.to_owned()),
            guess if is_guess(guess) && !is_former(guess) => Some(format!("?{guess}")),
            _ => None,
        };
        let own = self.charset.as_deref().map_or(Some(FORMER.to_owned()), age);
        let is_other = own.is_some();
        self.charset = own.or(self.charset.take());
        let columns = self.columns.iter_mut().filter_map(|column| column.charset.as_mut());
        columns.fold(is_other, |is_other, charset| match age(charset) {
            Some(former) => {
                *charset = former;
                true
            }
            None => is_other,
        })
    }
}

impl Column {
    /// Nothing for a column that is no string.
    fn string_len(&self) -> Option<StringLen> {
        let lower = self.type_text.trim_start_matches(Self::UNSURE).to_ascii_lowercase();
        let name = lower.split(['(', ' ']).next().unwrap_or_default();
        let chars = || {
            let inside = lower.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
            inside.and_then(|(digits, _)| digits.trim().parse().ok()).unwrap_or(1)
        };
        match name {
            _ if name.ends_with("text") || name.ends_with("blob") => Some(StringLen::Unlimited),
            "json" | "long" => Some(StringLen::Unlimited),
            "char" | "character" | "varchar" | "varcharacter" | "binary" | "varbinary"
            | "nchar" | "nvarchar" | "national" | "vector" => Some(StringLen::Chars(chars())),
            _ => None,
        }
    }

    /// Marks a type that is known only as it was made later by a statement.
    const UNSURE: char = '?';

    /// Makes the type one that may have been another one earlier.
    pub(crate) fn make_unsure(&mut self) {
        if !self.type_text.starts_with(Self::UNSURE) {
            self.type_text.insert(0, Self::UNSURE);
        }
    }

    /// The type that the column has later, if it is not known which one it has now; empty if there
    /// is no such column later.
    #[must_use]
    pub fn later_type(&self) -> Option<&str> {
        self.type_text.strip_prefix(Self::UNSURE)
    }

    /// The word that its type begins with, in small letters.
    fn type_name(&self) -> String {
        let lower = self.type_text.trim_start_matches(Self::UNSURE).to_ascii_lowercase();
        lower.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }

    /// Whether its type has a character set: `binary` is one of them, and makes a BLOB of a TEXT.
    #[must_use]
    pub fn is_character(&self) -> bool {
        match self.type_name().as_str() {
            "char" | "character" | "varchar" | "varcharacter" | "nchar" | "nvarchar"
            | "national" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
            | "clob" | "varchar2" => true,
            "long" => !self.type_text.to_ascii_lowercase().contains("binary"),
            _ => false,
        }
    }

    /// MariaDB's JSON is a LONGTEXT in UTF-8, whatever the table's default.
    fn is_json(&self) -> bool {
        self.type_name() == "json"
    }

    /// The character set of its text, where the definitions tell it.
    #[must_use]
    pub fn charset_in<'a>(&'a self, table: &'a Table) -> Option<&'a str> {
        if self.charset.is_none() && self.is_json() {
            return Some("utf8mb4");
        }
        // Histories of earlier versions have the word DEFAULT.
        let is_named = |name: &&str| {
            !name.is_empty() && !name.eq_ignore_ascii_case("default") && !is_guess(name)
        };
        self.charset.as_deref().or(table.charset.as_deref()).filter(is_named)
    }

    /// The character set that its text may have, where the definitions do not tell it for sure: its
    /// database may have been there before the statement that tells its default.
    #[must_use]
    pub fn guessed_charset_in<'a>(&'a self, table: &'a Table) -> Option<&'a str> {
        let name = self.charset.as_deref().or(table.charset.as_deref());
        let guess = name.filter(|name| is_guess(name))?.trim_start_matches(Self::UNSURE);
        Some(guess).filter(|guess| !guess.is_empty())
    }

    /// Whether its text has the default of the table's database as it is now, unless the table's own
    /// definition says otherwise.
    #[must_use]
    pub fn has_default_in(&self, table: &Table) -> bool {
        let own = self.charset.as_deref();
        own.map_or_else(|| table.has_default(), |own| is_default(Some(own)))
    }

    /// A column that may be NULL and is no key.
    #[must_use]
    pub fn new(name: &str, type_text: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_text: type_text.to_owned(),
            is_key: false,
            nullable: true,
            charset: None,
        }
    }
}
