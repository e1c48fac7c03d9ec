//! The chart: real helm renders it, a real API server accepts it, and the agent runs with its account's rights and uses all
//! of them.
#![cfg(test)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossmesh_e2e::admin;
use crossmesh_e2e::agent::Agent;
use crossmesh_e2e::command::Command;
use crossmesh_e2e::kubernetes::account::Account;
use crossmesh_e2e::kubernetes::api_server::{self, ApiServer};
use crossmesh_e2e::kubernetes::chart::{self, NAME, NAMESPACE};
use crossmesh_e2e::kubernetes::clusters::{Clusters, WEST};
use crossmesh_e2e::kubernetes::door::Door;
use crossmesh_e2e::kubernetes::objects::{Objects, Service, namespace, remote_secret};
use crossmesh_e2e::names::{CATALOG, REVIEWS};
use crossmesh_e2e::process::PATIENCE;
use crossmesh_e2e::tools::workspace;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// Between two looks at something that takes its time.
const PAUSE: Duration = Duration::from_millis(50);

/// The values that the chart brings as examples.
fn examples() -> Vec<PathBuf> {
    let folder = chart::folder().unwrap().join("examples");
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// Values of its own.
fn values(folder: &TempDir, values: &Value) -> PathBuf {
    let file = folder.path().join("values.json");
    fs::write(&file, values.to_string()).unwrap();
    file
}

fn least() -> Value {
    json!({
        "image": {"repository": "registry.example.com/dns-agent"},
        "cluster": {"id": "cluster-1", "mesh": "east"},
        "upstreams": {"clusterZone": ["10.96.0.11"]},
    })
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    let kinds = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap());
    kinds.collect()
}

#[tokio::test]
async fn every_example_is_clean_and_its_configuration_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
    fs::write(at("cluster-2.kubeconfig"), "").unwrap();
    for example in examples() {
        chart::lint(&example).await.unwrap();
        let objects = chart::objects(&example, &[]).await.unwrap();
        // What is on a node, here is in a folder.
        let config = chart::config(&objects).unwrap();
        let config = config
            .replace("/etc/resolv.conf", &at("resolv.conf"))
            .replace("/etc/crossmesh-peers", &folder.path().display().to_string());
        fs::write(at("dns.yaml"), config).unwrap();
        let check = Command::dns_agent().unwrap();
        let check = check.args(["--check", "--config", &at("dns.yaml")]);
        check.output().await.unwrap();
    }
}

