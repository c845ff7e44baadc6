//! One step of an ALTER TABLE, applied to a structure.

use crate::column::Place;
use crate::statement::{Key, Step, add_versioning};
use crate::table::{Column, Table, UniqueKey, is_same_name};

/// Columns of a table, at most, on every server.
const COLUMNS_MAX: usize = 4096;

/// The structure after the steps of one statement; `None` when they do not fit it, or when only the
/// server knows. Names of existing columns are those before the statement, `AFTER` means those after
/// it: columns are dropped, then replaced where they are, then moved and added in order.
pub(crate) fn apply_steps(table: &Table, steps: &[Step]) -> Option<Table> {
    if steps.contains(&Step::Unknown) {
        return None;
    }
    let before = table;
    let mut table = before.clone();
    if steps.iter().any(|step| matches!(step, Step::Charset(_))) {
        // Those that are added or defined anew take the new one.
        pin_charsets(&mut table);
    }
    let hidden = match table.has_implicit_versioning {
        true => table.columns.split_off(table.columns.len().checked_sub(2)?),
        false => Vec::new(),
    };
    for step in steps {
        drop_step(&mut table.columns, step)?;
    }
    let mut moved = Vec::new();
    replace_columns(&mut table.columns, steps, &mut moved)?;
    let mut moved = moved.into_iter();
    for step in steps {
        insert_step(&mut table.columns, step, &mut moved)?;
    }
    keep_key(before, &mut table.columns, steps);
    table.columns.extend(hidden);
    for step in steps {
        key_step(&mut table.unique_keys, step);
    }
    add_keys(&mut table.unique_keys, steps);
    table.forget_short_keys();
    let had_key = before.columns.iter().any(|column| column.is_key);
    let has_period = steps.iter().any(|step| matches!(step, Step::Period(..)));
    for step in steps {
        // The key that is there keeps it out, even if it is dropped by the same statement.
        let is_kept_out = had_key && matches!(step, Step::PrimaryKey { if_not_exists: true, .. });
        // The period names columns of its own.
        let has_own = has_period && *step == Step::AddVersioning;
        if !is_kept_out && !has_own {
            table_step(&mut table, step)?;
        }
    }
    Some(table)
}

/// The primary key knows its columns by name: one that is dropped and added by the same statement stays
/// in it.
fn keep_key(before: &Table, columns: &mut [Column], steps: &[Step]) {
    if steps.contains(&Step::DropPrimaryKey) {
        return;
    }
    for step in steps {
        if let Step::Drop { name, .. } = step
            && let Some(index) = position(&before.columns, name)
            && before.columns.get(index).is_some_and(|column| column.is_key)
            && let Some(column) = position(columns, name).and_then(|at| columns.get_mut(at))
        {
            column.is_key = true;
            column.nullable = false;
        }
    }
}

/// What becomes of the UNIQUE keys that are there.
fn key_step(keys: &mut Vec<UniqueKey>, step: &Step) {
    if let Step::DropKey(name) = step {
        keys.retain(|key| !is_same_name(&key.name, name));
    } else if let Step::RenameKey { old, new } = step {
        for key in keys.iter_mut().filter(|key| is_same_name(&key.name, old)) {
            new.clone_into(&mut key.name);
        }
    } else if let Step::Drop { name, .. } = step {
        keys.retain_mut(|key| {
            let was_known = !key.parts.is_empty();
            key.parts.retain(|part| !is_same_name(&part.column, name));
            was_known != key.parts.is_empty()
        });
    } else if let Step::RenameColumn { old, new, .. } = step {
        rename_parts(keys, old, new);
    } else if let Step::Change { old, column, .. } = step {
        rename_parts(keys, old, &column.name);
    }
}

fn rename_parts(keys: &mut [UniqueKey], old: &str, new: &str) {
    for part in keys.iter_mut().flat_map(|key| &mut key.parts) {
        if is_same_name(&part.column, old) {
            new.clone_into(&mut part.column);
        }
    }
}

