//! How the agent is set up and how it is, as the admin interface tells it.

use std::time::{SystemTime, UNIX_EPOCH};

use crossmesh_proto::admin::v1 as proto;

use super::{
    Admin,
    gateways::gateways,
    gateways::hbone,
    table::{cluster, milliseconds},
};
use crate::{
    address_range::AddressRange, answer::Servers, gateway::of_clusters, upstream::LeadsTo,
};

/// Everything that a check of the node's set-up wants to know.
pub(super) fn status(admin: &Admin) -> proto::Status {
    let index = admin.index.load();
    let report = admin.gateways.load();
    let settings = index.settings();
    let general = admin.upstream.servers(Servers::General);
    let of_cluster = admin.upstream.servers(Servers::Cluster);
    let own = if of_cluster == general {
        Vec::new()
    } else {
        of_cluster
    };
    let clusters = index.clusters();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let texts = |all: &[std::net::SocketAddr]| all.iter().map(ToString::to_string).collect();
    proto::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: admin.readiness.is_ready(),
        pending: admin
            .readiness
            .pending()
            .iter()
            .map(ToString::to_string)
            .collect(),
        stopping: admin.readiness.is_stopping(),
        listen: texts(&admin.listen),
        cluster_domain: settings.cluster_domain.to_string(),
        local_cluster: index.local_cluster().to_owned(),
        mode: settings.mode.as_str().to_owned(),
        serial: index.serial(),
        unix_milliseconds: now.map_or(0, milliseconds),
        general_servers: texts(&general),
        cluster_servers: texts(&own),
        resolv_conf: admin
            .resolv_conf
            .as_ref()
            .map_or_else(String::new, |file| file.display().to_string()),
        clusters: clusters
            .iter()
            .zip(of_clusters(clusters))
            .map(|(of, targets)| proto::ClusterStatus {
                cluster: Some(cluster(of)),
                local: of.local,
                hbone_gateways: hbone(of),
                gateways: if of.local {
                    Vec::new()
                } else {
                    gateways(&targets, index.gateways(), &report)
                },
            })
            .collect(),
        discoveries: index
            .discoveries()
            .iter()
            .map(|discovery| proto::Discovery {
                name: discovery.name.to_string(),
                pending: discovery.pending,
                problem: discovery.problem.clone().unwrap_or_default(),
            })
            .collect(),
        overlaps: u64::try_from(index.overlaps()).unwrap_or(u64::MAX),
        given_ranges: ranges(index.local_ranges().0),
        told_ranges: ranges(index.local_ranges().1),
        has_peers: index.has_peers(),
        leads: admin.upstream.leads().into_iter().map(lead).collect(),
        partial_loops: admin
            .upstream
            .partial_loops()
            .into_iter()
            .map(|(server, names)| proto::PartialLoop {
                server: server.to_string(),
                names,
            })
            .collect(),
    }
}

fn ranges(all: &[AddressRange]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn lead(lead: LeadsTo) -> proto::LeadsTo {
    let LeadsTo {
        server,
        names,
        agent,
        back,
        itself,
    } = lead;
    proto::LeadsTo {
        server: server.to_string(),
        names,
        agent,
        back,
        itself,
    }
}
