//! What a request brings about.

use crate::host::Action;

use super::*;

#[test]
fn each_source_gets_its_verdict() {
    let cases: &[(Option<&[u8]>, &str, &str)] = &[
        (Some(FRONTEND.as_bytes()), "east", "ALLOW rule:readers"),
        (Some(BATCH.as_bytes()), "east", "DENY default:peerMesh"),
        (
            Some(b"spiffe://bar.com/ns/shop/sa/reviews"),
            "west",
            "ALLOW default:sameMesh",
        ),
        (
            Some(b"spiffe://evil.com/ns/web/sa/frontend"),
            "unknownTrustDomain",
            "DENY default:unknownTrustDomain",
        ),
        (
            Some(b"https://foo.com/ns/web/sa/frontend"),
            "invalidIdentity",
            "DENY default:invalidIdentity",
        ),
        (
            Some(b"spiffe://foo.com/ns/web/sa/front\xffend"),
            "invalidIdentity",
            "DENY default:invalidIdentity",
        ),
        (None, "plaintext", "DENY default:plaintext"),
    ];
    for (uri_san, source, expected) in cases {
        let flaw = (*source == "invalidIdentity").then_some("noSpiffeId");
        apart(|| {
            let mut vm = vm(&policy(READERS));
            peer(*uri_san);
            let action = vm.request();
            assert_eq!(decision().as_deref(), Some(*expected));
            assert_eq!(state("crossmesh_source_mesh").as_deref(), Some(*source));
            assert_eq!(state("crossmesh_destination_mesh").as_deref(), Some("west"));
            assert_eq!(state("crossmesh_enforced"), None);
            let (verdict, by) = expected.split_once(' ').unwrap();
            assert_eq!(
                counted(),
                [flaw.map(flaws), Some(requests(source, verdict))]
                    .into_iter()
                    .flatten()
                    .map(|name| (name, 1))
                    .collect::<Vec<_>>()
            );
            let expected = (verdict == "DENY").then(|| Reply {
                status: 403,
                details: format!("crossmesh_denied[{by}]"),
                body: "access denied by mesh policy\n".into(),
                grpc_status: -1,
            });
            assert_eq!(action == Action::Pause, expected.is_some());
            assert_eq!(reply(), expected);
        });
    }
}

