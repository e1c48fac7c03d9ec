//! Callers behind a forwarder, and what is told of would-be verdicts, through real Envoys.
#![cfg(test)]

use std::net::SocketAddr;

use crossmesh_e2e::curl::Request;
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::roles::forwarder::{ForwardedStand, INGRESS};

const POLICY: &str = r#"{"schema": "crossmesh/v1",
    "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
    "forwarders": [{"principal": "foo.com/ns/istio-ingress/sa/istio-ingressgateway", "mayAssert": ["east"]}],
    "rules": [{"name": "frontend", "action": "ALLOW", "from": [{"meshes": ["east"], "serviceAccounts": ["web/frontend"]}]}]}"#;

/// Sends a request as this identity; the decision about it.
async fn ask(stand: &ForwardedStand, to: SocketAddr, id: &str, header: Option<&str>) -> String {
    let identity = stand.pki.sign(Root::East, "client", &[id]).unwrap();
    ask_as(stand, to, &identity, header).await
}

async fn ask_as(
    stand: &ForwardedStand,
    to: SocketAddr,
    identity: &Identity,
    header: Option<&str>,
) -> String {
    let lines = stand.access_log.entries().unwrap().len();
    let mut request = Request::mutual_tls(CATALOG, to, "/v1/items", identity).unwrap();
    if let Some(header) = header {
        request = request.header(&format!("x-forwarded-client-cert: {header}"));
    }
    let reply = request.send().await.unwrap();
    let entry = stand.access_log.longer_than(lines).await.unwrap();
    let decision = entry.decision.unwrap();
    let status = if decision.starts_with("ALLOW") {
        200
    } else {
        403
    };
    assert_eq!(reply.status, status, "{decision}");
    decision
}

#[tokio::test]
async fn a_caller_behind_a_forwarder_is_judged_by_its_own_identity() {
    let stand = ForwardedStand::start(POLICY, "APPEND_FORWARD")
        .await
        .unwrap();
    let forged = format!("URI={FRONTEND}");
    for (id, header, expected) in [
        (FRONTEND, None, "ALLOW rule:frontend"),
        (BATCH, None, "DENY default:peerMesh"),
        // The gateway replaces what it is sent.
        (BATCH, Some(&*forged), "DENY default:peerMesh"),
        // Signed by the east's root, but of a mesh for which the gateway may not speak.
        (
            "spiffe://bar.com/ns/shop/sa/cart",
            None,
            "DENY default:invalidIdentity",
        ),
    ] {
        let decision = ask(&stand, stand.gateway, id, header).await;
        assert_eq!(decision, expected, "{id}");
    }
    let forwarded = stand
        .envoy
        .stat("wasmcustom.reason=.=forwarded;.;crossmesh_invalid_identities_total")
        .await
        .unwrap();
    assert_eq!(forwarded, 1);
}

#[tokio::test]
async fn from_nobody_else_is_the_header_believed() {
    let stand = ForwardedStand::start(POLICY, "APPEND_FORWARD")
        .await
        .unwrap();
    for header in [
        format!("URI={FRONTEND}"),
        format!("URI={FRONTEND},By=x;URI={INGRESS}"),
        format!("URI={INGRESS}"),
        "\"".to_owned(),
    ] {
        let decision = ask(&stand, stand.server, BATCH, Some(&header)).await;
        assert_eq!(decision, "DENY default:peerMesh", "{header}");
    }
    // The forwarder itself, when it speaks for nobody.
    let decision = ask(&stand, stand.server, INGRESS, None).await;
    assert_eq!(decision, "DENY default:peerMesh");
}

