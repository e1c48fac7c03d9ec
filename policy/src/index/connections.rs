//! Where to look for the rules of a connection.
//!
//! What HTTP would tell is unknown for all of it. A tree that splits by such a dimension would be searched whole, and rules
//! that differ in nothing else come to the same. So there is a tree for either way of taking doubt, without those
//! dimensions: where doubt is excluded, without the rules that ask for HTTP in any case; and with one of those that come to
//! the same, which is the first, because no later one is ever named. AUDIT rules are all named, and all stay.
//!
//! Whether a rule holds is not decided here: the rule itself is asked.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::keys::Dimension;
use super::table::Fnv;
use super::{Builder, Limits, Node, Parts};
use crate::pattern::Pattern;
use crate::policy::Common;
use crate::rule::{Among, From, Terms};
use crate::spec::Action;
use crate::truth::Doubt;

/// The trees of connections; none where that of requests serves as well, or where it is never asked.
///
/// Built when the policy is bound, although a plugin may see requests alone: Envoy does not say which it is, one root context
/// can be both, and what a policy costs is to show when it is configured, not at a connection. It is little: ALLOW rules that
/// ask for HTTP leave nothing. With 10,000 DENY rules by account and path, no two alike, these trees are 1 % of the policy's
/// memory and of the peak; building them takes about as long as the rest of the binding (some 20 ms, native).
#[derive(Clone, Debug)]
pub(super) struct Connections {
    doubt_excluded: Option<Node>,
    doubt_included: Option<Node>,
}

impl Connections {
    /// For these parts of rules of one action, whose tree of requests is `requests`.
    pub(super) fn build(
        parts: &[Terms<'_>],
        action: Action,
        common: &Common,
        limits: Limits,
        requests: &Node,
    ) -> Self {
        // Otherwise than for good it is decided only where the HTTP filter follows.
        let asked = |doubt| {
            let for_good = doubt == Doubt::settled(action);
            for_good || (action != Action::Audit && !common.http_ports.is_empty())
        };
        let tree = |doubt| {
            if !asked(doubt) {
                return None;
            }
            let mut known = Known::default();
            let counts = |(at, part)| {
                let left = Left::of(part, doubt)?;
                (action == Action::Audit || known.insert(left)).then_some(at)
            };
            let of: Vec<usize> = parts.iter().enumerate().filter_map(counts).collect();
            if of.len() == parts.len() && !splits_by_http(requests) {
                return None;
            }
            let dimensions = Dimension::of_connections();
            Some(Builder::new(parts, action, common, &dimensions, limits).tree(of))
        };
        Self {
            doubt_excluded: tree(Doubt::Excluded),
            doubt_included: tree(Doubt::Included),
        }
    }

    /// The tree to look in.
    pub(super) fn root(&self, doubt: Doubt) -> Option<&Node> {
        match doubt {
            Doubt::Excluded => self.doubt_excluded.as_ref(),
            Doubt::Included => self.doubt_included.as_ref(),
        }
    }
}

type Known<'r> = HashSet<Left<'r>, BuildHasherDefault<Fnv>>;

/// What is left of a part on a connection. Parts of one action of which the same is left hold for the same connections.
#[derive(PartialEq, Eq, Hash)]
struct Left<'r> {
    from: Option<&'r [From]>,
    /// Ports and SNIs of each item; none if one asks for neither.
    to: Option<Vec<(&'r Among<u16>, &'r Among<Pattern>)>>,
}

impl<'r> Left<'r> {
    /// None if nothing is left: the part never counts.
    fn of(part: &Terms<'r>, doubt: Doubt) -> Option<Self> {
        let sure = doubt == Doubt::Excluded;
        if sure && !part.when.is_empty() {
            return None;
        }
        let from = part.from;
        let Some(items) = part.to else {
            return Some(Self { from, to: None });
        };
        let mut to = Vec::new();
        let mut everything = false;
        for item in items.iter().filter(|item| !sure || !item.asks_http()) {
            let left = (&item.ports, &item.snis);
            everything |= !item.ports.is_given() && !item.snis.is_given();
            if !to.contains(&left) {
                to.push(left);
            }
        }
        if to.is_empty() {
            return None;
        }
        Some(Self {
            from,
            to: (!everything).then_some(to),
        })
    }
}

fn splits_by_http(node: &Node) -> bool {
    match &node.parts {
        Parts::Few(_) | Parts::Unless(_) => false,
        Parts::Split(split) => {
            split.dimension.is_http()
                || splits_by_http(&split.rest)
                || split.by_key.all().any(splits_by_http)
                || split.unknown.iter().any(splits_by_http)
        }
    }
}
