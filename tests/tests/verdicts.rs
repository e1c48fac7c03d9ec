//! What of a request rules can ask for, in a real Envoy, over HTTP/1.1, HTTP/2 and gRPC. Every verdict by every protocol is in
//! `matrix.rs`.
#![cfg(test)]

use crossmesh_e2e::caller::Caller;
use crossmesh_e2e::grpc;
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::policy_of_scenario;
use crossmesh_e2e::stand::{SAYS, Stand};

struct Case {
    name: &'static str,
    identity: Option<&'static str>,
    method: &'static str,
    path: &'static str,
    flags: &'static [&'static str],
    decision: &'static str,
}

impl Default for Case {
    fn default() -> Self {
        let path = "/v1/items";
        Self {
            name: "",
            identity: Some(FRONTEND),
            method: "GET",
            path,
            flags: &[],
            decision: "ALLOW rule:readers",
        }
    }
}

const DENIED: &str = "DENY default:peerMesh";

fn cases() -> Vec<Case> {
    let d = Case::default;
    vec![
        Case {
            name: "the rule's account reads",
            ..d()
        },
        Case {
            name: "a query is no part of the path",
            path: "/v1/items?page=2",
            ..d()
        },
        Case {
            name: "another account",
            identity: Some(BATCH),
            decision: DENIED,
            ..d()
        },
        Case {
            name: "another method",
            method: "DELETE",
            decision: DENIED,
            ..d()
        },
        Case {
            name: "another path",
            path: "/v2/items",
            decision: DENIED,
            ..d()
        },
        Case {
            name: "another host",
            flags: &["-H", "host: catalog.shop.evil.example"],
            decision: DENIED,
            ..d()
        },
        Case {
            name: "a host's case and port",
            flags: &["-H", "host: CATALOG.Shop.svc.cluster.local:99"],
            ..d()
        },
        Case {
            name: "a rule for another port",
            path: "/other-port",
            decision: DENIED,
            ..d()
        },
        Case {
            name: "a rule for another workload",
            path: "/other-workload",
            decision: DENIED,
            ..d()
        },
        Case {
            name: "a rule for this proxy's label",
            path: "/by-label",
            decision: "ALLOW rule:by-label",
            ..d()
        },
        Case {
            name: "a DENY rule",
            path: "/admin",
            decision: "DENY rule:no-admin",
            ..d()
        },
        Case {
            name: "a DENY rule for its own mesh too",
            identity: Some("spiffe://bar.com/ns/shop/sa/cart"),
            path: "/admin/users",
            decision: "DENY rule:no-admin",
            ..d()
        },
        Case {
            name: "dots do not lead around a DENY",
            path: "/v1/../admin",
            flags: &["--path-as-is"],
            decision: "DENY rule:no-admin",
            ..d()
        },
        Case {
            name: "an escaped slash does not lead around a DENY",
            path: "/v1/%2e%2e%2Fadmin",
            flags: &["--path-as-is"],
            decision: "DENY rule:no-admin",
            ..d()
        },
        Case {
            name: "its own mesh is left to AuthorizationPolicy",
            identity: Some("spiffe://bar.com/ns/shop/sa/cart"),
            path: "/v2/items",
            method: "POST",
            decision: "ALLOW default:sameMesh",
            ..d()
        },
        Case {
            name: "plaintext",
            identity: None,
            decision: "DENY default:plaintext",
            ..d()
        },
    ]
}

async fn stand() -> Stand {
    Stand::start(&policy_of_scenario("verdicts.yaml").unwrap())
        .await
        .unwrap()
}

fn certificate(stand: &Stand, id: &str) -> Identity {
    stand
        .pki
        .sign(Root::East, &id.replace(['/', ':'], "-"), &[id])
        .unwrap()
}

