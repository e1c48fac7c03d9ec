//! From catalogs to names. Whatever is built from the same things as before is taken from the index before.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    Doubts, Families, Index, Known, Namespace, OnceLocal, Part, Settings, doubts::doubts,
    part::Builder, rules::Rules,
};
use crate::{
    catalog::{self, Catalog, Cluster, Import, MeshNetworks, Service},
    gateway,
    name::Name,
};

/// What remote names are built from besides the services themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    /// The place of the local cluster, once its catalog is known: before, nobody can say that a service exists only
    /// elsewhere.
    pub(super) local: Option<usize>,
    pub(super) families: Option<Families>,
    pub(super) peers: Vec<Peer>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peer {
    id: Arc<str>,
    pub(super) local: bool,
    pub(super) import: Import,
    pub(super) same_network: bool,
    pub(super) gateways: Vec<SocketAddr>,
}

pub(super) fn index(
    settings: Arc<Settings>,
    known: Known,
    serial: u32,
    before: Option<&Index>,
) -> Index {
    let domain = &settings.cluster_domain;
    let below = |label: &str| domain.child(label).unwrap_or_else(|_| domain.clone());
    let service_domain = below("svc");
    let local = known.clusters.iter().position(|cluster| cluster.local);
    let local = local.filter(|at| catalog(&known.clusters, *at).is_some());
    let local_catalog = local.and_then(|at| catalog(&known.clusters, at));
    let doubts: Doubts = doubts(&known, local_catalog);
    let context = context(&settings, &known, local);
    let mut building = Building {
        same_context: before.is_some_and(|before| before.context == context),
        builder: Builder {
            service_domain: &service_domain,
            srv: settings.srv,
        },
        rules: Rules {
            settings: &settings,
            context: &context,
        },
        once_local: before.map_or_else(Arc::default, |before| Arc::clone(&before.once_local)),
    };
    let mut namespaces = HashMap::new();
    for (label, inputs) in inputs(&known.clusters) {
        let label: Arc<[u8]> = Arc::from(Arc::clone(label));
        let before = before.and_then(|before| before.namespaces.get(&label));
        if let Some(namespace) = building.namespace(inputs, before) {
            namespaces.insert(label, namespace);
        }
    }
    let once_local = building.once_local;
    Index {
        pod_domain: below("pod"),
        soa: soa(domain, serial, settings.ttl),
        // The service domain itself is a name too.
        names: 1 + namespaces.values().map(|of| of.names).sum::<usize>(),
        namespaces,
        clusters: known.clusters,
        discoveries: known.discoveries,
        gateways: known.gateways,
        once_local,
        context,
        service_domain,
        doubts,
        settings,
    }
}

struct Building<'b> {
    rules: Rules<'b>,
    builder: Builder<'b>,
    /// Whether remote names are built from what they were built from before.
    same_context: bool,
    once_local: Arc<OnceLocal>,
}

impl Building<'_> {
    /// `None`: the namespace is not one of ours.
    fn namespace(
        &mut self,
        inputs: Vec<Option<Arc<catalog::Namespace>>>,
        before: Option<&Arc<Namespace>>,
    ) -> Option<Arc<Namespace>> {
        if let Some(before) = before
            && self.same_context
            && same(&inputs, &before.inputs)
        {
            return Some(Arc::clone(before));
        }
        // Where only services changed, only those are looked at: a namespace may have thousands.
        let (names, mut services) = match before.filter(|_| self.same_context) {
            Some(before) => (changed(&inputs, &before.inputs), before.services.clone()),
            None => {
                let all = inputs.iter().flatten().flat_map(|of| of.services().keys());
                (all.collect(), HashMap::new())
            }
        };
        for name in names {
            let label: Arc<[u8]> = Arc::from(Arc::clone(name));
            let parts = self.rules.clusters_of(name, &inputs);
            let before = before.and_then(|before| before.services.get(&label));
            let part = match before.filter(|before| self.is_same(&parts, before)) {
                Some(part) => Arc::clone(part),
                None => Arc::new(self.part(&parts)),
            };
            if part.entries.is_empty() {
                services.remove(&label);
            } else {
                services.insert(label, part);
            }
        }
        let local = self.rules.context.local.and_then(|at| inputs.get(at));
        if services.is_empty() && !local.is_some_and(Option::is_some) {
            return None;
        }
        let parts = services.values();
        Some(Arc::new(Namespace {
            names: 1 + parts.clone().map(|part| part.entries.len()).sum::<usize>(),
            overlaps: parts.map(|part| part.overlaps).sum(),
            inputs,
            services,
        }))
    }

    fn is_same(&self, parts: &[(usize, &Arc<Service>)], before: &Part) -> bool {
        (before.local || self.same_context)
            && parts.len() == before.inputs.len()
            && parts
                .iter()
                .zip(&before.inputs)
                .all(|((at, one), (before, other))| at == before && Arc::ptr_eq(one, other))
    }

    /// Every name has been checked to fit when its parts were read: labels by the source, the domain by the
    /// configuration. So no failure in here ever leaves a name out.
    fn part(&mut self, parts: &[(usize, &Arc<Service>)]) -> Part {
        let inputs = parts.iter().map(|(at, service)| (*at, Arc::clone(service)));
        let mut part = Part {
            inputs: inputs.collect(),
            local: false,
            entries: Box::default(),
            overlaps: 0,
        };
        let &[(at, service), ..] = parts else {
            return part;
        };
        if Some(at) == self.rules.context.local {
            part.local = true;
            let policy = &self.rules.settings.remote;
            if !policy.failover(&service.namespace, &service.name).0 {
                let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
                if !self.once_local.contains(&key) {
                    Arc::make_mut(&mut self.once_local).insert(key);
                }
            }
            part.entries = self.builder.local(at, service).unwrap_or_default();
            return part;
        }
        let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
        if self.once_local.contains(&key) {
            return part;
        }
        let remotes = self.rules.remotes(parts);
        let places = parts.iter().map(|(at, _)| *at).collect();
        let asked = self.rules.asked(service);
        if let Ok((entries, overlaps)) = self.builder.remote(places, &remotes, &asked) {
            part.entries = entries;
            part.overlaps = overlaps;
        }
        part
    }
}

