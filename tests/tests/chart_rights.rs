//! The rights that chart and peer's manifest grant: the agent runs with exactly these accounts against real API servers that
//! write down every request, and what it used is what is granted, no more and no less.
#![cfg(test)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crossmesh_e2e::admin;
use crossmesh_e2e::agent::Agent;
use crossmesh_e2e::kubernetes::account::Account;
use crossmesh_e2e::kubernetes::api_server::{self, ApiServer};
use crossmesh_e2e::kubernetes::chart::{self, NAME, NAMESPACE};
use crossmesh_e2e::kubernetes::clusters::{Clusters, WEST};
use crossmesh_e2e::kubernetes::definition::{self, CLUSTER_SET};
use crossmesh_e2e::kubernetes::door::Door;
use crossmesh_e2e::kubernetes::objects::{Objects, Service, namespace, remote_secret};
use crossmesh_e2e::names::{CATALOG, REVIEWS};
use crossmesh_e2e::process::PATIENCE;
use serde_json::{Value, json};
use tokio::time::sleep;

/// The agent's node.
const NODE: &str = "node-1";

/// Only the second of the two is in both clusters.
const SERVICES: [Service<'_>; 2] = [service("catalog"), service("reviews")];

const fn service(name: &'static str) -> Service<'static> {
    Service {
        namespace: "shop",
        name,
        port_name: "http",
        port: 8080,
    }
}

/// What is granted besides.
#[derive(Clone, Copy, Debug, Default)]
struct Besides {
    /// `topology`.
    topology: bool,
    /// `rbac.clusterSet`, and the peer's rule for the same.
    cluster_set: bool,
    /// `rbac.nodes`.
    nodes: bool,
}

/// A node that can be reached from outside, in a zone.
async fn add_node(objects: &Objects, name: &str, address: IpAddr) {
    let labels = json!({
        "pool": "edge", "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-a",
    });
    let metadata = json!({"name": name, "labels": labels});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
    objects.apply(&node).await.unwrap();
    let addresses = json!([{"type": "ExternalIP", "address": address}]);
    let status = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses},
    });
    objects.apply_status(&status).await.unwrap();
}

/// A gateway at the nodes of the pool.
async fn add_gateway_at_nodes(objects: &Objects, network: &str, port: u16) {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "eastwest-nodes",
            "namespace": "istio-system",
            "labels": {"topology.istio.io/network": network},
            "annotations": {"traffic.istio.io/nodeSelector": "{\"pool\": \"edge\"}"},
        },
        "spec": {"type": "NodePort", "ports": [{"name": "tls", "port": 15443, "nodePort": port}]},
    });
    objects.apply(&service).await.unwrap();
}

/// A gateway that is a Gateway object.
async fn add_gateway_object(objects: &Objects, address: IpAddr) {
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {
            "name": "eastwest",
            "namespace": "istio-system",
            "labels": {"topology.istio.io/network": "network-2"},
        },
        "spec": {
            "gatewayClassName": "istio",
            "addresses": [{"type": "IPAddress", "value": address}],
            "listeners": [{"name": "tls", "port": 15443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}],
        },
    });
    objects.apply_when_served(&gateway).await.unwrap();
}

/// The peer's manifest; its rule for the cluster set is one that its operators write.
fn reader(cluster_set: bool) -> Vec<Value> {
    const RULE: &str = "# - {apiGroups: [multicluster.x-k8s.io]";
    let file = chart::folder().unwrap().join("peer/reader.yaml");
    let mut text = fs::read_to_string(file).unwrap();
    assert!(text.contains(RULE), "{text}");
    if cluster_set {
        text = text.replace(RULE, RULE.trim_start_matches("# "));
    }
    chart::documents(&text).unwrap()
}

/// The token of an account of a manifest, and all of its rights.
async fn rights(api: &ApiServer, name: &str, namespaces: &[&str]) -> (Account, String) {
    let account = api.account(NAMESPACE, name).await.unwrap();
    let rights = account.rights(namespaces).await.unwrap();
    (account, told(rights.iter()))
}

/// A right cannot be limited to the node that each agent is on.
fn told(rights: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let rights = rights.map(|right| right.to_string().replace(&format!("nodes/{NODE}"), "nodes"));
    let mut rights: Vec<String> = rights.collect();
    rights.dedup();
    rights.join("\n")
}

/// Waits until something is exactly as wanted.
async fn eventually(what: &str, wanted: &str, found: impl AsyncFn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = found().await;
        if found == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}:\n{found}\nand should be:\n{wanted}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Runs the agent of the chart with these values besides, and compares what it used with what it was granted. The fields of
