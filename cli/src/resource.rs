//! The resource around a policy: what is misspelt there Istio drops or refuses, and the best policy is not carried out.
//!
//! Fields and words are those of istio.io/api 1.31, `extensions/v1alpha1`.

use crossmesh_policy::{Problem, did_you_mean};

use crate::document::Kind;
use crate::problem::Located;
use crate::yaml::Node;

/// What both kinds have in `spec`.
const OF_BOTH: [&str; 6] = [
    "selector",
    "targetRef",
    "targetRefs",
    "phase",
    "priority",
    "match",
];
/// What a WasmPlugin has there beside it, and a TrafficExtension in `spec.wasm`.
const OF_WASM: [&str; 10] = [
    "url",
    "sha256",
    "imagePullPolicy",
    "imagePullSecret",
    "verificationKey",
    "pluginConfig",
    "pluginName",
    "failStrategy",
    "vmConfig",
    "type",
];

const PHASE: [&str; 4] = ["AUTHZ", "AUTHN", "STATS", "UNSPECIFIED_PHASE"];
const FAIL_STRATEGY: [&str; 3] = ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"];
const TYPE: [&str; 3] = ["HTTP", "NETWORK", "UNSPECIFIED_PLUGIN_TYPE"];
const PULL_POLICY: [&str; 3] = ["IfNotPresent", "Always", "UNSPECIFIED_POLICY"];
const MODE: [&str; 4] = ["CLIENT", "SERVER", "CLIENT_AND_SERVER", "UNDEFINED"];

/// What was found in a resource.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) problems: Vec<Located>,
    pub(crate) warnings: Vec<Located>,
}

/// Looks at all of a resource but its policy.
pub(crate) fn check(document: &Node, kind: Kind) -> Found {
    let mut found = Found::default();
    let Some(spec) = document.get("spec") else {
        return found;
    };
    let holder = match kind {
        Kind::TrafficExtension => {
            found.fields(
                spec,
                "spec",
                &[&OF_BOTH, &["wasm", "lua"]],
                &[("spec.wasm", &OF_WASM)],
            );
            let Some(wasm) = spec.get("wasm") else {
                return found;
            };
            found.fields(wasm, "spec.wasm", &[&OF_WASM], &[("spec", &OF_BOTH)]);
            (wasm, "spec.wasm")
        }
        Kind::WasmPlugin | Kind::PluginConfig => {
            found.fields(spec, "spec", &[&OF_BOTH, &OF_WASM], &[]);
            (spec, "spec")
        }
    };
    found.word((spec, "spec"), "phase", &PHASE);
    found.word(holder, "failStrategy", &FAIL_STRATEGY);
    found.word(holder, "type", &TYPE);
    found.word(holder, "imagePullPolicy", &PULL_POLICY);
    let matches = spec.get("match").map(Node::items).unwrap_or_default();
    for (i, item) in matches.iter().enumerate() {
        let path = format!("spec.match[{i}]");
        found.fields(item, &path, &[&["mode", "ports"]], &[]);
        found.word((item, &path), "mode", &MODE);
        let ports = item.get("ports").map(Node::items).unwrap_or_default();
        for (i, port) in ports.iter().enumerate() {
            found.fields(port, &format!("{path}.ports[{i}]"), &[&["number"]], &[]);
        }
    }
    found
}

/// Whether it is for listeners that servers stand behind, as far as the resource says.
pub(crate) fn is_for_servers(spec: &Node) -> bool {
    let of_gateway = |target: &Node| target.get("kind").and_then(Node::text) == Some("Gateway");
    let targets = spec.get("targetRefs").map(Node::items).unwrap_or_default();
    let matches = spec.get("match").map(Node::items).unwrap_or_default();
    let serves = |item: &Node| item.get("mode").and_then(Node::text) != Some("CLIENT");
    !targets.iter().any(of_gateway) && (matches.is_empty() || matches.iter().any(serves))
}

impl Found {
    /// Tells of fields that do not exist, or that exist elsewhere.
    fn fields(
        &mut self,
        node: &Node,
        path: &str,
        known: &[&[&str]],
        elsewhere: &[(&str, &[&str])],
    ) {
        let known = known.concat();
        for entry in node.entries() {
            let Some(name) = entry.key.text().filter(|name| !known.contains(name)) else {
                continue;
            };
            let at = |problem: &str, mend: String| Located {
                line: Some(entry.key.line),
                problem: Box::new(Problem {
                    rule: None,
                    field: format!("{path}.{name}"),
                    value: None,
                    problem: problem.into(),
                    mend,
                }),
            };
            let place = elsewhere.iter().find(|(_, fields)| fields.contains(&name));
            if let Some((place, _)) = place {
                // Where the policy itself is misplaced is told with the document.
                if name != "pluginConfig" {
                    let mend = format!("move it to {place}.{name}");
                    self.problems
                        .push(at("it does not stand here, and Istio drops it", mend));
                }
                continue;
            }
            let near = did_you_mean(name, &known, "");
            if near.is_empty() {
                let mend = format!("write one of {}", known.join(", "));
                self.warnings
                    .push(at("Istio drops a field that it does not know", mend));
            } else {
                self.problems.push(at(
                    "Istio drops a field that it does not know",
                    near.trim().into(),
                ));
            }
        }
    }

    /// Tells of a word that is not one of those that can stand there.
    fn word(&mut self, (node, path): (&Node, &str), name: &str, words: &[&str]) {
        let Some(entry) = node.entry(name).filter(|entry| !entry.value.is_null()) else {
            return;
        };
        let text = entry.value.text();
        if text.is_some_and(|text| words.contains(&text)) {
            return;
        }
        let mend = format!("write one of {}", words.join(", "));
        self.problems.push(Located {
            line: Some(entry.key.line),
            problem: Box::new(Problem {
                rule: None,
                field: format!("{path}.{name}"),
                value: text.map(|text| format!("{text:?}")),
                problem: "Istio knows no such word here".into(),
                mend: did_you_mean(text.unwrap_or_default(), words, &mend),
            }),
        });
    }
}
