//! The sidecars of clients: plain HTTP in, mutual TLS with the pod's own certificate out.
//!
//! One Envoy stands for the sidecars of all pods on a node: the source address of a connection says which pod is
//! calling, and with that which certificate is shown. It listens on the very addresses that the agent answers, at the
//! service's port; that stands in for the transparent redirection of a pod's network namespace.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{as_the_client_speaks, cluster, router, tls_context};
use crate::envoy::{Envoy, Node, Setup, socket_address};
use crate::names::passthrough_sni;
use crate::pki::Identity;

/// What the clients' sidecars are made of.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Who they are.
    pub node: Node,
    /// Where the Envoy's admin port is.
    pub admin: IpAddr,
    /// The pods.
    pub pods: Vec<Pod>,
    /// The addresses that names are answered with.
    pub destinations: Vec<Destination>,
}

/// A client's pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its address.
    pub address: IpAddr,
    /// Its certificate.
    pub identity: Identity,
}

/// An address, and what is behind it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// What the client connects to.
    pub listen: SocketAddr,
    /// The services that are reached through it.
    pub services: Vec<Service>,
}

/// A service behind an address.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, as the client writes it into `Host`.
    pub name: &'static str,
    /// Where the mutual TLS goes: a server's sidecar, or a gateway.
    pub endpoint: SocketAddr,
    /// The SPIFFE ID that must answer.
    pub spiffe_id: &'static str,
}

impl Clients {
    /// Starts them, with their files in `folder`.
    pub async fn start(&self, folder: &Path) -> Result<Envoy> {
        let hops = self
            .destinations
            .iter()
            .flat_map(|to| to.services.iter().map(move |service| (to, service)));
        let hops =
            hops.flat_map(|(to, service)| self.pods.iter().map(move |pod| (pod, to, service)));
        let setup = Setup {
            node: self.node.clone(),
            listeners: self
                .destinations
                .iter()
                .map(|to| self.listener(to))
                .collect(),
            clusters: hops
                .map(|(pod, to, service)| mutual_tls(pod, to, service))
                .collect(),
        };
        Envoy::start(
            &format!("the clients' sidecars of {}", self.node.mesh),
            folder,
            self.admin,
            &setup,
        )
        .await
    }

    fn listener(&self, destination: &Destination) -> Value {
        let chains = self.pods.iter().map(|pod| {
            json!({
                "filter_chain_match": {
                    "source_prefix_ranges": [{"address_prefix": pod.address, "prefix_len": 32}],
                },
                "filters": [http_connection_manager(pod, destination)],
            })
        });
        json!({
            "name": destination.listen.to_string(),
            "traffic_direction": "OUTBOUND",
            "address": socket_address(destination.listen),
            "filter_chains": chains.collect::<Vec<_>>(),
        })
    }
}

fn http_connection_manager(pod: &Pod, destination: &Destination) -> Value {
    let hosts = destination.services.iter().map(|service| {
        json!({
            "name": service.name,
            "domains": [service.name, format!("{}:{}", service.name, destination.listen.port())],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster_name(pod, destination, service)}}],
        })
    });
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "outbound",
            "preserve_external_request_id": true,
            "route_config": {"name": "outbound", "virtual_hosts": hosts.collect::<Vec<_>>()},
            "http_filters": [router()],
        },
    })
}

fn cluster_name(pod: &Pod, destination: &Destination, service: &Service) -> String {
    format!(
        "{} as {} via {}",
        service.name,
        pod.address,
        destination.listen.ip()
    )
}

fn mutual_tls(pod: &Pod, destination: &Destination, service: &Service) -> Value {
    let mut cluster = cluster(&cluster_name(pod, destination, service), service.endpoint);
    cluster["typed_extension_protocol_options"] = as_the_client_speaks();
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": passthrough_sni(service.name),
            "common_tls_context": tls_context(&pod.identity, &json!(service.spiffe_id)),
        },
    });
    cluster
}
