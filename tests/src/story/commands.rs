//! The commands that the story runs and `--keep` invites to.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use super::POLICY;
use crate::command::Command;
use crate::curl::Request;
use crate::dns::dig;
use crate::names::{CATALOG, SERVICE_PORT};
use crate::roles::server::Sidecar;
use crate::world::World;

const PATH: &str = "/v1/items";

/// The command that reads a sidecar's counters.
pub(super) fn counters(sidecar: &Sidecar) -> Result<Command> {
    let url = format!(
        "http://{}/stats/prometheus?filter=crossmesh",
        sidecar.envoy.admin()
    );
    Ok(Command::curl()?.arg(url))
}

/// The command that asks the agent for a name's addresses.
pub(super) fn dig_answer(world: &World, name: &str) -> Result<Command> {
    Ok(dig(world.agent.dns(), name, "A")?.args(["+noall", "+answer"]))
}

/// The request that the story is about.
pub(super) fn by_name(name: &str, address: IpAddr) -> Result<Request> {
    Request::by_name(name, SocketAddr::new(address, SERVICE_PORT), PATH)
}

/// The command that asks the policy about that request.
pub(super) fn explanation(principal: Option<&str>) -> Result<Command> {
    let proxy = [
        "--node-mesh",
        "west",
        "--node-namespace",
        "shop",
        "--node-workload",
        "catalog",
    ];
    let port = SERVICE_PORT.to_string();
    let request = [
        "--host", CATALOG, "--port", &port, "--method", "GET", "--path", PATH,
    ];
    let principal = principal.into_iter().flat_map(|id| ["--principal", id]);
    Ok(Command::crossmesh()?
        .args(["policy", "explain", POLICY])
        .args(proxy)
        .args(principal)
        .args(request))
}
