//! Who a peer is taken for.

use std::rc::Rc;

use crossmesh_policy::{HttpRequest, Node, Peer, Policy, Program, SourceClass};

use crate::host::Action;
use crate::identities::{Identities, Identity};
use crate::mock_host::certificates::{element, extension, with_extensions};

use super::*;

#[test]
fn a_certificate_has_exactly_one_uri_san() {
    let frontend = FRONTEND.as_bytes();
    let evil: &[u8] = b"spiffe://evil.com/ns/web/sa/x";
    let cases: &[(&[&[u8]], Option<&str>)] = &[
        (&[frontend], None),
        (&[], Some("noUriSan")),
        (&[frontend, evil], Some("severalUriSans")),
        (&[evil, frontend], Some("severalUriSans")),
        (&[frontend, frontend], Some("severalUriSans")),
        (&[b"https://foo.com/"], Some("noSpiffeId")),
    ];
    let mut vm = vm(&policy(READERS));
    // Twice each, so that what is remembered of one certificate is not taken for another's.
    for (uri_sans, flaw) in cases.iter().chain(cases) {
        certificate(Some(uri_sans));
        host(|host| host.counters.values_mut().for_each(|count| *count = 0));
        assert_eq!(vm.request() == Action::Pause, flaw.is_some());
        match flaw {
            None => assert_eq!(decision().as_deref(), Some("ALLOW rule:readers")),
            Some(reason) => {
                assert_eq!(decision().as_deref(), Some("DENY default:invalidIdentity"));
                assert!(counted().contains(&(flaws(reason), 1)), "{:?}", counted());
            }
        }
    }
}

/// Envoy would write it into `x-forwarded-client-cert` as a hop that was never there.
#[test]
fn a_certificate_with_a_comma_in_a_dns_name_is_nobodys() {
    for (dns, flaw) in [
        ("gateway.example", false),
        ("a,URI=spiffe://foo.com/x", true),
    ] {
        apart(|| {
            let mut vm = vm(&policy(READERS));
            let names = [
                element(0x86, FRONTEND.as_bytes()),
                element(0x82, dns.as_bytes()),
            ];
            let san = extension(&[0x55, 0x1d, 0x11], &element(0x30, &names.concat()));
            let pem = certificates::pem(&with_extensions(&[&san]));
            host(|host| {
                host.attributes
                    .insert("connection.peer_certificate".to_owned(), pem);
            });
            assert_eq!(vm.request() == Action::Pause, flaw, "{dns}");
            assert_eq!(counted().contains(&(flaws("oddDnsSan"), 1)), flaw);
        });
    }
}

#[test]
fn a_certificate_that_cannot_be_read_is_nobodys() {
    let pem = "connection.peer_certificate";
    for unreadable in [None, Some(b"-----BEGIN".to_vec())] {
        apart(|| {
            let mut vm = vm(&policy(READERS));
            host(|host| {
                host.attributes.remove(pem);
                host.attributes
                    .extend(unreadable.map(|value| (pem.to_owned(), value)));
            });
            assert_eq!(vm.request(), Action::Pause);
            assert_eq!(decision().as_deref(), Some("DENY default:invalidIdentity"));
            assert!(counted().contains(&(flaws("unreadable"), 1)));
            let logs = host(|host| host.logs.clone());
            assert!(
                logs.iter()
                    .any(|(_, line)| line.contains("the certificate cannot be read")),
                "{logs:?}"
            );
        });
    }
}

#[test]
fn a_certificate_is_read_once() {
    let mut vm = vm(&policy(READERS));
    host(|host| host.calls.clear());
    for _ in 0..5 {
        assert_eq!(vm.request(), Action::Continue);
    }
    assert_eq!(calls("connection.peer_certificate"), 1);
    assert_eq!(calls("connection.sha256_peer_certificate_digest"), 5);
    assert_eq!(calls("proxy_get_property"), 6);
}

#[test]
fn without_a_digest_it_is_read_each_time() {
    let mut vm = vm(&policy(READERS));
    host(|host| {
        host.attributes
            .remove("connection.sha256_peer_certificate_digest");
    });
    for _ in 0..2 {
        assert_eq!(vm.request(), Action::Continue);
    }
    assert_eq!(calls("connection.peer_certificate"), 2);
}

