//! Catalogs that change while queries come.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hickory_proto::op::{Message, ResponseCode};
use tokio::task::JoinSet;

use crate::support::{
    agent::{Agent, EMPTY, Files, LOCAL, PEER, ask_udp, data, upstream},
    message::{QUESTION, query, record, reply, soa},
    servers::{Hickory, Scripted, nobody},
};

const LOCAL_ANSWER: &[&str] = &["10.1.0.9"];
const REMOTE_ANSWER: &[&str] = &["203.0.113.7"];

#[tokio::test]
async fn a_deleted_service_is_answered_by_the_peers_gateway_and_back_again() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    let query = query("reviews.shop.svc.cluster.local");
    assert_eq!(agent.answers(&query).await, LOCAL_ANSWER);
    agent.replace("cluster-1.yaml", EMPTY);
    agent.eventually(&query, REMOTE_ANSWER).await;
    // In place this time.
    fs::write(agent.path("cluster-1.yaml"), LOCAL).unwrap();
    agent.eventually(&query, LOCAL_ANSWER).await;
    agent.stop().await;
}

/// Before the catalog has a service, the cluster's DNS may have told its address for a long time to come.
#[tokio::test]
async fn what_the_clusters_dns_said_before_does_not_outlive_a_service_of_the_catalog() {
    let exists = Arc::new(AtomicBool::new(true));
    let server = {
        let exists = Arc::clone(&exists);
        Scripted::start(move |query, _| {
            Some(if exists.load(Ordering::Relaxed) {
                let answer = record(QUESTION, 1, 3600, &[10, 1, 0, 50]);
                reply(query, 0x8180, [&[answer], &[], &[]])
            } else {
                let authority = record(QUESTION, 6, 5, &soa(5));
                reply(query, 0x8183, [&[], &[authority], &[]])
            })
        })
        .await
    };
    let agent = Agent::start(&upstream(server.address)).await;
    let (late, steady) = (
        query("late.shop.svc.cluster.local"),
        query("native.shop.svc.cluster.local"),
    );
    for asked in [&late, &steady] {
        assert_eq!(agent.answers(asked).await, ["10.1.0.50"]);
    }
    let with = LOCAL.to_owned() + "  - {name: late, namespace: shop, addresses: [10.1.0.60]}\n";
    agent.replace("cluster-1.yaml", &with);
    agent.eventually(&late, &["10.1.0.60"]).await;
    exists.store(false, Ordering::Relaxed);
    agent.replace("cluster-1.yaml", LOCAL);
    agent.eventually(&late, &[]).await;
    // What nobody else told of is kept.
    assert_eq!(agent.answers(&steady).await, ["10.1.0.50"]);
    agent.stop().await;
}

#[tokio::test]
async fn no_query_goes_unanswered_or_wrong_while_catalogs_change() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (done, server) = (Arc::clone(&done), agent.dns);
        clients.spawn(async move {
            let mut answered = 0;
            let changing = query("reviews.shop.svc.cluster.local").bytes();
            let steady = query("catalog.shop.svc.cluster.local").bytes();
            while !done.load(Ordering::Relaxed) {
                let found = data(&Message::from_vec(&ask_udp(server, &changing).await).unwrap());
                assert!(found == LOCAL_ANSWER || found == REMOTE_ANSWER, "{found:?}");
                let found = data(&Message::from_vec(&ask_udp(server, &steady).await).unwrap());
                assert_eq!(found, REMOTE_ANSWER);
                answered += 2;
            }
            answered
        });
    }
    let query = query("reviews.shop.svc.cluster.local");
    for _ in 0..5 {
        agent.replace("cluster-1.yaml", EMPTY);
        agent.eventually(&query, REMOTE_ANSWER).await;
        agent.replace("cluster-1.yaml", LOCAL);
        agent.eventually(&query, LOCAL_ANSWER).await;
    }
    done.store(true, Ordering::Relaxed);
    let answered: usize = clients.join_all().await.iter().sum();
    assert!(answered > 100, "only {answered} queries were asked");
    agent.stop().await;
}

#[tokio::test]
async fn a_bad_catalog_is_refused_named_and_the_last_good_one_stays() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    let bad = PEER.replace("10.2.0.7", "10.2.0.700");
    agent.replace("cluster-2.yaml", &bad);
    let text = agent.readyz_says("stale").await;
    let file = agent.folder().join("cluster-2.yaml");
    let (said, age) = text.rsplit_once(" (as it was ").unwrap();
    assert_eq!(
        said,
        format!(
            "ready\ncatalog cluster-1: synced\ncatalog cluster-2: stale: {}:5: services[1].addresses[0]: \
             \"10.2.0.700\" is no IP address; write an IPv4 or IPv6 address; names are not looked up",
            file.display()
        )
    );
    assert!(age.ends_with(" s ago)\n"), "{age}");
    let query = query("catalog.shop.svc.cluster.local");
    assert_eq!(agent.answers(&query).await, REMOTE_ANSWER);
    let state = "crossmesh_dns_catalog_state{cluster=\"cluster-2\",state=\"stale\"}";
    assert_eq!(agent.metric(state).await, Some(1.0));
    let refused = "crossmesh_dns_catalog_refused_total{cluster=\"cluster-2\"}";
    assert_eq!(agent.metric(refused).await, Some(1.0));

    agent.replace(
        "cluster-2.yaml",
        &PEER.replace("203.0.113.7", "203.0.113.8"),
    );
    agent.eventually(&query, &["203.0.113.8"]).await;
    agent.readyz_says("catalog cluster-2: synced").await;
    agent.stop().await;
}

