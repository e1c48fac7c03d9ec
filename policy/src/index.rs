//! Where to look for the rules that may apply, so that ten thousand rules cost about what ten do.
//!
//! A tree. Each node splits its rules by the one dimension (an account, a path, a header …) that leaves the fewest to look at
//! in the worst case; a rule that does not constrain the dimension goes to the node's rest, which is always visited. Many
//! rules that no such split tells apart differ by their `not…` lists at most: of those a node leaves out the ones that the
//! request's own values rule out, see `unless`. A visit reaches every rule that may apply, and others too: who visits still
//! asks each rule, and says after which no more are wanted. The dimensions are taken by value, from the policy: a client
//! cannot choose the keys, so the hash need not be a defence.
//!
//! Of a connection much is unknown: it has trees of its own, see `connections`.

mod build;
mod connections;
mod exceptions;
mod keys;
mod list;
mod set;
mod table;
mod unless;
mod visit;

use build::{Builder, LIMITS, Limits};
use connections::Connections;
use keys::Dimension;
pub(crate) use list::LookUp;
use table::Table;
use unless::Unless;
use visit::Visit;

use crate::facts::Facts;
use crate::policy::{Common, Needs};
use crate::rule::Rule;
use crate::source::Source;
use crate::spec::Action;
use crate::truth::{Doubt, Fact};

/// The rules of one action by what they are about.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    action: Action,
    root: Node,
    connections: Connections,
}

/// Some rules, and what they ask for.
#[derive(Clone, Debug)]
struct Node {
    needs: Needs,
    rules: Rules,
}

#[derive(Clone, Debug)]
enum Rules {
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
    /// The first of all the rules.
    first: usize,
    by_key: Table<Node>,
    /// The rules that do not constrain the dimension.
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
        let all = (0..rules.len()).collect();
        let root = Builder::new(rules, action, common, &Dimension::ALL, limits).tree(all);
        Self {
            action,
            connections: Connections::build(rules, action, common, limits, &root),
            root,
        }
    }

    /// Calls with the number of every rule that may count, in no order; with some more than once. The call answers before
    /// which number rules are still wanted. Of ALLOW and DENY rules that come to the same for a connection it calls with the
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
    /// The first of its rules; none if it has none.
    fn first(&self) -> Option<usize> {
        match &self.rules {
            Rules::Few(rules) => rules.first().copied(),
            Rules::Split(split) => Some(split.first),
            Rules::Unless(unless) => unless.first(),
        }
    }
}

fn needs(node: &Node, source: &Source) -> Needs {
    let Rules::Split(split) = &node.rules else {
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
