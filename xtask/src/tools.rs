//! `cargo xtask tools`: what is needed beside Rust, and whether it is there.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::Result;

use crate::cache::Cache;
use crate::table;
use crate::toolbox::{State, TOOLS, Users};

/// List the tools that demo and tests need: version, state, path and purpose
///
/// States: ready; missing (installed when first needed, or now with --install); overridden (an environment variable names
/// a binary of your own); unusable (the reason follows the table). Demo and tests install what is missing by themselves.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install what is missing first
    #[arg(long)]
    install: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let cache = Cache::find()?;
    if args.install {
        install(&cache, Users::DemoAndTests)?;
        install(&cache, Users::Tests)?;
        install(&cache, Users::Fuzzer)?;
    }
    let mut rows = vec![["TOOL", "VERSION", "STATE", "PATH", "WHAT FOR"].map(str::to_owned)];
    let mut troubles = Vec::new();
    for tool in &TOOLS {
        let (version, state, path) = match tool.state(&cache) {
            Ok(State::Ready { path, version }) => (version, "ready", path),
            Ok(State::Overridden { path, version }) => (version, "overridden", path),
            Ok(State::Missing { version }) => {
                (version.unwrap_or("any").to_owned(), "missing", "-".into())
            }
            Err(error) => {
                troubles.push(format!("{}: {error:#}", tool.name));
                ("-".to_owned(), "unusable", "-".into())
            }
        };
        let path = path.display().to_string();
        rows.push([
            tool.name.to_owned(),
            version,
            state.to_owned(),
            path,
            tool.purpose.to_owned(),
        ]);
    }
    let mut out = stdout().lock();
    writeln!(
        out,
        "{}\ncache: {}",
        table::aligned(&rows),
        cache.root().display()
    )?;
    for trouble in troubles {
        writeln!(out, "{trouble}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes every tool of these users usable.
pub(crate) fn install(cache: &Cache, users: Users) -> Result<()> {
    for tool in TOOLS.iter().filter(|tool| tool.users == users) {
        tool.ensure(cache)?;
    }
    Ok(())
}
