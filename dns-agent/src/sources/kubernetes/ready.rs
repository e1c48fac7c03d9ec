//! Which services of the local cluster have a ready endpoint: told by the EndpointSlices of services that are not headless, which
//! are only followed where an answer depends on it (`failoverWhenEmpty`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{objects::EndpointSlice, watch::Event, watch::Resource, word::Word};
use crate::index::Reach;

/// What it is called in messages.
const NAME: &str = "endpointslices of services";

/// What is to be followed: one resource for the whole cluster, or one for each namespace.
pub(super) fn resources(of: &Reach) -> Vec<(Option<Arc<str>>, Resource)> {
    let resource = |namespace: &str| Resource {
        name: NAME,
        path: format!("/apis/discovery.k8s.io/v1{namespace}/endpointslices"),
        selector: "&labelSelector=%21service.kubernetes.io%2Fheadless".to_owned(),
        missing: None,
    };
    match of {
        Reach::Everything => vec![(None, resource(""))],
        Reach::Namespaces(all) => all
            .iter()
            .map(|of| (Some(Arc::clone(of)), resource(&format!("/namespaces/{of}"))))
            .collect(),
    }
}

/// By namespace, then by the slice's name: the service, and whether an endpoint is ready.
type Slices = BTreeMap<Arc<str>, BTreeMap<String, (String, bool)>>;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Ready {
    slices: Slices,
    /// What has been listed: a namespace, or everything (`None`).
    listed: BTreeSet<Option<Arc<str>>>,
}

impl Ready {
    /// Whether a service has no ready endpoint for sure.
    pub(super) fn is_empty(&self, namespace: &Arc<str>, service: &str) -> bool {
        let listed =
            self.listed.contains(&None) || self.listed.contains(&Some(Arc::clone(namespace)));
        listed && !self.has_ready(namespace, service)
    }

    /// Takes what became known of the slices of a namespace, or of all.
    pub(super) fn take(
        &mut self,
        of: Option<Arc<str>>,
        event: Event<EndpointSlice>,
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Word {
        match event {
            Event::Listed(objects) => {
                match &of {
                    Some(namespace) => {
                        self.slices.remove(namespace);
                        changed.insert(Arc::clone(namespace));
                    }
                    None => {
                        changed.extend(self.slices.keys().cloned());
                        self.slices.clear();
                    }
                }
                for object in &objects {
                    self.keep(object);
                }
                changed.extend(self.slices.keys().cloned());
                self.listed.insert(of);
                Word::Well
            }
            Event::Put(object) => {
                self.look_at(&object, changed, |ready| ready.keep(&object));
                Word::None
            }
            Event::Gone(object) => {
                self.look_at(&object, changed, |ready| {
                    let slices = ready.slices.get_mut(object.metadata.namespace.as_str());
                    if let Some(slices) = slices {
                        slices.remove(&object.metadata.name);
                    }
                });
                Word::None
            }
            Event::Problem(problem) | Event::Refused(problem) => Word::Problem(problem),
            Event::Well => Word::Well,
        }
    }

    /// Endpoints change all the time; what matters is whether there are any.
    fn look_at(
        &mut self,
        object: &EndpointSlice,
        changed: &mut BTreeSet<Arc<str>>,
        change: impl FnOnce(&mut Self),
    ) {
        let namespace: Arc<str> = object.metadata.namespace.as_str().into();
        let Some(service) = &object.metadata.labels.service else {
            return;
        };
        let before = self.has_ready(&namespace, service);
        change(self);
        if self.has_ready(&namespace, service) != before {
            changed.insert(namespace);
        }
    }

    fn has_ready(&self, namespace: &str, service: &str) -> bool {
        let slices = self.slices.get(namespace).into_iter().flatten();
        slices
            .into_iter()
            .any(|(_, (of, ready))| of == service && *ready)
    }

    fn keep(&mut self, object: &EndpointSlice) {
        let Some(service) = object.metadata.labels.service.clone() else {
            return;
        };
        let mut endpoints = object.endpoints.iter();
        let ready = endpoints.any(|endpoint| {
            !endpoint.addresses.is_empty() && endpoint.conditions.ready.unwrap_or(true)
        });
        let namespace = object.metadata.namespace.as_str().into();
        let slices = self.slices.entry(namespace).or_default();
        slices.insert(object.metadata.name.clone(), (service, ready));
    }
}
