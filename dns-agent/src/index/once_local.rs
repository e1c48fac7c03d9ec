//! Which services that were local once are kept in mind.

use std::sync::Arc;

use super::OnceLocal;
use crate::catalog::{Cluster, SyncState};

/// So many services that were local once are kept in mind whatever clusters have now.
const MOST_ONCE_LOCAL: usize = 10_000;

/// Where names come and go for years, not all of them can be kept in mind: those that no cluster has go first. What a cluster
/// has of which nothing is known yet, nobody knows: it is waited for as long as anybody waits for it, and if it never comes, no
/// more is forgotten for its sake than there is no room for.
pub(super) fn forget_surplus(once_local: &mut Arc<OnceLocal>, clusters: &[Cluster]) {
    if once_local.len() <= MOST_ONCE_LOCAL || !none_pending(clusters) {
        return;
    }
    let mut surplus = if clusters.iter().all(|cluster| cluster.catalog.is_some()) {
        usize::MAX
    } else {
        once_local.len() - MOST_ONCE_LOCAL
    };
    let catalogs = || {
        clusters
            .iter()
            .filter_map(|cluster| cluster.catalog.as_ref())
    };
    Arc::make_mut(once_local).retain(|(namespace, name)| {
        let is_kept = surplus == 0
            || catalogs().any(|catalog| {
                let namespace = catalog.namespaces.get(namespace);
                namespace.is_some_and(|namespace| namespace.services().contains_key(name))
            });
        surplus -= usize::from(!is_kept);
        is_kept
    });
}

/// Whether nobody is waited for any more of whom nothing is known.
pub(super) fn none_pending(clusters: &[Cluster]) -> bool {
    clusters
        .iter()
        .all(|cluster| cluster.state != SyncState::Pending)
}