#[test]
fn a_certificate_without_an_identity_is_not_plaintext() {
    let mut vm = vm(&policy(r#", "defaults": {"plaintext": "ALLOW"}"#));
    peer(None);
    assert_eq!(vm.request(), Action::Continue);
    for mtls in [Some(vec![1]), None] {
        host(|host| {
            host.attributes
                .insert("connection.tls_version".into(), b"TLSv1.3".to_vec());
            host.attributes.remove("connection.mtls");
            host.attributes
                .extend(mtls.map(|mtls| ("connection.mtls".to_owned(), mtls)));
        });
        assert_eq!(vm.request(), Action::Pause);
        assert_eq!(decision().as_deref(), Some("DENY default:invalidIdentity"));
    }
}

#[test]
fn the_workloads_own_requests_pass_untouched() {
    let mut vm = vm(&policy(READERS));
    peer(None);
    for (direction, judged) in [
        (Some(2_i64), false),
        (Some(1), true),
        (Some(0), true),
        (None, true),
    ] {
        host(|host| {
            host.attributes.remove("xds.listener_direction");
            host.attributes.extend(direction.map(|d| {
                (
                    "xds.listener_direction".to_owned(),
                    d.to_le_bytes().to_vec(),
                )
            }));
        });
        let action = vm.request();
        assert_eq!(action == Action::Pause, judged, "{direction:?}");
        assert_eq!(decision().is_some(), judged, "{direction:?}");
    }
}

#[test]
fn a_client_certificate_is_judged_whatever_the_direction() {
    let mut vm = vm(&policy(""));
    host(|host| {
        host.attributes
            .insert("xds.listener_direction".into(), 2_i64.to_le_bytes().into());
    });
    assert_eq!(vm.request(), Action::Pause);
}

#[test]
fn nothing_is_read_that_the_policy_does_not_ask_for() {
    let ports = r#", "rules": [{"name": "by-port", "action": "DENY", "to": [{"ports": [9090]}]}]"#;
    for (rules, port) in [(READERS, 0), (ports, 1)] {
        apart(|| {
            let mut vm = vm(&policy(rules));
            vm.request();
            host(|host| {
                host.calls.clear();
                host.attributes
                    .insert("destination.port".into(), 9090_i64.to_le_bytes().into());
            });
            vm.request();
            assert_eq!(calls("destination.port"), port);
            assert_eq!(calls("proxy_get_property"), 1_usize.saturating_add(port));
            assert_eq!(calls("proxy_get_header_map_pairs"), 1);
            assert_eq!(calls("connection.requested_server_name"), 0);
            assert_eq!(calls("source.address"), 0);
            if port == 1 {
                assert_eq!(decision().as_deref(), Some("DENY rule:by-port"));
            }
        });
    }
}

/// Whether it has a certificate, whose listener it is, whether it comes through a tunnel: nothing twice, and nothing that one of
/// these decides.
#[test]
fn a_request_in_plaintext_asks_for_nothing_that_is_decided() {
    for (id, direction, reads, decided) in [
        ("sidecar~192.0.2.1~a.b~b.svc", 1_i64, 4, true),
        ("sidecar~192.0.2.1~a.b~b.svc", 2, 3, false),
        ("router~192.0.2.1~a.b~b.svc", 2, 3, true),
    ] {
        apart(|| {
            host(|host| {
                let attributes = &mut host.attributes;
                attributes.insert("xds.node.id".into(), id.as_bytes().to_vec());
            });
            let mut vm = vm(&policy(READERS));
            peer(None);
            host(|host| {
                let attributes = &mut host.attributes;
                attributes.insert(
                    "xds.listener_direction".into(),
                    direction.to_le_bytes().into(),
                );
                host.calls.clear();
            });
            let stream = vm.open();
            let action = vm.request_headers(stream);
            assert_eq!(action == Action::Pause, decided, "{id} {direction}");
            let upstream = usize::from(!decided) * 2;
            assert_eq!(
                calls("proxy_get_property"),
                reads + upstream,
                "{id} {direction}: {:?}",
                host(|host| host.calls.clone())
            );
            assert_eq!(calls("connection.mtls"), 0);
        });
    }
}

#[test]
fn a_grpc_client_gets_a_message_without_a_line_end() {
    let mut vm = vm(&policy(""));
    host(|host| {
        host.headers
            .extend(headers(&[("content-type", "application/grpc+proto")]));
    });
    assert_eq!(vm.request(), Action::Pause);
    let reply = reply().unwrap();
    assert_eq!(reply.body, "access denied by mesh policy");
    assert_eq!(reply.grpc_status, -1, "Envoy maps 403 by itself");
    // Only that header says so.
    host(|host| {
        host.headers.pop();
        host.headers.extend(headers(&[
            ("content-type", "text/html"),
            ("x-type", "application/grpc"),
        ]));
    });
    vm.request();
    let reply = super::reply().unwrap();
    assert_eq!(reply.body, "access denied by mesh policy\n");
}

#[test]
fn a_request_is_remembered_only_for_what_is_told_at_its_end() {
    for (telemetry, remembered) in [("", 0), (r#", "telemetry": {"bytes": true}"#, 1)] {
        apart(|| {
            let mut vm = vm(&policy(&format!("{READERS}{telemetry}")));
            let stream = vm.open();
            assert_eq!(vm.request_headers(stream), Action::Continue);
            assert_eq!(crate::http::remembered(), remembered, "{telemetry}");
            vm.close(stream);
            assert_eq!(crate::http::remembered(), 0, "{telemetry}");
        });
    }
}

#[test]
fn a_dry_run_refuses_nothing_and_says_so() {
    let mut vm = vm(&policy(r#", "mode": "DRY_RUN""#));
    for (uri_san, expected) in [
        (&b"not-spiffe"[..], "DENY default:invalidIdentity"),
        (BATCH.as_bytes(), "DENY default:peerMesh"),
    ] {
        peer(Some(uri_san));
        assert_eq!(vm.request(), Action::Continue);
        assert_eq!(reply(), None);
        assert_eq!(decision().as_deref(), Some(expected));
        assert_eq!(state("crossmesh_enforced").as_deref(), Some("false"));
    }
    peer(Some(b"spiffe://bar.com/ns/shop/sa/reviews"));
    assert_eq!(vm.request(), Action::Continue);
    assert_eq!(state("crossmesh_enforced"), None);
}

#[test]
fn audit_is_counted_and_logged_and_decides_nothing() {
    let audit = r#", "rules": [{"name": "seen", "action": "AUDIT"}, {"name": "not-seen", "action": "AUDIT", "to": [{"methods": ["PUT"]}]}]"#;
    let mut vm = vm(&policy(audit));
    vm.request();
    assert_eq!(decision().as_deref(), Some("DENY default:peerMesh"));
    assert_eq!(
        counted(),
        [
            ("rule=.=seen;.;crossmesh_audit_matches_total".to_owned(), 1),
            (requests("east", "DENY"), 1)
        ]
    );
    let lines = host(|host| host.logs.clone());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == 2 && line.contains("audit rule:seen"))
    );
}

#[test]
fn no_header_from_outside_survives_as_one_of_ours() {
    let forged = [
        ("x-crossmesh-source-mesh", "west"),
        ("x-crossmesh-source-mesh", "west"),
        ("x-request-id", "1"),
        ("x_crossmesh_destination_mesh", "east"),
        ("x-crossmesh-other", "1"),
    ];
    let genuine = [
        ("x-crossmesh-source-mesh", "east"),
        ("x-crossmesh-destination-mesh", "west"),
    ];
    let cases: [(&str, &[(&str, &str)]); 2] =
        [("", &[]), (r#", "telemetry": {"headers": true}"#, &genuine)];
    for (telemetry, ours) in cases {
        apart(|| {
            let mut vm = vm(&policy(&format!("{READERS}{telemetry}")));
            host(|host| host.headers.extend(headers(&forged)));
            assert_eq!(vm.request(), Action::Continue);
            let passed = host(|host| host.headers.get(3..).unwrap().to_vec());
            let expected = [&[("x-request-id", "1")], ours].concat();
            assert_eq!(passed, headers(&expected));
        });
    }
}

#[test]
fn nor_does_a_trailer() {
    let forged = [
        ("x-crossmesh-source-mesh", "west"),
        ("grpc-trace", "1"),
        ("X_Crossmesh-Other", "1"),
    ];
    let mut vm = vm(&policy(READERS));
    let stream = vm.open();
    host(|host| host.trailers = headers(&forged));
    assert_eq!(vm.request_headers(stream), Action::Continue);
    assert_eq!(vm.request_trailers(stream), Action::Continue);
    let passed = host(|host| host.trailers.clone());
    assert_eq!(passed, headers(&[("grpc-trace", "1")]));
    host(|host| host.statuses.insert("proxy_get_header_map_pairs", 10));
    assert_eq!(vm.request_trailers(stream), Action::Pause);
    assert_eq!(reply().map(|reply| reply.status), Some(500));
}

#[test]
fn a_refusal_is_one_line_that_the_client_cannot_forge() {
    let mut vm = vm(&policy(""));
    // As long as is shown.
    let method = "M".repeat(256);
    host(|host| {
        host.headers = vec![
            (b":authority".to_vec(), b"a\"b\xff".to_vec()),
            (b":method".to_vec(), method.clone().into()),
            (
                b":path".to_vec(),
                [&b"/\nverdict=ALLOW"[..], &[b'x'; 300]].concat(),
            ),
        ];
    });
    vm.request();
    let logs = host(|host| std::mem::take(&mut host.logs));
    let [(2, line)] = logs.as_slice() else {
        panic!("{logs:?}");
    };
    for part in [
        "refused: verdict=DENY decided_by=default:peerMesh source_class=peerMesh",
        "source_mesh=east destination_mesh=west",
        "principal=spiffe://foo.com/ns/web/sa/frontend",
        &format!(r#"method="{method}" host="a\"b\xff" path="/\nverdict=ALLOWxxx"#),
        "(+59 bytes)",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }

    host(|host| host.log_level = 3);
    vm.request();
    assert_eq!(host(|host| host.logs.clone()), []);
}

#[test]
fn an_identity_is_parsed_once_and_forgotten_in_the_end() {
    let mut vm = vm(&policy(READERS));
    let most = 1024;
    let mut is_read = |uri_san: &str| {
        let before = calls("connection.peer_certificate");
        peer(Some(uri_san.as_bytes()));
        vm.request();
        calls("connection.peer_certificate") - before
    };
    let batch = |number: usize| format!("spiffe://foo.com/ns/web/sa/a{number}");
    for number in 0..3000 {
        assert_eq!(is_read(&batch(number)), 1, "{number}");
    }
    assert_eq!(is_read(FRONTEND), 1);
    for _ in 0..2 {
        assert_eq!(is_read(FRONTEND), 0, "it is kept");
        assert_eq!(decision().as_deref(), Some("ALLOW rule:readers"));
    }
    // So many are kept, with the frontend, and not one more.
    for number in (3000 - (most - 1)..3000).rev() {
        assert_eq!(is_read(&batch(number)), 0, "{number} is kept");
    }
    assert_eq!(is_read(&batch(3000 - most)), 1, "{} is not", 3000 - most);
}
