//! What the Envoys are for: a server's sidecar, a gateway, the sidecars of clients.

pub mod alone;
pub mod client;

pub mod forwarder;
pub mod gateway;
pub mod module;
pub mod protocols;
pub mod server;
pub mod tcp;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::access_log::AccessLog;
use crate::envoy::socket_address;
use crate::pki::Identity;

/// A cluster of one endpoint.
pub fn cluster(name: &str, endpoint: SocketAddr) -> Value {
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

/// The options of a cluster that is asked in HTTP/2 what came in HTTP/2.
fn as_the_client_speaks() -> Value {
    json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "use_downstream_protocol_config": {"http2_protocol_options": {}},
        },
    })
}

/// The certificate that a proxy shows, and both roots to check the peer's by.
pub fn tls_context(identity: &Identity, peer: &Value) -> Value {
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

/// How a proxy calls with its certificate, whoever answers.
pub fn upstream_tls(identity: &Identity) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": tls_context(identity, &Value::Null),
        },
    })
}

/// The listener as Istio declares those of gateways, and those by which a sidecar carries its workload's requests out.
#[must_use]
pub fn outbound(mut listener: Value) -> Value {
    listener["traffic_direction"] = json!("OUTBOUND");
    listener
}

/// The listener with client certificates left to the client: one-way TLS, as browsers do it, comes in too.
#[must_use]
pub fn any_client(mut mtls_listener: Value) -> Value {
    mtls_listener["filter_chains"][0]["transport_socket"]["typed_config"]["require_client_certificate"] =
        json!(false);
    mtls_listener
}

/// An inbound listener without TLS.
#[must_use]
pub fn plain_listener(address: SocketAddr, filters: &[Value]) -> Value {
    json!({
        "name": format!("inbound {}", address.port()),
        "traffic_direction": "INBOUND",
        "address": socket_address(address),
        "filter_chains": [{"filters": filters}],
    })
}

/// A route's action that answers by itself.
#[must_use]
pub fn served() -> Value {
    json!({"direct_response": {"status": 200, "body": {"inline_string": "served"}}})
}

/// An inbound listener that asks every client for its certificate.
pub fn mtls_listener(address: SocketAddr, identity: &Identity, filters: &[Value]) -> Value {
    json!({
        "name": format!("inbound {address}"),
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

/// An inbound listener with two chains, as a PERMISSIVE sidecar of Istio has them: mutual TLS, and plaintext, which so reaches
/// the filters too.
#[must_use]
pub fn permissive_listener(address: SocketAddr, identity: &Identity, filters: &[Value]) -> Value {
    let mut listener = mtls_listener(address, identity, filters);
    listener["listener_filters"] = json!([tls_inspector()]);
    let mut tls = listener["filter_chains"][0].take();
    tls["name"] = json!("mutual-tls");
    tls["filter_chain_match"] = json!({"transport_protocol": "tls"});
    tls["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"] =
        json!(["h2", "http/1.1"]);
    listener["filter_chains"] = json!([tls, {
        "name": "plaintext",
        "filter_chain_match": {"transport_protocol": "raw_buffer"},
        "filters": filters,
    }]);
    listener
}

/// Finds out, before a filter chain is chosen, whether a connection is TLS and which name it asks for.
pub fn tls_inspector() -> Value {
    json!({
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
    })
}

/// The HTTP filter at the end of every chain.
pub fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}

/// HTTP with these filters: an action of a route, and what is done with `x-forwarded-client-cert`
/// (`forward_client_cert_details`).
pub fn hcm(details: &str, mut action: Value, filters: &[Value], access_log: &AccessLog) -> Value {
    action["match"] = json!({"prefix": "/"});
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inbound",
            "preserve_external_request_id": true,
            "forward_client_cert_details": details,
            "set_current_client_cert_details": {"uri": true, "dns": true},
            "access_log": [access_log.config()],
            "route_config": {"name": "inbound", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [action]}]},
            "http_filters": filters,
        },
    })
}

/// TCP to a cluster, with more settings.
pub fn tcp_proxy(cluster: &str, access_log: &AccessLog, more: &Value) -> Value {
    let mut proxy = tcp_proxy_without_log(cluster, more);
    proxy["typed_config"]["access_log"] = json!([access_log.config()]);
    proxy
}

/// Likewise, without an access log.
pub fn tcp_proxy_without_log(cluster: &str, more: &Value) -> Value {
    let mut proxy = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp",
            "cluster": cluster,
        },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        proxy["typed_config"][name] = value.clone();
    }
    proxy
}
