//! All names and what they answer: built whole from the clusters' catalogs, then only read.

mod below;
mod build;
mod changes;
mod cluster_local;
mod cluster_set;
mod context;
mod doubts;
mod entry;
mod inputs;
mod once_local;
mod part;
mod remote;
mod rules;
mod settings;
mod standing;
mod why;
mod why_set;
mod zone;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

pub use cluster_local::ClusterLocal;
pub use entry::{Entry, Host, Location, MOST_AT_A_TIME, Origin, Turn};
pub use remote::{Because, Give, Reach, RemoteAnswer, RemotePolicy, RemoteRule, Scope};
pub use rules::{LeftOut, Stays};
pub use settings::{Families, Mode, Settings, SrvPort};
pub use standing::Standing;
pub use why::{Fate, Subject, View, Why};

use crate::{
    address_range::AddressRange,
    catalog::{self, Cluster, Service, ServiceImport},
    gateway::Seen,
    name::{Name, is_under},
};
use below::Below;
use context::Context;
use doubts::Doubts;

/// All that sources and probes know at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The clusters, in the order of the configuration, then those that were discovered.
    pub clusters: Vec<Cluster>,
    /// Where peers are discovered.
    pub discoveries: Vec<Discovery>,
    /// What is known of gateways' addresses.
    pub gateways: Arc<Seen>,
    /// Services of which others say that they were local, and must never become remote since.
    pub once_local: Arc<OnceLocal>,
}

/// A place where peers are discovered, such as the remote secrets of a namespace.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// What it is called in logs and status pages.
    pub name: Arc<str>,
    /// Whether peers may still come of which nothing is known.
    pub pending: bool,
    /// Those of which the configuration says something, should they come.
    pub expected: Arc<[Cluster]>,
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
    /// What others said of them, which is in there unless it was forgotten since.
    remembered: Arc<OnceLocal>,
    service_domain: Name,
    /// `svc` below the domain of the cluster set.
    set_domain: Name,
    /// And below the domains of peers that have their own.
    other_domains: Box<[Name]>,
    /// The zone's own names, where we speak for the whole zone.
    zone: Box<[(Name, Entry)]>,
    soa: Box<[u8]>,
    doubts: Doubts,
    /// The same of names of the cluster set, which may be in any peer.
    set_doubts: Doubts,
}

/// The names of one namespace.
#[derive(Debug)]
struct Namespace {
    /// What it was built from, by cluster.
    inputs: Inputs,
    /// Below the cluster domain, by the services' labels.
    services: Parts,
    /// Below the domain of the cluster set, by the services' labels.
    set: Parts,
    /// Below the domains of peers that have their own, in the order of these.
    other: Box<[Parts]>,
    names: usize,
    overlaps: usize,
}

/// What every cluster has of one namespace, in the order of the clusters.
type Inputs = Vec<Option<Arc<catalog::Namespace>>>;

type Parts = HashMap<Arc<[u8]>, Arc<Part>>;

/// The names of one service in one domain.
#[derive(Debug, Default)]
struct Part {
    /// What it was built from, by cluster.
    inputs: Box<[(usize, Arc<Service>)]>,
    /// And the local cluster's own word.
    import: Option<Arc<ServiceImport>>,
    local: bool,
    /// Sorted by name.
    entries: Box<[(Name, Entry)]>,
    /// Remote addresses left out because they are local ones here.
    overlaps: usize,
}

