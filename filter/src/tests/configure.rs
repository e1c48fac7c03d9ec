//! What a configuration does, and what a wrong one does not.

use crate::host::Action;

use super::*;

#[test]
fn a_wrong_configuration_is_refused_naming_each_problem() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "no configuration"),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"null", ""),
        (br#"{"schema": "crossmesh/v1"}"#, "meshes"),
        (policy(r#", "rulez": []"#).leak().as_bytes(), "rulez"),
        (policy(r#", "rules": []"#).leak().as_bytes(), "rules"),
    ];
    for (configuration, named) in cases {
        apart(|| {
            let mut vm = Vm::start();
            assert!(
                !vm.configure(configuration),
                "{}",
                configuration.escape_ascii()
            );
            let logs = host(|host| std::mem::take(&mut host.logs));
            assert!(!logs.is_empty(), "{}", configuration.escape_ascii());
            for (level, line) in logs {
                assert_eq!(level, 4, "{line}");
                assert!(line.starts_with("configuration refused: "), "{line}");
                assert!(line.contains(named) && !line.contains('\n'), "{line}");
            }
        });
    }
}

#[test]
fn every_problem_has_a_line() {
    let mut vm = Vm::start();
    let two = r#", "rules": [
        {"name": "a", "action": "ALLOW", "from": [{"meshes": ["north"]}]},
        {"name": "b", "action": "ALLOW", "from": [{"meshes": ["south"]}]}]"#;
    assert!(!vm.configure(policy(two).as_bytes()));
    let lines = host(|host| host.logs.len());
    assert_eq!(lines, 2, "{:?}", host(|host| host.logs.clone()));
}

#[test]
fn what_was_active_stays_active() {
    let mut vm = vm(&policy(READERS));
    assert!(!vm.configure(b"{}"));
    assert_eq!(vm.request(), Action::Continue);
    assert_eq!(decision().as_deref(), Some("ALLOW rule:readers"));
}

#[test]
fn a_stream_keeps_the_policy_it_began_with() {
    let more = format!(r#"{READERS}, "telemetry": {{"bytes": true}}"#);
    let mut vm = vm(&policy(&more));
    let stream = vm.open();
    assert_eq!(vm.request_headers(stream), Action::Continue);
    assert!(vm.configure(policy("").as_bytes()));
    host(|host| {
        let size = 5_i64.to_le_bytes().into();
        host.attributes.insert("request.total_size".into(), size);
    });
    vm.close(stream);
    let bytes = requests("east", "ALLOW").replace("requests_total", "request_bytes_total");
    assert!(counted().contains(&(bytes, 5)), "{:?}", counted());
    assert_eq!(vm.request(), Action::Pause);
}

#[test]
fn contexts_may_begin_in_another_order_than_they_were_made() {
    let mut vm = vm(&policy(READERS));
    let (first, second) = (vm.open(), vm.open());
    let lenient = vm.plugin();
    assert!(vm.configure(policy(r#", "defaults": {"plaintext": "ALLOW"}"#).as_bytes()));
    let third = vm.open();
    peer(None);
    assert_eq!(vm.request_headers(third), Action::Continue, "{lenient}");
    assert_eq!(vm.request_headers(second), Action::Pause);
    assert_eq!(vm.request_headers(first), Action::Pause);
    // One that Envoy never made.
    assert_eq!(vm.request_headers(u32::MAX), Action::Pause);
    assert_eq!(reply().unwrap().details, "crossmesh_failed[unconfigured]");
}

#[test]
fn a_stream_of_a_plugin_without_a_policy_is_refused() {
    let mut vm = Vm::start();
    assert!(!vm.configure(b""));
    assert_eq!(vm.request(), Action::Pause);
    let reply = reply().unwrap();
    assert_eq!(
        (reply.status, reply.details.as_str()),
        (500, "crossmesh_failed[unconfigured]")
    );
}

#[test]
fn the_proxy_is_known_by_its_node_metadata() {
    let rule = |to: &str| {
        format!(
            r#"{{"schema": "crossmesh/v1", "meshes": [{{"id": "west", "trustDomains": ["bar.com"]}}],
            "rules": [{{"name": "own", "action": "DENY", "to": [{to}]}}]}}"#
        )
    };
    let cases = [
        (r#"{"namespaces": ["shop"]}"#, true),
        (r#"{"namespaces": ["other"]}"#, false),
        (r#"{"workloads": ["shop/catalog-v1"]}"#, true),
        (r#"{"workloads": ["shop/reviews"]}"#, false),
        (r#"{"labels": {"app": "catalog", "version": "v1"}}"#, true),
        (r#"{"labels": {"app": "catalog", "version": "v2"}}"#, false),
        (r#"{"labels": {"tier": "x"}}"#, false),
    ];
    for (to, applies) in cases {
        apart(|| {
            host(|host| {
                for (key, value) in [
                    ("MESH_ID", "west"),
                    ("NAMESPACE", "shop"),
                    ("WORKLOAD_NAME", "catalog-v1"),
                ] {
                    host.attributes
                        .insert(format!("xds.node.metadata.{key}"), value.into());
                }
                let labels: [(&[u8], &[u8]); 2] = [(b"app", b"catalog"), (b"version", b"v1")];
                host.attributes.insert(
                    "xds.node.metadata.LABELS".into(),
                    crate::mock_host::encode_pairs(labels.into_iter()),
                );
            });
            let mut vm = vm(&rule(to));
            peer(Some(b"spiffe://bar.com/ns/shop/sa/catalog"));
            vm.request();
            let expected = if applies {
                "DENY rule:own"
            } else {
                "ALLOW default:sameMesh"
            };
            assert_eq!(decision().as_deref(), Some(expected), "{to}");
        });
    }
}

#[test]
fn the_mesh_of_the_node_must_be_said() {
    let mut vm = Vm::start();
    let configuration = policy("").replace(r#""mesh": "west", "#, "");
    assert!(!vm.configure(configuration.as_bytes()));
    host(|host| {
        host.attributes
            .insert("xds.node.metadata.MESH_ID".into(), b"east".into())
    });
    assert!(vm.configure(configuration.as_bytes()));
}

#[test]
fn all_counters_are_there_from_the_start_and_only_once() {
    let audit = r#", "rules": [{"name": "seen", "action": "AUDIT"}]"#;
    let mut vm = vm(&policy(audit));
    let names: Vec<_> = host(|host| host.counters.keys().cloned().collect());
    for source in [
        "east",
        "west",
        "plaintext",
        "unknownTrustDomain",
        "invalidIdentity",
        "passthrough",
    ] {
        for verdict in ["ALLOW", "DENY"] {
            let name = requests(source, verdict);
            assert!(names.contains(&name), "{name}");
        }
    }
    assert!(names.contains(&"rule=.=seen;.;crossmesh_audit_matches_total".to_owned()));
    assert!(names.contains(&"crossmesh_host_failures_total".to_owned()));
    assert!(names.contains(&flaws("severalUriSans")));
    assert_eq!(names.len(), 20);

    let shared = calls("proxy_set_shared_data");
    for _ in 0..3 {
        assert!(vm.configure(policy(audit).as_bytes()));
    }
    assert_eq!(calls("proxy_define_metric"), 20);
    assert_eq!(
        calls("proxy_set_shared_data"),
        shared,
        "what is known is not written again"
    );
}

#[test]
fn filter_state_is_declared_as_text() {
    let mut vm = vm(&policy(""));
    let declared = host(|host| host.declared.clone());
    assert_eq!(declared.len(), 4);
    assert!(declared.contains(&b"\x0a\x12crossmesh_decision\x18\x01".to_vec()));
    assert!(vm.configure(policy("").as_bytes()));
    assert_eq!(host(|host| host.logs.clone()), [], "again is no problem");
}
