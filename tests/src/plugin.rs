//! The filter as Envoy is told of it: the module, and a policy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::tools::{Tool, workspace};

/// The plugin's name and root ID, as in the WasmPlugin resource.
const NAME: &str = "crossmesh";
/// The name of a network filter that is configured beside the HTTP filter: each needs one of its own.
const NETWORK_NAME: &str = "crossmesh-tcp";
const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";

/// How the filter reaches an Envoy.
#[derive(Clone, Debug)]
pub enum Plugin {
    /// Written into the bootstrap, with this policy (JSON).
    Given(String),
    /// By extension discovery, as Istio delivers it, from this file; see [`write_discovery`].
    Discovered(PathBuf),
    /// Another module than the filter, written into the bootstrap.
    Module(Module),
    /// By extension discovery from the control plane of the bootstrap (`ads_config`); see [`crate::xds`].
    FromControlPlane,
}

/// Any module, as Envoy is told of it.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its file.
    pub file: PathBuf,
    /// What Envoy does when it fails: `FAIL_CLOSED`, `FAIL_OPEN` or `FAIL_RELOAD`.
    pub failure_policy: &'static str,
    /// Its configuration, if it has one.
    pub configuration: Option<String>,
}

impl Module {
    /// The filter with a policy (JSON), as our resources have it.
    pub fn filter(policy: &str) -> Result<Self> {
        Ok(Self {
            file: Tool::Wasm.path()?,
            failure_policy: "FAIL_RELOAD",
            configuration: Some(policy.to_owned()),
        })
    }
}

impl Plugin {
    /// The HTTP filter of Envoy's configuration.
    pub fn http_filter(&self) -> Result<Value> {
        self.filter(HTTP)
    }

    /// The network filter of Envoy's configuration: the same module.
    pub fn network_filter(&self) -> Result<Value> {
        self.filter(NETWORK)
    }

    fn filter(&self, kind: &str) -> Result<Value> {
        Ok(match self {
            Self::Given(policy) => {
                json!({"name": NAME, "typed_config": wasm(NAME, kind, &Module::filter(policy)?)})
            }
            Self::Module(module) => json!({"name": NAME, "typed_config": wasm(NAME, kind, module)}),
            Self::Discovered(file) => {
                discovered(NAME, kind, json!({"path_config_source": {"path": file}}))
            }
            Self::FromControlPlane if kind == NETWORK => {
                discovered(NETWORK_NAME, kind, json!({"ads": {}}))
            }
            Self::FromControlPlane => discovered(NAME, kind, json!({"ads": {}})),
        })
    }
}

fn discovered(name: &str, kind: &str, mut source: Value) -> Value {
    source["resource_api_version"] = json!("V3");
    json!({"name": name, "config_discovery": {"config_source": source, "type_urls": [kind]}})
}

/// What a control plane gives the HTTP filter and the network filter: the extension's name, and the filter's configuration, whose
/// type is in `@type`.
pub(crate) fn extensions(policy: &str) -> Result<[(&'static str, Value); 2]> {
    let module = Module::filter(policy)?;
    Ok([(NAME, HTTP), (NETWORK_NAME, NETWORK)]
        .map(|(name, kind)| (name, wasm(name, kind, &module))))
}

/// Writes (or replaces, in one step) the file of a discovered HTTP plugin.
pub fn write_discovery(file: &Path, version: &str, policy: &str) -> Result<()> {
    write_module_discovery(file, version, &Module::filter(policy)?)
}

/// Likewise with another module than the filter.
pub fn write_module_discovery(file: &Path, version: &str, module: &Module) -> Result<()> {
    write(file, version, &wasm(NAME, HTTP, module))
}

/// Likewise of a discovered network plugin.
pub fn write_network_discovery(file: &Path, version: &str, policy: &str) -> Result<()> {
    write_module_network_discovery(file, version, &Module::filter(policy)?)
}

/// Likewise with another module than the filter.
pub fn write_module_network_discovery(file: &Path, version: &str, module: &Module) -> Result<()> {
    write(file, version, &wasm(NAME, NETWORK, module))
}

fn write(file: &Path, version: &str, filter: &Value) -> Result<()> {
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": NAME,
        "typed_config": filter,
    });
    let response = json!({"version_info": version, "resources": [resource]});
    let new = file.with_extension("new");
    fs::write(&new, response.to_string()).with_context(|| format!("writing {}", new.display()))?;
    // Envoy watches for a file that is moved into place, not for one that is written to.
    fs::rename(&new, file).with_context(|| format!("replacing {}", file.display()))
}

/// The policy (JSON) of a WasmPlugin resource in the checkout, such as `wasm-plugins/sidecar.yaml`.
pub fn policy_of_resource(file: &str) -> Result<String> {
    let resource = yaml(&workspace()?.join(file))?;
    let policy = resource
        .pointer("/spec/pluginConfig")
        .with_context(|| format!("{file} has no spec.pluginConfig"))?;
    Ok(policy.to_string())
}

/// The policy (JSON) in a file of `tests/scenarios` that holds a bare pluginConfig.
pub fn policy_of_scenario(file: &str) -> Result<String> {
    Ok(scenario(file)?.to_string())
}

/// What is in a file of `tests/scenarios`.
pub fn scenario(file: &str) -> Result<Value> {
    yaml(&workspace()?.join("tests/scenarios").join(file))
}

/// A configuration that `docs/filter.md` tells operators to write: the block of YAML of this name.
pub fn documented(name: &str) -> Result<Value> {
    let page = workspace()?.join("docs/filter.md");
    let text = fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
    let begin = format!("```yaml {name}\n");
    let block = text
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once("```\n"))
        .with_context(|| format!("{} has no block {name}", page.display()))?;
    serde_saphyr::from_str(block.0).with_context(|| format!("the block {name} is no YAML"))
}

/// Every resource that a page shows in a block of YAML, with the block's name.
pub fn documented_resources(page: &str) -> Result<Vec<(String, Value)>> {
    let file = workspace()?.join(page);
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let mut resources = Vec::new();
    for block in text.split("\n```yaml ").skip(1) {
        let (name, block) = block.split_once('\n').unwrap_or_default();
        let (block, _) = block.split_once("\n```").context("a block ends")?;
        let value: Value = serde_saphyr::from_str(block)
            .with_context(|| format!("{page}: the block {name} is no YAML"))?;
        if value.get("kind").is_some() {
            resources.push((format!("{page}, {name}"), value));
        }
    }
    Ok(resources)
}

/// A resource in `wasm-plugins`.
pub fn resource(file: &str) -> Result<Value> {
    yaml(&workspace()?.join("wasm-plugins").join(file))
}

fn yaml(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", file.display()))
}

/// As Istio writes it: the configuration a string of JSON, the VM without an ID.
fn wasm(name: &str, kind: &str, module: &Module) -> Value {
    let mut config = json!({
        "name": name,
        "root_id": NAME,
        "failure_policy": module.failure_policy,
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": module.file}},
        },
    });
    if let Some(configuration) = &module.configuration {
        config["configuration"] = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration});
    }
    json!({"@type": kind, "config": config})
}
