//! What every cluster has of a namespace, and what of it is not the same at two moments.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::Inputs;
use crate::catalog::{self, Cluster};

/// What every cluster has of one namespace.
pub(super) fn inputs_of(clusters: &[Cluster], namespace: &str) -> Inputs {
    let of = |cluster: &Cluster| cluster.catalog.as_ref()?.namespaces.get(namespace).cloned();
    clusters.iter().map(of).collect()
}

/// The namespaces of all clusters, each with what every cluster has of it.
pub(super) fn inputs(clusters: &[Cluster]) -> HashMap<&Arc<str>, Inputs> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (at, cluster) in clusters.iter().enumerate() {
        for (name, namespace) in cluster.catalog.iter().flat_map(|of| &of.namespaces) {
            let all = found
                .entry(name)
                .or_insert_with(|| vec![None; clusters.len()]);
            if let Some(place) = all.get_mut(at) {
                *place = Some(Arc::clone(namespace));
            }
        }
    }
    found
}

/// Whether they are the very same.
pub(super) fn same(
    one: &[Option<Arc<catalog::Namespace>>],
    other: &[Option<Arc<catalog::Namespace>>],
) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        })
}

/// The names of the services and imports that are not the same.
pub(super) fn changed<'i>(now: &'i Inputs, before: &'i Inputs) -> BTreeSet<&'i Arc<str>> {
    let mut found = BTreeSet::new();
    for (now, before) in now.iter().zip(before) {
        let (now, before) = (now.as_deref(), before.as_deref());
        add_changed(
            &mut found,
            now.map(catalog::Namespace::services),
            before.map(catalog::Namespace::services),
        );
        add_changed(
            &mut found,
            now.map(catalog::Namespace::imports),
            before.map(catalog::Namespace::imports),
        );
    }
    found
}

type ByName<T> = BTreeMap<Arc<str>, Arc<T>>;

fn add_changed<'i, T>(
    found: &mut BTreeSet<&'i Arc<str>>,
    now: Option<&'i ByName<T>>,
    before: Option<&'i ByName<T>>,
) {
    let mut now = now.into_iter().flatten().peekable();
    let mut before = before.into_iter().flatten().peekable();
    loop {
        let order = match (now.peek(), before.peek()) {
            (Some((now, _)), Some((before, _))) => now.cmp(before),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let one = order.is_le().then(|| now.next()).flatten();
        let other = order.is_ge().then(|| before.next()).flatten();
        match (one, other) {
            (Some((_, one)), Some((_, other))) if Arc::ptr_eq(one, other) => {}
            (Some((name, _)), _) | (None, Some((name, _))) => {
                found.insert(name);
            }
            (None, None) => {}
        }
    }
}
