//! A whole agent as a client sees it: both transports, EDNS, refusals, the admin interface.

use std::collections::BTreeMap;

use hickory_proto::op::{Message, ResponseCode};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
};

use crate::support::{
    agent::{Agent, Files, PATIENCE, PEER, ask_stream, ask_udp, data, upstream},
    message::query,
    servers::nobody,
};
use crossmesh_proto::admin::v1 as proto;

async fn agent() -> Agent {
    Agent::start(&upstream(nobody().await)).await
}

#[tokio::test]
async fn both_transports_give_the_same_answer() {
    let agent = agent().await;
    let query = query("Reviews.shop.svc.cluster.local");
    let udp = agent.ask(&query).await;
    assert_eq!(data(&udp), ["10.1.0.9"]);
    assert_eq!(udp, agent.ask_tcp(&query).await);
    agent.stop().await;
}

#[tokio::test]
async fn the_question_and_the_owner_keep_their_case() {
    let agent = agent().await;
    let query = query("rEvIeWs.ShOp.svc.CLUSTER.local");
    let reply = agent.ask_bytes(&query.bytes()).await;
    assert!(reply[12..].starts_with(&query.question()));
    let message = Message::from_vec(&reply).unwrap();
    assert_eq!(
        message.answers[0].name.to_string(),
        "rEvIeWs.ShOp.svc.CLUSTER.local."
    );
    agent.stop().await;
}

/// As CoreDNS does (its `TestPreserveCase`): some resolvers choose the case by chance and look whether it comes back.
#[tokio::test]
async fn targets_their_addresses_and_the_soa_keep_the_questions_case() {
    let local = "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservices:\n  \
        - {name: db, namespace: shop, ports: [{name: tcp-db, port: 5432}], \
        endpoints: [{address: 10.1.5.1, hostname: db-0}, {address: 10.1.5.2, hostname: xdb}]}\n";
    let files = Files::new(&upstream(nobody().await));
    files.write("cluster-1.yaml", local);
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    files.write("dns.yaml", &format!("{text}mode: authoritative\n"));
    let agent = Agent::start_with(files).await;
    let ask = async |name: &str, rtype: u16| agent.ask(&query(name).rtype(rtype)).await;
    let names = |records: &[hickory_proto::rr::Record]| -> Vec<String> {
        records.iter().map(|of| of.name.to_string()).collect()
    };

    let reply = ask("_TCP-db._tCP.Db.ShOp.svc.CLUSTER.local", 33).await;
    let targets = [
        "xdb.Db.ShOp.svc.CLUSTER.local.",
        "db-0.Db.ShOp.svc.CLUSTER.local.",
    ];
    assert_eq!(
        data(&reply),
        targets.map(|target| format!("0 50 5432 {target}"))
    );
    assert_eq!(names(&reply.additionals), targets);
    assert_eq!(
        names(&reply.answers),
        ["_TCP-db._tCP.Db.ShOp.svc.CLUSTER.local."; 2]
    );
    // Of a name that does not end alike only what does.
    let reply = ask("cLuster.local", 2).await;
    assert_eq!(data(&reply), ["ns.dns.cLuster.local."]);
    assert_eq!(names(&reply.additionals), ["ns.dns.cLuster.local."]);
    let reply = ask("clusterset.LOCAL", 2).await;
    assert_eq!(data(&reply), ["ns.dns.cluster.LOCAL."]);
    let reply = ask("none.shop.SVC.cluster.Local", 1).await;
    assert_eq!(names(&reply.authorities), ["cluster.Local."]);
    let soa = reply.authorities[0].data.to_string();
    assert!(
        soa.starts_with("ns.dns.cluster.Local. hostmaster.cluster.Local. "),
        "{soa}"
    );
    agent.stop().await;
}