/// Services, by namespace and name.
pub type OnceLocal = BTreeSet<(Arc<str>, Arc<str>)>;

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

    /// The services that must never become remote since they were local.
    pub fn once_local(&self) -> &Arc<OnceLocal> {
        &self.once_local
    }

    /// What a name in wire form and lower case is.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        if let Some(below) = Below::read(name, &self.service_domain) {
            return self.inside(name, &below, |namespace| {
                // Others are those of the cluster set, or of other domains.
                let is_other = namespace.services.is_empty();
                let is_here = || {
                    let local = self.context.local.and_then(|at| namespace.inputs.get(at));
                    local.is_some_and(Option::is_some)
                };
                (!is_other || is_here()).then_some(&namespace.services)
            });
        }
        for (at, domain) in self.other_domains.iter().enumerate() {
            let Some(below) = Below::read(name, domain) else {
                continue;
            };
            // Of such a domain nothing is known but what peers have.
            below.service?;
            return self.inside(name, &below, |namespace| namespace.other.get(at));
        }
        if let Some(below) = Below::read(name, &self.set_domain) {
            let exists = |namespace: &Namespace| !namespace.set.is_empty();
            if below.namespace.is_none() && !self.namespaces.values().any(|of| exists(of)) {
                return None;
            }
            return self.inside(name, &below, |namespace| {
                exists(namespace).then_some(&namespace.set)
            });
        }
        let mut zone = self.zone.iter();
        zone.find(|(found, _)| found.as_wire() == name)
            .map(|(_, entry)| entry)
    }

    fn inside<'i>(
        &'i self,
        name: &[u8],
        below: &Below<'_>,
        parts: impl Fn(&'i Namespace) -> Option<&'i Parts>,
    ) -> Option<&'i Entry> {
        const INNER: &Entry = &Entry::Inner;
        let Some(namespace) = below.namespace else {
            return Some(INNER);
        };
        let parts = parts(self.namespaces.get(namespace)?)?;
        let Some(service) = below.service else {
            return Some(INNER);
        };
        parts.get(service)?.entry(name)
    }

    /// What a name of ours speaks of, in wire form and lower case; `None`: of nothing of ours.
    pub fn subject<'n>(&self, name: &'n [u8]) -> Option<Subject<'n>> {
        let of = |domain, in_set| Some((Below::read(name, domain)?, in_set));
        let others = || self.other_domains.iter().enumerate();
        let other = others().find_map(|(at, domain)| Some((at, Below::read(name, domain)?)));
        let domain = other.map(|(at, _)| at);
        let (below, in_set) = of(&self.service_domain, false)
            .or(of(&self.set_domain, true))
            .or(other.map(|(_, below)| (below, false)))?;
        Some(match (below.namespace, below.service) {
            (None, _) => Subject::Domain,
            (Some(namespace), None) => Subject::Namespace(namespace),
            (Some(namespace), Some(service)) => Subject::Service {
                namespace,
                service,
                below: below.count > 2,
                in_set,
                domain,
            },
        })
    }

    /// All names of services and below them, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        let namespaces = self.namespaces.values();
        let parts = namespaces.flat_map(|of| of.parts());
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

    /// The ranges of the local cluster's addresses that are known: those that the configuration gives, and those that the
    /// cluster tells of its services.
    pub fn local_ranges(&self) -> (&[AddressRange], &[AddressRange]) {
        let given = &self.settings.local_ranges;
        let told = self.context.local_ranges.get(given.len()..);
        (given, told.unwrap_or_default())
    }

    /// Whether anything may be answered from a peer, so that it matters which addresses are local ones.
    pub fn has_peers(&self) -> bool {
        !self.discoveries.is_empty() || self.clusters.iter().any(|cluster| !cluster.local)
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

    /// The name of the server of our zones.
    pub fn server(&self) -> Name {
        zone::server(&self.settings.cluster_domain)
    }

    /// The zone of ours that a name is in: the cluster domain, or the domain of the cluster set.
    pub fn zone(&self, name: &[u8]) -> Option<&Name> {
        let settings = &self.settings;
        [&settings.cluster_domain, &settings.cluster_set_domain]
            .into_iter()
            .chain(&settings.other_domains)
            .find(|zone| is_under(name, zone.as_wire()))
    }

    /// Whether a name is in the zone of a peer that has its own: of that we know only what the peer says.
    pub fn is_in_other_domain(&self, name: &[u8]) -> bool {
        let mut domains = self.settings.other_domains.iter();
        domains.any(|domain| is_under(name, domain.as_wire()))
    }
}

impl Namespace {
    fn parts(&self) -> impl Iterator<Item = &Arc<Part>> {
        let other = self.other.iter().flat_map(HashMap::values);
        self.services.values().chain(self.set.values()).chain(other)
    }
}

impl Part {
    fn entry(&self, name: &[u8]) -> Option<&Entry> {
        let entries = &self.entries;
        let place = entries.binary_search_by(|(found, _)| found.as_wire().cmp(name));
        let (_, entry) = entries.get(place.ok()?)?;
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
