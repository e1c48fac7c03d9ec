//! Three clusters with many services, each with services of its own: as files, or at real API servers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::block::Block;
use crate::kubernetes::api_server::{ApiServer, Setup};

/// Services in a namespace.
const IN_A_NAMESPACE: usize = 100;
/// The clusters' names, the agent's first.
pub(super) const CLUSTERS: [&str; 3] = ["cluster-1", "cluster-2", "cluster-3"];

/// The service of this number in a cluster: its namespace and name.
pub(super) fn service(cluster: usize, number: usize) -> (String, String) {
    let namespace = format!("team-{}", number / IN_A_NAMESPACE);
    (namespace, format!("service-{number}-of-{cluster}"))
}

/// Writes each cluster's catalog; the entries of the configuration that name them.
pub(super) fn files(folder: &Path, services: usize) -> Result<Vec<Value>> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut entries = Vec::new();
    for (cluster, id) in CLUSTERS.into_iter().enumerate() {
        let all = (0..services).map(|number| {
            let (namespace, name) = service(cluster, number);
            json!({
                "namespace": namespace, "name": name, "addresses": [address(cluster, number)],
                "ports": [{"name": "http", "port": 8080}],
            })
        });
        let mut catalog = json!({
            "schema": "crossmesh-catalog/v1",
            "cluster": id,
            "mesh": "east",
            "services": all.collect::<Vec<_>>(),
        });
        if cluster > 0 {
            catalog["gateways"] = json!([{"address": gateway(cluster)}]);
        }
        // JSON is YAML.
        let file = folder.join(format!("{id}.yaml"));
        fs::write(&file, catalog.to_string())
            .with_context(|| format!("writing {}", file.display()))?;
        entries.push(json!({"cluster": id, "file": file}));
    }
    Ok(entries)
}

/// Of documentation (RFC 5737): nobody is there, and nobody looks.
pub(super) fn gateway(cluster: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, u8::try_from(cluster).unwrap_or_default()).into()
}

/// Three control planes. Dropping them ends them.
pub(super) struct Servers {
    all: Vec<ApiServer>,
    kubeconfigs: Vec<PathBuf>,
}

impl Servers {
    /// Starts them, with their files in `folder`, and gives each its services.
    pub(super) async fn start(folder: &Path, block: &Block, services: usize) -> Result<Self> {
        let mut servers = Self {
            all: Vec::new(),
            kubeconfigs: Vec::new(),
        };
        const RANGES: [&str; 3] = ["10.96.0.0/16", "10.97.0.0/16", "10.98.0.0/16"];
        for (cluster, (name, service_range)) in CLUSTERS.into_iter().zip(RANGES).enumerate() {
            let setup = Setup {
                name,
                address: block.at(10 + u8::try_from(cluster).unwrap_or_default()),
                service_range: service_range.to_owned(),
            };
            let api = ApiServer::start(&folder.join(name), &setup).await?;
            api.store(&stored(cluster, services)).await?;
            let way = api.write_kubeconfig("agent.kubeconfig", &api.kubeconfig())?;
            servers.kubeconfigs.push(way);
            servers.all.push(api);
        }
        Ok(servers)
    }

    /// The entries of the configuration that name them.
    pub(super) fn entries(&self) -> Vec<Value> {
        let entry = |cluster: usize, file: &PathBuf| {
            let mut entry = json!({"cluster": CLUSTERS.get(cluster), "kubeconfig": file});
            if cluster > 0 {
                entry["gateways"] = json!([{"address": gateway(cluster)}]);
            }
            entry
        };
        let kubeconfigs = self.kubeconfigs.iter().enumerate();
        kubeconfigs
            .map(|(cluster, file)| entry(cluster, file))
            .collect()
    }
}

/// Everything that is in the store of a cluster with so many services, by key. By way of the API it would take minutes.
fn stored(cluster: usize, services: usize) -> Vec<(String, Value)> {
    let metadata = |number: usize, name: &str| {
        json!({
            "name": name,
            "uid": format!("00000000-0000-4000-8000-{cluster:04x}{number:08x}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        })
    };
    let mut all = Vec::new();
    for number in (0..services).step_by(IN_A_NAMESPACE) {
        let (name, _) = service(cluster, number);
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": metadata(number, &name),
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        all.push((format!("/registry/namespaces/{name}"), object));
    }
    for number in 0..services {
        let (namespace, name) = service(cluster, number);
        // The first addresses of a range are the API server's own.
        let address = address(cluster, number + 256);
        let mut owner = metadata(number, &address.to_string());
        owner["labels"] = json!({
            "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        });
        let owner = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": owner,
            "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
        });
        all.push((format!("/registry/ipaddresses/{address}"), owner));
        let mut metadata = metadata(number, &name);
        metadata["namespace"] = json!(namespace);
        let object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {
                "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address],
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                "sessionAffinity": "None", "selector": {"app": name},
                "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "targetPort": 8080}],
            },
            "status": {"loadBalancer": {}},
        });
        all.push((
            format!("/registry/services/specs/{namespace}/{name}"),
            object,
        ));
    }
    all
}

/// An address of the cluster's range.
fn address(cluster: usize, number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    let second = 96 + u8::try_from(cluster).unwrap_or_default();
    Ipv4Addr::new(10, second, high, low)
}
