//! What things cost, measured with real parts. Run it by `cargo xtask bench`.

use std::fmt::Display;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use crossmesh_e2e::bench::memory::Source;
use crossmesh_e2e::bench::{self, Plan, changes, memory};
use serde::Serialize;

/// What things cost, measured with real parts
#[derive(Parser)]
#[command(name = "crossmesh-bench", version)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Write the figures here too, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// What the filter costs a request, beside nothing, native RBAC and Lua
    Filter(Filter),
    /// From a Service's deletion to the changed answer
    DnsChanges {
        /// How often it is deleted
        #[arg(long, value_name = "N", default_value_t = 200)]
        changes: usize,
    },
    /// What is resident with many services in three clusters
    DnsMemory {
        /// Services in a cluster, from files
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_000, 10_000])]
        files: Vec<usize>,
        /// Services in a cluster, at real API servers
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_000, 10_000])]
        api_servers: Vec<usize>,
    },
}

#[derive(clap::Args)]
struct Filter {
    /// Numbers of rules
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 10_000])]
    rules: Vec<usize>,
    /// How often each variant has its turn
    #[arg(long, value_name = "N", default_value_t = 9)]
    rounds: usize,
    /// How many requests that is each time, at most
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    requests: usize,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crossmesh-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let json = args.json.as_deref();
    runtime.block_on(async {
        // Whichever way this ends, its future is dropped, and with it every process and every file.
        tokio::select! {
            done = measure(args.what, json) => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })
}

async fn measure(what: What, json: Option<&Path>) -> Result<()> {
    match what {
        What::Filter(args) => {
            let plan = Plan {
                rules: args.rules,
                rounds: args.rounds,
                requests: args.requests,
            };
            tell(&bench::run(plan).await?, json)
        }
        What::DnsChanges { changes } => tell(&changes::measure(changes).await?, json),
        What::DnsMemory { files, api_servers } => {
            let plan = |source, counts: Vec<usize>| counts.into_iter().map(move |n| (source, n));
            let plan = plan(Source::Files, files).chain(plan(Source::ApiServers, api_servers));
            tell(&memory::measure(&plan.collect::<Vec<_>>()).await?, json)
        }
    }
}

fn tell(report: &(impl Display + Serialize), json: Option<&Path>) -> Result<()> {
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(report)?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    write!(stdout(), "{report}")?;
    Ok(())
}
