//! Names of the cluster set, from two real API servers that get the Multi-Cluster Services API (KEP-1645) while the agent runs;
//! and what search lists make of outside names, of which the cluster's own DNS hears nothing.
#![cfg(test)]

use crossmesh_e2e::dns::Client;
use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE};
use crossmesh_e2e::kubernetes::definition::{self, CLUSTER_SET};
use crossmesh_e2e::kubernetes::objects::Service;
use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};

const CATALOG: Service<'_> = Service {
    namespace: "shop",
    name: "catalog",
    port_name: "http",
    port: 8080,
};

fn object(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{CLUSTER_SET}/v1alpha1"),
        "kind": kind,
        "metadata": {"name": "catalog", "namespace": "shop"},
        "spec": spec,
    })
}

#[tokio::test]
async fn the_cluster_set_follows_exports_and_imports_of_an_api_that_came_later() {
    let clusters = Clusters::start().await.unwrap();
    let (east, west) = (&clusters.east.objects, &clusters.west.objects);
    west.create_service(&CATALOG).await.unwrap();
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let agent = clusters.start_agent().await.unwrap();
    let name = "catalog.shop.svc.clusterset.local";
    agent
        .until_answers("catalog.shop.svc.cluster.local", &[clusters.gateway()])
        .await
        .unwrap();

    // What a search list makes of an outside name ends here; what may exist does not.
    let mut client = Client::of(agent.dns()).await.unwrap();
    for domain in [
        "shop.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
    ] {
        let answer = client.ask(&format!("{OUTSIDE}.{domain}")).await.unwrap();
        assert_eq!(answer.code, ResponseCode::NXDomain, "{domain}");
    }
    let unknown = client.ask(name).await.unwrap();
    assert!(unknown.addresses.is_empty(), "{unknown:?}");

    let [exports, imports] = definition::cluster_set();
    west.apply(&exports).await.unwrap();
    west.apply_when_served(&object("ServiceExport", &json!({})))
        .await
        .unwrap();
    agent
        .until_answers(name, &[clusters.gateway()])
        .await
        .unwrap();
    agent
        .until_answers(&format!("cluster-2.{name}"), &[clusters.gateway()])
        .await
        .unwrap();

    east.apply(&imports).await.unwrap();
    let import = json!({"type": "ClusterSetIP", "ips": ["10.96.200.1"], "ports": [{"port": 8080}]});
    let import = object("ServiceImport", &import);
    east.apply_when_served(&import).await.unwrap();
    agent
        .until_answers(name, &["10.96.200.1".parse().unwrap()])
        .await
        .unwrap();
    east.delete(&import).await.unwrap();
    agent
        .until_answers(name, &[clusters.gateway()])
        .await
        .unwrap();
}
