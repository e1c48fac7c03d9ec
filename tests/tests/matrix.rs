//! Every verdict by every protocol: what the caller gets, what is counted, and what the access log says.
#![cfg(test)]

use std::collections::BTreeMap;

use anyhow::Result;
use crossmesh_e2e::access_log::Entry;
use crossmesh_e2e::caller::{Answer, Caller, Request};
use crossmesh_e2e::grpc;
use crossmesh_e2e::names::{BATCH, CATALOG, FRONTEND, STRANGER};
use crossmesh_e2e::pki::{Identity, Root};
use crossmesh_e2e::plugin::scenario;
use crossmesh_e2e::roles::forwarder::INGRESS;
use crossmesh_e2e::roles::protocols::{Protocols, SAYS};
use serde_json::json;

const CART: &str = "spiffe://bar.com/ns/shop/sa/cart";
const INTRUDER: &str = "spiffe://foo.com/ns/web/sa/intruder";
const HOURLY: &str = "spiffe://foo.com/ns/jobs/sa/hourly";
const NIGHTLY: &str = "spiffe://foo.com/ns/jobs/sa/nightly";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    Grpc,
    Tcp,
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol::Http1,
    Protocol::Http2,
    Protocol::Grpc,
    Protocol::Tcp,
];

/// What is decided about somebody.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    source: &'static str,
    decision: &'static str,
    candidate: &'static str,
    audit: Option<&'static str>,
    flaw: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    /// URI SANs of the certificate, if there is one.
    uri_sans: Option<&'static [&'static str]>,
    /// What comes in `x-forwarded-client-cert`, where there are headers.
    forwarded: Option<&'static str>,
    verdict: Verdict,
    /// Where TCP, which has no headers, is told from HTTP.
    on_tcp: Option<Verdict>,
}

const fn verdict(source: &'static str, decision: &'static str, candidate: &'static str) -> Verdict {
    Verdict {
        source,
        decision,
        candidate,
        audit: None,
        flaw: None,
    }
}

const fn case(
    name: &'static str,
    uri_sans: Option<&'static [&'static str]>,
    verdict: Verdict,
) -> Case {
    Case {
        name,
        uri_sans,
        forwarded: None,
        verdict,
        on_tcp: None,
    }
}

/// Without a rule that says otherwise: a class's default, also of the candidate.
const fn refused(class: &'static str, denial: &'static str) -> Verdict {
    verdict(class, denial, denial)
}

fn cases() -> Vec<Case> {
    const PEER_MESH: &str = "DENY default:peerMesh";
    const INVALID: &str = "DENY default:invalidIdentity";
    const ALL_OF_WEB: &str = "ALLOW rule:all-of-web";
    let no_identity = |flaw| Verdict {
        flaw: Some(flaw),
        ..refused("invalidIdentity", INVALID)
    };
    let frontend = verdict("east", "ALLOW rule:listed", ALL_OF_WEB);
    let forwarder_itself = refused("east", PEER_MESH);
    let watched = |verdict| Verdict {
        audit: Some("watched"),
        ..verdict
    };
    let forwarded = |name, says, verdict| Case {
        forwarded: Some(says),
        on_tcp: Some(forwarder_itself),
        ..case(name, Some(&[INGRESS]), verdict)
    };
    vec![
        case(
            "the own mesh",
            Some(&[CART]),
            verdict("west", "ALLOW default:sameMesh", "DENY rule:no-cart"),
        ),
        case(
            "a peer mesh",
            Some(&[BATCH]),
            verdict("east", PEER_MESH, ALL_OF_WEB),
        ),
        case("an ALLOW rule", Some(&[FRONTEND]), frontend),
        case(
            "a DENY rule",
            Some(&[INTRUDER]),
            verdict("east", "DENY rule:no-intruder", ALL_OF_WEB),
        ),
        case(
            "an AUDIT rule of whom another lets in",
            Some(&[HOURLY]),
            watched(verdict("east", "ALLOW rule:listed", PEER_MESH)),
        ),
        case(
            "an AUDIT rule of whom nothing lets in",
            Some(&[NIGHTLY]),
            watched(refused("east", PEER_MESH)),
        ),
        case(
            "an unknown trust domain",
            Some(&[STRANGER]),
            refused("unknownTrustDomain", "DENY default:unknownTrustDomain"),
        ),
        case("no URI SAN", Some(&[]), no_identity("noUriSan")),
        case(
            "two URI SANs",
            Some(&[FRONTEND, CART]),
            no_identity("severalUriSans"),
        ),
        case(
            "a URI SAN of another scheme",
            Some(&["https://foo.com/ns/web/sa/frontend"]),
            no_identity("noSpiffeId"),
        ),
        case(
            "plaintext",
            None,
            refused("plaintext", "DENY default:plaintext"),
        ),
        case("a forwarder itself", Some(&[INGRESS]), forwarder_itself),
        forwarded(
            "whom a forwarder names",
            "URI=spiffe://foo.com/ns/web/sa/frontend",
            frontend,
        ),
        forwarded(
            "for whom it may not speak",
            "URI=spiffe://bar.com/ns/shop/sa/cart",
            no_identity("forwarded"),
        ),
        Case {
            forwarded: Some("URI=spiffe://foo.com/ns/web/sa/frontend"),
            ..case(
                "whom somebody else names",
                Some(&[BATCH]),
                verdict("east", PEER_MESH, ALL_OF_WEB),
            )
        },
    ]
}

