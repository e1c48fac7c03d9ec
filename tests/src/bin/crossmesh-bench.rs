//! What things cost, measured with real parts. Run it by `cargo xtask bench`.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use crossmesh_e2e::bench::{self, Plan};

/// What things cost, measured with real parts
#[derive(Parser)]
#[command(name = "crossmesh-bench", version)]
enum Args {
    /// What the filter costs a request, beside nothing, native RBAC and Lua
    Filter(Filter),
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
    /// Write the figures here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args::Filter(args) = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crossmesh-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Filter) -> Result<()> {
    let plan = Plan {
        rules: args.rules,
        rounds: args.rounds,
        requests: args.requests,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        // Whichever way this ends, its future is dropped, and with it every process and every file.
        tokio::select! {
            report = bench::run(plan) => report,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    if let Some(file) = args.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(&file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    write!(stdout(), "{report}")?;
    Ok(())
}
