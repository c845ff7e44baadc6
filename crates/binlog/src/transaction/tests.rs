use super::*;

fn role(sql: &str) -> StatementRole {
    StatementRole::of(sql.as_bytes())
}

#[test]
fn statements_have_their_roles() {
    let name = |text: &str| text.to_owned();
    for (sql, expected) in [
        ("BEGIN", StatementRole::Begin),
        ("begin work", StatementRole::Begin),
        ("BEGIN NOT ATOMIC SELECT 1; END", StatementRole::Other),
        ("COMMIT", StatementRole::Commit),
        ("ROLLBACK", StatementRole::Rollback),
        ("ROLLBACK /* added by mysqlbinlog */", StatementRole::Rollback),
        ("rollback work", StatementRole::Rollback),
        ("ROLLBACK TO `s`", StatementRole::RollbackTo(name("s"))),
        ("/* a */ rollback WORK /*!50000 to */ savepoint S", StatementRole::RollbackTo(name("s"))),
        ("ROLLBACK TO savepoint", StatementRole::RollbackTo(name("savepoint"))),
        ("SAVEPOINT `a``B`", StatementRole::Savepoint(name("a`b"))),
        ("savepoint \"x y\"", StatementRole::Savepoint(name("x y"))),
        ("XA START X'61',X'',1", StatementRole::XaStart),
        ("XA END X'61',X'',1", StatementRole::XaEnd),
        ("XA COMMIT X'61',X'',1", StatementRole::XaCommit),
        ("XA ROLLBACK X'61',X'',1", StatementRole::XaRollback),
        ("CREATE TABLE `t` (\n  `a` int\n) START TRANSACTION", StatementRole::OpensTransaction),
        ("CREATE TABLE t (a int) COMMENT 'start transaction'", StatementRole::Other),
        ("CREATE TABLE rollback (a int)", StatementRole::Other),
        ("", StatementRole::Other),
        ("`", StatementRole::Other),
        ("SAVEPOINT", StatementRole::Other),
    ] {
        assert_eq!(role(sql), expected, "{sql}");
    }
}

#[test]
fn a_savepoint_takes_back_what_lies_behind_it() {
    let mut savepoints = Savepoints::default();
    let mut fate = TransactionFate::default();
    savepoints.set("a".to_owned(), 10).unwrap();
    savepoints.set("b".to_owned(), 20).unwrap();
    fate.roll_back(savepoints.roll_back_to("b", 30).unwrap()).unwrap();
    assert!(fate.is_rolled_back(20) && fate.is_rolled_back(29));
    assert!(!fate.is_rolled_back(19) && !fate.is_rolled_back(30));
    savepoints.set("A".to_lowercase(), 40).unwrap();
    // The second `a` counts, and `b` lies before it.
    fate.roll_back(savepoints.roll_back_to("a", 50).unwrap()).unwrap();
    assert!(fate.is_rolled_back(45) && !fate.is_rolled_back(35));
    fate.roll_back(savepoints.roll_back_to("b", 60).unwrap()).unwrap();
    assert!(fate.is_rolled_back(35) && fate.is_rolled_back(20) && !fate.is_rolled_back(15));
    let unknown = savepoints.roll_back_to("a", 70);
    assert_eq!(unknown, Err(SavepointError::Unknown("a".to_owned())));
}
