//! What a cluster gives to the cluster set and takes from it: Kubernetes' Multi-Cluster Services API (KEP-1645), where the
//! cluster offers it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    cluster,
    convert::{self, address},
    objects::{EndpointSlice, Metadata, Object, ServicePort, null_is_empty, objects},
    offers::{EXPORTS, IMPORTS, Offers},
    queue::Sender,
    watch::{Event, Resource, Unwanted},
};
use crate::catalog::{self, Catalog, Imported, ImportedEndpoint};

/// What became known.
#[derive(Debug)]
pub(super) enum Change {
    Exports(Event<ServiceExport>),
    Imports(Event<ServiceImport>),
    Slices(Event<EndpointSlice>),
}

impl Change {
    /// The place of the resource, if this lists it.
    fn listed(&self) -> Option<usize> {
        match self {
            Self::Exports(Event::Listed(_)) => Some(0),
            Self::Imports(Event::Listed(_)) => Some(1),
            Self::Slices(Event::Listed(_)) => Some(2),
            _ => None,
        }
    }

    /// As [`Event::believed`].
    pub(super) fn believed(self, believed: bool) -> Self {
        match self {
            Self::Exports(event) => Self::Exports(event.believed(believed)),
            Self::Imports(event) => Self::Imports(event.believed(believed)),
            Self::Slices(event) => Self::Slices(event.believed(believed)),
        }
    }
}

/// Whoever may use a service of the same name, in other clusters.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServiceExport {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    status: ExportStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ExportStatus {
    #[serde(default, deserialize_with = "null_is_empty")]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

/// A service of the cluster set.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServiceImport {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    spec: ImportSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ImportSpec {
    #[serde(default)]
    r#type: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    ips: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    ports: Vec<ServicePort>,
}

objects!(ServiceExport, ServiceImport);

/// An object of ours, by its namespace and name.
trait Named {
    fn metadata(&self) -> &Metadata;
}

macro_rules! named {
    ($($object:ty),*) => {$(
        impl Named for $object {
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        }
    )*};
}

named!(ServiceExport, ServiceImport, EndpointSlice);

/// Sends everything that becomes known, until nobody wants it any more. Exports count in every cluster, imports in the
/// local one.
pub(super) async fn follow(
    offers: &Offers,
    local: bool,
    send: &Sender<cluster::Change>,
) -> Unwanted {
    let exports = |event| cluster::Change::ClusterSet(Change::Exports(event));
    let exports = offers.follow(&EXPORTS, "", send, exports);
    if !local {
        return exports.await;
    }
    let imports = |event| cluster::Change::ClusterSet(Change::Imports(event));
    let slices = |event| cluster::Change::ClusterSet(Change::Slices(event));
    let slices_of_imports = |_: &str| Resource {
        name: "endpointslices of serviceimports",
        path: "/apis/discovery.k8s.io/v1/endpointslices".to_owned(),
        selector: "&labelSelector=multicluster.kubernetes.io%2Fservice-name".to_owned(),
        missing: None,
    };
    tokio::select! {
        unwanted = exports => unwanted,
        unwanted = offers.follow(&IMPORTS, "", send, imports) => unwanted,
        unwanted = offers.follow_as(&IMPORTS, slices_of_imports, send, slices) => unwanted,
    }
}

/// By namespace, then by the object's name.
type Kept<T> = BTreeMap<Arc<str>, BTreeMap<String, T>>;

/// Everything that is kept of it.
#[derive(Debug)]
pub(super) struct ClusterSet {
    exports: Kept<()>,
    imports: Kept<catalog::ServiceImport>,
    /// The import's name, and its endpoints.
    slices: Kept<(String, Vec<ImportedEndpoint>)>,
    /// Of each resource whether it was listed or is known not to be had, and what is wrong.
    heard: [Heard; 3],
    /// What the cluster said before, which counts for what was never listed since.
    before: Option<Before>,
}

#[derive(Debug)]
struct Before {
    namespaces: BTreeMap<Arc<str>, Arc<catalog::Namespace>>,
    /// Which of the three have been listed since.
    listed: [bool; 3],
}

type Heard = (bool, Option<String>);

impl ClusterSet {
    /// Nothing is known yet but what the cluster said `before`. Imports count in the local cluster only.
    pub(super) fn new(local: bool, before: Option<&Catalog>) -> Self {
        Self {
            exports: Kept::new(),
            imports: Kept::new(),
            slices: Kept::new(),
            heard: [(false, None), (!local, None), (!local, None)],
            before: before.map(|before| Before {
                namespaces: before.namespaces.clone(),
                listed: [false, !local, !local],
            }),
        }
    }

    /// The namespaces that changed by it.
    pub(super) fn take(&mut self, change: Change) -> BTreeSet<Arc<str>> {
        let mut changed = BTreeSet::new();
        let which = change.listed();
        let [exports, imports, slices] = &mut self.heard;
        match change {
            Change::Exports(event) => {
                take(&mut self.exports, event, export, &mut changed, exports);
            }
            Change::Imports(event) => {
                take(&mut self.imports, event, import, &mut changed, imports);
            }
            Change::Slices(event) => take(&mut self.slices, event, slice, &mut changed, slices),
        }
        if let Some(at) = which {
            // One that could not be understood is none.
            let understood = self
                .heard
                .get(at)
                .is_some_and(|(listed, problem)| *listed && problem.is_none());
            if let Some(before) = self.before.as_mut().filter(|_| understood)
                && let Some(listed) = before.listed.get_mut(at).filter(|listed| !**listed)
            {
                *listed = true;
                changed.extend(before.namespaces.keys().cloned());
                if before.listed == [true; 3] {
                    self.before = None;
                }
            }
        }
        changed
    }

