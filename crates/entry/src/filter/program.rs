//! A pattern as a program, and its match: the first way in the order of Perl 5, as Canal's matcher
//! finds it. What was tried at a place is not tried there again, so that no pattern takes more steps
//! than its length times that of the name, but for what looks ahead and for back-references, whose
//! steps are bounded when they are compiled.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::FilterError;
use super::pattern::{Assertion, Class, Node, Pattern, is_word};

/// Instructions of a whole filter.
const PROGRAM_LEN_MAX: usize = 1 << 18;

/// Nodes that are written of a whole filter, those of which nothing is left included.
const WRITTEN_MAX: usize = 8 * PROGRAM_LEN_MAX;

/// Characters of `schema.table` for which steps are counted: two names of 64 each.
const SUBJECT_LEN: f64 = 129.0;

/// Steps that one match with one pattern may take, counted before.
const STEPS_MAX: f64 = 1e7;

/// The same with all patterns of a filter.
const FILTER_STEPS_MAX: f64 = 1e8;

/// Steps after which a match with back-references is given up: more than [`STEPS_MAX`] can take for a
/// name of a server.
const STEPS_GIVEN: u64 = 100_000_000;

/// Other ways that are kept while one is tried: beyond them a match is given up.
const LATER_MAX: usize = 1 << 20;

/// Characters of a name; a longer one is not matched. The names in a table map are shorter.
const SUBJECT_LEN_MAX: usize = 1 << 10;

/// Why a filter of too many instructions is refused.
const TOO_LARGE: &str = "it is too large";

#[derive(Debug, Clone)]
enum Step {
    Char(char),
    Any,
    Class(Arc<Class>),
    /// Goes on at the first, or if that fails at the second.
    Split(usize, usize),
    Jump(usize),
    /// The end of a round: goes on at the split that began it. Where that was tried at the same place, the
    /// round took nothing and was the last one, which comes before its other ways.
    Round(usize),
    Save(usize),
    /// The end of a group: what it matched has these slots, begin and end; in the next one is where it began.
    Close(usize),
    /// The end of a copy of what is repeated a number of times: goes on at `end` if nothing was taken since
    /// the place in `slot`, as Canal's matcher does.
    CopyEnd {
        slot: usize,
        end: usize,
    },
    Again(usize),
    Assert(Assertion),
    /// Tries what follows; goes on at `end`.
    Ahead {
        is_negative: bool,
        end: usize,
    },
    Found,
}

impl Step {
    fn cost(&self) -> u32 {
        if let Self::Class(class) = self { class.cost() } else { 1 }
    }
}

/// What is left for the programs of a filter.
pub(super) struct Room {
    instructions: usize,
    written: usize,
    steps: f64,
}

