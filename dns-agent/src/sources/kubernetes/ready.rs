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

/// What is known of it.
#[derive(Debug)]
pub(super) struct Ready {
    namespaces: BTreeMap<Arc<str>, Slices>,
    /// What has been listed: a namespace, or everything (`None`).
    listed: BTreeSet<Option<Arc<str>>>,
    /// What was neither listed nor refused yet.
    awaited: BTreeSet<Option<Arc<str>>>,
    /// What is wrong: each list may be refused by itself.
    problems: BTreeMap<Option<Arc<str>>, String>,
}

/// Those of a namespace.
#[derive(Debug, Default)]
struct Slices {
    /// By name: the service, and whether an endpoint is ready.
    all: BTreeMap<String, (String, bool)>,
    /// How many of a service's have a ready endpoint; never 0. There may be thousands of services, and each is asked for.
    ready: BTreeMap<String, usize>,
}

impl Ready {
    /// Nothing is known yet of these.
    pub(super) fn new(of: Option<&Reach>) -> Self {
        let awaited = of.map(resources).into_iter().flatten();
        Self {
            namespaces: BTreeMap::new(),
            listed: BTreeSet::new(),
            awaited: awaited.map(|(of, _)| of).collect(),
            problems: BTreeMap::new(),
        }
    }

    /// Whether nothing is to be waited for.
    pub(super) fn is_listed(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Whether a service has no ready endpoint for sure.
    pub(super) fn is_empty(&self, namespace: &Arc<str>, service: &str) -> bool {
        let listed =
            self.listed.contains(&None) || self.listed.contains(&Some(Arc::clone(namespace)));
        let slices = self.namespaces.get(namespace);
        listed && !slices.is_some_and(|slices| slices.has_ready(service))
    }

    /// Takes what became known of the slices of a namespace, or of all; `known` are the namespaces that have services.
    pub(super) fn take<'n>(
        &mut self,
        of: Option<Arc<str>>,
        event: Event<EndpointSlice>,
        known: impl Iterator<Item = &'n Arc<str>>,
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Word {
        match event {
            Event::Listed(objects) => {
                match &of {
                    Some(namespace) => {
                        self.namespaces.remove(namespace);
                        changed.insert(Arc::clone(namespace));
                    }
                    // A service without any slice is empty as well.
                    None => {
                        changed.extend(known.cloned());
                        self.namespaces.clear();
                    }
                }
                for object in &objects {
                    self.put(object);
                }
                self.awaited.remove(&of);
                self.problems.remove(&of);
                self.listed.insert(of);
                self.word()
            }
            Event::Put(object) => {
                if self.put(&object) {
                    changed.insert(object.metadata.namespace.as_str().into());
                }
                Word::None
            }
            Event::Gone(object) => {
                let slices = self.namespaces.get_mut(object.metadata.namespace.as_str());
                if slices.is_some_and(|slices| slices.put(&object.metadata.name, None)) {
                    changed.insert(object.metadata.namespace.as_str().into());
                }
                Word::None
            }
            Event::Problem(problem) => {
                self.problems.insert(of, problem);
                self.word()
            }
            Event::Refused(problem) => {
                self.awaited.remove(&of);
                self.problems.insert(of, problem);
                self.word()
            }
            Event::Well => {
                self.problems.remove(&of);
                self.word()
            }
        }
    }

    /// What is wrong with any: one problem is told for all.
    fn word(&self) -> Word {
        match self.problems.values().next() {
            Some(problem) => Word::Problem(problem.clone()),
            None => Word::Well,
        }
    }

    /// Whether that changes anything.
    fn put(&mut self, object: &EndpointSlice) -> bool {
        let mut endpoints = object.endpoints.iter();
        let ready = endpoints.any(|endpoint| {
            !endpoint.addresses.is_empty() && endpoint.conditions.ready.unwrap_or(true)
        });
        let service = object.metadata.labels.service.clone();
        let slice = service.map(|service| (service, ready));
        let namespace = object.metadata.namespace.as_str().into();
        let slices = self.namespaces.entry(namespace).or_default();
        slices.put(&object.metadata.name, slice)
    }
}

impl Slices {
    fn has_ready(&self, service: &str) -> bool {
        self.ready.contains_key(service)
    }

    /// Puts this in a slice's place, and tells whether any service has a ready endpoint since, or has none any more. Endpoints
    /// change all the time; that seldom does.
    fn put(&mut self, name: &str, slice: Option<(String, bool)>) -> bool {
        let before = self.all.remove(name);
        let services = before.iter().chain(&slice);
        let services: Vec<(String, bool)> = services
            .map(|(service, _)| (service.clone(), self.has_ready(service)))
            .collect();
        if let Some((service, true)) = &before
            && let Some(count) = self.ready.get_mut(service)
        {
            *count -= 1;
            if *count == 0 {
                self.ready.remove(service);
            }
        }
        if let Some(slice) = slice {
            if slice.1 {
                *self.ready.entry(slice.0.clone()).or_default() += 1;
            }
            self.all.insert(name.to_owned(), slice);
        }
        let mut services = services.iter();
        services.any(|(service, had)| self.has_ready(service) != *had)
    }
}

#[cfg(test)]
mod tests;
