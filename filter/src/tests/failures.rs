//! Whatever Envoy answers, nothing traps and nothing opens.

use crate::host::Action;

use super::*;
use crate::fuzz::FUNCTIONS;

/// All that the ABI defines, and some that it does not.
const STATUSES: [i32; 18] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    255,
    -1,
    i32::MAX,
    i32::MIN,
];

#[test]
fn no_status_traps_or_lets_a_refused_request_pass() {
    let everything = r#", "telemetry": {"headers": true}, "rules": [
        {"name": "seen", "action": "AUDIT"},
        {"name": "by-port", "action": "DENY", "to": [{"ports": [1], "snis": ["x"]}], "from": [{"ipBlocks": ["192.0.2.0/24"]}]}]"#;
    for function in FUNCTIONS {
        for status in STATUSES {
            apart(|| {
                let mut vm = vm(&policy(everything));
                host(|host| {
                    host.statuses.insert(function, status);
                    host.headers
                        .extend(headers(&[("x-crossmesh-source-mesh", "west")]));
                });
                for uri_san in [Some(BATCH.as_bytes()), None] {
                    peer(uri_san);
                    assert_eq!(vm.request(), Action::Pause, "{function} {status}");
                }
                vm.configure(policy(everything).as_bytes());
            });
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    for (function, details) in [
        ("proxy_get_property", "crossmesh_failed[proxy_get_property]"),
        (
            "proxy_get_header_map_pairs",
            "crossmesh_failed[proxy_get_header_map_pairs]",
        ),
    ] {
        apart(|| {
            let mut vm = vm(&policy(READERS));
            host(|host| host.statuses.insert(function, 6));
            assert_eq!(vm.request(), Action::Pause);
            let reply = reply().unwrap();
            assert_eq!((reply.status, reply.details.as_str()), (500, details));
            assert_eq!(counted(), [("crossmesh_host_failures_total".to_owned(), 1)]);
            let logs = host(|host| host.logs.clone());
            assert!(
                logs.iter().any(|(level, line)| *level == 4
                    && line.contains("answered status 6 (invalid memory access)")),
                "{logs:?}"
            );
        });
    }
}

#[test]
fn an_answer_of_another_size_than_was_asked_for_is_not_read() {
    for wrong_by in [-1, 1, isize::MAX] {
        apart(|| {
            let mut vm = vm(&policy(READERS));
            peer(Some(BATCH.as_bytes()));
            host(|host| host.wrong_by = wrong_by);
            assert_eq!(vm.request(), Action::Pause);
            let details = reply().unwrap().details;
            assert_eq!(details, "crossmesh_failed[proxy_get_property]");
            assert!(!vm.configure(policy(READERS).as_bytes()));
        });
    }
}

/// What a client may call its headers so that an application takes them for ours.
const FORGED: [(&str, &str); 5] = [
    ("x-crossmesh-source-mesh", "west"),
    ("x-crossmesh-destination-mesh", "east"),
    ("x_crossmesh_source_mesh", "west"),
    ("x-crossmesh_source-mesh", "west"),
    ("x_crossmesh-destination_mesh", "east"),
];

#[test]
fn a_dry_run_refuses_nothing_even_then() {
    for (function, forged) in [
        // What the client sent cannot be seen: what goes is what would be ours.
        ("proxy_get_header_map_pairs", &FORGED[..]),
        (
            "proxy_get_property",
            &[&FORGED[..], &[("x-crossmesh-made-up", "yes")]].concat(),
        ),
    ] {
        apart(|| {
            let mut vm = vm(&policy(r#", "mode": "DRY_RUN""#));
            let genuine = host(|host| host.headers.clone());
            host(|host| {
                host.statuses.insert(function, 10);
                host.headers.extend(headers(forged));
                host.trailers = headers(forged);
                host.trailers.extend(headers(&[("x-digest", "1")]));
            });
            let stream = vm.open();
            assert_eq!(vm.request_headers(stream), Action::Continue);
            assert_eq!(vm.request_trailers(stream), Action::Continue);
            vm.close(stream);
            assert_eq!(reply(), None);
            let passed = host(|host| (host.headers.clone(), host.trailers.clone()));
            let wanted = (genuine, headers(&[("x-digest", "1")]));
            assert_eq!(
                passed, wanted,
                "{function}: what the client calls ours goes unseen"
            );
        });
    }
}

#[test]
fn a_lost_record_changes_no_verdict() {
    for function in ["proxy_set_property", "proxy_increment_metric"] {
        apart(|| {
            let mut vm = vm(&policy(READERS));
            host(|host| host.statuses.insert(function, 2));
            assert_eq!(vm.request(), Action::Continue, "{function}");
            peer(None);
            assert_eq!(vm.request(), Action::Pause, "{function}");
            assert_eq!(reply().map(|reply| reply.status), Some(403), "{function}");
            let logs = host(|host| host.logs.clone());
            assert!(
                logs.iter()
                    .any(|(level, line)| *level == 3 && line.contains(function)),
                "{logs:?}"
            );
        });
    }
}

#[test]
fn a_counter_that_cannot_be_defined_refuses_no_configuration() {
    let mut vm = Vm::start();
    host(|host| host.statuses.insert("proxy_define_metric", 10));
    assert!(vm.configure(policy(READERS).as_bytes()));
}

#[test]
fn malformed_answers_are_refused() {
    let ports = r#", "rules": [{"name": "by-port", "action": "DENY", "to": [{"ports": [1]}]}]"#;
    let answers: [(&str, &[u8]); 5] = [
        ("connection.mtls", b"\x01\x00"),
        ("xds.listener_direction", b"\x02"),
        ("destination.port", b"8080"),
        ("destination.port", &i64::MAX.to_le_bytes()),
        ("headers", b"\xff\xff\xff\xff"),
    ];
    for (attribute, answer) in answers {
        apart(|| {
            let mut vm = vm(&policy(ports));
            peer((attribute == "destination.port").then_some(FRONTEND.as_bytes()));
            host(|host| {
                // Without TLS nobody asks for a certificate.
                if attribute == "connection.mtls" {
                    let tls = "connection.tls_version".to_owned();
                    host.attributes.insert(tls, b"TLSv1.3".to_vec());
                }
                if attribute == "headers" {
                    host.raw_headers = Some(answer.to_vec());
                } else {
                    host.attributes
                        .insert(attribute.to_owned(), answer.to_vec());
                }
            });
            assert_eq!(vm.request(), Action::Pause);
            assert_eq!(reply().map(|reply| reply.status), Some(500), "{attribute}");
        });
    }
}

#[test]
fn an_address_that_is_not_known_is_let_in_by_no_rule_and_denied_by_any() {
    let blocks = r#", "defaults": {"peerMesh": "ALLOW"}, "rules": [{"name": "by-ip", "action": "DENY",
        "from": [{"ipBlocks": ["192.0.2.0/24"]}]}]"#;
    for (address, expected) in [
        (&b"192.0.2.7:1234"[..], "DENY rule:by-ip"),
        (b"[::ffff:192.0.2.7]:1234", "DENY rule:by-ip"),
        (b"198.51.100.1:1234", "ALLOW default:peerMesh"),
        (b"/run/app.sock", "DENY rule:by-ip"),
        // From x-forwarded-for: the client writes there what it likes.
        (b"198.51.100.1:0", "DENY rule:by-ip"),
    ] {
        apart(|| {
            let mut vm = vm(&policy(blocks));
            host(|host| {
                host.attributes
                    .insert("source.address".into(), address.into())
            });
            vm.request();
            assert_eq!(decision().as_deref(), Some(expected));
        });
    }
}

#[test]
fn an_address_from_a_header_opens_nothing() {
    let blocks = r#", "rules": [{"name": "by-ip", "action": "ALLOW", "from": [{"plaintext": true, "ipBlocks": ["192.0.2.0/24"]}]}]"#;
    for (address, expected) in [
        (&b"192.0.2.7:1234"[..], "ALLOW rule:by-ip"),
        (b"192.0.2.7:0", "DENY default:plaintext"),
    ] {
        apart(|| {
            let mut vm = vm(&policy(blocks));
            peer(None);
            host(|host| {
                host.attributes
                    .insert("source.address".into(), address.into())
            });
            vm.request();
            assert_eq!(decision().as_deref(), Some(expected));
        });
    }
}

#[test]
fn contexts_that_never_begin_are_forgotten_and_refused() {
    let mut vm = vm(&policy(READERS));
    let requests: Vec<u32> = (0..1030).map(|_| vm.open()).collect();
    assert_eq!(crate::contexts::waiting(), 1025);
    assert_eq!(vm.request_headers(requests[4]), Action::Pause);
    let details = reply().map(|reply| (reply.status, reply.details));
    assert_eq!(
        details,
        Some((500, "crossmesh_failed[unconfigured]".to_owned()))
    );
    assert_eq!(vm.request_headers(requests[5]), Action::Continue);
    assert_eq!(vm.request_headers(requests[1029]), Action::Continue);
    // Nor is one remembered that is gone before it began.
    let newest = vm.open();
    for gone in [requests[6], newest] {
        vm.close(gone);
        assert_eq!(vm.request_headers(gone), Action::Pause);
    }
    assert_eq!(crate::contexts::waiting(), 1022);
}
