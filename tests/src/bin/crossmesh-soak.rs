//! The filter under load for long. Run it by `cargo xtask soak filter`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use crossmesh_e2e::soak::{self, Plan};
use tokio::task::LocalSet;

/// The filter under load for long
#[derive(Parser)]
#[command(name = "crossmesh-soak", version)]
struct Args {
    /// Ends when so many requests and connections were answered
    #[arg(long)]
    requests: u64,
    /// and so many policies were taken
    #[arg(long)]
    policies: u64,
    /// or after so many seconds, and has then failed
    #[arg(long)]
    at_most: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crossmesh-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let plan = Plan {
        requests: args.requests,
        policies: args.policies,
        at_most: Duration::from_secs(args.at_most),
    };
    let report = runtime.block_on(LocalSet::new().run_until(soak::run(plan)))?;
    println!("{report}");
    report.check()?;
    let (answers, policies, _) = report.counts();
    anyhow::ensure!(
        answers >= args.requests && policies >= args.policies,
        "the time was over before that much was asked"
    );
    Ok(())
}
