//! One cluster: what its resources say together, as a catalog.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::Client;
use tokio::sync::{mpsc, watch::channel};

use super::{
    cluster_set::{self, ClusterSet},
    convert::{self, Kept},
    gateways::Gateways,
    mesh_config::MeshConfiguration,
    namespaces::Namespaces,
    node,
    objects::{ConfigMap, EndpointSlice, GatewayObject, MeshData, Namespace, Node, Service},
    watch::{self, Event, Resource},
    word::Word,
};
use crate::{
    catalog::{self, Catalog, Endpoint, Kind, Locality},
    sources::board::Seat,
};

/// What else decides what is read of a cluster.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Whether it is the cluster that the agent serves.
    pub(super) local: bool,
    /// The namespace that tells the cluster's network.
    pub(super) istio_namespace: String,
    /// The agent's own node, in its own cluster.
    pub(super) node: Option<String>,
}

/// How many changes may wait to be taken.
const WAITING: usize = 1024;

/// What became known.
#[derive(Debug)]
pub(super) enum Change {
    Services(Event<Service>),
    Namespaces(Event<Namespace>),
    Slices(Event<EndpointSlice>),
    Gateways(Event<GatewayObject>),
    Nodes(Event<Node>),
    Mesh(Event<ConfigMap>),
    ClusterSet(cluster_set::Change),
    OwnNode(Event<Node>),
}

/// Tells the seat everything that becomes known of a cluster. Ends only by being dropped.
pub(super) async fn follow(client: &Client, about: &About, seat: &Seat) {
    let (send, mut changes) = mpsc::channel(WAITING);
    let resource = |name, path: &str, selector: &str| Resource {
        name,
        path: path.to_owned(),
        selector: selector.to_owned(),
        optional: false,
    };
    let services = resource("services", "/api/v1/services", "");
    let namespaces = resource("namespaces", "/api/v1/namespaces", "");
    // Kubernetes marks the slices of headless services; of all others nothing is needed.
    let slices = resource(
        "endpointslices",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "&labelSelector=service.kubernetes.io%2Fheadless",
    );
    let gateways = Resource {
        optional: true,
        ..resource(
            "gateways",
            "/apis/gateway.networking.k8s.io/v1/gateways",
            "&labelSelector=topology.istio.io%2Fnetwork",
        )
    };
    let nodes = resource("nodes", "/api/v1/nodes", "");
    let mesh = resource(
        "the ConfigMap istio",
        &format!("/api/v1/namespaces/{}/configmaps", about.istio_namespace),
        "&fieldSelector=metadata.name%3Distio",
    );
    let follow_mesh = async {
        if about.local {
            watch::follow(client, &mesh, &send, Change::Mesh).await;
        }
        std::future::pending::<()>().await;
    };
    let follow_own_node = async {
        if let Some(name) = &about.node {
            watch::follow(client, &node::resource(name), &send, Change::OwnNode).await;
        }
        std::future::pending::<()>().await;
    };
    let (select, mut selected) = channel(None);
    // Few clusters have gateways at nodes, and nodes are many and large.
    let follow_nodes = async {
        while selected.wait_for(Option::is_some).await.is_ok() {
            tokio::select! {
                _ = watch::follow(client, &nodes, &send, Change::Nodes) => {}
                _ = selected.changed() => {}
            }
        }
    };
    let take = async {
        let mut view = View::new(about.clone());
        let mut batch = Vec::new();
        while changes.recv_many(&mut batch, WAITING).await > 0 {
            for change in batch.drain(..) {
                view.take(change);
            }
            select.send_if_modified(|selected| {
                let other = selected.as_ref() != view.gateways.selected();
                if other {
                    *selected = view.gateways.selected().cloned();
                }
                other
            });
            view.tell(seat);
        }
    };
    tokio::select! {
        _ = watch::follow(client, &services, &send, Change::Services) => {}
        _ = watch::follow(client, &namespaces, &send, Change::Namespaces) => {}
        _ = watch::follow(client, &slices, &send, Change::Slices) => {}
        _ = watch::follow(client, &gateways, &send, Change::Gateways) => {}
        () = follow_nodes => {}
        _ = cluster_set::follow(client, about.local, &send) => {}
        () = follow_mesh => {}
        () = follow_own_node => {}
        () = take => {}
    }
}