/// What is not repeated whole leaves room for records: 512 bytes must do without EDNS.
#[tokio::test]
async fn the_addresses_of_targets_are_owned_by_compressed_names() {
    let endpoints: Vec<String> = (0..5)
        .map(|at| format!("{{address: 10.1.5.{at}, hostname: a-rather-long-name-{at}}}"))
        .collect();
    let local = format!(
        "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservices:\n  \
         - {{name: db, namespace: shop, ports: [{{name: db, port: 1}}], endpoints: [{}]}}\n",
        endpoints.join(", ")
    );
    let files = Files::new(&upstream(nobody().await));
    files.write("cluster-1.yaml", &local);
    let agent = Agent::start_with(files).await;
    let reply = agent
        .ask(&query("db.shop.svc.cluster.local").rtype(33))
        .await;
    assert_eq!(reply.answers.len(), 5, "{reply}");
    // Of names written whole there would be room for two.
    assert_eq!(reply.additionals.len(), 3, "{reply}");
    agent.stop().await;
}

#[tokio::test]
async fn a_reply_repeats_rd_and_cd_and_says_aa_and_ra() {
    let agent = agent().await;
    for flags in [0x0000, 0x0100, 0x0110, 0x0030] {
        let query = query("reviews.shop.svc.cluster.local").flags(flags);
        let reply = agent.ask_bytes(&query.bytes()).await;
        let found = u16::from_be_bytes([reply[2], reply[3]]);
        assert_eq!(found, 0x8480 | (flags & 0x0110), "{flags:#06x}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn edns_is_answered_iff_asked_and_only_in_our_version() {
    let agent = agent().await;
    let query = query("reviews.shop.svc.cluster.local");
    assert!(agent.ask(&query).await.edns.is_none());
    let plain = agent.ask(&query.clone().edns(4096)).await.edns.unwrap();
    assert_eq!((plain.max_payload(), plain.version()), (1232, 0));
    assert!(!plain.flags().dnssec_ok);
    let secure = agent.ask(&query.clone().dnssec_ok()).await.edns.unwrap();
    assert!(secure.flags().dnssec_ok);
    let newer = agent.ask(&query.edns_version(1)).await;
    // BADVERS; hickory calls 16 by its other name.
    assert_eq!(u16::from(newer.metadata.response_code), 16);
    assert_eq!(newer.edns.unwrap().version(), 0);
    assert!(newer.answers.is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_by_its_code() {
    let agent = agent().await;
    let query = query("reviews.shop.svc.cluster.local");
    let check = async |bytes: Vec<u8>, expected: ResponseCode| {
        let reply = Message::from_vec(&agent.ask_bytes(&bytes).await).unwrap();
        assert_eq!(reply.metadata.response_code, expected);
        assert_eq!(reply.metadata.id, 0x1234);
        assert!(reply.answers.is_empty());
    };
    let mut two_questions = query.bytes();
    two_questions[5] = 2;
    check(two_questions, ResponseCode::FormErr).await;
    check(query.clone().flags(0x2800).bytes(), ResponseCode::NotImp).await;
    check(query.clone().flags(0x2000).bytes(), ResponseCode::NotImp).await;
    check(query.clone().class(3).bytes(), ResponseCode::Refused).await;
    check(query.clone().rtype(252).bytes(), ResponseCode::Refused).await;
    check(query.clone().rtype(251).bytes(), ResponseCode::Refused).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_is_no_query_gets_silence_and_the_next_one_its_answer() {
    let agent = agent().await;
    let good = query("reviews.shop.svc.cluster.local").bytes();
    let mut reply = good.clone();
    reply[2] |= 0x80;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for bytes in [&[][..], &good[..11], &reply] {
        socket.send_to(bytes, agent.dns).await.unwrap();
    }
    // Served in order: had one of them been answered, its reply would come first.
    socket.send_to(&good, agent.dns).await.unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert_eq!(
        data(&Message::from_vec(&buffer[..length]).unwrap()),
        ["10.1.0.9"]
    );
    assert_eq!(
        agent.metric("crossmesh_dns_ignored_messages_total").await,
        Some(3.0)
    );
    agent.stop().await;
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_cut_and_whole_over_tcp() {
    let files = Files::new(&upstream(nobody().await));
    let endpoints: Vec<String> = (0..200)
        .map(|host| format!("{{address: 10.1.7.{host}}}"))
        .collect();
    files.write(
        "cluster-1.yaml",
        &format!(
            "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservices:\n  \
             - {{name: many, namespace: shop, endpoints: [{}]}}\n",
            endpoints.join(", ")
        ),
    );
    let agent = Agent::start_with(files).await;
    let query = query("many.shop.svc.cluster.local");
    let check = async |bytes: Vec<u8>, limit: usize| {
        let reply = ask_udp(agent.dns, &bytes).await;
        let message = Message::from_vec(&reply).unwrap();
        assert!(message.metadata.truncation);
        // As many records as fit, and not one more.
        assert!(
            reply.len() <= limit && reply.len() + 16 > limit,
            "{}",
            reply.len()
        );
    };
    check(query.bytes(), 512).await;
    check(query.clone().edns(1232).bytes(), 1232).await;
    check(query.clone().edns(4096).bytes(), 1232).await;
    let whole = agent.ask_tcp(&query).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 200);
    agent.stop().await;
}

#[tokio::test]
async fn one_tcp_connection_takes_many_queries_even_at_once() {
    let agent = agent().await;
    let mut stream = TcpStream::connect(agent.dns).await.unwrap();
    for id in 0..3 {
        let query = query("reviews.shop.svc.cluster.local").id(id).bytes();
        let reply = ask_stream(&mut stream, &query).await.unwrap();
        assert_eq!(reply[..2], id.to_be_bytes());
    }
    let mut many = Vec::new();
    for id in 0..10_u16 {
        let query = query("reviews.shop.svc.cluster.local").id(id).bytes();
        many.extend(u16::try_from(query.len()).unwrap().to_be_bytes());
        many.extend(query);
    }
    // In pieces that respect no boundary.
    for piece in many.chunks(7) {
        stream.write_all(piece).await.unwrap();
    }
    for id in 0..10_u16 {
        let length = stream.read_u16().await.unwrap();
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[..2], id.to_be_bytes());
    }
    agent.stop().await;
}

#[tokio::test]
async fn idle_and_surplus_tcp_connections_are_closed() {
    let lines = format!(
        "{}tcp: {{maxConnections: 1, idleTimeout: 2s}}\n",
        upstream(nobody().await)
    );
    let agent = Agent::start(&lines).await;
    let good = query("reviews.shop.svc.cluster.local").bytes();
    let mut first = TcpStream::connect(agent.dns).await.unwrap();
    ask_stream(&mut first, &good).await.unwrap();
    let mut second = TcpStream::connect(agent.dns).await.unwrap();
    assert!(ask_stream(&mut second, &good).await.is_err());
    assert_eq!(
        agent
            .metric("crossmesh_dns_tcp_connections_refused_total")
            .await,
        Some(1.0)
    );
    let end = tokio::time::timeout(PATIENCE, first.read(&mut [0])).await;
    assert_eq!(end.unwrap().unwrap(), 0, "closed when it had been idle");
    let mut third = TcpStream::connect(agent.dns).await.unwrap();
    ask_stream(&mut third, &good).await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn the_admin_interface_tells_life_readiness_and_counts() {
    let agent = agent().await;
    assert_eq!(agent.text("/livez").await, (200, "alive\n".to_owned()));
    let (status, text) = agent.text("/readyz").await;
    assert_eq!(
        (status, text.as_str()),
        (
            200,
            "ready\ncatalog cluster-1: synced\ncatalog cluster-2: synced\n"
        )
    );
    agent.ask(&query("catalog.shop.svc.cluster.local")).await;
    agent
        .ask(&query("catalog.shop.svc.cluster.local").rtype(28))
        .await;
    agent
        .ask_tcp(&query("reviews.shop.svc.cluster.local"))
        .await;
    let check = async |line: &str, expected: f64| {
        assert_eq!(agent.metric(line).await, Some(expected), "{line}");
    };
    let queries = "crossmesh_dns_queries_total{transport=";
    check(
        &format!("{queries}\"udp\",source=\"catalog\",outcome=\"noerror\"}}"),
        1.0,
    )
    .await;
    check(
        &format!("{queries}\"udp\",source=\"catalog\",outcome=\"nodata\"}}"),
        1.0,
    )
    .await;
    check(
        &format!("{queries}\"tcp\",source=\"catalog\",outcome=\"noerror\"}}"),
        1.0,
    )
    .await;
    check("crossmesh_dns_answers_total{reason=\"gateway\"}", 1.0).await;
    check(
        "crossmesh_dns_catalog_state{cluster=\"cluster-2\",state=\"synced\"}",
        1.0,
    )
    .await;
    check("crossmesh_dns_catalog_services{cluster=\"cluster-2\"}", 2.0).await;
    assert_eq!(agent.text("/nothing").await.0, 404);
    agent.stop().await;
}

#[tokio::test]
async fn the_table_tells_every_name_and_cluster() {
    let agent = agent().await;
    let (status, body) = agent.page("/v1/table").await;
    assert_eq!(status, 200);
    let table = proto::Table::decode(&body[..]).unwrap();
    assert_eq!(table.cluster_domain, "cluster.local");
    assert_eq!(
        (table.local_cluster.as_str(), table.ttl_seconds),
        ("cluster-1", 5)
    );
    let clusters = table.clusters.iter();
    let clusters: Vec<_> = clusters
        .map(|cluster| (cluster.id.as_str(), cluster.state(), cluster.services))
        .collect();
    assert_eq!(
        clusters,
        [
            ("cluster-1", proto::SyncState::Synced, 1),
            ("cluster-2", proto::SyncState::Synced, 2)
        ]
    );
    let names = table.names.iter();
    let names: Vec<_> = names
        .map(|name| {
            (
                name.name.as_str(),
                name.reason(),
                name.addresses.join(" "),
                name.clusters.join(" "),
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            (
                "catalog.shop.svc.cluster.local",
                proto::Reason::Gateway,
                "203.0.113.7".to_owned(),
                "cluster-2".to_owned()
            ),
            (
                "reviews.shop.svc.cluster.local",
                proto::Reason::Local,
                "10.1.0.9".to_owned(),
                "cluster-1".to_owned()
            ),
        ]
    );
    agent.stop().await;
}

#[tokio::test]
async fn every_gateway_comes_first_about_equally_often_for_whoever_asks_as_resolvers_do() {
    let files = Files::new(&upstream(nobody().await));
    let gateways = PEER.replace(
        "{address: 203.0.113.7}",
        "{address: 203.0.113.1}, {address: 203.0.113.2}, {address: 203.0.113.3}, {address: 203.0.113.4}",
    );
    files.write("cluster-2.yaml", &gateways);
    let agent = Agent::start_with(files).await;
    let asked = query("catalog.shop.svc.cluster.local");
    // What is asked between two A queries of the name: nothing, its AAAA, other names' A.
    let others = [
        vec![],
        vec![asked.clone().rtype(28)],
        vec![query("reviews.shop.svc.cluster.local"); 3],
    ];
    for between in others {
        let mut firsts = BTreeMap::<String, usize>::new();
        for _ in 0..400 {
            *firsts
                .entry(agent.answers(&asked).await.remove(0))
                .or_default() += 1;
            for other in &between {
                agent.ask(other).await;
            }
        }
        // A hundred each; the deviation is nine.
        let fair = firsts.values().all(|count| (40..160).contains(count));
        assert!(fair && firsts.len() == 4, "{firsts:?}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn connections_without_a_request_leave_the_admin_interface_to_others_and_end() {
    let agent = agent().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(agent.admin).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        silent.push(stream);
    }
    // Another client than 127.0.0.1 finds a place.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(agent.admin).await.unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.ends_with("alive\n"), "{page}");
    for mut stream in silent {
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        // Closed or reset, and not for ever open.
        let _ = end.expect("an end");
    }
    assert_eq!(agent.text("/livez").await.0, 200);
    agent.stop().await;
}

#[tokio::test]
async fn one_client_cannot_take_all_tcp_connections() {
    let lines = format!("{}tcp: {{maxConnections: 8}}\n", upstream(nobody().await));
    let agent = Agent::start(&lines).await;
    let good = query("reviews.shop.svc.cluster.local").bytes();
    let mut open = Vec::new();
    for number in 0..8 {
        let mut stream = TcpStream::connect(agent.dns).await.unwrap();
        let answered = ask_stream(&mut stream, &good).await.is_ok();
        assert_eq!(answered, number < 2, "connection {number}");
        open.push(stream);
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(agent.dns).await.unwrap();
    ask_stream(&mut other, &good).await.unwrap();
    agent.stop().await;
}
