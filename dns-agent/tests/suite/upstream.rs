//! Which servers are asked, in which order and for how long, when some are slow, dead or lying.

mod kept;
mod odd;
mod options;

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use tokio::{sync::watch, task::JoinSet};

use crate::support::{
    agent::{Agent, ask_udp, upstream},
    message::{QUESTION, query, question_of, record, reply, rtype_of},
    servers::{Scripted, nobody},
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
