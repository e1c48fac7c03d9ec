//! What passes the HTTP filter by in a real Istio, and what its agent does when the module cannot be had.
#![cfg(test)]

use crossmesh_e2e::caller::Request;
use crossmesh_e2e::istio::mesh::{CATALOG, Mesh, UNDECLARED};
use crossmesh_e2e::istio::sidecar::{extension, listens_with};
use crossmesh_e2e::names::{BATCH, CATALOG as HOST, FRONTEND};
use crossmesh_e2e::plugin::documented;
use serde_json::{Value, json};

const HTTP: &str = "shop.crossmesh~istio-translated-wasmplugin";
const TCP: &str = "shop.crossmesh-tcp~istio-translated-wasmplugin";

const READ: Request<'_> = Request {
    method: "GET",
    host: HOST,
    path: "/v1/items",
    headers: &[],
};

/// Applies a WasmPlugin and waits until it runs.
async fn deliver(mesh: &Mesh, resource: &Value, name: &str) {
    mesh.cluster.objects.apply(resource).await.unwrap();
    let policy = &resource["spec"]["pluginConfig"];
    mesh.sidecar.until_it_runs(name, policy).await.unwrap();
}

/// The status that somebody gets who offers these protocols by ALPN; none without an answer over HTTP.
async fn status(mesh: &Mesh, id: &str, alpn: &[&str]) -> Option<u16> {
    let caller = mesh.caller(Some(id)).unwrap();
    let answer = caller.http1_by(alpn, &READ).await;
    answer.ok().map(|answer| answer.status)
}

#[tokio::test]
async fn where_the_protocol_is_undeclared_a_client_says_itself_what_it_is_taken_for() {
    const AS_HTTP: [&str; 2] = ["istio-http/1.1", "istio"];
    const AS_TCP: [&str; 1] = ["istio"];
    Mesh::run(&UNDECLARED, async |mesh| {
        let http = mesh.shipped("sidecar.yaml").unwrap();
        deliver(mesh, &http, HTTP).await;
        assert_eq!(status(mesh, FRONTEND, &AS_HTTP).await, Some(200));
        assert_eq!(status(mesh, BATCH, &AS_HTTP).await, Some(403));
        // The same request, and the application answers it: the page warns of it.
        assert_eq!(status(mesh, BATCH, &AS_TCP).await, Some(200));

        let mut every = documented("every-port.yaml").unwrap();
        every["spec"]["url"] = json!(mesh.web.url());
        deliver(mesh, &every, TCP).await;
        for alpn in [&AS_HTTP[..], &AS_TCP] {
            assert_eq!(status(mesh, FRONTEND, alpn).await, Some(200), "{alpn:?}");
            assert_eq!(status(mesh, BATCH, alpn).await, None, "{alpn:?}");
        }
        // Where Istio takes plaintext too, it hands on TLS of anybody who does not say that he is one of its sidecars.
        // Without a server's name in its hello it may be either, and is told as passthrough where neither may come in.
        assert_eq!(status(mesh, FRONTEND, &["http/1.1"]).await, None);
        let nameless = mesh.caller(Some(FRONTEND)).unwrap();
        nameless.http1(&READ).await.unwrap_err();
        assert_eq!(mesh.web.asked(), 1);
        let metrics = mesh.sidecar.metrics().await.unwrap();
        for (source, times) in [("east", 2), ("passthrough", 2)] {
            let line = format!(
                r#"crossmesh_connections_total{{source_mesh="{source}",destination_mesh="west",verdict="DENY"}} {times}"#
            );
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn where_the_module_cannot_be_had_the_agent_denies_or_allows_everything() {
    Mesh::run(&CATALOG, async |mesh| {
        let objects = &mesh.cluster.objects;
        for (strategy, instead, wanted) in [
            ("FAIL_RELOAD", "wasm-default-deny", 403),
            ("FAIL_OPEN", "wasm-default-allow", 200),
            ("FAIL_CLOSE", "wasm-default-deny", 403),
        ] {
            let mut resource = mesh.shipped("sidecar.yaml").unwrap();
            resource["spec"]["failStrategy"] = json!(strategy);
            // Of some other module.
            resource["spec"]["sha256"] = json!("0".repeat(64));
            objects.apply(&resource).await.unwrap();
            let replaced = async || {
                let dump = mesh.sidecar.config_dump().await.ok()?;
                let found = extension(&dump, HTTP)?["rules_stat_prefix"].as_str()?;
                (found == instead && listens_with(&dump, HTTP)).then_some(())
            };
            let what = format!("{strategy} had its effect");
            mesh.sidecar.until(&what, replaced).await.unwrap();
            for id in [FRONTEND, BATCH] {
                let status = status(mesh, id, &["istio-http/1.1"]).await;
                assert_eq!(status, Some(wanted), "{strategy} {id}");
            }
        }
        let log = mesh.sidecar.log();
        let why = "cannot fetch Wasm module";
        assert!(
            log.contains(why) && log.contains("applying deny RBAC filter"),
            "{log}"
        );
        // The module that there is.
        deliver(mesh, &mesh.shipped("sidecar.yaml").unwrap(), HTTP).await;
        assert_eq!(status(mesh, FRONTEND, &["istio-http/1.1"]).await, Some(200));
    })
    .await
    .unwrap();
}
