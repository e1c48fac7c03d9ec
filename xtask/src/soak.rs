//! `cargo xtask soak`: what must hold for long, under load.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::cache::Cache;
use crate::parts::{self, Parts};
use crate::process;
use crate::toolbox::Users;
use crate::tools;
use crate::wasm;
use crate::workspace::Workspace;

/// Run the filter in real Envoys for long, under load and under changing policies, and watch memory
///
/// Requests by HTTP/1.1 and HTTP/2 and TCP connections, of peers with every verdict and with hostile bytes; policies by
/// extension discovery, some of them wrong. Prints a table of memory, and fails if anything comes to something else than
/// its verdict, the filter traps, or a sidecar grows beyond a stated bound after the first quarter.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is run
    what: What,
    /// Go on until so many requests and connections were answered
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    requests: u64,
    /// and so many policies were taken
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    policies: u64,
    /// but fail after this time
    #[arg(long, value_name = "N", default_value_t = 3600)]
    seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The filter
    Filter,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let What::Filter = args.what;
    let workspace = Workspace::find()?;
    let cache = Cache::find()?;
    tools::install(&cache, Users::DemoAndTests)?;
    let filter = wasm::build(&workspace, &cache)?;
    parts::build(&workspace)?;
    let mut soak = Command::new(workspace.binary("crossmesh-soak"));
    Parts::find(&workspace, &cache, &filter, &[Users::DemoAndTests])?
        .tell(&mut soak)
        .current_dir(workspace.root())
        .arg(format!("--requests={}", args.requests))
        .arg(format!("--policies={}", args.policies))
        .arg(format!("--at-most={}", args.seconds));
    let log = workspace.log("soak");
    let status = process::streamed(&mut soak, &log, &mut std::io::stdout(), |_| {})?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
