//! `crossmesh dns table`.

mod text;

use std::fmt;
use std::net::IpAddr;

use crossmesh_proto::admin::v1 as wire;
use serde::Serialize;

use super::cluster::{Cluster, State};
use super::fetch::{self, Unanswered};
use crate::End;
use crate::args::{self, Format};
use crate::output::Output;

/// Asks an agent for its table and prints it.
///
/// # Errors
/// If the agent cannot be asked, or what answers is no agent; or when nothing can be written.
pub(crate) fn run(args: &args::Table, output: &Output) -> anyhow::Result<End> {
    let table: wire::Table = fetch::get(&args.agent, "/v1/table")?;
    let table = Table::try_from(table)
        .map_err(|error| Unanswered::NoAgent(error.to_string()).of(&args.agent.address))?;
    match args.agent.format() {
        Format::Text => output.result(&table)?,
        Format::Json => output.json(&table)?,
    }
    Ok(End::Good)
}

/// What an agent answers. As JSON, a public contract: fields are added, never renamed.
#[derive(Debug, Serialize)]
struct Table {
    cluster_domain: String,
    local_cluster: String,
    ttl_seconds: u32,
    clusters: Vec<Cluster>,
    names: Vec<Name>,
}

/// One name and its answer.
#[derive(Debug, Serialize)]
struct Name {
    name: String,
    addresses: Vec<IpAddr>,
    reason: Reason,
    clusters: Vec<String>,
    /// The least current of its clusters' states.
    state: State,
}

/// Why a name answers as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    Local,
    Gateway,
    ClusterIp,
    Nodata,
    Upstream,
    /// The agent has a word that this program has not.
    Unknown,
}

impl TryFrom<wire::Table> for Table {
    type Error = InvalidAddress;

    fn try_from(table: wire::Table) -> Result<Self, InvalidAddress> {
        let wire::Table {
            cluster_domain,
            local_cluster,
            ttl_seconds,
            clusters,
            names,
        } = table;
        let clusters: Vec<Cluster> = clusters.into_iter().map(Cluster::from).collect();
        let names = names
            .into_iter()
            .map(|name| Name::new(name, &clusters))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            cluster_domain,
            local_cluster,
            ttl_seconds,
            clusters,
            names,
        })
    }
}

impl Name {
    fn new(name: wire::Name, all: &[Cluster]) -> Result<Self, InvalidAddress> {
        let reason = Reason::from(name.reason());
        let wire::Name {
            name,
            clusters,
            addresses,
            reason: _,
        } = name;
        let addresses = addresses
            .into_iter()
            .map(|address| {
                address.parse().map_err(|_| InvalidAddress {
                    name: name.clone(),
                    address,
                })
            })
            .collect::<Result<_, _>>()?;
        let states = all
            .iter()
            .filter(|cluster| clusters.contains(&cluster.id))
            .map(|cluster| cluster.state);
        let state = states.max().unwrap_or(State::Unknown);
        Ok(Self {
            name,
            addresses,
            reason,
            clusters,
            state,
        })
    }
}

impl From<wire::Reason> for Reason {
    fn from(reason: wire::Reason) -> Self {
        match reason {
            wire::Reason::Local => Self::Local,
            wire::Reason::Gateway => Self::Gateway,
            wire::Reason::ClusterIp => Self::ClusterIp,
            wire::Reason::Nodata => Self::Nodata,
            wire::Reason::Upstream => Self::Upstream,
            wire::Reason::Unspecified => Self::Unknown,
        }
    }
}

/// An answer that is no address.
#[derive(Debug)]
struct InvalidAddress {
    name: String,
    address: String,
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the name {:?} has {:?}, which is no address",
            self.name, self.address
        )
    }
}
