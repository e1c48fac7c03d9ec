//! The peer of a tunnel (HBONE): on an internal listener it is whom Envoy's own filters name; where a connection has TLS of
//! its own, or comes from outside, nobody else is asked.
#![cfg(test)]

use crossmesh_e2e::caller::Caller;
use crossmesh_e2e::curl::Request;
use crossmesh_e2e::envoy::{Envoy, Setup};
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::Plugin;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::tcp::after_the_handshake;
use crossmesh_e2e::roles::{
    any_client, cluster, hcm, mtls_listener, plain_listener, router, served, tcp_proxy,
    tcp_proxy_without_log,
};
use crossmesh_e2e::speaker::Speaker;
use crossmesh_e2e::world::node;
use serde_json::{Value, json};

/// Where the tunnels end: Istio's port, and others for TCP, and for how Istio passes on whom a tunnel was for.
const HBONE_PORT: u16 = 15008;
const HBONE_TCP_PORT: u16 = 15009;
const ISTIO_PORT: u16 = 15010;
const ISTIO_TCP_PORT: u16 = 15011;
/// TLS of its own, and a principal all the same.
const TLS_PORT: u16 = 8443;
const TLS_TCP_PORT: u16 = 8444;
/// Neither TLS nor a tunnel, and a principal all the same.
const NAMED_PORT: u16 = 8081;
const NAMED_TCP_PORT: u16 = 8082;

