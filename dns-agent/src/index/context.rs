//! What remote names are built from besides the services themselves.

use std::{net::IpAddr, sync::Arc};

use super::{ClusterLocal, Families, Known, Settings, remote::Remote};
use crate::{
    address_range::AddressRange,
    catalog::{Catalog, ELSEWHERE, Import, Locality, MeshNetworks, Service},
    gateway::{self, Way},
};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    /// The place of the local cluster, once its catalog is known: before, nobody can say that a service exists only
    /// elsewhere.
    pub(super) local: Option<usize>,
    pub(super) families: Option<Families>,
    pub(super) peers: Vec<Peer>,
    pub(super) cluster_local: ClusterLocal,
    /// What is cluster-local whatever anybody says.
    pub(super) always_local: ClusterLocal,
    /// The addresses that pods and services have here: what the configuration says, and what the cluster does.
    pub(super) local_ranges: Vec<AddressRange>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) id: Arc<str>,
    pub(super) local: bool,
    pub(super) import: Import,
    /// The place of its domain in [`Settings::other_domains`], if it has its own.
    pub(super) domain: Option<usize>,
    pub(super) same_network: bool,
    /// Where nobody says which network it is on: its endpoints may each be on ours by their addresses.
    pub(super) by_address: Option<Arc<ByAddress>>,
    pub(super) gateways: Vec<Way>,
    /// How far it is from the node.
    distance: u8,
}

/// Which addresses are on our own network, where the mesh configuration tells networks by ranges of addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByAddress {
    mesh: Arc<MeshNetworks>,
    /// Ours.
    network: String,
}

impl ByAddress {
    /// Whether an address is on our own network.
    pub(super) fn is_near(&self, address: IpAddr) -> bool {
        self.mesh.of_address(address) == Some(&*self.network)
    }
}

impl Peer {
    /// Its part in a service.
    pub(super) fn part<'s>(&'s self, service: &'s Service) -> Remote<'s> {
        Remote {
            service,
            gateways: &self.gateways,
            same_network: self.same_network,
            by_address: self.by_address.as_deref(),
            distance: self.distance,
        }
    }
}

/// A cluster is where its gateways are, as nobody says it otherwise: as far as the nearest that can be used. One that is
/// reached by way of gateways only, and of which none can be used, is farther than all others.
fn distance(gateways: &[Way], same_network: bool) -> u8 {
    let nearest = |usable: &dyn Fn(&&Way) -> bool| {
        let distances = gateways.iter().filter(usable).map(|way| way.distance);
        distances.min()
    };
    match nearest(&|way| way.healthy) {
        Some(distance) => distance,
        None if same_network || gateways.is_empty() => nearest(&|_| true).unwrap_or(ELSEWHERE),
        None => ELSEWHERE + 1,
    }
}

impl Context {
    pub(super) fn of(settings: &Settings, known: &Known) -> Self {
        let local = known.clusters.iter().position(|cluster| cluster.local);
        let cluster = local.and_then(|at| known.clusters.get(at));
        let catalog = cluster.and_then(|cluster| cluster.catalog.as_deref());
        let none = MeshNetworks::default();
        let mesh = catalog.map_or(&none, |catalog| &catalog.mesh_networks);
        let network = cluster
            .filter(|_| catalog.is_some())
            .and_then(|cluster| gateway::network(cluster, mesh));
        let network = settings.network.as_deref().or(network);
        let node = catalog.and_then(|catalog| catalog.node.as_ref());
        let node: Option<&Locality> = settings.locality.as_ref().or(node);
        let targets = gateway::of_clusters(&known.clusters);
        let by_address = catalog.zip(network).map(|(catalog, network)| {
            Arc::new(ByAddress {
                mesh: Arc::clone(&catalog.mesh_networks),
                network: network.to_owned(),
            })
        });
        let peers = known
            .clusters
            .iter()
            .zip(targets)
            .map(|(cluster, targets)| {
                let gateways = known.gateways.ways(&targets, node);
                let its_network = gateway::network(cluster, mesh);
                let same_network = network.is_some() && its_network == network;
                Peer {
                    id: Arc::clone(&cluster.id),
                    local: cluster.local,
                    import: cluster.import.clone(),
                    domain: cluster.domain.as_ref().and_then(|domain| {
                        let mut domains = settings.other_domains.iter();
                        domains.position(|other| other == domain)
                    }),
                    same_network,
                    by_address: by_address.clone().filter(|_| its_network.is_none()),
                    distance: distance(&gateways, same_network),
                    gateways,
                }
            });
        let always_local = ClusterLocal::always(&settings.istio_namespace);
        Self {
            local: local.filter(|_| catalog.is_some()),
            families: settings.families.or_else(|| catalog.map(families_of)),
            peers: peers.collect(),
            cluster_local: cluster_local(always_local.clone(), settings, catalog),
            always_local,
            local_ranges: local_ranges(settings, catalog),
        }
    }
}

fn local_ranges(settings: &Settings, catalog: Option<&Catalog>) -> Vec<AddressRange> {
    let told = catalog.iter().flat_map(|of| &*of.service_ranges);
    settings.local_ranges.iter().chain(told).copied().collect()
}

/// What is always so, then the mesh configuration, then our own.
fn cluster_local(
    always: ClusterLocal,
    settings: &Settings,
    catalog: Option<&Catalog>,
) -> ClusterLocal {
    let mut all = always;
    all.incomplete = catalog.is_some_and(|catalog| catalog.mesh_unread);
    for (host, local) in catalog.iter().flat_map(|of| &*of.cluster_local_hosts) {
        // Hosts of other domains are none of ours.
        all.set(host, &settings.cluster_domain, *local);
    }
    all.extend(&settings.cluster_local);
    all
}

/// The families that a cluster's services show; both when it has none with an address.
fn families_of(catalog: &Catalog) -> Families {
    let mut found = Families {
        v4: false,
        v6: false,
    };
    for namespace in catalog.namespaces.values() {
        let (v4, v6) = namespace.families();
        found.v4 |= v4;
        found.v6 |= v6;
    }
    if found.v4 || found.v6 {
        found
    } else {
        Families::BOTH
    }
}
