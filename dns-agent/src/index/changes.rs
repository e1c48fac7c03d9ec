//! What is not the same in two indexes.

use std::sync::Arc;

use super::{Entry, Index, Namespace, Part, Parts};
use crate::name::Name;

impl Index {
    /// The names that were ours to answer in `before` and are others' now, so that what others said of them earlier counts
    /// again.
    pub fn left<'b>(&'b self, before: &'b Self) -> impl Iterator<Item = &'b Name> {
        let ours = |entry: &Entry| !matches!(entry, Entry::Upstream { .. });
        let namespaces = before.namespaces.iter();
        let changed = namespaces.flat_map(|(label, of)| {
            let now = self.namespaces.get(label);
            let same = now.is_some_and(|now| Arc::ptr_eq(now, of));
            let of = (!same).then_some(of).into_iter();
            of.flat_map(move |of| {
                let other = of.other.iter().enumerate().flat_map(move |(at, before)| {
                    changed_part_pairs(now.and_then(|now| now.other.get(at)), before)
                });
                changed_part_pairs(now.map(|now| &now.services), &of.services)
                    .chain(changed_part_pairs(now.map(|now| &now.set), &of.set))
                    .chain(other)
            })
        });
        changed.flat_map(move |(now, before)| {
            let left = before.entries.iter().filter(move |(name, entry)| {
                let now = now.and_then(|now| now.entry(name.as_wire()));
                ours(entry) && !now.is_some_and(ours)
            });
            left.map(|(name, _)| name)
        })
    }

    /// How many names answer otherwise than in `other`.
    pub fn changed_names(&self, other: &Self) -> usize {
        let changed = self.namespaces.iter().map(|(label, namespace)| {
            let before = other.namespaces.get(label);
            before.map_or(namespace.names, |before| namespace.changed_names(before))
        });
        let gone = other
            .namespaces
            .iter()
            .filter(|(label, _)| !self.namespaces.contains_key(*label));
        changed.sum::<usize>() + gone.map(|(_, namespace)| namespace.names).sum::<usize>()
    }
}

impl Namespace {
    fn changed_names(self: &Arc<Self>, other: &Arc<Self>) -> usize {
        if Arc::ptr_eq(self, other) {
            return 0;
        }
        let others = self.other.iter().zip(&other.other);
        changed_parts(&self.services, &other.services)
            + changed_parts(&self.set, &other.set)
            + others
                .map(|(now, before)| changed_parts(now, before))
                .sum::<usize>()
    }
}

/// The parts of before that are not the same now, with what they are now.
fn changed_part_pairs<'i>(
    now: Option<&'i Parts>,
    before: &'i Parts,
) -> impl Iterator<Item = (Option<&'i Part>, &'i Part)> {
    before.iter().filter_map(move |(label, before)| {
        let now = now.and_then(|now| now.get(label));
        let same = now.is_some_and(|now| Arc::ptr_eq(now, before));
        (!same).then_some((now.map(|now| &**now), &**before))
    })
}

fn changed_parts(now: &Parts, before: &Parts) -> usize {
    let changed = now.iter().map(|(label, part)| {
        let before = before.get(label);
        before.map_or(part.entries.len(), |before| part.changed_names(before))
    });
    let gone = before.iter().filter(|(label, _)| !now.contains_key(*label));
    changed.sum::<usize>() + gone.map(|(_, part)| part.entries.len()).sum::<usize>()
}

impl Part {
    fn changed_names(self: &Arc<Self>, other: &Arc<Self>) -> usize {
        if Arc::ptr_eq(self, other) {
            return 0;
        }
        let missing = |one: &Self, in_other: &Self, same: fn(&Entry, &Entry) -> bool| {
            let missing = one.entries.iter().filter(|(name, entry)| {
                let found = in_other.entry(name.as_wire());
                !found.is_some_and(|found| same(found, entry))
            });
            missing.count()
        };
        missing(self, other, |one, other| one == other) + missing(other, self, |_, _| true)
    }
}
