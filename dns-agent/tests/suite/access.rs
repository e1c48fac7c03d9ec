//! Whose queries are answered.

use std::net::{IpAddr, SocketAddr};

use crossmesh_dns_agent::{address_range::AddressRange, config::Config};
use hickory_proto::op::{Message, ResponseCode};
use tokio::net::{TcpSocket, UdpSocket};

use crate::support::{
    agent::{Agent, Files, ask_stream, data, upstream},
    message::query,
    servers::nobody,
};

async fn ask_from(client: &str, server: SocketAddr, query: &[u8]) -> [Message; 2] {
    let client: SocketAddr = format!("{client}:0").parse().unwrap();
    let udp = UdpSocket::bind(client).await.unwrap();
    udp.connect(server).await.unwrap();
    udp.send(query).await.unwrap();
    let mut reply = [0; 512];
    let length = udp.recv(&mut reply).await.unwrap();
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.bind(client).unwrap();
    let mut stream = tcp.connect(server).await.unwrap();
    let over_tcp = ask_stream(&mut stream, query).await.unwrap();
    [&reply[..length], &over_tcp].map(|bytes| Message::from_vec(bytes).unwrap())
}

#[tokio::test]
async fn only_clients_in_a_range_are_answered_over_both_transports() {
    let lines = format!(
        "{}allowFrom: [127.0.0.2/32, 127.0.1.0/24]\n",
        upstream(nobody().await)
    );
    let agent = Agent::start(&lines).await;
    let asked = query("reviews.shop.svc.cluster.local").edns(1232).bytes();
    for client in ["127.0.0.2", "127.0.1.200"] {
        for reply in ask_from(client, agent.dns, &asked).await {
            assert_eq!(data(&reply), ["10.1.0.9"], "{client}");
        }
    }
    let elsewhere = query("www.example.com").edns(1232).bytes();
    for query in [&asked, &elsewhere] {
        for reply in ask_from("127.0.0.1", agent.dns, query).await {
            assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
            assert!(reply.answers.is_empty());
            let edns = reply.edns.unwrap();
            // RFC 8914 §4.19: Prohibited.
            let error: Vec<u8> = edns.option(15_u16.into()).unwrap().try_into().unwrap();
            assert_eq!(error[..2], [0, 18]);
        }
    }
    assert_eq!(
        agent.metric("crossmesh_dns_prohibited_queries_total").await,
        Some(4.0)
    );
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
