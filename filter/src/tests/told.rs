//! What is told besides verdicts, to those who ask for it.

use crate::host::Action;

use super::*;

fn histograms() -> Vec<(String, Vec<u64>)> {
    host(|host| {
        let recorded = host
            .histograms
            .iter()
            .filter(|(_, values)| !values.is_empty());
        recorded
            .map(|(name, values)| (name.clone(), values.clone()))
            .collect()
    })
}

fn count_of(name: &str) -> i64 {
    host(|host| host.counters.get(name).copied().unwrap_or_default())
}

#[test]
fn a_dry_run_tells_what_each_rule_would_have_done() {
    let mut vm = vm(&policy(&format!(r#"{READERS}, "mode": "DRY_RUN""#)));
    for uri_san in [FRONTEND, FRONTEND, BATCH] {
        peer(Some(uri_san.as_bytes()));
        assert_eq!(vm.request(), Action::Continue);
    }
    let name = |rule: &str, verdict: &str| {
        format!("rule=.={rule};.;verdict=.={verdict};.;crossmesh_dry_run_decisions_total")
    };
    assert_eq!(count_of(&name("readers", "ALLOW")), 2);
    assert_eq!(count_of(&name("default_peerMesh", "DENY")), 1);
}

#[test]
fn a_candidate_tells_what_it_would_do_by_what_is_done() {
    let candidate = r#", "candidate": {"rules": [{"name": "all-east", "action": "ALLOW", "from": [{"meshes": ["east"]}]}]}"#;
    let mut vm = vm(&policy(&format!("{READERS}{candidate}")));
    for (uri_san, active) in [(FRONTEND, "ALLOW"), (BATCH, "DENY")] {
        peer(Some(uri_san.as_bytes()));
        vm.request();
        let name = format!(
            "rule=.=all-east;.;verdict=.=ALLOW;.;active=.={active};.;crossmesh_candidate_decisions_total"
        );
        assert_eq!(count_of(&name), 1);
    }
}

#[test]
fn bytes_and_durations_of_requests_are_told_where_they_are_asked_for() {
    for (telemetry, told) in [
        ("", (false, false)),
        (r#", "telemetry": {"bytes": true}"#, (true, false)),
        (r#", "telemetry": {"duration": true}"#, (false, true)),
    ] {
        apart(|| {
            let mut vm = vm(&policy(&format!("{READERS}{telemetry}")));
            host(|host| {
                for (name, value) in [
                    ("request.total_size", 120_i64),
                    ("response.total_size", 4500),
                    ("request.duration", 12_700_000),
                ] {
                    host.attributes
                        .insert(name.to_owned(), value.to_le_bytes().to_vec());
                }
                host.calls.clear();
            });
            vm.request();
            let named = |name| requests("east", "ALLOW").replace("requests_total", name);
            let bytes = if told.0 { (120, 4500) } else { (0, 0) };
            assert_eq!(
                (
                    count_of(&named("request_bytes_total")),
                    count_of(&named("response_bytes_total"))
                ),
                bytes
            );
            let durations = if told.1 {
                vec![(named("request_duration_milliseconds"), vec![12])]
            } else {
                vec![]
            };
            assert_eq!(histograms(), durations);
            let asked = [
                "request.total_size",
                "response.total_size",
                "request.duration",
            ];
            assert_eq!(
                asked.map(calls),
                [
                    usize::from(told.0),
                    usize::from(told.0),
                    usize::from(told.1)
                ],
                "only those who ask pay"
            );
        });
    }
}

#[test]
fn bytes_and_durations_of_connections_are_told_where_they_are_asked_for() {
    let open =
        r#", "defaults": {"peerMesh": "ALLOW"}, "telemetry": {"bytes": true, "duration": true}"#;
    let mut vm = vm(&policy(open));
    host(|host| host.now = 1_000_000_000);
    let (connection, _) = vm.accept();
    vm.downstream(connection, 100);
    vm.upstream(connection, 5000);
    vm.downstream(connection, 1);
    host(|host| host.now = 3_500_000_000);
    vm.close(connection);
    let named = |name| requests("east", "ALLOW").replace("requests_total", name);
    assert_eq!(count_of(&named("connection_received_bytes_total")), 101);
    assert_eq!(count_of(&named("connection_sent_bytes_total")), 5000);
    let duration = named("connection_duration_milliseconds");
    assert_eq!(histograms(), [(duration, vec![2500])]);
}

#[test]
fn bytes_of_connections_stay_with_the_policy_that_counted_them() {
    let both =
        r#", "defaults": {"peerMesh": "ALLOW"}, "telemetry": {"bytes": true, "duration": true}"#;
    // The next one has another number for the source's mesh, and lets the connection be or cuts it off.
    for (next, stays) in [("ALLOW", true), ("DENY", false)] {
        apart(|| {
            let mut vm = vm(&policy(both));
            let attributes = attributes(Some(&[FRONTEND.as_bytes()]));
            let (connection, _) = vm.accept();
            host(|host| {
                host.attributes_of
                    .insert(connection, attributes.into_iter().collect())
            });
            vm.downstream(connection, 100);
            let first = r#""meshes": [{"id": "north", "trustDomains": ["north.com"]}, "#;
            let next = policy(&both.replace("ALLOW", next)).replace(r#""meshes": ["#, first);
            assert!(vm.configure(next.as_bytes()));
            vm.tick(1);
            if stays {
                vm.close(connection);
            }
            let named = |name| requests("east", "ALLOW").replace("requests_total", name);
            assert_eq!(count_of(&named("connection_received_bytes_total")), 100);
            let duration = named("connection_duration_milliseconds");
            assert_eq!(histograms(), [(duration, vec![0])]);
        });
    }
}

#[test]
fn the_clients_side_tells_which_mesh_answered() {
    for (server, address, mesh) in [
        (Some(FRONTEND), true, Some("east")),
        (
            Some("spiffe://evil.com/x"),
            true,
            Some("unknownTrustDomain"),
        ),
        (None, true, Some("plaintext")),
        // A local reply: nobody was asked.
        (None, false, None),
    ] {
        apart(|| {
            let mut vm = vm(&policy(""));
            peer(None);
            host(|host| {
                let attributes = &mut host.attributes;
                attributes.insert("xds.listener_direction".into(), 2_i64.to_le_bytes().into());
                attributes.extend(
                    server.map(|uri| ("upstream.uri_san_peer_certificate".into(), uri.into())),
                );
                attributes
                    .extend(address.then(|| ("upstream.address".into(), b"192.0.2.1:80".to_vec())));
            });
            assert_eq!(vm.request(), Action::Continue);
            assert_eq!(state("crossmesh_destination_mesh").as_deref(), mesh);
            assert_eq!(
                state("crossmesh_source_mesh").as_deref(),
                mesh.map(|_| "west")
            );
            assert_eq!((decision(), counted()), (None, vec![]));
        });
    }
}

#[test]
fn the_number_of_metrics_is_bounded_whatever_the_policy() {
    let meshes = (0..100).map(|n| format!(r#"{{"id": "mesh-{n}", "trustDomains": ["d{n}.com"]}}"#));
    let meshes = meshes.collect::<Vec<_>>().join(", ");
    let rules = (0..1000).map(|n| format!(r#"{{"name": "seen-{n}", "action": "AUDIT"}}"#));
    // The first of mesh-99 is beyond those that have a counter of their own.
    let allowed = (0..1000).map(|n| {
        format!(
            r#"{{"name": "rule-{n}", "action": "ALLOW", "from": [{{"meshes": ["mesh-{}"]}}]}}"#,
            if n < 300 { n % 90 } else { n % 100 }
        )
    });
    let rules = rules.chain(allowed).collect::<Vec<_>>().join(", ");
    let configuration = format!(
        r#"{{"schema": "crossmesh/v1", "mesh": "mesh-0", "mode": "DRY_RUN", "meshes": [{meshes}], "rules": [{rules}]}}"#
    );
    let mut vm = vm(&configuration);
    let metrics = host(|host| host.counters.len());
    assert!(metrics < 1000, "{metrics}");
    for n in [1, 63, 64, 99] {
        peer(Some(format!("spiffe://d{n}.com/x").as_bytes()));
        vm.request();
    }
    let requests = |mesh: &str| {
        count_of(&format!(
            "source_mesh=.={mesh};.;destination_mesh=.=mesh-0;.;verdict=.=ALLOW;.;crossmesh_requests_total"
        ))
    };
    assert_eq!(
        ["mesh-1", "mesh-63", "mesh-64", "other"].map(requests),
        [1, 1, 0, 2]
    );
    let dry_run = |rule: &str| {
        count_of(&format!(
            "rule=.={rule};.;verdict=.=ALLOW;.;crossmesh_dry_run_decisions_total"
        ))
    };
    assert_eq!(["rule-64", "rule-399", "other"].map(dry_run), [1, 0, 1]);
    assert_eq!(
        count_of("rule=.=seen-255;.;crossmesh_audit_matches_total"),
        4
    );
    assert_eq!(
        count_of("rule=.=other;.;crossmesh_audit_matches_total"),
        4 * 744
    );
}

/// One AUDIT and one ALLOW rule with this number in their names, and meshes with it in theirs.
fn renamed(number: usize, cardinality: &str) -> String {
    format!(
        r#"{{"schema": "crossmesh/v1", "mesh": "own-{number}", "mode": "DRY_RUN",
            "meshes": [{{"id": "east", "trustDomains": ["foo.com"]}}, {{"id": "own-{number}", "trustDomains": ["bar.com"]}}],
            "telemetry": {{"bytes": true, "duration": true, "cardinality": {cardinality}}},
            "rules": [{{"name": "seen-{number}", "action": "AUDIT"}},
                {{"name": "all-{number}", "action": "ALLOW", "from": [{{"meshes": ["east"]}}]}}],
            "candidate": {{"rules": [{{"name": "all-{number}", "action": "DENY"}}]}}}}"#
    )
}

#[test]
fn names_that_change_again_and_again_make_no_metrics_without_end() {
    const FEW: &str = r#"{"meshes": 3, "rules": 2}"#;
    let mut vm = vm(&renamed(0, FEW));
    let defined = || calls("proxy_define_metric");
    let audits = |rule: &str| count_of(&format!("rule=.={rule};.;crossmesh_audit_matches_total"));
    let allowed = |source: &str, destination: &str| {
        count_of(&format!(
            "source_mesh=.={source};.;destination_mesh=.={destination};.;verdict=.=ALLOW;.;crossmesh_requests_total"
        ))
    };
    let mut bound = 0;
    for number in 0..300 {
        assert!(vm.configure(renamed(number, FEW).as_bytes()));
        vm.request();
        let (connection, _) = vm.accept();
        vm.downstream(connection, 1);
        vm.close(connection);
        match number {
            0..10 => bound = defined(),
            _ => assert_eq!(defined(), bound, "policy {number}"),
        }
    }
    let own = |name: &str| [0, 1, 2].map(|number| format!("{name}-{number}"));
    assert_eq!(own("seen").map(|rule| audits(&rule)), [2, 2, 0]);
    assert_eq!(audits("other"), 2 * 298, "all others together");
    assert_eq!(own("own").map(|mesh| allowed("east", &mesh)), [1, 1, 0]);
    assert_eq!(allowed("east", "other"), 298);
    // A name that has metrics keeps them, and no others are made.
    assert!(vm.configure(renamed(1, FEW).as_bytes()));
    vm.request();
    assert_eq!((audits("seen-1"), allowed("east", "own-1")), (3, 2));
    assert_eq!(defined(), bound);
    // Whoever wants more says so.
    assert!(vm.configure(renamed(500, r#"{"meshes": 4, "rules": 3}"#).as_bytes()));
    vm.request();
    assert_eq!((audits("seen-500"), allowed("east", "own-500")), (1, 1));
}
