//! The namespaces of a cluster: that they exist, and what their labels say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{convert, objects::Namespace};

#[derive(Debug)]
pub(super) struct Namespaces {
    /// With what their labels say of remote answers.
    known: BTreeMap<Arc<str>, Option<bool>>,
    /// The one that Istio is in, which tells the cluster's network by a label.
    istio_namespace: String,
    network: Option<String>,
}

impl Namespaces {
    pub(super) fn new(istio_namespace: &str) -> Self {
        Self {
            known: BTreeMap::new(),
            istio_namespace: istio_namespace.to_owned(),
            network: None,
        }
    }

    /// The cluster's network.
    pub(super) fn network(&self) -> Option<&str> {
        self.network.as_deref()
    }

    /// `None`: it does not exist. `Some(None)`: its labels say nothing of remote answers.
    #[expect(clippy::option_option, reason = "the outer one is the namespace")]
    pub(super) fn get(&self, name: &str) -> Option<Option<bool>> {
        self.known.get(name).copied()
    }

    /// These are all. Nothing changes if one cannot be read.
    pub(super) fn list(
        &mut self,
        objects: &[Namespace],
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Result<(), String> {
        for object in objects {
            convert::label(&object.metadata.name)?;
        }
        let before = std::mem::take(&mut self.known);
        self.network = None;
        for object in objects {
            self.keep(object);
        }
        let gone = before.keys().filter(|name| !self.known.contains_key(*name));
        changed.extend(gone.cloned());
        let now = self.known.iter();
        let other = now.filter(|(name, remote)| before.get(*name) != Some(*remote));
        changed.extend(other.map(|(name, _)| Arc::clone(name)));
        Ok(())
    }

    /// This one is new, or other than before.
    pub(super) fn put(
        &mut self,
        object: &Namespace,
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Result<(), String> {
        let name = &object.metadata.name;
        convert::label(name)?;
        let before = self.get(name);
        self.keep(object);
        if before != self.get(name) {
            changed.insert(name.as_str().into());
        }
        Ok(())
    }

    /// This one is gone.
    pub(super) fn remove(&mut self, object: &Namespace, changed: &mut BTreeSet<Arc<str>>) {
        let name = object.metadata.name.as_str();
        if name == self.istio_namespace {
            self.network = None;
        }
        self.known.remove(name);
        changed.insert(name.into());
    }

    fn keep(&mut self, object: &Namespace) {
        let metadata = &object.metadata;
        self.known
            .insert(metadata.name.as_str().into(), convert::remote(metadata));
        if metadata.name == self.istio_namespace {
            let network = metadata.labels.network.clone();
            self.network = network.filter(|name| !name.is_empty());
        }
    }
}
