//! Servers that do not know EDNS, cut their replies or leave parts out: what they mean reaches the client.

use hickory_proto::op::{Message, ResponseCode};

use super::{NXDOMAIN, OK, SERVFAIL, address, code};
use crate::support::{
    agent::{Agent, data, upstream},
    message::{QUESTION, query, record, reply},
    servers::{HangingTcp, Scripted},
};

#[tokio::test]
async fn our_queries_have_edns_their_own_identifier_and_the_clients_wishes() {
    let (send, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let server = Scripted::start(move |query, _| {
        send.send(query.to_vec()).unwrap();
        address(query)
    })
    .await;
    let agent = Agent::start(&upstream(server.address)).await;
    let mut ids = Vec::new();
    for number in 0..8 {
        agent
            .ask(
                &query(&format!("name-{number}.Example.com"))
                    .flags(0x0110)
                    .dnssec_ok(),
            )
            .await;
        let asked = Message::from_vec(&seen.recv().await.unwrap()).unwrap();
        assert!(asked.metadata.recursion_desired && asked.metadata.checking_disabled);
        let edns = asked.edns.as_ref().unwrap();
        assert_eq!(edns.max_payload(), 1232);
        assert!(edns.flags().dnssec_ok);
        ids.push(asked.metadata.id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 6, "{ids:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_know_edns_is_asked_without() {
    let old = Scripted::start(|query, _| {
        let additionals = query[11];
        if additionals > 0 {
            code(query, 0x8181)
        } else {
            address(query)
        }
    })
    .await;
    let agent = Agent::start(&upstream(old.address)).await;
    assert_eq!(
        agent.answers(&query("www.example.com")).await,
        ["192.0.2.1"]
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_cut_reply_that_tcp_cannot_complete_is_relayed_as_cut() {
    let server = Scripted::start(
        |query, tcp| {
            if tcp { None } else { code(query, OK | 0x0200) }
        },
    )
    .await;
    let agent = Agent::start(&upstream(server.address)).await;
    for _ in 0..2 {
        let reply = agent.ask(&query("www.example.com")).await;
        assert!(reply.metadata.truncation);
    }
    assert_eq!(server.asked(), 4, "a cut reply is not kept");
    agent.stop().await;
}

/// The flags of a failure by its response code, with QR, RD and RA.
fn failure(rcode: u16) -> u16 {
    OK | rcode
}

/// The header of a reply without anything behind it.
fn header_only(query: &[u8], flags: u16) -> Option<Vec<u8>> {
    let mut bytes = query[..2].to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0; 8]);
    Some(bytes)
}

fn has_edns(query: &[u8]) -> bool {
    query[11] > 0
}

/// A reply with this extended response code, whose upper bits are in the OPT record.
fn extended(query: &[u8], rcode: u16) -> Option<Vec<u8>> {
    let high = u8::try_from(rcode >> 4).unwrap();
    let opt = vec![0, 0, 41, 4, 208, high, 0, 0, 0, 0, 0];
    Some(reply(query, OK | (rcode & 15), [&[], &[], &[opt]]))
}

#[tokio::test]
async fn a_header_alone_is_a_servers_answer_when_it_tells_a_failure() {
    for rcode in [2, 4, 5] {
        let server = Scripted::start(move |query, _| header_only(query, failure(rcode))).await;
        let agent = Agent::start(&upstream(server.address)).await;
        let asked = query("www.example.com");
        let bytes = agent.ask_bytes(&asked.bytes()).await;
        assert_eq!(u16::from(bytes[3] & 15), rcode);
        assert_eq!(bytes[12..], asked.question());
        assert_eq!(server.asked(), 1, "it was not waited for another");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_header_alone_is_no_answer_when_it_tells_no_failure() {
    for flags in [OK, NXDOMAIN] {
        let server = Scripted::start(move |query, _| header_only(query, flags)).await;
        let lines = format!(
            "upstreams: {{servers: [\"{}\"], timeout: 50ms}}\n",
            server.address
        );
        let agent = Agent::start(&lines).await;
        let reply = agent.ask(&query("www.example.com")).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(server.asked(), 2);
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_edns_in_any_form_is_asked_without_over_both_transports() {
    type Refusal = fn(&[u8]) -> Option<Vec<u8>>;
    let refusals: [Refusal; 3] = [
        |query| code(query, failure(1)),
        |query| header_only(query, failure(1)),
        |query| extended(query, 16),
    ];
    for refusal in refusals {
        let server = Scripted::start(move |query, tcp| match (has_edns(query), tcp) {
            (true, _) => refusal(query),
            (false, false) => code(query, OK | 0x0200),
            (false, true) => address(query),
        })
        .await;
        let agent = Agent::start(&upstream(server.address)).await;
        let found = agent.answers(&query("www.example.com").edns(1232)).await;
        assert_eq!(found, ["192.0.2.1"]);
        assert_eq!(server.asked(), 3, "with EDNS, without, over TCP without");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_version_of_edns_that_the_client_did_not_choose_is_not_refused_to_it() {
    let server = Scripted::start(|query, _| extended(query, 16)).await;
    let agent = Agent::start(&upstream(server.address)).await;
    let reply = agent.ask(&query("www.example.com").edns(1232)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    agent.stop().await;
}

#[tokio::test]
async fn a_cut_reply_is_relayed_when_tcp_hangs_unless_another_server_has_the_whole() {
    // Holds the connection open without a reply: the server's own timeout ends it.
    let hanging = HangingTcp::start().await;
    let lines = |servers: &str| {
        format!(
            "upstreams: {{servers: [{servers}], timeout: 300ms, deadline: 4s}}\ncache: {{entries: 0}}\n"
        )
    };
    let agent = Agent::start(&lines(&format!("\"{}\"", hanging.address))).await;
    let reply = agent.ask(&query("www.example.com")).await;
    assert!(reply.metadata.truncation);
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    agent.stop().await;

    let good = Scripted::start(|query, _| address(query)).await;
    let servers = format!("\"{}\", \"{}\"", hanging.address, good.address);
    let agent = Agent::start(&lines(&servers)).await;
    for number in 0..8 {
        let reply = agent
            .ask(&query(&format!("name-{number}.example.com")))
            .await;
        assert_eq!(data(&reply), ["192.0.2.1"]);
    }
    agent.stop().await;

    // And a failure is no better than a cut reply.
    let failing = Scripted::start(|query, _| code(query, SERVFAIL)).await;
    let servers = format!("\"{}\", \"{}\"", hanging.address, failing.address);
    let agent = Agent::start(&lines(&servers)).await;
    for number in 0..4 {
        let reply = agent
            .ask(&query(&format!("name-{number}.example.com")))
            .await;
        assert!(reply.metadata.truncation);
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_datagram_larger_than_we_take_is_asked_for_over_tcp() {
    let server = Scripted::start(|query, tcp| {
        let owner = QUESTION;
        let many = if tcp { 1 } else { 300 };
        let record = record(owner, 1, 300, &[192, 0, 2, 1]);
        Some(reply(query, OK, [&vec![record; many], &[], &[]]))
    })
    .await;
    let agent = Agent::start(&upstream(server.address)).await;
    let found = agent.answers(&query("www.example.com")).await;
    assert_eq!(found, ["192.0.2.1"]);
    assert_eq!(server.asked(), 2);
    agent.stop().await;
}

#[tokio::test]
async fn the_dnssec_ok_bit_of_a_relayed_reply_is_the_querys() {
    for theirs in [0x00, 0x80] {
        let server = Scripted::start(move |query, _| {
            let answer = record(QUESTION, 1, 300, &[192, 0, 2, 1]);
            let opt = vec![0, 0, 41, 4, 208, 0, 0, theirs, 0, 0, 0];
            Some(reply(query, OK, [&[answer], &[], &[opt]]))
        })
        .await;
        let agent = Agent::start(&upstream(server.address)).await;
        let plain = query("www.example.com");
        for (asked, expected) in [(plain.clone().edns(1232), false), (plain.dnssec_ok(), true)] {
            let edns = agent.ask(&asked).await.edns.unwrap();
            assert_eq!(edns.flags().dnssec_ok, expected);
        }
        agent.stop().await;
    }
}

#[tokio::test]
async fn what_is_counted_is_what_the_client_got() {
    let server = Scripted::start(|query, _| extended(query, 23)).await;
    let agent = Agent::start(&upstream(server.address)).await;
    agent.ask(&query("www.example.com")).await;
    let counted = "crossmesh_dns_queries_total{transport=\"udp\",source=\"upstream\",outcome=";
    let got = agent.metric(&format!("{counted}\"servfail\"}}")).await;
    assert_eq!(got, Some(1.0));
    agent.stop().await;
}