/// What the counters gain by one of these.
fn counted(protocol: Protocol, verdict: &Verdict, dry_run: bool) -> BTreeMap<String, u64> {
    let labels = |decision: &'static str| {
        let (verdict, by) = decision.split_once(' ').unwrap();
        let rule = by.strip_prefix("rule:");
        let rule = rule.map_or_else(|| by.replace("default:", "default_"), str::to_owned);
        (verdict, rule)
    };
    let (active, rule) = labels(verdict.decision);
    let (would_be, candidate) = labels(verdict.candidate);
    let what = if protocol == Protocol::Tcp {
        "connections"
    } else {
        "requests"
    };
    let mut names = vec![
        format!(
            "source_mesh=.={};.;destination_mesh=.=west;.;verdict=.={active};.;crossmesh_{what}_total",
            verdict.source
        ),
        format!(
            "rule=.={candidate};.;verdict=.={would_be};.;active=.={active};.;crossmesh_candidate_decisions_total"
        ),
    ];
    if let Some(rule) = verdict.audit {
        names.push(format!("rule=.={rule};.;crossmesh_audit_matches_total"));
    }
    if let Some(reason) = verdict.flaw {
        names.push(format!(
            "reason=.={reason};.;crossmesh_invalid_identities_total"
        ));
    }
    if dry_run {
        names.push(format!(
            "rule=.={rule};.;verdict=.={active};.;crossmesh_dry_run_decisions_total"
        ));
    }
    let names = names.into_iter().map(|name| format!("wasmcustom.{name}"));
    names.map(|name| (name, 1)).collect()
}

fn gained(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let gains = after.iter().map(|(name, count)| {
        let before = before.get(name).copied().unwrap_or_default();
        (name.clone(), count - before)
    });
    gains.filter(|(_, gain)| *gain > 0).collect()
}

/// The single place where a case meets an Envoy.
async fn check(stand: &Protocols, case: &Case, protocol: Protocol, dry_run: bool) {
    let what = format!("{} over {protocol:?}, dry run: {dry_run}", case.name);
    let on_tcp = case.on_tcp.filter(|_| protocol == Protocol::Tcp);
    let verdict = on_tcp.unwrap_or(case.verdict);
    let denied = verdict.decision.starts_with("DENY");
    let identity = case
        .uri_sans
        .map(|sans| stand.pki.sign(Root::East, "caller", sans).unwrap());
    let before = stand.envoy.counters("wasmcustom").await.unwrap();
    let entry = call(stand, case, protocol, identity, denied && !dry_run)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:#}"));

    assert_eq!(entry.decision.as_deref(), Some(verdict.decision), "{what}");
    assert_eq!(entry.source_mesh.as_deref(), Some(verdict.source), "{what}");
    assert_eq!(entry.destination_mesh.as_deref(), Some("west"), "{what}");
    let enforced = (denied && dry_run).then_some("false");
    assert_eq!(entry.enforced.as_deref(), enforced, "{what}");
    let peer = case.uri_sans.map(|sans| sans.join(","));
    assert_eq!(entry.peer, peer.filter(|peer| !peer.is_empty()), "{what}");
    if protocol != Protocol::Tcp {
        let (_, by) = verdict.decision.split_once(' ').unwrap();
        let (status, details) = match (denied && !dry_run, protocol) {
            (false, _) => (200, "via_upstream".to_owned()),
            // A gRPC answer's status is 200 whatever its grpc-status.
            (true, Protocol::Grpc) => (200, format!("crossmesh_denied[{by}]")),
            (true, _) => (403, format!("crossmesh_denied[{by}]")),
        };
        assert_eq!(
            (entry.status, entry.details),
            (status, Some(details)),
            "{what}"
        );
    }
    let after = stand.envoy.counters("wasmcustom").await.unwrap();
    assert_eq!(
        gained(&before, &after),
        counted(protocol, &verdict, dry_run),
        "{what}"
    );
}

