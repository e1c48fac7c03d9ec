//! A table for people.

use std::fmt;

use super::{Cluster, Name, Reason, State, Table};

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
        cluster.state.to_string(),
        cluster.age_milliseconds.map_or_else(|| "-".into(), age),
        cluster.services.to_string(),
        or_dash(&cluster.problem),
    ]
}

fn name_row(name: &Name) -> [String; 5] {
    let addresses: Vec<String> = name.addresses.iter().map(ToString::to_string).collect();
    let listed = |items: &[String]| {
        if items.is_empty() {
            "-".into()
        } else {
            items.join(",")
        }
    };
    [
        printable(&name.name),
        listed(&addresses),
        name.reason.to_string(),
        printable(&listed(&name.clusters)),
        name.state.to_string(),
    ]
}

/// Rows under a header, each column as wide as its widest field.
fn columns<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    header: [&str; N],
    rows: Vec<[String; N]>,
) -> fmt::Result {
    let mut all = vec![header.map(str::to_owned)];
    all.extend(rows);
    let mut widths = [0_usize; N];
    for row in &all {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = (*width).max(field.chars().count());
        }
    }
    for row in &all {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(field, width)| format!("{field:width$}"))
            .collect();
        writeln!(f, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn age(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        0 => format!("{milliseconds} ms"),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// What comes from elsewhere must not move the cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::Stale => "stale",
            Self::Pending => "pending",
            Self::TimedOut => "timed-out",
            Self::Unknown => "unknown",
        })
    }
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
