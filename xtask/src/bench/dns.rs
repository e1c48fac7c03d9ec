//! `cargo xtask bench dns-changes` and `dns-memory`: how late the agent answers a change, and how much memory names take.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cache::Cache;
use crate::parts::{self, Parts};
use crate::toolbox::Users;
use crate::tools;
use crate::workspace::Workspace;

/// Measure how long it takes from a Service's deletion to the changed answer
///
/// Two real API servers with etcd, the agent in release, and a client that asks about every millisecond. A Service that the peer
/// has too is deleted and created again; every answer must be of one side or the other. Some seconds. What the API server
/// itself takes is in the figures, and is told apart.
#[derive(clap::Args)]
pub(crate) struct Changes {
    /// Write the figures here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often the Service is deleted, instead of 200 times
    #[arg(long, value_name = "N")]
    changes: Option<usize>,
}

/// Measure how much memory the agent takes with many services in three clusters
///
/// The agent in release reads three clusters, from files and from real API servers, and is asked once for every name. The
/// Services are put into the API servers' etcd at once, as by way of the API they would take minutes.
#[derive(clap::Args)]
pub(crate) struct Memory {
    /// Write the figures here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Services in a cluster, from files, instead of 1000,10000
    #[arg(long, value_name = "N,…")]
    files: Option<String>,
    /// Services in a cluster, at real API servers, instead of 1000,10000
    #[arg(long, value_name = "N,…")]
    api_servers: Option<String>,
}

pub(crate) fn changes(args: &Changes) -> Result<ExitCode> {
    let changes = args.changes.map(|n| n.to_string());
    run(
        "dns-changes",
        args.json.as_ref(),
        &[("--changes", &changes)],
    )
}

pub(crate) fn memory(args: &Memory) -> Result<ExitCode> {
    let options = [
        ("--files", &args.files),
        ("--api-servers", &args.api_servers),
    ];
    run("dns-memory", args.json.as_ref(), &options)
}

fn run(
    what: &str,
    json: Option<&PathBuf>,
    options: &[(&str, &Option<String>)],
) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let cache = Cache::find()?;
    tools::install(&cache, Users::Tests)?;
    parts::build_dns_bench(&workspace)?;

    let program = workspace.released("crossmesh-bench");
    let mut bench = Command::new(&program);
    Parts::of_tools(&cache, &[Users::Tests])?
        .tell(&mut bench)
        .env(
            "CROSSMESH_DNS_AGENT",
            workspace.released("crossmesh-dns-agent"),
        )
        .arg(what);
    if let Some(file) = json {
        bench.arg("--json").arg(file);
    }
    for (option, value) in options {
        if let Some(value) = value {
            bench.args([option, value.as_str()]);
        }
    }
    // Replaces this process, so that Ctrl-C and every other signal reach the measurement itself.
    Err(bench.exec()).with_context(|| format!("{} could not be started", program.display()))
}