/// Everything that is kept of one cluster.
#[derive(Debug)]
struct View {
    about: About,
    services: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Kept>>,
    gateways: Gateways,
    namespaces: Namespaces,
    /// By namespace.
    slices: BTreeMap<Arc<str>, Slices>,
    mesh: MeshConfiguration,
    cluster_set: ClusterSet,
    node: Option<Locality>,
    listed: Listed,
    /// Whether everything was known once. What is listed stays listed; only gateways may need more later.
    told: bool,
    /// What is wrong, by resource; those last that answers can do without.
    problems: [Option<String>; 7],
    /// Namespaces that are not in `built` as they are now.
    changed: BTreeSet<Arc<str>>,
    built: BTreeMap<Arc<str>, Arc<catalog::Namespace>>,
}

/// By the slice's own name: the service, and its endpoints there.
type Slices = BTreeMap<String, (String, Vec<Endpoint>)>;

/// Which resources have been listed.
#[derive(Debug, Default)]
struct Listed {
    services: bool,
    namespaces: bool,
    slices: bool,
    /// Or known not to be had.
    mesh: bool,
}

const SERVICES: usize = 0;
const NAMESPACES: usize = 1;
const SLICES: usize = 2;
/// So many are needed.
const NEEDED: usize = 3;
const MESH: usize = 3;
const GATEWAYS: usize = 4;
const NODES: usize = 5;
const OWN_NODE: usize = 6;

impl View {
    fn new(about: About) -> Self {
        Self {
            listed: Listed {
                mesh: !about.local,
                ..Listed::default()
            },
            gateways: Gateways::new(about.local),
            services: BTreeMap::new(),
            namespaces: Namespaces::new(&about.istio_namespace),
            about,
            slices: BTreeMap::new(),
            mesh: MeshConfiguration::default(),
            cluster_set: ClusterSet::default(),
            node: None,
            told: false,
            problems: Default::default(),
            changed: BTreeSet::new(),
            built: BTreeMap::new(),
        }
    }

    fn take(&mut self, change: Change) {
        let (place, problem) = match change {
            Change::Services(event) => (SERVICES, self.take_services(event)),
            Change::Namespaces(event) => (NAMESPACES, self.take_namespaces(event)),
            Change::Slices(event) => (SLICES, self.take_slices(event)),
            Change::Gateways(event) => (GATEWAYS, self.gateways.take_objects(event)),
            Change::Nodes(event) => (NODES, self.gateways.take_nodes(event)),
            Change::Mesh(event) => (MESH, self.take_mesh(event)),
            Change::OwnNode(event) => (OWN_NODE, self.take_own_node(event)),
            Change::ClusterSet(change) => {
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
                let kept: Result<Vec<Kept>, String> =
                    objects.iter().map(convert::service).collect();
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
            Event::Put(object) => match convert::service(&object) {
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
                self.gateways.put_service(key, None);
                Word::None
            }
            Event::Problem(problem) => Word::Problem(problem),
            Event::Well => Word::Well,
        }
    }

    fn put_service(&mut self, mut kept: Kept) {
        let namespace = Arc::clone(&kept.service.namespace);
        let name = Arc::clone(&kept.service.name);
        let key = (namespace.to_string(), name.to_string());
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
            Event::Problem(problem) => Ok(Word::Problem(problem)),
            Event::Well => Ok(Word::Well),
        };
        taken.unwrap_or_else(|problem| Word::of("namespaces", problem))
    }

