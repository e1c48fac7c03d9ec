//! `crossmesh`: the command line for the people who write the policy and debug the names.
//!
//! Exit status, a public contract: 0 all is well, 1 something unexpected failed or what was looked at is not well, 2 the
//! input is wrong.

mod args;
mod check;
mod dns;
mod document;
mod explain;
mod input;
mod output;
mod problem;
mod resource;
mod schema;
mod seldom;
mod test;
mod yaml;

use std::process::ExitCode;

use args::{Cli, Command, DnsCommand, PolicyCommand};
use clap::Parser;
use output::Output;

/// How a command ended, when nothing unexpected happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All is well.
    Good,
    /// What was looked at is not well; what is wrong has been said.
    Problem,
    /// The input is wrong; what is wrong has been said.
    Wrong,
}

fn main() -> ExitCode {
    let output = Output;
    match run(Cli::parse(), &output) {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Problem) => ExitCode::FAILURE,
        Ok(End::Wrong) => ExitCode::from(2),
        Err(error) => {
            // Standard error is the last place to say anything; if it fails too, the status must do.
            let _ = output.note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, output: &Output) -> anyhow::Result<End> {
    match cli.command {
        Command::Policy(PolicyCommand::Check(args)) => check::run(&args, output),
        Command::Policy(PolicyCommand::Explain(args)) => explain::run(&args, output),
        Command::Policy(PolicyCommand::Test(args)) => test::run(&args, output),
        Command::Policy(PolicyCommand::Schema(args)) => schema::run(&args, output),
        Command::Dns(DnsCommand::Table(args)) => dns::table::run(&args, output),
        Command::Dns(DnsCommand::Explain(args)) => dns::explain::run(&args, output),
        Command::Dns(DnsCommand::Doctor(args)) => dns::doctor::run(&args, output),
    }
}
