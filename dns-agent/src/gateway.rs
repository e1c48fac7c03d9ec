//! Which gateways stand for a cluster, which addresses they have now, and which of those can be used.

mod follow;
mod health;
mod lifetimes;
mod probe;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub use follow::{Follower, Lookup};
pub use health::{Damping, Health};
pub use lifetimes::{Lifetimes, SharedLifetimes};
pub use probe::is_server_name;
pub use report::{Probed, Report, SharedReport};

use crate::catalog::{Cluster, Gateway, GatewayHost, Locality, MeshGateway, MeshNetworks};

/// A gateway to be looked up and probed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Where it is.
    pub host: GatewayHost,
    /// Its port.
    pub port: u16,
}

/// Gateways, and where each is if anybody says so.
pub type Targets = BTreeMap<Target, Option<Locality>>;

/// An address of a gateway, as seen from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// The address and its port.
    pub address: SocketAddr,
    /// How far it is: see [`Locality::distance`].
    pub distance: u8,
    /// Whether it can be used now, as far as is known.
    pub healthy: bool,
}

/// What is known of gateways beyond what clusters tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The addresses of names that have been looked up.
    pub addresses: BTreeMap<Arc<str>, Arc<[IpAddr]>>,
    /// Those that cannot be reached. One that was not probed yet is not among them.
    pub unhealthy: BTreeSet<SocketAddr>,
}

impl Seen {
    /// The addresses of these gateways as seen from somewhere, sorted, each once.
    pub fn ways(&self, targets: &Targets, from: Option<&Locality>) -> Vec<Way> {
        let ways = targets.iter().flat_map(|(target, at)| {
            let distance = Locality::distance(from, at.as_ref());
            let addresses = self.addresses_of(target).into_iter();
            addresses.map(move |address| Way {
                address,
                distance,
                healthy: !self.unhealthy.contains(&address),
            })
        });
        let mut ways: Vec<Way> = ways.collect();
        ways.sort_unstable();
        ways.dedup_by_key(|way| way.address);
        ways
    }

    /// All addresses of a gateway that are known.
    pub fn addresses_of(&self, target: &Target) -> Vec<SocketAddr> {
        let addresses = match &target.host {
            GatewayHost::Address(address) => std::slice::from_ref(address),
            GatewayHost::Name(name) => self.addresses.get(name).map_or(&[][..], |all| all),
        };
        let addresses = addresses.iter();
        addresses
            .map(|address| SocketAddr::new(*address, target.port))
            .collect()
    }
}

/// The network that a cluster's addresses belong to: what the configuration says, else what the cluster says, else what
/// the mesh configuration says of it. Istio has the same order (`controller/network.go`).
pub fn network<'c>(cluster: &'c Cluster, mesh: &'c MeshNetworks) -> Option<&'c str> {
    let catalog = cluster.catalog.as_deref();
    cluster
        .network
        .as_deref()
        .or_else(|| catalog?.network.as_deref())
        .or_else(|| mesh.of_cluster(&cluster.id))
}

/// The gateways of every cluster, in the order of the clusters: those that the configuration gives; else those that were
/// found in the cluster for its network; else all that are known of its network. Istio has the same order
/// (`endpoints/ep_filters.go`, selectNetworkGateways).
pub fn of_clusters(clusters: &[Cluster]) -> Vec<Targets> {
    let none = MeshNetworks::default();
    let local = clusters.iter().find(|cluster| cluster.local);
    let mesh = local
        .and_then(|cluster| cluster.catalog.as_deref())
        .map_or(&none, |catalog| &catalog.mesh_networks);
    let networks: Vec<Option<&str>> = clusters
        .iter()
        .map(|cluster| network(cluster, mesh))
        .collect();
    let own: Vec<Targets> = clusters
        .iter()
        .zip(&networks)
        .map(|(cluster, network)| own(cluster, *network, mesh))
        .collect();
    let all = own.iter().zip(&networks).map(|(targets, network)| {
        let Some(network) = network.filter(|_| targets.is_empty()) else {
            return targets.clone();
        };
        let others = own.iter().zip(&networks);
        let others = others.filter(|(_, other)| **other == Some(network));
        let mut found: Targets = others.flat_map(|(targets, _)| targets.clone()).collect();
        for gateway in elsewhere(network, local, mesh) {
            add(&mut found, gateway);
        }
        found
    });
    all.collect()
}

