//! An east-west gateway: it passes TLS on by its SNI and never ends it, as Istio's `AUTO_PASSTHROUGH` does.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{cluster, tls_inspector};
use crate::envoy::{Envoy, Node, Setup, socket_address};
use crate::names::passthrough_sni;

/// What a gateway is made of.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Who it is.
    pub node: Node,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The services behind it, by name, and their sidecars.
    pub services: Vec<(&'static str, SocketAddr)>,
}

impl Gateway {
    /// Starts it, with its files in `folder`.
    pub async fn start(&self, folder: &Path) -> Result<Envoy> {
        let clusters = self
            .services
            .iter()
            .map(|(service, sidecar)| cluster(&passthrough_sni(service), *sidecar));
        let setup = Setup {
            node: self.node.clone(),
            listeners: vec![self.listener()],
            clusters: clusters.collect(),
        };
        Envoy::start(
            &format!("the gateway of {}", self.node.mesh),
            folder,
            self.listen.ip(),
            &setup,
        )
        .await
    }

    /// One chain, for TLS only. The SNI is the cluster's name, so an SNI without a cluster is closed.
    fn listener(&self) -> Value {
        json!({
            "name": "passthrough",
            "address": socket_address(self.listen),
            "listener_filters": [tls_inspector()],
            "filter_chains": [{
                "filter_chain_match": {"transport_protocol": "tls"},
                "filters": [
                    {
                        "name": "envoy.filters.network.sni_cluster",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
                        },
                    },
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                            "stat_prefix": "passthrough",
                            "cluster": "no-such-service",
                        },
                    },
                ],
            }],
        })
    }
}
