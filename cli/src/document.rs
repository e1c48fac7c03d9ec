//! Which documents of a file carry a policy, and where in them it stands.

use std::fmt;

use crossmesh_policy::shown;

use crate::problem::Located;
use crate::yaml::{Entry, Node};

/// What both resources are called by.
pub(crate) const API_VERSION: &str = "extensions.istio.io/v1alpha1";
/// The name under which the filter runs in Envoy (`spec.pluginName`).
const PLUGIN_NAME: &str = "crossmesh";

/// A document with a policy in it.
#[derive(Debug)]
pub(crate) struct Plugin {
    /// What carries the policy.
    pub(crate) kind: Kind,
    /// `metadata.name`.
    pub(crate) name: Option<String>,
    /// `metadata.namespace`.
    pub(crate) namespace: Option<String>,
    /// Whether it is for a network filter, by the resource's `type`.
    pub(crate) is_network: bool,
    /// Where the `pluginConfig` begins.
    pub(crate) line: usize,
    /// The `pluginConfig`.
    pub(crate) config: Node,
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

/// What a bare pluginConfig has, even one whose `schema` is missing or misspelt: passed over it would seem to be right.
const OWN_FIELDS: [&str; 3] = ["schema", "meshes", "rules"];

/// Looks into a document; a `List`, as `kubectl get -o yaml` prints it, holds several.
pub(crate) fn find(document: &Node) -> Vec<Found> {
    let kind = document.get("kind").and_then(Node::text);
    match kind {
        Some("WasmPlugin") => vec![resource(document, Kind::WasmPlugin)],
        Some("TrafficExtension") => vec![resource(document, Kind::TrafficExtension)],
        Some("List" | "WasmPluginList" | "TrafficExtensionList") => document
            .get("items")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .flat_map(find)
            .collect(),
        Some(kind) => vec![Found::Other(document.line, named(kind, document))],
        None if OWN_FIELDS.iter().any(|field| document.get(field).is_some()) => {
            vec![Found::Plugin(Plugin {
                kind: Kind::PluginConfig,
                name: None,
                namespace: None,
                is_network: false,
                line: document.line,
                config: document.clone(),
            })]
        }
        None => vec![Found::Other(
            document.line,
            "a document without kind or schema".into(),
        )],
    }
}

fn resource(document: &Node, kind: Kind) -> Found {
    let spec = document.entry("spec");
    let (holder, path, other) = match kind {
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
        return Found::Other(
            document.line,
            format!(
                "{}, which is not crossmesh's",
                named(kind.as_str(), document)
            ),
        );
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
                line: key.line,
                config: value.clone(),
            })
        }
        (None, Some(misplaced)) => Found::Wrong(Located::new(
            Some(misplaced.key.line),
            format!(
                "{other}.pluginConfig: a {} has its pluginConfig elsewhere",
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
