//! How much memory the agent takes with many services in three clusters.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;

use super::fleet::{self, Servers};
use super::machine;
use crate::agent::Agent;
use crate::block::Block;
use crate::dns::Client;

/// Where the agent reads the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Files.
    Files,
    /// Real API servers.
    ApiServers,
}

/// One agent.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Where it read the clusters.
    pub source: Source,
    /// Services in each of the three clusters.
    pub services: usize,
    /// Names that it knew then.
    pub names: u64,
    /// From its start until it was ready, in milliseconds.
    pub ready_ms: f64,
    /// What was resident then and every name had been asked once, in MiB.
    pub resident_mib: f64,
}

/// All that was measured; written as it is, it is the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// A row for each agent.
    pub rows: Vec<Row>,
}

/// Starts an agent for each number of services in each of three clusters, and lets it be asked for all of them.
pub async fn measure(plan: &[(Source, usize)]) -> Result<Report> {
    let mut rows = Vec::new();
    for (source, services) in plan {
        rows.push(row(*source, *services).await?);
    }
    Ok(Report { rows })
}

async fn row(source: Source, services: usize) -> Result<Row> {
    ensure!(
        (1..=60_000).contains(&services),
        "1 to 60000 services in a cluster: so many addresses it has"
    );
    let block = Block::claim()?;
    let folder: TempDir = tempfile::Builder::new().prefix("crossmesh-").tempdir()?;
    let mut servers = None;
    let entries = match source {
        Source::Files => fleet::files(folder.path(), services)?,
        Source::ApiServers => {
            let started = Servers::start(folder.path(), &block, services).await?;
            servers.insert(started).entries()
        }
    };
    let config = json!({
        "schema": "crossmesh-dns/v1",
        "listen": [format!("{}:0", block.at(1))],
        "admin": format!("{}:0", block.at(1)),
        "cluster": {"id": fleet::CLUSTERS[0], "mesh": "east", "network": "network-1"},
        "catalogs": entries,
        "gatewayProbe": {"enabled": false},
        // Nobody is asked: every name is known.
        "upstreams": {"servers": [format!("{}:9", block.at(9))]},
    });
    let begun = Instant::now();
    let agent = Agent::start_configured(&folder.path().join("agent"), &config.to_string()).await?;
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut client = Client::of(agent.dns()).await?;
    for cluster in 0..fleet::CLUSTERS.len() {
        for number in 0..services {
            let (namespace, name) = fleet::service(cluster, number);
            let name = format!("{name}.{namespace}.svc.cluster.local");
            let answer = client.ask(&name).await?;
            let right = match cluster {
                0 => answer.addresses.len() == 1,
                _ => answer.addresses == [fleet::gateway(cluster)],
            };
            ensure!(right, "{name} answers {answer:?}");
        }
    }
    let names = agent.metric("crossmesh_dns_names").await?;
    let resident_mib = machine::resident(agent.pid())? as f64 / f64::from(1 << 20);
    drop(servers);
    Ok(Row {
        source,
        services,
        names: names.context("the agent says how many names it knows")? as u64,
        ready_ms,
        resident_mib,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Three clusters, no name in two of them; every name asked once.\n{:<13}{:>22}{:>9}{:>10}{:>14}",
            "SOURCE", "SERVICES IN A CLUSTER", "NAMES", "READY ms", "RESIDENT MiB"
        )?;
        for row in &self.rows {
            let source = match row.source {
                Source::Files => "files",
                Source::ApiServers => "API servers",
            };
            writeln!(
                f,
                "{source:<13}{:>22}{:>9}{:>10.0}{:>14.1}",
                row.services, row.names, row.ready_ms, row.resident_mib
            )?;
        }
        Ok(())
    }
}