/// Envoy writes a certificate's URI and DNS names into the header as they are. Whoever can have a certificate signed with a comma in
/// one writes two hops there, which nobody behind can tell from two that there were. So docs/filter.md wants the filter at the
/// forwarder.
#[tokio::test]
async fn a_certificate_that_writes_a_hop_of_its_own_is_refused_only_at_the_forwarder() {
    let uri = format!("spiffe://foo.com/x,URI={FRONTEND}");
    let dns = format!("a.example,URI={FRONTEND}");
    let forgers = [(&*uri, &[][..]), (BATCH, &[&*dns])];
    let sign = |stand: &ForwardedStand, (uri, dns): (&str, &[&str])| {
        let signed = stand.pki.sign_with_dns(Root::East, "client", &[uri], dns);
        signed.unwrap()
    };
    let stand = ForwardedStand::start(POLICY, "APPEND_FORWARD")
        .await
        .unwrap();
    for forger in forgers {
        let identity = sign(&stand, forger);
        let decision = ask_as(&stand, stand.gateway, &identity, None).await;
        assert_eq!(decision, "ALLOW rule:frontend", "{forger:?}");
    }

    const AT_THE_GATEWAY: &str = r#"{"schema": "crossmesh/v1", "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}]}"#;
    let stand = ForwardedStand::start_with(POLICY, "APPEND_FORWARD", Some(AT_THE_GATEWAY))
        .await
        .unwrap();
    for forger in forgers {
        let identity = sign(&stand, forger);
        let request = Request::mutual_tls(CATALOG, stand.gateway, "/v1/items", &identity).unwrap();
        assert_eq!(request.send().await.unwrap().status, 403, "{forger:?}");
    }
    // With a name of the honest kind.
    let identity = sign(&stand, (FRONTEND, &["frontend.web.svc"]));
    let decision = ask_as(&stand, stand.gateway, &identity, None).await;
    assert_eq!(decision, "ALLOW rule:frontend");
    let decision = ask(&stand, stand.gateway, FRONTEND, None).await;
    assert_eq!(decision, "ALLOW rule:frontend");
    assert_eq!(stand.access_log.entries().unwrap().len(), 2);
}

#[tokio::test]
async fn an_envoy_that_replaces_the_header_leaves_the_forwarder_itself() {
    let stand = ForwardedStand::start(POLICY, "SANITIZE_SET").await.unwrap();
    let decision = ask(&stand, stand.gateway, FRONTEND, None).await;
    assert_eq!(decision, "DENY default:peerMesh");
}

#[tokio::test]
async fn an_envoy_that_adds_nothing_to_the_header_makes_it_unbelievable() {
    let stand = ForwardedStand::start(POLICY, "ALWAYS_FORWARD_ONLY")
        .await
        .unwrap();
    let decision = ask(&stand, stand.gateway, FRONTEND, None).await;
    assert_eq!(decision, "DENY default:invalidIdentity");
}

#[tokio::test]
async fn would_be_verdicts_are_counted_by_rule() {
    let policy = POLICY.replace(
        r#""rules""#,
        r#""mode": "DRY_RUN", "telemetry": {"bytes": true, "duration": true}, "candidate": {"rules": [
            {"name": "all-east", "action": "ALLOW", "from": [{"meshes": ["east"]}]}]}, "rules""#,
    );
    let stand = ForwardedStand::start(&policy, "APPEND_FORWARD")
        .await
        .unwrap();
    for id in [FRONTEND, BATCH, BATCH] {
        let identity = stand.pki.sign(Root::East, "client", &[id]).unwrap();
        let request = Request::mutual_tls(CATALOG, stand.server, "/v1/items", &identity).unwrap();
        assert_eq!(request.send().await.unwrap().status, 200);
    }
    let pair = |verdict: &str, metric: &str| {
        format!("source_mesh=.=east;.;destination_mesh=.=west;.;verdict=.={verdict};.;{metric}")
    };
    for (name, count) in [
        ("rule=.=frontend;.;verdict=.=ALLOW;.;crossmesh_dry_run_decisions_total".to_owned(), 1),
        ("rule=.=default_peerMesh;.;verdict=.=DENY;.;crossmesh_dry_run_decisions_total".to_owned(), 2),
        ("rule=.=all-east;.;verdict=.=ALLOW;.;active=.=ALLOW;.;crossmesh_candidate_decisions_total".to_owned(), 1),
        ("rule=.=all-east;.;verdict=.=ALLOW;.;active=.=DENY;.;crossmesh_candidate_decisions_total".to_owned(), 2),
        // "served", as often as it was.
        (pair("DENY", "crossmesh_response_bytes_total"), 12),
        (pair("ALLOW", "crossmesh_response_bytes_total"), 6),
    ] {
        let told = async || {
            let told = stand.envoy.stat(&format!("wasmcustom.{name}")).await.ok()?;
            (told == count).then_some(())
        };
        stand.envoy.until(&format!("{name} = {count}"), told).await.unwrap();
    }
    // Envoy merges its workers' histograms every few seconds.
    let durations = async || {
        let path = "/stats?filter=crossmesh_request_duration_milliseconds&usedonly";
        let told = stand.envoy.get(path).await.ok()?;
        told.contains("verdict=.=ALLOW").then_some(())
    };
    stand.envoy.until("durations", durations).await.unwrap();
}
