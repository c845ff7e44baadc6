//! Values and statements for people: on one line, and no longer than there is room.

/// Characters that are shown before the first one that an update changed.
const BEFORE_CHANGE: usize = 15;

/// A value, in at most `max` characters of it.
pub(super) fn shown(value: Option<&str>, max: usize) -> String {
    part(value, 0, max)
}

/// A value before and after an update: what is shown of long ones begins just before the first character that
/// differs.
pub(super) fn changed(before: Option<&str>, after: Option<&str>, max: usize) -> (String, String) {
    let from = match (before, after) {
        (Some(before), Some(after)) if is_long(before, max) || is_long(after, max) => {
            first_difference(before, after, max)
        }
        _ => 0,
    };
    (part(before, from, max), part(after, from, max))
}

fn is_long(text: &str, max: usize) -> bool {
    text.chars().nth(max).is_some()
}

/// Where to begin so that the change is seen: at the begin, if that is near enough.
fn first_difference(before: &str, after: &str, max: usize) -> usize {
    let same = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count();
    if before == after || same < max / 2 { 0 } else { same.saturating_sub(BEFORE_CHANGE) }
}

fn part(value: Option<&str>, from: usize, max: usize) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    let is_plain = || text.chars().all(|c| c.is_ascii_graphic() && c != '\'');
    if !text.is_empty() && text.len() <= max && is_plain() {
        return text.to_owned();
    }
    let begin = if from > 0 { "…" } else { "" };
    let rest =
        text.char_indices().nth(from).map_or("", |(at, _)| text.get(at..).unwrap_or_default());
    format!("'{begin}{}'", shorten(rest, max))
}

/// The first characters of a text, and whether there are more. What would move the cursor of a terminal, or colour
/// it, is escaped.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(max) {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_changed_is_shown() {
        let long = "a".repeat(100);
        let tests = [
            (format!("{long}x{long}"), format!("{long}yz{long}"), "aaax", "aaayza"),
            (format!("{long}."), format!("{long}.more"), "aaa.'", "aaa.more'"),
            ("before".to_owned(), format!("after{long}"), "before", "'aftera"),
            (format!("x{long}"), format!("y{long}"), "'xa", "'ya"),
        ];
        for (before, after, shown_before, shown_after) in tests {
            let (before, after) = changed(Some(&before), Some(&after), 60);
            assert!(before.contains(shown_before), "{before}");
            assert!(after.contains(shown_after), "{after}");
            assert!(
                before.chars().count() <= 64 && after.chars().count() <= 64,
                "{before} {after}"
            );
        }
        let whole = format!("{long}x");
        let shown = changed(Some(&whole), None, usize::MAX);
        assert_eq!(shown, (whole, "NULL".to_owned()));
        // Characters, not bytes.
        let (before, after) = (format!("{}é", "ü".repeat(80)), format!("{}è", "ü".repeat(80)));
        let tail = "ü".repeat(15);
        let expected = (format!("'…{tail}é'"), format!("'…{tail}è'"));
        assert_eq!(changed(Some(&before), Some(&after), 60), expected);
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(shown(Some("a\u{1b}[2J\u{9b}b"), 60), "'a\\u{1b}[2J\\u{9b}b'");
        assert_eq!(shorten("x\u{7}\n", 60), "x\\u{7}\\n");
        assert_eq!(shown(Some(""), 60), "''");
        assert_eq!(shown(Some("it's"), 60), "'it's'");
    }
}
