//! The resources of `wasm-plugins`, as they are shipped: what Istio would make of one in a proxy, and the cases beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::plugin::{Module, Plugin, resource};
use crate::tools::{Tool, workspace};

/// A WasmPlugin or a TrafficExtension.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// The filter with the policy, and with what Envoy does when it fails.
    pub plugin: Plugin,
    /// Whether it is a network filter.
    pub network: bool,
    /// On which listeners it runs: `SERVER`, `CLIENT` or `CLIENT_AND_SERVER`.
    pub mode: String,
}

impl Shipped {
    /// The resource in a file, such as `sidecar.yaml` or `traffic-extension/sidecar.yaml`.
    pub fn read(file: &str) -> Result<Self> {
        let resource = resource(file)?;
        let spec = &resource["spec"];
        let wasm = match resource["kind"].as_str() {
            Some("WasmPlugin") => spec,
            Some("TrafficExtension") => &spec["wasm"],
            other => bail!("{file} is {other:?}, and no filter"),
        };
        let policy = &wasm["pluginConfig"];
        let failure_policy = match wasm["failStrategy"].as_str() {
            Some("FAIL_RELOAD") => "FAIL_RELOAD",
            Some("FAIL_OPEN") => "FAIL_OPEN",
            Some("FAIL_CLOSE") => "FAIL_CLOSED",
            other => bail!("{file}: failStrategy is {other:?}"),
        };
        let mode = spec["match"][0]["mode"].as_str();
        Ok(Self {
            plugin: Plugin::Module(Module {
                file: Tool::Wasm.path()?,
                failure_policy,
                configuration: Some(policy.to_string()),
            }),
            network: wasm["type"] == "NETWORK",
            mode: mode
                .with_context(|| format!("{file} says no mode"))?
                .to_owned(),
        })
    }

    /// Every file of `wasm-plugins` that can be applied.
    pub fn files() -> Result<BTreeSet<String>> {
        let root = workspace()?.join("wasm-plugins");
        let mut files = BTreeSet::new();
        for folder in ["", "traffic-extension/"] {
            for entry in fs::read_dir(root.join(folder))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name.ends_with(".yaml") && !name.ends_with(".cases.yaml") {
                    files.insert(format!("{folder}{name}"));
                }
            }
        }
        Ok(files)
    }
}

/// Cases of one proxy. Read here as far as an Envoy can be asked: this crate links none of crossmesh's, so it has a reader of
/// its own, and `crossmesh policy test` holds the files to their whole format.
#[derive(Clone, Debug, Deserialize)]
pub struct Cases {
    /// Which.
    pub node: Proxy,
    /// What it must decide.
    pub cases: Vec<Case>,
}

/// A proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Its mesh.
    pub mesh: String,
    /// Its namespace.
    pub namespace: String,
    /// Its workload.
    pub workload: String,
    /// The workload's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A request or a connection, and what is decided about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The only URI SAN of the client's certificate.
    pub principal: Option<String>,
    /// All of them, if it is not one.
    pub principals: Option<Vec<String>>,
    /// Who calls the proxy, where that is not the caller: the same as `principal` there.
    #[serde(rename = "direct")]
    _direct: Option<String>,
    /// Whether TLS does not end at the proxy.
    #[serde(default)]
    pub passthrough: bool,
    /// Whether it is a connection.
    #[serde(default)]
    pub tcp: bool,
    /// The server name of the TLS hello.
    pub sni: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The method.
    pub method: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// Headers, with what this proxy itself adds to them.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The decision, as the access log has it.
    pub want: String,
    /// The same of a connection.
    #[serde(rename = "first_bytes")]
    _first_bytes: Option<String>,
}

impl Cases {
    /// Those beside a resource; a TrafficExtension has those of its WasmPlugin.
    pub fn beside(file: &str) -> Result<Vec<Self>> {
        let name = file.rsplit('/').next().unwrap_or(file);
        let cases: Value = resource(&name.replace(".yaml", ".cases.yaml"))?;
        serde_json::from_value(cases).with_context(|| format!("the cases of {file}"))
    }
}

impl Case {
    /// The client's certificate, by its URI SANs, if there is one.
    #[must_use]
    pub fn uri_sans(&self) -> Option<Vec<&str>> {
        match (&self.principal, &self.principals) {
            (Some(one), _) => Some(vec![one]),
            (None, Some(all)) => Some(all.iter().map(String::as_str).collect()),
            (None, None) => None,
        }
    }
}
