//! The clusters, their files, and what may be taken from them.

use std::collections::{BTreeMap, BTreeSet};

use super::Reading;
use crate::{
    catalog::Import,
    config::{CatalogFile, written},
    name::is_kubernetes_label,
    yaml::{Written, line},
};

impl Reading<'_> {
    pub(super) fn catalogs(
        &mut self,
        written: &Written<Vec<written::Catalog>>,
        local: &written::Cluster,
    ) -> Vec<CatalogFile> {
        for (text, field) in [(&local.id, "cluster.id"), (&local.mesh, "cluster.mesh")] {
            self.not_empty(text, field);
        }
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        let mut all = Vec::new();
        for (at, entry) in written.value.iter().enumerate() {
            let field = format!("catalogs[{at}]");
            self.not_empty(&entry.cluster, &format!("{field}.cluster"));
            self.not_empty(&entry.file, &format!("{field}.file"));
            let cluster = entry.cluster.value.as_str();
            if let Some(first) = seen.insert(cluster, line(&entry.cluster)) {
                self.faults.add(
                    line(&entry.cluster),
                    format!("{field}.cluster"),
                    format!("the cluster \"{cluster}\" is already on line {first}"),
                    "keep one catalog for each cluster",
                );
            }
            all.push(self.catalog(&field, entry, local));
        }
        let id = local.id.value.as_str();
        if !seen.contains_key(id) {
            self.faults.add(
                line(written),
                "catalogs",
                format!("none is of the local cluster \"{id}\""),
                format!("add {{cluster: {id}, file: …}}"),
            );
        }
        all
    }

    fn catalog(
        &mut self,
        field: &str,
        written: &written::Catalog,
        local: &written::Cluster,
    ) -> CatalogFile {
        let is_local = written.cluster.value == local.id.value;
        let mesh = written.mesh.as_ref().unwrap_or(&local.mesh);
        let same_mesh = mesh.value == local.mesh.value;
        if is_local && !same_mesh {
            self.faults.add(
                line(mesh),
                format!("{field}.mesh"),
                format!(
                    "\"{}\" where cluster.mesh says \"{}\"",
                    mesh.value, local.mesh.value
                ),
                "remove it here",
            );
        }
        let import = match (&written.import, same_mesh) {
            (None, true) => Import::All,
            (Some(import), true) => {
                self.faults.add(
                    line(import),
                    format!("{field}.import"),
                    "a cluster of our own mesh gives all its names",
                    format!("remove it, or name the other mesh in {field}.mesh"),
                );
                Import::All
            }
            (None, false) => {
                self.faults.add(
                    line(mesh),
                    format!("{field}.import"),
                    format!("missing, and a cluster of the mesh \"{}\" gives only what is named", mesh.value),
                    "add import: {namespaces: […], services: […]}, or {namespaces: [\"*\"]} for all",
                );
                Import::All
            }
            (Some(import), false) => self.import(&format!("{field}.import"), import),
        };
        CatalogFile {
            cluster: written.cluster.value.clone(),
            mesh: mesh.value.clone(),
            local: is_local,
            file: self.path(&written.file.value),
            import,
        }
    }

    fn import(&mut self, field: &str, written: &Written<written::Import>) -> Import {
        let import = &written.value;
        if import.namespaces.is_empty() && import.services.is_empty() {
            self.faults.add(
                line(written),
                field,
                "names nothing",
                "name namespaces or services, or remove the catalog",
            );
        }
        let mut every_namespace = false;
        let mut namespaces = BTreeSet::new();
        for (at, text) in import.namespaces.iter().enumerate() {
            match text.value.as_str() {
                "*" if !every_namespace => every_namespace = true,
                name if is_kubernetes_label(name) && namespaces.insert(name.to_owned()) => {}
                name if name == "*" || is_kubernetes_label(name) => {
                    self.twice(text, format!("{field}.namespaces[{at}]"));
                }
                name => self.faults.add(
                    line(text),
                    format!("{field}.namespaces[{at}]"),
                    format!("\"{name}\" is no namespace"),
                    "write a namespace's name, or \"*\" for all",
                ),
            }
        }
        let mut services = BTreeSet::new();
        for (at, text) in import.services.iter().enumerate() {
            match text.value.split_once('/') {
                Some((namespace, name))
                    if is_kubernetes_label(namespace) && is_kubernetes_label(name) =>
                {
                    if !services.insert((namespace.to_owned(), name.to_owned())) {
                        self.twice(text, format!("{field}.services[{at}]"));
                    }
                }
                _ => self.faults.add(
                    line(text),
                    format!("{field}.services[{at}]"),
                    format!("\"{}\" is no service", text.value),
                    "write NAMESPACE/NAME",
                ),
            }
        }
        Import::Only {
            every_namespace,
            namespaces,
            services,
        }
    }

    fn twice(&mut self, text: &Written<String>, field: String) {
        self.faults.add(
            line(text),
            field,
            format!("\"{}\" is listed twice", text.value),
            "remove one of them",
        );
    }
}
