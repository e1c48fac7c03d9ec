//! Which documents of a file carry a policy, and where in them it stands.

use std::fmt;

use crossmesh_policy::shown;

use crate::problem::Located;
use crate::resource;
use crate::yaml::{Entry, Node};

/// What both resources are called by.
pub(crate) const API_VERSION: &str = "extensions.istio.io/v1alpha1";
/// The name under which the filter runs in Envoy (`spec.pluginName`).
const PLUGIN_NAME: &str = "crossmesh";

/// A document with a policy in it.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    /// What carries the policy.
    pub(crate) kind: Kind,
    /// `metadata.name`.
    pub(crate) name: Option<String>,
    /// `metadata.namespace`.
    pub(crate) namespace: Option<String>,
    /// Whether it is for a network filter, by the resource's `type`.
    pub(crate) is_network: bool,
    /// Whether it is for listeners that servers stand behind.
    pub(crate) is_for_servers: bool,
    /// Where the resource says FAIL_OPEN, if it does.
    pub(crate) fail_open: Option<usize>,
    /// What is seldom meant in the resource around the policy.
    pub(crate) warnings: Vec<Located>,
    /// Where the `pluginConfig` begins.
    pub(crate) line: usize,
    /// The `pluginConfig`.
    pub(crate) config: Node,
}

impl Plugin {
    /// A policy that no resource is around.
    pub(crate) fn bare(line: usize, config: Node) -> Self {
        Self {
            kind: Kind::PluginConfig,
            name: None,
            namespace: None,
            is_network: false,
            is_for_servers: false,
            fail_open: None,
            warnings: Vec::new(),
            line,
            config,
        }
    }
}

/// What carries a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The `pluginConfig` alone.
    PluginConfig,
    /// Istio's resource until 1.29: `spec.pluginConfig`.
    WasmPlugin,
    /// Istio's resource from 1.30: `spec.wasm.pluginConfig` (istio.io/api, `extensions/v1alpha1/traffic_extension.proto`).
    TrafficExtension,
}

impl Kind {
    /// As resources write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PluginConfig => "pluginConfig",
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
        }
    }

    /// The keys under which its policy stands.
    pub(crate) fn path(self) -> &'static [&'static str] {
        match self {
            Self::PluginConfig => &[],
            Self::WasmPlugin => &["spec", "pluginConfig"],
            Self::TrafficExtension => &["spec", "wasm", "pluginConfig"],
        }
    }
}

impl Plugin {
    /// Whether it is the one of this name: `NAME` or `NAMESPACE/NAME`.
    pub(crate) fn is_called(&self, wanted: &str) -> bool {
        match wanted.split_once('/') {
            Some((namespace, name)) => {
                self.name.as_deref() == Some(name) && self.namespace.as_deref() == Some(namespace)
            }
            None => self.name.as_deref() == Some(wanted),
        }
    }

    /// The name by which [`Self::is_called`] finds it, if it has one.
    pub(crate) fn full_name(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        Some(match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        })
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        match self.full_name() {
            Some(name) => write!(f, " {}", shown(name.as_bytes())),
            None => Ok(()),
        }
    }
}

/// What a document is.
pub(crate) enum Found {
    /// One with a policy.
    Plugin(Plugin),
    /// One that is none of ours: where, and what it is.
    Other(usize, String),
    /// One of ours that is wrong outside of its policy.
    Wrong(Located),
}

/// How a document is called that nothing says of what it is.
pub(crate) const UNKNOWN: &str = "a document without kind or schema";

/// How requests and what must become of them are called.
pub(crate) const CASES: &str = "a file of cases";

/// What a bare pluginConfig has, even one whose `schema` is missing or misspelt: passed over it would seem to be right.
const OWN_FIELDS: [&str; 3] = ["schema", "meshes", "rules"];

/// Looks into a document; a `List`, as `kubectl get -o yaml` prints it, holds several.
pub(crate) fn find(document: &Node) -> Vec<Found> {
    let kind = document.get("kind").and_then(Node::text);
    match kind {
        Some("WasmPlugin") => resource(document, Kind::WasmPlugin),
        Some("TrafficExtension") => resource(document, Kind::TrafficExtension),
        Some("List" | "WasmPluginList" | "TrafficExtensionList") => document
            .get("items")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .flat_map(find)
            .collect(),
        Some(kind) => vec![other(document, named(kind, document))],
        None if OWN_FIELDS.iter().any(|field| document.get(field).is_some()) => {
            vec![Found::Plugin(Plugin::bare(document.line, document.clone()))]
        }
        None if is_cases(document) => vec![Found::Other(document.line, "a file of cases".into())],
        None => vec![other(document, UNKNOWN.into())],
    }
}

/// Requests and what must become of them: `x.cases.yaml`, a list of suites or one.
fn is_cases(document: &Node) -> bool {
    let mut suites = document.items().iter().chain([document]);
    suites.any(|suite| suite.get("cases").is_some())
}

/// What is passed over, unless a policy stands in it, where nobody would look for it.
fn other(document: &Node, what: String) -> Found {
    let Some(schema) = policy_in(document) else {
        return Found::Other(document.line, what);
    };
    let kinds = [Kind::WasmPlugin, Kind::TrafficExtension];
    let written = document
        .get("kind")
        .and_then(Node::text)
        .unwrap_or_default();
    let is_meant =
        |kind: &&Kind| kind.as_str() != written && kind.as_str().eq_ignore_ascii_case(written);
    let meant = kinds.iter().find(is_meant);
    let mend = match meant {
        Some(kind) => format!("write kind: {}", kind.as_str()),
        None => "put it under spec.pluginConfig of a WasmPlugin, or spec.wasm.pluginConfig of a TrafficExtension".into(),
    };
    Found::Wrong(Located::new(
        Some(schema.key.line),
        format!("a policy where none is looked for, in {what}"),
        mend,
    ))
}

