//! Names of the cluster set, from two real API servers that get the Multi-Cluster Services API (KEP-1645) while the agent runs;
//! and what search lists make of outside names, of which the cluster's own DNS hears nothing.
#![cfg(test)]

use std::time::Instant;

use crossmesh_e2e::dns::Client;
use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE};
use crossmesh_e2e::kubernetes::objects::{Objects, Service};
use crossmesh_e2e::process::PATIENCE;
use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};

const CATALOG: Service<'_> = Service {
    namespace: "shop",
    name: "catalog",
    port_name: "http",
    port: 8080,
};

const GROUP: &str = "multicluster.x-k8s.io";

/// One of its resource definitions, as much of it as an API server needs.
fn definition(kind: &str) -> Value {
    let singular = kind.to_lowercase();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{singular}s.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "singular": singular, "plural": format!("{singular}s")},
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

fn object(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": kind,
        "metadata": {"name": "catalog", "namespace": "shop"},
        "spec": spec,
    })
}

/// A new resource takes a moment to be served.
async fn apply_when_served(objects: &Objects, object: &Value) {
    let begin = Instant::now();
    while let Err(error) = objects.apply(object).await {
        assert!(begin.elapsed() < PATIENCE, "{error:#}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
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

    west.apply(&definition("ServiceExport")).await.unwrap();
    apply_when_served(west, &object("ServiceExport", &json!({}))).await;
    agent
        .until_answers(name, &[clusters.gateway()])
        .await
        .unwrap();
    agent
        .until_answers(&format!("cluster-2.{name}"), &[clusters.gateway()])
        .await
        .unwrap();

    east.apply(&definition("ServiceImport")).await.unwrap();
    let import = json!({"type": "ClusterSetIP", "ips": ["10.96.200.1"], "ports": [{"port": 8080}]});
    let import = object("ServiceImport", &import);
    apply_when_served(east, &import).await;
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
