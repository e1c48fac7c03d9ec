//! Forwarding loops: an upstream server that sends what it is asked back to the agent.

use std::{net::SocketAddr, sync::Arc};

use hickory_proto::op::ResponseCode;
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};

use crate::support::{
    agent::{Agent, ask_udp},
    message::query,
    servers::good,
};

/// Sends every question on to where it is told, once it is told, as a resolver does.
struct Resolver {
    address: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
    asked: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Resolver {
    async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let (to, target) = watch::channel(None);
        let (count, asked) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut relays = JoinSet::new();
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                count.send_modify(|count| *count += 1);
                let (query, socket) = (buffer[..length].to_vec(), Arc::clone(&socket));
                let mut target = target.clone();
                relays.spawn(async move {
                    let target = target.wait_for(Option::is_some).await.unwrap().unwrap();
                    let reply = ask_udp(target, &query).await;
                    // Some clients have gone by then.
                    let _ = socket.send_to(&reply, client).await;
                });
            }
        });
        Self {
            address,
            to,
            asked,
            _tasks: tasks,
        }
    }
}

#[tokio::test]
async fn a_server_that_leads_back_is_named_and_not_asked_until_it_does_not() {
    let (resolver, good) = (Resolver::start().await, good().await);
    let server = resolver.address;
    let agent = Agent::start(&format!("upstreams: {{servers: [\"{server}\"]}}\n")).await;
    resolver.to.send_replace(Some(agent.dns));
    agent
        .readyz_says(&format!("upstream {server}: a forwarding loop"))
        .await;
    let metric = format!("crossmesh_dns_upstream_loop{{server=\"{server}\"}}");
    agent.metric_becomes(&metric, 1.0).await;
    let before = *resolver.asked.borrow();
    for number in 0..20 {
        let asked = query(&format!("{number}.example.com")).edns(1232);
        let found = agent.ask(&asked).await;
        assert_eq!(found.metadata.response_code, ResponseCode::ServFail);
        let error: Vec<u8> = found
            .edns
            .unwrap()
            .option(15_u16.into())
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(error[..2], [0, 23]);
    }
    // It may have been looked at once more meanwhile.
    assert!(
        *resolver.asked.borrow() <= before + 1,
        "questions went round"
    );
    resolver.to.send_replace(Some(good.address));
    agent.metric_becomes(&metric, 0.0).await;
    assert_eq!(
        agent.answers(&query("www.example.com")).await,
        ["192.0.2.1"]
    );
    agent.stop().await;
}

#[tokio::test]
async fn other_servers_answer_for_one_that_leads_back_and_the_clusters_dns_is_looked_at_too() {
    let (resolver, good) = (Resolver::start().await, good().await);
    let (bad, good_one) = (resolver.address, good.address);
    let agent = Agent::start(&format!(
        "upstreams: {{servers: [\"{bad}\", \"{good_one}\"], clusterZone: [\"{bad}\"]}}\n"
    ))
    .await;
    resolver.to.send_replace(Some(agent.dns));
    agent
        .readyz_says(&format!("upstream {bad}: a forwarding loop"))
        .await;
    let twice = async {
        while agent
            .text("/readyz")
            .await
            .1
            .matches("a forwarding loop")
            .count()
            < 2
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::support::agent::PATIENCE, twice)
        .await
        .unwrap();
    for number in 0..10 {
        let asked = query(&format!("{number}.example.com"));
        assert_eq!(agent.answers(&asked).await, ["192.0.2.1"]);
    }
    // What sends outside names back may have the cluster's own.
    resolver.to.send_replace(Some(good_one));
    let in_zone = agent.ask(&query("absent.shop.svc.cluster.local")).await;
    assert_ne!(in_zone.metadata.response_code, ResponseCode::ServFail);
    agent.stop().await;
}
