use super::*;
use crate::lexer::ParseOptions;
use crate::statement::parse;

fn names(catalog: &Catalog, schema: &str, table: &str) -> Option<Vec<String>> {
    match catalog.get(schema, table) {
        Lookup::Known(table) => Some(table.columns.iter().map(|c| c.name.clone()).collect()),
        Lookup::Unknown => None,
    }
}

fn apply(catalog: &mut Catalog, sql: &str) {
    catalog.apply(&parse(sql, &ParseOptions::default()), Some("Shop"));
}

/// `lower_case_table_names = 2`: names are kept as they were written, and compared without case.
#[test]
fn names_are_kept_as_written_and_found_in_any_case() {
    let mut catalog = Catalog::new(NameCase::Insensitive);
    apply(&mut catalog, "CREATE TABLE Orders (Id INT, a INT)");
    apply(&mut catalog, "ALTER TABLE shop.ORDERS ADD b INT FIRST");
    assert_eq!(names(&catalog, "shop", "orders"), Some(["b", "Id", "a"].map(str::to_owned).into()));
    let kept: Vec<_> = catalog.tables().map(PackedTable::names).collect();
    assert_eq!(kept, [("Shop", "Orders")]);
    apply(&mut catalog, "CREATE TABLE IF NOT EXISTS ORDERS (z INT)");
    apply(&mut catalog, "RENAME TABLE orders TO Bills");
    assert_eq!(names(&catalog, "SHOP", "Orders"), None);
    assert_eq!(names(&catalog, "SHOP", "bills"), Some(["b", "Id", "a"].map(str::to_owned).into()));
    apply(&mut catalog, "DROP DATABASE shop");
    assert_eq!(catalog.tables().count(), 0);
}

/// 0: they are two tables.
#[test]
fn names_that_differ_in_case_are_two_tables() {
    let mut catalog = Catalog::new(NameCase::Sensitive);
    apply(&mut catalog, "CREATE TABLE a (x INT)");
    apply(&mut catalog, "CREATE TABLE A (y INT)");
    apply(&mut catalog, "DROP DATABASE shop");
    assert_eq!(names(&catalog, "Shop", "a"), Some(vec!["x".to_owned()]));
    assert_eq!(names(&catalog, "Shop", "A"), Some(vec!["y".to_owned()]));
    assert_eq!(names(&catalog, "shop", "a"), None);
}

