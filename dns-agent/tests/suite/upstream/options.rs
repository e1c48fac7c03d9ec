//! EDNS options on their way to a server and back: above all which network a client is in (RFC 7871), on which the answer may
//! depend.

use std::sync::{Arc, Mutex};

use crate::support::{
    agent::{Agent, upstream},
    message::{Draft, QUESTION, option, query, record, reply},
    servers::Scripted,
};

const SUBNET: u16 = 8;
const COOKIE: u16 = 10;

/// 24 bits of 192.0.NETWORK.0, and of how many bits the answer depends.
fn subnet(network: u8, scope: u8) -> [u8; 7] {
    [0, 1, 24, scope, 192, 0, network]
}

fn from(network: u8) -> Draft {
    query("www.example.com").option(SUBNET, &subnet(network, 0))
}

/// The data of the OPT record at the end of a query.
fn options_of(message: &[u8]) -> Option<Vec<u8>> {
    let at = message.windows(3).rposition(|bytes| bytes == [0, 0, 41])?;
    Some(message[at + 11..].to_vec())
}

type Seen = Arc<Mutex<Vec<Option<Vec<u8>>>>>;

/// A server whose answer depends on the client's network, with `scope` bits; and the options that it saw.
async fn server(scope: u8) -> (Scripted, Seen) {
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let server = Scripted::start(move |query, _| {
        let options = options_of(query);
        told.lock().unwrap().push(options.clone());
        let network = options.as_ref().and_then(|of| of.get(10).copied());
        let network = network.unwrap_or(0);
        let answer = record(QUESTION, 1, 300, &[10, 0, 0, network]);
        let echoed = option(SUBNET, &subnet(network, scope));
        let opt = record(&[0], 41, 0, &echoed);
        Some(reply(query, 0x8180, [&[answer], &[], &[opt]]))
    })
    .await;
    (server, seen)
}

#[tokio::test]
async fn a_clients_network_is_passed_on_and_its_answer_is_nobody_elses() {
    let (server, seen) = server(24).await;
    let agent = Agent::start(&upstream(server.address)).await;
    for _ in 0..3 {
        for network in [1, 2] {
            let reply = agent.ask(&from(network)).await;
            assert_eq!(
                reply.answers[0].data.to_string(),
                format!("10.0.0.{network}")
            );
            // How far the answer goes comes back.
            let edns = reply.edns.unwrap();
            assert!(edns.option(SUBNET.into()).is_some());
        }
    }
    // Each once, then from the cache.
    let subnets = [1, 2].map(|network| Some(option(SUBNET, &subnet(network, 0))));
    assert_eq!(*seen.lock().unwrap(), subnets);
    agent.stop().await;
}

#[tokio::test]
async fn an_answer_for_one_network_is_not_kept_for_those_who_did_not_say_theirs() {
    for (scope, asked) in [(24, 3), (0, 1)] {
        let (server, _) = server(scope).await;
        let agent = Agent::start(&upstream(server.address)).await;
        for _ in 0..3 {
            // Nobody told the server a network, and it made one up.
            let plain = query("www.example.com").edns(1232);
            assert_eq!(agent.answers(&plain).await, ["10.0.0.0"]);
        }
        assert_eq!(server.asked(), asked, "{scope}");
        agent.stop().await;
    }
}

#[tokio::test]
async fn what_concerns_one_hop_is_not_passed_on_and_does_not_keep_answers_apart() {
    let (server, seen) = server(0).await;
    let agent = Agent::start(&upstream(server.address)).await;
    for cookie in 0..3 {
        let asked = query("www.example.com").option(COOKIE, &[cookie; 8]);
        let asked = asked.option(11, &[]).option(12, &[0; 64]);
        let reply = agent.ask(&asked).await;
        let edns = reply.edns.unwrap();
        assert!(edns.option(COOKIE.into()).is_none());
    }
    assert_eq!(*seen.lock().unwrap(), [Some(vec![])]);
    agent.stop().await;
}

#[tokio::test]
async fn options_are_passed_on_over_tcp_too() {
    let server = Scripted::start(|query, over_tcp| {
        let network = options_of(query)?.get(10).copied()?;
        let answer = record(QUESTION, 1, 300, &[10, 0, 0, network]);
        match over_tcp {
            true => Some(reply(query, 0x8180, [&[answer], &[], &[]])),
            false => Some(reply(query, 0x8380, [&[], &[], &[]])),
        }
    })
    .await;
    let agent = Agent::start(&upstream(server.address)).await;
    assert_eq!(agent.answers(&from(7)).await, ["10.0.0.7"]);
    agent.stop().await;
}
