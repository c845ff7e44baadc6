//! Canal's field filter (server-runtime 6.4).

use std::collections::{HashMap, HashSet};

use thiserror::Error;

/// A field filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{piece}` is no part of a field filter: {reason}; expected schema.table:column/column")]
pub struct FieldFilterError {
    /// The part of the list.
    pub piece: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The columns of one table, by their names in upper case.
type Fields = HashSet<String>;

/// Which columns of which tables are delivered.
#[derive(Debug, Clone, Default)]
pub struct FieldFilter {
    white: HashMap<String, Fields>,
    black: HashMap<String, Fields>,
}

impl FieldFilter {
    /// Comma-separated `schema.table:column/column`: plain names, ignoring case. A table on the white
    /// list has only the columns that stand there; of other tables those on the black list are
    /// left out.
    ///
    /// # Errors
    /// [`FieldFilterError`] names the part that is none.
    pub fn new(white: &str, black: &str) -> Result<Self, FieldFilterError> {
        Ok(Self { white: parse(white)?, black: parse(black)? })
    }

    /// The rule for a table, if there is one.
    pub(crate) fn of_table(&self, schema: &str, table: &str) -> Option<FieldRule<'_>> {
        if self.white.is_empty() && self.black.is_empty() {
            return None;
        }
        let name = format!("{schema}.{table}").to_uppercase();
        let only = self.white.get(&name).map(FieldRule::Only);
        only.or_else(|| self.black.get(&name).map(FieldRule::Without))
    }
}

/// What is delivered of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FieldRule<'a> {
    Only(&'a Fields),
    Without(&'a Fields),
}

impl FieldRule<'_> {
    pub(crate) fn leaves_out(self, column: &str) -> bool {
        let column = column.to_uppercase();
        match self {
            Self::Only(fields) => !fields.contains(&column),
            Self::Without(fields) => fields.contains(&column),
        }
    }
}

fn parse(text: &str) -> Result<HashMap<String, Fields>, FieldFilterError> {
    let mut tables: HashMap<String, Fields> = HashMap::new();
    for piece in text.split(',').filter(|piece| !piece.trim().is_empty()) {
        let wrong = |reason| FieldFilterError { piece: piece.to_owned(), reason };
        let (table, columns) = piece.split_once(':').ok_or_else(|| wrong("it has no `:`"))?;
        let table = table.trim();
        if !table
            .split_once('.')
            .is_some_and(|(schema, name)| !schema.is_empty() && !name.is_empty())
        {
            return Err(wrong("before the `:` stands no schema.table"));
        }
        if columns.contains(':') {
            return Err(wrong("it has more than one `:`"));
        }
        let fields = columns.trim().split('/').map(str::to_uppercase).collect::<Vec<_>>();
        if fields.iter().any(String::is_empty) {
            return Err(wrong("a column has no name"));
        }
        // Of two parts for one table Canal takes the later one.
        tables.insert(table.to_uppercase(), fields.into_iter().collect());
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out<'a>(filter: &FieldFilter, table: &str, columns: &[&'a str]) -> Vec<&'a str> {
        let (schema, table) = table.split_once('.').unwrap();
        let rule = filter.of_table(schema, table);
        let is_out = |column: &&str| rule.is_some_and(|rule| rule.leaves_out(column));
        columns.iter().copied().filter(is_out).collect()
    }

    /// server-runtime 6.4: names and not patterns, any case, the white list before the black one, keys
    /// like all other columns.
    #[test]
    fn columns_are_chosen_as_canal_chooses_them() {
        let filter = FieldFilter::new("d.T:Id/name, ,d.u:a", "d.t:id,d.v:b/C,D.w:x,d.w:y").unwrap();
        let columns = ["id", "NAME", "a", "b", "c", "x", "y"];
        assert_eq!(left_out(&filter, "D.t", &columns), ["a", "b", "c", "x", "y"]);
        assert_eq!(left_out(&filter, "d.v", &columns), ["b", "c"]);
        assert_eq!(left_out(&filter, "d.w", &columns), ["y"]);
        assert_eq!(left_out(&filter, "d.other", &columns), [""; 0]);
        assert_eq!(left_out(&FieldFilter::default(), "d.t", &columns), [""; 0]);
    }

    #[test]
    fn a_part_that_is_none_is_named() {
        for (text, piece, reason) in [
            ("d.t:a,d.u", "d.u", "it has no `:`"),
            ("d.t:a:b", "d.t:a:b", "it has more than one `:`"),
            ("t:a", "t:a", "before the `:` stands no schema.table"),
            ("d.t:a//b", "d.t:a//b", "a column has no name"),
            ("d.t:", "d.t:", "a column has no name"),
        ] {
            let piece = piece.to_owned();
            let expected = FieldFilterError { piece, reason };
            assert_eq!(FieldFilter::new(text, "").unwrap_err(), expected);
            assert_eq!(FieldFilter::new("", text).unwrap_err(), expected);
        }
    }
}
