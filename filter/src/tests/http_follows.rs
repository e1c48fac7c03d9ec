//! Connections on a port of `tcp.httpPorts`, where the HTTP filter follows.

use crate::host::Action;

use super::*;

#[test]
fn only_what_no_request_could_change_is_cut_off() {
    let ports = r#", "tcp": {"httpPorts": [8080]}"#;
    for (uri_san, port, expected) in [
        (FRONTEND, 8080_i64, None),
        (BATCH, 8080, Some("DENY default:peerMesh")),
        (FRONTEND, 8081, Some("DENY default:peerMesh")),
    ] {
        apart(|| {
            let mut vm = vm(&policy(&format!("{READERS}{ports}")));
            peer(Some(uri_san.as_bytes()));
            to_port(port);
            let (connection, _) = vm.accept();
            let action = vm.downstream(connection, 10);
            assert_eq!(decision().as_deref(), expected, "{uri_san} {port}");
            assert_eq!(action == Action::Continue, expected.is_none());
            assert_eq!(counted().is_empty(), expected.is_none());
        });
    }
}

/// The HTTP filter counts the same of each request that comes then.
#[test]
fn a_dry_run_leaves_all_to_it() {
    let dry = r#", "mode": "DRY_RUN", "tcp": {"httpPorts": [8080]}, "rules": [{"name": "seen", "action": "AUDIT",
        "from": [{"meshes": ["east"]}], "to": [{"paths": ["/admin"]}]}]"#;
    let mut vm = vm(&policy(dry));
    to_port(8080);
    peer(Some(BATCH.as_bytes()));
    let (connection, _) = vm.accept();
    assert_eq!(vm.downstream(connection, 10), Action::Continue);
    assert_eq!((decision(), counted()), (None, vec![]));
}

/// Nobody would count what it lets in otherwise, for the HTTP filter sees no request of what is cut off.
#[test]
fn a_candidate_lets_in_what_it_would_leave_to_it() {
    for (candidate, by, verdict) in [
        (READERS, "readers", "ALLOW"),
        (
            r#""defaults": {"peerMesh": "ALLOW"}, "rules": [{"name": "west", "action": "ALLOW", "from": [{"meshes": ["west"]}]}]"#,
            "default_peerMesh",
            "ALLOW",
        ),
        (
            r#""rules": [{"name": "west", "action": "ALLOW", "from": [{"meshes": ["west"]}]}]"#,
            "default_peerMesh",
            "DENY",
        ),
    ] {
        apart(|| {
            let candidate = candidate.trim_start_matches(", ");
            let ports =
                format!(r#", "tcp": {{"httpPorts": [8080]}}, "candidate": {{{candidate}}}"#);
            let mut vm = vm(&policy(&ports));
            to_port(8080);
            peer(Some(FRONTEND.as_bytes()));
            let (connection, _) = vm.accept();
            assert_eq!(vm.downstream(connection, 10), Action::Pause);
            let told = format!(
                "rule=.={by};.;verdict=.={verdict};.;active=.=DENY;.;crossmesh_candidate_decisions_total"
            );
            assert_eq!(count_of(&told), 1, "{:?}", counted());
        });
    }
}
