//! As much of Istio's MeshConfig as answers need, as the ConfigMap `istio` has it. Source: istio.io/api
//! `mesh/v1alpha1/config.proto`, `serviceSettings`.

mod lenient;

use std::sync::Arc;

use serde::Deserialize;

use super::{access::one_line, mesh_networks, objects::MeshData};
use crate::catalog::{Catalog, MeshNetworks};

/// What the ConfigMap says, each part as it was when it was last understood.
#[derive(Debug, Default)]
pub(super) struct MeshConfiguration {
    pub(super) networks: Arc<MeshNetworks>,
    /// `None`: nobody knows yet.
    pub(super) cluster_local_hosts: Option<Arc<[(String, bool)]>>,
}

impl MeshConfiguration {
    /// As it was when the cluster was last known.
    pub(super) fn of(catalog: &Catalog) -> Self {
        let hosts = (!catalog.mesh_unread).then(|| Arc::clone(&catalog.cluster_local_hosts));
        Self {
            networks: Arc::clone(&catalog.mesh_networks),
            cluster_local_hosts: hosts,
        }
    }

    /// There is none to be had: what was known stays, else it says nothing.
    pub(super) fn refused(&mut self) {
        self.cluster_local_hosts.get_or_insert_default();
    }

    /// Takes what can be understood; otherwise the problem, with the key that has it. What was understood before stays; where
    /// nothing was, as much counts as can be made out, and what cannot is as if it were not written: istiod begins with its
    /// defaults then, and to wait for somebody to mend it would be an outage of every name that only peers have.
    pub(super) fn take(&mut self, data: &MeshData) -> Result<(), String> {
        let networks = mesh_networks::parse(data.mesh_networks.as_deref().unwrap_or_default());
        let networks = networks
            .map(|networks| self.networks = Arc::new(networks))
            .map_err(|problem| format!("meshNetworks: {problem}"));
        let text = data.mesh.as_deref().unwrap_or_default();
        let hosts = match cluster_local_hosts(text) {
            Ok(hosts) => {
                self.cluster_local_hosts = Some(hosts.into());
                Ok(())
            }
            Err(problem) if self.cluster_local_hosts.is_some() => Err(format!("mesh: {problem}")),
            Err(problem) => {
                let (hosts, lacking) = lenient::cluster_local_hosts(text);
                self.cluster_local_hosts = Some(hosts.into());
                Err(format!("mesh: {problem}{lacking}"))
            }
        };
        networks.and(hosts)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    service_settings: Option<Vec<ServiceSettings>>,
}

#[derive(Debug, Deserialize)]
struct ServiceSettings {
    settings: Option<Settings>,
    hosts: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    cluster_local: Option<bool>,
}

/// The hosts of which a mesh configuration says whether they stay in their cluster, in its order. As in Istio, settings that
/// do not say so say that they do not.
fn cluster_local_hosts(text: &str) -> Result<Vec<(String, bool)>, String> {
    let written: Written = match text.trim() {
        "" => Written::default(),
        text => serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))?,
    };
    let all = written.service_settings.unwrap_or_default().into_iter();
    let hosts = all.flat_map(|written| {
        let local = written
            .settings
            .and_then(|settings| settings.cluster_local)
            .unwrap_or(false);
        let hosts = written.hosts.unwrap_or_default();
        hosts.into_iter().map(move |host| (host, local))
    });
    Ok(hosts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_settings_say_which_hosts_stay() {
        let text = "trustDomain: east\ndefaultConfig: {discoveryAddress: istiod:15012}\nserviceSettings:\n\
                    - settings: {clusterLocal: true}\n  hosts: ['*.vault.svc.cluster.local', a.b]\n\
                    - hosts: ['*.kube-system.svc.cluster.local']\n- settings: {clusterLocal: true}\n";
        let found = cluster_local_hosts(text).unwrap();
        let expected = [
            ("*.vault.svc.cluster.local".to_owned(), true),
            ("a.b".to_owned(), true),
            ("*.kube-system.svc.cluster.local".to_owned(), false),
        ];
        assert_eq!(found, expected);
        assert_eq!(cluster_local_hosts("").unwrap(), []);
        assert_eq!(cluster_local_hosts("rootNamespace: x").unwrap(), []);
        assert!(cluster_local_hosts("serviceSettings: [").is_err());
    }
}
