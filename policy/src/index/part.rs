//! What an index tells apart: the parts of rules.
//!
//! The items of `from` are ORed, and so are those of `to`. A rule is therefore as good as several, each with one item of either, and
//! these can be told apart where the rule cannot: one item asks for a path, the next for a host.

use crate::rule::{Rule, Terms};

/// A rule, or one item of its `from` with one item of its `to`. A rule holds if one of its parts does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The number of the rule.
    pub(crate) rule: usize,
    /// The only item of `from`; none if all of them are meant.
    from: Option<usize>,
    /// The same of `to`.
    to: Option<usize>,
}

/// What a policy costs must not grow with the product of its lists: a rule is taken apart by both if they make no more parts than
/// this,
const MOST_PARTS: usize = 16;
/// else by the longer one if the other, all of which each part has, is no longer than this, else not at all.
const SHORT: usize = 4;

impl Part {
    /// The parts of the rule with this number.
    pub(super) fn of(number: usize, rule: &Rule) -> impl Iterator<Item = Self> {
        let (mut from, mut to) = (len(&rule.from), len(&rule.to));
        if from.saturating_mul(to) > MOST_PARTS {
            match (from <= SHORT, to <= SHORT) {
                (true, _) => from = 1,
                (_, true) => to = 1,
                _ => (from, to) = (1, 1),
            }
        }
        numbers(from).flat_map(move |from| {
            numbers(to).map(move |to| Self {
                rule: number,
                from,
                to,
            })
        })
    }

    /// What must hold. None if these are not its rules.
    pub(crate) fn terms(self, rules: &[Rule]) -> Option<Terms<'_>> {
        let rule = rules.get(self.rule)?;
        Some(Terms {
            from: only(&rule.from, self.from)?,
            to: only(&rule.to, self.to)?,
            ..rule.terms()
        })
    }
}

fn len<I>(items: &Option<Vec<I>>) -> usize {
    items.as_ref().map_or(1, Vec::len)
}

/// Of so many items, each; of one it need not be said which.
fn numbers(len: usize) -> impl Iterator<Item = Option<usize>> {
    (0..len.max(1)).map(move |number| (len > 1).then_some(number))
}

/// The one item; none if there is none with this number.
fn only<I>(items: &Option<Vec<I>>, number: Option<usize>) -> Option<Option<&[I]>> {
    match (items, number) {
        (None, None) => Some(None),
        (Some(items), None) => Some(Some(items)),
        (Some(items), Some(number)) => items.get(number).map(std::slice::from_ref).map(Some),
        (None, Some(_)) => None,
    }
}
