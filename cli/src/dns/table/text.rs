//! A table for people.

use std::fmt;

use super::{Cluster, Name, Reason, Table};
use crate::dns::columns::{age, columns, listed, printable};

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster_domain,
            local_cluster,
            ttl_seconds,
            clusters,
            names,
        } = self;
        writeln!(
            f,
            "{cluster_domain} as {local_cluster} answers it, TTL {ttl_seconds} s\n"
        )?;
        let header = [
            "CLUSTER", "MESH", "NETWORK", "STATE", "AGE", "SERVICES", "PROBLEM",
        ];
        columns(f, header, clusters.iter().map(cluster_row).collect())?;
        if names.is_empty() {
            return writeln!(f, "\nNo name is answered here; all are forwarded.");
        }
        writeln!(f)?;
        columns(
            f,
            ["NAME", "ANSWERS", "REASON", "CLUSTERS", "STATE"],
            names.iter().map(name_row).collect(),
        )
    }
}

fn cluster_row(cluster: &Cluster) -> [String; 7] {
    let or_dash = |text: &Option<String>| {
        text.as_ref()
            .map_or_else(|| "-".into(), |text| printable(text))
    };
    [
        printable(&cluster.id),
        printable(&cluster.mesh),
        or_dash(&cluster.network),
        cluster.since(),
        cluster.age_milliseconds.map_or_else(|| "-".into(), age),
        cluster.services.to_string(),
        or_dash(&cluster.problem),
    ]
}

fn name_row(name: &Name) -> [String; 5] {
    [
        printable(&name.name),
        listed(&name.addresses),
        name.reason.to_string(),
        printable(&listed(&name.clusters)),
        name.state.to_string(),
    ]
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Gateway => "gateway",
            Self::ClusterIp => "cluster-ip",
            Self::Nodata => "nodata",
            Self::Upstream => "upstream",
            Self::Unknown => "unknown",
        })
    }
}
