//! A filter that stays within one database.

use super::split;

/// The filter for what a database has: all of it when `filter` is empty, else `filter` itself, if each of its parts
/// begins with the name of the database. `None` when it may reach other databases.
#[must_use]
pub fn filter_within(database: &str, filter: &str) -> Option<String> {
    let mut begin = String::new();
    for c in database.chars() {
        if !c.is_alphanumeric() && !matches!(c, '_' | '-' | ' ') {
            begin.push('\\');
        }
        begin.push(c);
    }
    begin.push_str(r"\.");
    if filter.is_empty() {
        return Some(begin + ".*");
    }
    let stays = |part: &&str| {
        let head = part.get(..begin.len()).unwrap_or_default();
        head.to_lowercase() == begin.to_lowercase() && !has_alternatives(part)
    };
    split(filter).iter().all(stays).then(|| filter.to_owned())
}

/// Whether the part as a whole has alternatives, of which only the first begins as the part does.
fn has_alternatives(part: &str) -> bool {
    let (mut depth, mut escaped) = (0_i32, false);
    part.chars().any(|c| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match c {
            '\\' => escaped = true,
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            _ => {}
        }
        c == '|' && depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableFilter;

    #[test]
    fn a_filter_stays_within_a_database_or_is_refused() {
        for (database, filter, want) in [
            ("shop", "", Some(r"shop\..*")),
            ("a.b+c$", "", Some(r"a\.b\+c\$\..*")),
            ("shop", r"shop\.a,SHOP\.(b|c)", Some(r"shop\.a,SHOP\.(b|c)")),
            ("shop", r"shop\.a|other\.b", None),
            ("shop", r"shop\.a,other\.b", None),
            ("shop", r"shop2\..*", None),
            ("shop", "shop.*", None),
            ("shop", r".*\..*", None),
        ] {
            assert_eq!(filter_within(database, filter).as_deref(), want, "{database} {filter}");
        }
    }

    #[test]
    fn any_name_is_matched_and_no_other() {
        for name in
            ["shop", "a.b", "x+y", "(a)", "a,b", "a b", "a-b", "{1}", "[a]", "ü", r"a\b", "%_"]
        {
            let filter = TableFilter::new(&filter_within(name, "").unwrap(), "").unwrap();
            assert!(filter.matches(name, "t").unwrap(), "{name}");
            assert!(filter.matches(name, "").unwrap(), "{name}: its own statements");
            assert!(!filter.matches("other", "t").unwrap(), "{name}");
            assert!(!filter.matches(&format!("{name}2"), "t").unwrap(), "{name}");
        }
    }
}