/// The default character set of a table is that of the columns that come after it.
#[test]
fn columns_keep_their_character_set_when_the_default_changes() {
    let mut catalog = Catalog::new(NameCase::Sensitive);
    apply(&mut catalog, "CREATE TABLE a (x CHAR(9), y CHAR(9) COLLATE greek_bin) CHARSET latin2");
    apply(&mut catalog, "ALTER TABLE a CHARSET cp1251, ADD n NCHAR(3)");
    apply(&mut catalog, "ALTER TABLE a ADD z CHAR(9)");
    apply(&mut catalog, "CREATE TABLE b (x TEXT)");
    apply(&mut catalog, "ALTER TABLE b DEFAULT CHARSET gbk");
    let sets = |table: &str| match catalog.get("Shop", table) {
        Lookup::Known(table) => {
            let set = |c: &crate::table::Column| c.charset_in(&table).map(str::to_owned);
            table.columns.iter().map(set).collect::<Vec<_>>()
        }
        Lookup::Unknown => Vec::new(),
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(sets("a"), [some("latin2"), some("greek"), some("utf8mb3"), some("cp1251")]);
    assert_eq!(sets("b"), [None]);
}

/// A query behind the list of columns adds columns and changes their order.
#[test]
fn columns_of_a_table_made_from_a_query_are_not_guessed() {
    for query in ["TABLE u", "VALUES ROW(1, 2)", "AS VALUES (1, 2)", "(SELECT a, b FROM u)"] {
        let mut catalog = Catalog::default();
        apply(&mut catalog, &format!("CREATE TABLE t (b INT, a INT) {query}"));
        assert_eq!(names(&catalog, "Shop", "t"), None, "{query}");
    }
    let mut catalog = Catalog::default();
    let partitions = "PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (5))";
    apply(&mut catalog, &format!("CREATE TABLE t (b INT, a INT) {partitions}"));
    assert_eq!(names(&catalog, "Shop", "t"), Some(vec!["b".to_owned(), "a".to_owned()]));
}

/// Nobody told yet whether case counts: what depends on it is not known, until something tells.
#[test]
fn a_structure_that_depends_on_an_unknown_case_is_not_known() {
    let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let begun = || {
        let mut catalog = Catalog::new(NameCase::Unknown);
        apply(&mut catalog, "CREATE TABLE a (x INT)");
        apply(&mut catalog, "CREATE TABLE b (x INT)");
        apply(&mut catalog, "ALTER TABLE A CHANGE x y INT");
        catalog
    };
    let mut catalog = begun();
    assert_eq!(names(&catalog, "Shop", "b"), some(&["x"]));
    assert!(!catalog.is_undecided("Shop", "b") && catalog.is_undecided("Shop", "a"));
    assert_eq!(names(&catalog, "Shop", "a"), None);
    catalog.settle(NameCase::Insensitive);
    assert_eq!(names(&catalog, "Shop", "a"), some(&["y"]));
    assert_eq!(names(&catalog, "shop", "B"), some(&["x"]));
    catalog.settle(NameCase::Sensitive);
    assert_eq!(names(&catalog, "shop", "A"), some(&["y"]), "only the first word counts");

    let mut catalog = begun();
    catalog.settle_by("shop", "c");
    assert!(catalog.is_undecided("Shop", "a"), "names in lower case tell nothing");
    catalog.settle_by("shop", "C");
    assert_eq!(names(&catalog, "Shop", "a"), some(&["x"]));
    assert_eq!(names(&catalog, "Shop", "A"), None);

    // A table that is made beside one of the same letters.
    let mut catalog = begun();
    apply(&mut catalog, "CREATE TABLE IF NOT EXISTS B (z INT)");
    assert!(catalog.is_undecided("Shop", "B"));
    let mut catalog = begun();
    apply(&mut catalog, "CREATE TABLE B (z INT)");
    assert_eq!(names(&catalog, "Shop", "a"), some(&["x"]));
    assert_eq!(names(&catalog, "Shop", "b"), some(&["x"]));
    assert_eq!(names(&catalog, "Shop", "B"), some(&["z"]));

    // A table that is dropped under another name is perhaps still there.
    let mut catalog = begun();
    apply(&mut catalog, "DROP TABLE B");
    assert_eq!(names(&catalog, "Shop", "b"), None);
    catalog.settle(NameCase::Sensitive);
    assert_eq!(names(&catalog, "Shop", "b"), some(&["x"]));
}

/// MySQL 5.5 confuses databases whose names differ in case only; one that is gone says nothing of the other.
#[test]
fn a_database_that_is_gone_leaves_no_character_set() {
    let charset = |catalog: &Catalog, schema: &str| match catalog.get(schema, "t") {
        Lookup::Known(table) => table.charset,
        Lookup::Unknown => panic!("{schema}.t is not known"),
    };
    let begun = || {
        let mut catalog = Catalog::new(NameCase::Sensitive);
        apply(&mut catalog, "CREATE DATABASE a CHARSET utf8");
        apply(&mut catalog, "CREATE DATABASE A CHARSET latin1");
        catalog
    };
    let mut catalog = begun();
    catalog.keep_changes();
    apply(&mut catalog, "DROP DATABASE A");
    let gone = StructureChange::Database { schema: "A".to_owned(), charset: String::new() };
    assert_eq!(catalog.take_changes(), [gone]);
    apply(&mut catalog, "CREATE TABLE a.t (x TEXT)");
    assert_eq!(charset(&catalog, "a").as_deref(), Some("utf8"));
    // Made again, with a character set that nobody told.
    apply(&mut catalog, "ALTER DATABASE a CHARSET latin1");
    apply(&mut catalog, "CREATE DATABASE A");
    apply(&mut catalog, "CREATE TABLE A.t (x TEXT)");
    assert_eq!(charset(&catalog, "A"), None);

    // The default of the server, which nobody told.
    let mut catalog = begun();
    apply(&mut catalog, "ALTER DATABASE A CHARSET DEFAULT");
    apply(&mut catalog, "CREATE TABLE A.t (x TEXT)");
    assert_eq!(charset(&catalog, "A"), None);
}

/// The same word over and over leaves room for the others.
#[test]
fn a_name_behind_many_words_is_doubted() {
    for (words, is_other_kept) in [("x ".repeat(5_000), true), (numbered(5_000), false)] {
        let mut catalog = Catalog::default();
        apply(&mut catalog, "CREATE TABLE t (a INT)");
        apply(&mut catalog, "CREATE TABLE u (a INT)");
        apply(&mut catalog, &format!("FROBNICATE {words} t"));
        assert_eq!(names(&catalog, "Shop", "t"), None);
        assert_eq!(names(&catalog, "Shop", "u").is_some(), is_other_kept);
    }
}

fn numbered(count: u32) -> String {
    (0..count).map(|number| format!("w{number} ")).collect()
}

/// Lengths that no server has are numbers like others.
#[test]
fn the_largest_numbers_are_read() {
    let mut catalog = Catalog::default();
    let columns = format!("c VARCHAR({max}), d CHAR({max}), UNIQUE (c, d)", max = u64::MAX);
    apply(&mut catalog, &format!("CREATE TABLE t ({columns}) CHARSET utf8mb4"));
    let Lookup::Known(table) = catalog.get("Shop", "t") else { panic!("t is not known") };
    assert_eq!(table.hidden_hashes(), (0, 1));
    apply(&mut catalog, "ALTER TABLE t CONVERT TO CHARACTER SET binary");
    let Lookup::Known(table) = catalog.get("Shop", "t") else { panic!("t is not known") };
    assert_eq!(table.columns[1].type_text, format!("binary({})", u64::MAX));
}

#[test]
fn statements_inside_of_statements_take_no_stack() {
    let mut catalog = Catalog::default();
    apply(&mut catalog, "CREATE TABLE t (a INT)");
    let nested = "SET STATEMENT a = 1 FOR ".repeat(100_000);
    apply(&mut catalog, &format!("{nested} ALTER TABLE t ADD b INT"));
    assert_eq!(names(&catalog, "Shop", "t"), Some(["a", "b"].map(str::to_owned).into()));
}

/// Statements that no server takes cost no more than others of their length.
#[test]
fn hostile_statements_take_no_time() {
    let list = |item: &dyn Fn(u32) -> String, count: u32| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let open = "(".repeat(200_000);
    for (name, sql) in [
        ("open", format!("ALTER TABLE t ADD c INT {open}")),
        ("open index", format!("CREATE INDEX i ON t {open}")),
        ("closed", format!("CREATE INDEX i ON t {open}{}", ")".repeat(200_000))),
        ("columns", format!("CREATE TABLE t ({})", list(&|n| format!("c{n} TEXT"), 100_000))),
        ("unique", format!("CREATE TABLE t ({})", list(&|n| format!("c{n} TEXT UNIQUE"), 16_000))),
        ("added", format!("ALTER TABLE t {}", list(&|n| format!("ADD c{n} INT"), 16_000))),
        ("key", format!("ALTER TABLE t ADD PRIMARY KEY ({})", list(&|_| "a".to_owned(), 300_000))),
        ("keys", format!("ALTER TABLE t {}", list(&|n| format!("ADD UNIQUE k{n} (a)"), 16_000))),
        ("words", format!("FROBNICATE {}", numbered(300_000))),
        ("statements", "x;".repeat(100_000)),
    ] {
        let mut catalog = Catalog::default();
        apply(&mut catalog, "CREATE TABLE t (a INT)");
        let begun = std::time::Instant::now();
        apply(&mut catalog, &sql);
        let taken = begun.elapsed();
        println!("{name}: {taken:?}");
        assert!(taken.as_secs() < 20, "{name}: {taken:?}");
    }
}
