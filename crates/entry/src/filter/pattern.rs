//! One regular expression of a filter, in the dialect of Canal's matcher (jakarta-oro's Perl 5):
//! read into a tree.

use std::sync::Arc;

use super::FilterError;

/// Groups inside of groups: reading and compiling are recursive.
const DEPTH_MAX: u32 = 100;

/// Items of a class that are looked at in the time of one step.
const ITEMS_OF_A_STEP: usize = 8;

/// The largest number in `{n,m}`.
const COUNT_MAX: u32 = 65_535;

/// A pattern. Characters are in lower case: subjects are, and case does not count.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Char(char),
    /// `.`: newlines count as characters.
    Any,
    Class(Arc<Class>),
    Concat(Vec<Self>),
    Alternatives(Vec<Self>),
    Repeat {
        child: Box<Self>,
        min: u32,
        max: Option<u32>,
        is_greedy: bool,
    },
    Group {
        number: u32,
        child: Box<Self>,
    },
    /// `(?=...)`, or `(?!...)` if negative.
    Ahead {
        is_negative: bool,
        child: Box<Self>,
    },
    Assert(Assertion),
    /// What a group has matched, once more.
    Again(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertion {
    Start,
    /// The end, or a newline at the end.
    End,
    Boundary,
    NoBoundary,
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) is_negated: bool,
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Range(char, char),
    Kind { kind: Kind, is_negated: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Digit,
    Word,
    Space,
    Letter,
    Alphanumeric,
    Lower,
    Upper,
    Punctuation,
    Control,
    Graphic,
    Print,
    HexDigit,
    Blank,
}

impl Kind {
    fn holds(self, c: char) -> bool {
        match self {
            Self::Digit => c.is_numeric(),
            Self::Word => c.is_alphanumeric() || c == '_',
            Self::Space => c.is_whitespace(),
            Self::Letter => c.is_alphabetic(),
            Self::Alphanumeric => c.is_alphanumeric(),
            // Case does not count.
            Self::Lower | Self::Upper => c.is_lowercase() || c.is_uppercase(),
            Self::Punctuation => c.is_ascii_punctuation(),
            Self::Control => c.is_control(),
            Self::Graphic => !c.is_control() && !c.is_whitespace(),
            Self::Print => !c.is_control(),
            Self::HexDigit => c.is_ascii_hexdigit(),
            Self::Blank => c == ' ' || c == '\t',
        }
    }

    fn of_posix(name: &str) -> Option<Self> {
        Some(match name {
            "alpha" => Self::Letter,
            "alnum" => Self::Alphanumeric,
            "digit" => Self::Digit,
            "word" => Self::Word,
            "space" => Self::Space,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "punct" => Self::Punctuation,
            "cntrl" => Self::Control,
            "graph" => Self::Graphic,
            "print" => Self::Print,
            "xdigit" => Self::HexDigit,
            "blank" => Self::Blank,
            _ => return None,
        })
    }
}

impl Class {
    /// Steps for which a look at it counts: usual classes are one.
    pub(super) fn cost(&self) -> u32 {
        u32::try_from(self.items.len() / ITEMS_OF_A_STEP).map_or(u32::MAX, |more| more + 1)
    }

    pub(super) fn holds(&self, c: char) -> bool {
        let upper = one(c.to_uppercase(), c);
        let is_in = self.items.iter().any(|item| match *item {
            Item::Range(from, to) => (from..=to).contains(&c) || (from..=to).contains(&upper),
            Item::Kind { kind, is_negated } => kind.holds(c) != is_negated,
        });
        is_in != self.is_negated
    }
}

/// The character that a mapping gives, if it gives a single one.
fn one(mut mapped: impl Iterator<Item = char>, else_this: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(c), None) => c,
        _ => else_this,
    }
}

fn lower(c: char) -> char {
    one(c.to_lowercase(), c)
}

/// Whether `c` is part of a word.
pub(super) fn is_word(c: char) -> bool {
    Kind::Word.holds(c)
}