impl Room {
    pub(super) const fn of_filter() -> Self {
        Self { instructions: PROGRAM_LEN_MAX, written: WRITTEN_MAX, steps: FILTER_STEPS_MAX }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Program {
    steps: Box<[Step]>,
    slots: usize,
    has_references: bool,
}

/// A match was given up.
#[derive(Debug)]
pub(super) struct GivenUp;

impl Program {
    /// Takes what it needs from `room`.
    pub(super) fn new(pattern: &Pattern, text: &str, room: &mut Room) -> Result<Self, FilterError> {
        let complex = |reason| FilterError::complex(text, reason);
        let has_references = pattern.has_references();
        let slots = if has_references { slot(pattern.groups) + SLOTS } else { 0 };
        let mut writer = Writer { steps: Vec::new(), room, nested: 0, slots, has_references };
        writer.write(&pattern.node).map_err(complex)?;
        writer.put(Step::Found).map_err(complex)?;
        let (steps, nested, slots) = (writer.steps, writer.nested, writer.slots);
        if nested > PROGRAM_LEN_MAX {
            return Err(complex("it looks ahead too often inside of looking ahead"));
        }
        let steps_count = match has_references {
            true => {
                let costs = steps.iter().map(|step| f64::from(step.cost()));
                ways(&pattern.node) * costs.sum::<f64>()
            }
            false => steps_of(&pattern.node, true),
        };
        if steps_count > STEPS_MAX.min(room.steps) {
            return Err(complex("there are too many ways to match a name"));
        }
        room.steps -= steps_count;
        Ok(Self { steps: steps.into_boxed_slice(), slots, has_references })
    }

    /// The end of the first match that begins at the beginning.
    pub(super) fn find(&self, subject: &[char]) -> Result<Option<usize>, GivenUp> {
        if subject.len() > SUBJECT_LEN_MAX {
            return Err(GivenUp);
        }
        let mut run = Run {
            program: self,
            subject,
            places: vec![None; self.slots],
            steps_left: STEPS_GIVEN,
            later: Vec::new(),
            depth: 0,
            aheads: HashMap::new(),
        };
        run.from(0..self.steps.len(), 0)
    }
}

struct Writer<'a> {
    steps: Vec<Step>,
    room: &'a mut Room,
    /// Instructions of what looks ahead: the most that are matched inside of each other.
    nested: usize,
    /// How many places of a name are kept.
    slots: usize,
    has_references: bool,
}

type Written = Result<(), &'static str>;

impl Writer<'_> {
    fn put(&mut self, step: Step) -> Result<usize, &'static str> {
        self.room.instructions = self.room.instructions.checked_sub(1).ok_or(TOO_LARGE)?;
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn set(&mut self, at: usize, step: Step) {
        if let Some(place) = self.steps.get_mut(at) {
            *place = step;
        }
    }

    fn write(&mut self, node: &Node) -> Written {
        self.room.written = self.room.written.checked_sub(1).ok_or(TOO_LARGE)?;
        match node {
            Node::Char(c) => self.put(Step::Char(*c)).map(drop),
            Node::Any => self.put(Step::Any).map(drop),
            Node::Class(class) => self.put(Step::Class(Arc::clone(class))).map(drop),
            Node::Assert(assertion) => self.put(Step::Assert(*assertion)).map(drop),
            Node::Again(number) => self.put(Step::Again(slot(*number))).map(drop),
            Node::Concat(parts) => parts.iter().try_for_each(|part| self.write(part)),
            Node::Alternatives(all) => self.alternatives(all),
            Node::Group { number, child } if self.has_references => {
                self.put(Step::Save(slot(*number) + 2))?;
                self.write(child)?;
                self.put(Step::Close(slot(*number))).map(drop)
            }
            Node::Group { child, .. } => self.write(child),
            Node::Ahead { is_negative, child } => {
                let at = self.put(Step::Found)?;
                let beside = std::mem::take(&mut self.nested);
                self.write(child)?;
                let end = self.put(Step::Found)? + 1;
                self.nested = beside.max(self.nested + (end - at));
                self.set(at, Step::Ahead { is_negative: *is_negative, end });
                Ok(())
            }
            Node::Repeat { child, min, max, is_greedy } => {
                self.repeat(child, (*min, *max), *is_greedy)
            }
        }
    }

    fn alternatives(&mut self, all: &[Node]) -> Written {
        let mut jumps = Vec::new();
        for (index, node) in all.iter().enumerate() {
            if index + 1 == all.len() {
                self.write(node)?;
                continue;
            }
            let split = self.put(Step::Found)?;
            self.write(node)?;
            jumps.push(self.put(Step::Found)?);
            let next = self.steps.len();
            self.set(split, Step::Split(split + 1, next));
        }
        let end = self.steps.len();
        for jump in jumps {
            self.set(jump, Step::Jump(end));
        }
        Ok(())
    }

