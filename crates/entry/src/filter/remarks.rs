//! What is odd about a filter that can be used, and how a filter is shown.

use super::names::Names;
use super::{pattern, split};

/// Characters of a filter that are shown.
const SHOWN_MAX: usize = 200;

/// Remarks that are told of one filter.
const REMARKS_MAX: usize = 5;

/// A filter as it is shown in logs: as it was given, so that it can be copied, on one line, and cut
/// off if it is long.
#[must_use]
pub fn shown_filter(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_MAX) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown = format!("{shown}… ({} bytes)", text.len());
    }
    shown
}

/// Parts of a filter that match less than they seem to, each with the reason. The filter is used all
/// the same: a table may be called so.
#[must_use]
pub fn filter_remarks(text: &str) -> Vec<String> {
    let mut all = split(text).into_iter().filter_map(remark);
    let mut remarks: Vec<String> = all.by_ref().take(REMARKS_MAX).collect();
    let more = all.count();
    if more > 0 {
        remarks.push(format!("{more} more parts are like these"));
    }
    remarks
}

fn remark(piece: &str) -> Option<String> {
    let shown = shown_filter(piece);
    let pattern = pattern::parse(piece).ok()?;
    if pattern.has_backslash {
        let meant = shown_filter(&piece.replace(r"\\", r"\"));
        return Some(format!(
            "`{shown}` matches only names with a backslash in them: was `{meant}` meant?"
        ));
    }
    if piece.starts_with(' ') || piece.ends_with(' ') {
        return Some(format!(
            "`{shown}` begins or ends with a blank, which counts as a character of the name"
        ));
    }
    if Names::lacks_a_dot(&pattern.node) {
        return Some(format!(
            r"`{shown}` matches nothing: patterns are compared with schema.table; was `{shown}\..*` meant?"
        ));
    }
    let letter = pattern.idle_escape?;
    Some(format!(r"`{shown}`: `\{letter}` is the character `{letter}`, as in Canal"))
}