#[tokio::test]
async fn values_that_cannot_work_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |pointer: &str, value: Value, named: &str| {
        let mut all = least();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = parent.trim_start_matches('/');
        let parent = if parent.is_empty() {
            &mut all
        } else {
            &mut all[parent]
        };
        parent[field] = value;
        let said = chart::template(&values(&folder, &all), &[]).await.unwrap();
        assert_ne!(said.code, Some(0), "{pointer}: {}", said.stdout);
        assert!(said.stderr.contains(named), "{pointer}: {}", said.stderr);
    };
    refused("/image/repository", json!(""), "/image/repository").await;
    refused("/cluster/id", json!(""), "/cluster/id").await;
    refused("/cluster/range", json!([]), "'range' not allowed").await;
    refused(
        "/upstreams/clusterZone",
        json!([]),
        "/upstreams/clusterZone",
    )
    .await;
    refused("/listen/port", json!(0), "/listen/port").await;
    refused("/config/listen", json!(["127.0.0.1:53"]), "/config/listen").await;
    refused(
        "/interface/name",
        json!("longer-than-linux"),
        "/interface/name",
    )
    .await;
    refused("/interface/name", json!("of more"), "/interface/name").await;
    refused("/snapshots", json!({}), "'snapshots' not allowed").await;
    // Nobody without root can write to a folder that is made for root.
    let mut all = least();
    all["listen"] = json!({"port": 5353});
    let said = chart::template(&values(&folder, &all), &[]).await.unwrap();
    assert!(
        said.stderr.contains("snapshot.ownedByAgent"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn an_agent_has_only_the_powers_that_its_port_and_interface_need() {
    let folder = tempfile::tempdir().unwrap();
    let pod = async |port: u16, interface: &str| {
        let mut all = least();
        all["listen"] = json!({"port": port});
        all["interface"] = json!({"name": interface});
        all["snapshot"] = json!({"enabled": false});
        let objects = chart::objects(&values(&folder, &all), &[]).await.unwrap();
        let set = objects.iter().find(|object| object["kind"] == "DaemonSet");
        set.unwrap()["spec"]["template"]["spec"].clone()
    };
    let check = async |port: u16, interface: &str, added: Option<&[&str]>| {
        let pod = pod(port, interface).await;
        let container = &pod["containers"][0];
        let context = &container["securityContext"];
        let mut capabilities = json!({"drop": ["ALL"]});
        if let Some(added) = added {
            capabilities["add"] = json!(added);
        }
        assert_eq!(context["capabilities"], capabilities);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        let no_root = pod["securityContext"]["runAsNonRoot"] == true;
        assert_eq!(no_root, added.is_none());
        // A port in the list would be a port of the node, and no second agent could join beside the first.
        assert_eq!(container["ports"], Value::Null);
    };
    check(53, "", Some(&["NET_BIND_SERVICE"])).await;
    check(
        53,
        "crossmesh-dns",
        Some(&["NET_BIND_SERVICE", "NET_ADMIN"]),
    )
    .await;
    check(5353, "crossmesh-dns", Some(&["NET_ADMIN"])).await;
    check(5353, "", None).await;
}

#[tokio::test]
async fn a_changed_configuration_rolls_the_agents_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    // A map that never changes: agents that are running, and their probes, keep what they began with.
    let mounted = async |all: &Value| {
        let objects = chart::objects(&values(&folder, all), &[]).await.unwrap();
        let of = |kind: &str| {
            objects
                .iter()
                .find(|object| object["kind"] == kind)
                .unwrap()
        };
        let volumes = of("DaemonSet")["spec"]["template"]["spec"]["volumes"].as_array();
        let name = volumes
            .unwrap()
            .iter()
            .find_map(|volume| volume["configMap"]["name"].as_str());
        assert_eq!(of("ConfigMap")["metadata"]["name"].as_str(), name);
        assert_eq!(of("ConfigMap")["immutable"], json!(true));
        name.unwrap().to_owned()
    };
    let mut all = least();
    let before = mounted(&all).await;
    all["rbac"] = json!({"nodes": true});
    assert_eq!(mounted(&all).await, before);
    all["config"] = json!({"ttl": 7});
    assert_ne!(mounted(&all).await, before);
}

#[tokio::test]
async fn a_pod_monitor_is_made_where_the_cluster_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let values = values(&folder, &least());
    let without = chart::objects(&values, &[]).await.unwrap();
    assert!(!kinds(&without).contains(&"PodMonitor"));
    let known = ["--api-versions", "monitoring.coreos.com/v1/PodMonitor"];
    let with = chart::objects(&values, &known).await.unwrap();
    assert!(kinds(&with).contains(&"PodMonitor"));
}

/// As much of a definition as makes the API server check the fields that are used here.
async fn define(objects: &Objects, group: &str, kind: &str, spec: Value) {
    let plural = format!("{}s", kind.to_lowercase());
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    objects.apply(&definition).await.unwrap();
}

async fn define_gateways(objects: &Objects) {
    let text = json!({"type": "string"});
    let address = json!({"type": "object", "properties": {"type": text, "value": text}});
    let tls = json!({"type": "object", "properties": {"mode": text}});
    let listener = json!({"type": "object", "properties": {
        "name": text, "protocol": text, "port": {"type": "integer"}, "tls": tls,
    }});
    let spec = json!({"type": "object", "properties": {
        "gatewayClassName": text,
        "addresses": {"type": "array", "items": address},
        "listeners": {"type": "array", "items": listener},
    }});
    define(objects, "gateway.networking.k8s.io", "Gateway", spec).await;
}

