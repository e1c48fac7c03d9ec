//! Probes by TLS of a real Envoy that passes TLS on by its SNI, as Istio's east-west gateways do: the agent sees that what is
//! behind the gateway is gone, or that the gateway hangs, which a connection alone does not show.
#![cfg(test)]

use std::time::{Duration, Instant};

use crossmesh_e2e::command::Command;
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::kubernetes::clusters::{Clusters, Surroundings};
use crossmesh_e2e::kubernetes::streams::{CATALOG_SERVICE, Wanted, check, is, is_empty};
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::names::{CATALOG, GATEWAY_PORT, passthrough_sni};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::gateway::Gateway;
use crossmesh_e2e::roles::{hcm, mtls_listener, router, served};
use crossmesh_e2e::world::{gateway_node, node};
use serde_json::json;

const SIDECAR_PORT: u16 = 9443;

/// The sidecar of the service in the west: it ends mutual TLS.
async fn sidecar(site: &Site) -> Envoy {
    let uri = ["spiffe://bar.com/ns/shop/sa/catalog"];
    let identity = site.pki.sign(Root::West, "catalog", &uri).unwrap();
    let http = hcm("SANITIZE_SET", served(), &[router()], &site.access_log);
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![mtls_listener(site.at(SIDECAR_PORT), &identity, &[http])],
        clusters: Vec::new(),
    };
    site.start("sidecar", &setup).await.unwrap()
}

/// The gateway of the west, with the service behind it.
async fn gateway(site: &Site) -> Envoy {
    let gateway = Gateway {
        node: gateway_node("west", "istio-system", "eastwest"),
        listen: site.at(GATEWAY_PORT),
        services: vec![(CATALOG, site.at(SIDECAR_PORT))],
    };
    gateway.start(&site.folder().join("gateway")).await.unwrap()
}

#[tokio::test]
async fn a_gateway_that_leads_nowhere_leaves_the_answers_until_it_leads_there_again() {
    let site = Site::claim().unwrap();
    let (first_sidecar, first_gateway) = (sidecar(&site).await, gateway(&site).await);
    let address = site.ip();
    let surroundings = Surroundings {
        service_ranges: ["10.96.0.0/16", "10.97.0.0/16"].map(str::to_owned),
        gateway: Some(address),
    };
    let clusters = Clusters::start_in(surroundings).await.unwrap();
    let west = &clusters.west.objects;
    west.create_service(&CATALOG_SERVICE).await.unwrap();
    clusters.introduce(&clusters.way_west()).await.unwrap();
    let agent = async |probe| {
        let besides = json!({"gatewayProbe": probe});
        let mut agent = clusters.launch_agent(&besides, &[]).await.unwrap();
        agent.until_ready().await.unwrap();
        agent
    };
    let name = passthrough_sni(CATALOG);
    let probe = json!({"interval": "200ms", "timeout": "190ms", "serverName": name});
    let by_tls = agent(probe).await;
    let by_tcp = agent(json!({"interval": "200ms", "timeout": "190ms"})).await;
    let tls = Witness::start(by_tls.dns(), CATALOG).unwrap();
    let tcp = Witness::start(by_tcp.dns(), CATALOG).unwrap();
    tls.until(is(address)).await.unwrap();
    tcp.until(is(address)).await.unwrap();

    // More probes than may fail come as far as the sidecar, and none of them counts as a failure.
    let arrived = format!("listener.{address}_{SIDECAR_PORT}.downstream_cx_total");
    first_sidecar
        .until("probes came", async || {
            let count = first_sidecar.stat(&arrived).await.ok()?;
            (count > 5).then_some(())
        })
        .await
        .unwrap();

    // What is behind the gateway ends: it still takes connections.
    drop(first_sidecar);
    tls.until(is_empty).await.unwrap();
    let _second_sidecar = sidecar(&site).await;
    tls.until(is(address)).await.unwrap();
    // The gateway hangs: the kernel takes connections for it, and nobody says anything on them.
    let signal = async |signal: &str| {
        let pid = first_gateway.pid().to_string();
        let kill = Command::of_machine("kill").args([signal, &pid]);
        kill.output().await.unwrap();
    };
    signal("-STOP").await;
    let hung = Instant::now();
    let since = tls.until(is_empty).await.unwrap();
    let (took, bound) = (
        since.saturating_duration_since(hung),
        3 * Duration::from_millis(200) + Duration::from_secs(1),
    );
    println!("out of the answers after {took:?}, at most {bound:?}");
    assert!(took < bound, "{took:?} of {bound:?}");
    signal("-CONT").await;
    tls.until(is(address)).await.unwrap();
    // The gateway itself ends.
    drop(first_gateway);
    tls.until(is_empty).await.unwrap();
    tcp.until(is_empty).await.unwrap();
    let _second_gateway = gateway(&site).await;
    tls.until(is(address)).await.unwrap();
    tcp.until(is(address)).await.unwrap();

    let there = is(address);
    let seen: [Wanted<'_>; 7] = [
        &there, &is_empty, &there, &is_empty, &there, &is_empty, &there,
    ];
    check(&tls, &seen);
    check(&tcp, &[&there, &is_empty, &there]);
}
