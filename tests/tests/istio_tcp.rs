//! The filter on TCP as Istio delivers it, to a server that speaks first.
#![cfg(test)]

use crossmesh_e2e::istio::mesh::{Mesh, ORDERS_DB};
use crossmesh_e2e::roles::tcp::GREETING;
use serde_json::{Value, json};

const REPLICA: &str = "spiffe://foo.com/ns/data/sa/orders-replica";
const OTHER: &str = "spiffe://foo.com/ns/data/sa/other";

/// The TCP proxies of the port's filter chains, as Envoy has them.
async fn tcp_proxies(mesh: &Mesh) -> Option<Vec<Value>> {
    let dump = mesh
        .sidecar
        .get("config_dump?resource=dynamic_listeners")
        .await
        .ok()?;
    let dump: Value = serde_json::from_str(&dump).ok()?;
    let mut found = Vec::new();
    for listener in dump["configs"].as_array()? {
        let chains = listener["active_state"]["listener"]["filter_chains"].as_array();
        for chain in chains.into_iter().flatten() {
            if chain["filter_chain_match"]["destination_port"] == ORDERS_DB.port {
                let filters = chain["filters"].as_array()?.iter();
                let mut proxies =
                    filters.filter(|filter| filter["name"] == "envoy.filters.network.tcp_proxy");
                found.push(proxies.next()?["typed_config"].clone());
            }
        }
    }
    Some(found)
}

/// Mutual TLS is off for the workload.
fn in_plaintext() -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "in-plaintext", "namespace": ORDERS_DB.namespace},
        "spec": {"mtls": {"mode": "DISABLE"}},
    })
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_by_whom_the_policy_admits() {
    Mesh::run(&ORDERS_DB, async |mesh| {
        let objects = &mesh.cluster.objects;
        let before = tcp_proxies(mesh).await.unwrap();
        assert!(!before.is_empty());
        let server_first = mesh.shipped("server-first.yaml").unwrap();
        objects.apply(&server_first).await.unwrap();
        // What Istio had written stays, and in every chain of the port there is what the patch says.
        let mut wanted = before;
        let patch = &server_first["spec"]["configPatches"][0]["patch"]["value"]["typed_config"];
        for proxy in &mut wanted {
            for field in ["upstream_connect_mode", "max_early_data_bytes"] {
                assert_eq!(proxy.get(field), None);
                proxy[field] = patch[field].clone();
            }
        }
        let merged = async || (tcp_proxies(mesh).await? == wanted).then_some(());
        mesh.sidecar
            .until("the patch was merged", merged)
            .await
            .unwrap();

        let mut tcp = mesh.shipped("tcp.yaml").unwrap();
        let name = "data.crossmesh-tcp~istio-translated-wasmplugin";
        objects.apply(&tcp).await.unwrap();
        let policy = &tcp["spec"]["pluginConfig"];
        mesh.sidecar.until_it_runs(name, policy).await.unwrap();
        let greeting = async |id| {
            let caller = mesh.caller(id).unwrap();
            caller.greeted(GREETING.len()).await.unwrap()
        };
        assert_eq!(greeting(Some(REPLICA)).await, GREETING);
        assert_eq!(greeting(Some(OTHER)).await, "");
        let metrics = mesh.sidecar.metrics().await.unwrap();
        for verdict in ["ALLOW", "DENY"] {
            let line = format!(
                r#"crossmesh_connections_total{{source_mesh="east",destination_mesh="west",verdict="{verdict}"}} 1"#
            );
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }

        // Where there is no TLS, there is no handshake to wait for. (Where Istio takes both, PERMISSIVE, its own look at the first
        // bytes waits for a client in plaintext to speak first, whatever filters there are.)
        objects.apply(&in_plaintext()).await.unwrap();
        tcp["spec"]["pluginConfig"]["defaults"]["plaintext"] = json!("ALLOW");
        objects.apply(&tcp).await.unwrap();
        let policy = &tcp["spec"]["pluginConfig"];
        mesh.sidecar.until_it_runs(name, policy).await.unwrap();
        let plain = async || {
            let proxies = tcp_proxies(mesh).await?;
            (proxies.len() < wanted.len()).then_some(proxies)
        };
        let proxies = mesh.sidecar.until("TLS was gone", plain).await.unwrap();
        assert_eq!(proxies, wanted[..proxies.len()]);
        assert_eq!(greeting(None).await, GREETING);
    })
    .await
    .unwrap();
}