/// As Prometheus' operator 0.79 has them.
async fn define_pod_monitors(objects: &Objects) {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let relabeling = json!({"type": "object", "properties": {
        "sourceLabels": texts, "regex": text, "targetLabel": text, "replacement": text,
    }});
    let endpoint = json!({"type": "object", "properties": {
        "path": text, "interval": text, "relabelings": {"type": "array", "items": relabeling},
    }});
    let labels = json!({"type": "object", "additionalProperties": text});
    let spec = json!({"type": "object", "required": ["podMetricsEndpoints"], "properties": {
        "selector": {"type": "object", "properties": {"matchLabels": labels}},
        "namespaceSelector": {"type": "object", "properties": {"matchNames": texts}},
        "podMetricsEndpoints": {"type": "array", "items": endpoint},
    }});
    define(objects, "monitoring.coreos.com", "PodMonitor", spec).await;
}

/// Applies everything; an object whose kind was defined a moment ago is tried until it is served.
async fn apply(objects: &Objects, all: &[Value]) {
    let deadline = Instant::now() + PATIENCE;
    for object in all {
        loop {
            match objects.apply(object).await {
                Ok(_) => break,
                Err(error) => {
                    let error = format!("{error:#}");
                    let served = !error.contains("404") && !error.contains("could not find");
                    assert!(!served && Instant::now() < deadline, "{error}");
                }
            }
            sleep(PAUSE).await;
        }
    }
}

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

/// A gateway of the west at its one node, and one that is a Gateway object.
async fn more_gateways(west: &Objects, node: SocketAddr, object: IpAddr) {
    let address = json!({"type": "ExternalIP", "address": node.ip()});
    let metadata = json!({"name": "edge", "labels": {"pool": "edge"}});
    let machine = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
    west.apply(&machine).await.unwrap();
    let status = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge"}, "status": {"addresses": [address]},
    });
    west.apply_status(&status).await.unwrap();
    let at_nodes = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "eastwest-nodes",
            "namespace": "istio-system",
            "labels": {"topology.istio.io/network": "network-2"},
            "annotations": {"traffic.istio.io/nodeSelector": "{\"pool\": \"edge\"}"},
        },
        "spec": {"type": "NodePort", "ports": [{"name": "tls", "port": 15443, "nodePort": node.port()}]},
    });
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
            "addresses": [{"type": "IPAddress", "value": object}],
            "listeners": [{"name": "tls", "port": 15443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}],
        },
    });
    apply(west, &[at_nodes, gateway]).await;
}

/// The token of an account of a manifest, and all of its rights.
async fn rights(api: &ApiServer, name: &str, namespaces: &[&str]) -> (Account, String) {
    let account = api.account(NAMESPACE, name).await.unwrap();
    let rights = account.rights(namespaces).await.unwrap();
    (account, told(rights.iter()))
}

fn told(rights: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let rights: Vec<String> = rights.map(|right| right.to_string()).collect();
    rights.join("\n")
}