const TUNNELLED: &str = "filter_state.io.istio.peer_principal";

/// What shows that a listener is internal: what was connected to, or how Istio hides that.
const INTERNAL: [(&str, &str); 2] = [
    ("destination.address", "envoy://internal/"),
    (
        "filter_state.envoy.filters.listener.original_dst.local_ip",
        "192.0.2.7:8080",
    ),
];

fn says(name: &str, value: &str) {
    host(|host| host.attributes.insert(name.into(), value.into()));
}

#[test]
fn a_tunnels_peer_is_known_only_where_the_connection_has_none_of_its_own() {
    for (name, value) in INTERNAL {
        apart(|| {
            let mut vm = vm(&policy(READERS));
            says(TUNNELLED, FRONTEND);
            says(name, value);
            // The connection's own certificate is the tunnel's end.
            peer(Some(BATCH.as_bytes()));
            assert_eq!(vm.request(), Action::Pause);
            assert_eq!(calls(TUNNELLED), 0);
            // TLS that this proxy ends, without a certificate.
            peer(None);
            says("connection.tls_version", "TLSv1.3");
            assert_eq!(vm.request(), Action::Pause);
            assert_eq!(decision().as_deref(), Some("DENY default:plaintext"));
            // An internal listener.
            peer(None);
            assert_eq!(vm.request(), Action::Continue);
            assert_eq!(decision().as_deref(), Some("ALLOW rule:readers"));
            says(TUNNELLED, "spiffe://foo.com/");
            assert_eq!(vm.request(), Action::Pause);
            assert!(counted().contains(&(flaws("noSpiffeId"), 1)));
        });
    }
}

#[test]
fn nor_is_it_on_a_listener_that_is_not_internal() {
    let mut vm = vm(&policy(FRONTEND_ONLY));
    says(TUNNELLED, FRONTEND);
    says("destination.address", "192.0.2.7:8080");
    // The client's claim, where Envoy is told to believe x-forwarded-for.
    says("source.address", "envoy://internal/");
    peer(None);
    assert_eq!(vm.request(), Action::Pause);
    assert_eq!(decision().as_deref(), Some("DENY default:plaintext"));
    let (connection, _) = vm.accept();
    assert_eq!(vm.downstream(connection, 1), Action::Pause);
    assert_eq!(decision().as_deref(), Some("DENY default:plaintext"));
}

#[test]
fn the_peer_of_a_tunnel_is_whose_connection_it_is() {
    for (name, value) in INTERNAL {
        for (principal, expected) in [
            (FRONTEND, "ALLOW rule:frontend"),
            (BATCH, "DENY default:peerMesh"),
            ("spiffe://foo.com/", "DENY default:invalidIdentity"),
        ] {
            apart(|| {
                let mut vm = vm(&policy(FRONTEND_ONLY));
                peer(None);
                says(TUNNELLED, principal);
                says(name, value);
                let (connection, _) = vm.accept();
                let action = vm.downstream(connection, 1);
                assert_eq!(action == Action::Continue, expected.starts_with("ALLOW"));
                assert_eq!(decision().as_deref(), Some(expected), "{name}");
            });
        }
    }
}

fn compiled(policy: &str) -> Policy {
    let program = Program::compile(&crossmesh_policy::parse(policy.as_bytes()).unwrap());
    program.unwrap().bind(&Node::default()).unwrap()
}

#[test]
fn who_has_no_certificate_is_identified_once() {
    let policy = compiled(&policy(""));
    let identities = Identities::new();
    let plaintext = identities.plaintext(&policy);
    assert!(Rc::ptr_eq(&plaintext, &identities.plaintext(&policy)));
    assert_eq!(plaintext.source.class(), SourceClass::Plaintext);
    let passthrough = identities.passthrough(&policy);
    assert!(Rc::ptr_eq(&passthrough, &identities.passthrough(&policy)));
    assert_eq!(passthrough.source.class(), SourceClass::Passthrough);
}

