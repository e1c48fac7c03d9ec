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
fn what_a_refused_connection_took_is_told_too() {
    let all = r#", "telemetry": {"bytes": true, "duration": true}"#;
    let mut vm = vm(&policy(all));
    host(|host| host.now = 1_000_000_000);
    let (connection, _) = vm.accept();
    host(|host| host.now = 1_007_000_000);
    assert_eq!(vm.downstream(connection, 100), Action::Pause);
    vm.close(connection);
    let named = |name| requests("east", "DENY").replace("requests_total", name);
    assert_eq!(count_of(&named("connection_received_bytes_total")), 0);
    let duration = named("connection_duration_milliseconds");
    assert_eq!(histograms(), [(duration, vec![7])]);
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
    for (server, tls, address, mesh) in [
        (Some(FRONTEND), true, true, Some("east")),
        (
            Some("spiffe://evil.com/x"),
            true,
            true,
            Some("unknownTrustDomain"),
        ),
        (None, true, true, Some("invalidIdentity")),
        (None, false, true, Some("plaintext")),
        // A local reply: nobody was asked.
        (None, false, false, None),
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
                    .extend(tls.then(|| ("upstream.tls_version".into(), b"TLSv1.3".to_vec())));
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