#[tokio::test]
async fn the_accounts_of_chart_and_peer_have_the_rights_that_the_agent_uses_and_no_other() {
    let clusters = Clusters::start().await.unwrap();
    let (east, west) = (&clusters.east, &clusters.west);
    for objects in [&east.objects, &west.objects] {
        define_gateways(objects).await;
        objects
            .apply(&namespace(NAMESPACE, &json!({})))
            .await
            .unwrap();
    }
    define_pod_monitors(&east.objects).await;
    let local = east.objects.create_service(&SERVICES[1]).await.unwrap();
    for service in SERVICES {
        west.objects.create_service(&service).await.unwrap();
    }

    // All examples are good objects.
    for example in examples() {
        let known = ["--api-versions", "monitoring.coreos.com/v1/PodMonitor"];
        let objects = chart::objects(&example, &known).await.unwrap();
        apply(&east.objects, &objects).await;
    }
    // So is what the page shows.
    let shown = blocks();
    let shown: Vec<Value> = shown
        .into_iter()
        .filter(|block| block["kind"].is_string())
        .collect();
    apply(&east.objects, &shown).await;
    for secret in shown {
        east.objects.delete(&secret).await.unwrap();
    }
    // That the API server judges at all:
    let wrong = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "wrong", "namespace": NAMESPACE},
        "spec": {"surge": 1},
    });
    east.objects.apply(&wrong).await.unwrap_err();

    // The west as its operators set it up for us.
    let reader = chart::folder().unwrap().join("peer/reader.yaml");
    let reader = chart::documents(&fs::read_to_string(reader).unwrap()).unwrap();
    apply(&west.objects, &reader).await;
    let node = SocketAddr::new(clusters.other(22), 31443);
    let object = SocketAddr::new(clusters.other(23), 15443);
    let _doors = [node, object].map(|at| Door::open(at).unwrap());
    more_gateways(&west.objects, node, object.ip()).await;
    let (reader, granted_west) = rights(&west.api, "crossmesh-reader", &[]).await;

    // The east as the chart sets it up.
    let folder = tempfile::tempdir().unwrap();
    let listen = json!({"addresses": [clusters.other(1)], "port": clusters.free_port().unwrap()});
    let all = json!({
        "image": {"repository": "registry.example.com/dns-agent"},
        "cluster": {"id": "cluster-1", "mesh": "east", "network": "network-1"},
        "listen": listen,
        "admin": {"address": clusters.other(1), "port": clusters.free_port().unwrap()},
        "remoteSecrets": {"clusters": [{"cluster": WEST, "mesh": "west", "import": {"namespaces": ["shop"]}}]},
        "snapshot": {"enabled": false},
        "upstreams": {
            "resolvConf": null,
            "servers": [clusters.dns.address().to_string()],
            "clusterZone": [clusters.dns.address().to_string()],
        },
        "config": {"gatewayProbe": {"interval": "100ms", "timeout": "90ms"}},
    });
    let objects = chart::objects(&values(&folder, &all), &[]).await.unwrap();
    apply(&east.objects, &objects).await;
    let mut secret = remote_secret(WEST, reader.kubeconfig());
    secret["metadata"]["namespace"] = NAMESPACE.into();
    east.objects.apply(&secret).await.unwrap();
    let (account, granted_east) =
        rights(&east.api, NAME, &[NAMESPACE, "istio-system", "shop"]).await;

    // The configuration is the chart's, unchanged.
    let config = chart::config(&objects).unwrap();
    let agent = folder.path().join("agent");
    let mut agent = Agent::launch_in_pod(&agent, &config, &account)
        .await
        .unwrap();
    agent.until_ready().await.unwrap();
    agent.until_answers(REVIEWS, &[local]).await.unwrap();
    agent
        .until_answers_all(CATALOG, &[clusters.gateway(), node.ip(), object.ip()])
        .await
        .unwrap();
    // A kind that was defined a moment ago is refused for a while, of which the page tells.
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

    // And what is not granted is refused.
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
        sleep(PAUSE).await;
    }
}

/// The `yaml` blocks of docs/deploy.md.
fn blocks() -> Vec<Value> {
    let page = fs::read_to_string(workspace().unwrap().join("docs/deploy.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<Value> = blocks
        .flat_map(|block| chart::documents(block).unwrap())
        .collect();
    assert!(blocks.len() >= 3, "{blocks:?}");
    blocks
}

#[tokio::test]
async fn what_the_page_shows_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let is_object = |block: &&Value| block["kind"].is_string();
    let blocks = blocks();
    for shown in blocks.iter().filter(|block| !is_object(block)) {
        chart::lint(&values(&folder, shown)).await.unwrap();
        chart::objects(&values(&folder, shown), &[]).await.unwrap();
    }
    let page = fs::read_to_string(workspace().unwrap().join("docs/deploy.md")).unwrap();
    for example in examples() {
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(
            page.contains(name),
            "docs/deploy.md does not tell of {name}"
        );
    }
}
