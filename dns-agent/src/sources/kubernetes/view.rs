//! Everything that is kept of one cluster, and the catalog that it makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    cluster::{About, Change},
    cluster_set::ClusterSet,
    convert::{self, Kept},
    gateways::Gateways,
    mesh_config::MeshConfiguration,
    namespaces::Namespaces,
    node,
    objects::{ConfigMap, EndpointSlice, MeshData, Namespace, Node, Service},
    ready::Ready,
    service_ranges::ServiceRanges,
    slices::Slices,
    watch::Event,
    word::Word,
};
use crate::{
    catalog::{self, Catalog, Kind, Locality},
    sources::board::Seat,
};

/// Everything that is kept of one cluster.
#[derive(Debug)]
pub(super) struct View {
    about: About,
    services: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Kept>>,
    gateways: Gateways,
    namespaces: Namespaces,
    slices: Slices,
    mesh: MeshConfiguration,
    cluster_set: ClusterSet,
    node: Option<Locality>,
    service_ranges: ServiceRanges,
    ready: Ready,
    listed: Listed,
    /// Whether anything was told: then there is always something to tell.
    told: bool,
    /// Since when all that answers need is known, and something that they can do without is not.
    lacking_since: Option<Instant>,
    /// What is wrong, by resource; those last that answers can do without.
    problems: [Option<String>; 9],
    /// Namespaces that are not in `built` as they are now.
    changed: BTreeSet<Arc<str>>,
    built: BTreeMap<Arc<str>, Arc<catalog::Namespace>>,
}

/// Which resources have been listed.
#[derive(Debug, Default)]
struct Listed {
    services: bool,
    namespaces: bool,
    slices: bool,
    /// Or known not to be had.
    mesh: bool,
}

impl Listed {
    /// Whether all is known that answers need: a service without its endpoints would be an answer, and a wrong one.
    fn needed(&self) -> bool {
        self.services && self.namespaces && self.slices
    }
}

/// While this is not known, no name of the cluster domain is answered from a peer: any of them may have to stay. Names of the
/// cluster set are: what is exported is not kept by it.
const UNREAD: &str = "the ConfigMap istio is not known yet: it may keep names in the cluster, so none of the cluster domain is answered from peers";

const SERVICES: usize = 0;
const NAMESPACES: usize = 1;
const SLICES: usize = 2;
/// So many are needed.
const NEEDED: usize = 3;
const MESH: usize = 3;
const GATEWAYS: usize = 4;
const NODES: usize = 5;
const OWN_NODE: usize = 6;
const SERVICE_RANGES: usize = 7;
const READY: usize = 8;

impl View {
    /// Nothing is known yet but what the cluster said `before`.
    pub(super) fn new(about: About, before: Option<&Catalog>) -> Self {
        let mesh = match before {
            Some(before) => MeshConfiguration::of(before),
            None => MeshConfiguration::default(),
        };
        Self {
            listed: Listed {
                mesh: !about.local,
                ..Listed::default()
            },
            gateways: Gateways::new(about.local, before),
            services: BTreeMap::new(),
            namespaces: Namespaces::new(&about.istio_namespace),
            slices: Slices::default(),
            mesh,
            cluster_set: ClusterSet::new(about.local, before),
            node: before
                .filter(|_| about.node.is_some())
                .and_then(|before| before.node.clone()),
            service_ranges: ServiceRanges::new(
                about.local,
                before.map(|before| Arc::clone(&before.service_ranges)),
            ),
            ready: Ready::new(about.ready_of.as_ref()),
            told: false,
            lacking_since: None,
            problems: Default::default(),
            changed: before
                .into_iter()
                .flat_map(|before| before.namespaces.keys().cloned())
                .collect(),
            built: BTreeMap::new(),
            about,
        }
    }

    /// The labels of nodes that matter; `None`: nodes do not.
    pub(super) fn selected_nodes(&self) -> Option<&BTreeSet<String>> {
        self.gateways.selected()
    }

