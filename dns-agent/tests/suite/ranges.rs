//! Remote addresses that are local ones here: refused, counted and told; and where it is known which are local.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    kubernetes::{World, name},
    support::{
        agent::{Agent, Files, PATIENCE, get, upstream},
        api::{SERVICE_CIDRS, SERVICE_CIDRS_BETA},
        servers::nobody,
    },
};

const OVERLAPS: &str = "crossmesh_dns_overlapping_addresses";

/// A process of the agent's, which does not outlive its test, and the lines of its log.
struct Running {
    child: Child,
    lines: Receiver<String>,
    admin: std::net::SocketAddr,
}

impl Running {
    fn start(files: &Files) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crossmesh-dns-agent"))
            .arg("--config")
            .arg(files.path("dns.yaml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let (_, admin) = line.trim().split_once(" admin=").unwrap();
        let lines = lines(child.stderr.take().unwrap());
        Self {
            admin: admin.parse().unwrap(),
            child,
            lines,
        }
    }

    /// Waits for a line of the log with all of these.
    fn says(&self, parts: &[&str]) {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if parts.iter().all(|part| line.contains(part)) {
                return;
            }
            said.push(line);
        }
        panic!("{parts:?} is not in the log: {}", said.join("\n"));
    }

    async fn overlaps_are(&self, expected: u64) {
        let wanted = format!("{OVERLAPS} {expected}\n");
        let asking = async {
            loop {
                let (_, page) = get(self.admin, "/metrics").await.unwrap();
                if String::from_utf8(page).unwrap().contains(&wanted) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect(&wanted);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Read on a thread of their own, so that the process never waits for us.
fn lines(from: ChildStderr) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let from: Box<dyn Read + Send> = Box::new(from);
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// A peer with services that are not HTTP, at these addresses.
fn peer(addresses: &[&str]) -> String {
    let services = addresses.iter().enumerate().map(|(at, address)| {
        format!(
            "  - {{name: db-{at}, namespace: shop, addresses: [{address}], ports: [{{name: tcp, port: 1}}]}}\n"
        )
    });
    let services: String = services.collect();
    format!("schema: crossmesh-catalog/v1\ncluster: cluster-2\nservices:\n{services}")
}

#[tokio::test]
async fn what_is_refused_is_counted_and_each_rise_is_told() {
    let files = Files::new(&upstream(nobody().await));
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let ranges = "mesh: east, ranges: [10.1.0.0/16]}";
    files.write("dns.yaml", &text.replace("mesh: east}", ranges));
    files.write("cluster-2.yaml", &peer(&["10.1.0.50", "10.2.0.50"]));
    let agent = Running::start(&files);
    let told = "remote addresses are also local ones here and are not given";
    agent.says(&["WARN", told, "addresses=1"]);
    agent.overlaps_are(1).await;
    let three = peer(&["10.1.0.50", "10.2.0.50", "10.1.0.51", "10.1.7.7"]);
    files.write("cluster-2.yaml", &three);
    agent.says(&["WARN", told, "addresses=3"]);
    agent.overlaps_are(3).await;
    files.write("cluster-2.yaml", &peer(&["10.2.0.50"]));
    agent.overlaps_are(0).await;
}

#[tokio::test]
async fn a_start_without_ranges_tells_that_nothing_is_compared() {
    let files = Files::new(&upstream(nobody().await));
    let agent = Running::start(&files);
    agent.says(&["WARN", "cluster.ranges: the list is empty: "]);
}

#[tokio::test]
async fn the_ranges_of_services_are_what_the_local_api_server_tells() {
    let world = World::new();
    let ranges = |all: &[&str]| json!({"spec": {"cidrs": all}});
    let put = |name: &str, all: &[&str]| world.local.put(SERVICE_CIDRS, "", name, ranges(all));
    put("kubernetes", &["10.2.0.8/29", "fd00::/108"]);
    // A peer's are nobody's concern here.
    world
        .peer
        .put(SERVICE_CIDRS, "", "kubernetes", ranges(&["10.2.0.0/16"]));
    let agent = world.agent().await;
    let redis = name("redis.shop");
    assert_eq!(agent.answers(&redis).await, [""; 0]);
    agent.metric_becomes(OVERLAPS, 1.0).await;
    world.local.delete(SERVICE_CIDRS, "", "kubernetes");
    agent.eventually(&redis, &["10.2.0.8"]).await;
    agent.metric_becomes(OVERLAPS, 0.0).await;
    put("more", &["10.2.0.0/16"]);
    agent.eventually(&redis, &[]).await;
    agent.stop().await;
}

/// Its group has v1 all along, without ServiceCIDRs.
#[tokio::test]
async fn a_server_that_has_the_ranges_in_an_older_version_only_tells_them_too() {
    let world = World::new();
    world.local.define(SERVICE_CIDRS, false);
    world.local.define(SERVICE_CIDRS_BETA, true);
    let ranges = json!({"spec": {"cidrs": ["10.2.0.8/29"]}});
    world
        .local
        .put(SERVICE_CIDRS_BETA, "", "kubernetes", ranges);
    let agent = world.agent().await;
    agent.metric_becomes(OVERLAPS, 1.0).await;
    assert_eq!(agent.answers(&name("redis.shop")).await, [""; 0]);
    agent.stop().await;
}

#[tokio::test]
async fn ranges_that_may_not_be_read_hold_nothing_up_and_are_told() {
    let world = World::new();
    world
        .local
        .refuse(SERVICE_CIDRS, Some(StatusCode::FORBIDDEN));
    let files = world.files("gatewayProbe: {enabled: false}\n").await;
    let agent = Agent::start_with(files).await;
    agent
        .readyz_says("catalog cluster-1: synced: servicecidrs: the API server says 403: not now")
        .await;
    assert_eq!(agent.answers(&name("redis.shop")).await, ["10.2.0.8"]);
    agent.stop().await;

    // Before Kubernetes 1.33 there are none.
    world.local.refuse(SERVICE_CIDRS, None);
    world.local.define(SERVICE_CIDRS, false);
    let agent = world.agent().await;
    agent.readyz_says("catalog cluster-1: synced\n").await;
    agent.stop().await;
}