fn add_keys(keys: &mut Vec<UniqueKey>, steps: &[Step]) {
    for step in steps {
        let Step::AddKey { key, if_not_exists } = step else { continue };
        let names: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
        let is_there = names.iter().any(|name| is_same_name(name, key.name()));
        if let Key::Unique(key) = key.clone().named(&names)
            && !(*if_not_exists && is_there)
        {
            keys.push(key);
        }
    }
}

fn drop_step(columns: &mut Vec<Column>, step: &Step) -> Option<()> {
    if let Step::Drop { name, if_exists } = step {
        let Some(index) = position(columns, name) else { return if_exists.then_some(()) };
        columns.remove(index);
    } else if *step == Step::DropPrimaryKey {
        for column in columns.iter_mut() {
            column.is_key = false;
        }
    }
    Some(())
}

/// Replaces the columns that stay where they are, and takes out those that move; absent: a column
/// that need not exist.
fn replace_columns(
    columns: &mut Vec<Column>,
    steps: &[Step],
    moved: &mut Vec<Option<Column>>,
) -> Option<()> {
    let before = columns.clone();
    let mut taken = Vec::new();
    for step in steps {
        if let Step::Change { old, column, place, if_exists } = step {
            let index = position(&before, old);
            if index.is_none() && !if_exists {
                return None;
            }
            let changed = index.and_then(|index| {
                let mut column = column.clone();
                // The key belongs to the table, not to the column's definition.
                column.is_key |= before.get(index)?.is_key;
                column.nullable &= !column.is_key;
                Some(column)
            });
            if *place != Place::Last {
                taken.extend(index);
                moved.push(changed);
            } else if let (Some(index), Some(column)) = (index, changed) {
                *columns.get_mut(index)? = column;
            }
        } else if let Step::RenameColumn { old, new, if_exists } = step {
            match position(&before, old) {
                Some(index) => new.clone_into(&mut columns.get_mut(index)?.name),
                None if *if_exists => {}
                None => return None,
            }
        }
    }
    taken.sort_unstable();
    for index in taken.into_iter().rev() {
        columns.remove(index);
    }
    Some(())
}

fn insert_step(
    columns: &mut Vec<Column>,
    step: &Step,
    moved: &mut impl Iterator<Item = Option<Column>>,
) -> Option<()> {
    let (column, place) = if let Step::Add { column, if_not_exists, place } = step {
        if position(columns, &column.name).is_some() {
            return if_not_exists.then_some(());
        }
        (column.clone(), place)
    } else if let Step::Change { place, .. } = step
        && *place != Place::Last
    {
        let Some(column) = moved.next()? else { return Some(()) };
        (column, place)
    } else {
        return Some(());
    };
    if columns.len() >= COLUMNS_MAX {
        return None;
    }
    let index = match place {
        Place::Last => columns.len(),
        // A primary key that the server made stays before it, if it is still that.
        Place::First if columns.first().is_some_and(is_generated_key) => return None,
        Place::First => 0,
        Place::After(name) => position(columns, name)? + 1,
    };
    columns.insert(index.min(columns.len()), column);
    Some(())
}

/// MySQL: `sql_generate_invisible_primary_key`.
fn is_generated_key(column: &Column) -> bool {
    column.is_key
        && column.name == "my_row_id"
        && column.type_text.eq_ignore_ascii_case("bigint unsigned")
}

/// `None` when the step does not fit the structure.
fn table_step(table: &mut Table, step: &Step) -> Option<()> {
    match step {
        Step::Add { .. }
        | Step::Change { .. }
        | Step::Drop { .. }
        | Step::RenameColumn { .. }
        | Step::DropPrimaryKey
        | Step::AddKey { .. }
        | Step::DropKey(_)
        | Step::RenameKey { .. }
        | Step::RenameTo(_) => {}
        Step::Period(_, names) => {
            for name in names {
                let index = position(&table.columns, name)?;
                table.columns.get_mut(index)?.nullable = false;
            }
        }
        Step::PrimaryKey { names, .. } => {
            for name in names {
                let index = position(&table.columns, name)?;
                let column = table.columns.get_mut(index)?;
                column.is_key = true;
                column.nullable = false;
            }
        }
        Step::Charset(charset) => {
            table.charset = Some(charset.clone()).filter(|name| !name.is_empty());
        }
        Step::Convert(charset) => convert(table, charset.as_deref()),
        Step::AddVersioning if table.has_implicit_versioning => return None,
        Step::AddVersioning => add_versioning(table),
        Step::DropVersioning if table.has_implicit_versioning => {
            table.columns.truncate(table.columns.len().checked_sub(2)?);
            table.has_implicit_versioning = false;
        }
        Step::DropVersioning => {}
        Step::FunctionalKey => table.has_functional_key = true,
        Step::Unknown => return None,
    }
    Some(())
}

