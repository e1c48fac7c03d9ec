//! What a real API server makes of the chart's objects: it accepts them all, and their pods in namespaces that let them in.
#![cfg(test)]

use crossmesh_e2e::kubernetes::alone::Alone;
use crossmesh_e2e::kubernetes::chart::{self, NAMESPACE};
use crossmesh_e2e::kubernetes::definition;
use crossmesh_e2e::kubernetes::objects::{Objects, namespace};
use serde_json::{Value, json};

async fn apply(objects: &Objects, all: &[Value]) {
    for object in all {
        objects.apply_when_served(object).await.unwrap();
    }
}

#[tokio::test]
async fn an_api_server_takes_every_example_and_what_the_page_shows() {
    let cluster = Alone::start(&[NAMESPACE, "istio-system"]).await.unwrap();
    let objects = &cluster.objects;
    objects.apply(&definition::pod_monitors()).await.unwrap();
    for example in chart::examples().unwrap() {
        let known = ["--api-versions", "monitoring.coreos.com/v1/PodMonitor"];
        let release = chart::objects(&example, &known).await.unwrap();
        apply(objects, &release).await;
    }
    let mut shown = chart::documented().unwrap();
    shown.retain(|block| block["kind"].is_string());
    let kinds: Vec<&str> = shown
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["ResourceQuota", "Secret"]);
    apply(objects, &shown).await;
    // That the API server judges at all:
    let wrong = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "wrong", "namespace": NAMESPACE},
        "spec": {"surge": 1},
    });
    objects.apply(&wrong).await.unwrap_err();
}

/// The pod that the DaemonSet makes on one node.
async fn pod_in(
    objects: &Objects,
    example: &std::path::Path,
    namespace: &str,
) -> Result<(), String> {
    let release = chart::objects(example, &[]).await.unwrap();
    let mut pod = chart::pod(&release).unwrap().clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "agent".into();
    pod["metadata"]["namespace"] = namespace.into();
    let applied = objects.apply(&pod).await;
    applied.map(drop).map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn the_pods_need_the_level_privileged_and_no_less() {
    let cluster = Alone::start(&[]).await.unwrap();
    let objects = &cluster.objects;
    for level in ["baseline", "privileged"] {
        let labels = json!({"pod-security.kubernetes.io/enforce": level});
        objects.apply(&namespace(level, &labels)).await.unwrap();
    }
    for example in chart::examples().unwrap() {
        let refused = pod_in(objects, &example, "baseline").await.unwrap_err();
        assert!(
            refused.contains("violates PodSecurity \"baseline")
                && refused.contains("host namespaces"),
            "{}: {refused}",
            example.display()
        );
        pod_in(objects, &example, "privileged").await.unwrap();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "namespace": "privileged"}});
        objects.delete(&pod).await.unwrap();
    }
}
