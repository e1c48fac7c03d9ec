//! Where to look for the rules that may apply, so that ten thousand rules cost about what ten do.
//!
//! A tree of the parts of rules, see `part`. Each node splits its parts by the one dimension (an account, a path, a header …)
//! that leaves the fewest to look at in the worst case; a part that does not constrain the dimension goes to the node's rest,
//! which is always visited. Many parts that no such split tells apart differ by their `not…` lists at most: of those a node leaves
//! out the ones that the request's own values rule out, see `unless`. A visit reaches every part that may apply, and others too:
//! who visits still asks each, and says after which no more are wanted. The dimensions are taken by value, from the policy: a client
//! cannot choose the keys, so the hash need not be a defence.
//!
//! Of a connection much is unknown: it has trees of its own, see `connections`.

mod build;
mod connections;
mod exceptions;
mod keys;
mod part;
mod set;
mod table;
mod unless;
mod visit;

use build::{Builder, LIMITS, Limits};
use connections::Connections;
use keys::Dimension;
pub(crate) use keys::{Key, exact, prefix, suffix};
pub(crate) use part::Part;
pub(crate) use table::Table;
use unless::Unless;
use visit::Visit;

use crate::facts::Facts;
use crate::policy::{Common, Needs};
use crate::rule::{Rule, Terms};
use crate::source::Source;
use crate::spec::Action;
use crate::truth::{Doubt, Fact};

/// The rules of one action by what they are about.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    action: Action,
    /// In the order of their rules.
    parts: Box<[Part]>,
    root: Node,
    connections: Connections,
}

/// Some parts, and what they ask for.
#[derive(Clone, Debug)]
struct Node {
    needs: Needs,
    parts: Parts,
}

#[derive(Clone, Debug)]
enum Parts {
    /// To be looked at one by one, in written order.
    Few(Box<[usize]>),
    /// To be told apart by one dimension.
    Split(Box<Split>),
    /// Too many to be looked at one by one, and told apart by what they do not match.
    Unless(Box<Unless>),
}

#[derive(Clone, Debug)]
struct Split {
    dimension: Dimension,
    /// The first of all the parts.
    first: usize,
    by_key: Table<Node>,
    /// The parts that do not constrain the dimension.
    rest: Node,
    /// Those that do, for when the value is not known; none where that cannot be.
    unknown: Option<Node>,
}

impl Index {
    /// An index of these rules, which are all of this action, and are then known by their numbers.
    pub(crate) fn build(rules: &[Rule], action: Action, common: &Common) -> Self {
        Self::build_within(rules, action, common, LIMITS)
    }

    /// An index as it would be of many rules, of few.
    #[cfg(test)]
    pub(crate) fn build_deep(rules: &[Rule], action: Action, common: &Common) -> Self {
        let limits = Limits {
            leaf: 1,
            worth: 1,
            many: 1,
        };
        Self::build_within(rules, action, common, limits)
    }

    fn build_within(rules: &[Rule], action: Action, common: &Common, limits: Limits) -> Self {
        let numbered = rules.iter().enumerate();
        let parts: Box<[Part]> = numbered.flat_map(|(at, rule)| Part::of(at, rule)).collect();
        let terms: Vec<Terms<'_>> = parts.iter().filter_map(|part| part.terms(rules)).collect();
        let all = (0..terms.len()).collect();
        let root = Builder::new(&terms, action, common, &Dimension::ALL, limits).tree(all);
        Self {
            action,
            connections: Connections::build(&terms, action, common, limits, &root),
            root,
            parts,
        }
    }

    /// The part with this number. The parts are in the order of their rules.
    pub(crate) fn part(&self, number: usize) -> Option<Part> {
        self.parts.get(number).copied()
    }

    /// Calls with the number of every part that may count, in no order; with some more than once. The call answers before
    /// which number parts are still wanted. Of ALLOW and DENY rules that come to the same for a connection it calls with the
    /// first alone.
    pub(crate) fn visit(
        &self,
        facts: &Facts<'_>,
        doubt: Doubt,
        each: &mut impl FnMut(usize) -> usize,
    ) {
        let root = if facts.is_connection() {
            self.connections.root(doubt)
        } else {
            None
        };
        Visit::new(facts, doubt, self.action, each).node(root.unwrap_or(&self.root));
    }

    /// What the rules ask for that a source can meet.
    pub(crate) fn needs(&self, source: &Source) -> Needs {
        needs(&self.root, source)
    }
}

impl Node {
    /// The first of its parts; none if it has none.
    fn first(&self) -> Option<usize> {
        match &self.parts {
            Parts::Few(parts) => parts.first().copied(),
            Parts::Split(split) => Some(split.first),
            Parts::Unless(unless) => unless.first(),
        }
    }
}

fn needs(node: &Node, source: &Source) -> Needs {
    let Parts::Split(split) = &node.parts else {
        return node.needs;
    };
    match split.dimension.of_source(source) {
        Fact::Unknown => node.needs,
        Fact::Absent => needs(&split.rest, source),
        Fact::Is(value) => {
            let mut all = needs(&split.rest, source);
            split
                .by_key
                .matching(value, &mut |node| all = all.or(needs(node, source)));
            all
        }
    }
}

#[cfg(test)]
mod tests;
