//! A caller behind a forwarder: an ingress gateway ends the client's mutual TLS, and calls the server with a certificate
//! of its own. Who the client is says `x-forwarded-client-cert`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use super::{cluster, hcm, mtls_listener, router, served, upstream_tls};
use crate::access_log::AccessLog;
use crate::block::Block;
use crate::envoy::{Envoy, Setup};
use crate::names::SERVICE_PORT;
use crate::pki::{Pki, Root};
use crate::plugin::Plugin;
use crate::world::{gateway_node, node};

/// The gateway's identity.
pub const INGRESS: &str = "spiffe://foo.com/ns/istio-ingress/sa/istio-ingressgateway";

/// A gateway and a server's sidecar with the filter, which answers by itself.
#[derive(Debug)]
pub struct ForwardedStand {
    /// Where clients reach the gateway.
    pub gateway: SocketAddr,
    /// Where whoever can reaches the server.
    pub server: SocketAddr,
    /// The server's sidecar.
    pub envoy: Envoy,
    /// Its access log.
    pub access_log: AccessLog,
    /// Who can sign certificates.
    pub pki: Pki,
    _gateway_envoy: Envoy,
    _folder: TempDir,
    _block: Block,
}

impl ForwardedStand {
    /// Starts both, the server with the policy (JSON) and what its Envoy does with the header
    /// (`forward_client_cert_details`); the gateway replaces it by its own.
    pub async fn start(policy: &str, details: &str) -> Result<Self> {
        Self::start_with(policy, details, None).await
    }

    /// The same, with the filter at the gateway too, by a policy of its own, if one is given.
    pub async fn start_with(
        policy: &str,
        details: &str,
        gateway_policy: Option<&str>,
    ) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let access_log = AccessLog::at(folder.path().join("access.log"));
        let of = |ip: IpAddr| SocketAddr::new(ip, SERVICE_PORT);
        let (gateway, server) = (of(block.at(20)), of(block.at(40)));

        let identity = pki.sign(
            Root::West,
            "server",
            &["spiffe://bar.com/ns/shop/sa/catalog"],
        )?;
        let filter = Plugin::Given(policy.to_owned()).http_filter()?;
        let setup = Setup {
            node: node("west", "shop", "catalog"),
            listeners: vec![mtls_listener(
                server,
                &identity,
                &[hcm(details, served(), &[filter, router()], &access_log)],
            )],
            clusters: vec![],
        };
        let envoy = Envoy::start(
            "the server's sidecar",
            &folder.path().join("server"),
            server.ip(),
            &setup,
        )
        .await?;

        let identity = pki.sign(Root::East, "gateway", &[INGRESS])?;
        let mut to = cluster("server", server);
        to["transport_socket"] = upstream_tls(&identity);
        let own_log = AccessLog::at(folder.path().join("gateway.log"));
        let filter = gateway_policy.map(|policy| Plugin::Given(policy.to_owned()).http_filter());
        let mut filters = Vec::from_iter(filter.transpose()?);
        filters.push(router());
        let setup = Setup {
            node: gateway_node("east", "istio-ingress", "istio-ingressgateway"),
            listeners: vec![mtls_listener(
                gateway,
                &identity,
                &[hcm(
                    "SANITIZE_SET",
                    json!({"route": {"cluster": "server"}}),
                    &filters,
                    &own_log,
                )],
            )],
            clusters: vec![to],
        };
        let folder_of_gateway: &Path = &folder.path().join("gateway");
        let gateway_envoy =
            Envoy::start("the gateway", folder_of_gateway, gateway.ip(), &setup).await?;
        Ok(Self {
            gateway,
            server,
            envoy,
            access_log,
            pki,
            _gateway_envoy: gateway_envoy,
            _folder: folder,
            _block: block,
        })
    }
}