    fn repeat(&mut self, child: &Node, (min, max): (u32, Option<u32>), is_greedy: bool) -> Written {
        let split = |first, second| match is_greedy {
            true => Step::Split(first, second),
            false => Step::Split(second, first),
        };
        let has_ends = max.unwrap_or(min) > 1 && is_nullable(child);
        let mut ends = Vec::new();
        for _ in 0..min {
            if !self.copy(child, has_ends.then_some(&mut ends))? {
                // Nothing: so are the other copies.
                return Ok(());
            }
        }
        let Some(max) = max else {
            if self.has_references && is_nullable(child) {
                return Err("beside a back-reference, what is repeated must not be empty");
            }
            let at = self.put(Step::Found)?;
            self.write(child)?;
            let end = self.put(Step::Round(at))? + 1;
            self.set(at, split(at + 1, end));
            self.end_copies(ends, end);
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in min..max {
            let at = self.put(Step::Found)?;
            if !self.copy(child, has_ends.then_some(&mut ends))? {
                self.steps.truncate(at);
                break;
            }
            splits.push(at);
        }
        let end = self.steps.len();
        for at in splits {
            self.set(at, split(at + 1, end));
        }
        self.end_copies(ends, end);
        Ok(())
    }

    fn end_copies(&mut self, ends: Vec<(usize, usize)>, end: usize) {
        for (at, slot) in ends {
            self.set(at, Step::CopyEnd { slot, end });
        }
    }

    /// Writes what is repeated once more, its end among `ends` if an empty one is the last; false: there is
    /// nothing to write.
    fn copy(
        &mut self,
        child: &Node,
        ends: Option<&mut Vec<(usize, usize)>>,
    ) -> Result<bool, &'static str> {
        let begin = self.steps.len();
        let slot = self.slots;
        if ends.is_some() {
            self.put(Step::Save(slot))?;
            self.slots += 1;
        }
        let before = self.steps.len();
        self.write(child)?;
        if self.steps.len() == before {
            self.steps.truncate(begin);
            return Ok(false);
        }
        if let Some(ends) = ends {
            ends.push((self.put(Step::Found)?, slot));
        }
        Ok(true)
    }
}

/// Places that are kept of a group.
const SLOTS: usize = 3;

fn slot(group: u32) -> usize {
    usize::try_from(group).unwrap_or(0) * SLOTS
}

/// Whether nothing at all can match.
fn is_nullable(node: &Node) -> bool {
    match node {
        Node::Char(_) | Node::Any | Node::Class(_) => false,
        Node::Assert(_) | Node::Ahead { .. } | Node::Again(_) => true,
        Node::Concat(parts) => parts.iter().all(is_nullable),
        Node::Alternatives(all) => all.iter().any(is_nullable),
        Node::Group { child, .. } => is_nullable(child),
        Node::Repeat { child, min, .. } => *min == 0 || is_nullable(child),
    }
}

/// In how many ways, at most, something can match from one place on.
fn ways(node: &Node) -> f64 {
    match node {
        Node::Char(_) | Node::Any | Node::Class(_) | Node::Assert(_) | Node::Again(_) => 1.0,
        Node::Ahead { child, .. } => ways(child),
        Node::Group { child, .. } => ways(child),
        Node::Concat(parts) => parts.iter().map(ways).product(),
        Node::Alternatives(all) => all.iter().map(ways).sum(),
        Node::Repeat { child, min, max, .. } => {
            let of_child = ways(child);
            let most = max.map_or(SUBJECT_LEN, |max| f64::from(max).min(SUBJECT_LEN));
            let rounds = (most - f64::from(*min) + 1.0).max(1.0);
            if of_child > 1.0 { of_child.powf(most) * rounds } else { rounds }
        }
    }
}

