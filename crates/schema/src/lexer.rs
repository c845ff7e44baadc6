//! The tokens of MySQL's and MariaDB's SQL.
//!
//! Total and linear: any text gives tokens. Executable comments (`/*! ... */`, `/*M! ... */`) are
//! read as what they contain, and say so.

/// How the session that wrote a statement read its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    sql_mode: u64,
    server: Option<ServerKind>,
}

/// Modes in which a word for a type means another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "two modes that a session may have at once")]
pub(crate) struct Types {
    /// `DATE` is `DATETIME`, `BLOB` is `LONGBLOB`.
    pub(crate) oracle: bool,
    /// `TIMESTAMP` is `DATETIME`.
    pub(crate) maxdb: bool,
}

/// Which server reads the statement: it decides which executable comments count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKind {
    /// MariaDB, not MySQL.
    pub is_mariadb: bool,
    /// Major, minor, patch.
    pub version: (u16, u16, u16),
}

impl ServerKind {
    /// Whether `/*! */`, or with `for_mariadb` `/*M! */`, of this version number is executed.
    fn executes(self, for_mariadb: bool, number: Option<u32>) -> bool {
        let (major, minor, patch) = self.version;
        let own = u32::from(major) * 10_000 + u32::from(minor) * 100 + u32::from(patch);
        match number {
            _ if for_mariadb && !self.is_mariadb => false,
            None => true,
            // MySQL 5.7's and later's own are not for MariaDB, whose numbers have six digits.
            Some(number) if self.is_mariadb && (50_700..100_000).contains(&number) => false,
            Some(number) => number <= own,
        }
    }
}

impl ParseOptions {
    const ANSI_QUOTES: u64 = 0x4;
    const ORACLE: u64 = 0x200;
    const MSSQL: u64 = 0x400;
    const MAXDB: u64 = 0x1000;
    const NO_BACKSLASH_ESCAPES: u64 = 0x10_0000;

    /// From the `sql_mode` bits of a QUERY event.
    #[must_use]
    pub const fn from_sql_mode(sql_mode: u64) -> Self {
        Self { sql_mode, server: None }
    }

    /// The same for a server that is known.
    #[must_use]
    pub const fn read_by(self, server: ServerKind) -> Self {
        Self { server: Some(server), ..self }
    }

    const fn ansi_quotes(self) -> bool {
        self.sql_mode & Self::ANSI_QUOTES != 0
    }

    const fn backslash_escapes(self) -> bool {
        self.sql_mode & Self::NO_BACKSLASH_ESCAPES == 0
    }

    /// MariaDB since 10.3 speaks the dialects of others; MySQL's modes of these names change no types.
    fn is_dialect(self, mode: u64) -> bool {
        let speaks = |server: ServerKind| server.is_mariadb && server.version >= (10, 3, 0);
        self.sql_mode & mode != 0 && self.server.is_some_and(speaks)
    }

    /// `ALTER TABLE ... COLLATE = DEFAULT` means the default of the table's character set, not of the
    /// database's.
    pub(crate) fn collate_default_is_the_tables(self) -> bool {
        self.server.is_some_and(|server| server.is_mariadb && server.version >= (10, 9, 0))
    }

    /// `[name]` is a quoted name.
    fn brackets(self) -> bool {
        self.is_dialect(Self::MSSQL)
    }

    /// What the session's mode makes of the words for types.
    pub(crate) fn types(self) -> Types {
        Types { oracle: self.is_dialect(Self::ORACLE), maxdb: self.sql_mode & Self::MAXDB != 0 }
    }
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word: keyword or identifier.
    Word,
    /// A quoted identifier, its quotes resolved.
    Quoted(String),
    /// A string, with its quotes as written in `text`.
    Str,
    /// A number, also hexadecimal.
    Number,
    /// One character of punctuation.
    Symbol(char),
}

/// A token with its text as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Inside an executable comment.
    pub(crate) conditional: bool,
}

