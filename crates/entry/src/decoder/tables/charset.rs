//! Character sets of text that neither the table map nor the statements tell.

use towpath_binlog::ColumnKind;
use towpath_schema::{Column, StructureAnswer, Table};

use crate::plan::is_text;

/// Indexes of the columns with text of which it is not told. `collations`: of each column, where the map
/// tells it.
pub(super) fn untold(
    table: &Table,
    kinds: &[ColumnKind],
    collations: &[Option<u64>],
) -> Vec<usize> {
    let columns = table.columns.iter().zip(kinds).enumerate();
    let untold = columns.filter(|(index, (column, kind))| {
        collations.get(*index).copied().flatten().is_none()
            && column.charset_in(table).is_none()
            && is_text(**kind, column)
    });
    untold.map(|(index, _)| index).collect()
}

/// States those that the answer tells: of the column of that name, else the default of the database, else
/// what the stream says that it may be.
pub(super) fn state(table: &mut Table, untold: &[usize], answer: &StructureAnswer) {
    let default = answer.default_charset.as_deref();
    // What the database has now says nothing of a table that was made with the default of before.
    let told = |column: &Column, table: &Table| {
        let default = default.filter(|_| column.has_default_in(table));
        default.or(column.guessed_charset_in(table)).map(ToOwned::to_owned)
    };
    let else_told: Vec<Option<String>> =
        table.columns.iter().map(|column| told(column, table)).collect();
    for index in untold {
        let Some(column) = table.columns.get_mut(*index) else { continue };
        let found = answer.candidates.iter().find_map(|candidate| {
            let same = |c: &&Column| is_same_name(&c.name, &column.name);
            candidate.columns.iter().find(same)?.charset_in(candidate)
        });
        let else_told = else_told.get(*index).cloned().flatten();
        if let Some(charset) = found.map(ToOwned::to_owned).or(else_told) {
            column.charset = Some(charset);
        }
    }
    // What is behind a question mark stays, if nobody knows better.
    let is_open = table.charset.as_ref().is_none_or(|name| name.starts_with('?'));
    if !untold.is_empty() && is_open {
        let found = answer.candidates.iter().find_map(|candidate| candidate.charset.as_deref());
        let default = default.filter(|_| table.has_default());
        table.charset = found.or(default).map(ToOwned::to_owned).or(table.charset.take());
    }
}

fn is_same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}