    /// Whether nothing is to be waited for.
    pub(super) fn is_listed(&self) -> bool {
        self.heard.iter().all(|(listed, _)| *listed)
    }

    /// What is wrong.
    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.heard
            .iter()
            .filter_map(|(_, problem)| problem.as_ref())
    }

    /// Whether a service is exported.
    pub(super) fn exports(&self, namespace: &str, name: &str) -> bool {
        if let Some(Before {
            namespaces,
            listed: [false, ..],
        }) = &self.before
        {
            let before = namespaces
                .get(namespace)
                .and_then(|before| before.services().get(name));
            return before.is_some_and(|before| before.in_cluster_set);
        }
        let services = self.exports.get(namespace);
        services.is_some_and(|services| services.contains_key(name))
    }

    /// The imports of a namespace, with their endpoints.
    pub(super) fn imports(
        &self,
        namespace: &str,
    ) -> BTreeMap<Arc<str>, Arc<catalog::ServiceImport>> {
        let before = self.before.as_ref();
        let before = before.map(|before| (before.namespaces.get(namespace), before.listed));
        let (before, [_, imports_listed, slices_listed]) = before.unwrap_or((None, [true; 3]));
        if !imports_listed {
            return before
                .map(|before| before.imports().clone())
                .unwrap_or_default();
        }
        let imports = self.imports.get(namespace).into_iter().flatten();
        let imports = imports.map(|(name, import)| {
            let mut import = import.clone();
            if let Imported::Headless(endpoints) = &mut import.imported {
                let before = before.and_then(|before| before.imports().get(&import.name));
                if let Some(Imported::Headless(before)) = before
                    .filter(|_| !slices_listed)
                    .map(|before| &before.imported)
                {
                    endpoints.clone_from(before);
                }
                let slices = self.slices.get(namespace).into_iter().flatten();
                let own = slices.filter(|(_, (service, _))| service == name);
                endpoints.extend(own.flat_map(|(_, (_, endpoints))| endpoints.clone()));
            }
            (Arc::clone(&import.name), Arc::new(import))
        });
        imports.collect()
    }
}

/// Keeps of an event what `convert` makes of its objects.
fn take<K: Named, T>(
    kept: &mut Kept<T>,
    event: Event<K>,
    convert: fn(&K) -> Result<Option<T>, String>,
    changed: &mut BTreeSet<Arc<str>>,
    (listed, problem): &mut Heard,
) {
    let named = |text: String| Some(format!("multicluster.x-k8s.io: {text}"));
    let key = |object: &K| {
        let metadata = object.metadata();
        (
            Arc::from(metadata.namespace.as_str()),
            metadata.name.clone(),
        )
    };
    let mut put = |kept: &mut Kept<T>, object: &K, converted: Option<T>| {
        let (namespace, name): (Arc<str>, String) = key(object);
        let objects = kept.entry(Arc::clone(&namespace)).or_default();
        match converted {
            Some(converted) => objects.insert(name, converted),
            None => objects.remove(&name),
        };
        changed.insert(namespace);
    };
    match event {
        Event::Listed(objects) => {
            let converted: Result<Vec<Option<T>>, String> = objects.iter().map(convert).collect();
            let converted = match converted {
                Ok(converted) => converted,
                Err(text) => {
                    *problem = named(text);
                    return;
                }
            };
            let before: Vec<Arc<str>> = kept.keys().cloned().collect();
            kept.clear();
            for (object, converted) in objects.iter().zip(converted) {
                put(kept, object, converted);
            }
            changed.extend(before);
            (*listed, *problem) = (true, None);
        }
        Event::Put(object) => match convert(&object) {
            Ok(converted) => put(kept, &object, converted),
            Err(text) => *problem = named(text),
        },
        Event::Gone(object) => put(kept, &object, None),
        Event::Problem(text) => *problem = Some(text),
        Event::Refused(text) => (*listed, *problem) = (true, Some(text)),
        Event::Well => *problem = None,
    }
}

/// An export that is marked as wrong is none: nobody's service, or one that cannot be exported.
fn export(object: &ServiceExport) -> Result<Option<()>, String> {
    convert::label(&object.metadata.name)?;
    let mut conditions = object.status.conditions.iter();
    let invalid = conditions.any(|found| found.r#type == "Valid" && found.status == "False");
    Ok((!invalid).then_some(()))
}

/// Without its endpoints, if it is headless.
fn import(object: &ServiceImport) -> Result<Option<catalog::ServiceImport>, String> {
    let ServiceImport { metadata, spec } = object;
    convert::label(&metadata.name)?;
    convert::label(&metadata.namespace)?;
    let imported = if spec.r#type == "Headless" {
        Imported::Headless(Vec::new())
    } else {
        let addresses = spec.ips.iter().filter(|text| !text.is_empty());
        let addresses = addresses.map(|text| address(text));
        Imported::ClusterSetIp(addresses.collect::<Result<_, _>>()?)
    };
    Ok(Some(catalog::ServiceImport {
        name: metadata.name.as_str().into(),
        namespace: metadata.namespace.as_str().into(),
        imported,
        ports: convert::ports(&spec.ports)?,
    }))
}

fn slice(object: &EndpointSlice) -> Result<Option<(String, Vec<ImportedEndpoint>)>, String> {
    let labels = &object.metadata.labels;
    let Some(service) = labels.imported_service.clone() else {
        return Ok(None);
    };
    if let Some(cluster) = &labels.source_cluster {
        convert::label(cluster)?;
    }
    let endpoints = convert::endpoints(object)?.into_iter();
    let endpoints = endpoints.map(|endpoint| ImportedEndpoint {
        cluster: labels.source_cluster.clone(),
        endpoint,
    });
    Ok(Some((service, endpoints.collect())))
}

#[cfg(test)]
mod tests;
