//! The index as the admin interface tells it.

use std::time::{Duration, SystemTime};

use crossmesh_proto::admin::v1 as proto;

use crate::{
    catalog::{Cluster, SyncState},
    index::{Entry, Index, Origin},
};

/// Every name with its answer, and every cluster with its state.
pub fn table(index: &Index) -> proto::Table {
    let clusters = index.clusters();
    let mut names: Vec<proto::Name> = index
        .names()
        .filter_map(|(name, entry)| {
            let (places, addresses, reason) = match entry {
                Entry::Host(host) => {
                    let v4 = host.v4.iter().map(ToString::to_string);
                    let v6 = host.v6.iter().map(ToString::to_string);
                    let addresses: Vec<String> = v4.chain(v6).collect();
                    let reason = reason(host.origin, addresses.is_empty());
                    (&*host.clusters, addresses, reason)
                }
                Entry::Upstream { cluster } => {
                    let places = std::slice::from_ref(cluster);
                    (places, Vec::new(), proto::Reason::Upstream)
                }
                Entry::Service(_) | Entry::Inner | Entry::Zone | Entry::Version => return None,
            };
            let clusters = places.iter().filter_map(|place| clusters.get(*place));
            Some(proto::Name {
                name: name.to_string(),
                clusters: clusters.map(|cluster| cluster.id.to_string()).collect(),
                addresses,
                reason: reason.into(),
            })
        })
        .collect();
    names.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    proto::Table {
        cluster_domain: index.settings().cluster_domain.to_string(),
        local_cluster: index.local_cluster().to_owned(),
        ttl_seconds: index.settings().ttl,
        clusters: clusters.iter().map(cluster).collect(),
        names,
    }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn cluster(cluster: &Cluster) -> proto::Cluster {
    let catalog = cluster.catalog.as_deref();
    let age = cluster
        .read_at
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    let not_synced = cluster.not_synced_since.map(|since| since.elapsed());
    let state = match cluster.state {
        SyncState::Synced => proto::SyncState::Synced,
        SyncState::Stale => proto::SyncState::Stale,
        SyncState::Pending => proto::SyncState::Pending,
        SyncState::TimedOut => proto::SyncState::TimedOut,
    };
    proto::Cluster {
        id: cluster.id.to_string(),
        mesh: cluster.mesh.to_string(),
        network: catalog
            .and_then(|catalog| catalog.network.clone())
            .unwrap_or_default(),
        state: state.into(),
        age_milliseconds: age.map(milliseconds),
        not_synced_milliseconds: not_synced.map(milliseconds),
        problem: cluster.problem.clone().unwrap_or_default(),
        services: catalog.map_or(0, |catalog| {
            u32::try_from(catalog.service_count()).unwrap_or(u32::MAX)
        }),
    }
}

fn reason(origin: Origin, empty: bool) -> proto::Reason {
    match origin {
        _ if empty => proto::Reason::Nodata,
        Origin::Local => proto::Reason::Local,
        Origin::Gateway => proto::Reason::Gateway,
        Origin::ClusterIp => proto::Reason::ClusterIp,
    }
}