/// What was read of a pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) node: Node,
    /// Groups that a back-reference could name.
    pub(super) groups: u32,
    /// The highest one that a back-reference names; 0: there is no back-reference.
    highest_reference: u32,
    /// An escaped backslash: only a name with a backslash in it would match.
    pub(super) has_backslash: bool,
    /// The first escaped letter or the like that stands for itself.
    pub(super) idle_escape: Option<char>,
}

impl Pattern {
    pub(super) const fn has_references(&self) -> bool {
        self.highest_reference > 0
    }

    /// Whether it has alternatives that are in no group.
    pub(super) fn is_split(&self) -> bool {
        matches!(self.node, Node::Alternatives(_))
    }

    /// The same from the beginning of a name to its end.
    pub(super) fn anchored(self) -> Self {
        let (start, end) = (Node::Assert(Assertion::Start), Node::Assert(Assertion::End));
        Self { node: Node::Concat(vec![start, self.node, end]), ..self }
    }
}

/// Reads `text`.
pub(super) fn parse(text: &str) -> Result<Pattern, FilterError> {
    let mut parser = Parser {
        text,
        rest: text,
        depth: 0,
        groups: 0,
        highest_reference: 0,
        has_backslash: false,
        idle_escape: None,
    };
    let node = parser.alternatives()?;
    if !parser.rest.is_empty() {
        return Err(parser.error("a `)` closes nothing"));
    }
    if parser.highest_reference > parser.groups {
        return Err(parser.error("a back-reference names a group that is not there"));
    }
    Ok(Pattern {
        node,
        groups: parser.groups,
        highest_reference: parser.highest_reference,
        has_backslash: parser.has_backslash,
        idle_escape: parser.idle_escape,
    })
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: u32,
    groups: u32,
    highest_reference: u32,
    has_backslash: bool,
    idle_escape: Option<char>,
}

/// What a backslash and what follows it mean.
enum Escape {
    Char(char),
    Kind(Item),
    Node(Node),
}

