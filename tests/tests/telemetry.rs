//! What others can see of a decision: counters by pair of meshes, filter state, headers for the application.
#![cfg(test)]

use std::collections::BTreeMap;

use crossmesh_e2e::caller::Request;
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, STRANGER};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::{policy_of_scenario, scenario};
use crossmesh_e2e::roles::protocols::Protocols;
use crossmesh_e2e::stand::Stand;
use serde_json::json;

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

/// By protocol, whether it is served or refused: bytes, and how often a duration was recorded.
#[tokio::test]
async fn bytes_and_durations_are_told_of_what_is_refused_too() {
    let mut policy = scenario("matrix.yaml").unwrap();
    policy["telemetry"] = json!({"bytes": true, "duration": true});
    let stand = Protocols::start(&policy.to_string()).await.unwrap();
    for id in [FRONTEND, BATCH] {
        let identity = stand.pki.sign(Root::East, "caller", &[id]).unwrap();
        let (http, tcp) = (
            stand.http(Some(identity.clone())),
            stand.tcp(Some(identity)),
        );
        let request = Request {
            method: "GET",
            host: CATALOG,
            path: "/",
            headers: &[],
        };
        http.http1(&request).await.unwrap();
        http.http2(&request).await.unwrap();
        http.grpc(CATALOG, "/shop.Catalog/Read", "which?", &[])
            .await
            .unwrap();
        tcp.say("hello").await.unwrap();
    }
    let pair = |metric: &str, verdict: &str| {
        format!(
            r#"crossmesh_{metric}{{source_mesh="east",destination_mesh="west",verdict="{verdict}"}}"#
        )
    };
    let wanted = BTreeMap::from([
        (pair("request_duration_milliseconds_count", "ALLOW"), 3),
        (pair("request_duration_milliseconds_count", "DENY"), 3),
        (pair("connection_duration_milliseconds_count", "ALLOW"), 1),
        (pair("connection_duration_milliseconds_count", "DENY"), 1),
        // Of the call: its message, and five bytes before it.
        (pair("request_bytes_total", "ALLOW"), 11),
        (pair("connection_received_bytes_total", "ALLOW"), 5),
        (pair("connection_sent_bytes_total", "ALLOW"), 5),
    ]);
    let scraped = async || {
        let text = stand.envoy.get("/stats/prometheus?filter=crossmesh").await;
        let text = text.unwrap();
        let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
        let wanted = samples.filter(|(name, _)| wanted.contains_key(*name));
        let counts = wanted.map(|(name, count)| (name.to_owned(), count.parse().unwrap()));
        counts.collect::<BTreeMap<_, u64>>()
    };
    // Envoy merges its workers' histograms every few seconds.
    let told = async || (scraped().await == wanted).then_some(());
    if let Err(error) = stand.envoy.until("every metric", told).await {
        panic!(
            "{error:#}\nscraped: {:#?}\nwanted: {wanted:#?}",
            scraped().await
        );
    }
}
