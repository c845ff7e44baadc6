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
    /// Character set, where the definition names one (column or table default).
    pub charset: Option<String>,
    /// Default value as written in the definition, if any.
    pub default: Option<String>,
}

/// The structure of a table: columns in the order in which row images carry them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Database name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// Columns in ordinal order.
    pub columns: Vec<Column>,
    /// Default character set of the table, if the definition names one.
    pub charset: Option<String>,
}

impl Column {
    /// A column that may be NULL and is no key.
    #[must_use]
    pub fn new(name: &str, type_text: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_text: type_text.to_owned(),
            is_key: false,
            nullable: true,
            charset: None,
            default: None,
        }
    }
}
