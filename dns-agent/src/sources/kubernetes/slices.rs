//! The EndpointSlices of headless services.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{convert, objects::EndpointSlice};
use crate::catalog::Endpoint;

/// By namespace, then by the slice's own name.
#[derive(Debug, Default)]
pub(super) struct Slices(BTreeMap<Arc<str>, BTreeMap<String, Slice>>);

#[derive(Debug)]
struct Slice {
    service: String,
    endpoints: Vec<Endpoint>,
}

impl Slices {
    /// The endpoints of a service; `None`: it has no slice, not even an empty one.
    pub(super) fn of(&self, namespace: &str, service: &str) -> Option<Vec<Endpoint>> {
        let slices = self.0.get(namespace)?.values();
        let mut slices = slices.filter(|slice| slice.service == service).peekable();
        slices.peek()?;
        Some(slices.flat_map(|slice| slice.endpoints.clone()).collect())
    }

    /// These are all. Nothing changes if one cannot be read.
    pub(super) fn list(
        &mut self,
        objects: &[EndpointSlice],
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Result<(), String> {
        let found: Vec<_> = objects
            .iter()
            .map(|object| Ok((object, convert::endpoints(object)?)))
            .collect::<Result<_, String>>()?;
        changed.extend(self.0.keys().cloned());
        self.0.clear();
        for (object, endpoints) in found {
            self.keep(object, endpoints, changed);
        }
        Ok(())
    }

    /// This one is new, or other than before.
    pub(super) fn put(
        &mut self,
        object: &EndpointSlice,
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Result<(), String> {
        let endpoints = convert::endpoints(object)?;
        self.keep(object, endpoints, changed);
        Ok(())
    }

    /// This one is gone.
    pub(super) fn remove(&mut self, object: &EndpointSlice, changed: &mut BTreeSet<Arc<str>>) {
        let namespace: Arc<str> = object.metadata.namespace.as_str().into();
        if let Some(slices) = self.0.get_mut(&namespace) {
            slices.remove(&object.metadata.name);
            if slices.is_empty() {
                self.0.remove(&namespace);
            }
        }
        changed.insert(namespace);
    }

    fn keep(
        &mut self,
        object: &EndpointSlice,
        endpoints: Vec<Endpoint>,
        changed: &mut BTreeSet<Arc<str>>,
    ) {
        let Some(service) = object.metadata.labels.service.clone() else {
            return;
        };
        let namespace: Arc<str> = object.metadata.namespace.as_str().into();
        let slices = self.0.entry(Arc::clone(&namespace)).or_default();
        slices.insert(object.metadata.name.clone(), Slice { service, endpoints });
        changed.insert(namespace);
    }
}
