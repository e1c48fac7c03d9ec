//! Conditions on headers in a real Envoy, over HTTP/1.1 and HTTP/2: several lines, several values in one, none at all.
#![cfg(test)]

use crossmesh_e2e::names::FRONTEND;
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::policy_of_scenario;
use crossmesh_e2e::stand::Stand;

/// Lines of a request, and whether these conditions on them match: `values` and `notValues` in an ALLOW, and both in a DENY
/// or AUDIT.
const CASES: [(&[&str], [bool; 2], [bool; 2]); 13] = [
    (&[], [false, false], [false, true]),
    (&["x-tier: gold"], [true, false], [true, false]),
    (&["x-tier: platinum"], [true, false], [true, false]),
    (&["x-tier: silver"], [false, true], [false, true]),
    (
        &["x-tier: gold", "x-tier: platinum"],
        [true, false],
        [true, false],
    ),
    (
        &["x-tier: gold", "x-tier: silver"],
        [false, false],
        [true, true],
    ),
    (
        &["x-tier: silver", "x-tier: gold"],
        [false, false],
        [true, true],
    ),
    (&["x-tier: gold ,platinum"], [true, false], [true, false]),
    (&["x-tier: silver, gold"], [false, false], [true, true]),
    // The empty value behind the comma counts, and so does an empty line.
    (&["x-tier: gold,"], [false, false], [true, true]),
    (&["x-tier;"], [false, true], [false, true]),
    (&["X-TIER: gold"], [true, false], [true, false]),
    (
        &["x-tier: GOLD", "x-other: gold"],
        [false, true],
        [false, true],
    ),
];

async fn stand() -> (Stand, Identity) {
    let policy = policy_of_scenario("headers.yaml").unwrap();
    let stand = Stand::start(&policy).await.unwrap();
    let identity = stand.pki.sign(Root::East, "frontend", &[FRONTEND]).unwrap();
    (stand, identity)
}

async fn audited(stand: &Stand, rule: &str) -> u64 {
    let name = format!("wasmcustom.rule=.={rule};.;crossmesh_audit_matches_total");
    stand.sidecar.envoy.stat(&name).await.unwrap()
}

/// Sends the lines over one protocol: the decision.
async fn decision(
    (stand, identity): &(Stand, Identity),
    protocol: &str,
    path: &str,
    lines: &[&str],
) -> String {
    let request = stand.request(Some(identity), path).unwrap();
    let request = lines
        .iter()
        .fold(request, |request, line| request.header(line));
    let (reply, entry) = stand.send(request.args([protocol])).await.unwrap();
    let version = if protocol == "--http2" {
        "HTTP/2"
    } else {
        "HTTP/1.1"
    };
    assert_eq!(reply.version, version);
    let decision = entry.decision.unwrap();
    let status = if decision.starts_with("ALLOW") {
        200
    } else {
        403
    };
    assert_eq!(reply.status, status, "{decision}: {reply:?}");
    decision
}

#[tokio::test]
async fn each_value_of_each_line_counts_in_every_action() {
    let to = stand().await;
    let mut seen = [0, 0];
    for protocol in ["--http1.1", "--http2"] {
        for (lines, allow, deny) in CASES {
            let said = async |path: &str| decision(&to, protocol, path, lines).await;
            for (path, matches) in [("/allow", allow[0]), ("/allow-not", allow[1])] {
                let rule = path.trim_start_matches('/');
                let wanted = if matches {
                    format!("ALLOW rule:{rule}")
                } else {
                    "DENY default:peerMesh".to_owned()
                };
                assert_eq!(said(path).await, wanted, "{protocol} {path} {lines:?}");
            }
            for (at, path) in ["/deny", "/deny-not"].into_iter().enumerate() {
                let rule = path.trim_start_matches('/');
                let wanted = if deny[at] {
                    format!("DENY rule:{rule}")
                } else {
                    "ALLOW rule:open".to_owned()
                };
                assert_eq!(said(path).await, wanted, "{protocol} {path} {lines:?}");
                seen[at] += u64::from(deny[at]);
            }
            let audited = [
                audited(&to.0, "seen").await,
                audited(&to.0, "seen-not").await,
            ];
            assert_eq!(audited, seen, "{protocol} {lines:?}");
        }
    }
}

#[tokio::test]
async fn all_conditions_of_a_rule_hold_or_it_does_not_match() {
    let to = stand().await;
    const DENIED: &str = "DENY default:peerMesh";
    for protocol in ["--http1.1", "--http2"] {
        for (lines, wanted) in [
            (&["x-tier: gold", "x-debug: off"][..], "ALLOW rule:two"),
            (&["x-tier: gold", "x-debug: on"], DENIED),
            // An ALLOW is not opened by leaving a header out.
            (&["x-tier: gold"], DENIED),
            (&["x-debug: off"], DENIED),
        ] {
            assert_eq!(
                decision(&to, protocol, "/two", lines).await,
                wanted,
                "{lines:?}"
            );
        }
    }
}
