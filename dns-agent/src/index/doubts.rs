//! Which names cannot be denied yet, because a catalog that may have them was never read.

use std::collections::HashSet;

use super::{Discovery, Known, RemotePolicy};
use crate::catalog::{Catalog, Cluster, Import, SyncState};

/// A peer is needed only for namespaces that exist here or that its import names: with a resolver's search list every
/// outside name is first asked with our domain behind it, and a failure there would be an outage of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    /// A peer that may have any namespace was never read, and the local cluster neither, or as it was once: which namespaces
    /// exist here, and so those for which the peer is needed, only the cluster's own DNS can say.
    pub(super) here: bool,
    /// A peer that may have any namespace was never read. Of those that do not exist here it is not needed, but they are
    /// not denied by us meanwhile.
    pub(super) elsewhere: bool,
    namespaces: HashSet<String>,
    services: HashSet<(String, String)>,
}

impl Doubts {
    /// Of names that peers which count may have.
    pub(super) fn of(
        known: &Known,
        local: Option<&Catalog>,
        policy: &RemotePolicy,
        counts: impl Fn(&Cluster) -> bool,
    ) -> Self {
        let mut doubts = Self {
            elsewhere: known.discoveries.iter().any(|discovery| discovery.pending),
            ..Self::default()
        };
        let mut clusters = known.clusters.iter();
        let current = clusters.any(|cluster| cluster.local && cluster.state == SyncState::Synced);
        let allowed = |namespace: &str| {
            if local.is_none() {
                return true;
            }
            let here = local.and_then(|catalog| catalog.namespaces.get(namespace));
            policy.reaches(here.map(|namespace| &**namespace))
        };
        let unread = unread(&known.clusters, &known.discoveries);
        for cluster in unread.filter(|cluster| counts(cluster)) {
            doubts.elsewhere |= cluster.import.reaches_every_namespace();
            if let Import::Only {
                namespaces,
                services,
                ..
            } = &cluster.import
            {
                let namespaces = namespaces.iter().filter(|namespace| allowed(namespace));
                doubts.namespaces.extend(namespaces.cloned());
                let services = services.iter().filter(|(namespace, _)| allowed(namespace));
                doubts.services.extend(services.cloned());
            }
        }
        doubts.here = !current && doubts.elsewhere;
        if doubts.elsewhere {
            let here = local.iter().flat_map(|catalog| &catalog.namespaces);
            let here = here.filter(|(_, namespace)| policy.reaches(Some(namespace)));
            doubts
                .namespaces
                .extend(here.map(|(name, _)| name.to_string()));
        }
        doubts
    }

    /// Whether a namespace may still turn out to have a service.
    pub(super) fn reach(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace) || self.services.iter().any(|(of, _)| of == namespace)
    }

    /// Whether a service may still turn out to exist.
    pub(super) fn contain(&self, namespace: &str, name: &str) -> bool {
        self.namespaces.contains(namespace)
            || !self.services.is_empty()
                && self
                    .services
                    .contains(&(namespace.to_owned(), name.to_owned()))
    }
}

/// The peers that were never read, also those that may still be discovered.
pub(super) fn unread<'k>(
    clusters: &'k [Cluster],
    discoveries: &'k [Discovery],
) -> impl Iterator<Item = &'k Cluster> {
    let pending = discoveries.iter().filter(|discovery| discovery.pending);
    let expected = pending.flat_map(|discovery| &*discovery.expected);
    let peers = clusters.iter().filter(|cluster| !cluster.local);
    let unread = |cluster: &&Cluster| cluster.state == SyncState::Pending;
    peers.chain(expected).filter(unread)
}