    fn take_slices(&mut self, event: Event<EndpointSlice>) -> Word {
        match event {
            Event::Listed(objects) => {
                let found: Result<Vec<_>, String> = objects
                    .iter()
                    .map(|object| Ok((object, convert::endpoints(object)?)))
                    .collect();
                let found = match found {
                    Ok(found) => found,
                    Err(problem) => return Word::of("endpointslices", problem),
                };
                self.changed.extend(self.slices.keys().cloned());
                self.slices.clear();
                for (object, endpoints) in found {
                    self.put_slice(object, endpoints);
                }
                self.listed.slices = true;
                Word::Well
            }
            Event::Put(object) => match convert::endpoints(&object) {
                Ok(endpoints) => {
                    self.put_slice(&object, endpoints);
                    Word::None
                }
                Err(problem) => Word::of("endpointslices", problem),
            },
            Event::Gone(object) => {
                let metadata = object.metadata;
                let namespace: Arc<str> = metadata.namespace.as_str().into();
                if let Some(slices) = self.slices.get_mut(&namespace) {
                    slices.remove(&metadata.name);
                    if slices.is_empty() {
                        self.slices.remove(&namespace);
                    }
                }
                self.changed.insert(namespace);
                Word::None
            }
            Event::Problem(problem) => Word::Problem(problem),
            Event::Well => Word::Well,
        }
    }

    fn put_slice(&mut self, object: &EndpointSlice, endpoints: Vec<Endpoint>) {
        let Some(service) = object.metadata.labels.service.clone() else {
            return;
        };
        let namespace: Arc<str> = object.metadata.namespace.as_str().into();
        let slices = self.slices.entry(Arc::clone(&namespace)).or_default();
        slices.insert(object.metadata.name.clone(), (service, endpoints));
        self.changed.insert(namespace);
    }

    /// The mesh configuration says where other networks' gateways are; answers do without it.
    fn take_mesh(&mut self, event: Event<ConfigMap>) -> Word {
        let data = match event {
            Event::Listed(objects) => {
                self.listed.mesh = true;
                let first = objects.into_iter().next();
                first.map(|object| object.data).unwrap_or_default()
            }
            Event::Put(object) => object.data,
            Event::Gone(_) => MeshData::default(),
            Event::Problem(problem) => {
                self.listed.mesh = true;
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
            Event::Problem(problem) => Word::Problem(problem),
            Event::Well => Word::Well,
        }
    }

    /// Nothing is told before everything that answers need is known: a service without its endpoints would be an answer,
    /// and a wrong one.
    fn tell(&mut self, seat: &Seat) {
        let problems = self.problems.iter().flatten();
        let problems = problems.chain(self.cluster_set.problems());
        let problems: Vec<&str> = problems.map(String::as_str).collect();
        let problem = (!problems.is_empty()).then(|| problems.join(" | "));
        let Listed {
            services,
            namespaces,
            slices,
            mesh,
        } = self.listed;
        let listed = services && namespaces && slices && mesh;
        let ready = listed && self.gateways.known() && self.cluster_set.is_listed();
        if !ready && !self.told {
            if let Some(problem) = problem {
                seat.failed(problem);
            }
            return;
        }
        self.told = true;
        let current = self.problems.iter().take(NEEDED).all(Option::is_none);
        seat.take(self.catalog(), current, problem);
    }

    fn catalog(&mut self) -> Catalog {
        for namespace in std::mem::take(&mut self.changed) {
            match self.build(&namespace) {
                Some(built) => self.built.insert(namespace, Arc::new(built)),
                None => self.built.remove(&namespace),
            };
        }
        let (gateways, external) = self.gateways.found();
        Catalog {
            network: self.namespaces.network().map(str::to_owned),
            namespaces: self.built.clone(),
            every_namespace: true,
            gateways,
            external,
            mesh_networks: Arc::clone(&self.mesh.networks),
            cluster_local_hosts: Arc::clone(&self.mesh.cluster_local_hosts),
            node: self.node.clone(),
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
        let slices = self
            .slices
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values);
        let mut slices = slices
            .filter(|(service, _)| **service == *kept.service.name)
            .peekable();
        let kind = if self.about.local && slices.peek().is_none() {
            Kind::ExternalName
        } else {
            Kind::Headless(
                slices
                    .flat_map(|(_, endpoints)| endpoints.clone())
                    .collect(),
            )
        };
        Arc::new(catalog::Service {
            kind,
            ..(*kept.service).clone()
        })
    }
}
