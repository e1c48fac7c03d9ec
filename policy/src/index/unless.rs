//! Many rules that differ by what they do not match. Nearly all of them match nearly everything, so they are taken all, but
//! for those that a value of the request rules out; a rule that is left over in vain is rare then.

use super::exceptions::Exceptions;
use super::keys::{Dimension, Key};
use super::set::{Bits, Set};
use super::table::Table;
use crate::facts::Facts;
use crate::spec::Action;
use crate::truth::Fact;

/// The rules, in written order, and the dimensions by which many of them are ruled out.
#[derive(Clone, Debug)]
pub(super) struct Unless {
    rules: Box<[usize]>,
    filters: Box<[Filter]>,
}

/// What one dimension rules out. Rules are numbered by their place in the node.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    dimension: Dimension,
    action: Action,
    by_key: Table<Set>,
    /// Those that ask for anything here: an ALLOW with a `not…` list does not match an absent value.
    asking: Set,
}

impl Unless {
    pub(super) fn new(rules: Vec<usize>, filters: Vec<Filter>) -> Self {
        Self {
            rules: rules.into(),
            filters: filters.into(),
        }
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.rules.first().copied()
    }

    /// All rules.
    pub(super) fn rules(&self) -> impl Iterator<Item = usize> {
        self.rules.iter().copied()
    }

    /// All but these.
    pub(super) fn rules_but(&self, out: &Bits) -> impl Iterator<Item = usize> {
        out.missing().map_while(|at| self.rules.get(at).copied())
    }

    /// The rules that cannot match; none at all of them if nothing is known.
    pub(super) fn ruled_out(&self, facts: &Facts<'_>) -> Option<Bits> {
        let mut out: Option<Bits> = None;
        for filter in &self.filters {
            if let Some(more) = filter.ruled_out(facts, self.rules.len()) {
                match &mut out {
                    Some(out) => out.add_bits(&more),
                    None => out = Some(more),
                }
            }
        }
        out
    }
}

impl Filter {
    /// A filter of the rules with these exceptions; none if too few have any.
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

    fn ruled_out(&self, facts: &Facts<'_>, bound: usize) -> Option<Bits> {
        let strict = self.action == Action::Allow;
        let mut out: Option<Bits> = None;
        let found = self.dimension.each_of(facts, &mut |value| {
            let mut hit = Bits::none_of(bound);
            self.by_key.matching(value, &mut |set| hit.add(set));
            match &mut out {
                None => out = Some(hit),
                // An ALLOW needs every form and every part to be free of what it does not match; elsewhere one that is free
                // suffices.
                Some(out) if strict => out.add_bits(&hit),
                Some(out) => out.keep_bits(&hit),
            }
        });
        if strict && matches!(found, Fact::Absent) {
            let mut all = Bits::none_of(bound);
            all.add(&self.asking);
            return Some(all);
        }
        out
    }
}