/// what comes back are in the order in which they are to end.
async fn prove(besides: Besides) -> (Agent, Account, Clusters) {
    let clusters = Clusters::start().await.unwrap();
    let (east, west) = (&clusters.east, &clusters.west);
    for objects in [&east.objects, &west.objects] {
        objects.apply(&definition::gateways()).await.unwrap();
        let home = namespace(NAMESPACE, &json!({}));
        objects.apply(&home).await.unwrap();
        if besides.cluster_set {
            for definition in definition::cluster_set() {
                objects.apply(&definition).await.unwrap();
            }
        }
    }
    let local = east.objects.create_service(&SERVICES[1]).await.unwrap();
    for service in SERVICES {
        west.objects.create_service(&service).await.unwrap();
    }

    // The west as its operators set it up for us.
    for object in reader(besides.cluster_set) {
        west.objects.apply(&object).await.unwrap();
    }
    let node = SocketAddr::new(clusters.other(22), 31443);
    let object = SocketAddr::new(clusters.other(23), 15443);
    let _doors = [node, object].map(|at| Door::open(at).unwrap());
    add_node(&west.objects, "edge", node.ip()).await;
    add_gateway_at_nodes(&west.objects, "network-2", node.port()).await;
    add_gateway_object(&west.objects, object.ip()).await;
    if besides.cluster_set {
        let export = json!({
            "apiVersion": format!("{CLUSTER_SET}/v1alpha1"), "kind": "ServiceExport",
            "metadata": {"name": "catalog", "namespace": "shop"},
        });
        west.objects.apply_when_served(&export).await.unwrap();
    }
    let (reader, granted_west) = rights(&west.api, "crossmesh-reader", &[]).await;

    // The east as the chart sets it up.
    add_node(&east.objects, NODE, clusters.other(24)).await;
    if besides.nodes {
        add_gateway_at_nodes(&east.objects, "network-1", 31443).await;
    }
    let listen = json!({"addresses": [clusters.other(1)], "port": clusters.free_port().unwrap()});
    let dns = clusters.dns.address().to_string();
    let all = json!({
        "image": {"repository": "registry.example.com/dns-agent"},
        "cluster": {"id": "cluster-1", "mesh": "east", "network": "network-1"},
        "listen": listen,
        "admin": {"address": clusters.other(1), "port": clusters.free_port().unwrap()},
        "topology": besides.topology,
        "rbac": {"clusterSet": besides.cluster_set, "nodes": besides.nodes},
        "remoteSecrets": {"clusters": [{"cluster": WEST, "mesh": "west", "import": {"namespaces": ["shop"]}}]},
        "snapshot": {"enabled": false},
        "upstreams": {"resolvConf": null, "servers": [dns], "clusterZone": [dns]},
        "config": {"gatewayProbe": {"interval": "100ms", "timeout": "90ms"}},
    });
    let values = chart::write_values(clusters.folder(), &all).unwrap();
    let objects = chart::objects(&values, &[]).await.unwrap();
    for object in &objects {
        east.objects.apply(object).await.unwrap();
    }
    let mut secret = remote_secret(WEST, reader.kubeconfig());
    secret["metadata"]["namespace"] = NAMESPACE.into();
    east.objects.apply(&secret).await.unwrap();
    let (account, granted_east) =
        rights(&east.api, NAME, &[NAMESPACE, "istio-system", "shop"]).await;

    // The configuration and the arguments are the chart's, unchanged.
    let config = chart::config(&objects).unwrap();
    let arguments = chart::arguments(&objects, NODE).unwrap();
    let folder = clusters.folder().join("agent");
    let mut agent = Agent::launch_in_pod(&folder, &config, &account, &arguments)
        .await
        .unwrap();
    agent.until_ready().await.unwrap();
    agent.until_answers(REVIEWS, &[local]).await.unwrap();
    // The gateway at the node says by it where it is, and so do the agents, where they know it.
    let nearest = [node.ip()];
    let all = [clusters.gateway(), node.ip(), object.ip()];
    let gateways = if besides.topology { &nearest[..] } else { &all };
    agent.until_answers_all(CATALOG, gateways).await.unwrap();
    if besides.cluster_set {
        let name = "catalog.shop.svc.clusterset.local";
        agent.until_answers_all(name, gateways).await.unwrap();
    }
    // Nothing is lacking.
    let ready = format!("ready\ncatalog cluster-1: synced\ncatalog {WEST}: synced\n");
    eventually("/readyz", &ready, async || {
        admin::get(agent.admin(), "/readyz").await.unwrap()
    })
    .await;

    // Watches are written down a moment after they began.
    let used = async || told(east.api.used_by(&account).unwrap().iter());
    eventually("used of what the chart grants", &granted_east, used).await;
    let used = async || told(west.api.used_by(&reader).unwrap().iter());
    eventually("used of what the peer grants", &granted_west, used).await;
    (agent, account, clusters)
}

#[tokio::test]
async fn the_accounts_of_chart_and_peer_have_the_rights_that_the_agent_uses_and_no_other() {
    let (_agent, account, _clusters) = prove(Besides::default()).await;
    // What is not granted is refused.
    let objects = Objects::of(api_server::client(account.kubeconfig()).await.unwrap());
    for (object, what) in [
        (SERVICES[1].object(), "a service"),
        (namespace("mine", &json!({})), "a namespace"),
    ] {
        let refused = format!("{:#}", objects.apply(&object).await.unwrap_err());
        assert!(refused.contains("forbidden"), "{what}: {refused}");
    }
    for path in [
        "/api/v1/secrets",
        "/api/v1/namespaces/istio-system/secrets",
        "/api/v1/namespaces/istio-system/configmaps",
        "/api/v1/pods",
        "/api/v1/nodes",
    ] {
        let refused = format!("{:#}", objects.get(path).await.unwrap_err());
        assert!(refused.contains("forbidden"), "{path}: {refused}");
    }
}

#[tokio::test]
async fn with_topology_and_the_cluster_set_the_agent_uses_what_these_grant() {
    prove(Besides {
        topology: true,
        cluster_set: true,
        nodes: false,
    })
    .await;
}

#[tokio::test]
async fn with_gateways_at_its_own_nodes_the_agent_uses_the_right_to_them() {
    prove(Besides {
        nodes: true,
        ..Besides::default()
    })
    .await;
}
