//! What comes to a gateway is judged, although Istio declares its listeners outbound; what a sidecar's outbound listeners
//! carry is its workload's own.

use crate::host::Action;

use super::*;

/// What Envoy says of a connection.
#[derive(Clone, Copy, Debug)]
enum Connection {
    MutualTls,
    /// TLS without a client certificate.
    OneWayTls,
    /// Neither TLS nor its beginning.
    Plain,
    /// TLS that another proxy ends, by its server name.
    Passthrough,
}

/// A proxy of this kind with an outbound listener, on which such a connection is.
fn on_outbound_listener(kind: &str, connection: Connection, policy: &str) -> Vm {
    host(|host| {
        let id = format!("{kind}~192.0.2.1~a.b~b.svc.cluster.local");
        host.attributes.insert("xds.node.id".into(), id.into());
    });
    let vm = vm(policy);
    peer(matches!(connection, Connection::MutualTls).then_some(BATCH.as_bytes()));
    host(|host| {
        let attributes = &mut host.attributes;
        attributes.insert("xds.listener_direction".into(), 2_i64.to_le_bytes().into());
        match connection {
            Connection::MutualTls | Connection::Plain => {}
            Connection::OneWayTls => {
                attributes.insert("connection.tls_version".into(), b"TLSv1.3".to_vec());
            }
            Connection::Passthrough => {
                attributes.insert("connection.requested_server_name".into(), b"a.b".to_vec());
            }
        }
    });
    vm
}

#[test]
fn a_gateway_judges_requests_with_and_without_a_certificate() {
    for (kind, connection, expected) in [
        (
            "router",
            Connection::MutualTls,
            Some("DENY default:peerMesh"),
        ),
        (
            "router",
            Connection::OneWayTls,
            Some("DENY default:plaintext"),
        ),
        ("router", Connection::Plain, Some("DENY default:plaintext")),
        (
            "sidecar",
            Connection::MutualTls,
            Some("DENY default:peerMesh"),
        ),
        ("sidecar", Connection::OneWayTls, None),
        ("sidecar", Connection::Plain, None),
    ] {
        apart(|| {
            let mut vm = on_outbound_listener(kind, connection, &policy(READERS));
            let action = vm.request();
            assert_eq!(decision().as_deref(), expected, "{kind} {connection:?}");
            assert_eq!(action == Action::Pause, expected.is_some());
        });
    }
}

#[test]
fn a_gateway_judges_connections_whether_or_not_it_ends_their_tls() {
    for (kind, connection, expected) in [
        (
            "router",
            Connection::MutualTls,
            Some("DENY default:peerMesh"),
        ),
        (
            "router",
            Connection::OneWayTls,
            Some("DENY default:plaintext"),
        ),
        ("router", Connection::Plain, Some("DENY default:plaintext")),
        (
            "router",
            Connection::Passthrough,
            Some("ALLOW default:passthrough"),
        ),
        ("sidecar", Connection::OneWayTls, None),
        ("sidecar", Connection::Plain, None),
        ("sidecar", Connection::Passthrough, None),
    ] {
        apart(|| {
            let mut vm = on_outbound_listener(kind, connection, &policy(""));
            let (context, _) = vm.accept();
            let action = vm.downstream(context, 10);
            assert_eq!(decision().as_deref(), expected, "{kind} {connection:?}");
            let denied = expected.is_some_and(|decision| decision.starts_with("DENY"));
            assert_eq!(action == Action::Pause, denied);
        });
    }
}

#[test]
fn browsers_come_in_where_a_rule_says_so() {
    let public = r#", "rules": [{"name": "shop-window", "action": "ALLOW", "from": [{"plaintext": true}],
        "to": [{"namespaces": ["istio-ingress"], "hosts": ["catalog.shop.svc.cluster.local"], "methods": ["GET"]}]}]"#;
    for (namespace, expected) in [
        ("istio-ingress", "ALLOW rule:shop-window"),
        ("shop", "DENY default:plaintext"),
    ] {
        apart(|| {
            host(|host| {
                let name = "xds.node.metadata.NAMESPACE";
                host.attributes.insert(name.into(), namespace.into());
            });
            let mut vm = on_outbound_listener("router", Connection::OneWayTls, &policy(public));
            vm.request();
            assert_eq!(decision().as_deref(), Some(expected));
        });
    }
}