impl Parser<'_> {
    fn error(&self, reason: &str) -> FilterError {
        FilterError::syntax(self.text, self.text.len() - self.rest.len(), reason)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn take(&mut self, prefix: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(prefix) else { return false };
        self.rest = rest;
        true
    }

    fn alternatives(&mut self) -> Result<Node, FilterError> {
        let mut all = vec![self.concat()?];
        while self.take("|") {
            all.push(self.concat()?);
        }
        match all.pop() {
            Some(only) if all.is_empty() => Ok(only),
            last => Ok(Node::Alternatives(all.into_iter().chain(last).collect())),
        }
    }

    fn concat(&mut self) -> Result<Node, FilterError> {
        let mut parts = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            if let Some(atom) = self.atom()? {
                parts.push(self.repeated(atom)?);
            }
        }
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            last => Ok(Node::Concat(parts.into_iter().chain(last).collect())),
        }
    }

    /// `None` for what means nothing, as a comment.
    fn atom(&mut self) -> Result<Option<Node>, FilterError> {
        if self.counts().is_some() {
            return Err(self.error("a repetition follows nothing"));
        }
        let Some(c) = self.next() else { return Ok(None) };
        Ok(Some(match c {
            '*' | '+' | '?' => return Err(self.error("a repetition follows nothing")),
            '.' => Node::Any,
            '^' => Node::Assert(Assertion::Start),
            '$' => Node::Assert(Assertion::End),
            '[' => Node::Class(Arc::new(self.class()?)),
            '(' => return self.group(),
            '\\' => match self.escape(false)? {
                Escape::Char(c) => Node::Char(lower(c)),
                Escape::Kind(item) => {
                    Node::Class(Arc::new(Class { is_negated: false, items: vec![item] }))
                }
                Escape::Node(node) => node,
            },
            c => Node::Char(lower(c)),
        }))
    }

    fn group(&mut self) -> Result<Option<Node>, FilterError> {
        let mut number = None;
        let mut ahead = None;
        if self.take("?#") {
            while let Some(c) = self.next() {
                if c == ')' {
                    return Ok(None);
                }
            }
            return Err(self.error("a comment does not end"));
        } else if self.take("?=") {
            ahead = Some(false);
        } else if self.take("?!") {
            ahead = Some(true);
        } else if self.take("?:") {
        } else if self.take("?") {
            // Both are in force anyway.
            self.rest = self.rest.trim_start_matches(['i', 's']);
            if self.take(")") {
                return Ok(None);
            }
            return Err(self.error(
                "after `(?` can stand `:`, `=`, `!`, `#`, `i` and `s`, as in Canal; look-behind, names and \
                 other switches cannot",
            ));
        } else {
            self.groups += 1;
            number = Some(self.groups);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("groups are nested too deeply"));
        }
        let child = Box::new(self.alternatives()?);
        self.depth -= 1;
        if !self.take(")") {
            return Err(self.error("a `(` is not closed"));
        }
        Ok(Some(match (ahead, number) {
            (Some(is_negative), _) => Node::Ahead { is_negative, child },
            (None, Some(number)) => Node::Group { number, child },
            (None, None) => *child,
        }))
    }

    /// `{n}`, `{n,}` or `{n,m}` at the front: its numbers and its length. Any other brace is a character.
    fn counts(&self) -> Option<(u32, Option<u32>, usize)> {
        let inner = self.rest.strip_prefix('{')?;
        let end = inner.find(|c: char| !c.is_ascii_digit() && c != ',')?;
        let (inner, behind) = inner.split_at_checked(end)?;
        if !behind.starts_with('}') {
            return None;
        }
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (min, max) = match inner.split_once(',') {
            None => (number(inner)?, Some(number(inner)?)),
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        Some((min, max, end + 2))
    }

    fn repeated(&mut self, atom: Node) -> Result<Node, FilterError> {
        let (min, max) = if let Some((min, max, len)) = self.counts() {
            self.rest = self.rest.get(len..).unwrap_or_default();
            if min > COUNT_MAX || max.is_some_and(|max| max > COUNT_MAX) {
                return Err(self.error("a repetition counts to 65535 at most"));
            }
            if max.is_some_and(|max| max < min) {
                return Err(self.error("a repetition ends below its beginning"));
            }
            (min, max)
        } else if self.take("*") {
            (0, None)
        } else if self.take("+") {
            (1, None)
        } else if self.take("?") {
            (0, Some(1))
        } else {
            return Ok(atom);
        };
        let is_greedy = !self.take("?");
        if self.rest.starts_with(['*', '+', '?']) || self.counts().is_some() {
            return Err(self.error("a repetition follows a repetition"));
        }
        Ok(Node::Repeat { child: Box::new(atom), min, max, is_greedy })
    }

    fn class(&mut self) -> Result<Class, FilterError> {
        let is_negated = self.take("^");
        let mut items = Vec::new();
        let mut is_first = true;
        loop {
            if self.rest.is_empty() {
                return Err(self.error("a `[` is not closed"));
            }
            if !std::mem::take(&mut is_first) && self.take("]") {
                return Ok(Class { is_negated, items });
            }
            if let Some(item) = self.posix() {
                items.push(item);
                continue;
            }
            let from = match self.class_char()? {
                Escape::Char(c) => c,
                Escape::Kind(item) => {
                    items.push(item);
                    continue;
                }
                Escape::Node(_) => return Err(self.error("this escape is no character")),
            };
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if !is_range {
                items.push(Item::Range(from, from));
                continue;
            }
            let before = self.rest;
            self.take("-");
            match self.class_char()? {
                Escape::Char(to) if to >= from => items.push(Item::Range(from, to)),
                Escape::Char(_) => return Err(self.error("a range ends below its beginning")),
                // `[a-\d]`: a hyphen.
                Escape::Kind(_) | Escape::Node(_) => {
                    self.rest = before;
                    self.take("-");
                    items.extend([Item::Range(from, from), Item::Range('-', '-')]);
                }
            }
        }
    }

    fn posix(&mut self) -> Option<Item> {
        let inner = self.rest.strip_prefix("[:")?;
        let end = inner.find(|c: char| !c.is_ascii_lowercase() && c != '^')?;
        let (name, rest) = inner.split_at_checked(end)?;
        let rest = rest.strip_prefix(":]")?;
        let (is_negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
        let kind = Kind::of_posix(name)?;
        self.rest = rest;
        Some(Item::Kind { kind, is_negated })
    }

    fn class_char(&mut self) -> Result<Escape, FilterError> {
        match self.next() {
            Some('\\') => self.escape(true),
            Some(c) => Ok(Escape::Char(c)),
            None => Err(self.error("a `[` is not closed")),
        }
    }

    fn escape(&mut self, in_class: bool) -> Result<Escape, FilterError> {
        let Some(c) = self.next() else {
            return Err(self.error("a backslash ends the pattern"));
        };
        let kind = |kind, is_negated| Escape::Kind(Item::Kind { kind, is_negated });
        let assertion = |assertion| Escape::Node(Node::Assert(assertion));
        Ok(match c {
            'd' => kind(Kind::Digit, false),
            'D' => kind(Kind::Digit, true),
            'w' => kind(Kind::Word, false),
            'W' => kind(Kind::Word, true),
            's' => kind(Kind::Space, false),
            'S' => kind(Kind::Space, true),
            'b' if in_class => Escape::Char('\u{8}'),
            'b' => assertion(Assertion::Boundary),
            'B' if !in_class => assertion(Assertion::NoBoundary),
            'A' if !in_class => assertion(Assertion::Start),
            'Z' if !in_class => assertion(Assertion::End),
            'G' if !in_class => assertion(Assertion::Start),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            't' => Escape::Char('\t'),
            'f' => Escape::Char('\u{c}'),
            'a' => Escape::Char('\u{7}'),
            'e' => Escape::Char('\u{1b}'),
            'x' => self.hex()?,
            'c' => match self.next() {
                Some(c) if c.is_ascii() => {
                    Escape::Char(char::from(u8::try_from(u32::from(c)).unwrap_or(0) & 0x1f))
                }
                _ => return Err(self.error("after `\\c` stands no letter")),
            },
            '0'..='9' => self.number(c, in_class)?,
            other => {
                self.has_backslash |= other == '\\';
                if other.is_alphanumeric() {
                    self.idle_escape = self.idle_escape.or(Some(other));
                }
                Escape::Char(other)
            }
        })
    }

    fn hex(&mut self) -> Result<Escape, FilterError> {
        let digits = self.rest.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
        let (text, rest) = self.rest.split_at_checked(digits).unwrap_or_default();
        self.rest = rest;
        let code = u32::from_str_radix(text, 16).unwrap_or(0);
        char::from_u32(code).map(Escape::Char).ok_or_else(|| self.error("no character"))
    }

    /// A back-reference, or a character by its number in base 8.
    fn number(&mut self, first: char, in_class: bool) -> Result<Escape, FilterError> {
        let more = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let text = format!("{first}{}", self.rest.get(..more).unwrap_or_default());
        let number: u32 = text.parse().unwrap_or(u32::MAX);
        let is_reference = first != '0' && (number < 10 || number <= self.groups);
        if is_reference && !in_class {
            self.rest = self.rest.get(more..).unwrap_or_default();
            self.highest_reference = self.highest_reference.max(number);
            return Ok(Escape::Node(Node::Again(number)));
        }
        let octal: String = text.chars().take(3).take_while(|c| ('0'..='7').contains(c)).collect();
        if octal.is_empty() {
            return Err(self.error("no character"));
        }
        self.rest = self.rest.get(octal.len() - 1..).unwrap_or_default();
        let code = u32::from_str_radix(&octal, 8).unwrap_or(0);
        char::from_u32(code).map(Escape::Char).ok_or_else(|| self.error("no character"))
    }
}
