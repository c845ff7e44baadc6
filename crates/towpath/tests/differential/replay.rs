//! Entries, applied to rows as a consumer would.

use std::collections::{BTreeMap, VecDeque};

use towpath_protocol::entry::{Column, Entry, EventType};

use super::generate::{Alter, Change};

/// Column name to value.
type Row = BTreeMap<String, Option<String>>;

#[derive(Debug, Default)]
pub(crate) struct Replica {
    tables: BTreeMap<String, BTreeMap<i64, Row>>,
    pub(crate) changed: u64,
}

/// The text of a partial update, made to be asked of the server.
pub(crate) fn is_call(text: &str) -> bool {
    text.starts_with("JSON_")
}

/// A call on a column becomes one on the document, which may be a call itself.
fn on_document(call: &str, column: &str, document: &str) -> String {
    let document = if is_call(document) {
        document.to_owned()
    } else {
        let hex: String = document.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("CAST(CONVERT(x'{hex}' USING utf8mb4) AS JSON)")
    };
    call.replacen(&format!("({column},"), &format!("({document},"), 1)
}

/// The value of a column after a change: a call on a document is one on what the row had before.
pub(crate) fn value_after(column: &Column<'_>, old: Option<&Row>) -> Option<String> {
    let before = old.and_then(|old| old.get(column.name)).and_then(Option::as_ref);
    match (column.value, before) {
        (Some(call), Some(document))
            if column.mysql_type.eq_ignore_ascii_case("json") && is_call(call) =>
        {
            Some(on_document(call, column.name, document))
        }
        (value, _) => value.map(str::to_owned),
    }
}

impl Replica {
    pub(crate) fn has(&self, table: &str, id: i64) -> bool {
        self.tables.get(table).is_some_and(|rows| rows.contains_key(&id))
    }

    pub(crate) fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    pub(crate) fn rows(&self, table: &str) -> Vec<&Row> {
        self.tables[table].values().collect()
    }

    pub(crate) fn apply(&mut self, bytes: &[u8], changes: &mut VecDeque<Change>, context: &str) {
        let entry = Entry::parse(bytes).unwrap();
        let Some(change) = entry.row_change().unwrap() else { return };
        if change.is_ddl == Some(true) {
            let Some(next) = changes.pop_front() else {
                panic!("{context}: not expected: {}", change.sql)
            };
            self.restructure(next, &format!("{context}: {}", change.sql));
            return;
        }
        if change.rows.is_empty() {
            return;
        }
        let name = entry.header.table_name.unwrap();
        let at =
            format!("{context}: {}:{}", entry.header.logfile_name, entry.header.logfile_offset);
        let Some(table) = self.tables.get_mut(name) else { panic!("{at}: no table {name}") };
        for row in &change.rows {
            self.changed += 1;
            let old = id_of(&row.before).map(|id| {
                let old = table.remove(&id);
                old.unwrap_or_else(|| panic!("{at}: {name} has no row {id}: {row:?}"))
            });
            if change.event_type == EventType::Delete {
                continue;
            }
            let mut new = old.clone().unwrap_or_default();
            for column in &row.after {
                new.insert(column.name.to_owned(), value_after(column, old.as_ref()));
            }
            let id = new["id"].as_ref().unwrap().parse().unwrap();
            let was = table.insert(id, new);
            assert!(was.is_none(), "{at}: {name} has row {id} already");
        }
    }

    fn restructure(&mut self, change: Change, context: &str) {
        let missing = |name: &str| -> BTreeMap<i64, Row> { panic!("{context}: no table {name}") };
        match change {
            Change::Nothing => {}
            Change::Create(name) => {
                self.tables.insert(name, BTreeMap::new());
            }
            Change::Drop(name) => {
                self.tables.remove(&name).unwrap_or_else(|| missing(&name));
            }
            Change::Truncate(name) => {
                self.tables.insert(name, BTreeMap::new());
            }
            Change::Rename(pairs) => {
                for (from, to) in pairs {
                    let rows = self.tables.remove(&from).unwrap_or_else(|| missing(&from));
                    self.tables.insert(to, rows);
                }
            }
            Change::Alter(name, alters) => {
                let Some(rows) = self.tables.get_mut(&name) else {
                    panic!("{context}: no table {name}")
                };
                for row in rows.values_mut() {
                    for alter in &alters {
                        match alter {
                            Alter::Add(column, value) => {
                                row.insert(column.clone(), value.clone());
                            }
                            Alter::Drop(column) => {
                                row.remove(column);
                            }
                            Alter::Rename(from, to) => {
                                let value = row.remove(from).unwrap();
                                row.insert(to.clone(), value);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn id_of(image: &[Column<'_>]) -> Option<i64> {
    image.iter().find(|column| column.name == "id")?.value?.parse().ok()
}
