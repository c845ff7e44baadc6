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
    savepoints.set("a", 10);
    savepoints.set("b", 20);
    fate.roll_back(savepoints.roll_back_to("b", 30).unwrap()).unwrap();
    assert!(fate.is_rolled_back(20) && fate.is_rolled_back(29));
    assert!(!fate.is_rolled_back(19) && !fate.is_rolled_back(30));
    savepoints.set("a", 40);
    // The second `a` counts, and `b` lies before it.
    fate.roll_back(savepoints.roll_back_to("a", 50).unwrap()).unwrap();
    assert!(fate.is_rolled_back(45) && !fate.is_rolled_back(35));
    fate.roll_back(savepoints.roll_back_to("b", 60).unwrap()).unwrap();
    assert!(fate.is_rolled_back(35) && fate.is_rolled_back(20) && !fate.is_rolled_back(15));
    let unknown = savepoints.roll_back_to("a", 70);
    assert_eq!(unknown, Err(SavepointError::Unknown("a".to_owned())));
}

/// As many as an application makes that never rolls back to most of them, with names of their own or with one.
#[test]
fn a_transaction_may_have_any_number_of_savepoints() {
    const COUNT: u64 = 200_000;
    let mut savepoints = Savepoints::default();
    for offset in 0..COUNT {
        savepoints.set(&format!("s{offset}"), offset);
        savepoints.set("same", offset);
        assert!(savepoints.bytes() <= SAVEPOINT_BYTES_MAX);
    }
    let latest = COUNT - 1000;
    let range = savepoints.roll_back_to(&format!("s{latest}"), COUNT);
    assert_eq!(range, Ok(latest..COUNT));
    // It stays, those behind it are gone.
    assert_eq!(savepoints.roll_back_to(&format!("s{latest}"), COUNT), Ok(latest..COUNT));
    for gone in ["same", "s0"] {
        let result = savepoints.roll_back_to(gone, COUNT);
        assert_eq!(result, Err(SavepointError::Forgotten(gone.to_owned())));
    }
    savepoints.clear();
    let result = savepoints.roll_back_to("s0", 1);
    assert_eq!(result, Err(SavepointError::Unknown("s0".to_owned())));
}

#[test]
fn one_long_name_does_not_pass_the_bound_of_savepoints() {
    let mut savepoints = Savepoints::default();
    savepoints.set("a", 1);
    savepoints.set(&"x".repeat(SAVEPOINT_BYTES_MAX), 2);
    assert_eq!(
        savepoints,
        Savepoints { last_number: 2, has_forgotten: true, ..Default::default() }
    );
}
