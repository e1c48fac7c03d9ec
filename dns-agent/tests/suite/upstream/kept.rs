//! What is kept of servers' replies, and for how long.

use hickory_proto::op::ResponseCode;
use tokio::time::timeout;

use super::{NXDOMAIN, OK, REFUSED, SERVFAIL, address};
use crate::support::{
    agent::{Agent, PATIENCE, upstream},
    message::{QUESTION, query, record, reply, soa},
    servers::{Scripted, nobody},
};

/// Asks a server twice and tells how often it was asked.
async fn times_asked_for(flags: u16, sections: [Vec<Vec<u8>>; 3], lines: &str) -> usize {
    let server = Scripted::start(move |query, _| {
        let [answers, authorities, additionals] = &sections;
        Some(reply(query, flags, [answers, authorities, additionals]))
    })
    .await;
    let agent = Agent::start(&format!("{}{lines}", upstream(server.address))).await;
    agent.ask(&query("www.example.com")).await;
    agent.ask(&query("WWW.EXAMPLE.COM")).await;
    agent.stop().await;
    server.asked()
}

#[tokio::test]
async fn what_may_be_kept_is_kept_and_nothing_else() {
    let good = |ttl| vec![record(QUESTION, 1, ttl, &[192, 0, 2, 1])];
    let alias = vec![record(QUESTION, 5, 60, QUESTION)];
    let denial = |ttl, minimum| vec![record(QUESTION, 6, ttl, &soa(minimum))];
    let check = async |what: &str, flags, answers, authorities, lines: &str, asked| {
        let sections = [answers, authorities, vec![]];
        assert_eq!(
            times_asked_for(flags, sections, lines).await,
            asked,
            "{what}"
        );
    };
    check("data", OK, good(60), vec![], "", 1).await;
    check(
        "data without a cache",
        OK,
        good(60),
        vec![],
        "cache: {entries: 0}\n",
        2,
    )
    .await;
    check("data with TTL 0", OK, good(0), vec![], "", 2).await;
    check("a denial", NXDOMAIN, vec![], denial(60, 60), "", 1).await;
    check("no data", OK, vec![], denial(60, 60), "", 1).await;
    check("a denial without an SOA", NXDOMAIN, vec![], vec![], "", 2).await;
    check(
        "a denial with minimum 0",
        NXDOMAIN,
        vec![],
        denial(60, 0),
        "",
        2,
    )
    .await;
    check(
        "an alias of nothing",
        OK,
        alias.clone(),
        denial(60, 60),
        "",
        1,
    )
    .await;
    check("an alias without its end", OK, alias, vec![], "", 2).await;
    check("a failure", SERVFAIL, vec![], vec![], "", 1).await;
    check("a refusal", REFUSED, vec![], vec![], "", 2).await;
}

#[tokio::test]
async fn replies_are_kept_apart_by_what_was_asked_for() {
    let server = Scripted::start(|query, _| address(query)).await;
    let agent = Agent::start(&upstream(server.address)).await;
    let plain = query("www.example.com");
    let different = [
        plain.clone(),
        plain.clone().rtype(28),
        plain.clone().dnssec_ok(),
        plain.clone().flags(0x0110),
        plain.clone().flags(0x0000),
        query("example.com"),
    ];
    for _ in 0..2 {
        for query in &different {
            agent.ask_bytes(&query.bytes()).await;
        }
        // EDNS alone makes no difference.
        agent.ask(&plain.clone().edns(4096)).await;
    }
    assert_eq!(server.asked(), different.len());
    agent.stop().await;
}

#[tokio::test]
async fn the_silence_of_all_servers_is_kept_for_a_moment() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    let kept =
        "crossmesh_dns_queries_total{transport=\"udp\",source=\"cache\",outcome=\"servfail\"}";
    // The second of two queries that follow one another within a second.
    let asking = async {
        while agent.metric(kept).await == Some(0.0) {
            let reply = agent.ask(&query("www.example.com").edns(1232)).await;
            assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
            assert!(reply.edns.is_some(), "with its reason");
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
    agent.stop().await;
}
