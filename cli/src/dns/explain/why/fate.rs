//! What became of each cluster's service.

use super::View;
use crate::dns::columns::printable;

/// What became of a cluster's service.
pub(in super::super) fn fate(view: &View) -> String {
    match &*view.fate {
        "unread" => "the cluster was never read".to_owned(),
        "absent" => "it has no such service".to_owned(),
        "local" => match &view.stays {
            Some(stays) => format!("it has no ready endpoint, but {}", stays_by(stays)),
            None => "it is the local cluster".to_owned(),
        },
        "gave-way" => "it has no ready endpoint, and failoverWhenEmpty is true".to_owned(),
        "behind-import" => "the local cluster's ServiceImport decides".to_owned(),
        "not-in-set" => "it is not exported to the cluster set there (no ServiceExport)".to_owned(),
        "behind" => "the local cluster has it".to_owned(),
        "local-unread" => "the local cluster was never read".to_owned(),
        "not-exported" => "it is not exported there".to_owned(),
        "external-name" => "it is an ExternalName, which means something only there".to_owned(),
        "not-imported" => "the import of its entry does not name it".to_owned(),
        "cluster-local" => "it never comes from a peer (clusterLocal)".to_owned(),
        "mesh-unread" => {
            "it may have to stay: the mesh configuration of the local cluster could not be read yet"
                .to_owned()
        }
        "other-domain" => {
            "its names are below another domain (clusterDomain of its entry)".to_owned()
        }
        "not-labelled" => {
            "the label of its namespace keeps peers away (remote.namespaces)".to_owned()
        }
        "kept-local" => "it was local once, and failover is false".to_owned(),
        "counts" if view.addresses.is_empty() => empty(view),
        "counts" => gift(view),
        other => printable(other),
    }
}

/// Why a peer gives what it gives.
pub(super) fn gift(view: &View) -> String {
    match view.because.as_deref() {
        Some("policy") => "the policy names them".to_owned(),
        Some("same-network") => "it is on our own network".to_owned(),
        Some("only-http") => "every port speaks HTTP".to_owned(),
        Some("not-only-http") => "not every port speaks HTTP".to_owned(),
        Some("farther") => "others are nearer to the node".to_owned(),
        Some("overlap") => "its own addresses are local ones here (cluster.ranges)".to_owned(),
        other => printable(other.unwrap_or("-")),
    }
}

/// Why a peer that counts gives no address.
pub(super) fn empty(view: &View) -> String {
    let headless = view
        .service
        .as_ref()
        .is_some_and(|service| service.kind == "headless");
    match view.gives.as_deref() {
        Some("nothing") => "the policy gives nothing".to_owned(),
        _ if view.because.as_deref() == Some("farther") => gift(view),
        Some("gateways") if view.gateways.is_empty() && !view.hbone_gateways.is_empty() => {
            "its gateways are for HBONE only, which clients reach through an ambient mesh alone"
                .to_owned()
        }
        Some("gateways") if view.gateways.is_empty() => "it has no gateway".to_owned(),
        Some("gateways") => {
            let mut all = view.gateways.iter().flat_map(|gateway| &gateway.addresses);
            if all.all(|at| at.health == "unhealthy") {
                "none of its gateways can be reached".to_owned()
            } else if view.overlaps > 0 {
                "its gateways' addresses are local ones here (cluster.ranges)".to_owned()
            } else {
                "its gateways have no address of a family that this cluster has".to_owned()
            }
        }
        _ if view.overlaps > 0 => "its addresses are local ones here (cluster.ranges)".to_owned(),
        _ if headless && !view.same_network => {
            "its pods' addresses mean nothing on another network".to_owned()
        }
        _ if headless => "it has no ready endpoint".to_owned(),
        _ => "it has no address of a family that this cluster has".to_owned(),
    }
}

/// Why a local service without a ready endpoint stays local.
pub(super) fn stays_by(word: &str) -> String {
    let sentence = match word {
        "not-asked" => "failoverWhenEmpty is false",
        "kept-local" => "failover is false",
        "no-peer" => "no peer has one that counts",
        "empty-too" => "none is ready in the peers either",
        "not-as-good" => {
            "not every port speaks HTTP, and no peer on our own network gives its own address"
        }
        "lacks-port" => "a port of it is in no peer",
        "no-address" => "what peers have gives no address",
        other => return printable(other),
    };
    sentence.to_owned()
}
