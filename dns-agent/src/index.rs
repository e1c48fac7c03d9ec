//! All names and what they answer: built whole from the clusters' catalogs, then only read.

mod build;
mod doubts;
mod part;
mod remote;
mod rules;
mod why;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::from_utf8,
    sync::Arc,
};

pub use remote::{Because, Give, RemoteAnswer, RemotePolicy, RemoteRule, Scope};
pub use rules::LeftOut;
pub use why::{Fate, Subject, View, Why};

use crate::{
    address_range::AddressRange,
    catalog::{self, Cluster, Service},
    gateway::Seen,
    name::{Name, is_under, labels},
};
use build::Context;

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
    /// The addresses that pods and services of the local cluster have: no remote address may be one of them.
    pub local_ranges: Vec<AddressRange>,
    /// How services that only peers have are answered.
    pub remote: RemotePolicy,
}

/// What to say of a name below the cluster domain that no catalog has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Ask the cluster's own DNS.
    Overlay,
    /// Deny it.
    Authoritative,
    /// Say nothing of our own: the cluster's DNS answers every name of ours too, and what we would say is compared.
    Shadow,
}

impl Mode {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Authoritative => "authoritative",
            Self::Shadow => "shadow",
        }
    }
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

impl Families {
    /// IPv4 and IPv6.
    pub const BOTH: Self = Self { v4: true, v6: true };

    /// Whether an address is of one of them.
    pub fn has(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
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
                .iter()
                .any(|(of, service)| of == namespace && service == name)
    }
}

/// All that sources and probes know at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The clusters, in the order of the configuration, then those that were discovered.
    pub clusters: Vec<Cluster>,
    /// Where peers are discovered.
    pub discoveries: Vec<Discovery>,
    /// What is known of gateways' addresses.
    pub gateways: Arc<Seen>,
}

/// A place where peers are discovered, such as the remote secrets of a namespace.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// What it is called in logs and status pages.
    pub name: Arc<str>,
    /// Whether peers may still come of which nothing is known.
    pub pending: bool,
    /// What is wrong.
    pub problem: Option<String>,
}

/// One immutable state of everything. What did not change is shared with the state before.
#[derive(Debug)]
pub struct Index {
    settings: Arc<Settings>,
    /// By their labels.
    namespaces: HashMap<Arc<[u8]>, Arc<Namespace>>,
    names: usize,
    clusters: Vec<Cluster>,
    discoveries: Vec<Discovery>,
    gateways: Arc<Seen>,
    context: Context,
    /// Services that must never become remote since they were local.
    once_local: Arc<OnceLocal>,
    pod_domain: Name,
    service_domain: Name,
    soa: Box<[u8]>,
    doubts: Doubts,
}

/// The names of one namespace.
#[derive(Debug)]
struct Namespace {
    /// What it was built from, by cluster.
    inputs: Vec<Option<Arc<catalog::Namespace>>>,
    /// By the services' labels.
    services: HashMap<Arc<[u8]>, Arc<Part>>,
    names: usize,
    overlaps: usize,
}

/// The names of one service.
#[derive(Debug)]
struct Part {
    /// What it was built from, by cluster.
    inputs: Box<[(usize, Arc<Service>)]>,
    local: bool,
    /// Sorted by name.
    entries: Box<[(Name, Entry)]>,
    /// Remote addresses left out because they are local ones here.
    overlaps: usize,
}

