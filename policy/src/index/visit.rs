//! One walk through a tree: to the rules that may count, as long as any are wanted.

use super::unless::Unless;
use super::{Node, Rules, Split};
use crate::facts::Facts;
use crate::truth::{Doubt, Fact};

/// A walk.
pub(super) struct Visit<'v, 'f, F> {
    facts: &'v Facts<'f>,
    doubt: Doubt,
    /// Rules from this number on are no longer wanted: an earlier one has been found.
    until: usize,
    each: &'v mut F,
}

impl<'v, 'f, F: FnMut(usize) -> usize> Visit<'v, 'f, F> {
    pub(super) fn new(facts: &'v Facts<'f>, doubt: Doubt, each: &'v mut F) -> Self {
        Self {
            facts,
            doubt,
            until: usize::MAX,
            each,
        }
    }

    pub(super) fn node(&mut self, node: &Node) {
        if node.first().is_none_or(|first| first >= self.until) {
            return;
        }
        match &node.rules {
            Rules::Few(rules) => self.rules(rules.iter().copied()),
            Rules::Split(split) => self.split(split),
            Rules::Unless(unless) => self.unless(unless),
        }
    }

    fn split(&mut self, split: &Split) {
        self.node(&split.rest);
        let by_key = &split.by_key;
        let facts = self.facts;
        let found = split.dimension.each_of(facts, &mut |value| {
            by_key.matching(value, &mut |node| self.node(node));
        });
        match found {
            Fact::Is(()) => {}
            // No positive matcher matches what is absent, and these rules have one.
            Fact::Absent => {}
            Fact::Unknown => match (&split.unknown, self.doubt) {
                // At best they would be doubtful.
                (_, Doubt::Excluded) => {}
                (Some(all), Doubt::Included) => self.node(all),
                (None, Doubt::Included) => by_key.all().for_each(|node| self.node(node)),
            },
        }
    }

    fn unless(&mut self, unless: &Unless) {
        match unless.ruled_out(self.facts) {
            None => self.rules(unless.rules()),
            Some(out) => self.rules(unless.rules_but(&out)),
        }
    }

    /// These rules, which are in written order.
    fn rules(&mut self, rules: impl Iterator<Item = usize>) {
        for rule in rules {
            if rule >= self.until {
                return;
            }
            self.until = (self.each)(rule);
        }
    }
}
