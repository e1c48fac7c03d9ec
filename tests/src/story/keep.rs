//! What to try while everything is left running.

use std::path::Path;

use anyhow::Result;

use super::commands::{by_name, counters, dig_answer, explanation};
use super::stage::Stage;
use crate::command::Command;
use crate::names::{CATALOG, REVIEWS, SERVICE_PORT};
use crate::tools::{Tool, workspace};
use crate::world::World;

/// Prints commands for another terminal.
pub(super) fn invite(world: &World, stage: &Stage) -> Result<()> {
    let a = &world.addresses;
    let catalog = world.agent.local_catalog().path();
    let with = catalog.with_file_name("east-with-reviews.yaml");
    let copy =
        Command::of_machine("cp").args([with.display().to_string(), catalog.display().to_string()]);
    let table = Command::crossmesh()?
        .args(["dns", "table", "--agent"])
        .arg(world.agent.admin().to_string());
    let tries = [
        ("what the agent answers, and why", table),
        (
            "the local reviews comes back: its name answers the ClusterIP again",
            copy,
        ),
        ("ask", dig_answer(world, REVIEWS)?),
        (
            "a path that no rule allows",
            by_name(CATALOG, a.gateway())?
                .from_pod(a.frontend())
                .method("DELETE")
                .command(),
        ),
        ("without a certificate", explanation(None)?),
        ("the counters", counters(&world.catalog)?),
    ];
    stage.line("\nEverything keeps running until Ctrl-C. In another terminal:\n")?;
    stage.line(&format!("   cd {}", workspace()?.display()))?;
    stage.line(&format!("   export PATH={}:$PATH", folders()?))?;
    for (what, command) in tries {
        stage.line(&format!("   # {what}\n   {command}"))?;
    }
    stage.line(&format!(
        "\nPod addresses for --interface: {} frontend, {} batch, {} stranger; services are at port {SERVICE_PORT}.",
        a.frontend(),
        a.batch(),
        a.stranger()
    ))?;
    stage.line(&format!(
        "Certificates, configuration and logs: {}",
        world.folder().display()
    ))
}

/// The folders of the tools that a shell may not know.
fn folders() -> Result<String> {
    let mut folders = Vec::new();
    for tool in [Tool::Cli, Tool::Dig, Tool::Curl] {
        let path = tool.path()?;
        let folder = path
            .parent()
            .unwrap_or(Path::new("/"))
            .display()
            .to_string();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    Ok(folders.join(":"))
}
