//! The parts that demo and end-to-end tests are made of, and the environment variables by which they are told.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::process;
use crate::toolbox::{TOOLS, Users};
use crate::wasm::Filter;
use crate::workspace::Workspace;

/// Tools and builds, all ready.
pub(crate) struct Parts(Vec<(&'static str, PathBuf)>);

impl Parts {
    /// Finds the tools of these users and, after [`build`], the binaries.
    pub(crate) fn find(
        workspace: &Workspace,
        cache: &Cache,
        filter: &Filter,
        users: &[Users],
    ) -> Result<Self> {
        let mut parts = vec![
            ("CROSSMESH_WASM", filter.path.clone()),
            (
                "CROSSMESH_DNS_AGENT",
                workspace.binary("crossmesh-dns-agent"),
            ),
            ("CROSSMESH_CLI", workspace.binary("crossmesh")),
            ("CROSSMESH_DECIDE", workspace.binary(DECIDE)),
        ];
        parts.extend(Self::of_tools(cache, users)?.0);
        Ok(Self(parts))
    }

    /// Finds the tools of these users, and nothing that is built here.
    pub(crate) fn of_tools(cache: &Cache, users: &[Users]) -> Result<Self> {
        let mut parts = Vec::new();
        for tool in TOOLS.iter().filter(|tool| users.contains(&tool.users)) {
            if let Some(variable) = tool.variable {
                parts.push((variable, tool.ensure(cache)?));
            }
        }
        Ok(Self(parts))
    }

    /// Tells `command` where they are.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.0.iter().map(|(name, path)| (name, path)))
    }
}

/// The engine by itself, with a watch; where cargo puts it.
pub(crate) const DECIDE: &str = "examples/decide";

/// Builds the binaries. Demo and tests build the same ones by the same call, so that one finds what the other built.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let build = "build --bins --examples --package crossmesh-dns-agent --package crossmesh-cli --package crossmesh-e2e \
                 --package crossmesh-policy";
    let mut cargo = workspace.cargo(build);
    process::logged(
        "binaries: building dns-agent, crossmesh, the demo and the bench",
        &mut cargo,
        &workspace.log("binaries"),
    )
}

/// Builds, to be fast, what measures.
pub(crate) fn build_bench(workspace: &Workspace) -> Result<()> {
    let build = "build --release --bin crossmesh-bench --example decide --package crossmesh-e2e --package crossmesh-policy";
    process::logged(
        "bench: building it in release",
        &mut workspace.cargo(build),
        &workspace.log("bench"),
    )
}

/// Builds, to be as it is in a cluster, the agent, and what measures it.
pub(crate) fn build_dns_bench(workspace: &Workspace) -> Result<()> {
    let build = "build --release --bin crossmesh-dns-agent --bin crossmesh-bench --package crossmesh-dns-agent \
                 --package crossmesh-e2e";
    process::logged(
        "bench: building the dns-agent and what measures it in release",
        &mut workspace.cargo(build),
        &workspace.log("dns-bench"),
    )
}