/// How many steps, at most, a match takes where nothing is tried twice. `is_fixed`: there is only one
/// place at which the node can begin.
fn steps_of(node: &Node, is_fixed: bool) -> f64 {
    let places = if is_fixed { 1.0 } else { SUBJECT_LEN };
    match node {
        Node::Char(_) | Node::Any | Node::Assert(_) => places,
        Node::Class(class) => places * f64::from(class.cost()),
        Node::Again(_) => places * SUBJECT_LEN,
        // From each place anew.
        Node::Ahead { child, .. } => places * steps_of(child, true),
        Node::Group { child, .. } => steps_of(child, is_fixed),
        Node::Alternatives(all) => all.iter().map(|node| steps_of(node, is_fixed)).sum(),
        Node::Concat(parts) => {
            let mut fixed = is_fixed;
            let mut sum = 0.0;
            for part in parts {
                sum += steps_of(part, fixed);
                fixed &= has_one_len(part);
            }
            sum
        }
        Node::Repeat { child, min, max, .. } => {
            let copies = f64::from(max.unwrap_or(*min + 1));
            steps_of(child, is_fixed && *max == Some(1)) * copies
        }
    }
}

/// Whether all that it can match has one length.
fn has_one_len(node: &Node) -> bool {
    match node {
        Node::Char(_) | Node::Any | Node::Class(_) | Node::Assert(_) | Node::Ahead { .. } => true,
        Node::Alternatives(_) | Node::Again(_) => false,
        Node::Concat(parts) => parts.iter().all(has_one_len),
        Node::Group { child, .. } => has_one_len(child),
        Node::Repeat { child, min, max, .. } => *max == Some(*min) && has_one_len(child),
    }
}

/// What is tried when a way ends.
enum Later {
    Try {
        step: usize,
        at: usize,
    },
    /// A group gets back what it had.
    Restore {
        slot: usize,
        value: Option<usize>,
    },
}

struct Run<'a> {
    program: &'a Program,
    subject: &'a [char],
    /// Places by their slots: of groups that are referred to, and of copies that may be empty.
    places: Vec<Option<usize>>,
    steps_left: u64,
    /// What is tried next is the last; what looks ahead has its own behind those of what is around it.
    later: Vec<Later>,
    /// How many parts that look ahead are being matched.
    depth: u32,
    /// What was found out of looking ahead inside of looking ahead, by step and place.
    aheads: HashMap<usize, bool>,
}

