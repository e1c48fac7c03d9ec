//! The filter as Istio delivers it: applied to a real API server, checked and translated by istiod, fetched by pilot-agent, run in
//! its Envoy.
#![cfg(test)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossmesh_e2e::access_log::Entry;
use crossmesh_e2e::caller::{Answer, Caller, Request};
use crossmesh_e2e::istio::mesh::{CATALOG, Mesh};
use crossmesh_e2e::names::{CATALOG as HOST, FRONTEND};
use crossmesh_e2e::shipped::{Case, Cases};
use serde_json::{Value, json};

/// What Istio makes of the name `crossmesh` in the namespace `shop`, for a WasmPlugin.
const TRANSLATED: &str = "shop.crossmesh~istio-translated-wasmplugin";
/// The same for a TrafficExtension.
const EXTENSION: &str = "shop.crossmesh";

/// The kind of resource that both are to Envoy.
const RESOURCE: &str = "extensions.istio.io/trafficextension";

const READ: Request<'_> = Request {
    method: "GET",
    host: HOST,
    path: "/v1/items",
    headers: &[],
};

/// Sends a request as a sidecar of the peer mesh does; what came back, and what the access log says of it.
async fn ask(mesh: &Mesh, caller: &Caller, request: &Request<'_>, id: &str) -> (Answer, Entry) {
    let mut headers = request.headers.to_vec();
    headers.push(("x-request-id", id));
    let request = Request {
        headers: &headers,
        ..*request
    };
    let answer = caller.istio(&request).await.unwrap();
    let entry = mesh.sidecar.access_log.entry(id).await.unwrap();
    (answer, entry)
}

/// Runs a case of those that are shipped beside the resource.
async fn check(mesh: &Mesh, file: &str, case: &Case) {
    let name = format!("{file}: {}", case.name);
    let caller = mesh.caller(case.principal.as_deref()).unwrap();
    let request = Request {
        method: case.method.as_deref().unwrap(),
        host: case.host.as_deref().unwrap(),
        path: case.path.as_deref().unwrap(),
        headers: &[],
    };
    if case.want == "DENY default:unknownTrustDomain" {
        // Whom the mesh does not trust, as by `trustDomainAliases`, gets no further than the handshake.
        caller.istio(&request).await.unwrap_err();
        return;
    }
    let id = name.replace([' ', ':'], "-");
    let (answer, entry) = ask(mesh, &caller, &request, &id).await;
    assert_eq!(entry.decision.as_deref(), Some(&*case.want), "{name}");
    assert_eq!(entry.destination_mesh.as_deref(), Some("west"), "{name}");
    match case.want.strip_prefix("DENY ") {
        None => assert_eq!(answer.status, 200, "{name}: {answer:?}"),
        Some(why) => {
            assert_eq!(answer.status, 403, "{name}: {answer:?}");
            let details = format!("crossmesh_denied[{why}]");
            assert_eq!(entry.details.as_deref(), Some(&*details), "{name}");
        }
    }
}

/// A resource in the API server, and running in the sidecar under the name that Istio gave it.
async fn deliver(mesh: &Mesh, resource: &Value, name: &str) {
    mesh.cluster.objects.apply(resource).await.unwrap();
    let spec = &resource["spec"];
    let policy = match resource["kind"].as_str() {
        Some("TrafficExtension") => &spec["wasm"]["pluginConfig"],
        _ => &spec["pluginConfig"],
    };
    mesh.sidecar.until_it_runs(name, policy).await.unwrap();
}

async fn remove(mesh: &Mesh, resource: &Value, name: &str) {
    mesh.cluster.objects.delete(resource).await.unwrap();
    mesh.sidecar.until_it_is_gone(name).await.unwrap();
}

