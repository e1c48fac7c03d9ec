//! Who a peer is: certificates with one, no or two URI SANs, of any trust domain, and none at all.
#![cfg(test)]

use crossmesh_e2e::command::Command;
use crossmesh_e2e::names::{FRONTEND, STRANGER};
use crossmesh_e2e::pki::{Pki, Root};
use crossmesh_e2e::plugin::policy_of_resource;
use crossmesh_e2e::stand::Stand;

const CART: &str = "spiffe://bar.com/ns/shop/sa/cart";
const INVALID: &str = "DENY default:invalidIdentity";

async fn stand() -> Stand {
    Stand::start(&policy_of_resource("wasm-plugins/sidecar.yaml").unwrap())
        .await
        .unwrap()
}

type Case = (
    &'static str,
    Root,
    &'static [&'static str],
    &'static str,
    &'static str,
);

/// The single place where a certificate meets an Envoy. Every case twice, so that what is remembered of a certificate
/// cannot be taken for another's.
async fn check(cases: &[Case]) {
    let stand = stand().await;
    for (name, root, uri_sans, decision, source_mesh) in cases.iter().chain(cases) {
        let identity = stand.pki.sign(*root, name, uri_sans).unwrap();
        let (reply, entry) = stand
            .send(stand.request(Some(&identity), "/v1/items").unwrap())
            .await
            .unwrap();
        let status = if decision.starts_with("ALLOW") {
            200
        } else {
            403
        };
        assert_eq!(
            (reply.status, entry.decision.as_deref()),
            (status, Some(*decision)),
            "{name}"
        );
        assert_eq!(entry.source_mesh.as_deref(), Some(*source_mesh), "{name}");
        let peer = (!uri_sans.is_empty()).then(|| uri_sans.join(","));
        assert_eq!(entry.peer, peer, "{name}");
    }
}

#[tokio::test]
async fn a_valid_spiffe_id_makes_an_identity() {
    check(&[
        (
            "one",
            Root::East,
            &[FRONTEND],
            "ALLOW rule:catalog-readers",
            "east",
        ),
        ("none", Root::East, &[], INVALID, "invalidIdentity"),
        (
            "another-scheme",
            Root::East,
            &["https://foo.com/ns/web/sa/frontend"],
            INVALID,
            "invalidIdentity",
        ),
        (
            "upper-case",
            Root::East,
            &["spiffe://FOO.com/ns/web/sa/frontend"],
            INVALID,
            "invalidIdentity",
        ),
        (
            "no-path",
            Root::East,
            &["spiffe://foo.com"],
            INVALID,
            "invalidIdentity",
        ),
        (
            "another-form",
            Root::East,
            &["spiffe://foo.com/x/ns/web/sa/frontend"],
            "DENY default:peerMesh",
            "east",
        ),
        (
            "unlisted",
            Root::East,
            &[STRANGER],
            "DENY default:unknownTrustDomain",
            "unknownTrustDomain",
        ),
        (
            "own-mesh",
            Root::West,
            &[CART],
            "ALLOW default:sameMesh",
            "west",
        ),
        // Not a mistake of ours but a fact to know: with a flat bundle a root can sign any trust domain.
        (
            "minted-by-the-peer",
            Root::East,
            &[CART],
            "ALLOW default:sameMesh",
            "west",
        ),
    ])
    .await;
}

/// Envoy's attribute holds the first URI SAN only; a second one must not go unseen behind it (X509-SVID §2).
#[tokio::test]
async fn several_uri_sans_are_none() {
    check(&[
        (
            "frontend-first",
            Root::East,
            &[FRONTEND, STRANGER],
            INVALID,
            "invalidIdentity",
        ),
        (
            "stranger-first",
            Root::East,
            &[STRANGER, FRONTEND],
            INVALID,
            "invalidIdentity",
        ),
        (
            "twice-the-same",
            Root::East,
            &[FRONTEND, FRONTEND],
            INVALID,
            "invalidIdentity",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_verify_never_reaches_the_filter() {
    let stand = stand().await;
    let fails = async |what: &str| {
        let name = stand.sidecar.address.to_string().replace(':', "_");
        stand
            .sidecar
            .envoy
            .stat(&format!("listener.{name}.ssl.{what}"))
            .await
            .unwrap()
    };
    let others = Pki::create(&stand.folder().join("others")).unwrap();
    let untrusted = others.sign(Root::East, "untrusted", &[FRONTEND]).unwrap();
    let refused = stand
        .request(Some(&untrusted), "/v1/items")
        .unwrap()
        .send()
        .await;
    assert!(refused.is_err(), "a root of another world: {refused:?}");
    assert_eq!(fails("fail_verify_error").await, 1);

    let url = format!("https://{}/v1/items", stand.sidecar.address);
    let refused = Command::curl()
        .unwrap()
        .args(["--insecure", &url])
        .run()
        .await
        .unwrap();
    assert_eq!(refused.stdout, "", "TLS without a certificate: {refused:?}");
    assert_eq!(fails("fail_verify_no_cert").await, 1);

    assert_eq!(stand.sidecar.access_log.entries().unwrap().len(), 0);
    let trusted = stand.pki.sign(Root::East, "trusted", &[FRONTEND]).unwrap();
    let (reply, _) = stand
        .send(stand.request(Some(&trusted), "/v1/items").unwrap())
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(stand.sidecar.access_log.entries().unwrap().len(), 1);
}
