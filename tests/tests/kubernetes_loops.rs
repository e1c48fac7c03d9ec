//! Forwarding loops through real CoreDNS: of one agent alone, and of two nodes whose agents and cluster DNS ask each other in a
//! circle.
#![cfg(test)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossmesh_e2e::agent::Agent;
use crossmesh_e2e::kubernetes::clusters::{Clusters, OUTSIDE, OUTSIDE_ADDRESS};
use crossmesh_e2e::kubernetes::coredns::CoreDns;
use crossmesh_e2e::kubernetes::port;
use crossmesh_e2e::kubernetes::streams::{REVIEWS_SERVICE, check, is, is_failure};
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::names::REVIEWS;
use crossmesh_e2e::process::PATIENCE;
use serde_json::json;
use tokio::time::sleep;

/// A CoreDNS of the east at an address of its own, which asks an agent for names outside.
async fn asking(clusters: &Clusters, number: u8, agent: SocketAddr) -> CoreDns {
    let folder = clusters.folder().join(format!("looped-{number}"));
    let (ip, access) = (clusters.address(number), clusters.east.api.kubeconfig());
    let looped = CoreDns::start_looped(&folder, ip, &access, agent).await;
    looped.unwrap()
}

/// An agent at this address that asks these servers.
async fn agent(clusters: &Clusters, listen: SocketAddr, servers: &[SocketAddr]) -> Agent {
    let besides = json!({"listen": [listen.to_string()], "upstreams": {"servers": servers}});
    let mut agent = clusters.launch_agent(&besides, &[]).await.unwrap();
    agent.until_ready().await.unwrap();
    agent
}

/// Waits until the agent's metric of loops says this of a server.
async fn until_shown(agent: &Agent, server: SocketAddr, value: f64) {
    let metric = format!("crossmesh_dns_upstream_loop{{server=\"{server}\"}}");
    let deadline = Instant::now() + PATIENCE;
    while agent.metric(&metric).await.unwrap() != Some(value) {
        assert!(
            Instant::now() < deadline,
            "{metric} is never {value}: {}",
            agent.log_tail(20)
        );
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_forwarding_loop_is_named_and_costs_nothing_but_what_goes_round_in_it() {
    let clusters = Clusters::start().await.unwrap();
    let east = &clusters.east;
    let local = east.objects.create_service(&REVIEWS_SERVICE).await.unwrap();
    // The agent asks the cluster's DNS, which asks the agent.
    let listen = port::free(clusters.address(0)).unwrap();
    let cluster_dns = asking(&clusters, 1, listen).await;
    let looped = cluster_dns.address();
    let began = Instant::now();
    let mut one = agent(&clusters, listen, &[looped]).await;
    one.until_logs("forwarding loop").await.unwrap();
    println!("a loop of one agent: named after {:?}", began.elapsed());
    let reviews = Witness::start(one.dns(), REVIEWS).unwrap();
    let outside = Witness::start_anew(one.dns(), OUTSIDE).unwrap();
    reviews.until(is(local)).await.unwrap();
    outside.until(is_failure).await.unwrap();
    check(&outside, &[&is_failure]);
    until_shown(&one, looped, 1.0).await;
    check(&reviews, &[&is(local)]);
    one.terminate().await.unwrap();

    // With a server that leads elsewhere, what is outside is found as soon as the loop is known.
    let good = clusters.dns.address();
    let one = agent(&clusters, listen, &[looped, good]).await;
    one.until_logs("forwarding loop").await.unwrap();
    let outside = Witness::start_anew(one.dns(), OUTSIDE).unwrap();
    outside.until(is(OUTSIDE_ADDRESS)).await.unwrap();
    until_shown(&one, good, 0.0).await;
    check(&outside, &[&is(OUTSIDE_ADDRESS)]);
}

#[tokio::test]
async fn a_loop_through_two_agents_and_two_copies_of_the_clusters_dns_is_named_by_both() {
    let clusters = Clusters::start().await.unwrap();
    let east = &clusters.east;
    let local = east.objects.create_service(&REVIEWS_SERVICE).await.unwrap();
    // Node a asks the copy on node b, which asks node b's agent, which asks the copy on node a, which asks node a's agent.
    let (at_a, at_b) = (
        port::free(clusters.address(0)).unwrap(),
        port::free(clusters.address(1)).unwrap(),
    );
    let of_b = asking(&clusters, 2, at_b).await;
    let of_a = asking(&clusters, 3, at_a).await;
    let (dns_b, dns_a) = (of_b.address(), of_a.address());
    let began = Instant::now();
    let a = agent(&clusters, at_a, &[dns_b]).await;
    let mut b = agent(&clusters, at_b, &[dns_a]).await;
    for (agent, other) in [(&a, at_b), (&b, at_a)] {
        let next = format!("by_way_of=\"cluster-1 at {other}\"");
        agent.until_logs(&next).await.unwrap();
    }
    println!(
        "a loop of two agents: named by both after {:?}",
        began.elapsed()
    );
    for (agent, server) in [(&a, dns_b), (&b, dns_a)] {
        until_shown(agent, server, 1.0).await;
        let outside = Witness::start_anew(agent.dns(), OUTSIDE).unwrap();
        let reviews = Witness::start(agent.dns(), REVIEWS).unwrap();
        outside.until(is_failure).await.unwrap();
        reviews.until(is(local)).await.unwrap();
        check(&outside, &[&is_failure]);
        check(&reviews, &[&is(local)]);
    }

    // Node b is mended: by way of it node a finds what is outside too.
    b.terminate().await.unwrap();
    let mended = Instant::now();
    let b = agent(&clusters, at_b, &[clusters.dns.address()]).await;
    until_shown(&a, dns_b, 0.0).await;
    println!(
        "a loop of two agents: over {:?} after one was mended",
        mended.elapsed()
    );
    for agent in [&a, &b] {
        let outside = Witness::start_anew(agent.dns(), OUTSIDE).unwrap();
        outside.until(is(OUTSIDE_ADDRESS)).await.unwrap();
        check(&outside, &[&is(OUTSIDE_ADDRESS)]);
    }
}