/// What every cluster has of one namespace.
pub(super) fn inputs_of(
    clusters: &[Cluster],
    namespace: &str,
) -> Vec<Option<Arc<catalog::Namespace>>> {
    let of = |cluster: &Cluster| cluster.catalog.as_ref()?.namespaces.get(namespace).cloned();
    clusters.iter().map(of).collect()
}

/// The namespaces of all clusters, each with what every cluster has of it.
fn inputs(clusters: &[Cluster]) -> HashMap<&Arc<str>, Vec<Option<Arc<catalog::Namespace>>>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (at, cluster) in clusters.iter().enumerate() {
        for (name, namespace) in cluster.catalog.iter().flat_map(|of| &of.namespaces) {
            let all = found
                .entry(name)
                .or_insert_with(|| vec![None; clusters.len()]);
            if let Some(place) = all.get_mut(at) {
                *place = Some(Arc::clone(namespace));
            }
        }
    }
    found
}

fn same(
    one: &[Option<Arc<catalog::Namespace>>],
    other: &[Option<Arc<catalog::Namespace>>],
) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        })
}

/// The names of the services that are not the same.
fn changed<'i>(
    now: &'i [Option<Arc<catalog::Namespace>>],
    before: &'i [Option<Arc<catalog::Namespace>>],
) -> BTreeSet<&'i Arc<str>> {
    let mut found = BTreeSet::new();
    for (now, before) in now.iter().zip(before) {
        let services = |of: &'i Option<Arc<catalog::Namespace>>| {
            of.iter()
                .flat_map(|namespace| namespace.services())
                .peekable()
        };
        let (mut now, mut before) = (services(now), services(before));
        loop {
            let order = match (now.peek(), before.peek()) {
                (Some((now, _)), Some((before, _))) => now.cmp(before),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let one = order.is_le().then(|| now.next()).flatten();
            let other = order.is_ge().then(|| before.next()).flatten();
            match (one, other) {
                (Some((_, one)), Some((_, other))) if Arc::ptr_eq(one, other) => {}
                (Some((name, _)), _) | (None, Some((name, _))) => {
                    found.insert(name);
                }
                (None, None) => {}
            }
        }
    }
    found
}

fn context(settings: &Settings, known: &Known, local: Option<usize>) -> Context {
    let local_catalog = local.and_then(|at| catalog(&known.clusters, at));
    let none = MeshNetworks::default();
    let mesh = local_catalog.map_or(&none, |catalog| &catalog.mesh_networks);
    let network = local
        .and_then(|at| known.clusters.get(at))
        .and_then(|cluster| gateway::network(cluster, mesh));
    let network = settings.network.as_deref().or(network);
    let targets = gateway::of_clusters(&known.clusters);
    let peers = known
        .clusters
        .iter()
        .zip(targets)
        .map(|(cluster, targets)| Peer {
            id: Arc::clone(&cluster.id),
            local: cluster.local,
            import: cluster.import.clone(),
            same_network: network.is_some() && gateway::network(cluster, mesh) == network,
            gateways: known.gateways.usable(&targets),
        });
    Context {
        local,
        families: settings.families.or_else(|| local_catalog.map(families_of)),
        peers: peers.collect(),
    }
}

fn catalog(clusters: &[Cluster], at: usize) -> Option<&Catalog> {
    clusters.get(at)?.catalog.as_deref()
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

/// An SOA's data: whoever asks anew does so after one TTL.
fn soa(domain: &Name, serial: u32, ttl: u32) -> Box<[u8]> {
    let mut data = Vec::new();
    for labels in [&["dns", "ns"][..], &["hostmaster"][..]] {
        let name = labels
            .iter()
            .try_fold(domain.clone(), |name, label| name.child(label));
        data.extend_from_slice(name.as_ref().unwrap_or(domain).as_wire());
    }
    // Refresh, retry and expire concern secondaries, of which there are none.
    for number in [serial, 7200, 1800, 86400, ttl] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data.into()
}
