//! Which names cannot be denied yet.

use crate::catalog::{Catalog, Import, SyncState};

use super::{Doubts, Known};

/// A peer is needed only for namespaces that exist here or that its import names: with a resolver's search list every
/// outside name is first asked with our domain behind it, and a failure there would be an outage of everything.
pub(super) fn doubts(known: &Known, local: Option<&Catalog>) -> Doubts {
    let mut doubts = Doubts {
        every_namespace: local.is_none(),
        ..Doubts::default()
    };
    let mut needs_all = known.discoveries.iter().any(|discovery| discovery.pending);
    let clusters = known.clusters.iter();
    for cluster in clusters.filter(|cluster| !cluster.local && cluster.state == SyncState::Pending)
    {
        needs_all |= cluster.import.reaches_every_namespace();
        if let Import::Only {
            namespaces,
            services,
            ..
        } = &cluster.import
        {
            doubts.namespaces.extend(namespaces.iter().cloned());
            doubts.services.extend(services.iter().cloned());
        }
    }
    if needs_all {
        let here = local.iter().flat_map(|catalog| catalog.namespaces.keys());
        doubts.namespaces.extend(here.map(ToString::to_string));
    }
    doubts
}
