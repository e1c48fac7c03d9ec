//! TCP that is not HTTP: a server's sidecar with the filter as a network filter, and the clients' sidecars.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{cluster, mtls_listener, router, tcp_proxy, tcp_proxy_without_log, upstream_tls};
use crate::access_log::AccessLog;
use crate::block::Block;
use crate::envoy::{Envoy, Setup, socket_address};
use crate::names::SERVICE_PORT;
use crate::pki::{Identity, Pki, Root};
use crate::plugin::{Plugin, resource, write_network_discovery};
use crate::speaker::Speaker;
use crate::world::node;

/// The port of the service that speaks first, as MySQL does.
pub const GREETING_PORT: u16 = 3306;
/// The port where the HTTP filter follows the network filter, both with the same policy.
pub const HTTP_PORT: u16 = 8081;
/// The same service, as Istio connects to it by itself.
pub const HELD_BACK_PORT: u16 = 3307;
/// The filter that carries TCP.
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
/// What the service that speaks first says.
pub const GREETING: &str = "220 welcome\r\n";

/// A server's sidecar with four listeners (clients speak first, the server speaks first, in two ways, and HTTP), and a client's sidecar
/// for each client: plain TCP in, mutual TLS out.
#[derive(Debug)]
pub struct TcpStand {
    /// The server's sidecar.
    pub envoy: Envoy,
    /// Its access log, of TCP only: a line when a connection has ended.
    pub access_log: AccessLog,
    /// Its address; the ports are [`SERVICE_PORT`], [`GREETING_PORT`], [`HELD_BACK_PORT`] and [`HTTP_PORT`].
    pub address: IpAddr,
    /// The application that waits for the client.
    pub echo: Speaker,
    /// The application that speaks first.
    pub greeter: Speaker,
    /// Who can sign certificates.
    pub pki: Pki,
    clients: Vec<(IpAddr, Identity)>,
    _client_envoy: Envoy,
    discovery: PathBuf,
    _folder: TempDir,
    _block: Block,
}

impl TcpStand {
    /// Starts everything: with the policy (JSON), and a client for each SPIFFE ID.
    pub async fn start(policy: &str, clients: &[&str]) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let address = block.at(40);
        let (echo, greeter) = (
            Speaker::start(address, None)?,
            Speaker::start(address, Some(GREETING))?,
        );
        let discovery = folder.path().join("discovery.json");
        write_network_discovery(&discovery, "1", policy)?;
        let identity = pki.sign(Root::West, "server", &["spiffe://bar.com/ns/shop/sa/db"])?;
        let access_log = AccessLog::at(folder.path().join("access.log"));
        let setup = Setup {
            node: node("west", "shop", "db"),
            listeners: vec![
                mtls_listener(
                    SocketAddr::new(address, SERVICE_PORT),
                    &identity,
                    &[
                        Plugin::Discovered(discovery.clone()).network_filter()?,
                        tcp_proxy("echo", &access_log, &json!({})),
                    ],
                ),
                mtls_listener(
                    SocketAddr::new(address, GREETING_PORT),
                    &identity,
                    &[
                        Plugin::Discovered(discovery.clone()).network_filter()?,
                        tcp_proxy("greeter", &access_log, &after_the_handshake()?),
                    ],
                ),
                mtls_listener(
                    SocketAddr::new(address, HELD_BACK_PORT),
                    &identity,
                    &[
                        Plugin::Discovered(discovery.clone()).network_filter()?,
                        tcp_proxy("greeter", &access_log, &json!({})),
                    ],
                ),
                mtls_listener(
                    SocketAddr::new(address, HTTP_PORT),
                    &identity,
                    &[
                        Plugin::Given(policy.to_owned()).network_filter()?,
                        http(&Plugin::Given(policy.to_owned()).http_filter()?),
                    ],
                ),
            ],
            clusters: vec![
                cluster("echo", echo.address()),
                cluster("greeter", greeter.address()),
            ],
        };
        let envoy = Envoy::start(
            "the server's sidecar",
            &folder.path().join("db"),
            address,
            &setup,
        )
        .await?;
        let mut ids = Vec::new();
        for (at, id) in (51..).zip(clients) {
            let name = format!("client-{at}");
            ids.push((block.at(at), pki.sign(Root::East, &name, &[id])?));
        }
        let client_envoy = clients_sidecars(&ids, address, &folder.path().join("clients")).await?;
        Ok(Self {
            envoy,
            access_log,
            address,
            echo,
            greeter,
            pki,
            clients: ids,
            _client_envoy: client_envoy,
            discovery,
            _folder: folder,
            _block: block,
        })
    }

    /// Where a client's sidecar takes what is for this port of the server.
    #[must_use]
    pub fn of(&self, client: usize, port: u16) -> SocketAddr {
        SocketAddr::new(self.clients[client].0, port)
    }

    /// A client's certificate.
    #[must_use]
    pub fn identity(&self, client: usize) -> &Identity {
        &self.clients[client].1
    }

    /// Delivers another policy (JSON) to the TCP listeners, by extension discovery.
    pub fn deliver(&self, version: &str, policy: &str) -> Result<()> {
        write_network_discovery(&self.discovery, version, policy)
    }
}

async fn clients_sidecars(
    clients: &[(IpAddr, Identity)],
    server: IpAddr,
    folder: &Path,
) -> Result<Envoy> {
    let mut setup = Setup {
        node: node("east", "web", "clients"),
        ..Setup::default()
    };
    for (ip, identity) in clients {
        for port in [SERVICE_PORT, GREETING_PORT, HELD_BACK_PORT] {
            let name = format!("{ip}:{port}");
            let mut to = cluster(&name, SocketAddr::new(server, port));
            to["transport_socket"] = upstream_tls(identity);
            setup.clusters.push(to);
            setup.listeners.push(json!({
                "name": name,
                "traffic_direction": "OUTBOUND",
                "address": socket_address(SocketAddr::new(*ip, port)),
                "filter_chains": [{"filters": [tcp_proxy_without_log(&name, &json!({}))]}],
            }));
        }
    }
    Envoy::start("the clients' sidecars", folder, server, &setup).await
}

/// What `wasm-plugins/server-first.yaml` merges into `tcp_proxy`: it connects to the server only when the client is known.
/// Without this a server that speaks first may do so before the handshake is over, and is then not heard until the client
/// speaks.
pub fn after_the_handshake() -> Result<Value> {
    let filter = resource("server-first.yaml")?;
    let patch = &filter["spec"]["configPatches"][0];
    ensure!(
        patch["match"]["listener"]["filterChain"]["filter"]["name"] == TCP_PROXY,
        "server-first.yaml patches another filter: {patch}"
    );
    let port = &patch["match"]["listener"]["filterChain"]["destinationPort"];
    ensure!(*port == GREETING_PORT, "server-first.yaml is for {port}");
    Ok(patch["patch"]["value"]["typed_config"].clone())
}

fn http(filter: &Value) -> Value {
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "served"}}});
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inbound",
            "route_config": {"name": "inbound", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [filter, router()],
        },
    })
}
