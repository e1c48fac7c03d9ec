//! Definitions of resources (CRDs) that clusters get from others, as much of each as an API server needs.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::tools::Tool;

/// The group of the Multi-Cluster Services API (KEP-1645).
pub const CLUSTER_SET: &str = "multicluster.x-k8s.io";

/// A namespaced kind. `spec` is the schema of its `spec`; none takes any object.
#[must_use]
pub fn definition(group: &str, version: &str, kind: &str, spec: Option<Value>) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let schema = match spec {
        Some(spec) => json!({"type": "object", "properties": {"spec": spec}}),
        None => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": singular, "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// Gateways of the Gateway API, with the fields that are used here.
#[must_use]
pub fn gateways() -> Value {
    let text = json!({"type": "string"});
    let address = json!({"type": "object", "properties": {"type": text, "value": text}});
    let tls = json!({"type": "object", "properties": {"mode": text}});
    let listener = json!({"type": "object", "properties": {
        "name": text, "protocol": text, "port": {"type": "integer"}, "tls": tls,
    }});
    let spec = json!({"type": "object", "properties": {
        "gatewayClassName": text,
        "addresses": {"type": "array", "items": address},
        "listeners": {"type": "array", "items": listener},
    }});
    definition("gateway.networking.k8s.io", "v1", "Gateway", Some(spec))
}

/// PodMonitors as Prometheus' operator 0.79 has them, with the fields that are used here.
#[must_use]
pub fn pod_monitors() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let relabeling = json!({"type": "object", "properties": {
        "sourceLabels": texts, "regex": text, "targetLabel": text, "replacement": text,
    }});
    let endpoint = json!({"type": "object", "properties": {
        "path": text, "interval": text, "relabelings": {"type": "array", "items": relabeling},
    }});
    let labels = json!({"type": "object", "additionalProperties": text});
    let spec = json!({"type": "object", "required": ["podMetricsEndpoints"], "properties": {
        "selector": {"type": "object", "properties": {"matchLabels": labels}},
        "namespaceSelector": {"type": "object", "properties": {"matchNames": texts}},
        "podMetricsEndpoints": {"type": "array", "items": endpoint},
    }});
    definition("monitoring.coreos.com", "v1", "PodMonitor", Some(spec))
}

/// ServiceExports and ServiceImports of the cluster set.
#[must_use]
pub fn cluster_set() -> [Value; 2] {
    ["ServiceExport", "ServiceImport"].map(|kind| definition(CLUSTER_SET, "v1alpha1", kind, None))
}

/// Istio's kinds, whole, as Istio defines them.
pub fn istio() -> Result<Vec<Value>> {
    let path = Tool::IstioCrds.path()?;
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let parse = |document| serde_saphyr::from_str(document);
    let all: Result<Vec<Value>, _> = text.split("\n---\n").map(parse).collect();
    all.with_context(|| format!("{} is no YAML", path.display()))
}
