//! What the Envoys are for: a server's sidecar, a gateway, the sidecars of clients.

pub mod client;

pub mod forwarder;
pub mod gateway;
pub mod server;
pub mod tcp;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::envoy::socket_address;
use crate::pki::Identity;

/// A cluster of one endpoint.
fn cluster(name: &str, endpoint: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(endpoint)}}]}],
        },
    })
}

/// The certificate that a proxy shows, and both roots to check the peer's by.
fn tls_context(identity: &Identity, peer: &Value) -> Value {
    let mut validation = json!({"trusted_ca": {"filename": identity.bundle}});
    if !peer.is_null() {
        validation["match_typed_subject_alt_names"] =
            json!([{"san_type": "URI", "matcher": {"exact": peer}}]);
    }
    json!({
        "tls_certificates": [{
            "certificate_chain": {"filename": identity.certificate},
            "private_key": {"filename": identity.key},
        }],
        "validation_context": validation,
    })
}

/// An inbound listener that asks every client for its certificate.
fn mtls_listener(address: SocketAddr, identity: &Identity, filters: &[Value]) -> Value {
    json!({
        "name": format!("inbound {}", address.port()),
        "traffic_direction": "INBOUND",
        "address": socket_address(address),
        "filter_chains": [{
            "transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": tls_context(identity, &Value::Null),
                    "require_client_certificate": true,
                },
            },
            "filters": filters,
        }],
    })
}

/// Finds out, before a filter chain is chosen, whether a connection is TLS and which name it asks for.
fn tls_inspector() -> Value {
    json!({
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
    })
}

/// The HTTP filter at the end of every chain.
fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}