#[tokio::test]
async fn what_is_shipped_runs_in_a_sidecar_as_its_cases_say() {
    Mesh::run(&CATALOG, async |mesh| {
        for (file, name) in [
            ("sidecar.yaml", TRANSLATED),
            ("traffic-extension/sidecar.yaml", EXTENSION),
        ] {
            let shipped = mesh.shipped(file).unwrap();
            deliver(mesh, &shipped, name).await;
            let mut run = 0;
            for cases in Cases::beside(file).unwrap() {
                for case in &cases.cases {
                    check(mesh, file, case).await;
                    run += 1;
                }
            }
            assert_eq!(run, 7);
            remove(mesh, &shipped, name).await;
        }
        // One module, however many resources name it.
        assert_eq!(mesh.web.asked(), 1);
        let metrics = mesh.sidecar.metrics().await.unwrap();
        for (source, verdict, times) in [
            ("east", "ALLOW", 2),
            ("east", "DENY", 6),
            ("west", "ALLOW", 2),
            ("plaintext", "DENY", 2),
            ("unknownTrustDomain", "DENY", 0),
        ] {
            let line = format!(
                r#"crossmesh_requests_total{{source_mesh="{source}",destination_mesh="west",verdict="{verdict}"}} {times}"#
            );
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
    })
    .await
    .unwrap();
}

/// The policy of `sidecar.yaml` with other rules.
fn with_rules(mesh: &Mesh, rules: &Value) -> Value {
    let mut resource = mesh.shipped("sidecar.yaml").unwrap();
    resource["spec"]["pluginConfig"]["rules"] = rules.clone();
    resource
}

/// One rule of this name that lets the frontend read, where the destination is this.
fn readers(name: &str, to: &Value) -> Value {
    json!({
        "name": name, "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}], "to": [to],
    })
}

/// Which rule lets the frontend read.
async fn decision(mesh: &Mesh, caller: &Caller, id: &str) -> String {
    let (_, entry) = ask(mesh, caller, &READ, id).await;
    entry.decision.unwrap_or_default()
}

#[tokio::test]
async fn a_refused_policy_changes_nothing_and_no_request_fails_meanwhile() {
    Mesh::run(&CATALOG, async |mesh| {
        let objects = &mesh.cluster.objects;
        let caller = mesh.caller(Some(FRONTEND)).unwrap();
        // The mesh is not in the policy: it is the proxy's own, as are namespace, workload and labels.
        let here =
            json!({"workloads": ["shop/catalog"], "labels": {"tier": "gold", "app": "cat*"}});
        let elsewhere = [
            json!({"workloads": ["shop/cart"]}),
            json!({"labels": {"tier": "silver"}, "namespaces": ["shop"]}),
            json!({"namespaces": ["data"]}),
        ];
        let mut rules: Vec<Value> = elsewhere
            .iter()
            .map(|to| readers("elsewhere", to))
            .collect();
        for (at, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("elsewhere-{at}"));
        }
        rules.push(readers("here", &here));
        let first = with_rules(mesh, &json!(rules));
        deliver(mesh, &first, TRANSLATED).await;
        assert_eq!(decision(mesh, &caller, "first").await, "ALLOW rule:here");

        let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        let asking = async {
            while !done.load(Ordering::SeqCst) {
                let answer = caller.istio(&READ).await.unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
                served.fetch_add(1, Ordering::SeqCst);
            }
        };
        let changing = async {
            let bad = with_rules(
                mesh,
                &json!([readers("bad", &json!({"workload": ["shop/catalog"]}))]),
            );
            objects.apply(&bad).await.unwrap();
            let told = "ADS:ECDS: ACK ERROR";
            let refused = async || mesh.istiod.log().contains(told).then_some(());
            mesh.sidecar
                .until("istiod was told", refused)
                .await
                .unwrap();
            let before = served.load(Ordering::SeqCst);
            let went_on = async || (served.load(Ordering::SeqCst) > before + 10).then_some(());
            mesh.sidecar
                .until("requests went on", went_on)
                .await
                .unwrap();
            assert_eq!(decision(mesh, &caller, "bad").await, "ALLOW rule:here");
            let good = with_rules(mesh, &json!([readers("good", &here)]));
            deliver(mesh, &good, TRANSLATED).await;
            assert_eq!(decision(mesh, &caller, "good").await, "ALLOW rule:good");
            done.store(true, Ordering::SeqCst);
        };
        tokio::join!(asking, changing);
        // What operators are told to watch and where they find the reason.
        let stat = format!(
            "extension_config_discovery.http_filter.{RESOURCE}/{TRANSLATED}.config_fail: 1\n"
        );
        let stats = mesh.sidecar.get("stats?filter=config_fail").await.unwrap();
        assert!(stats.contains(&stat), "{stats}");
        let log = mesh.sidecar.log();
        assert!(
            log.contains(r#"unknown field "workload"; did you mean workloads?"#),
            "{log}"
        );
        let told = format!("Unable to create Wasm plugin {TRANSLATED}");
        assert!(mesh.istiod.log().contains(&told));
    })
    .await
    .unwrap();
}
