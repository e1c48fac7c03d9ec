//! How many metrics there can be.

use super::*;

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

#[test]
fn what_two_vms_write_first_at_once_is_bounded_together() {
    let mut vm = Vm::start();
    let other = b"another-1\nanother-2\n".to_vec();
    host(|host| host.written_meanwhile = Some(other));
    assert!(vm.configure(renamed(0, "{}").as_bytes()));
    let known = host(|host| host.shared.clone());
    let contested = known.values().find(|(known, _)| {
        let names: Vec<&[u8]> = known.split(|byte| *byte == b'\n').collect();
        names.contains(&b"another-2".as_slice()) && names.contains(&b"own-0".as_slice())
    });
    assert!(contested.is_some(), "{known:?}");
}

#[test]
fn nothing_new_is_told_apart_where_another_vm_is_quicker_every_time() {
    const CAS_MISMATCH: i32 = 8;
    let mut vm = vm(&renamed(0, "{}"));
    host(|host| host.statuses.insert("proxy_set_shared_data", CAS_MISMATCH));
    assert!(vm.configure(renamed(1, "{}").as_bytes()));
    vm.request();
    let audits = |rule: &str| count_of(&format!("rule=.={rule};.;crossmesh_audit_matches_total"));
    assert_eq!((audits("seen-1"), audits("other")), (0, 1));
}

#[test]
fn shared_data_that_somebody_else_wrote_cannot_take_the_memory() {
    let mut vm = vm(&renamed(0, "{}"));
    let audits = |rule: &str| count_of(&format!("rule=.={rule};.;crossmesh_audit_matches_total"));
    for (size, cardinality, other) in [(640_000, "{ }", 0), (640_001, "{  }", 1)] {
        host(|host| {
            for (known, version) in host.shared.values_mut() {
                // One name that is known, and one that nobody has.
                *known = b"seen-0\n".to_vec();
                known.resize(size, b'x');
                *version += 1;
            }
        });
        assert!(vm.configure(renamed(0, cardinality).as_bytes()));
        vm.request();
        assert_eq!((audits("seen-0"), audits("other")), (1, other), "{size}");
    }
}
