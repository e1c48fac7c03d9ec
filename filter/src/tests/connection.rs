//! What a TCP connection brings about.

use crate::host::Action;

use super::*;

fn connections(source: &str, verdict: &str) -> (String, i64) {
    let name = requests(source, verdict).replace("requests", "connections");
    (name, 1)
}

fn cut_off(source: &str) -> (String, i64) {
    let name = requests(source, "DENY").replace("requests", "connections_cut_off");
    (name, 1)
}

/// TLS, in which no certificate was seen yet.
fn before_the_handshake() {
    peer(None);
    host(|host| {
        host.attributes
            .insert("connection.tls_version".into(), b"TLSv1.2".to_vec());
    });
}

#[test]
fn a_connection_is_decided_at_the_clients_first_bytes() {
    for (uri_san, source, expected) in [
        (Some(FRONTEND), "east", "ALLOW rule:frontend"),
        (Some(BATCH), "east", "DENY default:peerMesh"),
        (None, "plaintext", "DENY default:plaintext"),
    ] {
        apart(|| {
            let mut vm = vm(&policy(FRONTEND_ONLY));
            before_the_handshake();
            let (connection, action) = vm.accept();
            assert_eq!(action, Action::Continue);
            assert_eq!(decision(), None, "not before the handshake");
            assert_eq!(
                calls("connection.sha256_peer_certificate_digest"),
                0,
                "Envoy might remember that there was none"
            );
            peer(uri_san.map(str::as_bytes));
            let action = vm.downstream(connection, 10);
            assert_eq!(decision().as_deref(), Some(expected));
            assert_eq!(state("crossmesh_source_mesh").as_deref(), Some(source));
            let (verdict, _) = expected.split_once(' ').unwrap();
            assert_eq!(counted(), [connections(source, verdict)]);
            if verdict == "ALLOW" {
                assert_eq!((action, closed()), (Action::Continue, vec![]));
                assert_eq!(vm.upstream(connection, 10), Action::Continue);
                assert_eq!(vm.downstream(connection, 10), Action::Continue);
                assert_eq!(counted(), [connections(source, verdict)], "counted once");
                vm.close(connection);
            } else {
                assert_eq!((action, closed()), (Action::Pause, vec![connection]));
            }
        });
    }
}

#[test]
fn a_server_that_speaks_first_is_heard_only_after_the_handshake() {
    for (uri_san, allowed) in [(FRONTEND, true), (BATCH, false)] {
        apart(|| {
            let mut vm = vm(&policy(FRONTEND_ONLY));
            before_the_handshake();
            let (connection, _) = vm.accept();
            for _ in 0..3 {
                assert_eq!(vm.upstream(connection, 8), Action::Pause);
                assert_eq!((decision(), closed()), (None, vec![]));
            }
            assert_eq!(calls("connection.sha256_peer_certificate_digest"), 0);
            peer(Some(uri_san.as_bytes()));
            let action = vm.upstream(connection, 8);
            assert_eq!(action == Action::Continue, allowed);
            assert_eq!(closed().is_empty(), allowed);
            if allowed {
                // It may be anybody who shows this certificate.
                assert_eq!((decision(), counted()), (None, vec![]));
                assert_eq!(vm.upstream(connection, 8), Action::Continue);
                assert_eq!(vm.downstream(connection, 8), Action::Continue);
                assert_eq!(decision().as_deref(), Some("ALLOW rule:frontend"));
                assert_eq!(counted(), [connections("east", "ALLOW")]);
            } else {
                assert_eq!(counted(), [connections("east", "DENY")]);
            }
        });
    }
}