fn own(cluster: &Cluster, network: Option<&str>, mesh: &MeshNetworks) -> Targets {
    if let Some(given) = &cluster.gateways {
        return given.iter().map(target).collect();
    }
    let Some(catalog) = &cluster.catalog else {
        return Targets::new();
    };
    let ours = |gateway: &&Gateway| match (&gateway.network, network) {
        (Some(of), Some(network)) => **of == *network,
        // A cluster whose network nobody names has whatever gateways it has.
        _ => true,
    };
    let mut found: Targets = catalog.gateways.iter().filter(ours).map(target).collect();
    let of_network = network.and_then(|network| mesh.0.get(network));
    for gateway in of_network.iter().flat_map(|network| &network.gateways) {
        let MeshGateway::Service {
            namespace,
            name,
            port,
        } = gateway
        else {
            continue;
        };
        let external = catalog.external.get(&(namespace.clone(), name.clone()));
        if let Some(external) = external {
            let port = external.port(*port);
            for host in external.hosts.iter().cloned() {
                found.entry(Target { host, port }).or_default();
            }
        }
    }
    found
}

/// The gateways of a network that are in no cluster we know to be on it: those at the addresses that the mesh
/// configuration gives, and those that the local cluster stands in for, such as Gateway objects of the class
/// `istio-remote`. What peers say of networks that are not theirs does not count.
fn elsewhere<'c>(
    network: &'c str,
    local: Option<&'c Cluster>,
    mesh: &'c MeshNetworks,
) -> impl Iterator<Item = &'c Gateway> {
    let of_network = mesh.0.get(network);
    let given = of_network.into_iter().flat_map(|network| &network.gateways);
    let given = given.filter_map(|gateway| match gateway {
        MeshGateway::At(gateway) => Some(gateway),
        MeshGateway::Service { .. } => None,
    });
    let catalog = local.and_then(|cluster| cluster.catalog.as_deref());
    let found = catalog.into_iter().flat_map(|catalog| &*catalog.gateways);
    let found = found.filter(move |gateway| gateway.network.as_deref() == Some(network));
    given.chain(found)
}

/// Of a gateway that is told twice, what is known of its place stays known.
fn add(targets: &mut Targets, gateway: &Gateway) {
    let (target, at) = target(gateway);
    let known = targets.entry(target).or_default();
    *known = known.take().or(at);
}

