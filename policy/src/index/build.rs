//! How a tree is made of the parts of rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::{Dimension, Key};
use super::table::Table;
use super::unless::{Filter, Unless};
use super::{Node, Parts, Split};
use crate::path::PathPattern;
use crate::policy::{Common, Needs};
use crate::rule::Terms;
use crate::spec::Action;

/// What is worth a look-up.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// No more parts than this are not.
    pub(super) leaf: usize,
    /// So many parts that need not be looked at are, however many are left.
    pub(super) worth: usize,
    /// More parts than this are not looked at one by one if anything keeps them away.
    pub(super) many: usize,
}

/// What a look-up costs is what looking at some parts costs.
pub(super) const LIMITS: Limits = Limits {
    leaf: 4,
    worth: 8,
    many: 16,
};
/// How many times a tree's parts may be entered in all before it gets too large.
const MOST_ENTRIES: usize = 8;
/// The same for a tree of few parts with long lists.
const FREE_ENTRIES: usize = 64;
/// A header is considered that one of so many parts of a node asks for, as rarer ones their names tell apart; and likewise a segment
/// of the path.
const FREQUENT: usize = 8;
/// How deep a tree may get. Few dimensions are ever worth it, but policies name headers without end.
const DEEPEST: usize = 24;

/// Makes trees of these parts of rules, which are all of one action.
pub(super) struct Builder<'r> {
    parts: &'r [Terms<'r>],
    action: Action,
    common: &'r Common,
    dimensions: &'r [Dimension],
    limits: Limits,
    /// How many conditions there are on each header.
    header_uses: BTreeMap<&'r str, usize>,
}

/// What a split by a dimension would come to.
struct Cost {
    /// The parts that do not constrain the dimension.
    rest: usize,
    /// Those that it leaves in the worst case.
    left: usize,
    /// How often parts are entered.
    entries: usize,
}

/// Parts by what they want of a dimension.
#[derive(Default)]
struct Grouped {
    by_key: Table<Vec<usize>>,
    /// All that want something of it.
    keyed: Vec<usize>,
    rest: Vec<usize>,
}

