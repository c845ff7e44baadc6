//! A place in the tokens of a statement.

use crate::lexer::{Kind, Token};

/// A qualified name; the schema is absent where the statement names none.
pub(crate) type Name = (Option<String>, String);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'t, 'a> {
    tokens: &'t [Token<'a>],
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(crate) const fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens }
    }

    pub(crate) const fn rest(&self) -> &'t [Token<'a>] {
        self.tokens
    }

    pub(crate) const fn is_end(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) const fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.first()
    }

    pub(crate) fn peek_is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is(word))
    }

    pub(crate) fn peek_symbol(&self, symbol: char) -> bool {
        self.peek().is_some_and(|token| token.is_symbol(symbol))
    }

    pub(crate) fn next(&mut self) -> Option<&'t Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Takes the word if it is next.
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let found = self.peek_is(word);
        if found {
            self.next();
        }
        found
    }

    /// Takes one of the words if it is next.
    pub(crate) fn eat_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.eat(word))
    }

    /// Takes the words if all of them are next.
    pub(crate) fn eat_all(&mut self, words: &[&str]) -> bool {
        let mut ahead = *self;
        let all = words.iter().all(|word| ahead.eat(word));
        if all {
            *self = ahead;
        }
        all
    }

    pub(crate) fn eat_symbol(&mut self, symbol: char) -> bool {
        let found = self.peek_symbol(symbol);
        if found {
            self.next();
        }
        found
    }

    /// One identifier.
    pub(crate) fn identifier(&mut self) -> Option<String> {
        let name = self.peek()?.name()?;
        self.next();
        Some(name)
    }

    /// `name`, `schema.name`, or `.name`, which is in the default database.
    pub(crate) fn name(&mut self) -> Option<Name> {
        if self.eat_symbol('.') {
            return Some((None, self.name_part()?));
        }
        let first = self.name_part()?;
        if self.eat_symbol('.') {
            Some((Some(first), self.name_part()?))
        } else {
            Some((None, first))
        }
    }

    /// A column: its name, before which the table's name, and the database's, may stand.
    pub(crate) fn field(&mut self) -> Option<String> {
        let mut name = match self.eat_symbol('.') {
            true => self.name_part()?,
            false => self.identifier()?,
        };
        while self.eat_symbol('.') {
            name = self.name_part()?;
        }
        Some(name)
    }

    /// A part of a name may begin with a digit.
    fn name_part(&mut self) -> Option<String> {
        let token = self.next()?;
        match &token.kind {
            Kind::Number => Some(token.text.to_owned()),
            Kind::Word | Kind::Quoted(_) | Kind::Str | Kind::Symbol(_) => token.name(),
        }
    }

    /// Whether each parenthesis that is opened is closed.
    pub(crate) fn is_closed(&self) -> bool {
        let depth = self.tokens.iter().fold(0_usize, |depth, token| match token.kind {
            Kind::Symbol('(') => depth + 1,
            Kind::Symbol(')') => depth.saturating_sub(1),
            Kind::Word | Kind::Quoted(_) | Kind::Str | Kind::Number | Kind::Symbol(_) => depth,
        });
        depth == 0
    }

    /// The tokens between the parenthesis that is next and its partner, both taken.
    pub(crate) fn parenthesized(&mut self) -> Option<&'t [Token<'a>]> {
        if !self.peek_symbol('(') {
            return None;
        }
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate() {
            match token.kind {
                Kind::Symbol('(') => depth += 1,
                Kind::Symbol(')') => {
                    depth -= 1;
                    if depth == 0 {
                        let inner = self.tokens.get(1..index)?;
                        self.tokens = self.tokens.get(index + 1..)?;
                        return Some(inner);
                    }
                }
                Kind::Word | Kind::Quoted(_) | Kind::Str | Kind::Number | Kind::Symbol(_) => {}
            }
        }
        None
    }
}

/// Splits at commas outside of parentheses.
pub(crate) fn split_commas<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut depth = 0_i32;
    let parts = tokens.split(|token| {
        match token.kind {
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') => depth -= 1,
            Kind::Symbol(',') if depth <= 0 => return true,
            Kind::Word | Kind::Quoted(_) | Kind::Str | Kind::Number | Kind::Symbol(_) => {}
        }
        false
    });
    parts.filter(|part| !part.is_empty()).collect()
}