    /// When something is to be told even if nothing becomes known.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        let since = self.lacking_since.filter(|_| !self.told)?;
        Some(since + self.about.patience)
    }

    /// Takes what became known.
    pub(super) fn take(&mut self, change: Change) {
        let believed = self.listed.needed();
        let (place, problem) = match change {
            Change::Services(event) => (SERVICES, self.take_services(event)),
            Change::Namespaces(event) => (NAMESPACES, self.take_namespaces(event)),
            Change::Slices(event) => (SLICES, self.take_slices(event)),
            Change::Gateways(event) => (
                GATEWAYS,
                self.gateways.take_objects(event.believed(believed)),
            ),
            Change::Nodes(event) => (NODES, self.gateways.take_nodes(event.believed(believed))),
            Change::Mesh(event) => (MESH, self.take_mesh(event.believed(believed))),
            Change::OwnNode(event) => (OWN_NODE, self.take_own_node(event)),
            Change::ReadySlices(of, event) => {
                let known = self.services.keys();
                let event = event.believed(believed);
                (READY, self.ready.take(of, event, known, &mut self.changed))
            }
            Change::ServiceRanges(event) => (
                SERVICE_RANGES,
                self.service_ranges.take(event.believed(believed)),
            ),
            Change::ClusterSet(change) => {
                let change = change.believed(believed);
                self.changed.extend(self.cluster_set.take(change));
                return;
            }
        };
        if let (Some(place), Some(problem)) = (self.problems.get_mut(place), problem.told()) {
            *place = problem;
        }
    }

    fn take_services(&mut self, event: Event<Service>) -> Word {
        match event {
            Event::Listed(objects) => {
                let kept: Result<Vec<Kept>, String> = objects
                    .iter()
                    .map(|object| convert::service(object, self.about.only_labelled))
                    .collect();
                let kept = match kept {
                    Ok(kept) => kept,
                    Err(problem) => return Word::of("services", problem),
                };
                self.changed.extend(self.services.keys().cloned());
                self.services.clear();
                self.gateways.keep_services(&objects);
                for kept in kept {
                    self.put_service(kept);
                }
                self.listed.services = true;
                Word::Well
            }
            Event::Put(object) => match convert::service(&object, self.about.only_labelled) {
                Ok(kept) => {
                    self.put_service(kept);
                    Word::None
                }
                Err(problem) => Word::of("services", problem),
            },
            Event::Gone(object) => {
                let metadata = object.metadata;
                if let Some(services) = self.services.get_mut(metadata.namespace.as_str()) {
                    services.remove(metadata.name.as_str());
                    if services.is_empty() {
                        self.services.remove(metadata.namespace.as_str());
                    }
                }
                self.changed.insert(metadata.namespace.as_str().into());
                let key = (metadata.namespace, metadata.name);
                self.gateways.put_hbone_service(&key, false);
                self.gateways.put_service(key, None);
                Word::None
            }
            Event::Problem(problem) | Event::Refused(problem) => Word::Problem(problem),
            Event::Well => Word::Well,
        }
    }

    fn put_service(&mut self, mut kept: Kept) {
        let namespace = Arc::clone(&kept.service.namespace);
        let name = Arc::clone(&kept.service.name);
        let key = (namespace.to_string(), name.to_string());
        self.gateways.put_hbone_service(&key, kept.only_for_hbone);
        let exposed = kept.exposed.take().map(|exposed| *exposed);
        self.gateways.put_service(key, exposed);
        let services = self.services.entry(Arc::clone(&namespace)).or_default();
        services.insert(name, kept);
        self.changed.insert(namespace);
    }

    fn take_namespaces(&mut self, event: Event<Namespace>) -> Word {
        let taken = match event {
            Event::Listed(objects) => {
                let taken = self.namespaces.list(&objects, &mut self.changed);
                self.listed.namespaces |= taken.is_ok();
                taken.map(|()| Word::Well)
            }
            Event::Put(object) => {
                let taken = self.namespaces.put(&object, &mut self.changed);
                taken.map(|()| Word::None)
            }
            Event::Gone(object) => {
                self.namespaces.remove(&object, &mut self.changed);
                Ok(Word::None)
            }
            Event::Problem(problem) | Event::Refused(problem) => Ok(Word::Problem(problem)),
            Event::Well => Ok(Word::Well),
        };
        taken.unwrap_or_else(|problem| Word::of("namespaces", problem))
    }

    fn take_slices(&mut self, event: Event<EndpointSlice>) -> Word {
        let taken = match event {
            Event::Listed(objects) => {
                let taken = self.slices.list(&objects, &mut self.changed);
                self.listed.slices |= taken.is_ok();
                taken.map(|()| Word::Well)
            }
            Event::Put(object) => {
                let taken = self.slices.put(&object, &mut self.changed);
                taken.map(|()| Word::None)
            }
            Event::Gone(object) => {
                self.slices.remove(&object, &mut self.changed);
                Ok(Word::None)
            }
            Event::Problem(problem) | Event::Refused(problem) => Ok(Word::Problem(problem)),
            Event::Well => Ok(Word::Well),
        };
        taken.unwrap_or_else(|problem| Word::of("endpointslices", problem))
    }

    /// The mesh configuration says where other networks' gateways are, and which names stay in the cluster.
    fn take_mesh(&mut self, event: Event<ConfigMap>) -> Word {
        let data = match event {
            Event::Listed(objects) => {
                self.listed.mesh = true;
                let first = objects.into_iter().next();
                first.map(|object| object.data).unwrap_or_default()
            }
            Event::Put(object) => object.data,
            Event::Gone(_) => MeshData::default(),
            Event::Problem(problem) => return Word::Problem(problem),
            Event::Refused(problem) => {
                self.listed.mesh = true;
                self.mesh.refused();
                return Word::Problem(problem);
            }
            Event::Well => return Word::Well,
        };
        match self.mesh.take(&data) {
            Ok(()) => Word::Well,
            Err(problem) => Word::Problem(format!("the ConfigMap istio: {problem}")),
        }
    }

    /// Where the node is only puts gateways in order.
    fn take_own_node(&mut self, event: Event<Node>) -> Word {
        match event {
            Event::Listed(objects) => {
                self.node = objects.first().and_then(node::locality);
                Word::Well
            }
            Event::Put(object) => {
                self.node = node::locality(&object);
                Word::None
            }
            Event::Gone(_) => {
                self.node = None;
                Word::None
            }
            Event::Problem(problem) | Event::Refused(problem) => Word::Problem(problem),
            Event::Well => Word::Well,
        }
    }

    /// Tells what is known, if that is enough: all that answers need, and for a while also what they can do without, because
    /// most of the time it comes a moment later.
    pub(super) fn tell(&mut self, seat: &Seat) {
        let has_rest = self.listed.mesh
            && self.gateways.known()
            && self.cluster_set.is_listed()
            && self.service_ranges.is_listed()
            && self.ready.is_listed();
        let lacks = self.listed.needed() && !has_rest;
        self.lacking_since = match self.lacking_since {
            Some(since) if lacks => Some(since),
            _ => lacks.then(Instant::now),
        };
        let since = self.lacking_since;
        let waited = since.is_some_and(|since| since.elapsed() >= self.about.patience);
        let unread = self.mesh_unread();
        let problems = self.problems.iter().flatten();
        let problems = problems.chain(self.cluster_set.problems());
        let mut problems: Vec<&str> = problems.map(String::as_str).collect();
        if unread {
            problems.push(UNREAD);
        }
        let problem = (!problems.is_empty()).then(|| problems.join(" | "));
        let ready = self.told || self.listed.needed() && (has_rest || waited);
        if !ready {
            // What was not even asked yet is no problem.
            if let Some(problem) = problem.filter(|problem| problem != UNREAD) {
                seat.failed(problem);
            }
            return;
        }
        self.told = true;
        let well = self.problems.iter().take(NEEDED).all(Option::is_none);
        seat.take(self.catalog(waited), well && !unread, problem);
    }

    /// Whether the mesh configuration is not known that may keep names in the cluster.
    fn mesh_unread(&self) -> bool {
        self.about.local && self.mesh.cluster_local_hosts.is_none()
    }

    fn catalog(&mut self, waited: bool) -> Catalog {
        for namespace in std::mem::take(&mut self.changed) {
            match self.build(&namespace) {
                Some(built) => self.built.insert(namespace, Arc::new(built)),
                None => self.built.remove(&namespace),
            };
        }
        let (gateways, external) = self.gateways.found(waited);
        Catalog {
            network: self.namespaces.network().map(str::to_owned),
            namespaces: self.built.clone(),
            every_namespace: true,
            gateways,
            external,
            mesh_networks: Arc::clone(&self.mesh.networks),
            cluster_local_hosts: self.mesh.cluster_local_hosts.clone().unwrap_or_default(),
            mesh_unread: self.mesh_unread(),
            node: self.node.clone(),
            service_ranges: self.service_ranges.found(),
            hbone_gateways: self.gateways.only_for_hbone().collect(),
        }
    }

    fn build(&self, namespace: &Arc<str>) -> Option<catalog::Namespace> {
        let services = self.services.get(namespace);
        let known = self.namespaces.get(namespace);
        let imports = self.cluster_set.imports(namespace);
        if services.is_none() && known.is_none() && imports.is_empty() {
            return None;
        }
        let services = services.into_iter().flatten().map(|(name, kept)| {
            let mut service = if kept.headless {
                self.with_endpoints(namespace, kept)
            } else {
                Arc::clone(&kept.service)
            };
            if !kept.headless && self.ready.is_empty(namespace, name) {
                Arc::make_mut(&mut service).is_empty = true;
            }
            if self.cluster_set.exports(namespace, name) {
                Arc::make_mut(&mut service).in_cluster_set = true;
            }
            (Arc::clone(name), service)
        });
        let built = catalog::Namespace::new(services.collect())
            .with_imports(imports)
            .with_remote(known.flatten());
        Some(built)
    }

    /// A local headless service of which no slice is marked is left to the cluster's own DNS: its slices may be made by
    /// somebody who does not mark them. One that is scaled to nothing has a slice, an empty one.
    fn with_endpoints(&self, namespace: &Arc<str>, kept: &Kept) -> Arc<catalog::Service> {
        let kind = match self.slices.of(namespace, &kept.service.name) {
            None if self.about.local => Kind::ExternalName,
            found => Kind::Headless(found.unwrap_or_default()),
        };
        Arc::new(catalog::Service {
            kind,
            ..(*kept.service).clone()
        })
    }
}

#[cfg(test)]
mod tests;
