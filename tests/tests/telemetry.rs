//! What others can see of a decision: counters by pair of meshes, filter state, headers for the application.
#![cfg(test)]

use std::collections::BTreeMap;

use crossmesh_e2e::names::{BATCH, FRONTEND, STRANGER};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::policy_of_scenario;
use crossmesh_e2e::stand::Stand;

const REQUESTS: &str = "crossmesh_requests_total";
const CART: &str = "spiffe://bar.com/ns/shop/sa/cart";

async fn stand() -> Stand {
    Stand::start(&policy_of_scenario("verdicts.yaml").unwrap())
        .await
        .unwrap()
}

/// The samples of a counter as Prometheus scrapes them, by their labels, without those at zero.
async fn samples(stand: &Stand, counter: &str) -> BTreeMap<String, u64> {
    let text = stand
        .sidecar
        .envoy
        .get("/stats/prometheus?filter=crossmesh")
        .await
        .unwrap();
    let samples = text
        .lines()
        .filter_map(|line| line.strip_prefix(counter)?.split_once(' '));
    let samples = samples.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()));
    samples.filter(|(_, value)| *value > 0).collect()
}

/// URI SANs of the certificate, if there is one; path; source mesh; verdict; how many.
type Requests<'a> = (Option<&'a [&'a str]>, &'a str, &'a str, &'a str, u64);

#[tokio::test]
async fn every_request_is_counted_once_by_source_destination_and_verdict() {
    let stand = stand().await;
    assert_eq!(samples(&stand, REQUESTS).await, BTreeMap::new());
    let requests: [Requests<'_>; 7] = [
        (Some(&[FRONTEND]), "/v1/items", "east", "ALLOW", 3),
        (Some(&[BATCH]), "/v1/items", "east", "DENY", 2),
        (Some(&[CART]), "/v1/items", "west", "ALLOW", 4),
        (Some(&[CART]), "/admin", "west", "DENY", 1),
        (
            Some(&[STRANGER]),
            "/v1/items",
            "unknownTrustDomain",
            "DENY",
            5,
        ),
        (Some(&[]), "/v1/items", "invalidIdentity", "DENY", 2),
        (None, "/v1/items", "plaintext", "DENY", 3),
    ];
    let mut wanted = BTreeMap::new();
    for (at, (uri_sans, path, source, verdict, times)) in requests.iter().enumerate() {
        let identity = uri_sans.map(|sans| {
            stand
                .pki
                .sign(Root::East, &format!("client-{at}"), sans)
                .unwrap()
        });
        for _ in 0..*times {
            let (_, entry) = stand
                .send(stand.request(identity.as_ref(), path).unwrap())
                .await
                .unwrap();
            assert_eq!(entry.source_mesh.as_deref(), Some(*source));
            assert_eq!(entry.destination_mesh.as_deref(), Some("west"));
            assert!(entry.decision.unwrap().starts_with(verdict));
        }
        let labels =
            format!(r#"{{source_mesh="{source}",destination_mesh="west",verdict="{verdict}"}}"#);
        wanted.insert(labels, *times);
    }
    assert_eq!(samples(&stand, REQUESTS).await, wanted);
}

#[tokio::test]
async fn the_application_learns_the_meshes_from_the_filter_and_from_nobody_else() {
    let stand = stand().await;
    let identity = stand.pki.sign(Root::East, "frontend", &[FRONTEND]).unwrap();
    for protocol in ["--http1.1", "--http2"] {
        let request = stand
            .request(Some(&identity), "/v1/items")
            .unwrap()
            .args([protocol]);
        let request = request
            .header("x-crossmesh-source-mesh: west")
            .header("X-Crossmesh-Source-Mesh: north");
        let request = request
            .header("x-crossmesh-made-up: yes")
            .header("x-crossmesh: stays");
        let (reply, _) = stand.send(request).await.unwrap();
        let mut seen: Vec<&str> = reply
            .body
            .lines()
            .filter(|line| line.starts_with("x-crossmesh"))
            .collect();
        seen.sort_unstable();
        let own = [
            "x-crossmesh-destination-mesh: west",
            "x-crossmesh-source-mesh: east",
            "x-crossmesh: stays",
        ];
        assert_eq!(seen, own, "{reply:?}");
        assert!(
            !reply
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("x-crossmesh")),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn an_audit_rule_counts_and_decides_nothing() {
    let stand = stand().await;
    for (id, path, decision) in [
        (FRONTEND, "/v1/items", "ALLOW rule:readers"),
        (BATCH, "/v1/items", "DENY default:peerMesh"),
        (BATCH, "/v2/items", "DENY default:peerMesh"),
        (CART, "/v1/items", "ALLOW default:sameMesh"),
    ] {
        let identity = stand.pki.sign(Root::East, "client", &[id]).unwrap();
        let (_, entry) = stand
            .send(stand.request(Some(&identity), path).unwrap())
            .await
            .unwrap();
        assert_eq!(entry.decision.as_deref(), Some(decision));
    }
    let audits = samples(&stand, "crossmesh_audit_matches_total").await;
    assert_eq!(
        audits,
        BTreeMap::from([(r#"{rule="watched"}"#.to_owned(), 2)])
    );
}
