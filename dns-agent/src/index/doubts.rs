//! Which names cannot be denied yet, because a catalog that may have them was never read.

use std::{collections::HashSet, str::from_utf8};

use super::{Known, RemotePolicy};
use crate::catalog::{Catalog, Cluster, Import, SyncState};

/// A peer is needed only for namespaces that exist here or that its import names: with a resolver's search list every
/// outside name is first asked with our domain behind it, and a failure there would be an outage of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    /// Neither the local cluster nor a peer that may have any namespace was ever read: which namespaces exist here, and so
    /// those for which the peer is needed, only the cluster's own DNS can say.
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
        let allowed = |namespace: &str| {
            if local.is_none() {
                return true;
            }
            let here = local.and_then(|catalog| catalog.namespaces.get(namespace));
            policy.reaches(here.map(|namespace| &**namespace))
        };
        let clusters = known.clusters.iter().filter(|cluster| counts(cluster));
        for cluster in
            clusters.filter(|cluster| !cluster.local && cluster.state == SyncState::Pending)
        {
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
        doubts.here = local.is_none() && doubts.elsewhere;
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
    pub(super) fn reach(&self, namespace: &[u8]) -> bool {
        from_utf8(namespace).is_ok_and(|namespace| {
            self.namespaces.contains(namespace)
                || self.services.iter().any(|(of, _)| of == namespace)
        })
    }

    /// Whether a service may still turn out to exist.
    pub(super) fn contain(&self, namespace: &[u8], service: &[u8]) -> bool {
        if self.namespaces.is_empty() && self.services.is_empty() {
            return false;
        }
        let (Ok(namespace), Ok(service)) = (from_utf8(namespace), from_utf8(service)) else {
            // Not the name of any service.
            return false;
        };
        self.namespaces.contains(namespace)
            || self
                .services
                .contains(&(namespace.to_owned(), service.to_owned()))
    }
}