#[test]
fn a_dry_run_holds_no_server_back_and_judges_when_its_client_speaks() {
    for (uri_san, expected) in [
        (Some(FRONTEND), "ALLOW rule:frontend"),
        (Some(BATCH), "DENY default:peerMesh"),
        // TLS in which none is asked for: nobody knows when its handshake is over.
        (None, "DENY default:plaintext"),
    ] {
        apart(|| {
            let told = r#", "mode": "DRY_RUN", "telemetry": {"bytes": true}"#;
            let mut vm = vm(&policy(&format!("{FRONTEND_ONLY}{told}")));
            before_the_handshake();
            let (connection, _) = vm.accept();
            assert_eq!(vm.upstream(connection, 8), Action::Continue);
            assert_eq!((decision(), counted()), (None, vec![]));
            assert_eq!(calls("connection.sha256_peer_certificate_digest"), 0);
            if uri_san.is_some() {
                peer(uri_san.map(str::as_bytes));
            }
            assert_eq!(vm.downstream(connection, 5), Action::Continue);
            assert_eq!(decision().as_deref(), Some(expected));
            vm.close(connection);
            let sent = counted()
                .into_iter()
                .find(|(name, _)| name.ends_with("crossmesh_connection_sent_bytes_total"));
            assert_eq!(sent.map(|(_, bytes)| bytes), Some(8));
        });
    }
}

