//! What is not ours: relayed to hickory's server and back without loss.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};

use crate::support::{
    agent::{Agent, Files, data, upstream},
    message::query,
    servers::{Hickory, Scripted, nobody},
};

async fn agent() -> (Hickory, Agent) {
    let hickory = Hickory::start().await;
    let agent = Agent::start(&upstream(hickory.address)).await;
    (hickory, agent)
}

#[tokio::test]
async fn other_names_are_relayed_over_both_transports() {
    let (_hickory, agent) = agent().await;
    let query = query("WWW.example.com");
    let reply = agent.ask(&query).await;
    assert_eq!(data(&reply), ["192.0.2.1"]);
    assert_eq!(reply.queries[0].name().to_string(), "WWW.example.com.");
    assert_eq!(data(&agent.ask_tcp(&query).await), ["192.0.2.1"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_type_that_nobody_knows_survives() {
    let (_hickory, agent) = agent().await;
    let reply = agent.ask(&query("www.example.com").rtype(65_400)).await;
    assert_eq!(reply.answers.len(), 1);
    assert_eq!(reply.answers[0].record_type(), RecordType::Unknown(65_400));
    agent.stop().await;
}

#[tokio::test]
async fn a_denial_keeps_its_code_and_its_soa() {
    let (_hickory, agent) = agent().await;
    let check = async |name: &str, rtype: u16, code: ResponseCode| {
        let reply = agent.ask(&query(name).rtype(rtype)).await;
        assert_eq!(reply.metadata.response_code, code);
        assert!(reply.answers.is_empty());
        assert_eq!(reply.authorities[0].record_type(), RecordType::SOA);
    };
    check("missing.example.com", 1, ResponseCode::NXDomain).await;
    check("www.example.com", 28, ResponseCode::NoError).await;
    agent.stop().await;
}

#[tokio::test]
async fn authentic_data_is_told_to_who_asks_for_it() {
    let (_hickory, agent) = agent().await;
    let check = async |flags: u16, expected: bool| {
        let reply = agent.ask(&query("www.example.com").flags(flags)).await;
        assert_eq!(reply.metadata.authentic_data, expected);
        assert_eq!(reply.metadata.recursion_desired, flags & 0x0100 != 0);
        assert_eq!(reply.metadata.checking_disabled, flags & 0x0010 != 0);
    };
    check(0x0100, false).await;
    check(0x0120, true).await;
    check(0x0110, false).await;
    let secure = agent.ask(&query("www.example.com").dnssec_ok()).await;
    assert!(secure.metadata.authentic_data);
    agent.stop().await;
}

#[tokio::test]
async fn edns_is_present_iff_the_client_asked() {
    let (_hickory, agent) = agent().await;
    let plain = query("www.example.com");
    assert!(agent.ask(&plain).await.edns.is_none());
    let edns = agent.ask(&plain.edns(4096)).await.edns.unwrap();
    assert_eq!(edns.max_payload(), 1232);
    agent.stop().await;
}

#[tokio::test]
async fn a_large_reply_is_fetched_whole_and_cut_for_who_cannot_take_it() {
    let (_hickory, agent) = agent().await;
    let query = query("big.example.com").rtype(16);
    let cut = agent.ask(&query).await;
    assert!(cut.metadata.truncation);
    let whole = agent.ask_tcp(&query).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 40);
    agent.stop().await;
}

#[tokio::test]
async fn reverse_and_unknown_cluster_names_go_to_the_clusters_dns() {
    let hickory = Hickory::start().await;
    let general = Scripted::start(|_, _| panic!("asked the general server")).await;
    let lines = format!(
        "upstreams: {{servers: [\"{}\"], clusterZone: [\"{}\"]}}\n",
        general.address, hickory.address
    );
    let agent = Agent::start(&lines).await;
    let pointer = query("9.0.1.10.in-addr.arpa").rtype(12);
    assert_eq!(
        agent.answers(&pointer).await,
        ["reviews.shop.svc.cluster.local."]
    );
    let native = query("native.shop.svc.cluster.local");
    assert_eq!(agent.answers(&native).await, ["192.0.2.3"]);
    let local = query("nothing.kube-system.svc.cluster.local");
    assert_eq!(agent.answers(&local).await, ["192.0.2.2"]);
    assert_eq!(general.asked(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn the_servers_can_come_from_resolv_conf_and_one_taken_out_is_counted_no_more() {
    // Port 53 is nobody's here; what is seen is that the file was read and its server was tried.
    let files =
        Files::new("upstreams: {resolvConf: resolv.conf, timeout: 50ms, deadline: 100ms}\n");
    files.write("resolv.conf", "search a.b\nnameserver 127.255.255.254\n");
    let agent = Agent::start_with(files).await;
    agent.ask(&query("www.example.com")).await;
    let (first, second) = ("127.255.255.254:53", "127.255.255.253:53");
    let failed = async |server: &str| {
        let line = |result| {
            format!(
                "crossmesh_dns_upstream_exchanges_total{{server=\"{server}\",result=\"{result}\"}}"
            )
        };
        let (unreachable, silent) = (line("unreachable"), line("timed-out"));
        let found = (
            agent.metric(&unreachable).await,
            agent.metric(&silent).await,
        );
        found.0.zip(found.1).map(|(one, other)| one + other)
    };
    assert!(failed(first).await.unwrap() > 0.0);
    agent
        .metric_becomes(
            &format!("crossmesh_dns_upstream_loop{{server=\"{first}\"}}"),
            0.0,
        )
        .await;
    agent.replace("resolv.conf", "nameserver 127.255.255.253\n");
    agent
        .metric_becomes(
            &format!("crossmesh_dns_upstream_loop{{server=\"{second}\"}}"),
            0.0,
        )
        .await;
    agent.ask(&query("www.example.org")).await;
    assert!(failed(second).await.unwrap() > 0.0);
    let (_, metrics) = agent.text("/metrics").await;
    assert!(!metrics.contains(first), "{metrics}");
    agent.stop().await;
}

#[tokio::test]
async fn names_of_ours_are_never_asked_elsewhere() {
    let upstream_server = Scripted::start(|_, _| panic!("asked upstream")).await;
    let agent = Agent::start(&upstream(upstream_server.address)).await;
    for rtype in [1, 2, 5, 6, 12, 15, 16, 28, 33, 64, 65, 255] {
        let reply: Message = agent
            .ask(&query("catalog.shop.svc.cluster.local").rtype(rtype))
            .await;
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    }
    assert_eq!(upstream_server.asked(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn without_upstream_our_names_are_answered_and_others_fail_with_the_reason() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    let reply = agent.ask(&query("www.example.com").edns(1232)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let edns = reply.edns.unwrap();
    let codes: Vec<u16> = edns
        .options()
        .as_ref()
        .iter()
        .map(|(code, _)| u16::from(*code))
        .collect();
    assert_eq!(codes, [15]);
    assert_eq!(
        agent
            .answers(&query("reviews.shop.svc.cluster.local"))
            .await,
        ["10.1.0.9"]
    );
    agent.stop().await;
}