/// The single place where a case meets an Envoy.
async fn check(stand: &Stand, case: &Case, protocol: &str) {
    let identity = case.identity.map(|id| certificate(stand, id));
    let request = stand
        .request(identity.as_ref(), case.path)
        .unwrap()
        .method(case.method)
        .args(case.flags.to_vec());
    let (flag, version) = match (protocol, identity.is_some()) {
        ("HTTP/2", true) => ("--http2", "HTTP/2"),
        ("HTTP/2", false) => ("--http2-prior-knowledge", "HTTP/2"),
        _ => ("--http1.1", "HTTP/1.1"),
    };
    let what = format!("{} over {protocol}", case.name);
    let (reply, entry) = stand
        .send(request.args([flag]))
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:#}"));
    assert_eq!(reply.version, version, "{what}");
    assert_eq!(entry.decision.as_deref(), Some(case.decision), "{what}");
    let (verdict, by) = case.decision.split_once(' ').unwrap();
    if verdict == "ALLOW" {
        assert_eq!(
            (reply.status, entry.details.as_deref()),
            (200, Some("via_upstream")),
            "{what}"
        );
        assert!(reply.body.starts_with(SAYS), "{what}: {reply:?}");
    } else {
        let details = format!("crossmesh_denied[{by}]");
        assert_eq!(
            (reply.status, entry.details),
            (403, Some(details)),
            "{what}"
        );
        // What the client reads tells nothing of rules.
        assert_eq!(reply.body, "access denied by mesh policy\n", "{what}");
        assert!(
            reply.headers.iter().all(|(_, value)| !value.contains(by)),
            "{what}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn every_verdict_is_the_same_over_both_protocols() {
    let stand = stand().await;
    for case in cases() {
        check(&stand, &case, "HTTP/1.1").await;
        check(&stand, &case, "HTTP/2").await;
    }
}

#[tokio::test]
async fn a_grpc_method_is_a_path_and_its_refusal_permission_denied() {
    let stand = stand().await;
    for (at, (id, method, decision)) in [
        (FRONTEND, "/shop.Catalog/Read", "ALLOW rule:grpc-readers"),
        (FRONTEND, "/shop.Catalog/Write", DENIED),
        (BATCH, "/shop.Catalog/Read", DENIED),
        (FRONTEND, "/admin", "DENY rule:no-admin"),
    ]
    .into_iter()
    .enumerate()
    {
        let caller = Caller {
            to: stand.sidecar.address,
            identity: Some(certificate(&stand, id)),
        };
        let request_id = format!("call {at}");
        let headers = [("x-request-id", &*request_id)];
        let outcome = caller.grpc(CATALOG, method, "which?", &headers).await;
        let outcome = outcome.unwrap();
        let log = &stand.sidecar.access_log;
        let entry = log.entry(&request_id).await.unwrap();
        assert_eq!(entry.decision.as_deref(), Some(decision), "{method}");
        let (verdict, by) = decision.split_once(' ').unwrap();
        if verdict == "ALLOW" {
            assert_eq!(outcome.status, grpc::OK, "{outcome:?}");
            assert!(outcome.answer.unwrap().starts_with(SAYS));
        } else {
            let details = format!("crossmesh_denied[{by}]");
            assert_eq!(entry.details, Some(details));
            let denied = grpc::Outcome {
                status: grpc::PERMISSION_DENIED,
                message: "access denied by mesh policy".to_owned(),
                answer: None,
            };
            assert_eq!(outcome, denied);
        }
    }
}

/// No gRPC, but what some clients and bridges send: the status is where they look for it.
#[tokio::test]
async fn grpc_headers_over_http_1_read_permission_denied_too() {
    let stand = stand().await;
    let identity = certificate(&stand, BATCH);
    let request = stand
        .request(Some(&identity), "/shop.Catalog/Read")
        .unwrap()
        .method("POST")
        .args(["--http1.1"])
        .header("content-type: application/grpc");
    let (reply, entry) = stand.send(request).await.unwrap();
    assert_eq!(
        entry.details.as_deref(),
        Some("crossmesh_denied[default:peerMesh]")
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("grpc-status"), Some("7"), "{reply:?}");
}
