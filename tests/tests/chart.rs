//! The chart, as the real helm renders it: what it takes, what it refuses, what it makes.
#![cfg(test)]

use std::fs;

use crossmesh_e2e::command::Command;
use crossmesh_e2e::kubernetes::chart;
use crossmesh_e2e::tools::workspace;
use serde_json::{Value, json};

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
    for example in chart::examples().unwrap() {
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
        let mut all = chart::least();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = parent.trim_start_matches('/');
        let parent = if parent.is_empty() {
            &mut all
        } else {
            &mut all[parent]
        };
        parent[field] = value;
        let said = chart::template(&chart::write_values(folder.path(), &all).unwrap(), &[])
            .await
            .unwrap();
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
    let mut all = chart::least();
    all["listen"] = json!({"port": 5353});
    let said = chart::template(&chart::write_values(folder.path(), &all).unwrap(), &[])
        .await
        .unwrap();
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
        let mut all = chart::least();
        all["listen"] = json!({"port": port});
        all["interface"] = json!({"name": interface});
        all["snapshot"] = json!({"enabled": false});
        let objects = chart::objects(&chart::write_values(folder.path(), &all).unwrap(), &[])
            .await
            .unwrap();
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
        let objects = chart::objects(&chart::write_values(folder.path(), all).unwrap(), &[])
            .await
            .unwrap();
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
    let mut all = chart::least();
    let before = mounted(&all).await;
    all["rbac"] = json!({"nodes": true});
    assert_eq!(mounted(&all).await, before);
    all["config"] = json!({"ttl": 7});
    assert_ne!(mounted(&all).await, before);
}

#[tokio::test]
async fn a_pod_monitor_is_made_where_the_cluster_knows_it_and_prometheus_reaches_the_agents() {
    let folder = tempfile::tempdir().unwrap();
    let known: &[&str] = &["--api-versions", "monitoring.coreos.com/v1/PodMonitor"];
    let render = async |mode: &str, address: &str, known: &[&str]| {
        let mut all = chart::least();
        all["podMonitor"] = json!({"mode": mode});
        all["admin"] = json!({"address": address});
        let values = chart::write_values(folder.path(), &all).unwrap();
        chart::template(&values, known).await.unwrap()
    };
    let made = async |mode: &str, address: &str, known: &[&str]| {
        let said = render(mode, address, known).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let objects = chart::documents(&said.stdout).unwrap();
        kinds(&objects).contains(&"PodMonitor")
    };
    for all in ["0.0.0.0", "::"] {
        assert!(made("auto", all, known).await);
        assert!(made("always", all, &[]).await);
        assert!(!made("auto", all, &[]).await);
        assert!(!made("never", all, known).await);
    }
    // Prometheus asks at the node's address, where nobody would answer.
    for one in ["127.0.0.1", "::1", "169.254.20.10"] {
        assert!(!made("auto", one, known).await);
        let said = render("always", one, known).await;
        assert_ne!(said.code, Some(0), "{}", said.stdout);
        assert!(said.stderr.contains("admin.address"), "{}", said.stderr);
    }
}

#[tokio::test]
async fn what_the_page_shows_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let is_object = |block: &&Value| block["kind"].is_string();
    let blocks = chart::documented().unwrap();
    for shown in blocks.iter().filter(|block| !is_object(block)) {
        chart::lint(&chart::write_values(folder.path(), shown).unwrap())
            .await
            .unwrap();
        chart::objects(&chart::write_values(folder.path(), shown).unwrap(), &[])
            .await
            .unwrap();
    }
    let page = fs::read_to_string(workspace().unwrap().join("docs/deploy.md")).unwrap();
    for example in chart::examples().unwrap() {
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(
            page.contains(name),
            "docs/deploy.md does not tell of {name}"
        );
    }
}
