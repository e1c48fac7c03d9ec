//! The gateways of one cluster: what its services, its Gateway objects and its nodes say together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::warn;

use super::{
    convert::{self, Exposed},
    objects::{GatewayObject, Node, Service},
    watch::Event,
    word::Word,
};
use crate::catalog::{Catalog, External, Gateway, GatewayHost, Locality, REGION, ZONE};

/// A namespace and a name.
type Key = (String, String);

/// Everything that gateways are made of, and what it makes.
#[derive(Debug)]
pub(super) struct Gateways {
    /// Whether the cluster is the one that the agent serves.
    local: bool,
    services: BTreeMap<Key, Exposed>,
    objects: BTreeMap<Key, Vec<Gateway>>,
    /// Whether the Gateway objects have been listed, or are known not to be had.
    objects_known: bool,
    /// Nodes that can be reached from outside, with those of their labels that a selector names.
    nodes: BTreeMap<String, (GatewayHost, BTreeMap<String, String>)>,
    /// As `objects_known`.
    nodes_known: bool,
    before: Before,
    /// Those that serve ambient meshes alone, and so are not given: the kind of the object, and its key.
    only_for_hbone: BTreeSet<(&'static str, Key)>,
    /// The labels that selectors name; `None`: nodes do not matter.
    selected: Option<BTreeSet<String>>,
    changed: bool,
    found: Arc<[Gateway]>,
    external: Arc<BTreeMap<Key, External>>,
}

/// The gateways, and where services can be reached from outside.
type Made = (Arc<[Gateway]>, Arc<BTreeMap<Key, External>>);

/// What the cluster said before, which counts for what was never listed since.
#[derive(Debug, Default)]
struct Before {
    /// Until Gateway objects are listed; those that no service made.
    objects: Option<Vec<Gateway>>,
    /// Until nodes are listed: all gateways, and where services were.
    nodes: Option<Made>,
}

impl Before {
    fn of(catalog: &Catalog) -> Self {
        let external = || catalog.external.values();
        let is_of_service =
            |gateway: &&Gateway| external().any(|of| of.hosts.contains(&gateway.host));
        let gateways = catalog.gateways.iter();
        Self {
            objects: Some(
                gateways
                    .filter(|gateway| !is_of_service(gateway))
                    .cloned()
                    .collect(),
            ),
            nodes: Some((Arc::clone(&catalog.gateways), Arc::clone(&catalog.external))),
        }
    }
}

impl Gateways {
    /// None yet but those `before`.
    pub(super) fn new(local: bool, before: Option<&Catalog>) -> Self {
        Self {
            before: before.map(Before::of).unwrap_or_default(),
            local,
            services: BTreeMap::new(),
            objects: BTreeMap::new(),
            objects_known: false,
            nodes: BTreeMap::new(),
            nodes_known: false,
            only_for_hbone: BTreeSet::new(),
            selected: None,
            changed: before.is_some(),
            found: Arc::default(),
            external: Arc::default(),
        }
    }

    /// Takes a service as it is now; `None`: it cannot be reached from outside, or is gone.
    pub(super) fn put_service(&mut self, key: Key, exposed: Option<Exposed>) {
        if self.services.get(&key) == exposed.as_ref() {
            return;
        }
        self.changed = true;
        let has_nodes = |exposed: &Exposed| exposed.nodes.is_some();
        let selects = exposed.as_ref().is_some_and(has_nodes);
        let before = match exposed {
            Some(exposed) => self.services.insert(key, exposed),
            None => self.services.remove(&key),
        };
        if selects || before.as_ref().is_some_and(has_nodes) {
            self.select();
        }
    }

    /// Takes whether a service is a gateway that serves ambient meshes alone.
    pub(super) fn put_hbone_service(&mut self, key: &Key, only_for_hbone: bool) {
        self.put_hbone("Service", key, only_for_hbone);
    }

