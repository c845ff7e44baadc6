//! What a statement of a QUERY event is to the transaction around it.

/// The roles of statements that begin, divide or end transactions.
///
/// Servers write most of these texts themselves; MySQL 5.5 writes savepoints as the session spelled them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementRole {
    /// `BEGIN`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `SAVEPOINT name`; the name in lower case.
    Savepoint(String),
    /// `ROLLBACK [WORK] TO [SAVEPOINT] name`; the name in lower case.
    RollbackTo(String),
    /// `XA START`: rows follow.
    XaStart,
    /// `XA END`: the rows are over; what is prepared or committed in one phase follows.
    XaEnd,
    /// `XA COMMIT` of a transaction that was prepared before.
    XaCommit,
    /// `XA ROLLBACK` of a transaction that was prepared before.
    XaRollback,
    /// `CREATE TABLE ... START TRANSACTION`: its rows follow.
    OpensTransaction,
    /// Any other.
    Other,
}

impl StatementRole {
    /// The role of a statement. Comments around and between its words do not count.
    #[must_use]
    pub fn of(sql: &[u8]) -> Self {
        let mut words = Words { rest: sql };
        let Some(first) = words.next() else { return Self::Other };
        let is = |word: &Option<Word<'_>>, text: &str| word.as_ref().is_some_and(|w| w.is(text));
        if first.is("begin") {
            let work = words.next();
            let is_end = work.is_none() || is(&work, "work") && words.next().is_none();
            return if is_end { Self::Begin } else { Self::Other };
        }
        if first.is("commit") {
            return if words.next().is_none() { Self::Commit } else { Self::Other };
        }
        if first.is("savepoint") {
            return words.next().map_or(Self::Other, |name| Self::Savepoint(name.folded()));
        }
        if first.is("rollback") {
            let mut next = words.next();
            if is(&next, "work") {
                next = words.next();
            }
            if next.is_none() {
                return Self::Rollback;
            }
            if !is(&next, "to") {
                return Self::Other;
            }
            let name = words.next();
            // A savepoint may be called `savepoint`.
            let name = match words.next() {
                Some(behind) if is(&name, "savepoint") => Some(behind),
                _ => name,
            };
            return name.map_or(Self::Other, |name| Self::RollbackTo(name.folded()));
        }
        if first.is("xa") {
            let verb = words.next();
            let verbs = [
                ("start", Self::XaStart),
                ("begin", Self::XaStart),
                ("end", Self::XaEnd),
                ("commit", Self::XaCommit),
                ("rollback", Self::XaRollback),
            ];
            let found = verbs.into_iter().find(|(text, _)| is(&verb, text));
            return found.map_or(Self::Other, |(_, role)| role);
        }
        if first.is("create") && opens_transaction(sql) {
            return Self::OpensTransaction;
        }
        Self::Other
    }
}

/// Whether the last two words of a text are `START TRANSACTION`.
fn opens_transaction(sql: &[u8]) -> bool {
    let strip = |text: &[u8], word: &[u8]| -> Option<usize> {
        let text = text.trim_ascii_end();
        let at = text.len().checked_sub(word.len())?;
        let (head, tail) = text.split_at_checked(at)?;
        let is_apart = head.last().is_some_and(|byte| !byte.is_ascii_alphanumeric());
        (is_apart && tail.eq_ignore_ascii_case(word)).then_some(at)
    };
    let before = strip(sql, b"transaction").and_then(|at| sql.get(..at));
    before.and_then(|head| strip(head, b"start")).is_some()
}

/// A word, or a name in quotes.
struct Word<'a> {
    text: &'a [u8],
    /// The quote around a name; 0 for none.
    quote: u8,
}

impl Word<'_> {
    fn is(&self, word: &str) -> bool {
        self.quote == 0 && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// The name, as names of savepoints are compared.
    fn folded(&self) -> String {
        let text = String::from_utf8_lossy(self.text);
        if self.quote == 0 {
            return text.to_lowercase();
        }
        let quote = char::from(self.quote);
        text.replace(&format!("{quote}{quote}"), quote.encode_utf8(&mut [0; 4])).to_lowercase()
    }
}

/// Splits the front of a statement into words.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn skip_behind(&mut self, end: &[u8]) {
        let found = self.rest.windows(end.len()).position(|window| window == end);
        self.skip(found.map_or(self.rest.len(), |at| at + end.len()));
    }

    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest {
                // What an executable comment holds counts.
                [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => {
                    self.skip_behind(b"!");
                    let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit());
                    let count = digits.count();
                    self.skip(count);
                }
                [b'*', b'/', ..] => self.skip(2),
                [b'/', b'*', ..] => self.skip_behind(b"*/"),
                [b'#', ..] => self.skip_behind(b"\n"),
                [b'-', b'-', next, ..] if next.is_ascii_whitespace() => self.skip_behind(b"\n"),
                [b';' | 0, ..] => self.skip(1),
                _ => return,
            }
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.skip_blank();
        let first = *self.rest.first()?;
        if matches!(first, b'`' | b'"') {
            let inner = self.rest.get(1..)?;
            let mut len = 0;
            while let Some(byte) = inner.get(len) {
                if *byte == first && inner.get(len + 1) == Some(&first) {
                    len += 2;
                } else if *byte == first {
                    break;
                } else {
                    len += 1;
                }
            }
            self.skip(len + 2);
            return Some(Word { text: inner.get(..len).unwrap_or_default(), quote: first });
        }
        let is_word =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"_$".contains(byte) || !byte.is_ascii();
        let len = self.rest.iter().take_while(|byte| is_word(byte)).count().max(1);
        let text = self.rest.get(..len)?;
        self.skip(len);
        Some(Word { text, quote: 0 })
    }
}
