//! `cargo xtask bench`: what things cost, measured on this machine.

mod dns;
mod filter;

use std::process::ExitCode;

use anyhow::Result;

/// Measure what things cost, side by side with what else could do the same
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Filter(filter::Args),
    DnsChanges(dns::Changes),
    DnsMemory(dns::Memory),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Filter(args) => filter::run(args),
        What::DnsChanges(args) => dns::changes(args),
        What::DnsMemory(args) => dns::memory(args),
    }
}
