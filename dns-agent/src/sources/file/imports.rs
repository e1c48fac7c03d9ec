//! ServiceImports in a catalog's file (KEP-1645).

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{Reading, services::WrittenPort};
use crate::{
    catalog::{Catalog, Endpoint, Imported, ImportedEndpoint, ServiceImport},
    yaml::{self, line},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Written {
    name: yaml::Written<String>,
    namespace: yaml::Written<String>,
    addresses: Option<yaml::Written<Vec<yaml::Written<String>>>>,
    endpoints: Option<yaml::Written<Vec<WrittenEndpoint>>>,
    #[serde(default, deserialize_with = "yaml::list")]
    ports: Vec<WrittenPort>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenEndpoint {
    cluster: Option<yaml::Written<String>>,
    address: yaml::Written<String>,
    hostname: Option<yaml::Written<String>>,
    #[serde(default = "super::services::yes")]
    ready: bool,
}

type ByName = BTreeMap<Arc<str>, Arc<ServiceImport>>;

impl Reading<'_> {
    pub(super) fn imports(&mut self, written: &[Written], catalog: &mut Catalog) {
        let mut seen = BTreeMap::new();
        let mut found: BTreeMap<Arc<str>, ByName> = BTreeMap::new();
        for (at, written) in written.iter().enumerate() {
            let field = format!("serviceImports[{at}]");
            let key = (&written.namespace.value, &written.name.value);
            if let Some(first) = seen.insert(key, line(&written.name)) {
                self.faults.add(
                    line(&written.name),
                    format!("{field}.name"),
                    format!("the import {}/{} is already on line {first}", key.0, key.1),
                    "remove one of them",
                );
            }
            let import = self.import(&field, written);
            let namespace = found.entry(Arc::clone(&import.namespace)).or_default();
            namespace.insert(Arc::clone(&import.name), Arc::new(import));
        }
        for (name, imports) in found {
            let namespace = catalog.namespaces.entry(name).or_default();
            *namespace = Arc::new((**namespace).clone().with_imports(imports));
        }
    }

    fn import(&mut self, field: &str, written: &Written) -> ServiceImport {
        self.label(&written.name, &format!("{field}.name"));
        self.label(&written.namespace, &format!("{field}.namespace"));
        let imported = match (&written.addresses, &written.endpoints) {
            (Some(addresses), None) => {
                Imported::ClusterSetIp(self.addresses(addresses, &format!("{field}.addresses")))
            }
            (None, Some(endpoints)) => {
                let all = endpoints.value.iter().enumerate();
                let all = all.filter_map(|(at, endpoint)| {
                    self.imported_endpoint(&format!("{field}.endpoints[{at}]"), endpoint)
                });
                Imported::Headless(all.collect())
            }
            _ => {
                self.faults.add(
                    line(&written.name),
                    field,
                    format!(
                        "the import \"{}\" has none or both of addresses and endpoints",
                        written.name.value
                    ),
                    "write addresses for the IPs of the cluster set, or endpoints for a headless service",
                );
                Imported::ClusterSetIp(Vec::new())
            }
        };
        ServiceImport {
            name: written.name.value.as_str().into(),
            namespace: written.namespace.value.as_str().into(),
            imported,
            ports: self.ports(field, &written.ports),
        }
    }

    fn imported_endpoint(
        &mut self,
        field: &str,
        written: &WrittenEndpoint,
    ) -> Option<ImportedEndpoint> {
        let labels = [
            ("cluster", &written.cluster),
            ("hostname", &written.hostname),
        ];
        for (name, label) in labels {
            if let Some(label) = label {
                self.label(label, &format!("{field}.{name}"));
            }
        }
        let text = |written: &Option<yaml::Written<String>>| {
            written.as_ref().map(|written| written.value.clone())
        };
        Some(ImportedEndpoint {
            cluster: text(&written.cluster),
            endpoint: Endpoint {
                address: self.address(&written.address, &format!("{field}.address"))?,
                hostname: text(&written.hostname),
                ready: written.ready,
            },
        })
    }
}