const POLICY: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "rules": [{"name": "frontend", "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]}]}"#;

/// Filter state for the connection and the one behind it, set when this happens, each with the kind that Envoy reads it as.
fn sets_state(when: &str, values: &[(&str, &str, &str)]) -> Value {
    let values = values.iter().map(|(key, kind, value)| {
        json!({
            "object_key": key,
            "factory_key": kind,
            "format_string": {"text_format_source": {"inline_string": value}},
            "shared_with_upstream": "ONCE",
        })
    });
    json!({
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
            when: values.collect::<Vec<_>>(),
        },
    })
}

/// At the client's first bytes: a certificate is known only after the handshake.
const HANDSHAKE: &str = "on_downstream_tls_handshake";
const ACCEPTED: &str = "on_new_connection";
/// Istio's name for whom a tunnel carries.
const PEER: (&str, &str) = ("io.istio.peer_principal", "envoy.string");
/// How Envoy is told the addresses that an internal connection shall have.
const LOCAL: &str = "envoy.filters.listener.original_dst.local_ip";
const REMOTE: &str = "envoy.filters.listener.original_dst.remote_ip";

fn names_peer(when: &str, value: &str) -> Value {
    sets_state(when, &[(PEER.0, PEER.1, value)])
}

/// A tunnel's end at a port, and the internal listener behind it; as Istio does it, with the addresses of both ends.
struct Tunnel {
    port: u16,
    as_istio: bool,
    tcp: bool,
}

const TUNNELS: [Tunnel; 4] = [
    Tunnel {
        port: HBONE_PORT,
        as_istio: false,
        tcp: false,
    },
    Tunnel {
        port: HBONE_TCP_PORT,
        as_istio: false,
        tcp: true,
    },
    Tunnel {
        port: ISTIO_PORT,
        as_istio: true,
        tcp: false,
    },
    Tunnel {
        port: ISTIO_TCP_PORT,
        as_istio: true,
        tcp: true,
    },
];

impl Tunnel {
    fn name(&self) -> String {
        format!("internal-{}", self.port)
    }

    fn listeners(&self, site: &Site, identity: &Identity, filters: &[Value]) -> [Value; 2] {
        let destination = site.at(SERVICE_PORT).to_string();
        let mut state = vec![(PEER.0, PEER.1, "%DOWNSTREAM_PEER_URI_SAN%")];
        if self.as_istio {
            state.push((LOCAL, LOCAL, &destination));
            state.push((REMOTE, REMOTE, "%DOWNSTREAM_REMOTE_ADDRESS%"));
        }
        let end = mtls_listener(
            site.at(self.port),
            identity,
            &[
                sets_state(HANDSHAKE, &state),
                // The filter state goes with the connection to the internal listener, so it must be there before.
                tcp_proxy_without_log(&self.name(), &after_the_handshake().unwrap()),
            ],
        );
        let mut internal = json!({
            "name": self.name(),
            "traffic_direction": "INBOUND",
            "internal_listener": {},
            "filter_chains": [{"filters": filters}],
        });
        if self.as_istio {
            internal["listener_filters"] = json!([{
                "name": "envoy.filters.listener.original_dst",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
            }]);
        }
        [end, internal]
    }

    fn cluster(&self) -> Value {
        json!({
            "name": self.name(),
            "load_assignment": {
                "cluster_name": self.name(),
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                    "envoy_internal_address": {"server_listener_name": self.name()},
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
        })
    }
}

/// All of them, each for HTTP and for TCP.
async fn start(site: &Site) -> (Envoy, Speaker) {
    let own = "spiffe://bar.com/ns/shop/sa/catalog";
    let identity = site.pki.sign(Root::West, "catalog", &[own]).unwrap();
    let echo = Speaker::start(site.ip(), None).unwrap();
    let filter = Plugin::Given(POLICY.to_owned());
    let filters = |tcp: bool| {
        if tcp {
            let proxy = tcp_proxy("echo", &site.access_log, &json!({}));
            vec![filter.network_filter().unwrap(), proxy]
        } else {
            let filters = [filter.http_filter().unwrap(), router()];
            vec![hcm("SANITIZE_SET", served(), &filters, &site.access_log)]
        }
    };
    let mut setup = Setup {
        node: node("west", "shop", "catalog"),
        clusters: vec![cluster("echo", echo.address())],
        ..Setup::default()
    };
    for tunnel in TUNNELS {
        let listeners = tunnel.listeners(site, &identity, &filters(tunnel.tcp));
        setup.listeners.extend(listeners);
        setup.clusters.push(tunnel.cluster());
    }
    for (port, tcp) in [(TLS_PORT, false), (TLS_TCP_PORT, true)] {
        let filters = [vec![names_peer(HANDSHAKE, FRONTEND)], filters(tcp)].concat();
        let listener = mtls_listener(site.at(port), &identity, &filters);
        setup.listeners.push(any_client(listener));
    }
    for (port, tcp) in [(NAMED_PORT, false), (NAMED_TCP_PORT, true)] {
        let filters = [vec![names_peer(ACCEPTED, FRONTEND)], filters(tcp)].concat();
        setup
            .listeners
            .push(plain_listener(site.at(port), &filters));
    }
    let plain = plain_listener(site.at(SERVICE_PORT), &filters(false));
    setup.listeners.push(plain);
    (site.start("sidecar", &setup).await.unwrap(), echo)
}

/// The certificate of one, or of two at once.
fn certificate(site: &Site, ids: &[&str]) -> Identity {
    let name = ids.concat().replace(['/', ':'], "-");
    site.pki.sign(Root::East, &name, ids).unwrap()
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

async fn decision_on_tcp(site: &Site, caller: Caller) -> String {
    let lines = site.access_log.entries().unwrap().len();
    let answer = caller.say("hello").await.unwrap();
    let entry = site.access_log.longer_than(lines).await.unwrap();
    let decision = entry.decision.unwrap();
    let arrives = decision.starts_with("ALLOW");
    assert_eq!(answer, if arrives { "hello" } else { "" }, "{decision}");
    decision
}

const CARRIED: [(&[&str], &str); 3] = [
    (&[FRONTEND], "ALLOW rule:frontend"),
    (&[BATCH], "DENY default:peerMesh"),
    (&[FRONTEND, BATCH], "DENY default:invalidIdentity"),
];

#[tokio::test]
async fn the_peer_of_a_tunnel_is_whom_envoy_names_and_only_behind_it() {
    let site = Site::claim().unwrap();
    let _running = start(&site).await;
    let by = |ids: &[&str], port| {
        // In the tunnel it is plain HTTP, and the tunnel's TLS is the client's: to curl, HTTP over TLS.
        Request::mutual_tls(CATALOG, site.at(port), "/", &certificate(&site, ids)).unwrap()
    };
    let anybody = |port| Request::by_name(CATALOG, site.at(port), "/").unwrap();
    for port in [HBONE_PORT, ISTIO_PORT] {
        for (ids, expected) in CARRIED {
            assert_eq!(
                decision(&site, by(ids, port)).await,
                expected,
                "{port} {ids:?}"
            );
        }
    }
    let forged = format!("io.istio.peer_principal: {FRONTEND}");
    for (name, request, expected) in [
        (
            "an address that the client claims in a tunnel",
            by(&[BATCH], HBONE_PORT).header("x-forwarded-for: 192.0.2.1"),
            "DENY default:peerMesh",
        ),
        (
            "a certificate of its own",
            by(&[BATCH], TLS_PORT),
            "DENY default:peerMesh",
        ),
        (
            "TLS without a certificate",
            anybody(TLS_PORT).over_tls(),
            "DENY default:plaintext",
        ),
        (
            "a listener that is not internal",
            anybody(NAMED_PORT),
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

#[tokio::test]
async fn so_it_is_on_tcp() {
    let site = Site::claim().unwrap();
    let (_envoy, echo) = start(&site).await;
    let caller = |identity, port| Caller {
        to: site.at(port),
        identity,
    };
    for port in [HBONE_TCP_PORT, ISTIO_TCP_PORT] {
        for (ids, expected) in CARRIED {
            let caller = caller(Some(certificate(&site, ids)), port);
            let decision = decision_on_tcp(&site, caller).await;
            assert_eq!(decision, expected, "{port} {ids:?}");
        }
    }
    assert_eq!(echo.heard(), 10, "nothing of the refused ones arrived");
    for (name, identity, port, expected) in [
        (
            "a certificate of its own",
            Some(certificate(&site, &[BATCH])),
            TLS_TCP_PORT,
            "DENY default:peerMesh",
        ),
        (
            "a listener that is not internal",
            None,
            NAMED_TCP_PORT,
            "DENY default:plaintext",
        ),
    ] {
        let decision = decision_on_tcp(&site, caller(identity, port)).await;
        assert_eq!(decision, expected, "{name}");
    }
}