impl Token<'_> {
    /// True for the bare word, ignoring case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// A quoted token that reaches to the end of the text, for its quote does not come.
    pub(crate) fn is_unclosed(&self) -> bool {
        match self.kind {
            Kind::Quoted(_) | Kind::Str => {
                let first = self.text.chars().next();
                let quote = if first == Some('[') { Some(']') } else { first };
                self.text.chars().count() < 2 || self.text.chars().last() != quote
            }
            Kind::Word | Kind::Number | Kind::Symbol(_) => false,
        }
    }

    /// The name or text that the token stands for: a character set may be a string.
    pub(crate) fn text_value(&self) -> Option<String> {
        match self.kind {
            Kind::Str => Some(self.text.trim_matches(['\'', '"']).to_owned()),
            Kind::Word | Kind::Quoted(_) | Kind::Number | Kind::Symbol(_) => self.name(),
        }
    }

    /// The name that the token stands for, if it can be one.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.kind {
            Kind::Word => Some(as_name(self.text)),
            Kind::Quoted(name) => Some(as_name(name)),
            Kind::Str | Kind::Number | Kind::Symbol(_) => None,
        }
    }
}

/// A name as servers keep it: they have none with characters of four bytes.
fn as_name(text: &str) -> String {
    const LAST: char = '\u{ffff}';
    text.chars().map(|c| if c > LAST { '?' } else { c }).collect()
}

/// Splits a statement into tokens, at most `limit` of them.
pub(crate) fn tokens(sql: &str, options: ParseOptions, limit: usize) -> Vec<Token<'_>> {
    let mut lexer = Lexer { sql, at: 0, options, conditional: false };
    let mut out = Vec::new();
    while out.len() < limit {
        match lexer.next() {
            Some(token) => out.push(token),
            None => break,
        }
    }
    out
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    options: ParseOptions,
    conditional: bool,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    fn skip_to(&mut self, needle: &str) {
        let rest = self.rest();
        self.at += rest.find(needle).map_or(rest.len(), |at| at + needle.len());
    }

    /// White space and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let dashes = trimmed.strip_prefix("--");
            let is_dashes = dashes.is_some_and(|t| {
                t.is_empty() || t.starts_with(|c: char| c.is_whitespace() || c.is_control())
            });
            if is_dashes || trimmed.starts_with('#') {
                self.skip_to("\n");
            } else if trimmed.starts_with("/*!") || trimmed.starts_with("/*M!") {
                self.open_conditional(trimmed.starts_with("/*M!"));
            } else if self.conditional && trimmed.starts_with("*/") {
                self.at += 2;
                self.conditional = false;
            } else if trimmed.starts_with("/*") {
                self.at += 2;
                self.skip_to("*/");
            } else {
                return;
            }
        }
    }

    /// An executable comment: its content counts if the server executes it.
    fn open_conditional(&mut self, for_mariadb: bool) {
        self.at += if for_mariadb { 4 } else { 3 };
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        // A version has five or six digits; anything else belongs to the content.
        let digits = if digits >= 5 { digits.min(6) } else { 0 };
        let number = self.rest().get(..digits).and_then(|number| number.parse().ok());
        self.at += digits;
        if self.options.server.is_none_or(|server| server.executes(for_mariadb, number)) {
            self.conditional = true;
        } else {
            self.skip_to("*/");
        }
    }

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let conditional = self.conditional;
        let rest = self.rest();
        let first = rest.chars().next()?;
        let (kind, len) = match first {
            '`' => quoted(rest, '`', false),
            '"' if self.options.ansi_quotes() => quoted(rest, '"', false),
            '[' if self.options.brackets() => quoted(rest, ']', false),
            '\'' | '"' => {
                let (_, len) = quoted(rest, first, self.options.backslash_escapes());
                (Kind::Str, len)
            }
            c if is_word(c) => {
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..len).unwrap_or_default();
                let number = word.bytes().all(|b| b.is_ascii_digit());
                (if number { Kind::Number } else { Kind::Word }, len)
            }
            c => (Kind::Symbol(c), c.len_utf8()),
        };
        self.at += len;
        Some(Token { kind, text: rest.get(..len).unwrap_or_default(), conditional })
    }
}

/// A quoted run at the start of `text`: its content with doubled quotes resolved, and its length.
fn quoted(text: &str, quote: char, backslash: bool) -> (Kind, usize) {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslash {
            content.push(c);
            if let Some((_, escaped)) = chars.next() {
                content.push(escaped);
            }
        } else if c == quote {
            if chars.peek().is_some_and(|&(_, next)| next == quote) {
                chars.next();
                content.push(quote);
            } else {
                return (Kind::Quoted(content), at + c.len_utf8());
            }
        } else {
            content.push(c);
        }
    }
    (Kind::Quoted(content), text.len())
}
