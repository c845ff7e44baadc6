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
    /// Character set, where the definition names one; empty where it is that of the database at some
    /// time, and `None` where it is the table's default.
    pub charset: Option<String>,
}

/// A cloud's server whose tables have a key of the server's own, the last column, if they have no primary
/// key: nothing but their rows shows it (entry-format 3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenKey {
    /// RDS for MySQL.
    Rds,
    /// PolarDB-X.
    PolarDbX,
}

impl HiddenKey {
    /// The column's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rds => "__#alibaba_rds_row_id#__",
            Self::PolarDbX => "_drds_implicit_id_",
        }
    }

    /// The column as Canal tells it.
    #[must_use]
    pub fn column(self) -> Column {
        Column { is_key: true, nullable: false, ..Column::new(self.name(), "bigint") }
    }
}

/// The structure of a table: columns in the order in which row images carry them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts of two families of servers")]
pub struct Table {
    /// Database name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// Columns in ordinal order.
    pub columns: Vec<Column>,
    /// Default character set of the table, if the definition names one.
    pub charset: Option<String>,
    /// MariaDB: the last two columns are those of implicit system versioning. They stay the last.
    pub has_implicit_versioning: bool,
    /// MySQL: a key on an expression was defined. Table maps may then have hidden columns behind
    /// these, whose values no row carries.
    pub has_functional_key: bool,
    /// The server adds this to tables without a primary key: table maps may then have one column more than
    /// these.
    pub hidden_key: Option<HiddenKey>,
}

impl Table {
    /// Notes what the server adds to tables, which is not one of its columns where the server shows it.
    #[must_use]
    pub fn served_with(mut self, hidden_key: Option<HiddenKey>) -> Self {
        let is_shown = |key: HiddenKey| {
            self.columns.split_last().is_some_and(|(last, rest)| {
                last.name.eq_ignore_ascii_case(key.name()) && !rest.iter().any(|c| c.is_key)
            })
        };
        if hidden_key.is_some_and(is_shown) {
            self.columns.pop();
        }
        self.hidden_key = hidden_key;
        self
    }
}

impl Column {
    /// Marks a type that is known only as it was made later by a statement.
    const UNSURE: char = '?';

    /// Makes the type one that may have been another one earlier.
    pub(crate) fn make_unsure(&mut self) {
        if !self.type_text.starts_with(Self::UNSURE) {
            self.type_text.insert(0, Self::UNSURE);
        }
    }

    /// The type that the column has later, if it is not known which one it has now; empty if there
    /// is no such column later.
    #[must_use]
    pub fn later_type(&self) -> Option<&str> {
        self.type_text.strip_prefix(Self::UNSURE)
    }

    /// The character set of its text, where the definitions tell it.
    #[must_use]
    pub fn charset_in<'a>(&'a self, table: &'a Table) -> Option<&'a str> {
        // Histories of earlier versions have the word DEFAULT.
        let is_named = |name: &&str| !name.is_empty() && !name.eq_ignore_ascii_case("default");
        self.charset.as_deref().or(table.charset.as_deref()).filter(is_named)
    }

    /// A column that may be NULL and is no key.
    #[must_use]
    pub fn new(name: &str, type_text: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_text: type_text.to_owned(),
            is_key: false,
            nullable: true,
            charset: None,
        }
    }
}
