//! The filter as Istio delivers it: applied to a real API server, checked and translated by istiod, fetched by pilot-agent, run in
//! its Envoy.
#![cfg(test)]

use crossmesh_e2e::access_log::Entry;
use crossmesh_e2e::caller::{Answer, Caller, Request};
use crossmesh_e2e::istio::mesh::{CATALOG, Mesh};
use crossmesh_e2e::names::{CATALOG as HOST, FRONTEND};
use crossmesh_e2e::shipped::{Case, Cases};
use serde_json::Value;

/// What Istio makes of the name `crossmesh` in the namespace `shop`, for a WasmPlugin.
const TRANSLATED: &str = "shop.crossmesh~istio-translated-wasmplugin";
/// The same for a TrafficExtension.
const EXTENSION: &str = "shop.crossmesh";

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
