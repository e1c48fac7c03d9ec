//! A server's sidecar that is called over every protocol: the filter judges HTTP and gRPC at one port, and TCP at another, by
//! the same policy.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use super::{as_the_client_speaks, cluster, hcm, permissive_listener, router, tcp_proxy};
use crate::access_log::AccessLog;
use crate::app::App;
use crate::block::Block;
use crate::caller::Caller;
use crate::envoy::{Envoy, Setup};
use crate::names::SERVICE_PORT;
use crate::pki::{Identity, Pki, Root};
use crate::plugin::Plugin;
use crate::speaker::Speaker;
use crate::world::node;

/// The port of the service that speaks TCP.
pub const TCP_PORT: u16 = 3306;
/// What the application that speaks HTTP and gRPC says first.
pub const SAYS: &str = "catalog v2 of mesh west";

/// The sidecar of `shop/catalog` in mesh west, running.
#[derive(Debug)]
pub struct Protocols {
    /// The sidecar.
    pub envoy: Envoy,
    /// A line for each request, when it has ended.
    pub requests: AccessLog,
    /// A line for each TCP connection, when it has ended.
    pub connections: AccessLog,
    /// Who can sign certificates.
    pub pki: Pki,
    /// The application that speaks TCP.
    pub echo: Speaker,
    http: SocketAddr,
    tcp: SocketAddr,
    _application: App,
    _folder: TempDir,
    _block: Block,
}

impl Protocols {
    /// Starts it with a policy (JSON).
    pub async fn start(policy: &str) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let log = |name: &str| AccessLog::at(folder.path().join(name));
        let (requests, connections) = (log("requests.log"), log("connections.log"));
        let pki = Pki::create(&folder.path().join("pki"))?;
        let pod = block.at(40);
        let (http, tcp) = (
            SocketAddr::new(pod, SERVICE_PORT),
            SocketAddr::new(pod, TCP_PORT),
        );
        let (application, echo) = (App::start(pod, SAYS)?, Speaker::start(pod, None)?);
        let own = "spiffe://bar.com/ns/shop/sa/catalog";
        let identity = pki.sign(Root::West, "catalog", &[own])?;
        let filter = Plugin::Given(policy.to_owned());
        let mut to_application = cluster("application", application.address());
        to_application["typed_extension_protocol_options"] = as_the_client_speaks();
        // As Istio's sidecars do: what forwarders say is kept, and who they are is added.
        let manager = hcm(
            "APPEND_FORWARD",
            json!({"route": {"cluster": "application"}}),
            &[filter.http_filter()?, router()],
            &requests,
        );
        let proxy = tcp_proxy("echo", &connections, &json!({}));
        let setup = Setup {
            node: node("west", "shop", "catalog"),
            listeners: vec![
                permissive_listener(http, &identity, &[manager]),
                permissive_listener(tcp, &identity, &[filter.network_filter()?, proxy]),
            ],
            clusters: vec![to_application, cluster("echo", echo.address())],
        };
        let envoy = Envoy::start("the sidecar", &folder.path().join("envoy"), pod, &setup).await?;
        Ok(Self {
            envoy,
            requests,
            connections,
            pki,
            echo,
            http,
            tcp,
            _application: application,
            _folder: folder,
            _block: block,
        })
    }

    /// Who calls by HTTP or gRPC, with a certificate or in plaintext.
    #[must_use]
    pub fn http(&self, identity: Option<Identity>) -> Caller {
        Caller {
            to: self.http,
            identity,
        }
    }

    /// Who calls by TCP, likewise.
    #[must_use]
    pub fn tcp(&self, identity: Option<Identity>) -> Caller {
        Caller {
            to: self.tcp,
            identity,
        }
    }
}
