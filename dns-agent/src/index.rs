//! All names and what they answer: built whole from the clusters' catalogs, then only read.

mod build;

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
    str::from_utf8,
};

use crate::{
    catalog::Cluster,
    name::{Name, is_under, labels},
};

/// What decides answers besides the catalogs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster domain, such as `cluster.local`.
    pub cluster_domain: Name,
    /// What to say of a name below the cluster domain that no catalog has.
    pub mode: Mode,
    /// TTL of our answers and of their denial, in seconds.
    pub ttl: u32,
    /// Which port an SRV record names for a service behind a gateway.
    pub srv: SrvPort,
    /// The local cluster's address families; `None`: those of its services.
    pub families: Option<Families>,
    /// Names that never come from a peer.
    pub cluster_local: ClusterLocal,
    /// The local cluster's network, if the configuration gives it; otherwise its catalog does.
    pub network: Option<String>,
}

/// What to say of a name below the cluster domain that no catalog has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Ask the cluster's own DNS.
    Overlay,
    /// Deny it.
    Authoritative,
}

/// Which port an SRV record names for a service that is answered with a gateway's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrvPort {
    /// The service's own.
    Service,
    /// The gateway's.
    Gateway,
}

/// Address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// Names that never come from a peer: a client that asks for its own cluster's API server must not reach another's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterLocal {
    /// Every service.
    pub everything: bool,
    /// All services of these namespaces.
    pub namespaces: HashSet<String>,
    /// Single services, as (namespace, name).
    pub services: HashSet<(String, String)>,
}

impl ClusterLocal {
    /// What is always cluster-local, as in Istio: `kube-system`, the API server, the control plane.
    pub fn always() -> Self {
        let service = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        Self {
            everything: false,
            namespaces: HashSet::from(["kube-system".to_owned()]),
            services: HashSet::from([
                service("default", "kubernetes"),
                service("istio-system", "istiod"),
            ]),
        }
    }

    /// Whether the service must not come from a peer.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        self.everything
            || self.namespaces.contains(namespace)
            || self
                .services
                .contains(&(namespace.to_owned(), name.to_owned()))
    }
}

/// One immutable state of everything.
#[derive(Debug)]
pub struct Index {
    settings: Settings,
    names: HashMap<Name, Entry>,
    clusters: Vec<Cluster>,
    pod_domain: Name,
    service_domain: Name,
    soa: Box<[u8]>,
    doubts: Doubts,
}

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It has addresses, or would have.
    Host(Host),
    /// It has service locations.
    Service(Vec<Location>),
    /// Something exists below it.
    Inner,
    /// Only the cluster's own DNS knows its answer.
    Upstream {
        /// The cluster, by its place in [`Index::clusters`].
        cluster: usize,
    },
}

/// A name with addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Sorted, without doubles.
    pub v4: Vec<Ipv4Addr>,
    /// Sorted, without doubles.
    pub v6: Vec<Ipv6Addr>,
    /// Where the addresses come from.
    pub origin: Origin,
    /// The clusters that have the service, by their places in [`Index::clusters`].
    pub clusters: Vec<usize>,
}

/// Where a host's addresses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The local cluster has the service.
    #[default]
    Local,
    /// Only peers have it; the addresses are their gateways'.
    Gateway,
    /// Only peers have it; the addresses are its own there.
    ClusterIp,
}

/// Where a service listens (RFC 2782), its priority being 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The port.
    pub port: u16,
    /// The share among the locations of one name.
    pub weight: u16,
    /// The host, itself a name of the index.
    pub target: Name,
}

/// Which names cannot be denied yet, because a catalog that may have them was never read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Doubts {
    every_namespace: bool,
    namespaces: HashSet<String>,
    services: HashSet<(String, String)>,
}

impl Index {
    /// Builds the index from all that is known. `serial` numbers the zone's state.
    pub fn build(settings: Settings, clusters: Vec<Cluster>, serial: u32) -> Self {
        build::index(settings, clusters, serial)
    }

    /// What decides answers besides the catalogs.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configured clusters, in the order of the configuration.
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// What a name in wire form and lower case is.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        self.names.get(name)
    }

    /// All names, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.names.iter()
    }

    /// The data of the SOA record that goes with a denial. Its names are written whole.
    pub fn soa(&self) -> &[u8] {
        &self.soa
    }

    /// Whether a name is below the cluster domain, or the domain itself.
    pub fn in_cluster_domain(&self, name: &[u8]) -> bool {
        is_under(name, self.settings.cluster_domain.as_wire())
    }

    /// Whether a name is one that the cluster's own DNS makes from pods' addresses.
    pub fn in_pod_domain(&self, name: &[u8]) -> bool {
        is_under(name, self.pod_domain.as_wire())
    }

    /// Whether a name that no catalog has may still turn out to exist. Only names of the form of a service or of its
    /// ports: with a resolver's search list every outside name is first asked with our domain behind it, and a failure
    /// there would be an outage of everything.
    pub fn is_in_doubt(&self, name: &[u8]) -> bool {
        if !is_under(name, self.service_domain.as_wire()) {
            return false;
        }
        let below = labels(name).count() - labels(self.service_domain.as_wire()).count();
        let mut parts = labels(name);
        if below == 4 {
            for _ in 0..2 {
                if !parts.next().is_some_and(|label| label.starts_with(b"_")) {
                    return false;
                }
            }
        } else if below != 2 {
            return false;
        }
        let (Some(service), Some(namespace)) = (parts.next(), parts.next()) else {
            return false;
        };
        self.doubts
            .contain(namespace, service, &self.settings.cluster_local)
    }

    /// How many names answer otherwise than in `other`.
    pub fn changed_names(&self, other: &Self) -> usize {
        let here = self
            .names
            .iter()
            .filter(|(name, entry)| other.names.get(*name) != Some(*entry))
            .count();
        let gone = other
            .names
            .keys()
            .filter(|name| !self.names.contains_key(*name))
            .count();
        here + gone
    }
}

impl Doubts {
    fn contain(&self, namespace: &[u8], service: &[u8], cluster_local: &ClusterLocal) -> bool {
        if !self.every_namespace && self.namespaces.is_empty() && self.services.is_empty() {
            return false;
        }
        let (Ok(namespace), Ok(service)) = (from_utf8(namespace), from_utf8(service)) else {
            // Not the name of any service.
            return false;
        };
        let in_doubt = self.every_namespace
            || self.namespaces.contains(namespace)
            || self
                .services
                .contains(&(namespace.to_owned(), service.to_owned()));
        in_doubt && !cluster_local.contains(namespace, service)
    }
}
