//! The peer of a tunnel (HBONE): on an internal listener it is whom Envoy's own filters name; where a connection has TLS of
//! its own, nobody else is asked.
#![cfg(test)]

use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::Plugin;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::tcp::after_the_handshake;
use crossmesh_e2e::roles::{
    any_client, hcm, mtls_listener, plain_listener, router, served, tcp_proxy_without_log,
};
use crossmesh_e2e::world::node;
use serde_json::{Value, json};

/// Where the tunnel ends, as in Istio.
const HBONE_PORT: u16 = 15008;

const POLICY: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [{"name": "frontend", "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]}]}"#;

/// Istio's name for whom a tunnel carries, set as its proxies set it.
fn names_peer(value: &str) -> Value {
    json!({
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
            // At the client's first bytes: a certificate is known only after the handshake.
            "on_downstream_tls_handshake": [{
                "object_key": "io.istio.peer_principal",
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": value}},
                "shared_with_upstream": "ONCE",
            }],
        },
    })
}

/// The end of a tunnel with the internal listener behind it, and listeners with TLS and without, of which Envoy's
/// configuration says the same.
async fn start(site: &Site) -> Envoy {
    let identity = site
        .pki
        .sign(
            Root::West,
            "catalog",
            &["spiffe://bar.com/ns/shop/sa/catalog"],
        )
        .unwrap();
    let filter = Plugin::Given(POLICY.to_owned());
    let http = || {
        let filters = [filter.http_filter().unwrap(), router()];
        hcm("SANITIZE_SET", served(), &filters, &site.access_log)
    };
    let tunnel = mtls_listener(
        site.at(HBONE_PORT),
        &identity,
        &[
            names_peer("%DOWNSTREAM_PEER_URI_SAN%"),
            // The filter state goes with the connection to the internal listener, so it must be there before.
            tcp_proxy_without_log("internal", &after_the_handshake().unwrap()),
        ],
    );
    let internal = json!({
        "name": "internal",
        "traffic_direction": "INBOUND",
        "internal_listener": {},
        "filter_chains": [{"filters": [http()]}],
    });
    let with_tls = any_client(mtls_listener(
        site.at(8443),
        &identity,
        &[names_peer(FRONTEND), http()],
    ));
    let to_internal = json!({
        "name": "internal",
        "load_assignment": {
            "cluster_name": "internal",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                "envoy_internal_address": {"server_listener_name": "internal"},
            }}}]}],
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.internal_upstream",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
                "transport_socket": {
                    "name": "envoy.transport_sockets.raw_buffer",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
                },
            },
        },
    });
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![
            tunnel,
            internal,
            with_tls,
            plain_listener(site.at(SERVICE_PORT), &[http()]),
        ],
        clusters: vec![to_internal],
    };
    site.start("sidecar", &setup).await.unwrap()
}

async fn decision(site: &Site, request: Request) -> String {
    let lines = site.access_log.entries().unwrap().len();
    let reply = request.send().await.unwrap();
    let entry = site.access_log.longer_than(lines).await.unwrap();
    let decision = entry.decision.unwrap();
    assert_eq!(
        reply.status == 200,
        decision.starts_with("ALLOW"),
        "{decision}"
    );
    decision
}

#[tokio::test]
async fn the_peer_of_a_tunnel_is_whom_envoy_names_and_only_behind_it() {
    let site = Site::claim().unwrap();
    let _envoy = start(&site).await;
    let by = |id: &str, port| {
        let identity = site.pki.sign(Root::East, name(id), &[id]).unwrap();
        Request::mutual_tls(CATALOG, site.at(port), "/", &identity).unwrap()
    };
    let anybody = |port| Request::by_name(CATALOG, site.at(port), "/").unwrap();
    let forged = format!("io.istio.peer_principal: {FRONTEND}");
    for (name, request, expected) in [
        (
            "through the tunnel",
            curl_in_tunnel(&site, FRONTEND),
            "ALLOW rule:frontend",
        ),
        (
            "another one",
            curl_in_tunnel(&site, BATCH),
            "DENY default:peerMesh",
        ),
        (
            "two in one certificate",
            curl_in_tunnel(&site, "two"),
            "DENY default:invalidIdentity",
        ),
        (
            "a certificate of its own",
            by(BATCH, 8443),
            "DENY default:peerMesh",
        ),
        (
            "TLS without a certificate",
            anybody(8443).over_tls(),
            "DENY default:plaintext",
        ),
        (
            "a header of that name",
            anybody(SERVICE_PORT).header(&forged),
            "DENY default:plaintext",
        ),
    ] {
        assert_eq!(decision(&site, request).await, expected, "{name}");
    }
}

/// In the tunnel it is plain HTTP, and the tunnel's TLS is the client's: to curl, HTTP over TLS.
fn curl_in_tunnel(site: &Site, id: &str) -> Request {
    let ids: &[&str] = if id == "two" {
        &[FRONTEND, BATCH]
    } else {
        &[id]
    };
    let identity = site.pki.sign(Root::East, name(id), ids).unwrap();
    Request::mutual_tls(CATALOG, site.at(HBONE_PORT), "/", &identity).unwrap()
}

/// A name for the files of a certificate.
fn name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
