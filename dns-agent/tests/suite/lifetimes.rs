//! For how long an answer with a gateway's addresses may be kept, where the gateway is known by a name: no longer than the
//! name's own addresses.

use std::{path::Path, sync::Arc, time::Duration};

use crossmesh_dns_agent::{config::Config, metrics::Metrics, name::Name, upstream::Upstream};
use crossmesh_proto::admin::v1::{Explanation, answer::Kind};
use hickory_proto::op::Message;
use prost::Message as _;
use tokio::time::timeout;

use crate::support::{
    agent::{Agent, Files, LOCAL, PATIENCE, PEER, upstream},
    message::{Draft, QUESTION, query, record, reply, rtype_of, soa},
    servers::Scripted,
};

/// A server whose every name has one address for so many seconds.
async fn server(ttl: u32) -> Scripted {
    Scripted::start(move |query, _| {
        Some(if rtype_of(query) == 1 {
            let answer = record(QUESTION, 1, ttl, &[203, 0, 113, 9]);
            reply(query, 0x8180, [&[answer], &[], &[]])
        } else {
            let authority = record(QUESTION, 6, 900, &soa(900));
            reply(query, 0x8180, [&[], &[authority], &[]])
        })
    })
    .await
}

fn catalog() -> Draft {
    query("catalog.shop.svc.cluster.local")
}

/// Of every record but OPT, the greatest.
fn ttl(message: &Message) -> u32 {
    let records = message.answers.iter().chain(&message.additionals);
    records.map(|record| record.ttl).max().unwrap()
}

#[tokio::test]
async fn an_answer_lives_no_longer_than_the_name_of_the_gateway_in_it() {
    let server = server(2).await;
    let files = Files::bare(&format!(
        "cluster: {{id: cluster-1, mesh: east}}\nttl: 60\ncatalogs:\n  \
         - {{cluster: cluster-1, file: cluster-1.yaml}}\n  \
         - {{cluster: cluster-2, file: cluster-2.yaml, gateways: [{{address: gw.example.com}}]}}\n{}",
        upstream(server.address)
    ));
    files.write("cluster-1.yaml", LOCAL);
    files.write("cluster-2.yaml", PEER);
    let agent = Agent::start_with(files).await;
    agent.eventually(&catalog(), &["203.0.113.9"]).await;
    let looked_up = server.asked();
    let through_look_ups = async {
        while server.asked() < looked_up + 4 {
            let srv = catalog().rtype(33).edns(1232);
            for asked in [catalog(), srv] {
                let found = agent.ask(&asked).await;
                let ttl = ttl(&found);
                assert!((1..=2).contains(&ttl), "{found:?}");
            }
            // What is ours alone is not concerned.
            let local = agent.ask(&query("reviews.shop.svc.cluster.local")).await;
            assert_eq!(ttl(&local), 60);
        }
    };
    timeout(PATIENCE, through_look_ups).await.unwrap();
    let (_, told) = agent
        .page("/v1/explain/A/catalog.shop.svc.cluster.local")
        .await;
    let told = Explanation::decode(&*told).unwrap();
    let Some(Kind::Reply(told)) = told.answer.unwrap().kind else {
        panic!("an answer of our own");
    };
    assert!((1..=2).contains(&told.ttl_seconds), "{told:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_name_that_is_kept_is_good_for_the_rest_of_its_time_alone() {
    let server = server(20).await;
    let text = format!(
        "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\ncluster: {{id: cluster-1, mesh: east}}\n\
         catalogs: [{{cluster: cluster-1, file: cluster-1.yaml}}]\n{}",
        upstream(server.address)
    );
    let config = Config::parse(Path::new("dns.yaml"), &text).unwrap();
    let metrics = Arc::new(Metrics::default());
    let upstream = Upstream::new(&config, vec![server.address], "test".to_owned(), metrics);
    let name = Name::parse("gw.example.com").unwrap();
    let whole = Duration::from_secs(20);
    let aged = async {
        while upstream.look_up(&name).await.unwrap().lasts >= whole {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, aged).await.unwrap();
    // Of each type once.
    assert_eq!(server.asked(), 2);
}
