//! An Envoy that runs any module as HTTP filter and as network filter, in plaintext: for what Envoy does when one fails.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{cluster, router, tcp_proxy_without_log};
use crate::access_log::AccessLog;
use crate::block::Block;
use crate::envoy::{Envoy, Setup, socket_address};
use crate::names::{GATEWAY_PORT, SERVICE_PORT};
use crate::plugin::Plugin;
use crate::process::PATIENCE;
use crate::speaker::Speaker;
use crate::world::node;

/// What an unhindered request is answered.
const SERVED: &str = "served";

/// A running Envoy with the module.
#[derive(Debug)]
pub struct Host {
    /// The proxy.
    pub envoy: Envoy,
    /// The access log of its HTTP listener.
    pub access_log: AccessLog,
    http: SocketAddr,
    tcp: SocketAddr,
    _echo: Speaker,
    _folder: TempDir,
    _block: Block,
}

impl Host {
    /// Starts it.
    pub async fn start(plugin: &Plugin) -> Result<Self> {
        Self::start_with(plugin, plugin).await
    }

    /// Starts it, with one plugin for HTTP and another for TCP.
    pub async fn start_with(on_http: &Plugin, on_tcp: &Plugin) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let ip = block.at(40);
        let (http, tcp) = (
            SocketAddr::new(ip, SERVICE_PORT),
            SocketAddr::new(ip, GATEWAY_PORT),
        );
        let echo = Speaker::start(ip, None)?;
        let access_log = AccessLog::at(folder.path().join("access.log"));
        let setup = Setup {
            node: node("west", "shop", "module"),
            listeners: vec![
                listener(http, &[http_connection_manager(on_http, &access_log)?]),
                listener(
                    tcp,
                    &[
                        on_tcp.network_filter()?,
                        tcp_proxy_without_log("echo", &json!({})),
                    ],
                ),
            ],
            clusters: vec![cluster("echo", echo.address())],
        };
        let envoy = Envoy::start("an Envoy", &folder.path().join("envoy"), ip, &setup).await?;
        Ok(Self {
            envoy,
            access_log,
            http,
            tcp,
            _echo: echo,
            _folder: folder,
            _block: block,
        })
    }

    /// A connection for requests. All that is sent on it meets the same worker's VM.
    pub async fn client(&self) -> Result<Client> {
        let stream = TcpStream::connect(self.http).await?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// What comes back on a TCP connection of these words; nothing if it ends without.
    pub async fn say(&self, words: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.tcp).await?;
        // What cannot be written any more is not answered either.
        let _ = stream.write_all(words.as_bytes()).await;
        let mut answer = vec![0; words.len()];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await?;
        // A reset is an end too.
        answer.truncate(read.unwrap_or_default());
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// A client on one connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// A GET with so many headers more than it needs; the status, or none if the connection ended without one.
    pub async fn get(&mut self, headers: usize) -> Result<Option<u16>> {
        let mut request = "GET / HTTP/1.1\r\nhost: module\r\n".to_owned();
        for number in 0..headers {
            request.push_str(&format!("x-{number}: x\r\n"));
        }
        request.push_str("\r\n");
        if self.stream.write_all(request.as_bytes()).await.is_err() {
            return Ok(None);
        }
        let answer = timeout(PATIENCE, self.answer()).await;
        // A reset is an end too.
        Ok(answer.context("neither an answer nor the end")?.ok())
    }

    async fn answer(&mut self) -> Result<u16> {
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                anyhow::bail!("the end");
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|status| status.parse().ok());
            }
            if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        status.context("an answer without a status")
    }
}

fn listener(address: SocketAddr, filters: &[Value]) -> Value {
    json!({
        "name": address.to_string(),
        "traffic_direction": "INBOUND",
        "address": socket_address(address),
        "filter_chains": [{"filters": filters}],
    })
}

fn http_connection_manager(plugin: &Plugin, access_log: &AccessLog) -> Result<Value> {
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": SERVED}}});
    Ok(json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inbound",
            "access_log": [access_log.config()],
            "route_config": {"name": "inbound", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [plugin.http_filter()?, router()],
        },
    }))
}