type OnceLocal = BTreeSet<(Arc<str>, Arc<str>)>;

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
    pub clusters: Box<[usize]>,
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
    pub fn build(settings: Settings, known: Known, serial: u32) -> Self {
        build::index(Arc::new(settings), known, serial, None)
    }

    /// The index of another moment, which shares with this one whatever did not change.
    pub fn next(&self, known: Known, serial: u32) -> Self {
        build::index(Arc::clone(&self.settings), known, serial, Some(self))
    }

    /// What decides answers besides the catalogs.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configured clusters, in the order of the configuration.
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// The identifier of the cluster that this agent serves.
    pub fn local_cluster(&self) -> &str {
        let local = self.clusters.iter().find(|cluster| cluster.local);
        local.map_or("", |cluster| &cluster.id)
    }

    /// What is known of gateways' addresses.
    pub fn gateways(&self) -> &Seen {
        &self.gateways
    }

    /// Where peers are discovered.
    pub fn discoveries(&self) -> &[Discovery] {
        &self.discoveries
    }

    /// What a name in wire form and lower case is.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        const INNER: &Entry = &Entry::Inner;
        let (namespace, service) = match self.subject(name)? {
            Subject::Domain => return Some(INNER),
            Subject::Namespace(namespace) => (namespace, None),
            Subject::Service {
                namespace, service, ..
            } => (namespace, Some(service)),
        };
        let namespace = self.namespaces.get(namespace)?;
        let Some(service) = service else {
            return Some(INNER);
        };
        let entries = &namespace.services.get(service)?.entries;
        let place = entries.binary_search_by(|(found, _)| found.as_wire().cmp(name));
        place
            .ok()
            .and_then(|at| entries.get(at))
            .map(|(_, entry)| entry)
    }

    /// What a name in wire form and lower case speaks of; `None`: of nothing of ours.
    pub fn subject<'n>(&self, name: &'n [u8]) -> Option<Subject<'n>> {
        if !is_under(name, self.service_domain.as_wire()) {
            return None;
        }
        // The last two labels before the domain are the service's and the namespace's.
        let below = name.len() - self.service_domain.as_wire().len();
        let (mut service, mut namespace, mut at) = (None, None, 0);
        let mut below_service = false;
        for label in labels(name) {
            if at >= below {
                break;
            }
            at += label.len() + 1;
            below_service = service.is_some();
            service = namespace.replace(label);
        }
        Some(match (namespace, service) {
            (None, _) => Subject::Domain,
            (Some(namespace), None) => Subject::Namespace(namespace),
            (Some(namespace), Some(service)) => Subject::Service {
                namespace,
                service,
                below: below_service,
            },
        })
    }

    /// All names of services and below them, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        let parts = self.namespaces.values().flat_map(|of| of.services.values());
        parts.flat_map(|part| part.entries.iter().map(|(name, entry)| (name, entry)))
    }

    /// How many names there are.
    pub fn name_count(&self) -> usize {
        self.names
    }

    /// How many remote addresses were left out because they are local ones here.
    pub fn overlaps(&self) -> usize {
        self.namespaces.values().map(|of| of.overlaps).sum()
    }

    /// The serial in that SOA.
    pub fn serial(&self) -> u32 {
        // It is followed by four more numbers.
        let serial = self
            .soa
            .len()
            .checked_sub(20)
            .and_then(|at| self.soa.get(at..at + 4));
        serial
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes)
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
        let changed = self.namespaces.iter().map(|(label, namespace)| {
            let before = other.namespaces.get(label);
            before.map_or(namespace.names, |before| namespace.changed_names(before))
        });
        let gone = other
            .namespaces
            .iter()
            .filter(|(label, _)| !self.namespaces.contains_key(*label));
        changed.sum::<usize>() + gone.map(|(_, namespace)| namespace.names).sum::<usize>()
    }
}

impl Namespace {
    fn changed_names(self: &Arc<Self>, other: &Arc<Self>) -> usize {
        if Arc::ptr_eq(self, other) {
            return 0;
        }
        let changed = self.services.iter().map(|(label, part)| {
            let before = other.services.get(label);
            before.map_or(part.entries.len(), |before| part.changed_names(before))
        });
        let gone = other
            .services
            .iter()
            .filter(|(label, _)| !self.services.contains_key(*label));
        changed.sum::<usize>() + gone.map(|(_, part)| part.entries.len()).sum::<usize>()
    }
}

impl Part {
    fn changed_names(self: &Arc<Self>, other: &Arc<Self>) -> usize {
        if Arc::ptr_eq(self, other) {
            return 0;
        }
        let missing = |one: &Self, in_other: &Self, same: fn(&Entry, &Entry) -> bool| {
            let missing = one.entries.iter().filter(|(name, entry)| {
                let place = in_other
                    .entries
                    .binary_search_by(|(found, _)| found.cmp(name));
                let found = place.ok().and_then(|at| in_other.entries.get(at));
                !found.is_some_and(|(_, found)| same(found, entry))
            });
            missing.count()
        };
        missing(self, other, |one, other| one == other) + missing(other, self, |_, _| true)
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

#[cfg(test)]
mod tests;
