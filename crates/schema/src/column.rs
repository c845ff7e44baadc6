//! Column definitions.

use crate::cursor::{Cursor, split_commas};
use crate::lexer::{Kind, Token, Types};
use crate::table::Column;

/// Where a column goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Last,
    First,
    After(String),
}

/// What a definition says of keys beside the primary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKey {
    None,
    Unique,
}

/// A column with what its definition says beside its structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) column: Column,
    pub(crate) place: Place,
    /// A form that Canal's parser gives up on.
    pub(crate) exotic: bool,
    pub(crate) key: ColumnKey,
}

/// `name type attributes ... [FIRST | AFTER column]`.
pub(crate) fn definition(tokens: &[Token<'_>]) -> Option<Definition> {
    let mut c = Cursor::new(tokens);
    let name = c.field()?;
    let type_text = type_text(&mut c)?;
    let mut column = Column::new(&name, &type_text);
    let (mut place, mut exotic, mut collation_charset) = (Place::Last, false, None);
    let mut key = ColumnKey::None;
    let lower = column.type_text.to_ascii_lowercase();
    if ["nchar", "nvarchar", "national"].iter().any(|word| lower.starts_with(word)) {
        column.charset = Some("utf8mb3".to_owned());
    }
    if column.type_text.eq_ignore_ascii_case("serial") {
        // As the server shows the type: ids in the upper half are not negative.
        "bigint unsigned".clone_into(&mut column.type_text);
        column.nullable = false;
    }
    while let Some(token) = c.peek() {
        if ["partition", "remove"].iter().any(|word| token.is(word)) {
            // Behind the last clause of an ALTER there is no comma.
            break;
        } else if c.eat_all(&["primary", "key"]) || c.eat("key") {
            // `KEY` alone is short for the primary key, `UNIQUE KEY` was taken below.
            column.is_key = true;
            column.nullable = false;
        } else if c.eat("unique") {
            key = ColumnKey::Unique;
            c.eat("key");
        } else if c.eat_all(&["not", "null"]) || c.eat_any(&["auto_increment", "serial"]) {
            column.nullable = false;
        } else if c.eat("comment") {
            c.next();
        } else if c.eat("collate") {
            let collation = c.next().and_then(Token::text_value);
            collation_charset = collation.and_then(|name| charset_of(&name));
        } else if c.eat("ascii") {
            column.charset = Some("latin1".to_owned());
        } else if c.eat("unicode") {
            column.charset = Some("ucs2".to_owned());
        } else if c.eat("byte") {
            column.charset = Some("binary".to_owned());
        } else if c.eat("charset")
            || c.eat_all(&["character", "set"])
            || c.eat_all(&["char", "set"])
        {
            column.charset = c.next().and_then(Token::text_value);
        } else if c.eat("default") {
            skip_default(&mut c);
        } else if c.eat("references") {
            c.name();
            c.parenthesized();
        } else if c.eat("first") {
            place = Place::First;
        } else if c.eat("after") {
            place = Place::After(c.identifier()?);
        } else if token.is("invisible") || token.is("srid") || token.is("enforced") {
            exotic = true;
            c.next();
        } else if c.parenthesized().is_none() {
            c.next();
        }
    }
    column.charset = column.charset.or(collation_charset);
    Some(Definition { column, place, exotic, key })
}

/// The character set of a collation; MariaDB's `uca1400_ai_ci` is of any.
#[must_use]
pub fn charset_of(collation: &str) -> Option<String> {
    let name = collation.split('_').next().unwrap_or_default();
    (!name.eq_ignore_ascii_case("uca1400")).then(|| name.to_owned())
}

/// Steps over a default: its words could be taken for attributes.
fn skip_default(c: &mut Cursor<'_, '_>) {
    if c.parenthesized().is_some() {
        return;
    }
    let sign = c.next().is_some_and(|token| matches!(token.text, "-" | "+"));
    if sign {
        c.next();
    }
    // now(6), 1.5, b'1', _utf8'x', DEFAULT NEXT VALUE FOR s, DEFAULT s.nextval
    if c.eat_symbol('.') {
        c.next();
    }
    if c.peek().is_some_and(|token| token.kind == Kind::Str) {
        c.next();
    }
    c.parenthesized();
}

/// MariaDB: what stands before a type that is not to be read in the session's mode.
const OWN_SCHEMA: &str = "mariadb_schema.";

/// The usual words for a type as it was written in a session with this mode: dialects have other words, and
/// make other types of some.
pub(crate) fn usual_type(type_text: &str, types: Types) -> String {
    let (text, types) = match type_text.strip_prefix(OWN_SCHEMA) {
        Some(text) => (text, Types::default()),
        None => (type_text, types),
    };
    let end = text.find(['(', ' ']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let has_len = rest.starts_with('(');
    let usual = match name.to_ascii_lowercase().as_str() {
        // Oracle's words, in MariaDB; in no other dialect are they types.
        "raw" => "varbinary",
        "varchar2" => "varchar",
        "clob" => "longtext",
        "number" if has_len => "decimal",
        "number" => "double",
        "date" if types.oracle => "datetime",
        "blob" if types.oracle && !has_len => "longblob",
        "timestamp" if types.maxdb => "datetime",
        _ => name,
    };
    format!("{usual}{rest}")
}

/// Canal's `mysqlType` (entry-format 3.1).
fn type_text(c: &mut Cursor<'_, '_>) -> Option<String> {
    let first = c.next().filter(|token| token.kind == Kind::Word)?;
    let mut name = first.text.to_owned();
    let mut own = "";
    if c.eat_symbol('.') {
        // MariaDB: `mariadb_schema.date` is the type in any mode of the session.
        let word = c.next().filter(|token| token.kind == Kind::Word)?;
        let types = Types { oracle: first.is("oracle_schema"), maxdb: first.is("maxdb_schema") };
        let has_len = if c.peek_symbol('(') { "(" } else { "" };
        let usual = usual_type(&format!("{}{has_len}", word.text), types);
        name = usual.trim_end_matches('(').to_owned();
        own = OWN_SCHEMA;
    }
    let follow: &[&str] = match name.to_ascii_lowercase().as_str() {
        "double" => &["precision"],
        "character" | "char" => &["varying"],
        "nchar" => &["varying", "varchar", "varcharacter"],
        "national" => &["char", "character", "varchar", "varcharacter", "varying"],
        "long" => &["varchar", "varcharacter", "varbinary", "char", "character", "varying"],
        _ => &[],
    };
    while let Some(word) = c.peek().filter(|token| follow.iter().any(|w| token.is(w))) {
        if c.rest().get(1).is_some_and(|token| token.is("set")) {
            // `LONG CHARACTER SET latin1`
            break;
        }
        name.push(' ');
        name.push_str(word.text);
        c.next();
    }
    let mut text = name.clone();
    if let Some(inner) = c.parenthesized() {
        let args: Vec<String> = split_commas(inner)
            .iter()
            .map(|part| part.iter().map(|token| token.text).collect::<Vec<_>>().concat())
            .collect();
        let precise = args.len() == 1
            && args.iter().any(|arg| arg.parse::<u32>().is_ok_and(|digits| digits > 24));
        if name.eq_ignore_ascii_case("float") && precise {
            "double".clone_into(&mut text);
        }
        text.push('(');
        text.push_str(&args.join(","));
        text.push(')');
    }
    let (mut unsigned, mut zerofill) = (false, false);
    loop {
        if c.eat("unsigned") {
            unsigned = true;
        } else if c.eat("zerofill") {
            zerofill = true;
        } else if !c.eat_any(&["signed", "binary"]) {
            break;
        }
    }
    if unsigned || zerofill {
        text.push_str(" unsigned");
    }
    if zerofill {
        text.push_str(" zerofill");
    }
    text.insert_str(0, own);
    Some(text)
}
