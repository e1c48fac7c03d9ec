//! What Istio makes of what operators apply beside the filter: it takes all of it, and what a Telemetry says of the meshes' IDs comes
//! true in the sidecar.
#![cfg(test)]

use crossmesh_e2e::caller::Request;
use crossmesh_e2e::istio::mesh::{CATALOG, Mesh};
use crossmesh_e2e::names::{CATALOG as HOST, FRONTEND};
use crossmesh_e2e::plugin::{documented, documented_resources, resource};
use crossmesh_e2e::shipped::Shipped;
use serde_json::{Value, json};

const CART: &str = "spiffe://bar.com/ns/shop/sa/cart";

/// A request over mutual TLS that the policy lets in.
async fn ask(mesh: &Mesh, san: &str, id: &str) {
    let headers = [("x-request-id", id)];
    let request = Request {
        method: "GET",
        host: HOST,
        path: "/v1/items",
        headers: &headers,
    };
    let answer = mesh.caller(Some(san)).unwrap().istio(&request).await;
    assert_eq!(answer.unwrap().status, 200, "{san}");
}

/// The HTTP connection managers of what comes in, in a configuration as Envoy or istiod shows it.
fn inbound(dump: &Value) -> Vec<Value> {
    let configs = dump["configs"].as_array().into_iter().flatten();
    let listeners = configs.flat_map(|each| {
        // Envoy writes its fields' names as protobuf has them, istiod as JSON has them.
        let listeners = each
            .get("dynamic_listeners")
            .or_else(|| each.get("dynamicListeners"));
        let listeners = listeners.and_then(Value::as_array);
        listeners.into_iter().flatten()
    });
    let inbound = listeners.filter(|listener| listener["name"] == "virtualInbound");
    let states = inbound.filter_map(|each| each.get("active_state").or(each.get("activeState")));
    let chains = states.flat_map(|state| {
        let listener = &state["listener"];
        let chains = listener
            .get("filter_chains")
            .or_else(|| listener.get("filterChains"));
        chains.and_then(Value::as_array).into_iter().flatten()
    });
    let filters = chains.flat_map(|chain| chain["filters"].as_array().into_iter().flatten());
    let managers =
        filters.filter(|filter| filter["name"] == "envoy.filters.network.http_connection_manager");
    managers
        .filter_map(|filter| filter.get("typed_config").or(filter.get("typedConfig")))
        .cloned()
        .collect()
}

#[tokio::test]
async fn what_a_telemetry_says_of_the_meshes_comes_true() {
    Mesh::run(&CATALOG, async |mesh| {
        let objects = &mesh.cluster.objects;
        let policy = mesh.shipped("sidecar.yaml").unwrap();
        objects.apply(&policy).await.unwrap();
        let name = "shop.crossmesh~istio-translated-wasmplugin";
        let configuration = &policy["spec"]["pluginConfig"];
        mesh.sidecar
            .until_it_runs(name, configuration)
            .await
            .unwrap();

        // Its metrics come last: for them Istio asks for a filter that this Envoy has not.
        let telemetry = documented("istio:telemetry").unwrap();
        let mut without_metrics = telemetry.clone();
        without_metrics["spec"]["metrics"] = json!([]);
        objects.apply(&without_metrics).await.unwrap();
        let tags = &telemetry["spec"]["tracing"][0]["customTags"];
        let tags = ["crossmesh.destination_mesh", "crossmesh.source_mesh"]
            .map(|tag| json!({"tag": tag, "value": tags[tag]["formatter"]["value"]}));
        let traced = async || {
            let dump = mesh.sidecar.config_dump().await.ok()?;
            let managers = inbound(&dump);
            let has = |manager: &Value| {
                let has = manager["tracing"]["custom_tags"].as_array()?;
                tags.iter().all(|tag| has.contains(tag)).then_some(())
            };
            (!managers.is_empty() && managers.iter().all(|each| has(each).is_some())).then_some(())
        };
        mesh.sidecar
            .until("spans had the tags", traced)
            .await
            .unwrap();
        // The access log is the east's alone; both lines would go to the same file, in this order.
        ask(mesh, CART, "from-the-west").await;
        ask(mesh, FRONTEND, "from-the-east").await;
        let logged = async || mesh.sidecar.log().contains("from-the-east").then_some(());
        mesh.sidecar
            .until("a request was logged", logged)
            .await
            .unwrap();
        assert!(!mesh.sidecar.log().contains("from-the-west"));

        objects.apply(&telemetry).await.unwrap();
        let overrides = &telemetry["spec"]["metrics"][0]["overrides"][0]["tagOverrides"];
        let dimensions = json!({
            "source_mesh": overrides["source_mesh"]["value"],
            "destination_mesh": overrides["destination_mesh"]["value"],
        });
        let metrics = json!([{"name": "requests_total", "dimensions": dimensions}]);
        let proxy = format!("config_dump?proxyID={}", mesh.sidecar.id());
        let generated = async || {
            let managers = inbound(&mesh.istiod.debug(&proxy).await.ok()?);
            let has = |manager: &Value| {
                let mut filters = manager["httpFilters"].as_array()?.iter();
                let stats = filters.find(|filter| filter["name"] == "istio.stats")?;
                (stats["typedConfig"]["metrics"] == metrics).then_some(())
            };
            (!managers.is_empty() && managers.iter().all(|each| has(each).is_some())).then_some(())
        };
        mesh.sidecar
            .until("istiod made labels of them", generated)
            .await
            .unwrap();
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn istiod_takes_every_resource_that_is_shipped_or_shown() {
    Mesh::run(&CATALOG, async |mesh| {
        let objects = &mesh.cluster.objects;
        let mut resources = documented_resources("docs/policy.md").unwrap();
        resources.extend(documented_resources("docs/filter.md").unwrap());
        for file in Shipped::files().unwrap() {
            let shipped = resource(&file).unwrap();
            resources.push((file, shipped));
        }
        assert!(resources.len() > 14, "{resources:?}");
        for (name, resource) in &resources {
            let judged = objects.judge(resource).await;
            judged.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
        // It is a check: what no API server sees by itself.
        let mut wrong = documented("istio:telemetry").unwrap();
        wrong["spec"]["accessLogging"][0]["filter"]["expression"] = json!("east ==");
        let error = format!("{:#}", objects.judge(&wrong).await.unwrap_err());
        assert!(error.contains("denied the request"), "{error}");
    })
    .await
    .unwrap();
}
