//! The resources that operators apply are what a real API server takes, by Istio's own definitions of them.
#![cfg(test)]

use std::fs;

use crossmesh_e2e::kubernetes::alone::Alone;
use crossmesh_e2e::kubernetes::definition;
use crossmesh_e2e::kubernetes::objects::Objects;
use crossmesh_e2e::plugin::{documented_resources, resource};
use crossmesh_e2e::tools::workspace;
use serde_json::{Value, json};

const KINDS: [&str; 4] = ["WasmPlugin", "TrafficExtension", "EnvoyFilter", "Telemetry"];

/// Makes Istio's kinds known.
async fn define(objects: &Objects) {
    let mut defined = Vec::new();
    for definition in definition::istio().unwrap() {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap_or("");
        if KINDS.contains(&kind) {
            objects.apply(&definition).await.unwrap();
            defined.push(kind.to_owned());
        }
    }
    assert_eq!(defined.len(), KINDS.len(), "{defined:?}");
}

/// Every file of `wasm-plugins` that is applied, and what the pages for authors and operators show.
fn resources() -> Vec<(String, Value)> {
    let root = workspace().unwrap().join("wasm-plugins");
    let mut found = documented_resources("docs/policy.md").unwrap();
    found.extend(documented_resources("docs/filter.md").unwrap());
    assert!(found.len() > 3, "{found:?}");
    for folder in ["", "traffic-extension/"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".yaml") && !name.ends_with(".cases.yaml") {
                let name = format!("{folder}{name}");
                let value = resource(&name).unwrap();
                found.push((name, value));
            }
        }
    }
    assert!(found.len() > 14, "{found:?}");
    found
}

#[tokio::test]
async fn an_api_server_takes_every_resource_and_keeps_all_of_it() {
    let cluster = Alone::start(&["shop", "data", "web", "istio-ingress", "istio-system"])
        .await
        .unwrap();
    let objects = &cluster.objects;
    define(objects).await;
    let resources = resources();
    for (name, value) in &resources {
        let stored = objects.apply_when_served(value).await;
        let stored = stored.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(stored["spec"], value["spec"], "{name}");
    }
    // It is a check: a field that Istio has not, and a value.
    for (field, value, says) in [
        (
            "failStrategie",
            "FAIL_RELOAD",
            "field not declared in schema",
        ),
        ("failStrategy", "FAIL_RELAOD", "Unsupported value"),
    ] {
        let mut wrong = resource("sidecar.yaml").unwrap();
        wrong["spec"][field] = json!(value);
        let error = format!("{:#}", objects.apply(&wrong).await.unwrap_err());
        assert!(error.contains(says), "{error}");
    }
}