    fn put_hbone(&mut self, kind: &'static str, key: &Key, only_for_hbone: bool) {
        let entry = (kind, key.clone());
        if !only_for_hbone {
            self.only_for_hbone.remove(&entry);
        } else if self.only_for_hbone.insert(entry) {
            let (namespace, name) = key;
            warn!(
                kind,
                namespace,
                name,
                "an east-west gateway for HBONE only, which no client but an ambient mesh's can use: its addresses are not given"
            );
        }
    }

    /// The gateways that are not given, because they serve ambient meshes alone.
    pub(super) fn only_for_hbone(&self) -> impl Iterator<Item = String> {
        let all = self.only_for_hbone.iter();
        all.map(|(kind, (namespace, name))| format!("{kind} {namespace}/{name}"))
    }

    /// Forgets all services but these, which are all that there are.
    pub(super) fn keep_services(&mut self, all: &[Service]) {
        let all: BTreeSet<(&str, &str)> = all
            .iter()
            .map(|object| (&*object.metadata.namespace, &*object.metadata.name))
            .collect();
        self.only_for_hbone.retain(|(kind, (namespace, name))| {
            *kind != "Service" || all.contains(&(&**namespace, &**name))
        });
        let before = self.services.len();
        self.services
            .retain(|(namespace, name), _| all.contains(&(&**namespace, &**name)));
        self.changed |= self.services.len() != before;
        self.select();
    }

    /// The labels of nodes that matter; `None`: nodes do not.
    pub(super) fn selected(&self) -> Option<&BTreeSet<String>> {
        self.selected.as_ref()
    }

    /// Takes what became known of Gateway objects. While they cannot be had those that are known stay; nobody waits for
    /// what is refused.
    pub(super) fn take_objects(&mut self, event: Event<GatewayObject>) -> Word {
        match event {
            Event::Listed(objects) => {
                self.objects.clear();
                self.only_for_hbone.retain(|(kind, _)| *kind == "Service");
                self.before.objects = None;
                self.objects_known = true;
                self.changed = true;
                for object in objects {
                    self.put_object(&object);
                }
                Word::Well
            }
            Event::Put(object) => {
                self.put_object(&object);
                Word::None
            }
            Event::Gone(object) => {
                self.put_hbone("Gateway", &key(&object), false);
                self.changed |= self.objects.remove(&key(&object)).is_some();
                Word::None
            }
            Event::Problem(problem) => Word::Problem(problem),
            Event::Refused(problem) => {
                self.objects_known = true;
                Word::Problem(problem)
            }
            Event::Well => Word::Well,
        }
    }

    /// Takes what became known of nodes; else as [`Gateways::take_objects`].
    pub(super) fn take_nodes(&mut self, event: Event<Node>) -> Word {
        match event {
            Event::Listed(nodes) => {
                self.nodes.clear();
                self.before.nodes = None;
                self.nodes_known = true;
                self.changed = true;
                for node in nodes {
                    self.put_node(&node);
                }
                Word::Well
            }
            Event::Put(node) => {
                self.put_node(&node);
                Word::None
            }
            Event::Gone(node) => {
                self.changed |= self.nodes.remove(&node.metadata.name).is_some();
                Word::None
            }
            Event::Problem(problem) => Word::Problem(problem),
            Event::Refused(problem) => {
                self.nodes_known = true;
                Word::Problem(problem)
            }
            Event::Well => Word::Well,
        }
    }

    /// Whether everything has been listed that gateways need.
    pub(super) fn known(&self) -> bool {
        self.objects_known && (self.nodes_known || self.selected.is_none())
    }

    /// The gateways, and where services can be reached from outside. While something that they need is being listed they
    /// are as before, because a gateway that is not known yet must not look gone; but not if it was waited for long enough.
    pub(super) fn found(&mut self, waited: bool) -> Made {
        if (waited || self.known()) && std::mem::take(&mut self.changed) {
            self.make();
        }
        (Arc::clone(&self.found), Arc::clone(&self.external))
    }

    fn put_object(&mut self, object: &GatewayObject) {
        let only_for_hbone = convert::is_object_only_for_hbone(object);
        self.put_hbone("Gateway", &key(object), only_for_hbone);
        let found = convert::gateways(object, self.local);
        let before = self.objects.insert(key(object), found.clone());
        self.changed |= before.as_ref() != Some(&found);
    }

