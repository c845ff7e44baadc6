//! What the account may do: shown by doing it.

use super::{Answer, Checkup, Fault, Verdict, text};

const NOT_OURS: &str =
    "table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";

impl Checkup<'_> {
    /// The account's name, for the statements that are suggested.
    pub(super) async fn account(&mut self) -> Result<(), Fault> {
        let name = self.value("SELECT CURRENT_USER()").await?.unwrap_or_default();
        let (user, host) = name.rsplit_once('@').unwrap_or((&name, "%"));
        self.account = format!("'{user}'@'{host}'");
        Ok(())
    }

    fn grant(&self, privilege: &str) -> String {
        format!("GRANT {privilege} ON *.* TO {}", self.account)
    }

    pub(super) async fn select(&mut self) -> Result<(), Fault> {
        self.step = "select";
        let grants = match self.ask("SHOW GRANTS").await? {
            Answer::Rows(rows) => rows,
            Answer::Refused { .. } => Vec::new(),
        };
        if grants.iter().filter_map(|row| text(row, 0)).any(|line| reads_everything(&line)) {
            self.say(Verdict::Ok, "the account may read the structure of every table", "");
            return Ok(());
        }
        let sql = format!(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE {NOT_OURS} AND \
             table_type = 'BASE TABLE' LIMIT 1"
        );
        let seen = match self.ask(&sql).await? {
            Answer::Rows(rows) => rows.into_iter().next(),
            Answer::Refused { .. } => None,
        };
        let quote = |name: Option<String>| name.unwrap_or_default().replace('`', "``");
        let fix = self.grant("SELECT");
        let Some(row) = seen else {
            let text = "the account lacks SELECT: it sees no table, and cannot tell their columns";
            self.say(Verdict::Failure, text, fix);
            return Ok(());
        };
        let table = format!("`{}`.`{}`", quote(text(&row, 0)), quote(text(&row, 1)));
        match self.ask(&format!("SHOW CREATE TABLE {table}")).await? {
            Answer::Rows(_) => {
                let text = format!("the account may read some tables (as {table}), not all");
                self.say(Verdict::Note, text, "");
            }
            Answer::Refused { message, .. } => {
                let text = format!("the account lacks SELECT on {table}: {message}");
                self.say(Verdict::Failure, text, fix);
            }
        }
        Ok(())
    }

    /// REPLICATION CLIENT.
    pub(super) async fn binlog_status(&mut self) -> Result<(), Fault> {
        self.step = "binlog_status";
        let (new, old) = ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS");
        let (first, second) = if self.inspector.is_mariadb() { (old, new) } else { (new, old) };
        let answer = match self.ask(first).await? {
            // The other vocabulary.
            Answer::Refused { errno: 1064, .. } => self.ask(second).await?,
            other @ (Answer::Rows(_) | Answer::Refused { .. }) => other,
        };
        match answer {
            Answer::Rows(rows) => {
                self.status = rows.into_iter().next();
                let place = self.status.as_ref().map(|row| {
                    let field = |column| text(row, column).unwrap_or_default();
                    format!(": the binlog ends at {}:{}", field(0), field(1))
                });
                let place = place.unwrap_or_default();
                self.say(Verdict::Ok, format!("REPLICATION CLIENT is granted{place}"), "");
                Ok(())
            }
            Answer::Refused { message, .. } => {
                let fix = self.grant("REPLICATION CLIENT");
                let text = format!("the account lacks REPLICATION CLIENT: {message}");
                self.say(Verdict::Failure, text, fix);
                Ok(())
            }
        }
    }

    /// Who else reads, and by which server id.
    pub(super) async fn replicas(&mut self) -> Result<(), Fault> {
        self.step = "replicas";
        let (new, old) = ("SHOW REPLICAS", "SHOW SLAVE HOSTS");
        let (first, second) = if self.inspector.is_mariadb() { (old, new) } else { (new, old) };
        let answer = match self.ask(first).await? {
            Answer::Refused { errno: 1064, .. } => self.ask(second).await?,
            other @ (Answer::Rows(_) | Answer::Refused { .. }) => other,
        };
        let rows = match answer {
            Answer::Rows(rows) => rows,
            Answer::Refused { message, .. } => {
                let text = format!("other replicas are not shown to this account: {message}");
                self.say(Verdict::Note, text, "");
                return Ok(());
            }
        };
        let mut ids: Vec<String> = rows.iter().filter_map(|row| text(row, 0)).collect();
        ids.sort_unstable();
        let own = self.variable("server_id").await?.unwrap_or_default();
        let wanted = self.options.server_id.map(|id| id.to_string());
        let twice = ids.windows(2).find(|pair| pair.first() == pair.last());
        let clash = match (&wanted, twice.and_then(|pair| pair.first())) {
            (Some(id), _) if ids.contains(id) => {
                Some(format!("another replica has server id {id}"))
            }
            (Some(id), _) if *id == own => Some(format!("server id {id} is the source's own")),
            (_, Some(id)) => Some(format!("two replicas share server id {id}")),
            (_, None) if ids.contains(&own) => {
                Some(format!("a replica has the source's own server id {own}"))
            }
            (_, None) => None,
        };
        match clash {
            Some(clash) => {
                let text =
                    format!("{clash}: the source ends the dump of one of them again and again");
                let fix = "give each replica an id of its own: serve --server-id, or \
                           canal.instance.mysql.slaveId; known are ";
                self.say(Verdict::Failure, text, format!("{fix}{}", ids.join(", ")));
            }
            None if ids.is_empty() => self.say(Verdict::Ok, "no other replica is registered", ""),
            None => {
                let text =
                    format!("other replicas, each with its own server id: {}", ids.join(", "));
                self.say(Verdict::Ok, text, "");
            }
        }
        Ok(())
    }

    /// How many tables have no primary key. May take long, and is done last.
    pub(super) async fn tables(&mut self) -> Result<(), Fault> {
        self.step = "tables";
        // A primary key is visible in `columns` to whoever may SELECT, in `table_constraints` it is not.
        let sql = format!(
            "SELECT COUNT(*), COALESCE(SUM(k.table_name IS NULL), 0) FROM information_schema.tables t \
             LEFT JOIN (SELECT DISTINCT table_schema, table_name FROM information_schema.columns \
             WHERE column_key = 'PRI') k \
             ON k.table_schema = t.table_schema AND k.table_name = t.table_name \
             WHERE t.{NOT_OURS} AND t.table_type = 'BASE TABLE'"
        );
        match self.ask(&sql).await {
            Ok(Answer::Rows(rows)) => {
                let row = rows.into_iter().next().unwrap_or_default();
                let count = |column| text(&row, column).unwrap_or_default();
                let text = format!("{}, without a primary key: {}", count(0), count(1));
                self.say(Verdict::Note, text, "");
            }
            Ok(Answer::Refused { message, .. }) => {
                self.say(Verdict::Note, format!("they cannot be counted: {message}"), "");
            }
            Err(Fault::Late(after)) => {
                let text = format!("too many to count within {} s", after.as_secs());
                self.say(Verdict::Note, text, "");
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }
}

/// Whether a line of SHOW GRANTS gives SELECT on everything.
fn reads_everything(line: &str) -> bool {
    let upper = line.to_ascii_uppercase();
    let Some((privileges, _)) = upper.split_once(" ON *.* ") else { return false };
    let mut privileges = privileges.trim_start_matches("GRANT ").split(',').map(str::trim);
    privileges.any(|privilege| matches!(privilege, "SELECT" | "ALL PRIVILEGES" | "ALL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_on_everything_are_told_from_others() {
        for (line, expected) in [
            ("GRANT SELECT, REPLICATION SLAVE ON *.* TO `c`@`%`", true),
            ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", true),
            ("GRANT REPLICATION SLAVE ON *.* TO `c`@`%`", false),
            ("GRANT SELECT ON `shop`.* TO `c`@`%`", false),
        ] {
            assert_eq!(reads_everything(line), expected, "{line}");
        }
    }
}