impl<'r> Builder<'r> {
    /// Trees that split by these dimensions and, if the names of headers are among them, by headers.
    pub(super) fn new(
        parts: &'r [Terms<'r>],
        action: Action,
        common: &'r Common,
        dimensions: &'r [Dimension],
        limits: Limits,
    ) -> Self {
        let mut header_uses = BTreeMap::new();
        if dimensions.contains(&Dimension::HeaderNames) {
            count_headers(parts.iter(), &mut header_uses);
        }
        Self {
            parts,
            action,
            common,
            dimensions,
            limits,
            header_uses,
        }
    }

    /// The tree of the parts with these numbers, which are in their order.
    pub(super) fn tree(&self, of: Vec<usize>) -> Node {
        let free = FREE_ENTRIES.checked_div(of.len()).unwrap_or(0);
        self.node(of, &[], MOST_ENTRIES.saturating_add(free))
    }

    /// A node below splits by `used`, whose parts may be entered so many `times`.
    fn node(&self, of: Vec<usize>, used: &[Dimension], times: usize) -> Node {
        let asked = of.iter().filter_map(|at| self.parts.get(*at));
        let needs = asked.fold(Needs::default(), |needs, part| needs.or(Needs::of(part)));
        let best = if of.len() > self.limits.leaf && used.len() < DEEPEST {
            self.best_split(&of, used, times)
        } else {
            None
        };
        let parts = match best {
            Some((dimension, times)) => self.split(of, dimension, used, times),
            None => self.leaf(of),
        };
        Node { needs, parts }
    }

    fn split(&self, of: Vec<usize>, by: Dimension, used: &[Dimension], times: usize) -> Parts {
        let used = [used, std::slice::from_ref(&by)].concat();
        let first = of.first().copied().unwrap_or(usize::MAX);
        let Grouped {
            by_key,
            keyed,
            rest,
        } = self.grouped(&of, &by);
        Parts::Split(Box::new(Split {
            first,
            by_key: by_key.map(|of| self.node(of, &used, times)),
            rest: self.node(rest, &used, times),
            unknown: self
                .may_be_unknown(&by)
                .then(|| self.node(keyed, &used, times)),
            dimension: by,
        }))
    }

    /// Parts that no split tells apart.
    fn leaf(&self, of: Vec<usize>) -> Parts {
        if of.len() > self.limits.many {
            let filter = |dimension: Dimension| {
                let parts = of.iter().map(|at| {
                    let part = self.parts.get(*at)?;
                    dimension.exceptions(part, self.common)
                });
                Filter::new(dimension.clone(), self.action, parts, self.limits.many)
            };
            let filters: Vec<Filter> = self.left(&of, &[]).filter_map(filter).collect();
            if !filters.is_empty() {
                return Parts::Unless(Box::new(Unless::new(of, filters)));
            }
        }
        Parts::Few(of.into())
    }

    /// The dimension whose fullest key, with the rest, leaves the fewest parts, and how often the parts below may be
    /// entered; none if no dimension is worth it.
    fn best_split(
        &self,
        of: &[usize],
        used: &[Dimension],
        times: usize,
    ) -> Option<(Dimension, usize)> {
        let all = of.len();
        let Limits { worth, many, .. } = self.limits;
        let most = all.saturating_mul(times);
        let costs = self.left(of, used).filter_map(|dimension| {
            let cost = self.cost(of, &dimension);
            (cost.entries <= most).then_some((cost, dimension))
        });
        let costs: Vec<(Cost, Dimension)> = costs.collect();
        let tells_apart = |cost: &Cost| {
            cost.left.saturating_mul(2) <= all.saturating_add(1)
                || cost.left.saturating_add(worth) <= all
        };
        // Where most parts want one and the same, all of them are kept from whoever has something else.
        let keeps_away = |cost: &Cost| all > many && cost.rest.saturating_mul(2) <= all;
        let best = costs.iter().filter(|(cost, _)| tells_apart(cost));
        let best = best.min_by_key(|(cost, _)| cost.left).or_else(|| {
            let best = costs.iter().filter(|(cost, _)| keeps_away(cost));
            best.min_by_key(|(cost, _)| cost.rest)
        });
        let (cost, dimension) = best?;
        let times = most.checked_div(cost.entries).unwrap_or(times);
        Some((dimension.clone(), times))
    }

    fn cost(&self, of: &[usize], by: &Dimension) -> Cost {
        let Grouped {
            by_key,
            keyed,
            rest,
        } = self.grouped(of, by);
        let rest = rest.len();
        let (mut fullest, mut entries) = (0, rest);
        for of in by_key.all() {
            fullest = of.len().max(fullest);
            entries = entries.saturating_add(of.len());
        }
        if self.may_be_unknown(by) {
            entries = entries.saturating_add(keyed.len());
        }
        Cost {
            rest,
            left: rest.saturating_add(fullest),
            entries,
        }
    }

    fn grouped(&self, of: &[usize], by: &Dimension) -> Grouped {
        let mut grouped = Grouped::default();
        for at in of.iter().copied() {
            match self.keys(at, by) {
                None => grouped.rest.push(at),
                Some(keys) => {
                    grouped.keyed.push(at);
                    let enter = |key| grouped.by_key.entry(key).push(at);
                    keys.into_iter().for_each(enter);
                }
            }
        }
        grouped
    }

    fn keys(&self, at: usize, dimension: &Dimension) -> Option<Vec<Key>> {
        let uses = |name: &str| self.header_uses.get(name).copied().unwrap_or(0);
        dimension.keys(self.parts.get(at)?, self.common, &uses)
    }

    /// Whether there are requests of which it is not known, though only requests are looked up here, and a part counts all the
    /// same.
    fn may_be_unknown(&self, dimension: &Dimension) -> bool {
        match dimension {
            Dimension::Address => true,
            Dimension::Header(_) => self.action != Action::Allow,
            _ => false,
        }
    }

    /// The dimensions that these parts could be split by.
    fn left(&self, of: &[usize], used: &[Dimension]) -> impl Iterator<Item = Dimension> {
        let often = of.len() / FREQUENT;
        let parts = || of.iter().filter_map(|at| self.parts.get(*at));
        let mut headers: BTreeMap<&str, usize> = BTreeMap::new();
        if !self.header_uses.is_empty() {
            count_headers(parts(), &mut headers);
        }
        let headers = headers.into_iter().filter(|(_, uses)| *uses >= often);
        let headers = headers.map(|(name, _)| Dimension::Header(Arc::from(name)));
        let segments = if self.dimensions.contains(&Dimension::Path) {
            segments_of(parts())
        } else {
            Vec::new()
        };
        let segments = segments.into_iter().enumerate();
        let segments = segments.filter(|(_, uses)| *uses > 0 && *uses >= often);
        let segments = segments.map(|(number, _)| Dimension::Segment(number));
        let left: Vec<Dimension> = self
            .dimensions
            .iter()
            .cloned()
            .chain(segments)
            .chain(headers)
            .filter(|dimension| !used.contains(dimension))
            .collect();
        left.into_iter()
    }
}

/// By segment: how many parts have a template that wants this one behind its first operator.
fn segments_of<'r>(parts: impl Iterator<Item = &'r Terms<'r>>) -> Vec<usize> {
    let mut uses: Vec<usize> = Vec::new();
    for part in parts {
        let paths = part.to.iter().copied().flatten();
        let mut paths = paths.filter_map(|to| to.paths.any.as_deref()).flatten();
        // The first one stands for the part: those of one list mostly differ elsewhere.
        let number = paths.find_map(|path| match path {
            PathPattern::Plain(_) => None,
            PathPattern::Template(template) => template.literal_behind_operator(),
        });
        if let Some(number) = number {
            if uses.len() <= number {
                uses.resize(number.saturating_add(1), 0);
            }
            if let Some(uses) = uses.get_mut(number) {
                *uses = uses.saturating_add(1);
            }
        }
    }
    uses
}

fn count_headers<'r>(
    parts: impl Iterator<Item = &'r Terms<'r>>,
    uses: &mut BTreeMap<&'r str, usize>,
) {
    for header in parts.flat_map(|part| part.when) {
        let uses = uses.entry(&header.name).or_default();
        *uses = uses.saturating_add(1);
    }
}
