//! Which clusters' services count for a name, and what is asked of peers: for whoever builds the index, and for whoever
//! explains it.

use std::sync::Arc;

use super::{
    Families, Settings,
    build::{Context, Peer},
    remote::{Asked, Remote},
};
use crate::catalog::{self, Kind, Service};

/// What decides besides the services themselves.
pub(super) struct Rules<'b> {
    pub(super) settings: &'b Settings,
    pub(super) context: &'b Context,
}

/// Why a peer's service does not count for its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The peer keeps it to itself.
    NotExported,
    /// It stands for another name, which is relative to the peer.
    ExternalName,
    /// What may be taken from this peer does not name it.
    NotImported,
    /// It never comes from a peer.
    ClusterLocal,
}

impl Rules<'_> {
    /// The clusters whose services count for a name: the local one alone where it has it.
    pub(super) fn clusters_of<'i>(
        &self,
        name: &str,
        inputs: &'i [Option<Arc<catalog::Namespace>>],
    ) -> Vec<(usize, &'i Arc<Service>)> {
        let Some(local) = self.context.local else {
            return Vec::new();
        };
        let of = |at: usize| {
            let namespace = inputs.get(at).and_then(Option::as_deref)?;
            Some((at, namespace.services().get(name)?))
        };
        if let Some(found) = of(local) {
            return vec![found];
        }
        let peers = self.context.peers.iter().enumerate();
        let found = peers
            .filter(|(_, peer)| !peer.local)
            .filter_map(|(at, peer)| {
                let (at, service) = of(at)?;
                self.left_out(peer, service)
                    .is_none()
                    .then_some((at, service))
            });
        found.collect()
    }

    /// Why a peer's service does not count; `None`: it does, where the local cluster has none of its name.
    pub(super) fn left_out(&self, peer: &Peer, service: &Service) -> Option<LeftOut> {
        let Service {
            namespace, name, ..
        } = service;
        if !service.exported {
            Some(LeftOut::NotExported)
        } else if service.kind == Kind::ExternalName {
            Some(LeftOut::ExternalName)
        } else if !peer.import.allows(namespace, name) {
            Some(LeftOut::NotImported)
        } else if self.settings.cluster_local.contains(namespace, name) {
            Some(LeftOut::ClusterLocal)
        } else {
            None
        }
    }

    /// The parts that peers have in a service.
    pub(super) fn remotes<'s>(&'s self, parts: &[(usize, &'s Arc<Service>)]) -> Vec<Remote<'s>> {
        let parts = parts.iter().filter_map(|(at, service)| {
            let peer = self.context.peers.get(*at)?;
            Some(Remote {
                service,
                gateways: &peer.gateways,
                same_network: peer.same_network,
            })
        });
        parts.collect()
    }

    /// What is asked of the peers that have a service.
    pub(super) fn asked(&self, service: &Service) -> Asked<'_> {
        let policy = &self.settings.remote;
        Asked {
            answer: policy.answer(&service.namespace, &service.name).0,
            families: self.context.families.unwrap_or(Families::BOTH),
            local_ranges: &self.settings.local_ranges,
        }
    }
}
