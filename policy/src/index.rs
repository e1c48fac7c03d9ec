//! Where to look for the rules that may apply, so that ten thousand rules cost about what ten do.
//!
//! A tree. Each node splits its rules by the one dimension (an account, a path, a port …) that leaves the fewest to
//! look at in the worst case; a rule that does not constrain the dimension goes to the node's rest, which is always
//! visited. A visit reaches every rule that may apply, and others too: who visits still asks each rule. The
//! dimensions are taken by value, from the policy: a client cannot choose the keys, so the hash need not be a
//! defence.
//!
//! Of a connection much is unknown: it has trees of its own, see `connections`.

mod connections;
mod keys;
mod table;

use table::Table;

use crate::facts::Facts;
use crate::policy::{Common, Needs};
use crate::rule::Rule;
use crate::source::Source;
use crate::spec::Action;
use crate::truth::{Doubt, Fact};
use connections::Connections;
use keys::{Dimension, Key};

/// A node with no more rules than this is not worth a look-up.
const LEAF: usize = 4;
/// How many times a node's rules may be entered, over all keys, before a dimension counts as too crowded.
const MOST_ENTRIES: usize = 4;

/// The rules of one action by what they are about.
#[derive(Clone, Debug)]
pub(crate) struct Index {
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
    /// To be looked at one by one.
    Few(Box<[usize]>),
    /// To be told apart by one dimension.
    Split(Box<Split>),
}

#[derive(Clone, Debug)]
struct Split {
    dimension: Dimension,
    by_key: Table<Node>,
    /// The rules that do not constrain the dimension.
    rest: Node,
}

impl Index {
    /// An index of these rules, which are all of this action, and are then known by their numbers.
    pub(crate) fn build(rules: &[Rule], action: Action, common: &Common) -> Self {
        let all = (0..rules.len()).collect();
        let root = build(rules, all, &Dimension::ALL, common);
        Self {
            connections: Connections::build(rules, action, common, &root),
            root,
        }
    }

    /// Calls with the number of every rule that may apply, doubtful ones included or not, in no order; with some more
    /// than once. Of ALLOW and DENY rules that come to the same for a connection it calls with the first alone.
    pub(crate) fn visit(&self, facts: &Facts<'_>, doubt: Doubt, each: &mut impl FnMut(usize)) {
        let root = if facts.is_connection() {
            self.connections.root(doubt)
        } else {
            None
        };
        visit(root.unwrap_or(&self.root), facts, each);
    }

    /// What the rules ask for that a source can meet.
    pub(crate) fn needs(&self, source: &Source) -> Needs {
        needs(&self.root, source)
    }
}

fn visit(node: &Node, facts: &Facts<'_>, each: &mut impl FnMut(usize)) {
    match &node.rules {
        Rules::Few(rules) => rules.iter().for_each(|rule| each(*rule)),
        Rules::Split(split) => {
            visit(&split.rest, facts, each);
            match split.dimension.of(facts) {
                // No positive matcher matches what is absent, and these rules have one.
                Fact::Absent => {}
                Fact::Unknown => split.by_key.all().for_each(|node| visit(node, facts, each)),
                Fact::Is(values) => {
                    for value in values.iter().flatten() {
                        split
                            .by_key
                            .matching(value, &mut |node| visit(node, facts, each));
                    }
                }
            }
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

fn build(rules: &[Rule], of: Vec<usize>, left: &[Dimension], common: &Common) -> Node {
    let asked = of.iter().filter_map(|at| rules.get(*at));
    let needs = asked.fold(Needs::default(), |needs, rule| needs.or(Needs::of(rule)));
    let best = if of.len() > LEAF {
        best_split(rules, &of, left, common)
    } else {
        None
    };
    let rules = match best {
        None => Rules::Few(of.into()),
        Some(dimension) => {
            let left: Vec<Dimension> = left.iter().copied().filter(|d| *d != dimension).collect();
            let mut by_key: Table<Vec<usize>> = Table::default();
            let mut rest = Vec::new();
            for at in of {
                match rules.get(at).and_then(|rule| dimension.keys(rule, common)) {
                    None => rest.push(at),
                    Some(keys) => keys.into_iter().for_each(|key| by_key.entry(key).push(at)),
                }
            }
            Rules::Split(Box::new(Split {
                dimension,
                by_key: by_key.map(|of| build(rules, of, &left, common)),
                rest: build(rules, rest, &left, common),
            }))
        }
    };
    Node { needs, rules }
}

/// The dimension whose fullest key, with the rest, leaves the fewest rules; none if no dimension halves them.
fn best_split(
    rules: &[Rule],
    of: &[usize],
    left: &[Dimension],
    common: &Common,
) -> Option<Dimension> {
    let crowded = of.len().saturating_mul(MOST_ENTRIES).saturating_add(64);
    let cost = |dimension: Dimension| {
        let mut sizes: Table<usize> = Table::default();
        let (mut rest, mut entries) = (0usize, 0usize);
        for at in of {
            match rules.get(*at).and_then(|rule| dimension.keys(rule, common)) {
                None => rest = rest.saturating_add(1),
                Some(keys) => {
                    for key in keys {
                        let size = sizes.entry(key);
                        *size = size.saturating_add(1);
                        entries = entries.saturating_add(1);
                    }
                }
            }
            if entries > crowded {
                return None;
            }
        }
        let fullest = sizes.all().copied().max().unwrap_or(0);
        Some(rest.saturating_add(fullest))
    };
    let costs = left.iter().filter_map(|d| Some((cost(*d)?, *d)));
    let (cost, best) = costs.min_by_key(|(cost, _)| *cost)?;
    (cost.saturating_mul(2) <= of.len().saturating_add(1)).then_some(best)
}

#[cfg(test)]
mod tests;
