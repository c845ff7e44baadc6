//! Patterns that are names, as programs write them by the thousand: looked up at once.

use std::collections::{HashMap, HashSet};

use super::pattern::Node;

/// Kinds of names: each costs a look-up for a table.
const SHAPES_MAX: usize = 256;

/// Stands in a name where any character may stand.
const WILD: char = '\0';

/// Where any character may stand, and whether anything may follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    wild: Vec<usize>,
    /// The count of characters behind which anything may follow.
    prefix: Option<usize>,
}

/// A set of names, `.` in them and `.*` behind them included.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(HashMap<Shape, HashSet<Box<str>>>);

/// The characters of a pattern that is a name, and whether `.*` follows.
fn name_of(node: &Node) -> Option<(Vec<Option<char>>, bool)> {
    let single = |node: &Node| match node {
        Node::Char(WILD) => None,
        Node::Char(c) => Some(Some(*c)),
        Node::Any => Some(None),
        Node::Class(_)
        | Node::Concat(_)
        | Node::Alternatives(_)
        | Node::Repeat { .. }
        | Node::Group { .. }
        | Node::Ahead { .. }
        | Node::Assert(_)
        | Node::Again(_) => None,
    };
    let Node::Concat(parts) = node else { return Some((vec![single(node)?], false)) };
    let (parts, is_open) = match parts.split_last() {
        Some((Node::Repeat { child, min: 0, max: None, .. }, parts)) if **child == Node::Any => {
            (parts, true)
        }
        _ => (parts.as_slice(), false),
    };
    Some((parts.iter().map(single).collect::<Option<_>>()?, is_open))
}

impl Names {
    /// Adds a pattern that is a name; false: it has to be matched in another way.
    pub(super) fn add(&mut self, node: &Node) -> bool {
        let Some((chars, is_open)) = name_of(node) else { return false };
        let wild = chars.iter().enumerate().filter(|(_, c)| c.is_none()).map(|(at, _)| at);
        let shape = Shape { wild: wild.collect(), prefix: is_open.then_some(chars.len()) };
        if self.0.len() >= SHAPES_MAX && !self.0.contains_key(&shape) {
            return false;
        }
        let name: String = chars.into_iter().map(|c| c.unwrap_or(WILD)).collect();
        let _is_new: bool = self.0.entry(shape).or_default().insert(name.into());
        true
    }

    pub(super) fn holds(&self, subject: &[char]) -> bool {
        self.0.iter().any(|(shape, names)| {
            let len = shape.prefix.unwrap_or(subject.len());
            let Some(head) = subject.get(..len) else { return false };
            if shape.wild.last().is_some_and(|last| *last >= len) || head.contains(&WILD) {
                return false;
            }
            let mut wild = shape.wild.iter().copied().peekable();
            let chars = head.iter().enumerate();
            let name: String =
                chars.map(|(at, c)| wild.next_if_eq(&at).map_or(*c, |_| WILD)).collect();
            names.contains(name.as_str())
        })
    }

    /// Whether a pattern is a name that no table can have: there is no dot in it.
    pub(super) fn lacks_a_dot(node: &Node) -> bool {
        name_of(node).is_some_and(|(chars, is_open)| {
            !is_open && chars.iter().all(|c| c.is_some_and(|c| c != '.'))
        })
    }
}
