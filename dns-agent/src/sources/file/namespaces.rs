//! Namespaces in a catalog's file, where more is to be said of one than that it has services.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::Reading;
use crate::{
    catalog::Catalog,
    yaml::{self, line},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Written {
    name: yaml::Written<String>,
    /// Whether its names may be answered from peers.
    remote: Option<bool>,
}

impl Reading<'_> {
    /// A namespace that is listed exists, with services or without; then there are no others besides those with services.
    pub(super) fn namespaces(&mut self, written: &[Written], catalog: &mut Catalog) {
        catalog.every_namespace = true;
        let mut seen = BTreeMap::new();
        for (at, written) in written.iter().enumerate() {
            let field = format!("namespaces[{at}].name");
            self.label(&written.name, &field);
            let name = written.name.value.as_str();
            if let Some(first) = seen.insert(name, line(&written.name)) {
                self.faults.add(
                    line(&written.name),
                    field,
                    format!("the namespace {name} is already on line {first}"),
                    "remove one of them",
                );
            }
            let namespace = catalog.namespaces.entry(name.into()).or_default();
            *namespace = Arc::new((**namespace).clone().with_remote(written.remote));
        }
    }
}