/// Columns keep the character set that they have when the table's default changes.
pub(crate) fn pin_charsets(table: &mut Table) {
    for column in &mut table.columns {
        if column.charset.is_none() && column.is_character() {
            column.charset = Some(table.charset.clone().unwrap_or_default());
        }
    }
}

pub(crate) fn position(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| is_same_name(&column.name, name))
}

/// Bytes of the longest character of a character set.
fn char_len(charset: &str) -> Option<u8> {
    let name = charset.to_ascii_lowercase();
    Some(match name.as_str() {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
        "utf8" | "utf8mb3" | "ujis" | "eucjpms" => 3,
        "big5" | "gb2312" | "gbk" | "sjis" | "cp932" | "euckr" | "ucs2" => 2,
        "latin1" | "latin2" | "latin5" | "latin7" | "ascii" | "binary" | "cp1250" | "cp1251"
        | "cp1256" | "cp1257" | "cp850" | "cp852" | "cp866" | "koi8r" | "koi8u" | "greek"
        | "hebrew" | "hp8" | "dec8" | "swe7" | "armscii8" | "geostd8" | "keybcs2" | "macce"
        | "macroman" | "tis620" => 1,
        _ => return None,
    })
}

/// `CONVERT TO CHARACTER SET`. A text type grows to the next one when its characters become longer. Where
/// that is not known the table map tells its size.
fn convert(table: &mut Table, charset: Option<&str>) {
    let before = table.charset.clone();
    let new_len = charset.and_then(char_len);
    let is_binary = charset.is_some_and(|name| name.eq_ignore_ascii_case("binary"));
    for column in &mut table.columns {
        let is_json = column.type_text.eq_ignore_ascii_case("json");
        // MySQL's JSON has no character set, MariaDB's is a LONGTEXT.
        if !column.is_character() && !is_json {
            continue;
        }
        if is_json && column.charset.is_none() {
            column.charset = Some("utf8mb4".to_owned());
        }
        let old_len = column.charset.as_deref().or(before.as_deref()).and_then(char_len);
        if is_binary {
            make_binary(column, old_len.unwrap_or(1));
        } else if let (Some(old), Some(new)) = (old_len, new_len)
            && old < new
        {
            grow(column);
        }
        column.charset = Some(charset.unwrap_or_default().to_owned());
    }
    table.charset = charset.map(ToOwned::to_owned);
}

/// Makes a text the next larger one.
fn grow(column: &mut Column) {
    let larger = match column.type_text.to_ascii_lowercase().as_str() {
        "tinytext" => "text",
        "text" => "mediumtext",
        "mediumtext" => "longtext",
        _ => return,
    };
    larger.clone_into(&mut column.type_text);
}

/// Makes a string type the one of the same bytes without a character set.
fn make_binary(column: &mut Column, char_len: u8) {
    let lower = column.type_text.to_ascii_lowercase();
    let (name, args) = match lower.split_once('(') {
        Some((name, args)) => (name, args.trim_end_matches(')').parse::<u64>().ok()),
        None => (lower.as_str(), None),
    };
    let bytes = args.unwrap_or(1).saturating_mul(u64::from(char_len));
    let is_varying = name.contains("var");
    column.type_text = match name.trim() {
        "tinytext" => "tinyblob".to_owned(),
        "text" => "blob".to_owned(),
        "longtext" | "json" | "clob" => "longblob".to_owned(),
        "enum" | "set" => return,
        "mediumtext" => "mediumblob".to_owned(),
        name if name.starts_with("long") => "mediumblob".to_owned(),
        _ if is_varying => format!("varbinary({bytes})"),
        _ => format!("binary({bytes})"),
    };
}