impl Run<'_> {
    /// The end of the first match of a part of the program that begins at `start`. What its groups had
    /// before is left in `later`.
    fn from(&mut self, part: Range<usize>, start: usize) -> Result<Option<usize>, GivenUp> {
        let (places, first) = (self.subject.len() + 1, part.start);
        let mut tried = Tried::new(match self.program.has_references {
            true => 0,
            false => part.len() * places,
        });
        let outer = self.later.len();
        self.put_off(Later::Try { step: first, at: start })?;
        while self.later.len() > outer
            && let Some(next) = self.later.pop()
        {
            let (mut step, mut at) = match next {
                Later::Try { step, at } => (step, at),
                Later::Restore { slot, value } => {
                    self.put(slot, value);
                    continue;
                }
            };
            while let Some(instruction) = self.program.steps.get(step) {
                let cost = u64::from(instruction.cost());
                self.steps_left = self.steps_left.checked_sub(cost).ok_or(GivenUp)?;
                // A round that took something ends at a place, then an empty one may.
                let is_end = matches!(instruction, Step::Round(_) | Step::CopyEnd { .. });
                if !is_end && tried.again((step - first) * places + at) {
                    break;
                }
                step = match instruction {
                    Step::Found => {
                        self.forget_ways(outer);
                        return Ok(Some(at));
                    }
                    Step::Split(one, other) => {
                        self.put_off(Later::Try { step: *other, at })?;
                        *one
                    }
                    Step::Jump(to) => *to,
                    Step::Round(split) if tried.holds((split - first) * places + at) => step + 1,
                    Step::Round(split) => *split,
                    Step::CopyEnd { slot, end } if self.get(*slot) == Some(at) => *end,
                    Step::CopyEnd { .. } => step + 1,
                    Step::Save(slot) => {
                        self.keep(*slot, Some(at))?;
                        step + 1
                    }
                    Step::Close(slot) => {
                        self.keep(*slot, self.get(*slot + 2))?;
                        self.keep(*slot + 1, Some(at))?;
                        step + 1
                    }
                    Step::Ahead { is_negative, end } => {
                        if self.ahead(step..*end, at)? == *is_negative {
                            break;
                        }
                        *end
                    }
                    Step::Char(_)
                    | Step::Any
                    | Step::Class(_)
                    | Step::Again(_)
                    | Step::Assert(_) => {
                        let Some(after) = self.simple(instruction, at) else { break };
                        at = after;
                        step + 1
                    }
                };
            }
        }
        Ok(None)
    }

    /// Forgets the other ways from `begin` on.
    fn forget_ways(&mut self, begin: usize) {
        let own = self.later.split_off(begin);
        let restores = |later: &Later| matches!(later, Later::Restore { .. });
        self.later.extend(own.into_iter().filter(restores));
    }

    /// Keeps a place until its way ends.
    fn keep(&mut self, slot: usize, value: Option<usize>) -> Result<(), GivenUp> {
        self.put_off(Later::Restore { slot, value: self.get(slot) })?;
        self.put(slot, value);
        Ok(())
    }

    fn put_off(&mut self, later: Later) -> Result<(), GivenUp> {
        if self.later.len() >= LATER_MAX {
            return Err(GivenUp);
        }
        self.later.push(later);
        Ok(())
    }

    /// Where it goes on behind a step that takes characters or looks at them.
    fn simple(&self, step: &Step, at: usize) -> Option<usize> {
        let next = self.subject.get(at).copied();
        let taken = |is_it: bool| is_it.then_some(at + 1);
        match step {
            Step::Char(c) => taken(next == Some(*c)),
            Step::Any => taken(next.is_some()),
            Step::Class(class) => taken(class.holds(next?)),
            Step::Assert(assertion) => self.holds(*assertion, at).then_some(at),
            Step::Again(slot) => {
                let text = self.subject.get(self.get(*slot)?..self.get(*slot + 1)?)?;
                self.subject.get(at..)?.starts_with(text).then_some(at + text.len())
            }
            Step::Split(..)
            | Step::Jump(_)
            | Step::Round(_)
            | Step::Save(_)
            | Step::Close(_)
            | Step::CopyEnd { .. }
            | Step::Ahead { .. }
            | Step::Found => None,
        }
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let is_word_at =
            |at: Option<usize>| at.and_then(|at| self.subject.get(at)).is_some_and(|c| is_word(*c));
        let is_boundary = || is_word_at(at.checked_sub(1)) != is_word_at(Some(at));
        match assertion {
            Assertion::Start => at == 0,
            Assertion::End => matches!(self.subject.get(at..), Some([] | ['\n'])),
            Assertion::Boundary => is_boundary(),
            Assertion::NoBoundary => !is_boundary(),
        }
    }

    fn ahead(&mut self, part: Range<usize>, at: usize) -> Result<bool, GivenUp> {
        let place = part.start * (self.subject.len() + 1) + at;
        // What a back-reference names may be another text by now; elsewhere a place is looked at once.
        let is_kept = !self.program.has_references && self.depth > 0;
        if let Some(known) = self.aheads.get(&place).filter(|_| is_kept) {
            return Ok(*known);
        }
        self.depth += 1;
        let found = self.from(part.start + 1..part.end, at)?.is_some();
        self.depth -= 1;
        if is_kept {
            self.aheads.insert(place, found);
        }
        Ok(found)
    }

    fn get(&self, slot: usize) -> Option<usize> {
        self.places.get(slot).copied().flatten()
    }

    fn put(&mut self, slot: usize, value: Option<usize>) {
        if let Some(place) = self.places.get_mut(slot) {
            *place = value;
        }
    }
}

/// What was tried, a bit each. Empty: that is not looked at.
struct Tried(Vec<u64>);

impl Tried {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn holds(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & 1 << (index % 64) != 0)
    }

    fn again(&mut self, index: usize) -> bool {
        let Some(word) = self.0.get_mut(index / 64) else { return false };
        let bit = 1 << (index % 64);
        let is_again = *word & bit != 0;
        *word |= bit;
        is_again
    }
}