fn target(gateway: &Gateway) -> (Target, Option<Locality>) {
    let target = Target {
        host: gateway.host.clone(),
        port: gateway.port,
    };
    (target, gateway.locality.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, External, Import, MeshNetwork, SyncState};

    fn gateway(network: Option<&str>, host: &str) -> Gateway {
        Gateway {
            network: network.map(Into::into),
            host: GatewayHost::parse(host).unwrap(),
            port: 15443,
            locality: None,
        }
    }

    fn cluster(id: &str, network: Option<&str>, gateways: &[Gateway]) -> Cluster {
        Cluster {
            id: id.into(),
            mesh: "east".into(),
            local: id == "local",
            import: Import::All,
            domain: None,
            network: None,
            gateways: None,
            catalog: Some(Arc::new(Catalog {
                network: network.map(str::to_owned),
                gateways: gateways.into(),
                ..Catalog::default()
            })),
            state: SyncState::Synced,
            restored: false,
            problem: None,
            read_at: None,
            not_synced_since: None,
        }
    }

    fn mesh(cluster: &mut Cluster, networks: &[(&str, &[&str], MeshGateway)]) {
        let catalog = Arc::make_mut(cluster.catalog.as_mut().unwrap());
        let networks = networks.iter().map(|(name, clusters, gateway)| {
            let network = MeshNetwork {
                clusters: clusters.iter().map(ToString::to_string).collect(),
                ranges: Vec::new(),
                gateways: vec![gateway.clone()],
            };
            ((*name).to_owned(), network)
        });
        catalog.mesh_networks = Arc::new(MeshNetworks(networks.collect()));
    }

    fn check(clusters: &[Cluster], seen: &Seen, expected: &[&str]) {
        let found = of_clusters(clusters);
        let found: Vec<String> = found
            .iter()
            .map(|targets| {
                let ways = seen.ways(targets, None).into_iter();
                let usable = ways.filter(|way| way.healthy);
                let usable: Vec<String> = usable.map(|way| way.address.to_string()).collect();
                usable.join(" ")
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cluster_has_the_gateways_of_its_own_network() {
        let both = [
            gateway(Some("n2"), "192.0.2.2"),
            gateway(Some("n3"), "192.0.2.3"),
        ];
        let clusters = [
            cluster("local", Some("n1"), &[]),
            cluster("two", Some("n2"), &both),
            cluster("nameless", None, &both),
        ];
        let expected = ["", "192.0.2.2:15443", "192.0.2.2:15443 192.0.2.3:15443"];
        check(&clusters, &Seen::default(), &expected);
    }

    #[test]
    fn a_cluster_without_gateways_has_those_of_its_network() {
        let clusters = [
            cluster("local", Some("n1"), &[]),
            cluster("two", Some("n2"), &[gateway(None, "192.0.2.2")]),
            cluster("three", Some("n2"), &[]),
            cluster("nameless", None, &[]),
        ];
        let expected = ["", "192.0.2.2:15443", "192.0.2.2:15443", ""];
        check(&clusters, &Seen::default(), &expected);
    }

    #[test]
    fn the_mesh_configuration_names_networks_and_their_gateways() {
        let at = MeshGateway::At(gateway(None, "gw.example.com"));
        let service = MeshGateway::Service {
            namespace: "istio-system".to_owned(),
            name: "eastwest".to_owned(),
            port: 443,
        };
        let mut local = cluster("local", Some("n1"), &[]);
        mesh(
            &mut local,
            &[("n2", &["two"], at), ("n3", &["three"], service)],
        );
        let mut three = cluster("three", None, &[]);
        let key = ("istio-system".to_owned(), "eastwest".to_owned());
        let host = GatewayHost::parse("192.0.2.33").unwrap();
        Arc::make_mut(three.catalog.as_mut().unwrap()).external = Arc::new(
            [(
                key,
                External {
                    hosts: vec![host],
                    ports: [(443, 30443)].into(),
                },
            )]
            .into(),
        );
        let clusters = [local, cluster("two", None, &[]), three];
        check(&clusters, &Seen::default(), &["", "", "192.0.2.33:30443"]);
        let seen = Seen {
            addresses: [(
                "gw.example.com".into(),
                ["192.0.2.22".parse().unwrap()].into(),
            )]
            .into(),
            unhealthy: ["192.0.2.33:30443".parse().unwrap()].into(),
        };
        check(&clusters, &seen, &["", "192.0.2.22:15443", ""]);
    }

    #[test]
    fn a_network_whose_clusters_have_none_has_what_others_tell_of_it() {
        let at = MeshGateway::At(gateway(None, "192.0.2.20"));
        let remote = [gateway(Some("n3"), "192.0.2.30")];
        let mut local = cluster("local", Some("n1"), &remote);
        mesh(&mut local, &[("n2", &[], at)]);
        // A peer does not say where another network's gateways are.
        let liar = [
            gateway(Some("n2"), "192.0.2.66"),
            gateway(Some("n4"), "192.0.2.4"),
        ];
        let clusters = [
            local,
            cluster("own", Some("n2"), &[gateway(None, "192.0.2.2")]),
            cluster("two", Some("n2"), &[]),
            cluster("three", Some("n3"), &[]),
            cluster("four", Some("n4"), &liar),
        ];
        let expected = [
            "",
            "192.0.2.2:15443",
            "192.0.2.2:15443 192.0.2.20:15443",
            "192.0.2.30:15443",
            "192.0.2.4:15443",
        ];
        check(&clusters, &Seen::default(), &expected);
    }

    #[test]
    fn the_configuration_overrides_what_is_found() {
        let mut two = cluster("two", Some("n2"), &[gateway(None, "192.0.2.2")]);
        two.gateways = Some([gateway(None, "192.0.2.99")].into());
        check(&[two], &Seen::default(), &["192.0.2.99:15443"]);
    }
}
