//! The story that `cargo xtask demo` tells: step by step, each a real command with its real output, which is checked.

mod commands;
mod keep;
mod stage;
mod steps;

use std::time::Instant;

use anyhow::Result;

use crate::names::{EAST_TRUST_DOMAIN, GATEWAY_PORT, WEST_TRUST_DOMAIN};
use crate::plugin::policy_of_resource;
use crate::tools::Tool;
use crate::world::World;
use stage::Stage;

/// The policy of the story.
const POLICY: &str = "wasm-plugins/sidecar.yaml";

/// Starts both meshes and tells the story; with `keep`, leaves them running until it is dropped.
pub async fn tell(keep: bool) -> Result<()> {
    // Before anything is begun: what is missing at the tenth step is better known at none.
    for tool in Tool::OF_THE_DEMO {
        tool.path()?;
    }
    let begun = Instant::now();
    let mut stage = Stage::new();
    stage.line(
        "Starting two meshes: five Envoys, three of them with the filter, and one dns-agent …",
    )?;
    let world = World::start(&policy_of_resource(POLICY)?).await?;
    introduce(&world, &stage)?;
    if let Err(error) = steps::all(&world, &mut stage).await {
        stage.line(&logs(&world))?;
        return Err(error);
    }
    let (steps, seconds) = (stage.told(), begun.elapsed().as_secs_f64());
    stage.line(&format!(
        "\n{steps} steps, each checked against what it says, in {seconds:.1} s."
    ))?;
    if keep {
        keep::invite(&world, &stage)?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

fn introduce(world: &World, stage: &Stage) -> Result<()> {
    let a = &world.addresses;
    let east = [
        format!("mesh east, trust domain {EAST_TRUST_DOMAIN}, cluster-1"),
        format!("  dns-agent     {}", world.agent.dns()),
        format!("  frontend pod  {}", a.frontend()),
        format!("  batch pod     {}", a.batch()),
        format!("  reviews v1    {}", world.east_reviews.address),
    ];
    let west = [
        format!("mesh west, trust domain {WEST_TRUST_DOMAIN}, cluster-2"),
        format!("  gateway     {}:{GATEWAY_PORT}", a.gateway()),
        format!("  catalog v2  {}", world.catalog.address),
        format!("  reviews v2  {}", world.west_reviews.address),
        String::new(),
    ];
    stage.line("")?;
    for (east, west) in east.iter().zip(&west) {
        stage.line(format!("  {east:<48}{west}").trim_end())?;
    }
    stage.line(&format!(
        "  Policy: {POLICY}. Certificates, configuration and logs: {}",
        world.folder().display()
    ))
}

fn logs(world: &World) -> String {
    let logs = [
        ("east's dns-agent", world.agent.log_tail(15)),
        ("east's clients' Envoy", world.clients.log_tail(15)),
        ("west's gateway", world.gateway.log_tail(15)),
        (
            "the sidecar of west's catalog",
            world.catalog.envoy.log_tail(15),
        ),
        (
            "the sidecar of west's reviews",
            world.west_reviews.envoy.log_tail(15),
        ),
        (
            "the sidecar of east's reviews",
            world.east_reviews.envoy.log_tail(15),
        ),
    ];
    let logs = logs
        .into_iter()
        .map(|(name, log)| format!("\n--- the log of {name} ends:\n{log}"));
    logs.collect()
}
