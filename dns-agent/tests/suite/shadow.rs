//! `mode: shadow`: clients get what the cluster's DNS says, and what we would have said is compared beside their way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hickory_proto::op::ResponseCode;

use crate::support::{
    agent::{Agent, PEER, data, upstream},
    message::{QUESTION, query, question_of, record, reply, rtype_of, soa},
    servers::Scripted,
};

/// The cluster's own DNS: `reviews.shop` has this address, and nothing else exists.
fn cluster_dns(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let denial = [record(b"\x00", 6, 30, &soa(30))];
    let known = question_of(query)
        .to_ascii_lowercase()
        .starts_with(b"\x07reviews\x04shop");
    match rtype_of(query) {
        1 if known => reply(
            query,
            0x8580,
            [&[record(QUESTION, 1, 7, &address)], &[], &[]],
        ),
        _ if known => reply(query, 0x8580, [&[], &denial, &[]]),
        _ => reply(query, 0x8583, [&[], &denial, &[]]),
    }
}

const REVIEWS: &str = "reviews.shop.svc.cluster.local";
const CATALOG: &str = "catalog.shop.svc.cluster.local";

async fn start(server: &Scripted) -> Agent {
    let lines = format!(
        "mode: shadow\nshadow: {{settle: 20ms}}\n{}",
        upstream(server.address)
    );
    Agent::start(&lines).await
}

fn counter(result: &str, reason: &str) -> String {
    format!("crossmesh_dns_shadow_total{{result=\"{result}\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn clients_get_what_the_clusters_dns_says_and_the_rest_is_counted() {
    let server = Scripted::start(|query, _| Some(cluster_dns(query, [10, 1, 0, 9]))).await;
    let agent = start(&server).await;
    // What only peers have would be answered; here it does not exist.
    let message = agent.ask(&query(CATALOG)).await;
    assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
    agent
        .metric_becomes(&counter("ours-only", "gateway"), 1.0)
        .await;
    // The same address, whatever the TTL, however the question is written.
    let message = agent.ask(&query("REVIEWS.Shop.svc.cluster.local")).await;
    assert_eq!(
        (data(&message), message.answers[0].ttl),
        (vec!["10.1.0.9".to_owned()], 7)
    );
    agent.metric_becomes(&counter("same", "local"), 1.0).await;
    // Neither has an IPv6 address.
    agent.ask(&query(REVIEWS).rtype(28)).await;
    agent.metric_becomes(&counter("same", "nodata"), 1.0).await;
    // What would be asked there anyway is not compared.
    agent.ask(&query("nothing.shop.svc.cluster.local")).await;
    agent.ask(&query("www.example.com")).await;
    agent.ask(&query(REVIEWS).rtype(255)).await;
    let (_, text) = agent.text("/metrics").await;
    let compared = text
        .lines()
        .filter(|line| line.starts_with("crossmesh_dns_shadow_total"));
    assert_eq!(compared.count(), 3, "{text}");
}

#[tokio::test]
async fn another_address_and_a_failure_are_told_apart() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let server = Scripted::start(move |query, _| {
        Some(if failing.load(Ordering::SeqCst) {
            reply(query, 0x8182, [&[], &[], &[]])
        } else {
            cluster_dns(query, [10, 1, 0, 77])
        })
    })
    .await;
    let agent = start(&server).await;
    for _ in 0..3 {
        assert_eq!(agent.answers(&query(REVIEWS)).await, ["10.1.0.77"]);
    }
    agent
        .metric_becomes(&counter("differs", "local"), 3.0)
        .await;
    fails.store(true, Ordering::SeqCst);
    let message = agent.ask(&query(CATALOG)).await;
    assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
    agent
        .metric_becomes(&counter("failed", "gateway"), 1.0)
        .await;
}

/// One of both hears of a change before the other: that is no difference.
#[tokio::test]
async fn what_agrees_a_moment_later_was_only_racing() {
    let late = Arc::new(AtomicBool::new(true));
    let knows = Arc::clone(&late);
    let server = Scripted::start(move |query, _| {
        // Asked for the second time, it has heard of it.
        let address = if knows.swap(false, Ordering::SeqCst) {
            8
        } else {
            9
        };
        Some(cluster_dns(query, [10, 1, 0, address]))
    })
    .await;
    let agent = start(&server).await;
    assert_eq!(agent.answers(&query(REVIEWS)).await, ["10.1.0.8"]);
    agent.metric_becomes(&counter("racing", "local"), 1.0).await;
    // Clients go on getting what is kept: asking again was not for them.
    assert_eq!(agent.answers(&query(REVIEWS)).await, ["10.1.0.8"]);
    assert_eq!(agent.metric(&counter("differs", "local")).await, None);
}

/// And so is what changed here.
#[tokio::test]
async fn a_service_that_goes_here_meanwhile_was_only_racing() {
    let server = Scripted::start(|query, _| Some(cluster_dns(query, [10, 1, 0, 9]))).await;
    let lines = format!(
        "mode: shadow\nshadow: {{settle: 5s}}\n{}",
        upstream(server.address)
    );
    let agent = Agent::start(&lines).await;
    agent.ask(&query(CATALOG)).await;
    let without = PEER.replace("name: catalog", "name: other");
    agent.replace("cluster-2.yaml", &without);
    agent
        .metric_becomes(&counter("racing", "not-found"), 1.0)
        .await;
}
