//! Servers that are slow, dead, lying or odd; and what is kept of the good ones' replies.

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::support::{
    agent::{Agent, PATIENCE, ask_udp, data, upstream},
    message::{QUESTION, query, question_of, record, reply, rtype_of, soa},
    servers::{HangingTcp, Scripted, nobody},
};

const OK: u16 = 0x8180;
const SERVFAIL: u16 = 0x8182;
const NXDOMAIN: u16 = 0x8183;
const REFUSED: u16 = 0x8185;

fn address(query: &[u8]) -> Option<Vec<u8>> {
    let answer = record(QUESTION, rtype_of(query), 300, &[192, 0, 2, 1]);
    Some(reply(query, OK, [&[answer], &[], &[]]))
}

fn code(query: &[u8], flags: u16) -> Option<Vec<u8>> {
    Some(reply(query, flags, [&[], &[], &[]]))
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_dead_failing_or_refusing() {
    let good = Scripted::start(|query, _| address(query)).await;
    let failing = Scripted::start(|query, _| code(query, SERVFAIL)).await;
    let refusing = Scripted::start(|query, _| code(query, REFUSED)).await;
    let silent = Scripted::start(|_, _| None).await;
    let dead = nobody().await;
    let lines = format!(
        "upstreams: {{servers: [\"{dead}\", \"{}\", \"{}\", \"{}\", \"{}\"], timeout: 200ms}}\ncache: {{entries: 0}}\n",
        failing.address, refusing.address, silent.address, good.address
    );
    let agent = Agent::start(&lines).await;
    // The first server is chosen at random: with so many names every one of them has its turn.
    for number in 0..80 {
        let name = format!("name-{number}.example.com");
        assert_eq!(agent.answers(&query(&name)).await, ["192.0.2.1"], "{name}");
    }
    assert!(failing.asked() > 0 && refusing.asked() > 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_server_that_was_silent_is_passed_over_by_the_next_queries() {
    let good = Scripted::start(|query, _| address(query)).await;
    let silent = Scripted::start(|_, _| None).await;
    let lines = format!(
        "upstreams: {{servers: [\"{}\", \"{}\"], timeout: 100ms}}\ncache: {{entries: 0}}\n",
        silent.address, good.address
    );
    let agent = Agent::start(&lines).await;
    for number in 0..40 {
        agent
            .answers(&query(&format!("name-{number}.example.com")))
            .await;
    }
    assert!(silent.asked() < 10, "asked {} times", silent.asked());
    agent.stop().await;
}

#[tokio::test]
async fn a_failure_of_all_servers_is_relayed_as_it_is() {
    let failing = Scripted::start(|query, _| code(query, SERVFAIL)).await;
    let agent = Agent::start(&upstream(failing.address)).await;
    let reply = agent.ask(&query("www.example.com")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(
        failing.asked(),
        1,
        "a server that answered is not asked again"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_silent_server_ends_in_a_failure_before_clients_give_up() {
    let silent = Scripted::start(|_, _| None).await;
    let lines = format!(
        "upstreams: {{servers: [\"{}\"], timeout: 200ms, deadline: 4s}}\n",
        silent.address
    );
    let agent = Agent::start(&lines).await;
    let reply = agent.ask(&query("www.example.com").edns(1232)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(silent.asked(), 2, "one loss is forgiven");
    agent.stop().await;
}

#[tokio::test]
async fn replies_to_other_questions_are_passed_over() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    // Wrong once in every way, then silent until asked again.
    let liar = Scripted::start(|query, _| {
        let mut answer = address(query)?;
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => answer[0] ^= 1,
            1 => answer[13] ^= 1,
            2 => answer[2] &= 0x7f,
            3 => answer.truncate(20),
            4 => answer[7] = 9,
            _ => {}
        }
        Some(answer)
    })
    .await;
    let lines = format!(
        "upstreams: {{servers: [\"{}\"], timeout: 200ms, deadline: 4s}}\ncache: {{entries: 0}}\n",
        liar.address
    );
    let agent = Agent::start(&lines).await;
    let query = query("www.example.com");
    let mut failures = 0;
    while agent.answers(&query).await != ["192.0.2.1"] {
        failures += 1;
        assert!(failures < 10);
    }
    // Two tries a query: five lies make two failures at least.
    assert!(failures >= 2, "a lie was believed");
    agent.stop().await;
}

#[tokio::test]
async fn identical_queries_under_way_share_one_exchange() {
    let (open, gate) = watch::channel(false);
    let slow = Scripted::start_behind(gate, |query, _| address(query)).await;
    let lines = format!("{}cache: {{entries: 0}}\n", upstream(slow.address));
    let agent = Agent::start(&lines).await;
    let mut clients = JoinSet::new();
    for id in 0..20_u16 {
        let server = agent.dns;
        let name = if id % 2 == 0 {
            "www.example.com"
        } else {
            "WWW.Example.COM"
        };
        clients.spawn(async move {
            let query = query(name).id(id).bytes();
            let reply = ask_udp(server, &query).await;
            assert_eq!(reply[..2], id.to_be_bytes());
            assert_eq!(question_of(&reply), question_of(&query));
        });
    }
    let joined = "crossmesh_dns_coalesced_queries_total";
    agent.metric_becomes(joined, 19.0).await;
    open.send_replace(true);
    clients.join_all().await;
    assert_eq!(slow.asked(), 1);
    agent.stop().await;
}

#[tokio::test]
async fn more_queries_than_allowed_fail_at_once() {
    let (open, gate) = watch::channel(false);
    let slow = Scripted::start_behind(gate, |query, _| address(query)).await;
    let lines = format!(
        "upstreams: {{servers: [\"{}\"], maxConcurrent: 2}}\n",
        slow.address
    );
    let agent = Agent::start(&lines).await;
    let mut clients = JoinSet::new();
    for number in 0..20 {
        let server = agent.dns;
        clients.spawn(async move {
            let query = query(&format!("name-{number}.example.com")).bytes();
            let reply = Message::from_vec(&ask_udp(server, &query).await).unwrap();
            reply.metadata.response_code == ResponseCode::NoError
        });
    }
    let refused = "crossmesh_dns_overloaded_queries_total";
    agent.metric_becomes(refused, 18.0).await;
    open.send_replace(true);
    let all = clients.join_all().await;
    let good = all.into_iter().filter(|good| *good).count();
    assert_eq!((good, slow.asked()), (2, 2));
    agent.stop().await;
}

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
