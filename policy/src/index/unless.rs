//! Many parts of rules that differ by what they do not match. Nearly all of them match nearly everything, so they are taken all, but
//! for those that a value of the request rules out; a part that is left over in vain is rare then.

use std::ops::ControlFlow;

use super::exceptions::Exceptions;
use super::keys::{Dimension, Key};
use super::set::{Bits, Set};
use super::table::Table;
use crate::facts::Facts;
use crate::spec::Action;
use crate::truth::{Doubt, Fact};

/// The parts, in the order of their rules, and the dimensions by which many of them are ruled out.
#[derive(Clone, Debug)]
pub(super) struct Unless {
    parts: Box<[usize]>,
    filters: Box<[Filter]>,
}

/// What one dimension rules out. Parts are numbered by their place in the node.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    dimension: Dimension,
    action: Action,
    by_key: Table<Set>,
    /// Those that ask for anything here: an ALLOW with a `not…` list does not match an absent value, and no part surely matches
    /// one that is not known.
    asking: Set,
}

impl Unless {
    pub(super) fn new(parts: Vec<usize>, filters: Vec<Filter>) -> Self {
        Self {
            parts: parts.into(),
            filters: filters.into(),
        }
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.parts.first().copied()
    }

    /// All parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().copied()
    }

    /// All but these.
    pub(super) fn parts_but(&self, out: &Bits) -> impl Iterator<Item = usize> {
        out.missing().map_while(|at| self.parts.get(at).copied())
    }

    /// The parts that cannot match; none at all of them if nothing is known.
    pub(super) fn ruled_out(&self, facts: &Facts<'_>, doubt: Doubt) -> Option<Bits> {
        let mut out: Option<Bits> = None;
        for filter in &self.filters {
            filter.rule_out(facts, doubt, self.parts.len(), &mut out);
        }
        out
    }
}

impl Filter {
    /// A filter of the parts with these exceptions; none if too few have any.
    pub(super) fn new(
        dimension: Dimension,
        action: Action,
        of: impl ExactSizeIterator<Item = Option<Exceptions>>,
        least: usize,
    ) -> Option<Self> {
        let bound = of.len();
        let mut by_key: Table<Vec<usize>> = Table::default();
        let mut asking = Vec::new();
        for (at, exceptions) in of.enumerate() {
            let Some(Exceptions(keys)) = exceptions else {
                continue;
            };
            asking.push(at);
            let enter = |key: Key| by_key.entry(key).push(at);
            keys.into_iter().for_each(enter);
        }
        (asking.len() >= least).then(|| Self {
            dimension,
            action,
            by_key: by_key.map(|at| Set::new(&at, bound)),
            asking: Set::new(&asking, bound),
        })
    }

    /// Adds what it rules out of so many parts.
    fn rule_out(&self, facts: &Facts<'_>, doubt: Doubt, bound: usize, out: &mut Option<Bits>) {
        let (found, hit) = if self.action == Action::Allow {
            (self.of_any_value(facts, bound, out), None)
        } else {
            self.of_every_value(facts, bound)
        };
        if let Some(hit) = hit {
            match out {
                Some(out) => out.add_bits(&hit),
                None => *out = Some(hit),
            }
        }
        let out_of_reach = match found {
            Fact::Is(()) => false,
            Fact::Absent => self.action == Action::Allow,
            Fact::Unknown => doubt == Doubt::Excluded,
        };
        if out_of_reach {
            let out = out.get_or_insert_with(|| Bits::none_of(bound));
            out.add(&self.asking);
        }
    }

    /// An ALLOW needs every form and every part to be free of what it does not match.
    fn of_any_value(&self, facts: &Facts<'_>, bound: usize, out: &mut Option<Bits>) -> Fact<()> {
        self.dimension.each_of(facts, &mut |value| {
            let out = out.get_or_insert_with(|| Bits::none_of(bound));
            self.by_key.matching(value, &mut |set| out.add(set));
            ControlFlow::Continue(())
        })
    }

    /// Elsewhere one that is free suffices.
    fn of_every_value(&self, facts: &Facts<'_>, bound: usize) -> (Fact<()>, Option<Bits>) {
        let mut all: Option<Bits> = None;
        // Of the second value and all others: a client may send thousands.
        let mut hit: Option<Bits> = None;
        let found = self.dimension.each_of(facts, &mut |value| {
            let Some(all) = &mut all else {
                let all = all.insert(Bits::none_of(bound));
                self.by_key.matching(value, &mut |set| all.add(set));
                return ControlFlow::Continue(());
            };
            if all.is_empty() {
                return ControlFlow::Break(());
            }
            let hit = hit.get_or_insert_with(|| Bits::none_of(bound));
            hit.clear();
            self.by_key.matching(value, &mut |set| hit.add(set));
            all.keep_bits(hit);
            ControlFlow::Continue(())
        });
        (found, all)
    }
}
