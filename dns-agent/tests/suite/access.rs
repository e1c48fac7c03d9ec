//! Whose queries are answered.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use crossmesh_dns_agent::{address_range::AddressRange, config::Config};
use hickory_proto::op::{Message, ResponseCode};
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, UdpSocket},
    time::timeout,
};

use crate::support::{
    agent::{Agent, Files, PATIENCE, ask_stream, data, upstream},
    message::query,
    servers::nobody,
};

async fn ask_from(client: &str, server: SocketAddr, query: &[u8]) -> Message {
    let client: SocketAddr = format!("{client}:0").parse().unwrap();
    let udp = UdpSocket::bind(client).await.unwrap();
    udp.connect(server).await.unwrap();
    udp.send(query).await.unwrap();
    let mut reply = [0; 512];
    let length = timeout(PATIENCE, udp.recv(&mut reply)).await.unwrap();
    Message::from_vec(&reply[..length.unwrap()]).unwrap()
}

/// An error: the connection ended before a reply.
async fn ask_from_over_tcp(client: &str, server: SocketAddr, query: &[u8]) -> io::Result<Message> {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.bind(format!("{client}:0").parse().unwrap()).unwrap();
    let mut stream = tcp.connect(server).await?;
    let reply = ask_stream(&mut stream, query).await?;
    Ok(Message::from_vec(&reply).unwrap())
}

async fn agent(lines: &str) -> Agent {
    let ranges = "allowFrom: [127.0.0.2/32, 127.0.1.0/24]\n";
    Agent::start(&format!("{}{ranges}{lines}", upstream(nobody().await))).await
}

const PROHIBITED: &str = "crossmesh_dns_prohibited_queries_total";
const OURS: &str = "reviews.shop.svc.cluster.local";

#[tokio::test]
async fn only_clients_in_a_range_are_answered_over_both_transports() {
    let agent = agent("").await;
    let asked = query(OURS).edns(1232).bytes();
    for client in ["127.0.0.2", "127.0.1.200"] {
        let over_udp = ask_from(client, agent.dns, &asked).await;
        let over_tcp = ask_from_over_tcp(client, agent.dns, &asked).await;
        for reply in [over_udp, over_tcp.unwrap()] {
            assert_eq!(data(&reply), ["10.1.0.9"], "{client}");
        }
    }
    let elsewhere = query("www.example.com").edns(1232).bytes();
    for query in [&asked, &elsewhere] {
        let reply = ask_from("127.0.0.1", agent.dns, query).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
        assert!(reply.answers.is_empty());
        let edns = reply.edns.unwrap();
        // RFC 8914 §4.19: Prohibited.
        let error: Vec<u8> = edns.option(15_u16.into()).unwrap().try_into().unwrap();
        assert_eq!(error[..2], [0, 18]);
        let reply = ask_from_over_tcp("127.0.0.1", agent.dns, query).await;
        assert!(reply.is_err(), "{reply:?}");
    }
    assert_eq!(agent.metric(PROHIBITED).await, Some(4.0));
    agent.stop().await;
}

#[tokio::test]
async fn whoever_is_not_served_learns_nothing_of_what_is_wrong_with_a_query() {
    let agent = agent("").await;
    let update = query(OURS).flags(5 << 11).bytes();
    let version = query(OURS).edns_version(1).bytes();
    let mut two_questions = query(OURS).bytes();
    two_questions[5] = 2;
    // NOTIMP, FORMERR, BADVERS.
    let all = [(update, 4), (two_questions, 1), (version, 16)];
    for (asked, code) in &all {
        let reply = ask_from("127.0.0.2", agent.dns, asked).await;
        assert_eq!(u16::from(reply.metadata.response_code), *code);
        let reply = ask_from("127.0.0.1", agent.dns, asked).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
        let reply = ask_from_over_tcp("127.0.0.1", agent.dns, asked).await;
        assert!(reply.is_err(), "{reply:?}");
    }
    assert_eq!(agent.metric(PROHIBITED).await, Some(6.0));
    agent.stop().await;
}

#[tokio::test]
async fn whoever_is_not_served_takes_no_place_among_the_connections() {
    let agent = agent("tcp: {maxConnections: 1}\n").await;
    let connect = async || {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        tcp.connect(agent.dns).await.unwrap()
    };
    let mut idle = [connect().await, connect().await];
    for stream in &mut idle {
        let end = timeout(PATIENCE, stream.read_u8()).await.unwrap();
        assert!(end.is_err(), "the connection stays open");
    }
    let asked = query(OURS).bytes();
    let reply = ask_from_over_tcp("127.0.0.2", agent.dns, &asked).await;
    assert_eq!(data(&reply.unwrap()), ["10.1.0.9"]);
    let refused = "crossmesh_dns_tcp_connections_refused_total";
    assert_eq!(agent.metric(refused).await, Some(0.0));
    agent.stop().await;
}

#[tokio::test]
async fn by_default_it_is_no_open_resolver() {
    let files = Files::new(&upstream(nobody().await));
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    let cluster = "cluster: {id: cluster-1, mesh: east}";
    assert!(text.contains(cluster));
    let text = text
        .replace("[127.0.0.1:0]", "[\"198.51.100.7:53\"]")
        .replace(
            cluster,
            "cluster: {id: cluster-1, mesh: east, ranges: [203.0.113.0/24]}",
        );
    let config = Config::parse(&files.path("dns.yaml"), &text).unwrap();
    let check = |client: &str, allowed: bool| {
        let client: IpAddr = client.parse().unwrap();
        let mut ranges = config.allow_from.iter();
        let found = ranges.any(|range: &AddressRange| range.contains(client));
        assert_eq!(found, allowed, "{client}");
    };
    for near in [
        "127.0.0.1",
        "10.244.1.7",
        "172.31.0.1",
        "192.168.0.1",
        "169.254.20.10",
        "100.64.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
    ] {
        check(near, true);
    }
    check("203.0.113.9", true);
    check("198.51.100.7", true);
    for far in [
        "8.8.8.8",
        "172.32.0.1",
        "198.51.100.8",
        "2001:db8::1",
        "100.128.0.1",
    ] {
        check(far, false);
    }
}