/// One call; what its caller gets is looked at here. Its line in the access log.
async fn call(
    stand: &Protocols,
    case: &Case,
    protocol: Protocol,
    identity: Option<Identity>,
    refused: bool,
) -> Result<Entry> {
    const BODY: &str = "access denied by mesh policy";
    if protocol == Protocol::Tcp {
        let (lines, heard) = (stand.connections.entries()?.len(), stand.echo.heard());
        let words = "hello";
        let answer = stand.tcp(identity).say(words).await?;
        let arrived = if refused { "" } else { words };
        assert_eq!(answer, arrived, "{}", case.name);
        assert_eq!(stand.echo.heard(), heard + arrived.len(), "{}", case.name);
        return stand.connections.longer_than(lines).await;
    }
    let caller = stand.http(identity);
    let id = format!("{protocol:?} {}", stand.requests.entries()?.len());
    let mut headers = vec![("x-request-id", &*id)];
    headers.extend(case.forwarded.map(|says| ("x-forwarded-client-cert", says)));
    if protocol == Protocol::Grpc {
        let outcome = caller
            .grpc(CATALOG, "/shop.Catalog/Read", "which?", &headers)
            .await?;
        if refused {
            let denied = grpc::Outcome {
                status: grpc::PERMISSION_DENIED,
                message: BODY.to_owned(),
                answer: None,
            };
            assert_eq!(outcome, denied, "{}", case.name);
        } else {
            assert_eq!(outcome.status, grpc::OK, "{}: {outcome:?}", case.name);
            assert!(
                outcome.answer.unwrap().starts_with(SAYS),
                "{}: of the application",
                case.name
            );
        }
        return stand.requests.entry(&id).await;
    }
    let answer = get(&caller, protocol, &headers).await?;
    if refused {
        assert_eq!(
            (answer.status, &*answer.body),
            (403, "access denied by mesh policy\n")
        );
        let told = format!("{:?}", answer.headers);
        assert!(
            !told.contains("crossmesh") && !told.contains("default:") && !told.contains("rule:"),
            "{}: {told}",
            case.name
        );
    } else {
        assert_eq!(answer.status, 200, "{}", case.name);
        assert!(answer.body.starts_with(SAYS), "{}: {answer:?}", case.name);
    }
    stand.requests.entry(&id).await
}

async fn get(caller: &Caller, protocol: Protocol, headers: &[(&str, &str)]) -> Result<Answer> {
    let request = Request {
        method: "GET",
        host: CATALOG,
        path: "/v1/items",
        headers,
    };
    let (answer, version) = if protocol == Protocol::Http1 {
        (caller.http1(&request).await?, "HTTP/1.1")
    } else {
        (caller.http2(&request).await?, "HTTP/2.0")
    };
    assert_eq!(answer.version, version);
    Ok(answer)
}

async fn check_all(dry_run: bool) {
    let mut policy = scenario("matrix.yaml").unwrap();
    if dry_run {
        policy["mode"] = json!("DRY_RUN");
    }
    let stand = Protocols::start(&policy.to_string()).await.unwrap();
    for case in cases() {
        for protocol in PROTOCOLS {
            check(&stand, &case, protocol, dry_run).await;
        }
    }
}

#[tokio::test]
async fn every_verdict_is_the_same_over_every_protocol() {
    check_all(false).await;
}

#[tokio::test]
async fn a_dry_run_serves_all_and_tells_every_verdict() {
    check_all(true).await;
}
