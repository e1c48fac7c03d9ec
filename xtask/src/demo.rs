//! `cargo xtask demo`: two meshes on this machine, and a story told with real commands.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cache::Cache;
use crate::parts::{self, Parts};
use crate::toolbox::Users;
use crate::tools;
use crate::wasm;
use crate::workspace::Workspace;

/// Show crossmesh at work: two meshes on this machine, real Envoys, real DNS queries
///
/// Sets up what is missing, builds, starts everything on loopback addresses and tells the story step by step, each step
/// a real command with its real output. Ctrl-C ends it and leaves nothing behind.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave everything running at the end and print what to try; Ctrl-C ends it
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let cache = Cache::find()?;
    tools::install(&cache, Users::DemoAndTests)?;
    let filter = wasm::build(&workspace, &cache)?;
    parts::build(&workspace)?;

    let mut demo = Command::new(workspace.binary("crossmesh-demo"));
    Parts::find(&workspace, &cache, &filter, &[Users::DemoAndTests])?
        .tell(&mut demo)
        .current_dir(workspace.root());
    if args.keep {
        demo.arg("--keep");
    }
    // Replaces this process, so that Ctrl-C and every other signal reach the demo itself.
    Err(demo.exec()).with_context(|| {
        format!(
            "{} could not be started",
            workspace.binary("crossmesh-demo").display()
        )
    })
}