    /// Nothing is kept of one that cannot be reached from outside.
    fn put_node(&mut self, node: &Node) {
        let name = &node.metadata.name;
        let Some(address) = convert::node_address(node) else {
            self.changed |= self.nodes.remove(name).is_some();
            return;
        };
        let labels = node.metadata.labels.iter();
        let labels = labels.filter(|(label, _)| {
            let selected = self.selected.as_ref();
            let place = *label == REGION || *label == ZONE;
            place || selected.is_some_and(|selected| selected.contains(*label))
        });
        let labels = labels.map(|(label, value)| (label.clone(), value.clone()));
        let kept = (address, labels.collect());
        // Nodes are told every few minutes, without having changed.
        if self.nodes.get(name) != Some(&kept) {
            self.nodes.insert(name.clone(), kept);
            self.changed = true;
        }
    }

    fn make(&mut self) {
        let mut found = Vec::new();
        let mut external = BTreeMap::new();
        for (key, exposed) in &self.services {
            let places = self.places(key, exposed);
            if let Some((network, port)) = &exposed.gateway {
                let port = places.port(*port);
                let at = |host: &GatewayHost, locality: Option<Locality>| Gateway {
                    network: Some(Arc::clone(network)),
                    host: host.clone(),
                    port,
                    locality: locality.or_else(|| exposed.locality.clone()),
                };
                match &exposed.nodes {
                    None => found.extend(places.hosts.iter().map(|host| at(host, None))),
                    Some(nodes) => match &self.before.nodes {
                        Some((gateways, _)) => {
                            let before = gateways.iter();
                            let ours =
                                before.filter(|gateway| places.hosts.contains(&gateway.host));
                            found.extend(
                                ours.map(|before| at(&before.host, before.locality.clone())),
                            );
                        }
                        None => found.extend(
                            self.chosen(nodes)
                                .map(|(host, labels)| at(host, Locality::of_labels(labels))),
                        ),
                    },
                }
            }
            external.insert(key.clone(), places);
        }
        found.extend(self.objects.values().flatten().cloned());
        found.extend(self.before.objects.iter().flatten().cloned());
        found.sort_unstable();
        found.dedup();
        self.found = found.into();
        self.external = Arc::new(external);
    }

    fn places(&self, key: &Key, exposed: &Exposed) -> External {
        External {
            hosts: match (&exposed.nodes, &self.before.nodes) {
                (None, _) => exposed.hosts.clone(),
                (Some(_), Some((_, before))) => {
                    let before = before.get(key);
                    before
                        .map(|before| before.hosts.clone())
                        .unwrap_or_default()
                }
                (Some(labels), None) => self.chosen(labels).map(|(host, _)| host.clone()).collect(),
            },
            ports: exposed.ports.clone(),
        }
    }

    /// The nodes that have these labels, with those of their labels that are kept.
    fn chosen(
        &self,
        selector: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = &(GatewayHost, BTreeMap<String, String>)> {
        self.nodes.values().filter(|(_, labels)| {
            let mut selector = selector.iter();
            selector.all(|(label, value)| labels.get(label) == Some(value))
        })
    }

    /// Settles which labels of nodes matter. Those that were dropped can only be had by listing the nodes anew.
    fn select(&mut self) {
        let nodes = self
            .services
            .values()
            .filter_map(|exposed| exposed.nodes.as_ref());
        let mut nodes = nodes.peekable();
        let selected = nodes.peek().is_some().then_some(());
        let selected = selected.map(|()| nodes.flat_map(|labels| labels.keys().cloned()).collect());
        if self.selected == selected {
            return;
        }
        self.selected = selected;
        self.nodes_known = false;
        if self.selected.is_none() {
            self.nodes.clear();
        }
    }
}

fn key(object: &GatewayObject) -> Key {
    let metadata = &object.metadata;
    (metadata.namespace.clone(), metadata.name.clone())
}

#[cfg(test)]
mod tests;
