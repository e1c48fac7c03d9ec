//! Denials by the cluster's DNS before anything is known of any cluster: those of names that a peer may have do not reach
//! clients, those of all others do.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::op::{Message, ResponseCode};
use tokio::{sync::watch, time::timeout};

use crate::support::{
    agent::{Agent, Files, PATIENCE, ask_udp},
    api::{Api, Fault},
    message::{query, question_of, record, reply, soa},
    servers::Scripted,
};

const ZONE: &[u8] = b"\x07cluster\x05local\x00";

/// A server that denies every name but those below `exists`, as this zone.
async fn denying(zone: &'static [u8], exists: &'static [u8]) -> Scripted {
    Scripted::start(move |query, _| {
        let soa = record(zone, 6, 60, &soa(60));
        let name = query[12..].to_ascii_lowercase();
        let flags = if name.starts_with(exists) {
            0x8580
        } else {
            0x8583
        };
        Some(reply(query, flags, [&[], &[soa], &[]]))
    })
    .await
}

/// An agent whose own cluster and peer, of its own mesh, take requests and never reply.
async fn agent(server: &Scripted) -> (Agent, [Api; 2]) {
    let lines = format!("upstreams: {{servers: [\"{}\"]}}\n", server.address);
    agent_with(&lines, true).await
}

async fn agent_with(lines: &str, with_peer: bool) -> (Agent, [Api; 2]) {
    let apis = [Api::start(), Api::start()];
    let peer = if with_peer {
        "  - {cluster: cluster-2, kubeconfig: peer.kubeconfig}\n"
    } else {
        ""
    };
    let files = Files::bare(&format!(
        "cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
         - {{cluster: cluster-1, kubeconfig: local.kubeconfig}}\n{peer}peerSyncTimeout: 600s\n{lines}",
    ));
    for (api, file) in apis.iter().zip(["local.kubeconfig", "peer.kubeconfig"]) {
        api.set_fault(Fault::Slow);
        files.write(file, &api.kubeconfig());
    }
    (Agent::start_with(files).await, apis)
}

/// How many queries were answered from the cache, without a task.
async fn from_cache(agent: &Agent) -> f64 {
    let (_, text) = agent.text("/metrics").await;
    let lines = text.lines().filter(|line| {
        line.starts_with("crossmesh_dns_queries_total{") && line.contains("source=\"cache\"")
    });
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    counts.sum()
}

async fn check(server: &Scripted, agent: &Agent, name: &str, expected: ResponseCode) {
    let mut asked = Vec::new();
    for _ in 0..2 {
        let reply = agent
            .ask(&query(&format!("{name}.svc.cluster.local")))
            .await;
        assert_eq!(reply.metadata.response_code, expected, "{name}");
        asked.push((server.asked(), from_cache(agent).await));
    }
    let [(first, cached), (second, cached_then)] = asked[..] else {
        panic!("two looks");
    };
    assert_eq!(second, first, "{name}: asked again");
    assert!(cached_then > cached, "{name}: not from the cache, at once");
}

#[tokio::test]
async fn a_denial_is_believed_where_the_clusters_dns_denies_the_namespace_too() {
    let server = denying(ZONE, b"\x04shop\x03svc").await;
    let (agent, _apis) = agent(&server).await;
    check(&server, &agent, "example.com", ResponseCode::NXDomain).await;
    check(
        &server,
        &agent,
        "_ldap._tcp.example.com",
        ResponseCode::NXDomain,
    )
    .await;
    check(&server, &agent, "www.example.com", ResponseCode::NXDomain).await;
    check(&server, &agent, "catalog.shop", ResponseCode::ServFail).await;
    check(
        &server,
        &agent,
        "pod-0.catalog.shop",
        ResponseCode::NXDomain,
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_denial_by_servers_that_have_nothing_of_the_cluster_is_not_believed() {
    let server = denying(b"\x00", b"\x04none").await;
    let (agent, _apis) = agent(&server).await;
    check(&server, &agent, "catalog.shop", ResponseCode::ServFail).await;
    agent.stop().await;
}

fn service(name: &str) -> Vec<u8> {
    query(&format!("{name}.svc.cluster.local")).bytes()
}

#[tokio::test]
async fn the_namespace_is_asked_for_at_the_same_time_as_the_name() {
    let (open, gate) = watch::channel(false);
    let server = Scripted::start_behind(gate, |query, _| {
        let soa = record(ZONE, 6, 60, &soa(60));
        Some(reply(query, 0x8583, [&[], &[soa], &[]]))
    })
    .await;
    // One server that is asked once: nothing is asked a second time.
    let (agent, _apis) = agent_with(
        &format!(
            "upstreams: {{servers: [\"{}\"], timeout: 4900ms, deadline: 4900ms}}\n",
            server.address
        ),
        true,
    )
    .await;
    // No reply to the one was sent when the other came.
    let both = async {
        while server.asked() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let opening = async {
        timeout(PATIENCE, both).await.expect("both questions");
        open.send_replace(true);
    };
    let (code, ()) = tokio::join!(ask_service(agent.dns, "example.com"), opening);
    assert_eq!(code, ResponseCode::NXDomain);
    agent.stop().await;
}

async fn ask_service(dns: SocketAddr, name: &str) -> ResponseCode {
    let reply = Message::from_vec(&ask_udp(dns, &service(name)).await).unwrap();
    reply.metadata.response_code
}

#[tokio::test]
async fn the_namespace_is_asked_for_as_soon_as_there_is_room() {
    // The namespaces' denials are not kept, nor is a question answered that takes the only place.
    let server = Scripted::start(|query, _| {
        let asked = question_of(query);
        if asked.starts_with(b"\x04slow") {
            return None;
        }
        let minimum = if asked.starts_with(b"\x03com") { 0 } else { 60 };
        let soa = record(ZONE, 6, minimum, &soa(minimum));
        Some(reply(query, 0x8583, [&[], &[soa], &[]]))
    })
    .await;
    let (agent, _apis) = agent_with(
        &format!(
            "upstreams: {{servers: [\"{}\"], maxConcurrent: 1, timeout: 1s, deadline: 1s}}\n",
            server.address
        ),
        true,
    )
    .await;
    let expected = ResponseCode::NXDomain;
    assert_eq!(ask_service(agent.dns, "example.com").await, expected);
    let before = server.asked();
    let slow = query("slow.example.org").bytes();
    let meanwhile = async {
        while server.asked() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ask_service(agent.dns, "example.com").await
    };
    let (_, code) = tokio::join!(ask_udp(agent.dns, &slow), meanwhile);
    assert_eq!(code, expected);
    agent.stop().await;
}

#[tokio::test]
async fn with_authority_a_denial_counts_only_from_the_clusters_zone_while_that_is_not_known() {
    for (zone, expected) in [
        (&b"\x00"[..], ResponseCode::ServFail),
        (ZONE, ResponseCode::NXDomain),
    ] {
        let server = denying(zone, b"\x04none").await;
        let lines = format!(
            "mode: authoritative\nupstreams: {{servers: [\"{}\"]}}\n",
            server.address
        );
        let (agent, _apis) = agent_with(&lines, false).await;
        check(&server, &agent, "catalog.shop", expected).await;
        // Outside names look so in a search list, and a failure would end the search.
        let outside = "www.example.com";
        check(&server, &agent, outside, ResponseCode::NXDomain).await;
        agent.stop().await;
    }
}
