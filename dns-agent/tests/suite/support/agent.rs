//! A whole agent in this process, on free ports of loopback, with its files in a folder of its own.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crossmesh_dns_agent::{app::App, config::Config};
use hickory_proto::op::Message;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::message::Draft;

/// Longer than anything takes that works; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A local catalog with one service, `reviews.shop`.
pub(crate) const LOCAL: &str = "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservices:\n  \
    - {name: reviews, namespace: shop, addresses: [10.1.0.9], ports: [{name: http, port: 8080}]}\n";
/// A local catalog without services.
pub(crate) const EMPTY: &str = "schema: crossmesh-catalog/v1\ncluster: cluster-1\nservices: []\n";
/// A peer that has `reviews.shop` and `catalog.shop`.
pub(crate) const PEER: &str = "schema: crossmesh-catalog/v1\ncluster: cluster-2\nservices:\n  \
    - {name: reviews, namespace: shop, addresses: [10.2.0.9], ports: [{name: http, port: 8080}]}\n  \
    - {name: catalog, namespace: shop, addresses: [10.2.0.7], ports: [{name: http, port: 8080}]}\n\
    gateways: [{address: 203.0.113.7}]\n";

pub(crate) struct Agent {
    folder: PathBuf,
    /// Removed when the agent is dropped.
    files: Option<Files>,
    pub(crate) dns: SocketAddr,
    pub(crate) admin: SocketAddr,
    shutdown: CancellationToken,
    running: JoinSet<()>,
}

/// The files of an agent, not yet started.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    /// A local catalog, a peer's, and a configuration with these further lines.
    pub(crate) fn new(lines: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("cluster-1.yaml", LOCAL);
        files.write("cluster-2.yaml", PEER);
        files.write(
            "dns.yaml",
            &format!(
                "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\n\
                 cluster: {{id: cluster-1, mesh: east}}\ncatalogs:\n  \
                 - {{cluster: cluster-1, file: cluster-1.yaml}}\n  \
                 - {{cluster: cluster-2, file: cluster-2.yaml}}\n{lines}"
            ),
        );
        files
    }

    /// A configuration with these lines after its first ones, and no catalogs.
    pub(crate) fn bare(lines: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let head = "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\n";
        files.write("dns.yaml", &format!("{head}{lines}"));
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

/// The lines for a single upstream server.
pub(crate) fn upstream(server: SocketAddr) -> String {
    format!("upstreams: {{servers: [\"{server}\"]}}\n")
}

impl Agent {
    /// An agent with the usual catalogs and these further lines of configuration.
    pub(crate) async fn start(lines: &str) -> Self {
        Self::start_with(Files::new(lines)).await
    }

    pub(crate) async fn start_with(files: Files) -> Self {
        Self::start_on(None, files).await
    }

    /// An agent on a node of this name.
    pub(crate) async fn start_on(node: Option<&str>, files: Files) -> Self {
        let mut agent = Self::start_on_in(node, &files).await;
        agent.files = Some(files);
        agent
    }

    /// An agent whose files stay when it has gone.
    pub(crate) async fn start_in(files: &Files) -> Self {
        Self::start_on_in(None, files).await
    }

    async fn start_on_in(node: Option<&str>, files: &Files) -> Self {
        let mut config =
            Config::load(&files.path("dns.yaml")).unwrap_or_else(|error| panic!("{error}"));
        config.node = node.map(str::to_owned);
        let app = App::bind(config).await.unwrap();
        let shutdown = CancellationToken::new();
        let (dns, admin) = (app.dns_addresses()[0], app.admin_address());
        let mut running = JoinSet::new();
        let stop = shutdown.clone();
        running.spawn(async move { app.run(stop).await.unwrap() });
        Self {
            files: None,
            folder: files.0.path().to_owned(),
            dns,
            admin,
            shutdown,
            running,
        }
    }

    /// Asks over UDP and reads the reply by hickory-proto.
    pub(crate) async fn ask(&self, query: &Draft) -> Message {
        Message::from_vec(&self.ask_bytes(&query.bytes()).await).unwrap()
    }

    pub(crate) async fn ask_bytes(&self, query: &[u8]) -> Vec<u8> {
        ask_udp(self.dns, query).await
    }

    pub(crate) async fn ask_tcp(&self, query: &Draft) -> Message {
        let mut stream = TcpStream::connect(self.dns).await.unwrap();
        let reply = ask_stream(&mut stream, &query.bytes()).await.unwrap();
        Message::from_vec(&reply).unwrap()
    }

    /// The data of the answer section.
    pub(crate) async fn answers(&self, query: &Draft) -> Vec<String> {
        data(&self.ask(query).await)
    }

    /// Asks again and again until the answer section is as expected.
    pub(crate) async fn eventually(&self, query: &Draft, expected: &[&str]) {
        let asking = async {
            while self.answers(query).await != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, asking).await.is_err() {
            panic!("still {:?}, not {expected:?}", self.answers(query).await);
        }
    }

    /// Replaces a file at once, as a careful writer does.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until /readyz says something, and gives all that it says then.
    pub(crate) async fn readyz_says(&self, part: &str) -> String {
        let asking = async {
            loop {
                let (_, text) = self.text("/readyz").await;
                if text.contains(part) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match timeout(PATIENCE, asking).await {
            Ok(text) => text,
            Err(_) => panic!(
                "/readyz never said {part}: {:?}",
                self.text("/readyz").await
            ),
        }
    }

    /// Gets a page of the admin interface: its status and its body.
    pub(crate) async fn page(&self, path: &str) -> (u16, Vec<u8>) {
        get(self.admin, path).await.unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let (status, body) = self.page(path).await;
        (status, String::from_utf8(body).unwrap())
    }

    /// The value of a metric whose line begins so.
    pub(crate) async fn metric(&self, line: &str) -> Option<f64> {
        let (_, text) = self.text("/metrics").await;
        let value = text.lines().find_map(|found| found.strip_prefix(line))?;
        value.trim().parse().ok()
    }

    /// Waits until a metric has this value.
    pub(crate) async fn metric_becomes(&self, line: &str, expected: f64) {
        let asking = async {
            while self.metric(line).await != Some(expected) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, asking).await.is_err() {
            panic!("{line} is {:?}, not {expected}", self.metric(line).await);
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = timeout(PATIENCE, self.running.join_next()).await.unwrap();
        ended.unwrap().unwrap();
    }
}

pub(crate) async fn ask_udp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(query).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = timeout(PATIENCE, socket.recv(&mut buffer))
        .await
        .expect("a reply")
        .unwrap();
    buffer.truncate(length);
    buffer
}

pub(crate) async fn ask_stream(stream: &mut TcpStream, query: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, query].concat()).await?;
    let length = timeout(PATIENCE, stream.read_u16()).await.unwrap()?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

pub(crate) fn data(message: &Message) -> Vec<String> {
    let data = message.answers.iter().map(|record| record.data.to_string());
    data.collect()
}

/// A page by plain HTTP/1.0, whose end is the connection's.
pub(crate) async fn get(server: SocketAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: agent\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut reply))
        .await
        .unwrap()?;
    let end = reply
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&reply[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, reply[end + 4..].to_vec()))
}
