//! The clusters, their files, and what may be taken from them.

use std::collections::{BTreeMap, BTreeSet};

use super::Reading;
use crate::{
    catalog::Import,
    config::{Entry, RemoteSecrets, Source, written},
    name::is_kubernetes_label,
    yaml::{Written, line},
};

/// What is said of a cluster wherever its catalog comes from.
struct About<'w> {
    cluster: &'w Written<String>,
    mesh: Option<&'w Written<String>>,
    import: Option<&'w Written<written::Import>>,
    domain: Option<&'w Written<String>>,
    network: Option<&'w Written<String>>,
    gateways: Option<&'w Written<Vec<written::Gateway>>>,
}

impl Reading<'_> {
    pub(super) fn catalogs(
        &mut self,
        written: &Written<Vec<written::Catalog>>,
        local: &written::Cluster,
    ) -> (Vec<Entry>, Option<RemoteSecrets>) {
        for (text, field) in [(&local.id, "cluster.id"), (&local.mesh, "cluster.mesh")] {
            self.not_empty(text, field);
        }
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        let mut all = Vec::new();
        let mut secrets: Option<(&Written<written::RemoteSecrets>, String)> = None;
        for (at, entry) in written.value.iter().enumerate() {
            let field = format!("catalogs[{at}]");
            let Some(source) = self.source(&field, line(written), entry) else {
                continue;
            };
            let Some(source) = source else {
                let Some(found) = &entry.remote_secrets else {
                    continue;
                };
                if secrets.is_some() {
                    self.faults.add(
                        line(found),
                        field.as_str(),
                        "remoteSecrets is written twice",
                        "keep one entry with remoteSecrets",
                    );
                }
                secrets = Some((found, field));
                continue;
            };
            let Some(cluster) = &entry.cluster else {
                continue;
            };
            self.unique(&mut seen, cluster, &field);
            let about = About {
                cluster,
                mesh: entry.mesh.as_ref(),
                import: entry.import.as_ref(),
                domain: entry.cluster_domain.as_ref(),
                network: entry.network.as_ref(),
                gateways: entry.gateways.as_ref(),
            };
            all.push(self.entry(&field, &about, source, local));
        }
        let id = local.id.value.as_str();
        if !seen.contains_key(id) {
            self.faults.add(
                line(written),
                "catalogs",
                format!("none is of the local cluster \"{id}\""),
                format!("add {{cluster: {id}, inCluster: true}}, or its file or kubeconfig"),
            );
        }
        let secrets = secrets.map(|(secrets, field)| {
            let is_file = |entry: &Entry| entry.local && matches!(entry.source, Source::File(_));
            if all.iter().any(is_file) {
                self.faults.add(
                    line(secrets),
                    field.as_str(),
                    "remote secrets are in the local cluster, whose catalog is a file",
                    "write inCluster: true or kubeconfig: FILE for the local cluster",
                );
            }
            self.remote_secrets(&field, &secrets.value, &mut seen, local)
        });
        (all, secrets)
    }

    /// The one source of an entry; `Some(None)` for remote secrets, which are the source of many.
    #[expect(
        clippy::option_option,
        reason = "the outer one is a fault that was told"
    )]
    fn source(
        &mut self,
        field: &str,
        list: u64,
        written: &written::Catalog,
    ) -> Option<Option<Source>> {
        let at = [
            written.cluster.as_ref().map(line),
            written.file.as_ref().map(line),
            written.kubeconfig.as_ref().map(line),
            written.in_cluster.as_ref().map(line),
            written.remote_secrets.as_ref().map(line),
        ];
        let at = at.into_iter().flatten().min().unwrap_or(list);
        let sources = [
            written.file.is_some(),
            written.kubeconfig.is_some(),
            written.in_cluster.is_some(),
            written.remote_secrets.is_some(),
        ];
        if sources.iter().filter(|source| **source).count() != 1 {
            self.faults.add(
                at,
                field,
                "exactly one of file, kubeconfig, inCluster and remoteSecrets is needed",
                "write file: FILE, kubeconfig: FILE, inCluster: true or remoteSecrets: {namespace: NAME}",
            );
            return None;
        }
        if let (Some(context), None) = (&written.context, &written.kubeconfig) {
            self.faults.add(
                line(context),
                format!("{field}.context"),
                "only a kubeconfig has contexts",
                "remove it",
            );
        }
        if let Some(secrets) = &written.remote_secrets {
            let about = [
                ("cluster", written.cluster.as_ref().map(line)),
                ("mesh", written.mesh.as_ref().map(line)),
                ("import", written.import.as_ref().map(line)),
                ("clusterDomain", written.cluster_domain.as_ref().map(line)),
                ("network", written.network.as_ref().map(line)),
                ("gateways", written.gateways.as_ref().map(line)),
            ];
            for (name, at) in about {
                if let Some(at) = at {
                    self.faults.add(
                        at,
                        format!("{field}.{name}"),
                        "is said of one cluster, and remote secrets name several",
                        "say it of a cluster in remoteSecrets.clusters",
                    );
                }
            }
            self.namespace(
                &secrets.value.namespace,
                &format!("{field}.remoteSecrets.namespace"),
            );
            return Some(None);
        }
        let Some(cluster) = &written.cluster else {
            self.faults
                .add(at, format!("{field}.cluster"), "missing", "add it");
            return None;
        };
        self.not_empty(cluster, &format!("{field}.cluster"));
        if let Some(file) = &written.file {
            self.not_empty(file, &format!("{field}.file"));
            return Some(Some(Source::File(self.path(&file.value))));
        }
        if let Some(file) = &written.kubeconfig {
            self.not_empty(file, &format!("{field}.kubeconfig"));
            let context = written.context.as_ref();
            return Some(Some(Source::Kubeconfig {
                file: self.path(&file.value),
                context: context.map(|context| context.value.clone()),
            }));
        }
        if let Some(in_cluster) = written.in_cluster.as_ref().filter(|written| !written.value) {
            self.faults.add(
                line(in_cluster),
                format!("{field}.inCluster"),
                "false is no source",
                "write true, or another source",
            );
        }
        Some(Some(Source::InCluster))
    }

    fn remote_secrets(
        &mut self,
        field: &str,
        written: &written::RemoteSecrets,
        seen: &mut BTreeMap<&str, u64>,
        local: &written::Cluster,
    ) -> RemoteSecrets {
        let mut here: BTreeMap<&str, u64> = seen.clone();
        let mut clusters = Vec::new();
        for (at, entry) in written.clusters.iter().enumerate() {
            let field = format!("{field}.remoteSecrets.clusters[{at}]");
            let entry = &entry.value;
            self.not_empty(&entry.cluster, &format!("{field}.cluster"));
            self.unique(&mut here, &entry.cluster, &field);
            let about = About {
                cluster: &entry.cluster,
                mesh: entry.mesh.as_ref(),
                import: entry.import.as_ref(),
                domain: entry.cluster_domain.as_ref(),
                network: entry.network.as_ref(),
                gateways: entry.gateways.as_ref(),
            };
            clusters.push(self.entry(&field, &about, Source::Discovered, local));
        }
        RemoteSecrets {
            namespace: written.namespace.value.clone(),
            clusters,
        }
    }

    fn unique<'w>(
        &mut self,
        seen: &mut BTreeMap<&'w str, u64>,
        cluster: &'w Written<String>,
        field: &str,
    ) {
        if let Some(first) = seen.insert(&cluster.value, line(cluster)) {
            self.faults.add(
                line(cluster),
                format!("{field}.cluster"),
                format!(
                    "the cluster \"{}\" is already on line {first}",
                    cluster.value
                ),
                "keep one catalog for each cluster",
            );
        }
    }

    fn entry(
        &mut self,
        field: &str,
        about: &About<'_>,
        source: Source,
        local: &written::Cluster,
    ) -> Entry {
        let is_local = about.cluster.value == local.id.value;
        let mesh = about.mesh.unwrap_or(&local.mesh);
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
        if let Some(network) = about.network {
            self.not_empty(network, &format!("{field}.network"));
            if is_local {
                self.faults.add(
                    line(network),
                    format!("{field}.network"),
                    "is the local cluster's",
                    "write it as cluster.network",
                );
            }
        }
        let domain = about.domain.and_then(|domain| {
            self.domain_of_peer(domain, &format!("{field}.clusterDomain"), is_local)
        });
        let gateways = about
            .gateways
            .map(|gateways| self.gateways(gateways, &format!("{field}.gateways")));
        let import = match (about.import, same_mesh) {
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
        Entry {
            cluster: about.cluster.value.clone(),
            mesh: mesh.value.clone(),
            local: is_local,
            source,
            import,
            domain,
            network: about.network.map(|network| network.value.clone()),
            gateways,
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
            let field = format!("{field}.services[{at}]");
            if let Some(service) = self.service(text, &field)
                && !services.insert(service)
            {
                self.twice(text, field);
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