#[test]
fn a_forwarders_caller_is_judged_in_its_place() {
    let forwarders = r#", "forwarders": [{"principal": "foo.com/ns/istio-ingress/sa/gateway"}]"#;
    let gateway = "spiffe://foo.com/ns/istio-ingress/sa/gateway";
    let own = format!("By=spiffe://bar.com/ns/shop/sa/catalog;URI={gateway}");
    let cases = [
        (gateway, format!("URI={FRONTEND},{own}"), None),
        (
            gateway,
            format!("URI=spiffe://bar.com/ns/shop/sa/cart,{own}"),
            Some("forwarded"),
        ),
        (gateway, format!("URI={FRONTEND}"), Some("forwarded")),
        // Nobody else is believed.
        (BATCH, format!("URI={FRONTEND},{own}"), None),
    ];
    for (direct, header, flaw) in cases {
        apart(|| {
            let mut vm = vm(&policy(&format!("{READERS}{forwarders}")));
            peer(Some(direct.as_bytes()));
            host(|host| {
                host.headers
                    .extend(headers(&[("x-forwarded-client-cert", &header)]));
            });
            vm.request();
            let expected = match (direct == gateway, flaw) {
                (true, None) => "ALLOW rule:readers",
                (true, Some(_)) => "DENY default:invalidIdentity",
                (false, _) => "DENY default:peerMesh",
            };
            assert_eq!(decision().as_deref(), Some(expected), "{header}");
            let counted = counted();
            assert_eq!(
                counted.iter().any(|(name, _)| name == &flaws("forwarded")),
                flaw.is_some()
            );
        });
    }
}

#[test]
fn callers_behind_a_forwarder_are_told_apart() {
    let forwarders = r#", "forwarders": [{"principal": "foo.com/ns/istio-ingress/sa/gateway"}]"#;
    let gateway = "spiffe://foo.com/ns/istio-ingress/sa/gateway";
    let own = format!("URI={gateway}");
    let (allowed, other) = (format!("URI={FRONTEND}"), format!("URI={BATCH}"));
    let cases: [(&[&str], &str); 6] = [
        (&[&allowed, &own], "ALLOW rule:readers"),
        (&[&other, &own], "DENY default:peerMesh"),
        // The forwarder itself.
        (&[&own], "DENY default:peerMesh"),
        (&[&own, &allowed], "DENY default:invalidIdentity"),
        (&[&other, &allowed, &own], "ALLOW rule:readers"),
        (&[], "DENY default:peerMesh"),
    ];
    let mut vm = vm(&policy(&format!("{READERS}{forwarders}")));
    let bare = host(|host| host.headers.clone());
    peer(Some(gateway.as_bytes()));
    // Twice, so that who is remembered is not taken for another.
    for (lines, expected) in cases.iter().chain(&cases) {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-client-cert", *line))
            .collect();
        host(|host| {
            host.headers = bare.clone();
            host.headers.extend(headers(&lines));
        });
        vm.request();
        assert_eq!(decision().as_deref(), Some(*expected), "{lines:?}");
    }
}

#[test]
fn what_a_forwarder_says_is_kept_up_to_a_bound_and_believed_beyond_it() {
    let forwarders = r#", "forwarders": [{"principal": "foo.com/ns/web/sa/frontend"}]"#;
    let policy = compiled(&policy(forwarders));
    let identities = Identities::new();
    let forwarder = Peer::Certificate {
        uri_sans: &[FRONTEND.as_bytes()],
    };
    let direct = Rc::new(Identity::of_peer(&policy, &forwarder));
    let said = format!("URI={BATCH},URI={FRONTEND}");
    // Forwarder and line, each after its size.
    let around = 2 * size_of::<usize>() + FRONTEND.len() + said.len();
    for (size, kept) in [(2048, true), (2049, false)] {
        let line = "x".repeat(size - around - 1) + "," + &said;
        let http = HttpRequest {
            headers: &[(b"x-forwarded-client-cert", line.as_bytes())],
            ..HttpRequest::default()
        };
        let caller = || {
            let direct = Rc::clone(&direct);
            identities.behind_forwarder(&policy, direct, &http).unwrap()
        };
        let (first, again) = (caller(), caller());
        assert_eq!(first.source.principal(), Some(BATCH), "{size}");
        assert_eq!(again.source.principal(), Some(BATCH), "{size}");
        assert_eq!(Rc::ptr_eq(&first, &again), kept, "{size}");
    }
}
