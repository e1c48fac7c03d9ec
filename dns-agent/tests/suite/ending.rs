//! What has come before the end was asked for is still answered.

use std::net::SocketAddr;

use crossmesh_dns_agent::{app::App, config::Config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    agent::{Files, PATIENCE, upstream},
    message::query,
    servers::good,
};

const LOCAL: &str = "reviews.shop.svc.cluster.local";
const OTHER: &str = "www.example.com";

/// An agent whose ports are taken and that does not run yet.
async fn bound(server: SocketAddr) -> (Files, App) {
    let files = Files::new(&upstream(server));
    let config = Config::load(&files.path("dns.yaml")).unwrap();
    let app = App::bind(config).await.unwrap();
    (files, app)
}

/// Runs an agent that has been asked to end before it began.
fn run_ended(app: App) -> JoinSet<()> {
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let mut running = JoinSet::new();
    running.spawn(async move { app.run(shutdown).await.unwrap() });
    running
}

#[tokio::test]
async fn queued_datagrams_are_answered() {
    let server = good().await;
    let (_files, app) = bound(server.address).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(app.dns_addresses()[0]).await.unwrap();
    for id in 0..40 {
        let name = if id % 2 == 0 { LOCAL } else { OTHER };
        client.send(&query(name).id(id).bytes()).await.unwrap();
    }
    let mut running = run_ended(app);
    let mut ids = Vec::new();
    let mut buffer = [0; 512];
    while ids.len() < 40 {
        let received = timeout(PATIENCE, client.recv(&mut buffer)).await;
        received.expect("a reply").unwrap();
        ids.push(u16::from_be_bytes([buffer[0], buffer[1]]));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..40).collect::<Vec<_>>());
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn pipelined_queries_are_answered_and_then_the_connection_ends() {
    let server = good().await;
    let (_files, app) = bound(server.address).await;
    let mut stream = TcpStream::connect(app.dns_addresses()[0]).await.unwrap();
    let mut sent = Vec::new();
    for id in 0..9 {
        let name = if id % 2 == 0 { LOCAL } else { OTHER };
        let bytes = query(name).id(id).bytes();
        sent.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        sent.extend(bytes);
    }
    stream.write_all(&sent).await.unwrap();
    let mut running = run_ended(app);
    let mut got = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut got)).await;
    read.expect("the end").unwrap();
    let mut ids = Vec::new();
    let mut rest = &got[..];
    while let [high, low, tail @ ..] = rest {
        let (message, after) = tail.split_at(u16::from_be_bytes([*high, *low]).into());
        ids.push(u16::from_be_bytes([message[0], message[1]]));
        rest = after;
    }
    assert_eq!(ids, (0..9).collect::<Vec<_>>());
    running.join_next().await.unwrap().unwrap();
}
