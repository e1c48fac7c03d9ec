//! What is kept on disk of clusters behind API servers: an agent that starts while they are away answers from it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;
use serde_json::json;

use crate::support::{
    agent::{Agent, EMPTY, Files, PATIENCE},
    api::{Api, EXPORTS, GATEWAYS, IMPORTS, NODES, SECRETS, SERVICES},
    message::{Draft, query},
    servers::nobody,
};

const GATEWAY: &str = "203.0.113.7";

/// A local cluster with reviews.shop, whose remote secret names a peer with catalog.shop behind a gateway.
struct World {
    local: Api,
    peer: Api,
    files: Files,
}

impl World {
    async fn new() -> Self {
        let (local, peer) = (Api::start(), Api::start());
        local.service("shop", "reviews", "10.1.0.9", "http");
        peer.service("shop", "catalog", "10.2.0.7", "http");
        peer.gateway("network-2", json!({"ip": GATEWAY}), 15443);
        local.secret("remote", &[("cluster-2", &peer.kubeconfig())]);
        let files = Files::bare(&format!(
            "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
             - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n  \
             - remoteSecrets: {{namespace: istio-system}}\n\
             gatewayProbe: {{enabled: false}}\n\
             snapshot: {{directory: kept, interval: 100ms}}\n\
             upstreams: {{servers: [\"{}\"]}}\n",
            nobody().await
        ));
        files.write("local.kubeconfig", &local.kubeconfig());
        Self { local, peer, files }
    }

    async fn agent(&self) -> Agent {
        Agent::start_in(&self.files).await
    }

    fn kept(&self, cluster: &str) -> PathBuf {
        self.files.path("kept").join(format!("{cluster}.snapshot"))
    }

    /// Runs an agent until it has kept both clusters.
    async fn keep(&self) {
        let agent = self.agent().await;
        agent.readyz_says("catalog cluster-1: synced").await;
        agent.readyz_says("catalog cluster-2: synced").await;
        agent.stop().await;
        assert!(self.kept("cluster-1").exists() && self.kept("cluster-2").exists());
    }
}

fn name(service: &str) -> Draft {
    query(&format!("{service}.svc.cluster.local"))
}

#[tokio::test]
async fn an_agent_that_starts_while_the_api_servers_are_away_answers_at_once() {
    let mut world = World::new().await;
    world.keep().await;
    world.local.kill();
    world.peer.kill();
    let agent = world.agent().await;
    // The first queries that it ever gets.
    assert_eq!(agent.answers(&name("reviews.shop")).await, ["10.1.0.9"]);
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    let (status, page) = agent.text("/readyz").await;
    assert_eq!(status, 200, "{page}");
    for cluster in ["cluster-1", "cluster-2"] {
        let line = page.lines().find(|line| line.contains(cluster)).unwrap();
        assert!(
            line.contains(": stale: ") && line.ends_with(" s ago)"),
            "{line}"
        );
        let restored = format!("crossmesh_dns_catalog_restored{{cluster=\"{cluster}\"}}");
        assert_eq!(agent.metric(&restored).await, Some(1.0));
    }
    // What changed meanwhile counts once it can be read.
    world.local.run();
    world.local.delete(SERVICES, "shop", "reviews");
    world.local.service("shop", "reviews", "10.1.0.10", "http");
    agent
        .eventually(&name("reviews.shop"), &["10.1.0.10"])
        .await;
    let restored = "crossmesh_dns_catalog_restored{cluster=\"cluster-1\"}";
    agent.metric_becomes(restored, 0.0).await;
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    world.peer.run();
    agent.readyz_says("catalog cluster-2: synced").await;
    agent.stop().await;
}

#[tokio::test]
async fn what_is_kept_and_cannot_be_listed_now_stays_in_use_through_restarts() {
    let world = World::new().await;
    world.peer.delete(SERVICES, "istio-system", "eastwest");
    let at_nodes = json!({
        "metadata": {
            "labels": {"topology.istio.io/network": "network-2"},
            "annotations": {"traffic.istio.io/nodeSelector": "{}"}
        },
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.9.9.9",
            "ports": [{"name": "tls", "port": 15443, "nodePort": 31443}]
        }
    });
    world.peer.put(SERVICES, "istio-system", "nodes", at_nodes);
    let addresses = json!([{"type": "ExternalIP", "address": "198.51.100.1"}]);
    let node = json!({"status": {"addresses": addresses}});
    world.peer.put(NODES, "", "one", node);
    world.peer.gateway_object(GATEWAY);
    for cluster in [&world.local, &world.peer] {
        cluster.offer_multicluster(true);
    }
    world.peer.put(EXPORTS, "shop", "catalog", json!({}));
    world.peer.service("shop", "imported", "10.2.0.30", "http");
    let spec =
        json!({"spec": {"type": "ClusterSetIP", "ips": ["10.1.9.1"], "ports": [{"port": 80}]}});
    world.local.put(IMPORTS, "shop", "imported", spec);
    let in_set = |service: &str| query(&format!("{service}.svc.clusterset.local"));
    let both = async |agent: &Agent| {
        let asking = async {
            loop {
                let mut found = agent.answers(&name("catalog.shop")).await;
                found.sort();
                if found == ["198.51.100.1", GATEWAY] {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap();
        agent
            .eventually(&in_set("imported.shop"), &["10.1.9.1"])
            .await;
        let mut found = agent.answers(&in_set("catalog.shop")).await;
        found.sort();
        assert_eq!(found, ["198.51.100.1", GATEWAY]);
    };
    reconfigure(
        &world.files,
        "gatewayProbe",
        "peerSyncTimeout: 2s\ngatewayProbe",
    );
    let agent = world.agent().await;
    both(&agent).await;
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.readyz_says("catalog cluster-2: synced\n").await;
    agent.stop().await;
    let codes = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::FORBIDDEN,
        StatusCode::INTERNAL_SERVER_ERROR,
    ];
    for (at, code) in codes.into_iter().enumerate() {
        for cluster in [&world.local, &world.peer] {
            for resource in [GATEWAYS, NODES, EXPORTS, IMPORTS] {
                cluster.refuse(resource, Some(code));
            }
        }
        let agent = world.agent().await;
        // What can be listed counts as it is now.
        let address = format!("10.1.0.{}", 20 + at);
        world.local.service("shop", "reviews", &address, "http");
        agent.eventually(&name("reviews.shop"), &[&address]).await;
        agent.readyz_says("catalog cluster-1: synced: ").await;
        agent.readyz_says("catalog cluster-2: synced: ").await;
        both(&agent).await;
        agent.stop().await;
    }
    for cluster in [&world.local, &world.peer] {
        for resource in [GATEWAYS, NODES, EXPORTS, IMPORTS] {
            cluster.refuse(resource, None);
        }
    }
    world.peer.delete(GATEWAYS, "istio-system", "eastwest");
    world.peer.delete(EXPORTS, "shop", "catalog");
    world.local.delete(IMPORTS, "shop", "imported");
    let agent = world.agent().await;
    agent
        .eventually(&name("catalog.shop"), &["198.51.100.1"])
        .await;
    agent.eventually(&in_set("catalog.shop"), &[]).await;
    agent.eventually(&in_set("imported.shop"), &[]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_peer_whose_secret_went_meanwhile_is_forgotten_with_what_was_kept() {
    let mut world = World::new().await;
    world.keep().await;
    world.local.kill();
    let agent = world.agent().await;
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    world.local.delete(SECRETS, "istio-system", "remote");
    world.local.run();
    agent.eventually(&name("catalog.shop"), &[]).await;
    until_exists(&world.kept("cluster-2"), false).await;
    assert!(!agent.text("/readyz").await.1.contains("cluster-2"));
    agent.stop().await;
}

#[tokio::test]
async fn what_is_kept_of_a_cluster_that_is_not_configured_any_more_is_removed() {
    let world = World::new().await;
    world.keep().await;
    let secrets = "  - remoteSecrets: {namespace: istio-system}\n";
    reconfigure(&world.files, secrets, "");
    // What an agent that was killed had begun to write.
    let abandoned = world
        .files
        .path("kept/cluster-2.snapshot.0123456789abcdef.new");
    let then = SystemTime::now() - Duration::from_secs(600);
    let file = fs::File::create(&abandoned).unwrap();
    file.set_modified(then).unwrap();
    let agent = world.agent().await;
    assert!(!abandoned.exists());
    assert!(!world.kept("cluster-2").exists() && world.kept("cluster-1").exists());
    assert!(!agent.text("/readyz").await.1.contains("cluster-2"));
    agent.stop().await;
}

/// Replaces a part of the configuration.
fn reconfigure(files: &Files, from: &str, to: &str) {
    let config = fs::read_to_string(files.path("dns.yaml")).unwrap();
    assert!(config.contains(from));
    files.write("dns.yaml", &config.replace(from, to));
}

/// Waits until a file is there, or is not.
async fn until_exists(file: &Path, there: bool) {
    let changed = async {
        while file.exists() != there {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
}

#[tokio::test]
async fn what_was_local_once_stays_so_through_restarts_as_long_as_the_configuration_says_it() {
    const RULE: &str = "remote: {rules: [{service: shop/reviews, failover: false}]}\n";
    let world = World::new().await;
    world.peer.service("shop", "reviews", "10.2.0.9", "http");
    reconfigure(&world.files, "gatewayProbe", &format!("{RULE}gatewayProbe"));
    let agent = world.agent().await;
    agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    world.local.delete(SERVICES, "shop", "reviews");
    agent.eventually(&name("reviews.shop"), &[]).await;
    agent.stop().await;
    // Once from the snapshot alone, then also from what the clusters say: neither has it here any more.
    for _ in 0..2 {
        let agent = world.agent().await;
        assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
        assert!(agent.answers(&name("reviews.shop")).await.is_empty());
        agent.readyz_says("catalog cluster-1: synced").await;
        agent.readyz_says("catalog cluster-2: synced").await;
        assert!(agent.answers(&name("reviews.shop")).await.is_empty());
        agent.stop().await;
    }
    let memory = world.files.path("kept").join("once-local.memory");
    assert!(memory.exists());
    reconfigure(&world.files, RULE, "");
    let agent = world.agent().await;
    agent.eventually(&name("reviews.shop"), &[GATEWAY]).await;
    until_exists(&memory, false).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_a_file_had_once_stays_local_through_a_restart_too() {
    let files = Files::new(&format!(
        "snapshot: {{directory: kept, interval: 100ms}}\nremote: {{rules: [{{namespace: shop, failover: false}}]}}\n\
         upstreams: {{servers: [\"{}\"]}}\n",
        nobody().await
    ));
    let agent = Agent::start_in(&files).await;
    assert_eq!(agent.answers(&name("reviews.shop")).await, ["10.1.0.9"]);
    // Before the end: it may be one without warning.
    let memory = files.path("kept").join("once-local.memory");
    until_exists(&memory, true).await;
    let good = fs::read(&memory).unwrap();
    agent.stop().await;
    files.write("cluster-1.yaml", EMPTY);
    let agent = Agent::start_in(&files).await;
    assert_eq!(agent.answers(&name("catalog.shop")).await, [GATEWAY]);
    assert!(agent.answers(&name("reviews.shop")).await.is_empty());
    agent.stop().await;
    // What cannot be understood is told and ignored.
    fs::write(&memory, &good[..good.len() - 1]).unwrap();
    let agent = Agent::start_in(&files).await;
    let refused = "crossmesh_dns_snapshot_refused_total";
    assert_eq!(agent.metric(refused).await, Some(1.0));
    assert_eq!(agent.answers(&name("reviews.shop")).await, [GATEWAY]);
    until_exists(&memory, false).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_is_no_good_is_ignored_and_written_anew() {
    let mut world = World::new().await;
    world.keep().await;
    let good = fs::read(world.kept("cluster-1")).unwrap();
    fs::write(world.kept("cluster-1"), &good[..good.len() - 1]).unwrap();
    world.local.kill();
    let agent = world.agent().await;
    let (status, page) = agent.text("/readyz").await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("catalog cluster-1: pending"), "{page}");
    assert_eq!(
        agent.metric("crossmesh_dns_snapshot_refused_total").await,
        Some(1.0)
    );
    world.local.run();
    agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    let again = async {
        while fs::read(world.kept("cluster-1")).unwrap().len() < good.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_hurts_nobody_and_is_tried_again() {
    let world = World::new().await;
    // A file where the folder should be: refused to root too, whom no mode keeps out.
    world.files.write("kept", "");
    let agent = world.agent().await;
    let failed = "crossmesh_dns_snapshot_writes_total{result=\"failed\"}";
    let written = "crossmesh_dns_snapshot_writes_total{result=\"written\"}";
    agent.eventually(&name("reviews.shop"), &["10.1.0.9"]).await;
    let more = async |line: &str, than: f64| {
        while agent.metric(line).await.unwrap() <= than {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, more(failed, 2.0))
        .await
        .unwrap();
    assert_eq!(agent.metric(written).await, Some(0.0));
    assert_eq!(agent.answers(&name("reviews.shop")).await, ["10.1.0.9"]);
    fs::remove_file(world.files.path("kept")).unwrap();
    tokio::time::timeout(PATIENCE, more(written, 0.0))
        .await
        .unwrap();
    assert!(world.kept("cluster-1").exists());
    agent.stop().await;
}
