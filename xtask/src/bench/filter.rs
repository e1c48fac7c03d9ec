//! `cargo xtask bench filter`: the filter beside nothing, native RBAC and Lua.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cache::Cache;
use crate::parts::{self, DECIDE, Parts};
use crate::toolbox::Users;
use crate::tools;
use crate::wasm;
use crate::workspace::Workspace;

/// Measure what the filter costs a request, beside no filter, idle modules, native RBAC and Lua with the same rules
///
/// One real Envoy with one worker on a core of its own, real certificates, the same requests to every variant in interleaved
/// rounds. Prints CPU time and latency by number of rules over HTTP/2 and HTTP/1.1; what the engine takes by itself; and
/// what the filter costs an Envoy before the first request, in time and memory. Some minutes. Absolute figures move from
/// machine to machine and with what else runs there; what is compared within one run is what to hold.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the figures here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Numbers of rules, instead of 1,10,100,1000,10000
    #[arg(long, value_name = "N,…")]
    rules: Option<String>,
    /// How often each variant has its turn, instead of 9 times
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How many requests that is each time at most, instead of 20000
    #[arg(long, value_name = "N")]
    requests: Option<usize>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let cache = Cache::find()?;
    tools::install(&cache, Users::DemoAndTests)?;
    let filter = wasm::build(&workspace, &cache)?;
    parts::build_bench(&workspace)?;

    let program = workspace.released("crossmesh-bench");
    let mut bench = Command::new(&program);
    Parts::find(&workspace, &cache, &filter, &[Users::DemoAndTests])?
        .tell(&mut bench)
        .env("CROSSMESH_DECIDE", workspace.released(DECIDE));
    bench.arg("filter");
    let options = [
        (
            "--json",
            args.json.as_ref().map(|file| file.display().to_string()),
        ),
        ("--rules", args.rules.clone()),
        ("--rounds", args.rounds.map(|n| n.to_string())),
        ("--requests", args.requests.map(|n| n.to_string())),
    ];
    for (option, value) in options {
        bench.args(
            value
                .map(|value| [option.to_owned(), value])
                .into_iter()
                .flatten(),
        );
    }
    // Replaces this process, so that Ctrl-C and every other signal reach the measurement itself.
    Err(bench.exec()).with_context(|| format!("{} could not be started", program.display()))
}
