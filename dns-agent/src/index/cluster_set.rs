//! The names of one service below the domain of the cluster set: Kubernetes' Multi-Cluster Services API (KEP-1645), and each
//! exporting cluster's own by the cluster's name.

use super::{
    Entry, Host, Origin,
    part::{Builder, Entries, Names, Pods, label, pods},
    remote::{Asked, Remote, RemoteAnswer, find},
};
use crate::{
    catalog::{Imported, Kind, Service, ServiceImport},
    name::{InvalidName, Name},
};

/// One cluster that gives a service to the cluster set.
pub(super) struct Exporter<'c> {
    /// The cluster's place in the index.
    pub(super) place: usize,
    pub(super) id: &'c str,
    pub(super) local: bool,
    /// The service there, and the way to it.
    pub(super) remote: Remote<'c>,
}

impl Exporter<'_> {
    fn service(&self) -> &Service {
        self.remote.service
    }

    /// The name of the cluster's own part; an identifier that is no label has none.
    fn name(&self, service: &Name) -> Result<Name, InvalidName> {
        service.child(self.id)
    }
}

impl Builder<'_> {
    /// The names, and how many addresses were left out for being local ones here. `import` is what the local cluster, at
    /// `local`, says of the service.
    pub(super) fn cluster_set(
        &self,
        (namespace, name): (&str, &str),
        import: Option<(usize, &ServiceImport)>,
        exporters: &[Exporter<'_>],
        asked: &Asked<'_>,
    ) -> Result<(Entries, usize), InvalidName> {
        let name = self.service_name(namespace, name)?;
        let mut names = Names::new(name.clone());
        let imported = import.is_some_and(|import| add_import(&mut names, &name, import));
        for exporter in exporters {
            let Ok(name) = exporter.name(&name) else {
                continue;
            };
            if exporter.local {
                names.add_local(&name, exporter.place, exporter.service());
            } else if asked.answer != RemoteAnswer::Upstream {
                // Whoever names the cluster wants that one, whatever its health (Lighthouse does the same).
                let asked = Asked {
                    even_unhealthy: true,
                    ..*asked
                };
                let remotes = [exporter.remote];
                let found = find(&remotes, &asked);
                let pods = pods(&name, &found.endpoints);
                let places = [exporter.place].into();
                names.add_found(&name, places, &remotes, &found, pods, self.srv);
                names.add_hidden_pods(&name, exporter.service());
            }
        }
        let overlaps = if imported {
            0
        } else {
            self.add_exported(&mut names, &name, exporters, asked)
        };
        Ok((names.finish(), overlaps))
    }

    /// What the exporting clusters give together: the local one's address alone, else what the policy says of the others.
    /// The endpoints of headless services are given of all clusters whose pods can be reached, as the standard wants it.
    fn add_exported(
        &self,
        names: &mut Names,
        name: &Name,
        exporters: &[Exporter<'_>],
        asked: &Asked<'_>,
    ) -> usize {
        let local = exporters.iter().find(|exporter| exporter.local);
        if let Some(local) = local
            && matches!(local.service().kind, Kind::ClusterIp(_))
        {
            names.add_local(name, local.place, local.service());
            return 0;
        }
        let Some(first) = exporters.first() else {
            return 0;
        };
        if local.is_none() && asked.answer == RemoteAnswer::Upstream {
            let cluster = first.place;
            names.add(name.clone(), Entry::Upstream { cluster });
            return 0;
        }
        let mut all = Pods::new();
        let mut overlaps = 0;
        for exporter in exporters {
            let Ok(name) = exporter.name(name) else {
                continue;
            };
            match &exporter.service().kind {
                Kind::Headless(endpoints) if exporter.local => all.extend(pods(&name, endpoints)),
                Kind::Headless(_) => {
                    let found = find(&[exporter.remote], asked);
                    all.extend(pods(&name, &found.endpoints));
                    overlaps += found.overlaps;
                }
                Kind::ClusterIp(_) | Kind::ExternalName => {}
            }
        }
        let places = exporters.iter().map(|exporter| exporter.place).collect();
        if let Some(local) = local {
            let host = Host {
                origin: Origin::Local,
                clusters: places,
                ..Host::default()
            };
            names.add_headless(name, &host, all, [], &local.service().ports);
            return overlaps;
        }
        let remotes: Vec<Remote<'_>> = exporters.iter().map(|exporter| exporter.remote).collect();
        let found = find(&remotes, asked);
        names.add_found(name, places, &remotes, &found, all, self.srv);
        found.overlaps
    }
}

/// Whether the local cluster says what the service's name stands for.
fn add_import(names: &mut Names, name: &Name, (cluster, import): (usize, &ServiceImport)) -> bool {
    let host = Host {
        origin: Origin::Local,
        clusters: [cluster].into(),
        ..Host::default()
    };
    if !import.imported.says_something() {
        return false;
    }
    match &import.imported {
        Imported::ClusterSetIp(addresses) => {
            let host = host.with(addresses.iter().copied());
            names.add_service(name, host, &import.ports, None);
        }
        Imported::Headless(endpoints) => {
            let mut pods = Pods::new();
            for imported in endpoints.iter().filter(|imported| imported.endpoint.ready) {
                let above = match &imported.cluster {
                    Some(cluster) => name.child(cluster),
                    None => Ok(name.clone()),
                };
                let pod = above.and_then(|above| above.child(&label(&imported.endpoint)));
                if let Ok(pod) = pod {
                    let addresses = pods.entry(pod).or_default();
                    addresses.push(imported.endpoint.address);
                }
            }
            names.add_headless(name, &host, pods, [], &import.ports);
        }
    }
    true
}