/// The `schema` of a policy, wherever it stands.
fn policy_in(node: &Node) -> Option<&Entry> {
    let is_ours = |value: &Node| {
        value
            .text()
            .is_some_and(|text| text.starts_with("crossmesh/"))
    };
    let mut entries = node.entries().iter();
    entries
        .clone()
        .find(|entry| entry.key.text() == Some("schema") && is_ours(&entry.value))
        .or_else(|| entries.find_map(|entry| policy_in(&entry.value)))
        .or_else(|| node.items().iter().find_map(policy_in))
}

/// What a resource of one of our kinds is, with all that is wrong around its policy.
fn resource(document: &Node, kind: Kind) -> Vec<Found> {
    match plugin(document, kind) {
        Found::Plugin(mut plugin) => {
            let found = resource::check(document, kind);
            plugin.warnings = found.warnings;
            let problems = found.problems.into_iter().map(Found::Wrong);
            problems.chain([Found::Plugin(plugin)]).collect()
        }
        other => vec![other],
    }
}

fn plugin(document: &Node, kind: Kind) -> Found {
    let spec = document.entry("spec");
    let (holder, path, wrong_path) = match kind {
        Kind::TrafficExtension => (
            spec.and_then(|spec| spec.value.entry("wasm")),
            "spec.wasm",
            "spec",
        ),
        Kind::WasmPlugin | Kind::PluginConfig => (spec, "spec", "spec.wasm"),
    };
    let holder_node = holder.map(|entry| &entry.value);
    let config = holder_node.and_then(|holder| holder.entry("pluginConfig"));
    let elsewhere = match kind {
        Kind::TrafficExtension => spec.map(|spec| &spec.value),
        Kind::WasmPlugin | Kind::PluginConfig => spec.and_then(|spec| spec.value.get("wasm")),
    };
    let misplaced = elsewhere.and_then(|elsewhere| elsewhere.entry("pluginConfig"));
    if !is_ours(holder_node, config.or(misplaced)) {
        let name = named(kind.as_str(), document);
        return other(document, format!("{name}, which is not crossmesh's"));
    }
    let version = document.entry("apiVersion");
    if version.and_then(|entry| entry.value.text()) != Some(API_VERSION) {
        return Found::Wrong(Located::new(
            Some(version.map_or(document.line, |entry| entry.key.line)),
            format!("a {} of another apiVersion", kind.as_str()),
            format!("write apiVersion: {API_VERSION}"),
        ));
    }
    let levels = [Some(document), spec.map(|spec| &spec.value), holder_node];
    if let Some((entry, first)) = levels.into_iter().flatten().find_map(Node::duplicate) {
        let key = entry.key.text().unwrap_or_default();
        return Found::Wrong(Located::new(
            Some(entry.key.line),
            format!("{key}: the key stands twice in one mapping, first on line {first}"),
            "leave one of them; kubectl would silently take the last",
        ));
    }
    match (config, misplaced) {
        (Some(Entry { key, value }), _) => {
            let metadata = |field| {
                document
                    .get("metadata")?
                    .get(field)?
                    .text()
                    .map(str::to_owned)
            };
            Found::Plugin(Plugin {
                kind,
                name: metadata("name"),
                namespace: metadata("namespace"),
                is_network: holder_node
                    .and_then(|holder| holder.get("type")?.text())
                    .is_some_and(|kind| kind == "NETWORK"),
                is_for_servers: spec.is_some_and(|spec| resource::is_for_servers(&spec.value)),
                fail_open: holder_node
                    .and_then(|holder| holder.entry("failStrategy"))
                    .filter(|entry| entry.value.text() == Some("FAIL_OPEN"))
                    .map(|entry| entry.key.line),
                warnings: Vec::new(),
                line: key.line,
                config: value.clone(),
            })
        }
        (None, Some(misplaced)) => Found::Wrong(Located::new(
            Some(misplaced.key.line),
            format!(
                "{wrong_path}.pluginConfig: a {} has its pluginConfig elsewhere",
                kind.as_str()
            ),
            format!("move it to {path}.pluginConfig"),
        )),
        (None, None) => Found::Wrong(Located::new(
            Some(holder.map_or(document.line, |entry| entry.key.line)),
            format!(
                "a {} without {path}.pluginConfig: the filter would refuse to start",
                kind.as_str()
            ),
            "write a pluginConfig with at least schema and meshes",
        )),
    }
}

/// Whether a resource runs our filter: by the name under which it runs, by the module, or by the policy's schema.
fn is_ours(holder: Option<&Node>, config: Option<&Entry>) -> bool {
    let field = |name| {
        holder
            .and_then(|holder| holder.get(name))
            .and_then(Node::text)
    };
    let schema = config
        .and_then(|config| config.value.get("schema"))
        .and_then(Node::text);
    field("pluginName") == Some(PLUGIN_NAME)
        || field("url").is_some_and(|url| url.contains("crossmesh"))
        || schema.is_some_and(|schema| schema.starts_with("crossmesh"))
}

fn named(kind: &str, document: &Node) -> String {
    let name = document
        .get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .and_then(Node::text);
    match name {
        Some(name) => format!("{kind} {name}"),
        None => kind.to_owned(),
    }
}
