//! Three clusters with many services, each with services of its own: as files, or at real API servers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};

use crate::block::Block;
use crate::kubernetes::api_server::{ApiServer, Setup};
use crate::kubernetes::objects::{Objects, namespace};

/// Services in a namespace.
const IN_A_NAMESPACE: usize = 100;
/// Requests to an API server at a time.
const AT_ONCE: usize = 16;
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
            let [.., high, low] = u32::try_from(number).unwrap_or_default().to_be_bytes();
            let address = Ipv4Addr::new(
                10,
                96 + u8::try_from(cluster).unwrap_or_default(),
                high,
                low,
            );
            json!({
                "namespace": namespace, "name": name, "addresses": [address],
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
            fill(&api.objects().await?, cluster, services).await?;
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

async fn fill(objects: &Objects, cluster: usize, services: usize) -> Result<()> {
    for number in (0..services).step_by(IN_A_NAMESPACE) {
        let (name, _) = service(cluster, number);
        objects.apply(&namespace(&name, &json!({}))).await?;
    }
    let mut applied = stream::iter(0..services)
        .map(|number| {
            let (namespace, name) = service(cluster, number);
            let object = json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 8080}]},
            });
            async move { objects.apply(&object).await }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(applied) = applied.next().await {
        applied?;
    }
    Ok(())
}