#[test]
fn what_a_dry_run_let_a_server_say_ends_with_the_dry_run() {
    for (uri_san, is_cut_off) in [(Some(FRONTEND), false), (Some(BATCH), true), (None, false)] {
        apart(|| {
            let mut vm = vm(&policy(r#", "mode": "DRY_RUN""#));
            before_the_handshake();
            let (connection, _) = vm.accept();
            assert_eq!(vm.upstream(connection, 8), Action::Continue);
            if uri_san.is_some() {
                peer(uri_san.map(str::as_bytes));
            }
            assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
            vm.tick(1);
            assert_eq!(closed_is(connection), is_cut_off);
            let told = is_cut_off.then(|| cut_off("east"));
            assert_eq!(counted(), Vec::from_iter(told));
            // As under any other policy.
            let passes = uri_san == Some(FRONTEND);
            assert_eq!(vm.upstream(connection, 8) == Action::Continue, passes);
        });
    }
}

#[test]
fn what_a_server_said_to_a_certificate_is_counted_when_its_holder_speaks() {
    let mut vm = vm(&policy(&format!(
        r#"{FRONTEND_ONLY}, "telemetry": {{"bytes": true}}"#
    )));
    peer(Some(FRONTEND.as_bytes()));
    let open = [0; 2].map(|_| vm.accept().0);
    for connection in open {
        assert_eq!(vm.upstream(connection, 8), Action::Continue);
    }
    let [speaks, never] = open;
    assert_eq!(vm.downstream(speaks, 5), Action::Continue);
    vm.close(speaks);
    vm.close(never);
    let bytes = |which: &str| {
        let name =
            requests("east", "ALLOW").replace("requests", &format!("connection_{which}_bytes"));
        counted()
            .into_iter()
            .find(|(of, _)| *of == name)
            .map(|(_, count)| count)
    };
    assert_eq!((bytes("sent"), bytes("received")), (Some(8), Some(5)));
}

#[test]
fn a_new_policy_closes_what_only_the_server_has_spoken_on() {
    let mut vm = vm(&policy(r#", "defaults": {"peerMesh": "ALLOW"}"#));
    peer(Some(BATCH.as_bytes()));
    let (connection, _) = vm.accept();
    assert_eq!(vm.upstream(connection, 8), Action::Continue);
    assert!(vm.configure(policy(FRONTEND_ONLY).as_bytes()));
    vm.tick(1);
    assert_eq!(closed(), [connection]);
    assert_eq!(counted(), [cut_off("east")], "some of it has passed");
    let logs = host(|host| host.logs.clone());
    let said = "connection cut off by a new policy";
    assert!(logs.iter().any(|(_, line)| line.contains(said)), "{logs:?}");
}

#[test]
fn without_tls_there_is_no_handshake_to_wait_for() {
    let mut vm = vm(&policy(r#", "defaults": {"plaintext": "ALLOW"}"#));
    peer(None);
    let (connection, _) = vm.accept();
    assert_eq!(vm.upstream(connection, 8), Action::Continue);
    assert_eq!(decision().as_deref(), Some("ALLOW default:plaintext"));
}

#[test]
fn tls_that_is_not_ended_here_is_passed_on_by_its_server_name() {
    let snis =
        r#", "rules": [{"name": "sni", "action": "DENY", "to": [{"snis": ["closed.example"]}]}]"#;
    // Server name, listener direction, kind of proxy; the decision.
    let cases = [
        (
            "open.example",
            0_i64,
            "sidecar",
            Some("ALLOW default:passthrough"),
        ),
        ("closed.example", 0, "sidecar", Some("DENY rule:sni")),
        ("closed.example", 2, "router", Some("DENY rule:sni")),
        // A sidecar's own connection.
        ("closed.example", 2, "sidecar", None),
    ];
    for (sni, direction, kind, expected) in cases {
        apart(|| {
            host(|host| {
                let id = format!("{kind}~192.0.2.1~a.b~b.svc");
                host.attributes.insert("xds.node.id".into(), id.into());
            });
            let mut vm = vm(&policy(snis));
            peer(None);
            host(|host| {
                let attributes = &mut host.attributes;
                attributes.insert("connection.requested_server_name".into(), sni.into());
                attributes.insert(
                    "xds.listener_direction".into(),
                    direction.to_le_bytes().to_vec(),
                );
            });
            let (connection, _) = vm.accept();
            vm.downstream(connection, 200);
            assert_eq!(decision().as_deref(), expected, "{sni} {direction} {kind}");
        });
    }
}

/// Bytes that may begin TLS, and such as cannot.
const LIKE_TLS: [&[u8]; 4] = [
    b"\x16",
    b"\x16\x03",
    b"\x16\x03\x01\x02\x00\x01",
    b"\x16\x03 and no TLS",
];
const UNLIKE_TLS: [&[u8]; 5] = [b"", b"\x03\x16", b"\x16\x04", b"GET /", b"\x15\x03\x01"];

/// A connection without TLS of ours and without a server name, at the client's first bytes.
fn says(policy: &str, said: &[u8]) -> (Vm, u32, Action) {
    let mut vm = vm(policy);
    peer(None);
    host(|host| host.said = said.to_vec());
    let (connection, _) = vm.accept();
    let action = vm.downstream(connection, said.len());
    (vm, connection, action)
}

#[test]
fn what_may_be_tls_without_a_server_name_passes_only_as_plaintext_and_as_passthrough() {
    let closed =
        r#", "rules": [{"name": "closed", "action": "DENY", "from": [{"passthrough": true}]}]"#;
    for (plaintext, passthrough, rules, like_tls) in [
        ("ALLOW", "ALLOW", "", "ALLOW default:passthrough"),
        ("ALLOW", "DENY", "", "DENY default:passthrough"),
        ("DENY", "ALLOW", "", "DENY default:plaintext"),
        ("DENY", "DENY", "", "DENY default:passthrough"),
        ("ALLOW", "ALLOW", closed, "DENY rule:closed"),
    ] {
        let defaults = format!(
            r#", "defaults": {{"plaintext": "{plaintext}", "passthrough": "{passthrough}"}}{rules}"#
        );
        let plain = format!("{plaintext} default:plaintext");
        let all = LIKE_TLS.map(|said| (said, like_tls));
        let others = UNLIKE_TLS.map(|said| (said, plain.as_str()));
        for (said, expected) in all.into_iter().chain(others) {
            apart(|| {
                let (_, connection, action) = says(&policy(&defaults), said);
                assert_eq!(decision().as_deref(), Some(expected), "{said:?}");
                let (verdict, by) = expected.split_once(' ').unwrap();
                let class = by.strip_prefix("default:").unwrap_or("passthrough");
                assert_eq!(counted(), [connections(class, verdict)], "{said:?}");
                assert_eq!(action == Action::Pause, verdict == "DENY", "{said:?}");
                assert_eq!(closed_is(connection), verdict == "DENY", "{said:?}");
            });
        }
    }
}

fn closed_is(connection: u32) -> bool {
    closed() == [connection]
}

#[test]
fn the_clients_bytes_are_read_only_where_nothing_else_tells() {
    let open = r#", "defaults": {"plaintext": "ALLOW", "peerMesh": "ALLOW"}"#;
    let before = |name: &str, value: &[u8]| {
        let (name, value) = (name.to_owned(), value.to_vec());
        host(|host| host.attributes.insert(name, value));
    };
    for (what, read) in [("certificate", 0), ("sni", 0), ("server first", 0), ("", 1)] {
        apart(|| {
            let mut vm = vm(&policy(open));
            if what != "certificate" {
                peer(None);
            }
            if what == "sni" {
                before("connection.requested_server_name", b"a.b");
            }
            host(|host| {
                host.said = LIKE_TLS[2].to_vec();
                host.calls.clear();
            });
            let (connection, _) = vm.accept();
            if what == "server first" {
                assert_eq!(vm.upstream(connection, 10), Action::Continue);
                assert_eq!(decision().as_deref(), Some("ALLOW default:plaintext"));
            }
            for _ in 0..2 {
                assert_eq!(vm.downstream(connection, 10), Action::Continue, "{what}");
            }
            assert_eq!(calls("proxy_get_buffer_bytes"), read, "{what}");
        });
    }
}

#[test]
fn what_is_decided_as_both_is_read_once() {
    let asks = r#", "defaults": {"plaintext": "ALLOW"}, "rules": [
        {"name": "addresses", "action": "DENY", "from": [{"ipBlocks": ["192.0.2.0/24"]}]}]"#;
    says(&policy(asks), LIKE_TLS[2]);
    let read = [
        "destination.port",
        "source.address",
        "connection.requested_server_name",
    ];
    assert_eq!(read.map(calls), [1; 3]);
}

#[test]
fn a_client_that_ends_without_a_word_is_told_of_too() {
    let mut vm = vm(&policy(FRONTEND_ONLY));
    let (connection, _) = vm.accept();
    assert_eq!(vm.upstream(connection, 8), Action::Continue);
    assert_eq!(counted(), []);
    // The end of its bytes. TLS tells that only after the handshake.
    assert_eq!(vm.downstream(connection, 0), Action::Continue);
    assert_eq!(counted(), [connections("east", "ALLOW")]);
}

#[test]
fn first_bytes_that_cannot_be_read_pass_in_a_dry_run_alone() {
    for (mode, action) in [("ENFORCE", Action::Pause), ("DRY_RUN", Action::Continue)] {
        apart(|| {
            host(|host| host.said = b"hello".to_vec());
            let open = r#", "defaults": {"plaintext": "ALLOW"}"#;
            let mut vm = vm(&policy(&format!(r#"{open}, "mode": "{mode}""#)));
            peer(None);
            host(|host| host.statuses.insert("proxy_get_buffer_bytes", 10));
            let (connection, _) = vm.accept();
            assert_eq!(vm.downstream(connection, 5), action, "{mode}");
        });
    }
}

#[test]
fn a_new_policy_takes_what_may_be_tls_for_both_too() {
    for (said, plaintext, passthrough, cut_off) in [
        (LIKE_TLS[2], "ALLOW", "DENY", true),
        (LIKE_TLS[0], "DENY", "ALLOW", true),
        (LIKE_TLS[2], "ALLOW", "ALLOW", false),
        (UNLIKE_TLS[3], "ALLOW", "DENY", false),
        (UNLIKE_TLS[3], "DENY", "ALLOW", true),
    ] {
        apart(|| {
            let open = r#", "defaults": {"plaintext": "ALLOW", "passthrough": "ALLOW"}"#;
            let (mut vm, connection, action) = says(&policy(open), said);
            assert_eq!(action, Action::Continue);
            // It has passed on what it said.
            host(|host| host.said = b"more".to_vec());
            let next = format!(
                r#", "defaults": {{"plaintext": "{plaintext}", "passthrough": "{passthrough}"}}"#
            );
            assert!(vm.configure(policy(&next).as_bytes()));
            vm.tick(1);
            assert_eq!(closed_is(connection), cut_off, "{said:?} {next}");
        });
    }
}

#[test]
fn what_may_be_tls_is_audited_and_told_of_by_a_candidate_as_both() {
    let told = r#", "defaults": {"plaintext": "ALLOW", "passthrough": "ALLOW"},
        "rules": [{"name": "plain", "action": "AUDIT", "from": [{"plaintext": true}]},
            {"name": "tls", "action": "AUDIT", "from": [{"passthrough": true}]}, {"name": "any", "action": "AUDIT"}],
        "candidate": {"rules": [{"name": "no-plain", "action": "DENY", "from": [{"plaintext": true}]}]}"#;
    says(&policy(told), LIKE_TLS[2]);
    assert_eq!(decision().as_deref(), Some("ALLOW default:passthrough"));
    for rule in ["plain", "tls", "any"] {
        let name = format!("rule=.={rule};.;crossmesh_audit_matches_total");
        assert_eq!(count_of(&name), 1, "{rule}");
    }
    let newly =
        "rule=.=no-plain;.;verdict=.=DENY;.;active=.=ALLOW;.;crossmesh_candidate_decisions_total";
    assert_eq!(count_of(newly), 1);
}

#[test]
fn where_the_http_filter_follows_what_may_be_tls_is_decided_as_passthrough() {
    let ports = r#", "tcp": {"httpPorts": [8080]}, "rules": [{"name": "probes", "action": "ALLOW",
        "from": [{"plaintext": true}], "to": [{"paths": ["/healthz"]}]}]"#;
    for (said, passthrough, expected) in [
        (LIKE_TLS[2], "DENY", Some("DENY default:passthrough")),
        (LIKE_TLS[2], "ALLOW", Some("ALLOW default:passthrough")),
        (UNLIKE_TLS[3], "DENY", None),
    ] {
        apart(|| {
            to_port(8080);
            let defaults = format!(r#", "defaults": {{"passthrough": "{passthrough}"}}{ports}"#);
            says(&policy(&defaults), said);
            assert_eq!(decision().as_deref(), expected);
        });
    }
}

#[test]
fn a_dry_run_closes_nothing() {
    let mut vm = vm(&policy(r#", "mode": "DRY_RUN""#));
    let (connection, _) = vm.accept();
    assert_eq!(vm.downstream(connection, 10), Action::Continue);
    assert_eq!(decision().as_deref(), Some("DENY default:peerMesh"));
    assert_eq!(state("crossmesh_enforced").as_deref(), Some("false"));
    let logs = host(|host| host.logs.clone());
    let said = "connection would be refused, but the policy is a dry run";
    assert!(
        logs.iter()
            .any(|(level, line)| *level == 2 && line.contains(said)),
        "{logs:?}"
    );
    host(|host| host.statuses.insert("proxy_get_property", 10));
    let (connection, _) = vm.accept();
    assert_eq!(vm.downstream(connection, 10), Action::Continue);
    assert_eq!(closed(), [0; 0]);
}

#[test]
fn the_workloads_own_connections_are_only_told_of() {
    let mut vm = vm(&policy(""));
    peer(None);
    host(|host| {
        host.attributes
            .insert("xds.listener_direction".into(), 2_i64.to_le_bytes().into());
    });
    let (connection, _) = vm.accept();
    assert_eq!(vm.downstream(connection, 10), Action::Continue);
    assert_eq!(state("crossmesh_destination_mesh"), None);
    host(|host| {
        host.attributes.insert(
            "upstream.uri_san_peer_certificate".into(),
            b"spiffe://foo.com/ns/shop/sa/db".to_vec(),
        );
    });
    assert_eq!(vm.upstream(connection, 10), Action::Continue);
    assert_eq!(state("crossmesh_source_mesh").as_deref(), Some("west"));
    assert_eq!(state("crossmesh_destination_mesh").as_deref(), Some("east"));
    assert_eq!((decision(), counted()), (None, vec![]));
}

#[test]
fn requests_and_connections_may_share_a_root_context() {
    let mut vm = vm(&policy(FRONTEND_ONLY));
    let stream = vm.open();
    let (connection, _) = vm.accept();
    assert_eq!(vm.request_headers(stream), Action::Continue);
    assert_eq!(vm.downstream(connection, 10), Action::Continue);
    vm.close(stream);
    assert_eq!(vm.upstream(connection, 10), Action::Continue);
    vm.close(connection);
}

#[test]
fn a_connection_that_nobody_accepted_is_closed() {
    let mut vm = vm(&policy(FRONTEND_ONLY));
    let context = vm.open();
    assert_eq!(vm.downstream(context, 10), Action::Pause);
    assert_eq!(closed(), [context]);
}

#[test]
fn a_connection_of_a_plugin_without_a_policy_is_closed() {
    let mut vm = Vm::start();
    assert!(!vm.configure(b""));
    let (connection, action) = vm.accept();
    assert_eq!((action, closed()), (Action::Pause, vec![connection]));
}
