//! One walk through a tree: to the parts of rules that may count, as long as any are wanted.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::ops::ControlFlow;

use super::table::Fnv;
use super::unless::Unless;
use super::{Node, Parts, Split};
use crate::facts::Facts;
use crate::spec::Action;
use crate::truth::{Doubt, Fact};

/// A walk.
pub(super) struct Visit<'v, 'f, F> {
    facts: &'v Facts<'f>,
    doubt: Doubt,
    /// What all the rules do.
    action: Action,
    /// Parts from this number on are no longer wanted: an earlier one has been found.
    until: usize,
    /// The parts that have been asked, from where on one may be met along any number of ways.
    asked: Option<HashSet<usize, BuildHasherDefault<Fnv>>>,
    each: &'v mut F,
}

impl<'v, 'f, F: FnMut(usize) -> usize> Visit<'v, 'f, F> {
    pub(super) fn new(facts: &'v Facts<'f>, doubt: Doubt, action: Action, each: &'v mut F) -> Self {
        Self {
            facts,
            doubt,
            action,
            until: usize::MAX,
            asked: None,
            each,
        }
    }

    pub(super) fn node(&mut self, node: &Node) {
        if node.first().is_none_or(|first| first >= self.until) {
            return;
        }
        match &node.parts {
            Parts::Few(parts) => self.parts(parts.iter().copied()),
            Parts::Split(split) => self.split(split),
            Parts::Unless(unless) => self.unless(unless),
        }
    }

    fn split(&mut self, split: &Split) {
        self.node(&split.rest);
        let one = self.action == Action::Allow && split.dimension.any_leads_to_allow();
        let found = if split.dimension.has_many() && !one {
            self.nodes_of_many(split)
        } else {
            self.nodes_of_few(split, one)
        };
        match found {
            Fact::Is(()) => {}
            // No positive matcher matches what is absent, and these parts have one.
            Fact::Absent => {}
            Fact::Unknown => match (&split.unknown, self.doubt) {
                // At best they would be doubtful.
                (_, Doubt::Excluded) => {}
                (Some(all), Doubt::Included) => self.node(all),
                (None, Doubt::Included) => split.by_key.all().for_each(|node| self.node(node)),
            },
        }
    }

    /// The nodes of the first value, or of each of the few that there can be.
    fn nodes_of_few(&mut self, split: &Split, one: bool) -> Fact<()> {
        split.dimension.each_of(self.facts, &mut |value| {
            split.by_key.matching(value, &mut |node| self.node(node));
            if one {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// The nodes of all values, each of them once: thousands of values may lead to the same one.
    fn nodes_of_many(&mut self, split: &Split) -> Fact<()> {
        let mut nodes: Vec<&Node> = Vec::new();
        let found = split.dimension.each_of(self.facts, &mut |value| {
            split.by_key.matching(value, &mut |node| nodes.push(node));
            ControlFlow::Continue(())
        });
        nodes.sort_unstable_by_key(|node| std::ptr::from_ref(*node));
        nodes.dedup_by(|a, b| std::ptr::eq(*a, *b));
        if nodes.len() > 1 {
            self.asked.get_or_insert_default();
        }
        nodes.into_iter().for_each(|node| self.node(node));
        found
    }

    fn unless(&mut self, unless: &Unless) {
        match unless.ruled_out(self.facts, self.doubt) {
            None => self.parts(unless.parts()),
            Some(out) => self.parts(unless.parts_but(&out)),
        }
    }

    /// These parts, which are in the order of their rules.
    fn parts(&mut self, parts: impl Iterator<Item = usize>) {
        for part in parts {
            if part >= self.until {
                return;
            }
            if self.asked.as_mut().is_some_and(|asked| !asked.insert(part)) {
                continue;
            }
            self.until = (self.each)(part);
        }
    }
}