#[tokio::test]
async fn a_catalog_file_that_goes_away_leaves_its_last_good_state() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    fs::remove_file(agent.path("cluster-1.yaml")).unwrap();
    agent.readyz_says("catalog cluster-1: stale").await;
    let query = query("reviews.shop.svc.cluster.local");
    assert_eq!(agent.answers(&query).await, LOCAL_ANSWER);
    agent.stop().await;
}

#[tokio::test]
async fn a_peer_never_read_holds_back_denials_and_readiness_until_it_is_read() {
    let hickory = Hickory::start().await;
    let files = Files::new(&upstream(hickory.address));
    fs::remove_file(files.path("cluster-2.yaml")).unwrap();
    let agent = Agent::start_with(files).await;
    let (status, text) = agent.text("/readyz").await;
    assert_eq!(status, 503);
    assert!(
        text.starts_with("not ready\npending: catalog cluster-2\n"),
        "{text}"
    );

    // The local cluster's names are answered, and so is what its DNS has.
    assert_eq!(
        agent
            .answers(&query("reviews.shop.svc.cluster.local"))
            .await,
        LOCAL_ANSWER
    );
    assert_eq!(
        agent.answers(&query("native.shop.svc.cluster.local")).await,
        ["192.0.2.3"]
    );
    // The denial of a name that the peer may have is not passed on; of any other it is.
    let missing = query("catalog.shop.svc.cluster.local");
    let reply = agent.ask(&missing.clone().edns(1232)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(ede(&reply), Some(14));
    let counted = "crossmesh_dns_queries_total{transport=\"udp\",source=\"upstream\",outcome=";
    let failed = agent.metric(&format!("{counted}\"servfail\"}}")).await;
    assert_eq!(failed, Some(1.0), "counted as what the client got");
    let outside = query("www.example.org.shop.svc.cluster.local");
    let reply = agent.ask(&outside).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);

    agent.replace("cluster-2.yaml", PEER);
    agent.eventually(&missing, REMOTE_ANSWER).await;
    agent
        .readyz_says("ready\ncatalog cluster-1: synced\ncatalog cluster-2: synced")
        .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_peer_never_read_counts_as_empty_after_a_while() {
    let hickory = Hickory::start().await;
    let lines = format!("{}peerSyncTimeout: 100ms\n", upstream(hickory.address));
    let files = Files::new(&lines);
    files.write("cluster-2.yaml", "schema: something-else\n");
    let agent = Agent::start_with(files).await;
    // Ready a moment after the state is told.
    agent
        .readyz_says("ready\ncatalog cluster-1: synced\ncatalog cluster-2: timed-out")
        .await;
    let reply = agent.ask(&query("catalog.shop.svc.cluster.local")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    agent.replace("cluster-2.yaml", PEER);
    agent
        .eventually(&query("catalog.shop.svc.cluster.local"), REMOTE_ANSWER)
        .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_peers_file_that_cannot_be_read_to_its_end_holds_up_neither_the_others_nor_the_end() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    // A pipe that nobody writes to.
    fs::remove_file(agent.path("cluster-2.yaml")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(agent.path("cluster-2.yaml"))
        .status();
    assert!(made.unwrap().success());
    let query = query("reviews.shop.svc.cluster.local");
    for (text, answer) in [(EMPTY, REMOTE_ANSWER), (LOCAL, LOCAL_ANSWER)] {
        agent.replace("cluster-1.yaml", text);
        agent.eventually(&query, answer).await;
    }
    let text = agent.readyz_says("stale").await;
    assert!(
        text.contains("cluster-2.yaml: the catalog cannot be read"),
        "{text}"
    );
    agent.stop().await;
}

/// The code of a reply's extended error.
fn ede(message: &Message) -> Option<u16> {
    let options = message.edns.as_ref()?.options();
    let option = options
        .as_ref()
        .iter()
        .find(|(code, _)| u16::from(*code) == 15)?;
    let bytes = Vec::<u8>::try_from(&option.1).unwrap();
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[tokio::test]
async fn the_age_of_a_state_grows_from_its_last_sync_and_ends_with_the_next() {
    let agent = Agent::start(&upstream(nobody().await)).await;
    let age = "crossmesh_dns_catalog_age_seconds{cluster=\"cluster-2\"}";
    assert_eq!(agent.metric(age).await, Some(0.0));
    agent.replace("cluster-2.yaml", "nonsense");
    agent.readyz_says("catalog cluster-2: stale").await;
    let before = agent.metric(age).await.unwrap();
    assert!(before > 0.0);
    assert!(agent.metric(age).await.unwrap() > before);
    agent.replace("cluster-2.yaml", PEER);
    agent.metric_becomes(age, 0.0).await;
    // So far no name has changed. From here on one does, and that is measured.
    let measured = "crossmesh_dns_change_to_answer_seconds_count";
    assert_eq!(agent.metric(measured).await, Some(0.0));
    agent.replace("cluster-1.yaml", EMPTY);
    agent.metric_becomes(measured, 1.0).await;
}
