//! Gateways as the admin interface tells them.

use crossmesh_proto::admin::v1 as proto;

use super::table::milliseconds;
use crate::{
    catalog::{Cluster, GatewayHost},
    gateway::{Report, Seen, Target, Targets},
};

/// The gateways of a cluster, with what look-ups and probes found.
pub(super) fn gateways(targets: &Targets, seen: &Seen, report: &Report) -> Vec<proto::Gateway> {
    let gateway = |target: &Target| {
        let problem = match &target.host {
            GatewayHost::Address(_) => None,
            GatewayHost::Name(name) => report.problems.get(name),
        };
        let addresses = seen.addresses_of(target).into_iter().map(|address| {
            let probed = report.probes.get(&address);
            let last = probed.and_then(|probed| probed.last);
            proto::GatewayAddress {
                address: address.to_string(),
                health: match probed {
                    _ if seen.unhealthy.contains(&address) => "unhealthy",
                    Some(probed) if probed.last.is_some() => "healthy",
                    _ => "not-probed",
                }
                .to_owned(),
                reached: last.map(|(_, reached)| reached),
                probed_milliseconds_ago: last.map(|(at, _)| milliseconds(at.elapsed())),
            }
        });
        proto::Gateway {
            host: target.host.to_string(),
            port: target.port.into(),
            addresses: addresses.collect(),
            lookup_problem: problem.cloned().unwrap_or_default(),
        }
    };
    targets.keys().map(gateway).collect()
}

/// The gateways of a cluster that are not given, because they serve ambient meshes alone.
pub(super) fn hbone(cluster: &Cluster) -> Vec<String> {
    let catalog = cluster.catalog.as_ref();
    catalog.map_or_else(Vec::new, |catalog| catalog.hbone_gateways.to_vec())
}
